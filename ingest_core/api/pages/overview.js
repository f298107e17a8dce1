// The first page: what runs now, the three lanes in the order in which they are served, and the lists that ended.

import { el, keyed, setText, setTextOrHide } from "./dom.js";
import { pauseButton } from "./pauses.js";
import { bar, updateBar } from "./bar.js";
import { createRecent } from "./recent.js";
import { createWaiting } from "./waiting.js";
import { aheadWords, batches, duration, exactly, forecastWords, LANES, listName, moment, number, pauseWords, progress,
  quoted, some, statusWord } from "./words.js";

const MOST_SHOWN = 6; // lists in each lane

const listLink = one => el("a", { class: "name", dir: "auto", href: `#/list/${one.ingestion_id}` });

function createRunning() {
  const rows = el("ul", { class: "cards" });
  const idle = el("p", { class: "quiet" });
  const node = el("section", { "aria-labelledby": "running-title" },
    el("h2", { id: "running-title" }, "Running now"), idle, rows);
  function update(lanes) {
    setTextOrHide(idle, lanes.running.length ? "" : idleWords(lanes));
    keyed(rows, lanes.running, {
      key: one => `${one.ingestion_id}/${one.batch}`,
      make: one => el("li", { class: "card running" }, el("div", { class: "row" }, listLink(one),
        el("span", { class: `lane-name ${one.priority}` }, one.priority)), el("p", { class: "quiet" })),
      update: (row, one) => {
        setText(row.querySelector("a"), listName(one));
        setText(row.lastElementChild, `Batch ${number(one.batch)} of ${number(one.of)}, since ${exactly(one.since)}`);
      },
    });
  }
  return { node, update };
}

function idleWords({ lanes, paused, throttled }) {
  const all = LANES.map(name => lanes[name]);
  if (paused) return "Nothing starts: everything is paused.";
  if (throttled) return "Nothing starts until the throttle is over.";
  if (all.every(lane => !lane.batches)) return "Nothing: every list has ended.";
  if (all.every(lane => !lane.batches || lane.paused)) return "Nothing starts: each lane with work is paused.";
  const next = nextList(lanes);
  if (!next) return "Nothing at this moment.";
  return `Nothing at this moment. The next batch is of ${quoted(next)}, ${progress(next.counts)} so far.`;
}

/** The list whose batch is foreseen first. */
function nextList(lanes) {
  const startOf = one => Date.parse(one.forecast.starts_at);
  return LANES.flatMap(name => lanes[name].front).filter(one => one.forecast?.starts_at)
    .sort((one, other) => startOf(one) - startOf(other))[0];
}

function createCard(one) {
  return el("li", { class: "card" },
    el("div", { class: "row" }, listLink(one), el("span", { class: "status" })),
    bar(), el("p", { class: "quiet" }));
}

function updateCard(card, one, now) {
  setText(card.querySelector("a"), listName(one));
  const status = card.querySelector(".status");
  setText(status, one.cancel_requested_at ? "− being cancelled" : statusWord(one.status));
  status.className = `status ${one.status}`;
  updateBar(card.querySelector(".bar"), one.counts);
  const words = [progress(one.counts), aheadWords(one.forecast), forecastWords(one.forecast, now)];
  setText(card.lastElementChild, words.filter(Boolean).join(" · "));
}

function createLane(name, context, toLists) {
  const count = el("span", { class: "quiet" });
  const paused = el("p", { class: "notice", hidden: true });
  const cards = el("ol", { class: "cards" });
  const more = el("a", { href: `#/?status=yet_to_start&priority=${name}`, hidden: true, on: { click: toLists } });
  const button = pauseButton(name, context);
  const node = el("section", { class: "lane", "aria-labelledby": `lane-${name}` },
    el("div", { class: "row" }, el("h2", { id: `lane-${name}`, class: `lane-name ${name}` }, name), button.node),
    count, paused, cards, more);
  function update(lane, behind, now) {
    setText(count, laneWords(lane, now));
    setTextOrHide(paused, lane.paused && pauseWords(lane.paused, now));
    button.update(lane.paused);
    const front = lane.front.map(one => one.ingestion_id);
    const shown = [...lane.front, ...behind.filter(one => !front.includes(one.ingestion_id))].slice(0, MOST_SHOWN);
    keyed(cards, shown, {
      key: one => one.ingestion_id,
      make: createCard,
      update: (card, one) => updateCard(card, one, now),
    });
    const rest = lane.ingestions - shown.length;
    setTextOrHide(more, rest > 0 && `… and ${some(rest, "list")} more`);
  }
  return { node, update };
}

