// Examples and copyable commands.

import { el } from "./dom.js";

/** The first example of a media type: its own, a named one, or its schema's. */
export function exampleOf(spec, media, resolve) {
  if (media.example !== undefined) return media.example;
  const named = Object.values(media.examples || {})[0];
  if (named) return resolve(spec, named).value;
  const schema = resolve(spec, media.schema);
  return schema?.examples?.[0] ?? schema?.example;
}

const quote = text => `'${String(text).replaceAll("'", "'\\''")}'`;

function valueOf(parameter) {
  const { example, schema, name } = parameter;
  return example ?? schema?.examples?.[0] ?? schema?.default ?? `{${name}}`;
}

const needsKey = (spec, operation) => (operation.security ?? spec.security ?? []).some(one => Object.keys(one).length);

/** A curl command for the address at which this page was opened. */
export function curlOf(spec, operation, resolve) {
  const parameters = operation.parameters.map(one => resolve(spec, one));
  const path = operation.path.replaceAll(/\{([^}]+)\}/g, (whole, name) => {
    const found = parameters.find(one => one.in === "path" && one.name === name);
    return found ? valueOf(found) : whole;
  });
  const lines = [`curl ${operation.method === "get" ? "" : `-X ${operation.method.toUpperCase()} `}${quote(location.origin + path)}`];
  if (needsKey(spec, operation)) lines.push('-H "x-functions-key: $INGEST_KEY"');
  const body = resolve(spec, operation.requestBody);
  const [type, media] = Object.entries(body?.content || {})[0] || [];
  const example = media && exampleOf(spec, media, resolve);
  if (example !== undefined) lines.push(`-H ${quote(`Content-Type: ${type}`)}`, `-d ${quote(JSON.stringify(example))}`);
  return lines.join(" \\\n  ");
}

/** Text with a button that copies it. */
export function copyable(text) {
  const button = el("button", { type: "button", class: "small" }, "Copy");
  button.addEventListener("click", async () => {
    const isCopied = await copy(text);
    button.textContent = isCopied ? "Copied" : "Press Ctrl-C";
    if (!isCopied) getSelection().selectAllChildren(node.querySelector("pre"));
    document.querySelector("#announcement").textContent = button.textContent;
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  const node = el("div", { class: "copyable" }, el("pre", { tabindex: 0 }, text), button);
  return node;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text); // missing where the page is not served securely
    return true;
  } catch {
    return false;
  }
}
