// Reads IDs as people have them: one per line, the first column of a CSV, a JSON list, or all on one line.

const WHOLE_NUMBER = /^[0-9]{1,19}$/;
const LEAST = 1;
const MOST = 1000000007;
const SEPARATORS = [",", ";", "\t"];
const LOOKS_LIKE_AN_ID = /^[0-9+.,-]/;

/** `{entries: [{line, text}], noun, note}`; `noun` says what `line` counts, `note` what was left out. */
function split(text) {
  if (/^\s*[[{]/.test(text)) return { entries: fromJson(text), noun: "Entry", note: "" };
  const lines = rowsOf(text);
  if (lines.length === 1) {
    const words = lines[0].content.split(/[\s,;]+/).filter(Boolean);
    return { entries: words.map((word, at) => ({ line: at + 1, text: unquote(word) })), noun: "Entry", note: "" };
  }
  return fromColumns(lines);
}

/**
 * The lines that are not empty. A line break between quotation marks, as in an address in a CSV, ends no row; but if one
 * mark stands where a CSV has none, or is never closed, every line is a row, so that none is lost.
 */
function rowsOf(text, hasQuotes = true) {
  const rows = [];
  let isOpen = false;
  for (const [at, whole] of text.split(/\r\n|\n|\r/).entries()) {
    const content = whole.trim();
    if (isOpen) rows.at(-1).content += `\n${content}`;
    else if (content) rows.push({ line: at + 1, content });
    isOpen = hasQuotes && isOpenAfter(content, isOpen);
    if (isOpen === null) return rowsOf(text, false);
  }
  return isOpen ? rowsOf(text, false) : rows;
}

/** Whether a quoted field is open at the end of a line, or null if its end is followed by anything but a separator. */
function isOpenAfter(content, wasOpen) {
  let isOpen = wasOpen;
  for (let at = content.indexOf('"'); at !== -1; at = content.indexOf('"', at + 1)) {
    const next = content[at + 1];
    if (!isOpen) isOpen = at === 0 || SEPARATORS.includes(content[at - 1]);
    else if (next === '"') at += 1; // a doubled mark belongs to the text
    else if (next === undefined || SEPARATORS.includes(next)) isOpen = false;
    else return null;
  }
  return isOpen;
}

function fromColumns(lines) {
  const notes = [];
  const separator = SEPARATORS.find(one => lines[0]?.content.includes(one)) || ",";
  const entries = lines.map(({ line, content }) => ({ line, text: unquote(content.split(separator)[0].trim()) }));
  if (lines.some(({ content }) => content.includes(separator))) notes.push("Only the first column was read.");
  if (entries.length && !LOOKS_LIKE_AN_ID.test(entries[0].text)) {
    const { line, text } = entries.shift();
    notes.push(`Line ${line} (“${text.slice(0, 40)}”) was taken for a header.`);
  }
  return { entries, noun: "Line", note: notes.join(" ") };
}

const unquote = text => text.replace(/^"(.*)"$/, "$1").trim();

function fromJson(text) {
  let value;
  try {
    value = JSON.parse(text.trim()); // without a byte order mark
  } catch (error) {
    return [{ line: 1, text: "", problem: `This is not JSON: ${error.message}` }];
  }
  const list = Array.isArray(value) ? value : value?.ids;
  if (!Array.isArray(list)) return [{ line: 1, text: "", problem: "JSON must be [1, 2, 3] or {\"ids\": [1, 2, 3]}." }];
  return list.map((one, at) => ({ line: at + 1, text: typeof one === "number" ? String(one) : JSON.stringify(one) }));
}

function problemOf({ text, problem }) {
  if (problem) return problem;
  if (!WHOLE_NUMBER.test(text)) return `“${text.slice(0, 40)}” is not an ID`;
  const id = Number(text);
  return id < LEAST || id > MOST ? `${text} is not between ${LEAST} and ${MOST}` : "";
}

/**
 * `{ids, lines, duplicates, wrong: [{line, problem}], noun, note}`: the IDs in their order, the line of each, how many
 * are repeats, and every line that cannot be sent. `noun` is "Line", or "Entry" where all stand on one line.
 */
export function parseIds(text) {
  const { entries, noun, note } = split(text);
  const found = { ids: [], lines: [], duplicates: 0, wrong: [], noun, note };
  const known = new Set();
  for (const entry of entries) {
    const problem = problemOf(entry);
    if (problem) {
      found.wrong.push({ line: entry.line, problem });
      continue;
    }
    const id = Number(entry.text);
    if (known.has(id)) found.duplicates += 1;
    known.add(id);
    found.ids.push(id);
    found.lines.push(entry.line);
  }
  return found;
}

/** The same without repeats. */
export function withoutDuplicates({ ids, lines, ...rest }) {
  const known = new Set();
  const kept = ids.map((id, at) => !known.has(id) && known.add(id) && at).filter(at => at !== false);
  return { ...rest, ids: kept.map(at => ids[at]), lines: kept.map(at => lines[at]), duplicates: 0 };
}
