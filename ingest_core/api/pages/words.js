// How numbers, times and states are put into words.

export const LANES = ["HIGH", "MEDIUM", "LOW"];
export const ENDED = ["completed", "failed", "cancelled"];

const STATUS = {
  yet_to_start: ["·", "waiting"],
  triggered: ["▸", "in progress"],
  completed: ["✓", "completed"],
  failed: ["✕", "failed"],
  cancelled: ["−", "cancelled"],
};

const numbers = new Intl.NumberFormat("en");

/** 12345 becomes "12,345". */
export const number = value => numbers.format(value);

/** "1 batch", "2 batches". */
export const some = (count, noun, nouns = `${noun}s`) => `${number(count)} ${count === 1 ? noun : nouns}`;

/** "1 batch", "2 batches". */
export const batches = count => some(count, "batch", "batches");

/** A status with a sign, so that colour is not all that tells them apart. */
export const statusWord = status => (STATUS[status] || ["?", status]).join(" ");

/** What people call a list: its label, else the first part of its ID. */
export const listName = one => one.label || `List ${one.ingestion_id.slice(0, 8)}`;

/** The same in a sentence, isolated: a label in another direction, or one that changes it, must not turn the rest. */
export const quoted = one => `“\u2068${listName(one)}\u2069”`;

/** "4 s", "12 min", "3 h", "2 days"; rounded up. */
export function duration(seconds) {
  const left = Math.max(0, seconds);
  const [size, unit] = left < 100 ? [1, "s"] : left < 6000 ? [60, "min"] : left < 172800 ? [3600, "h"] : [86400, "days"];
  return `${Math.ceil(left / size)} ${unit}`;
}

const SOON_MS = 600000;

/** A moment of the day, with the date unless it is today, and with seconds if they are wanted or it is near. */
export function moment(instant, now = Date.now(), seconds = Math.abs(Date.parse(instant) - now) < SOON_MS) {
  const at = new Date(instant);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", ...(seconds && { second: "2-digit" }) });
  if (at.toDateString() === new Date(now).toDateString()) return time;
  return `${at.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

/** A moment to the second. */
export const exactly = instant => (instant ? moment(instant, Date.now(), true) : "–");

/** "12 of 40 batches, 1 failed". */
export function progress({ batches: all, completed = 0, failed = 0, cancelled = 0 }) {
  const parts = [`${number(completed + failed)} of ${batches(all)}`];
  if (failed) parts.push(`${number(failed)} failed`);
  if (cancelled) parts.push(`${number(cancelled)} cancelled`);
  return parts.join(", ");
}

/** "next batch 14:20 at the earliest, end 16:05", or why nobody can say. */
export function forecastWords(forecast, now) {
  if (!forecast) return "no forecast while paused";
  const { starts_at: starts, ends_at: ends } = forecast;
  if (starts === ends) return `earliest start ${moment(starts, now)}`;
  return `earliest start ${moment(starts, now)}, end ${moment(ends, now)}`;
}

/** "3 lists and 411 batches ahead", "next". */
export function aheadWords(forecast) {
  if (!forecast) return "";
  const { ingestions_ahead: lists, batches_ahead: ahead } = forecast;
  if (!ahead) return "next";
  return `${lists ? `${some(lists, "list")}, ` : ""}${batches(ahead)} ahead`;
}

/** "Paused since 14:20 until 16:00: the API is being moved". */
export function pauseWords(pause, now) {
  const until = pause.until ? ` until ${moment(pause.until, now)}` : "";
  return `Paused since ${moment(pause.since, now)}${until}${pause.reason ? `: ${pause.reason}` : ""}`;
}
