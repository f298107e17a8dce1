// A list's progress as a bar of four parts, and in words for those who do not see it.

import { el, setAttribute } from "./dom.js";
import { progress } from "./words.js";

const PARTS = ["completed", "failed", "triggered", "cancelled"];

export function bar() {
  return el("div", { class: "bar", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0 },
    ...PARTS.map(part => el("i", { class: part })));
}

/** Show counts of batches. */
export function updateBar(node, counts) {
  PARTS.forEach((part, at) => {
    node.children[at].style.width = `${(counts[part] || 0) / (counts.batches || 1) * 100}%`;
  });
  setAttribute(node, "aria-valuemax", counts.batches || 0);
  setAttribute(node, "aria-valuenow", (counts.completed || 0) + (counts.failed || 0) + (counts.cancelled || 0));
  setAttribute(node, "aria-valuetext", progress(counts));
}
