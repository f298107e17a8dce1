// The strip at the top: when the next slot is, on the service's clock, and the starts that this page has seen.

import { el, setText } from "./dom.js";
import { createPlot } from "./plot.js";
import { duration, exactly } from "./words.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Pace {
  #lanes = null;
  #offset = 0; // the service's clock minus performance.now()
  #plot = createPlot();
  #words = el("span", { class: "countdown" }, "…");
  #last = el("span", { class: "quiet" });
  #bar = el("i");
  #live;
  #isStale = false;

  constructor(parent, { toggleLive }) {
    this.#live = el("button", { type: "button", class: "small", on: { click: toggleLive } }, "Stop live updates");
    parent.append(
      el("div", { class: "pace" },
        el("div", {}, el("span", { role: "timer", "aria-live": "off" }, this.#words), " ", this.#last),
        this.#live),
      el("div", { class: "slot", "aria-hidden": "true" }, this.#bar),
      this.#plot.node,
    );
    setInterval(() => this.#draw(), 250);
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.#plot.interrupt(); });
  }

  /** The service's present time in milliseconds. */
  now() {
    return this.#offset + performance.now();
  }

  /** Take over an answer of `GET /lanes` that came at this time of `performance.now()`. */
  show(lanes, at) {
    this.#lanes = lanes;
    this.#isStale = false;
    this.#offset = Date.parse(lanes.now) - at;
    this.#plot.show(lanes);
    if (!this.#waiting()) this.#plot.interrupt(); // a gap while nothing waits says nothing of the pace
    setText(this.#last, this.#lastWords(lanes));
    this.#draw();
  }

  /** Nothing is known of the present: a countdown would look alive. */
  showStale() {
    this.#isStale = true;
    this.#plot.interrupt();
    this.#draw();
  }

  showLive(on) {
    setText(this.#live, on ? "Stop live updates" : "Resume live updates");
    if (!on) this.#plot.interrupt();
  }

  /** Milliseconds until something may change: until the next slot, and at most an interval. */
  untilNextChange() {
    const { next_slot_at: slot, interval_seconds: interval } = this.#lanes;
    const left = Date.parse(slot) - this.now();
    return left > 0 ? Math.min(left, interval * 1000) : interval * 1000;
  }

  #waiting() {
    return Object.values(this.#lanes.lanes).some(lane => lane.batches > 0);
  }

  #lastWords({ interval_seconds: interval, last_start_at: last }) {
    const pace = `One batch per ${Number(interval.toFixed(2))} s`;
    return last ? `${pace}; last start ${exactly(last)}` : `${pace}; nothing has started yet`;
  }

  #draw() {
    if (this.#isStale) {
      setText(this.#words, "What follows is not up to date.");
      this.#bar.style.transform = "scaleX(0)";
    }
    if (!this.#lanes || this.#isStale || document.hidden) return;
    const { next_slot_at: slot, throttled, interval_seconds: interval, paused, last_start_at: last } = this.#lanes;
    const until = Date.parse(throttled?.until || slot || 0);
    const left = Math.max(0, (until - this.now()) / 1000);
    const span = throttled && last ? Math.max((until - Date.parse(last)) / 1000, 0.1) : interval;
    setText(this.#words, this.#countdown({ left, throttled, paused }));
    const done = Math.min(Math.max(1 - left / span, 0), 1);
    const part = calm.matches ? Math.round(done * 4) / 4 : done;
    this.#bar.style.transform = `scaleX(${paused ? 0 : part})`;
    this.#bar.classList.toggle("throttled", Boolean(throttled));
  }

  #countdown({ left, throttled, paused }) {
    if (paused) return "Everything is paused.";
    if (throttled && left > 0) return `Throttled: goes on in ${duration(left)}.`;
    if (left > 0) return `Next slot in ${duration(left)}.`;
    return this.#waiting() ? "A slot is free now." : "A slot is free: nothing waits.";
  }
}