function laneWords(lane, now) {
  const starts = lane.new_list_starts_at && `a new list would start ${moment(lane.new_list_starts_at, now)} at the earliest`;
  if (!lane.ingestions) return ["Empty", starts].filter(Boolean).join(" · ");
  const waits = lane.oldest_at && `oldest waits ${duration((now - Date.parse(lane.oldest_at)) / 1000)}`;
  return [some(lane.ingestions, "list"), batches(lane.batches), waits, starts].filter(Boolean).join(" · ");
}

/** Changes when a list comes, moves or ends, and when another lane is paused. */
function signOf({ lanes, paused }) {
  return [paused, ...LANES.flatMap(name => [lanes[name].paused, lanes[name].ingestions,
    ...lanes[name].front.map(one => one.ingestion_id)])].map(one => one?.since || one).join();
}

function throttleWords({ throttled, trouble }, now) {
  if (throttled) return `Throttled until ${moment(throttled.until, now, true)}: ${throttled.reason}`;
  return trouble ? `The external API is in trouble: ${trouble}` : "";
}

/** What a screen reader is told when it changes. */
function stateOf({ paused, throttled, lanes }) {
  return {
    all: paused ? "Everything is paused." : "",
    throttled: throttled ? `Throttled: ${throttled.reason}` : "",
    ...Object.fromEntries(LANES.map(name => [name, lanes[name].paused ? `Lane ${name} is paused.` : ""])),
  };
}

const OVER = { all: "Nothing stops all lanes any more.", throttled: "The external API takes requests again." };

function changes(before, after) {
  return Object.keys(after).filter(name => Boolean(before[name]) !== Boolean(after[name]))
    .map(name => after[name] || OVER[name] || `Lane ${name} goes on.`);
}

export function createOverview(context, query) {
  const running = createRunning();
  const recent = createRecent(query);
  const waiting = createWaiting();
  const lanes = Object.fromEntries(LANES.map(name => [name, createLane(name, context, () => recent.node.scrollIntoView())]));
  const paused = el("p", { class: "notice", hidden: true });
  const throttled = el("p", { class: "notice", hidden: true });
  const empty = el("p", { class: "empty", hidden: true }, "Nothing waits. ", el("a", { href: "#/new" }, "Submit a list of IDs"),
    ", or send one with ", el("a", { href: "/docs#operation-ingest" }, "POST /ingest"), ".");
  const all = pauseButton("ALL", context);
  let state = null;

  function showLanes(found) {
    const now = context.now();
    setTextOrHide(paused, found.paused && `All lanes: ${pauseWords(found.paused, now)}`);
    setTextOrHide(throttled, throttleWords(found, now));
    all.update(found.paused);
    running.update(found);
    for (const name of LANES) lanes[name].update(found.lanes[name], waiting.behind(name), now);
    empty.hidden = found.running.length > 0 || LANES.some(name => found.lanes[name].ingestions > 0);
    const sign = signOf(found);
    recent.noticeChange(sign);
    waiting.notice(found, sign);
    const next = stateOf(found);
    const told = state ? changes(state, next).join(" ") : "";
    if (told) context.announce(told);
    state = next;
  }

  return {
    title: "Board",
    node: el("div", {}, paused, throttled, empty,
      running.node,
      el("div", { class: "row" }, el("h2", {}, "Lanes"), all.node),
      el("div", { class: "lanes" }, ...LANES.map(name => lanes[name].node)),
      recent.node),
    showLanes,
    look: () => Promise.all([recent.look(), waiting.look()]),
    filter: found => recent.filter(found),
  };
}
