// The page of one list: how far it is, what can be done with it, its batches and results.

import { call, read } from "./api.js";
import { bar, updateBar } from "./bar.js";
import { createBatches } from "./batches.js";
import { actionButton, openDialog } from "./dialogs.js";
import { el, facts, field, keyed, setText, setTextOrHide } from "./dom.js";
import { aheadWords, batches, ENDED, exactly, forecastWords, LANES, listName, number, progress, quoted, some, statusWord }
  from "./words.js";

const pathOf = id => `/ingestions/${encodeURIComponent(id)}`;

function askForCancel(one, context, done) {
  const { yet_to_start: waiting = 0, triggered = 0 } = one.counts;
  const reason = field("Reason", el("input", { maxlength: 200, autocomplete: "off" }), "Everybody sees it here.");
  openDialog({
    title: `Cancel ${quoted(one)}?`,
    content: [
      el("p", {}, `${batches(waiting)} will never start.${triggered ? ` What runs now (${batches(triggered)}) ends and is kept.` : ""}`
        + " Results so far stay readable, and a retry can fetch the rest later."),
      reason.node,
    ],
    confirm: "Cancel the list",
    dangerous: true,
    fields: { "/reason": reason },
    async act() {
      const text = reason.input.value.trim();
      await call("POST", `${pathOf(one.ingestion_id)}/cancel`, { json: text ? { reason: text } : {} });
      context.announce(triggered ? "The list is being cancelled." : "The list is cancelled.");
      await done();
    },
  });
}

function createActions(context, current, done) {
  const cancel = el("button", { type: "button", class: "danger", on: { click: () => askForCancel(current(), context, done) } },
    "Cancel …");
  const retry = actionButton("Retry what is missing", async () => {
    const answer = await call("POST", `${pathOf(current().ingestion_id)}/retry`);
    location.hash = `#/list/${(await answer.json()).ingestion_id}`;
  }, "main");
  const lane = field("Lane", el("select", {}, ...LANES.map(name => el("option", { value: name }, name))));
  const move = actionButton("Move", async () => {
    await call("PATCH", pathOf(current().ingestion_id), { json: { priority: lane.input.value } });
    context.announce(`The list is in lane ${lane.input.value} now.`);
    await done();
  });
  const moving = el("div", { class: "moving" }, lane.node, move.node, el("small", {}, "It goes to the back of that lane."));
  let priority = null;
  function update(one) {
    const isOpen = !ENDED.includes(one.status);
    cancel.hidden = !isOpen || Boolean(one.cancel_requested_at);
    moving.hidden = cancel.hidden;
    retry.node.hidden = isOpen || one.status === "completed" && !one.counts.failed || Boolean(one.retried_by);
    if (priority !== one.priority) lane.input.value = one.priority; // a choice that was not sent yet stays
    priority = one.priority;
  }
  return { node: el("div", { class: "list-actions" }, moving, cancel, retry.node), update };
}

const listLink = id => (id ? el("a", { href: `#/list/${id}` }, id) : null);

function factsOf(one, now) {
  const { counts, forecast } = one;
  const isOpen = !ENDED.includes(one.status);
  return [
    ["ID", el("code", {}, one.ingestion_id)],
    ["Lane", one.priority],
    ["IDs", number(counts.ids)],
    ["IDs with an error", counts.errors ? number(counts.errors) : ""],
    ["Submitted", exactly(one.created_at)],
    ["Position", isOpen && aheadWords(forecast)],
    ["Forecast", isOpen && forecastWords(forecast, now)],
    ["Ended", one.ended_at && exactly(one.ended_at)],
    ["Cancel asked for", one.cancel_requested_at && exactly(one.cancel_requested_at)],
    ["Reason", one.cancel_reason],
    ["Retry of", listLink(one.retry_of)],
    ["Retries", one.retries ? number(one.retries) : ""],
    ["Retried by", listLink(one.retried_by)],
  ];
}

/** The last eight digits of a batch's ID are its index. */
const batchNumber = flight => parseInt(flight.batch_id.slice(-8), 16) + 1;

function flightWords(flight) {
  const words = [`Batch ${number(batchNumber(flight))}`, flight.running ? "running" : "waits for another attempt",
    flight.attempts > 1 ? `attempt ${flight.attempts}` : "", `started ${exactly(flight.triggered_at)}`, flight.error || ""];
  return words.filter(Boolean).join(" · ");
}

export function createList(context, id) {
  const name = el("h2", { dir: "auto" }, "List");
  const status = el("span", { class: "status" });
  const words = el("p", { class: "progress-words" });
  const progressBar = bar();
  const details = facts();
  const flights = el("ul", { class: "flights" });
  const missing = el("p", { class: "empty", hidden: true });
  const table = createBatches(id);
  let one = null;
  let isGone = false;
  const actions = createActions(context, () => one, () => context.refresh());
  const content = el("div", { hidden: true },
    el("div", { class: "row" }, name, status), progressBar, words, actions.node, details.node, flights, table.node);
  const view = {
    title: "List",
    node: el("section", { "aria-label": "List" }, el("p", {}, el("a", { href: "#/" }, "← Board")), missing, content),
    look,
    showLanes: () => one && details.update(factsOf(one, context.now())),
  };

  function show(found) {
    const before = one?.status;
    one = found;
    view.title = `${statusWord(found.status)} ${listName(found)}`;
    setText(name, listName(found));
    setText(status, found.cancel_requested_at && !ENDED.includes(found.status) ? "− being cancelled" : statusWord(found.status));
    status.className = `status ${found.status}`;
    updateBar(progressBar, found.counts);
    setText(words, `${progress(found.counts)}, ${some(found.counts.ids, "ID")}`);
    details.update(factsOf(found, context.now()));
    keyed(flights, found.in_flight || [], {
      key: flight => flight.batch_id,
      make: () => el("li"),
      update: (node, flight) => setText(node, flightWords(flight)),
    });
    actions.update(found);
    content.hidden = false;
    missing.hidden = true;
    if (before && before !== found.status) context.announce(`The list is now ${statusWord(found.status).slice(2)}.`);
  }

  async function look() {
    if (isGone) return;
    try {
      const { value } = await read(pathOf(id));
      show(value);
      await table.look(value);
    } catch (error) {
      if (error.status !== 404) throw error;
      isGone = true;
      content.hidden = true;
      setTextOrHide(missing, `No list has the ID ${id}. It may have been deleted: ended lists are kept for a while only.`);
    }
  }

  return view;
}
