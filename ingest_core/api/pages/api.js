// Calls the service. The function key is asked for once, kept for this tab only, and sent as a header: never in a URL.

import { el, field, storage } from "./dom.js";

const PATIENCE_MS = 10000;
/** For what is large. */
export const LONG_PATIENCE_MS = 60000;
const KEY = "x-functions-key";
const keys = storage("sessionStorage");

/** An answer that is an error. `kind` is `problem`, `storage` or `silence` (no answer at all). */
export class CallFailed extends Error {
  constructor({ kind, status = 0, title, detail = "", errors = [] }) {
    super(detail ? `${title}. ${detail}` : title);
    Object.assign(this, { kind, status, title, detail, errors });
  }
}

let asking = null;
let hasDeclined = false; // who closes the dialog is not asked again with every look

function askForKey(wasWrong) {
  asking ||= openKeyDialog(wasWrong).finally(() => { asking = null; });
  return asking;
}

function openKeyDialog(wasWrong) {
  const { node, input, setError } = field("Function key", el("input", {
    type: "password", autocomplete: "off", required: true,
    pattern: "\\s*[!-~]+\\s*", title: "A header carries ASCII characters only.",
  }), "It stays in this tab and is forgotten when the tab is closed.");
  if (wasWrong) setError("The service does not accept this key.");
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "key-title" },
    el("form", { method: "dialog" },
      el("h2", { id: "key-title" }, "This service needs a key"), node,
      el("div", { class: "actions" }, el("button", { class: "main", value: "use" }, "Use this key"))));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise(resolve => {
    dialog.addEventListener("close", () => {
      const key = dialog.returnValue && input.value.trim(); // Escape returns nothing
      if (key) keys.setItem(KEY, key);
      dialog.remove();
      resolve(Boolean(key));
    });
  });
}

async function send(method, path, { body, headers, patience }) {
  const key = keys.getItem(KEY);
  const all = { ...headers, ...(key && { [KEY]: key }), ...(body && { "Content-Type": "application/json" }) };
  try {
    const answer = await fetch(path, {
      method, headers: all, body, cache: "no-store", credentials: "same-origin",
      signal: AbortSignal.timeout(patience), // it also ends the reading of the body
    });
    return { answer, key };
  } catch {
    throw silence();
  }
}

const silence = () => new CallFailed({ kind: "silence", title: "No answer from the service" });

/** Send a request. A 401 asks for the key and repeats it. Raises `CallFailed`. */
export async function call(method, path, { json, headers = {}, patience = PATIENCE_MS } = {}) {
  const body = json === undefined ? undefined : JSON.stringify(json);
  for (;;) {
    const { answer, key } = await send(method, path, { body, headers, patience });
    if (answer.ok || answer.status === 304) return answer;
    if (answer.status !== 401) throw await errorOf(answer);
    const newer = keys.getItem(KEY);
    if (newer !== key) continue;
    hasDeclined ||= !await askForKey(key !== null);
    if (hasDeclined) {
      throw new CallFailed({ kind: "problem", status: 401, title: "This service needs a function key",
        detail: "Load the page again to enter it." });
    }
  }
}

async function errorOf(answer) {
  const found = await answer.json().catch(() => ({}));
  const isStorage = /storage-unavailable$/.test(found.type || "") || /^storage/i.test(found.title || "");
  return new CallFailed({
    kind: isStorage ? "storage" : "problem",
    status: answer.status,
    title: found.title || `The service answered ${answer.status}`,
    detail: found.detail,
    errors: Array.isArray(found.errors) ? found.errors : [],
  });
}

const seen = new Map();
const REMEMBERED = 50;

/**
 * GET JSON, with `If-None-Match` if there was an ETag: then the very same object is returned again. `at` is when it came,
 * by `performance.now()`.
 */
export async function read(path) {
  const before = seen.get(path);
  const headers = { Accept: "application/json", ...(before && { "If-None-Match": before.etag }) };
  const answer = await call("GET", path, { headers });
  const at = performance.now();
  if (answer.status === 304) return { value: before.value, at };
  const value = await answer.json().catch(error => {
    if (error.name === "TimeoutError") throw silence();
    throw new CallFailed({ kind: "silence", title: "The answer is not the service's", detail: "Is a proxy in between?" });
  });
  const etag = answer.headers.get("ETag");
  if (etag) {
    seen.delete(path);
    seen.set(path, { etag, value });
    if (seen.size > REMEMBERED) seen.delete(seen.keys().next().value);
  }
  return { value, at };
}

/** A fresh key for `Idempotency-Key`. (`randomUUID` is missing where a page is not served securely.) */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, "0")).join("");
}
