// Lists with their outcome, newest first, with filters that live in the address.

import { read } from "./api.js";
import { actionButton } from "./dialogs.js";
import { el, keyed, setText, setTextOrHide } from "./dom.js";
import { aheadWords, ENDED, exactly, forecastWords, LANES, listName, moment, progress, statusWord } from "./words.js";

const EVERY_MS = 15000; // a list that ends changes the lanes, which makes this look at once
const PAGE = 20;
const STATUSES = [["", "Ended"], ["all", "All"], ["completed", "Completed"], ["failed", "Failed"], ["cancelled", "Cancelled"],
  ["triggered", "In progress"], ["yet_to_start", "Waiting"]];
const PRIORITIES = [["", "All lanes"], ...LANES.map(name => [name, name])];

const HEADS = ["List", "Status", "Lane", "Batches", "Ended or forecast"];

const select = (label, options) => el("label", {}, `${label} `,
  el("select", {}, ...options.map(([value, words]) => el("option", { value }, words))));

function queryOf(filters, cursor) {
  const query = new URLSearchParams({ limit: PAGE });
  const status = filters.get("status") || ENDED.join();
  if (status !== "all") query.set("status", status);
  if (filters.get("priority")) query.set("priority", filters.get("priority"));
  if (cursor) query.set("cursor", cursor);
  return `/ingestions?${query}`;
}

function createRow() {
  return el("tr", {}, el("th", { scope: "row" }, el("a", { class: "name", dir: "auto" })), el("td", { class: "status" }),
    ...HEADS.slice(2).map(head => el("td", { "data-head": head })));
}

const openWords = one => [aheadWords(one.forecast), forecastWords(one.forecast)].filter(Boolean).join(" · ");

function updateRow(row, one) {
  const [name, status, lane, done, ended] = row.children;
  setText(name.firstElementChild, listName(one));
  name.firstElementChild.setAttribute("href", `#/list/${one.ingestion_id}`);
  setText(status, statusWord(one.status));
  status.className = `status ${one.status}`;
  setText(lane, one.priority);
  setText(done, progress(one.counts));
  setText(ended, one.ended_at ? moment(one.ended_at) : openWords(one));
  ended.title = exactly(one.ended_at || one.created_at);
}

export function createRecent(query) {
  const status = select("Status", STATUSES);
  const lane = select("Lane", PRIORITIES);
  const body = el("tbody");
  const none = el("p", { class: "empty", hidden: true });
  const older = actionButton("Show older lists", () => showMore(), null);
  const table = el("table", {}, el("caption", { class: "hidden-text" }, "Lists, newest first"),
    el("thead", {}, el("tr", {}, ...HEADS.map(name => el("th", { scope: "col" }, name)))),
    body);
  const node = el("section", { "aria-labelledby": "lists-title" },
    el("div", { class: "row" }, el("h2", { id: "lists-title" }, "Recent lists"), el("div", { class: "filters" }, status, lane)),
    el("div", { class: "scroll" }, table), none, older.node);
  let filters = null;
  let lists = [];
  let next = null;
  let lookedAt = -Infinity;
  let change = null;

  function draw() {
    keyed(body, lists, { key: one => one.ingestion_id, make: createRow, update: updateRow });
    table.hidden = !lists.length;
    setTextOrHide(none, !lists.length && noneWords());
    older.node.hidden = next === null;
  }

  function noneWords() {
    if (filters.get("status") || filters.get("priority")) return "No list matches these filters.";
    return "No list has ended yet. Finished, failed and cancelled lists appear here.";
  }

  async function look() {
    if (performance.now() - lookedAt < EVERY_MS) return;
    const asked = filters;
    lookedAt = performance.now();
    try {
      const { value } = await read(queryOf(asked));
      if (asked !== filters) return;
      const rest = value.next_cursor ? olderThan(value.ingestions.at(-1)) : [];
      if (!rest.length) next = value.next_cursor;
      lists = [...value.ingestions, ...rest];
      draw();
    } catch (error) {
      lookedAt = -Infinity;
      throw error;
    }
  }

  /** What is shown and was created before this list; without one, everything. */
  const olderThan = last => lists.filter(one => !last || one.created_at < last.created_at);

  async function showMore() {
    const asked = filters;
    const { value } = await read(queryOf(asked, next));
    if (asked !== filters) return;
    const before = lists.length;
    const known = new Set(lists.map(one => one.ingestion_id));
    lists.push(...value.ingestions.filter(one => !known.has(one.ingestion_id)));
    next = value.next_cursor;
    const hadFocus = older.node.contains(document.activeElement);
    draw();
    if (hadFocus && older.node.hidden) (body.children[before] || body.lastElementChild).querySelector("a").focus();
  }

  function show(found) {
    lists = [];
    next = null;
    lookedAt = -Infinity;
    status.firstElementChild.value = found.get("status") || "";
    lane.firstElementChild.value = found.get("priority") || "";
    filters = chosen(); // what is no choice is ignored
  }

  function chosen() {
    const found = new URLSearchParams();
    if (status.firstElementChild.value) found.set("status", status.firstElementChild.value);
    if (lane.firstElementChild.value) found.set("priority", lane.firstElementChild.value);
    return found;
  }

  function choose() {
    const found = chosen();
    location.hash = `#/${[...found].length ? `?${found}` : ""}`;
  }

  status.addEventListener("change", choose);
  lane.addEventListener("change", choose);
  older.node.hidden = true;
  show(query);
  return {
    node,
    look,
    /** Take other filters and look at once. */
    filter(found) {
      show(found);
      return look().catch(error => setTextOrHide(none, error.message));
    },
    /** The lanes have changed: a list may have come or ended. */
    noticeChange(sign) {
      if (change !== null && sign !== change) lookedAt = -Infinity;
      change = sign;
    },
  };
}
