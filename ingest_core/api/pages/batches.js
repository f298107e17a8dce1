// The batches of a list and what they fetched, a page at a time, and all results as a file.

import { call, LONG_PATIENCE_MS, read } from "./api.js";
import { el, keyed, setAttribute, setText, setTextOrHide } from "./dom.js";
import { actionButton } from "./dialogs.js";
import { batches, exactly, number, statusWord } from "./words.js";

const PAGE = 20;
const PER_DOWNLOAD = 1000;
const SHOWN_DATA = 300;

const HEADS = ["Batch", "Status", "Attempts", "Started", "Ended", "IDs and results"];

function createRow(batch) {
  return el("tr", {}, el("th", { scope: "row", "data-head": "Batch" }, number(batch.place + 1)), el("td", { class: "status" }),
    ...HEADS.slice(2, -1).map(head => el("td", { "data-head": head })),
    el("td", {}, el("ul", { class: "items" }), el("p", { class: "wrong", hidden: true })));
}

function updateRow(row, batch) {
  const [, status, attempts, started, ended, items] = row.children;
  setText(status, statusWord(batch.status));
  status.className = `status ${batch.status}`;
  setText(attempts, batch.attempts || "–");
  setText(started, exactly(batch.triggered_at));
  setText(ended, exactly(batch.completed_at));
  keyed(items.firstElementChild, batch.ids.map((id, at) => ({ id, at, result: batch.results.get(id) })), {
    key: ({ at }) => at,
    make: ({ id }) => el("li", {}, el("code", {}, String(id)), " ", el("span")),
    update: (node, { result }) => showResult(node.lastElementChild, result),
  });
  const isAtAnId = batch.ids.some(id => batch.results.get(id)?.error === batch.error);
  setTextOrHide(items.lastElementChild, !isAtAnId && batch.error);
}

function showResult(node, result) {
  const text = result ? result.error || JSON.stringify(result.data) : "";
  setText(node, text.length > SHOWN_DATA ? `${text.slice(0, SHOWN_DATA)} …` : text);
  setAttribute(node, "class", result?.error ? "wrong" : "data");
}

/** Every result as one text, page by page. */
async function download(id) {
  const parts = [];
  let cursor = 0;
  while (cursor !== null) {
    const query = new URLSearchParams({ limit: PER_DOWNLOAD, cursor });
    const answer = await call("GET", `/results/${id}?${query}`, { headers: { Accept: "application/x-ndjson" },
      patience: LONG_PATIENCE_MS });
    parts.push(await answer.text());
    const next = /[?&]cursor=([0-9]+)[^>]*>;\s*rel="next"/.exec(answer.headers.get("Link") || "");
    cursor = next ? Number(next[1]) : null;
  }
  const url = URL.createObjectURL(new Blob(parts, { type: "application/x-ndjson" }));
  el("a", { href: url, download: `results-${id}.ndjson` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

export function createBatches(id) {
  const body = el("tbody");
  const position = el("span", { class: "quiet" });
  const problem = el("p", { class: "wrong", role: "alert", hidden: true });
  const back = el("button", { type: "button", class: "small", on: { click: () => turn(-PAGE) } }, "← Previous");
  const on = el("button", { type: "button", class: "small", on: { click: () => turn(PAGE) } }, "Next →");
  const now = el("button", { type: "button", class: "small", on: { click: () => go(presentPage()) } }, "Where it is now");
  const failed = actionButton("Next failed", () => goToFailed());
  const file = actionButton("Download all results", () => download(encodeURIComponent(id)));
  const node = el("section", { "aria-labelledby": "batches-title" },
    el("div", { class: "row" }, el("h3", { id: "batches-title" }, "Batches"), file.node),
    el("div", { class: "scroll" }, el("table", {}, el("caption", { class: "hidden-text" }, "Batches in their order"),
      el("thead", {}, el("tr", {}, ...HEADS.map(head => el("th", { scope: "col" }, head)))), body)),
    problem, el("div", { class: "pager" }, back, position, on, now, failed.node));
  let start = 0;
  let one = null;
  let drawn = null; // the list as it was when its batches were read

  function presentPage() {
    const ended = one.counts.completed + one.counts.failed;
    return Math.floor(Math.max(0, Math.min(ended, one.counts.batches - 1)) / PAGE) * PAGE;
  }

  /** Read the batches that are shown, unless the list is still as it was when they were read. */
  async function look(found) {
    one = found;
    if (drawn === found) return;
    const asked = start;
    const page = `${encodeURIComponent(id)}`;
    const query = new URLSearchParams({ limit: PAGE, cursor: asked });
    const [{ value: shown }, { value: items }] = await Promise.all(
      [read(`/status/${page}/batches?${query}`), read(`/results/${page}?${query}`)]);
    if (asked !== start) return;
    draw(shown.batches, items);
    drawn = found;
  }

  function draw(found, items) {
    const results = new Map(items.map(item => [item.id, item]));
    keyed(body, found.map((batch, at) => ({ ...batch, place: start + at, results })), {
      key: batch => batch.batch_id, make: createRow, update: updateRow,
    });
    const all = one.counts.batches;
    setText(position, `${number(start + 1)} to ${number(Math.min(start + PAGE, all))} of ${batches(all)}`);
    setAttribute(back, "aria-disabled", start === 0 && "true"); // `disabled` would take the focus away
    setAttribute(on, "aria-disabled", start + PAGE >= all && "true");
    setAttribute(now, "aria-disabled", presentPage() === start && "true");
    now.hidden = all <= PAGE;
    failed.node.hidden = !one.counts.failed || all <= PAGE;
    setTextOrHide(problem, "");
  }

  /** The page of the first failed batch after those that are shown, or of the very first one. */
  async function goToFailed() {
    const { value } = await read(`/status/${encodeURIComponent(id)}`);
    const places = value.batches.flatMap(({ status }, place) => (status === "failed" ? [place] : []));
    const next = places.find(place => place >= start + PAGE) ?? places[0] ?? start;
    await go(Math.floor(next / PAGE) * PAGE);
  }

  function turn(by) {
    if (start + by >= 0 && start + by < one.counts.batches) go(start + by);
  }

  async function go(place) {
    start = place;
    drawn = null;
    try {
      await look(one);
    } catch (error) {
      setTextOrHide(problem, error.message);
    }
  }

  return { node, look };
}
