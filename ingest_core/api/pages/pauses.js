// Pauses a lane with a reason and, if wanted, an end; resumes it.

import { call } from "./api.js";
import { actionButton, openDialog } from "./dialogs.js";
import { el, field, setText } from "./dom.js";

const ENDS = [["", "I resume it"], ["900", "15 minutes have passed"], ["3600", "1 hour has passed"],
  ["14400", "4 hours have passed"], ["86400", "a day has passed"], ["at", "a time that I choose"]];

const nameOf = lane => (lane === "ALL" ? "all lanes" : `lane ${lane}`);

/** An instant with this machine's offset, for `until`. */
function untilOf(choice, at, now) {
  if (!choice) return null;
  return new Date(choice === "at" ? at : now + Number(choice) * 1000).toISOString();
}

function askForPause(lane, context) {
  const reason = field("Reason", el("input", { maxlength: 200, autocomplete: "off" }), "Everybody sees it here.");
  const ends = field("Until", el("select", {}, ...ENDS.map(([value, words]) => el("option", { value }, words))));
  const at = field("Time", el("input", { type: "datetime-local" }));
  at.node.hidden = true;
  ends.input.addEventListener("change", () => {
    at.node.hidden = ends.input.value !== "at";
    at.input.required = ends.input.value === "at";
  });
  const fields = { "/reason": reason, "/until": at.node.hidden ? ends : at };
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
  const pause = el("button", { type: "button", class: "small", on: { click: () => askForPause(lane, context) } },
    `Pause ${nameOf(lane)}`);
  const resume = actionButton(`Resume ${nameOf(lane)}`, async () => {
    await call("DELETE", `/lanes/${lane}/pause`);
    await context.refresh();
  });
  const node = el("span", { class: "actions" }, pause, resume.node);
  function update(paused) {
    const hadFocus = node.contains(document.activeElement);
    setText(pause, paused ? "Change pause" : `Pause ${nameOf(lane)}`);
    resume.node.hidden = !paused;
    if (hadFocus && !paused) pause.focus();
  }
  update(null);
  return { node, update };
}
