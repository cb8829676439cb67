// One field to narrow by: values to tick, a switch, or a range.

import { h } from "../dom.js";
import { chosenRange, chosenValues, rangeOf, withField, withValue } from "../facets.js";
import { shownHits } from "../state.js";
import { formatPrice, text } from "../text.js";
import { count as tally } from "../text/numbers.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../actions.js").Actions} Actions */
/** @typedef {import("../api.js").Facet} Facet */
/** @typedef {import("../facets.js").Value} Value */
/** @typedef {import("../store.js").Store<State>} Store */
/** @typedef {{node: HTMLElement, show: (facet: Facet | undefined) => void}} Part */

/** Values that are shown before all are asked for. */
const FEW = 6;

/**
 * @param {string} field
 * @param {Store} store
 * @param {Actions} actions
 * @returns {Part}
 */
export function facetPart(field, store, actions) {
  if (field === "in_stock") return stockPart(store, actions);
  return field === "price" ? rangePart(field, store, actions) : valuesPart(field, store, actions);
}

/**
 * The values of a field, the most frequent first.
 *
 * @param {string} field
 * @param {Store} store
 * @param {Actions} actions
 * @returns {Part}
 */
function valuesPart(field, store, actions) {
  /** @type {Map<Value, {node: HTMLElement, input: HTMLInputElement, count: HTMLElement}>} */
  const rows = new Map();
  const list = h("ul");
  const more = h("button", { type: "button", class: "inline" });
  const node = h("fieldset", { class: "facet", "data-field": field }, h("legend", {}, nameOf(field)), list, more);
  let all = false;

  function rowOf(/** @type {Value} */ value) {
    const known = rows.get(value);
    if (known) return known;
    const input = tick((on) => actions.narrow(withValue(store.get().query.filter, field, value, on)));
    const count = h("small");
    const row = { node: h("li", {}, h("label", {}, input, h("span", {}, said(value)), " ", count)), input, count };
    rows.set(value, row);
    return row;
  }
  function show(/** @type {Facet | undefined} */ facet) {
    const chosen = chosenValues(store.get().query.filter, field);
    const counted = facet?.values ?? [];
    const unseen = chosen.filter((value) => !counted.some((entry) => entry.value === value));
    const entries = [...counted, ...unseen.map((value) => ({ value, count: 0 }))];
    const shown = entries.filter(({ value }, n) => all || n < FEW || chosen.includes(value));
    const nodes = shown.map(({ value, count }) => {
      const row = rowOf(value);
      row.input.checked = chosen.includes(value);
      row.count.textContent = tally.format(count);
      return row.node;
    });
    fill(list, nodes);
    const distinct = Math.max(facet?.distinct ?? 0, entries.length);
    more.hidden = distinct <= FEW;
    more.setAttribute("aria-expanded", `${all}`);
    more.textContent = all ? text.showFewer : text.showAll(distinct);
  }
  more.addEventListener("click", () => {
    all = !all;
    const { counts, whole } = store.get();
    show(counts[field]);
    if (all && !whole.includes(field) && counts[field]?.distinct > counts[field]?.values.length) actions.countAll(field);
  });
  return { node, show };
}

/**
 * @param {Store} store
 * @param {Actions} actions
 * @returns {Part}
 */
function stockPart(store, actions) {
  const input = tick((on) => actions.narrow(withValue(store.get().query.filter, "in_stock", true, on)));
  input.setAttribute("role", "switch");
  const count = h("small");
  return {
    node: h("label", { class: "facet switch" }, h("span", {}, text.inStockOnly), " ", count, input),
    show(facet) {
      input.checked = chosenValues(store.get().query.filter, "in_stock").includes(true);
      count.textContent = tally.format(facet?.values.find(({ value }) => value === true)?.count ?? 0);
    },
  };
}

/**
 * From and to, by two thumbs on one line or by two numbers.
 *
 * @param {string} field
 * @param {Store} store
 * @param {Actions} actions
 * @returns {Part}
 */
