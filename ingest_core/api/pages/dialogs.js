// Dialogs that ask before something happens, and buttons whose failure is told beside them.

import { el, newId, setTextOrHide } from "./dom.js";

/** What a person does about a failure: without storage, the service's own words are meant for programs. */
function wordsFor({ kind, title, message }) {
  return ["storage", "silence"].includes(kind) ? `${title}. Try again in a moment.` : message;
}

/** Put the API's messages at the fields that they name; returns what belongs to no field. */
export function showProblem(error, fields) {
  const rest = [];
  for (const { pointer, detail } of error.errors || []) {
    const name = Object.keys(fields).find(one => pointer === one || pointer.startsWith(`${one}/`));
    if (name) fields[name].setError(detail);
    else rest.push(`${pointer} ${detail}`.trim());
  }
  if (error.errors?.length && !rest.length) return "";
  return [wordsFor(error), ...rest].join(" ");
}

/**
 * Open a dialog. `act()` runs on the confirming button; the dialog closes when it resolves, and shows why when it
 * rejects. Escape closes it, and the focus returns to where it was, or to the page if that is hidden now.
 */
export function openDialog({ title, content, confirm, dangerous = false, fields = {}, act }) {
  const titleId = newId();
  const problem = el("p", { class: "wrong", role: "alert", hidden: true });
  const go = el("button", { class: dangerous ? "danger" : "main" }, confirm);
  const back = el("button", { type: "button", on: { click: () => isBusy || dialog.close() } }, "Back");
  const form = el("form", { method: "dialog" },
    el("h2", { id: titleId }, title), ...content, problem, el("div", { class: "actions" }, go, back));
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": titleId }, form);
  let isBusy = false;
  form.addEventListener("submit", async event => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    go.setAttribute("aria-disabled", "true"); // `disabled` would take the focus away
    Object.values(fields).forEach(one => one.setError(""));
    setTextOrHide(problem, "");
    try {
      await act();
      dialog.close();
    } catch (error) {
      setTextOrHide(problem, showProblem(error, fields));
      form.querySelector("[aria-invalid]")?.focus();
    } finally {
      isBusy = false;
      go.removeAttribute("aria-disabled");
    }
  });
  dialog.addEventListener("cancel", event => {
    if (isBusy) event.preventDefault(); // whether it has worked is told here
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (document.activeElement === document.body) document.querySelector("#main").focus(); // its button is gone
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** A button that does something at once; while it does, further clicks are ignored, and a failure is shown. */
export function actionButton(words, act, kind = "small") {
  const button = el("button", { type: "button", class: kind }, words);
  const problem = el("span", { class: "wrong", role: "alert", hidden: true });
  const node = el("span", {}, button, problem);
  let isBusy = false;
  button.addEventListener("click", async () => {
    if (isBusy) return;
    isBusy = true;
    button.setAttribute("aria-disabled", "true");
    setTextOrHide(problem, "");
    try {
      await act();
    } catch (error) {
      setTextOrHide(problem, wordsFor(error));
    } finally {
      isBusy = false;
      button.removeAttribute("aria-disabled");
    }
  });
  return { node, button };
}
