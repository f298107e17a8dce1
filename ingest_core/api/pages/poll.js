// Asks the service again and again: just after the next slot, never in a hidden tab, slower when it does not answer.

const AFTER_SLOT_MS = 150; // a batch's start is written shortly after the slot
const SHORTEST_MS = 1000;
const LONGEST_MS = 15000;
const LONGEST_BACK_OFF_MS = 30000;

/**
 * Call `look()` in turns. It resolves to the milliseconds until the next change; if it rejects, `failed(error)` is told
 * and the pauses grow from 1 s to 30 s.
 */
export class Poller {
  #look;
  #failed;
  #timer = null;
  #failures = 0;
  #running = null;
  #live = true;

  constructor({ look, failed }) {
    this.#look = look;
    this.#failed = failed;
    document.addEventListener("visibilitychange", () => this.#resume());
    window.addEventListener("online", () => this.#resume());
  }

  /** Whether it polls by itself. */
  get live() {
    return this.#live;
  }

  /** Turn polling on or off; `now()` works in both cases. */
  set live(on) {
    this.#live = on;
    this.#resume();
  }

  /** Look at once; resolves when the look is over. A look that is under way is followed by another one. */
  async now() {
    clearTimeout(this.#timer);
    while (this.#running) await this.#running;
    this.#running = this.#once();
    await this.#running;
  }

  async #once() {
    clearTimeout(this.#timer);
    let pause;
    try {
      const until = await this.#look();
      this.#failures = 0;
      pause = Math.min(Math.max(until + AFTER_SLOT_MS, SHORTEST_MS), LONGEST_MS);
    } catch (error) {
      this.#failed(error);
      pause = Math.min(1000 * 2 ** this.#failures, LONGEST_BACK_OFF_MS);
      this.#failures += 1;
    }
    this.#running = null;
    clearTimeout(this.#timer);
    if (this.#live && !document.hidden) this.#timer = setTimeout(() => this.now(), pause);
  }

  #resume() {
    clearTimeout(this.#timer);
    if (this.#live && !document.hidden) this.now();
  }
}
