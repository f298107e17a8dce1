// The lists behind the front of each lane: `GET /lanes` shows a lane down to the first list that was never started.

import { read } from "./api.js";

const EVERY_MS = 5000;
const MOST = 100; // with more than this, the page only counts them
const PATH = `/ingestions?status=yet_to_start,triggered&limit=${MOST}`;

export function createWaiting() {
  let found = [];
  let isNeeded = false;
  let lookedAt = -Infinity;
  let change = null;

  return {
    /** What waits in this lane, in its order. */
    behind: lane => found.filter(one => one.priority === lane),
    /** Take a look at the lanes over: only what is not shown there is asked for. */
    notice({ lanes }, sign) {
      const open = Object.values(lanes);
      isNeeded = open.some(lane => lane.ingestions > lane.front.length)
        && open.reduce((sum, lane) => sum + lane.ingestions, 0) <= MOST;
      if (!isNeeded) found = [];
      if (sign !== change) lookedAt = -Infinity;
      change = sign;
    },
    async look() {
      if (!isNeeded || performance.now() - lookedAt < EVERY_MS) return;
      const { value } = await read(PATH);
      lookedAt = performance.now();
      found = value.ingestions.toSorted((one, other) => placeOf(one) - placeOf(other)
        || Date.parse(one.created_at) - Date.parse(other.created_at));
    },
  };
}

const placeOf = one => one.forecast?.ingestions_ahead ?? Infinity;
