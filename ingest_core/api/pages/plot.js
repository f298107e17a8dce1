// A small plot of the starts that this page has seen: one bar for each gap, and a line at the interval.

import { el, setText, svg } from "./dom.js";

const KEPT = 60;
const WIDTH = 600;
const HEIGHT = 48;

const seconds = value => `${value.toFixed(value < 10 ? 2 : 0)} s`;

export function createPlot() {
  const bars = svg("g", { class: "bars" });
  const line = svg("line", { class: "interval", x1: 0, x2: WIDTH, "stroke-dasharray": "4 4" });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    bars, line);
  const words = el("figcaption", {}, "");
  const node = el("figure", { class: "plot", hidden: true }, picture, words);
  let latest = null;
  let gaps = [];

  /** The next start is no neighbour of the last one: this page looked away. */
  function interrupt() {
    latest = null;
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
      if (start <= latest) continue;
      if (latest !== null) gaps.push((start - latest) / 1000);
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
    setText(words, `${count} between starts that this page saw: least ${seconds(sorted[0])}, median `
      + `${seconds(sorted[Math.floor(sorted.length / 2)])}, most ${seconds(sorted.at(-1))}; the dashed line is the `
      + `interval of ${seconds(interval)}.`);
  }

  return { node, show, interrupt };
}