function rangePart(field, store, actions) {
  const labels = [text.lowest, text.highest];
  const thumbs = labels.map((label) => numberInput("range", label));
  const boxes = labels.map((label) => numberInput("number", label));
  let limits = [0, 0];

  function ask() {
    const { gte, lte } = rangeOf(boxes[0].value, boxes[1].value);
    const [from, to] = gte !== undefined && lte !== undefined && gte > lte ? [lte, gte] : [gte, lte];
    const wanted = {
      ...(from !== undefined && from > limits[0] ? { gte: from } : {}),
      ...(to !== undefined && to < limits[1] ? { lte: to } : {}),
    };
    const { filter } = store.get().query;
    if (JSON.stringify(wanted) === JSON.stringify(chosenRange(filter, field))) show(store.get().counts[field]);
    else actions.narrow(withField(filter, field, wanted));
  }
  function slide(/** @type {number} */ n) {
    const values = thumbs.map((thumb) => thumb.valueAsNumber);
    if (values[0] > values[1]) thumbs[1 - n].value = `${values[n]}`; // the thumb that is moved takes the other along
    thumbs.forEach((thumb, end) => (boxes[end].value = thumb.value));
    speak();
  }
  function speak() {
    for (const thumb of thumbs) thumb.setAttribute("aria-valuetext", priced(thumb.valueAsNumber, store.get()));
  }
  function show(/** @type {Facet | undefined} */ facet) {
    const { gte, lte } = chosenRange(store.get().query.filter, field);
    if (facet?.statistics) limits = [Math.floor(facet.statistics.min), Math.ceil(facet.statistics.max)];
    const [min, max] = [Math.min(limits[0], gte ?? limits[0]), Math.max(limits[1], lte ?? limits[1])];
    [gte, lte].forEach((wanted, n) => {
      Object.assign(thumbs[n], { min: `${min}`, max: `${max}`, value: `${wanted ?? [min, max][n]}` });
      boxes[n].placeholder = `${limits[n]}`;
      boxes[n].value = wanted === undefined ? "" : `${wanted}`;
    });
    speak();
  }
  thumbs.forEach((thumb, n) => thumb.addEventListener("input", () => slide(n)));
  for (const input of [...thumbs, ...boxes]) input.addEventListener("change", ask);
  const node = h(
    "fieldset",
    { class: "facet", "data-field": field },
    h("legend", {}, nameOf(field)),
    h("div", { class: "thumbs" }, thumbs),
    h("div", { class: "from-to" }, boxes[0], h("span", { "aria-hidden": "true" }, "–"), boxes[1]),
  );
  return { node, show };
}

/**
 * Make `parent` hold `nodes`. Nothing moves where nothing changed, and the focus stays where it was.
 *
 * @param {HTMLElement} parent
 * @param {HTMLElement[]} nodes
 */
export function fill(parent, nodes) {
  if (nodes.length === parent.childElementCount && nodes.every((node, n) => parent.children[n] === node)) return;
  const focused = document.activeElement;
  parent.replaceChildren(...nodes);
  if (focused instanceof HTMLElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

/** @param {(on: boolean) => void} act */
function tick(act) {
  const input = document.createElement("input");
  input.type = "checkbox";
  input.addEventListener("change", () => act(input.checked));
  return input;
}

/**
 * @param {"number" | "range"} type
 * @param {string} label
 */
function numberInput(type, label) {
  const input = document.createElement("input");
  Object.assign(input, { type, inputMode: "decimal", step: type === "range" ? "1" : "any", min: "0" });
  input.setAttribute("aria-label", label);
  return input;
}

/** @param {Value} value */
export function said(value) {
  if (typeof value === "string") return value;
  return value ? text.yes : text.no;
}

/** @param {string} field */
export function nameOf(field) {
  return text.group(field.replace(/^attributes\./, ""));
}

/**
 * @param {number} price
 * @param {State} state whose products may all have one currency
 */
export function priced(price, state) {
  const currencies = new Set(shownHits(state).map(({ product }) => product.currency));
  const [currency] = currencies.size === 1 ? currencies : [null];
  return formatPrice({ price, currency }) ?? "";
}
