// A small plot of the starts that this page has seen: one bar for each gap, and a line at the interval.

import { el, setText, svg } from "./dom.js";

const KEPT = 60;
const WIDTH = 600;
const HEIGHT = 48;

const inWords = value => `${value.toFixed(value < 10 ? 2 : 0)} s`;

export function createPlot() {
  const bars = svg("g", { class: "bars" });
  const line = svg("line", { class: "interval", x1: 0, x2: WIDTH, "stroke-dasharray": "4 4" });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    bars, line);
  const words = el("figcaption", {}, "");
  const node = el("figure", { class: "plot", hidden: true }, picture, words);
  let latest = null;
  let gaps = [];
  let hasGap = false; // whether the last gap ends at the latest start

  /** The next start is no neighbour of the last one: this page looked away. */
  function interrupt() {
    latest = null;
    hasGap = false;
  }

  /** Starts before the newest one that no look has seen. A batch's own time differs from the start's a little. */
  function missed(running, newest, interval) {
    const apart = interval * 500;
    return running.map(one => Date.parse(one.since)).sort((one, other) => one - other)
      .filter(since => latest !== null && since > latest + apart && since < newest - apart);
  }

  function show({ last_start_at: last, running, interval_seconds: interval }) {
    if (!last) return;
    const newest = Date.parse(last);
    for (const start of [...missed(running, newest, interval), newest]) {
      const seconds = latest === null ? null : (start - latest) / 1000;
      if (seconds !== null && seconds < interval / 2) { // the same start: its planned time has become the exact one
        if (hasGap) gaps[gaps.length - 1] += Math.max(seconds, 0);
        latest = Math.max(latest, start);
        continue;
      }
      if (seconds !== null) gaps.push(seconds);
      hasGap = seconds !== null;
      latest = start;
    }
    gaps = gaps.slice(-KEPT);
    node.hidden = !gaps.length;
    if (gaps.length) draw(interval);
  }

  function draw(interval) {
    const most = Math.max(interval * 2, Math.min(Math.max(...gaps), interval * 4));
    const step = WIDTH / KEPT;
    bars.replaceChildren(...gaps.map((gap, at) => {
      const height = Math.max(1, Math.min(gap / most, 1) * HEIGHT);
      return svg("rect", { x: (at * step).toFixed(1), y: (HEIGHT - height).toFixed(1), width: (step - 2).toFixed(1),
        height: height.toFixed(1) });
    }));
    const level = (HEIGHT - interval / most * HEIGHT).toFixed(1);
    line.setAttribute("y1", level);
    line.setAttribute("y2", level);
    const sorted = [...gaps].sort((one, other) => one - other);
    const count = gaps.length === 1 ? "The gap" : `${gaps.length} gaps`;
    setText(words, `${count} between starts that this page saw: least ${inWords(sorted[0])}, median `
      + `${inWords(sorted[Math.floor(sorted.length / 2)])}, most ${inWords(sorted.at(-1))}; the dashed line is the `
      + `interval of ${inWords(interval)}.`);
  }

  return { node, show, interrupt };
}
