// Builds and updates elements. Text only ever becomes text, and a node lives as long as its key: so the keyboard focus
// and a selection survive every refresh.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. `on` holds listeners; an attribute that is null, undefined or false is left out. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Make an SVG element. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  for (const [name, listener] of Object.entries(on)) node.addEventListener(name, listener);
  node.append(...children.flat().filter(child => child !== null && child !== undefined));
  return node;
}

/** Set an attribute if it differs; null, undefined and false remove it. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value === true ? "" : value)) {
    node.setAttribute(name, value === true ? "" : value);
  }
}

/** Set the text if it differs. */
export function setText(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

/** Show the text, or hide the element when there is none. */
export function setTextOrHide(node, text) {
  setText(node, text || "");
  node.hidden = !text;
}

/**
 * Make the children of `parent` follow `items`: one node for each key, updated in place, moved only when the order
 * changes. `make(item)` returns a node; `update(node, item)` fills it. A node that has the focus or the selection is
 * never moved, because it would lose them: the nodes before it move instead.
 */
export function keyed(parent, items, { key, make, update }) {
  const wanted = new Set(items.map(item => String(key(item))));
  const present = new Map([...parent.children].map(node => [node.dataset.key, node]));
  for (const [name, node] of present) if (!wanted.has(name)) node.remove();
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let node = present.get(name);
    if (!node) {
      node = make(item);
      node.dataset.key = name;
    }
    update(node, item);
    if (node !== place && isInUse(node)) place = moveAway(parent, place, node);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
}

const isInUse = node => node.isConnected
  && (node.contains(document.activeElement) || node.contains(getSelection().anchorNode));

/** Move the nodes from `place` up to `node` to the end, where they get their own turn. */
function moveAway(parent, place, node) {
  while (place !== node) {
    const next = place.nextElementSibling;
    parent.append(place);
    place = next;
  }
  return node;
}

/** A definition list that `update` fills with `[term, value]` pairs; a value is text or a node. */
export function facts() {
  const list = el("dl", { class: "facts" });
  const update = pairs => keyed(list, pairs.filter(([, value]) => value), {
    key: ([term]) => term,
    make: ([term]) => el("div", {}, el("dt", {}, term), el("dd")),
    update: (node, [, value]) => {
      const shown = node.lastElementChild;
      if (!(value instanceof Node)) setText(shown, value);
      else if (shown.firstChild?.outerHTML !== value.outerHTML) shown.replaceChildren(value);
    },
  });
  return { node: list, update };
}

let names = 0;

/** A name for an element's `id`. */
export function newId() {
  names += 1;
  return `e${names}`;
}

/** A label with its input and a place for what is wrong with it. */
export function field(caption, input, hint = "") {
  input.id ||= newId();
  const error = el("p", { class: "wrong", id: `${input.id}-error`, hidden: true });
  const help = el("small", { id: `${input.id}-hint` }, hint);
  input.setAttribute("aria-describedby", `${help.id} ${error.id}`);
  const node = el("div", { class: "field" }, el("label", { for: input.id }, caption), input, help, error);
  const setError = text => {
    setTextOrHide(error, text);
    setAttribute(input, "aria-invalid", text ? "true" : null);
  };
  return { node, input, setError };
}

/** `localStorage` or `sessionStorage`, or a substitute for the life of the page where the browser's settings forbid it. */
export function storage(name) {
  try {
    return window[name];
  } catch {
    const values = new Map();
    return { getItem: key => values.get(key) ?? null, setItem: (key, value) => values.set(key, value) };
  }
}
