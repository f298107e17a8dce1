// Pauses a lane with a reason and, if wanted, an end; resumes it.

import { call } from "./api.js";
import { actionButton, openDialog } from "./dialogs.js";
import { el, field, setAttribute, setText } from "./dom.js";

const ENDS = [["", "I resume it"], ["900", "15 minutes have passed"], ["3600", "1 hour has passed"],
  ["14400", "4 hours have passed"], ["86400", "a day has passed"], ["at", "a time that I choose"]];

const nameOf = lane => (lane === "ALL" ? "all lanes" : `lane ${lane}`);

/** An instant with this machine's offset, for `until`. */
function untilOf(choice, at, now) {
  if (!choice) return null;
  return new Date(choice === "at" ? at : now + Number(choice) * 1000).toISOString();
}

/** An instant as an input of type `datetime-local` has it. */
function localTime(instant) {
  const at = new Date(instant);
  return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

function askForPause(lane, present, context) {
  const reason = field("Reason", el("input", { maxlength: 200, autocomplete: "off" }), "Everybody sees it here.");
  const ends = field("Until", el("select", {}, ...ENDS.map(([value, words]) => el("option", { value }, words))));
  const at = field("Time", el("input", { type: "datetime-local" }), "On this device's clock.");
  function chooseEnd() {
    at.node.hidden = ends.input.value !== "at";
    at.input.required = !at.node.hidden;
  }
  ends.input.addEventListener("change", chooseEnd);
  reason.input.value = present?.reason || "";
  if (present?.until) {
    ends.input.value = "at";
    at.input.value = localTime(present.until);
  }
  chooseEnd();
  const fields = { "/reason": reason, "/until": at };
  openDialog({
    title: `Pause ${nameOf(lane)}`,
    content: [el("p", {}, lane === "ALL"
      ? "No further batch starts. Lists are still accepted, and what runs now ends."
      : "The lane is skipped: lower lanes go on. Lists are still accepted, and what runs now ends."),
    reason.node, ends.node, at.node],
    confirm: `Pause ${nameOf(lane)}`,
    fields,
    async act() {
      const until = untilOf(ends.input.value, at.input.value, context.now());
      const json = { ...(reason.input.value.trim() && { reason: reason.input.value.trim() }), ...(until && { until }) };
      await call("PUT", `/lanes/${lane}/pause`, { json });
      await context.refresh();
    },
  });
}

/** The button that pauses or resumes a lane; `update(pause)` chooses which. */
export function pauseButton(lane, context) {
  let present = null;
  const pause = el("button", { type: "button", class: "small", on: { click: () => askForPause(lane, present, context) } });
  const resume = actionButton(`Resume ${nameOf(lane)}`, async () => {
    await call("DELETE", `/lanes/${lane}/pause`);
    await context.refresh();
  });
  const node = el("span", { class: "actions" }, pause, resume.node);
  function update(paused) {
    const hadFocus = node.contains(document.activeElement);
    present = paused;
    setText(pause, paused ? "Change pause" : `Pause ${nameOf(lane)}`);
    setAttribute(pause, "aria-label", paused && `Change pause of ${nameOf(lane)}`);
    resume.node.hidden = !paused;
    if (hadFocus && !paused) pause.focus();
  }
  update(null);
  return { node, update };
}
