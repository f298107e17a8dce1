// The docs page: it reads /openapi.json and shows operations, schemas and problem types. It calls nothing else.

import { call } from "./api.js";
import { el, setText } from "./dom.js";
import { copyable, curlOf, exampleOf } from "./docs_examples.js";
import { schemaTable, typeOf } from "./docs_schemas.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

const anchorOf = operation => `operation-${operation.operationId}`;
const paragraphs = text => (text || "").split(/\n\s*\n/).filter(Boolean).map(one => el("p", {}, ...codeIn(one)));

/** Text in `backticks` becomes code. */
function codeIn(text) {
  return text.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));
}

/** Follow `$ref`. */
function resolve(spec, value) {
  if (!value?.$ref) return value;
  return value.$ref.replace(/^#\//, "").split("/").reduce((node, name) => node?.[name.replaceAll("~1", "/")], spec);
}

function operationsOf(spec) {
  return Object.entries(spec.paths || {}).flatMap(([path, item]) => METHODS.filter(method => item[method]).map(method => ({
    path, method, ...item[method], parameters: [...(item.parameters || []), ...(item[method].parameters || [])],
  })));
}

function parametersTable(spec, operation) {
  const found = operation.parameters.map(one => resolve(spec, one));
  if (!found.length) return null;
  return el("div", { class: "scroll" }, el("table", {}, el("caption", { class: "hidden-text" }, "Parameters"),
    el("thead", {}, el("tr", {}, ...["Parameter", "In", "Type", "Meaning"].map(head => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...found.map(one => el("tr", {}, el("th", { scope: "row" }, el("code", {}, one.name), one.required ? " *" : ""),
      el("td", { "data-head": "In" }, one.in), el("td", { "data-head": "Type" }, typeOf(one.schema)),
      el("td", {}, ...codeIn(one.description || "")))))));
}

function bodyOf(spec, value, title) {
  const [type, media] = Object.entries(resolve(spec, value)?.content || {})[0] || [];
  if (!media) return null;
  const example = exampleOf(spec, media, resolve);
  return el("div", {}, el("p", {}, `${title}: `, el("code", {}, type), " ", typeOf(media.schema)),
    example === undefined ? null : copyable(typeof example === "string" ? example : JSON.stringify(example, null, 2)));
}

function responseOf(spec, status, value) {
  const found = resolve(spec, value);
  return el("details", {}, el("summary", {}, el("strong", {}, status), " ", ...codeIn(found.description || "")),
    bodyOf(spec, found, "Body") || el("p", { class: "quiet" }, "No body."),
    ...Object.entries(found.headers || {}).map(([name, header]) => el("p", { class: "quiet" }, el("code", {}, name), " ",
      ...codeIn(resolve(spec, header).description || ""))));
}

function operationSection(spec, operation) {
  const title = `${anchorOf(operation)}-title`;
  return el("section", { class: "operation", id: anchorOf(operation), "aria-labelledby": title },
    el("h3", { id: title }, el("span", { class: "method" }, operation.method.toUpperCase()), " ",
      el("span", { class: "path" }, operation.path)),
    operation.summary ? el("p", {}, el("strong", {}, operation.summary)) : null,
    ...paragraphs(operation.description),
    parametersTable(spec, operation),
    operation.requestBody ? bodyOf(spec, operation.requestBody, "Body") : null,
    copyable(curlOf(spec, operation, resolve)),
    ...Object.entries(operation.responses || {}).map(([status, one]) => responseOf(spec, status, one)));
}

/** Problem types: listed by the document under `x-problem-types`, or found in its examples. */
function problemTypes(spec) {
  const listed = spec["x-problem-types"];
  if (listed) return listed;
  const found = new Map();
  JSON.stringify(spec, (_, value) => {
    const slug = typeof value?.type === "string" && /^\/problems\/(.+)$/.exec(value.type)?.[1];
    if (slug && !found.has(slug)) found.set(slug, { slug, title: value.title, status: value.status, detail: value.detail });
    return value;
  });
  return [...found.values()].sort((one, other) => one.slug.localeCompare(other.slug));
}

function problemSection({ slug, title, status, detail, description }) {
  return el("section", { class: "problem-type", id: `problem-${slug}` },
    el("h3", {}, el("code", {}, `/problems/${slug}`)),
    el("p", {}, el("strong", {}, [status, title].filter(Boolean).join(" "))), ...paragraphs(description || detail));
}

function contents(groups) {
  return groups.flatMap(([title, links]) => [el("strong", {}, title), el("ul", {},
    ...links.map(([href, words]) => el("li", {}, el("a", { href }, words))))]);
}

function show(spec) {
  const operations = operationsOf(spec);
  const schemas = Object.entries(spec.components?.schemas || {});
  const problems = problemTypes(spec);
  const tags = [...new Set(operations.map(one => one.tags?.[0] || "Operations"))];
  document.querySelector("#contents").replaceChildren(...contents([
    ...tags.map(tag => [tag, operations.filter(one => (one.tags?.[0] || "Operations") === tag)
      .map(one => [`#${anchorOf(one)}`, `${one.method.toUpperCase()} ${one.path}`])]),
    ["Problem types", problems.map(one => [`#problem-${one.slug}`, one.slug])],
    ["Schemas", schemas.map(([name]) => [`#schema-${name}`, name])],
  ].filter(([, links]) => links.length)));
  document.querySelector("#main").replaceChildren(
    el("h2", {}, `${spec.info?.title || "API"} ${spec.info?.version || ""}`), ...paragraphs(spec.info?.description),
    ...tags.flatMap(tag => [el("h2", {}, tag), ...operations.filter(one => (one.tags?.[0] || "Operations") === tag)
      .map(one => operationSection(spec, one))]),
    ...(problems.length ? [el("h2", {}, "Problem types"), ...problems.map(problemSection)] : []),
    ...(schemas.length ? [el("h2", {}, "Schemas"), ...schemas.map(([name, schema]) => schemaTable(name, schema, codeIn))] : []));
}

function fail(error) {
  const alert = document.querySelector("#alert");
  setText(alert, error.status === 404
    ? "This service has no /openapi.json, so there is nothing to show here."
    : `/openapi.json cannot be read: ${error.message}`);
  alert.hidden = false;
}

try {
  show(await (await call("GET", "/openapi.json")).json());
  // The sections were not there when the browser looked for the address's anchor.
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  if (location.hash) location.replace(location.hash);
} catch (error) {
  fail(error);
}
document.querySelector("#main").setAttribute("aria-busy", "false");
