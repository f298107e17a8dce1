// Where the IDs of a new list come from: the text area, or a large text that is kept beside it.

import { el, field, setText } from "./dom.js";
import { some } from "./words.js";

// A text area lays out every line: 100 000 of them stop a page for seconds.
const MOST_CHARACTERS_TO_EDIT = 50000;

const MOST_BYTES = 64 * 1024 * 1024;

/** The text of a file in UTF-8 or, with a byte order mark as PowerShell and Excel write it, in UTF-16. */
async function textOf(file) {
  if (file.size > MOST_BYTES) throw new Error("it is too large for a list of IDs.");
  const bytes = new Uint8Array(await file.arrayBuffer());
  const encoding = { "255,254": "utf-16le", "254,255": "utf-16be" }[bytes.slice(0, 2).join()] || "utf-8";
  const text = new TextDecoder(encoding).decode(bytes);
  if (text.includes("\0")) throw new Error("it is no text file.");
  return text;
}

/** `changed()` is called when the text is another one; `named(name)` when it came from a file. */
export function createSource({ changed, named }) {
  const area = el("textarea", { rows: 10, spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
  const typed = field("IDs", area, "One per line, the first column of a CSV, a JSON list, or all on one line. "
    + "Drop a file here, or choose one.");
  const file = field("Or a file", el("input", { type: "file", accept: ".csv,.txt,.json,text/*,application/json" }));
  const asideWords = el("span");
  const clear = el("button", { type: "button", class: "small" }, "Remove it");
  const kept = el("p", { class: "aside", hidden: true }, asideWords, " ", clear);
  const node = el("div", {}, typed.node, kept, file.node);
  let large = null;

  function take(text, name) {
    const isLarge = text.length > MOST_CHARACTERS_TO_EDIT;
    large = isLarge ? text : null;
    area.value = isLarge ? "" : text;
    area.disabled = isLarge;
    kept.hidden = !isLarge;
    setText(asideWords, isLarge ? `${name || "A text"} of ${some(text.length, "character")} is too large to be shown here.` : "");
    if (name) named(name);
    changed();
  }

  async function takeFile(chosen) {
    if (!chosen) return;
    try {
      take(await textOf(chosen), chosen.name);
    } catch (error) {
      typed.setError(`${chosen.name} cannot be read: ${error.message}`);
    }
  }

  clear.addEventListener("click", () => {
    take("", "");
    file.input.value = "";
    area.focus();
  });
  area.addEventListener("paste", event => {
    const text = event.clipboardData.getData("text");
    if (text.length + area.value.length <= MOST_CHARACTERS_TO_EDIT) return;
    event.preventDefault();
    const { selectionStart: start, selectionEnd: end, value } = area;
    take(value.slice(0, start) + text + value.slice(end), "");
  });
  file.input.addEventListener("change", () => takeFile(file.input.files[0]));
  node.addEventListener("dragover", event => {
    event.preventDefault();
    node.classList.add("dropping");
  });
  node.addEventListener("dragleave", () => node.classList.remove("dropping"));
  node.addEventListener("drop", event => {
    event.preventDefault();
    node.classList.remove("dropping");
    const [first] = event.dataTransfer.files;
    if (first) takeFile(first);
    else take(event.dataTransfer.getData("text"), "");
  });

  return {
    node,
    area,
    setError: typed.setError,
    get text() {
      return large ?? area.value;
    },
    focus: () => (large === null ? area : clear).focus(),
  };
}
