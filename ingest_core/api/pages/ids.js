// Reads IDs as people have them: one per line, the first column of a CSV, a JSON list, or all on one line.

const WHOLE_NUMBER = /^[0-9]{1,19}$/;
const LEAST = 1;
const MOST = 1000000007;
const QUOTED_FIELD = /(^|[,;\t])"(?:[^"]|"")*"(?=[,;\t]|$)/g;
const OPEN_FIELD = /(^|[,;\t])"/;
const LOOKS_LIKE_AN_ID = /^[0-9+.,-]/;

/** `{entries: [{line, text}], noun, note}`; `noun` says what `line` counts, `note` what was left out. */
function split(text) {
  if (/^\s*[[{]/.test(text)) return { entries: fromJson(text), noun: "Entry", note: "" };
  const lines = rowsOf(text);
  if (lines.length === 1) {
    const words = lines[0].content.split(/[\s,;]+/).filter(Boolean);
    return { entries: words.map((word, at) => ({ line: at + 1, text: word })), noun: "Entry", note: "" };
  }
  return fromColumns(lines);
}

/** The lines that are not empty. A line break between quotation marks, as in an address in a CSV, ends no row. */
function rowsOf(text) {
  const rows = [];
  let isOpen = false;
  text.split(/\r\n|\n|\r/).forEach((content, at) => {
    if (isOpen) rows.at(-1).content += `\n${content}`;
    else if (content.trim()) rows.push({ line: at + 1, content: content.trim() });
    isOpen = content.includes('"') ? OPEN_FIELD.test(rows.at(-1).content.replaceAll(QUOTED_FIELD, "$1")) : isOpen;
  });
  return rows;
}

function fromColumns(lines) {
  const notes = [];
  const separator = [",", ";", "\t"].find(one => lines[0]?.content.includes(one)) || ",";
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
    value = JSON.parse(text);
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
