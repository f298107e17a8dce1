// The form for a new list: typed, pasted or dropped IDs, checked while they are still here.

import { call, LONG_PATIENCE_MS, newKey } from "./api.js";
import { showProblem } from "./dialogs.js";
import { el, field, keyed, setText, setTextOrHide } from "./dom.js";
import { createSource } from "./source.js";
import { parseIds, withoutDuplicates } from "./ids.js";
import { LANES, moment, number, some } from "./words.js";

const MOST_SHOWN = 8;
const CHECK_AFTER_MS = 200;

const check = (words, on) => {
  const input = el("input", { type: "checkbox", on: { change: on } });
  const text = el("span", {}, words);
  return { node: el("label", { class: "check", hidden: true }, input, " ", text), input, text };
};

function createLanes() {
  const error = el("p", { class: "wrong", hidden: true });
  const rows = LANES.map(name => el("label", { class: "choice" },
    el("input", { type: "radio", name: "priority", value: name, required: true, checked: name === "MEDIUM" }),
    el("span", { class: `lane-name ${name}` }, name), el("small")));
  const node = el("fieldset", {}, el("legend", {}, "Lane"), ...rows, error);
  return {
    node,
    get value() {
      return node.querySelector("input:checked")?.value;
    },
    setError: text => setTextOrHide(error, text),
    update(lanes, now) {
      LANES.forEach((name, at) => {
        const { new_list_starts_at: starts, paused } = lanes[name];
        setText(rows[at].lastElementChild, starts ? `starts ${moment(starts, now)} at the earliest` : paused ? "paused" : "");
      });
    },
  };
}

function createReview(changed) {
  const counts = el("p", { class: "counts" }, "No IDs yet.");
  const wrong = el("ul", { class: "wrong-lines" });
  const note = el("p", { class: "quiet", hidden: true });
  const dropWrong = check("", changed);
  const dropDuplicates = check("", changed);
  const node = el("div", { class: "review", "aria-live": "off" }, counts, note, wrong, dropWrong.node, dropDuplicates.node);
  function update(found) {
    const kept = dropDuplicates.input.checked ? withoutDuplicates(found) : found;
    setText(counts, found.ids.length || found.wrong.length ? some(kept.ids.length, "ID") : "No IDs yet.");
    setTextOrHide(note, found.note);
    const lines = found.wrong.slice(0, MOST_SHOWN).map(({ line, problem }) => `${found.noun} ${number(line)}: ${problem}`);
    if (found.wrong.length > MOST_SHOWN) lines.push(`and ${number(found.wrong.length - MOST_SHOWN)} more`);
    keyed(wrong, lines, { key: line => line, make: line => el("li", {}, line), update() {} });
    dropWrong.node.hidden = !found.wrong.length;
    setText(dropWrong.text, `Leave out ${some(found.wrong.length, "wrong line")}`);
    dropDuplicates.node.hidden = !found.duplicates;
    setText(dropDuplicates.text, `Leave out ${some(found.duplicates, "duplicate")} (each costs a call of the external API)`);
    return kept;
  }
  return { node, update, isLeavingOutWrong: () => dropWrong.input.checked };
}

function mistakeIn(ids, found, review) {
  if (found.wrong.length && !review.isLeavingOutWrong()) return "Correct the wrong lines, or leave them out.";
  if (!ids.length) return "Give at least one ID.";
  return "";
}

export function createSubmit(context, { submitted }) {
  const ids = createSource({
    changed: () => update(),
    named: name => { label.input.value ||= name.slice(0, 100); },
  });
  const label = field("Label", el("input", { maxlength: 100, autocomplete: "off" }), "What people call this list. May be left out.");
  const lanes = createLanes();
  const review = createReview(() => update());
  const problem = el("p", { class: "wrong", role: "alert", hidden: true });
  const send = el("button", { class: "main" }, "Submit");
  const form = el("form", { novalidate: true, on: { submit: onSubmit } },
    el("h2", {}, "New list"), ids.node, review.node, lanes.node, label.node, problem,
    el("div", { class: "actions" }, send));
  let found = parseIds("");
  let kept = found;
  let timer = null;
  let isSending = false;
  let sent = { body: null, key: null }; // the same list keeps its key, so that it is accepted once

  function update() {
    clearTimeout(timer);
    timer = null;
    found = parseIds(ids.text);
    kept = review.update(found);
    ids.setError("");
  }

  ids.area.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(update, CHECK_AFTER_MS);
  });
  async function onSubmit(event) {
    event.preventDefault();
    if (isSending) return;
    if (timer) update();
    [ids, label, lanes].forEach(one => one.setError(""));
    setTextOrHide(problem, "");
    const mistake = mistakeIn(kept.ids, found, review);
    if (mistake) {
      ids.setError(mistake);
      ids.focus();
      return;
    }
    isSending = true;
    send.setAttribute("aria-disabled", "true");
    try {
      await post();
    } catch (error) {
      showError(error);
    } finally {
      isSending = false;
      send.removeAttribute("aria-disabled");
    }
  }

  async function post() {
    const json = { ids: kept.ids, priority: lanes.value, ...(label.input.value.trim() && { label: label.input.value.trim() }) };
    const body = JSON.stringify(json);
    if (sent.body !== body) sent = { body, key: newKey() };
    const headers = { "Idempotency-Key": sent.key };
    const answer = await call("POST", "/ingest", { json, headers, patience: LONG_PATIENCE_MS });
    const { ingestion_id: id } = await answer.json();
    submitted();
    context.announce(`${some(json.ids.length, "ID")} submitted.`);
    location.hash = `#/list/${id}`;
  }

  function showError(error) {
    const errors = (error.errors || []).map(({ pointer, detail }) => {
      const at = /^\/ids\/(\d+)/.exec(pointer)?.[1];
      return { pointer, detail: at === undefined ? detail : `${found.noun} ${number(kept.lines[at])}: ${detail}` };
    });
    const rest = showProblem({ ...error, message: error.message, errors }, { "/ids": ids, "/label": label, "/priority": lanes });
    const again = `${error.title}. The list may have been accepted all the same: submit it again, and it is counted once.`;
    setTextOrHide(problem, ["storage", "silence"].includes(error.kind) ? again : rest);
    form.querySelector("[aria-invalid]")?.focus();
  }

  return {
    title: "New list",
    node: form,
    showLanes: found => lanes.update(found.lanes, context.now()),
  };
}
