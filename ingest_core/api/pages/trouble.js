// Says in words for people why nothing can be seen, and greys what is no longer fresh.

import { setText } from "./dom.js";
import { duration } from "./words.js";

const STORAGE = "The service answers, but its storage cannot be reached. Lists that were accepted are safe, and work "
  + "goes on by itself once storage is back.";
const SILENCE = "The service does not answer. It may be restarting, or this device is offline.";

const wordsOf = ({ kind, title, detail, message }) => {
  if (kind === "storage") return STORAGE;
  if (kind === "silence") return SILENCE;
  return kind === "problem" ? `${title}.${detail ? ` ${detail}` : ""}` : `This page has failed: ${message}`;
};

export function createTrouble({ announce, main }) {
  const alert = document.querySelector("#alert");
  const age = document.querySelector("#age");
  let seen = null;
  let isTroubled = false;

  function draw() {
    if (!isTroubled || seen === null || document.hidden) return;
    setText(age, `Last seen ${duration((performance.now() - seen) / 1000)} ago. What is shown below may be out of date.`);
    age.hidden = false;
  }

  setInterval(draw, 1000);

  return {
    /** A look has failed. */
    show(error) {
      isTroubled = true;
      setText(alert, wordsOf(error));
      alert.hidden = false;
      main.classList.toggle("stale", seen !== null);
      draw();
    },
    /** A look has succeeded; its answer came at this time of `performance.now()`. */
    over(at) {
      seen = at;
      if (!isTroubled) return;
      isTroubled = false;
      alert.hidden = true;
      age.hidden = true;
      setText(alert, "");
      main.classList.remove("stale");
      announce("The service answers again.");
    },
  };
}
