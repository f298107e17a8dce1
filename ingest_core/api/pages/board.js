// The board: one poller, one page at a time, chosen by the address's fragment.

import { read } from "./api.js";
import { storage } from "./dom.js";
import { createList } from "./list.js";
import { createOverview } from "./overview.js";
import { Pace } from "./pace.js";
import { Poller } from "./poll.js";
import { createSubmit } from "./submit.js";
import { createTrouble } from "./trouble.js";

const main = document.querySelector("#main");
const announcement = document.querySelector("#announcement");
const LIVE = "ingest-live";
const choices = storage("localStorage");
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What every page may use. */
const context = {
  lanes: null,
  announce(text) {
    // A text that is said again is new to a screen reader only if it changes.
    announcement.textContent = announcement.textContent === text ? `${text}\u00a0` : text;
  },
  refresh: () => poller.now(),
  now: () => pace.now(),
};

const pace = new Pace(document.querySelector("#pace"), {
  toggleLive() {
    poller.live = !poller.live;
    choices.setItem(LIVE, poller.live ? "on" : "off");
    pace.showLive(poller.live);
    context.announce(poller.live ? "Live updates are on." : "Live updates are off.");
  },
});
const trouble = createTrouble({ announce: context.announce, main });

let view = null;
let draft = null; // a new list that was not submitted yet survives a look at the board

function route() {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const [, kind, argument = ""] = path.split("/");
  if (kind === "list") return createList(context, argument);
  if (kind === "new") return draft ||= createSubmit(context, { submitted: () => { draft = null; } });
  return createOverview(context, new URLSearchParams(query));
}

function address() {
  const [path] = location.hash.replace(/^#/, "").split("?");
  return path || "/";
}

let shown = null;

function show() {
  const here = address();
  if (here === shown && view.filter) { // only the filters changed
    view.filter(new URLSearchParams(location.hash.split("?")[1]));
    return;
  }
  const isFirst = shown === null;
  shown = here;
  view = route();
  main.replaceChildren(view.node);
  main.setAttribute("aria-busy", "true");
  document.title = `${view.title} · Ingestion service`;
  if (!isFirst) main.focus();
  if (context.lanes) view.showLanes?.(context.lanes);
  poller.now();
}

async function look() {
  const current = view;
  const [{ value: lanes, at }] = await Promise.all([read("/lanes"), current.look?.()]);
  context.lanes = lanes;
  pace.show(lanes, at);
  trouble.over(at);
  if (current === view) {
    view.showLanes?.(lanes);
    main.setAttribute("aria-busy", "false");
    document.title = `${view.title} · Ingestion service`;
  }
  return pace.untilNextChange();
}

const poller = new Poller({
  look,
  failed(error) {
    main.setAttribute("aria-busy", "false");
    trouble.show(error);
    pace.showStale();
  },
});

document.querySelector("#search").addEventListener("submit", event => {
  event.preventDefault();
  const input = event.target.querySelector("input");
  const id = input.value.trim().toLowerCase();
  input.setCustomValidity(UUID.test(id) ? "" : "Give a whole ID, such as 2950cdc2-dbd8-4a2f-a260-88583d68926e.");
  if (!input.reportValidity()) return;
  input.value = "";
  location.hash = `#/list/${id}`;
});
document.querySelector("#search-id").addEventListener("input", event => event.target.setCustomValidity(""));
document.querySelector(".skip").addEventListener("click", event => {
  event.preventDefault(); // its fragment would be taken for a page
  main.focus();
});
for (const name of ["dragover", "drop"]) {
  window.addEventListener(name, event => { // a file that misses its place would replace the page
    if (event.dataTransfer.types.includes("Files")) event.preventDefault();
  });
}
window.addEventListener("hashchange", show);

if (choices.getItem(LIVE) === "off") poller.live = false;
pace.showLive(poller.live);
show();
