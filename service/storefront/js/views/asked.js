// What is searched for beyond the words in the box: the picture or product, its weight, the names read out of
// the words.

import { byId, h, icon } from "../dom.js";
import { drawPreview } from "../picture.js";
import { isMixed } from "../state.js";
import { text } from "../text.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../actions.js").Actions} Actions */

const THUMBNAIL_PX = 96;
/** The slider's ends stay short of 0 and 100, where one side would not be searched for at all. */
const LEAST = 5;

/**
 * @param {import("../store.js").Store<State>} store
 * @param {Actions} actions
 */
export function showAsked(store, actions) {
  const section = byId("asked", HTMLElement);
  const places = { reference: h("div"), slider: h("div"), chips: h("div") };
  section.append(places.reference, places.slider, places.chips);

  function showReference() {
    const { query, products } = store.get();
    places.reference.replaceChildren(...(query.reference ? [token(query.reference, products, actions)] : []));
  }
  function showSlider() {
    const { query } = store.get();
    places.slider.replaceChildren(...(isMixed(query) ? [slider(query, actions)] : []));
  }
  function showChips() {
    places.chips.replaceChildren(...chips(store.get(), actions));
  }
  function hideIfEmpty() {
    section.hidden = !section.querySelector(".token, .weight, .chips");
  }

  const draw = (/** @type {() => void} */ part) => () => {
    part();
    hideIfEmpty();
  };
  store.watch((state) => state.query.reference, draw(showReference));
  store.watch((state) => referencedProduct(state), draw(showReference));
  store.watch((state) => isMixed(state.query) && state.query.reference, draw(showSlider));
  store.watch((state) => state.answer, draw(showChips));
  store.watch((state) => state.query.dropped, draw(showChips));
  [showReference, showSlider, showChips, hideIfEmpty].forEach((part) => part());
}

/** @param {State} state The product searched like, once it is known. */
function referencedProduct({ query: { reference }, products }) {
  return reference?.kind === "product" ? products[reference.id] : undefined;
}

/**
 * @param {import("../state.js").Reference} reference
 * @param {State["products"]} products
 * @param {Actions} actions
 */
function token(reference, products, actions) {
  const isPicture = reference.kind === "picture";
  const product = isPicture ? null : products[reference.id];
  const name = isPicture ? text.yourPicture : (product?.title ?? text.thisProduct);
  const label = isPicture ? text.removePicture : text.removeProduct;
  return h(
    "div",
    { class: "token" },
    isPicture ? preview(reference) : thumbnail(product?.images?.[0]),
    h("span", { class: "token-name" }, h("small", {}, isPicture ? text.picture : text.moreLikeThis), name),
    h("button", { class: "ghost", type: "button", "aria-label": label, onclick: actions.removeReference }, icon("close")),
  );
}

/** @param {import("../state.js").PictureReference} picture */
function preview({ preview: bitmap }) {
  if (!bitmap) return thumbnail(undefined);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = THUMBNAIL_PX;
  canvas.className = "token-picture";
  drawPreview(canvas, bitmap);
  return canvas;
}

/** @param {string | undefined} src */
function thumbnail(src) {
  if (!src) return h("span", { class: "token-picture none" }, icon("picture"));
  return h("img", { class: "token-picture", src, alt: "", width: THUMBNAIL_PX, height: THUMBNAIL_PX });
}

/**
 * @param {import("../state.js").Query} query
 * @param {Actions} actions
 */
function slider(query, actions) {
  const other = query.reference?.kind === "picture" ? text.picture : text.likeness;
  const input = document.createElement("input");
  Object.assign(input, { type: "range", id: "weight", min: `${LEAST}`, max: `${100 - LEAST}`, step: "5" });
  input.value = `${query.weight * 100}`;
  const say = () => input.setAttribute("aria-valuetext", text.weightValue(input.valueAsNumber / 100, other));
  input.addEventListener("input", () => {
    say();
    actions.weigh(input.valueAsNumber / 100);
  });
  say();
  return h(
    "div",
    { class: "weight" },
    h("label", { class: "sr", for: "weight" }, text.weightLabel),
    h("span", { "aria-hidden": "true" }, text.words),
    input,
    h("span", { "aria-hidden": "true" }, other),
  );
}

/**
 * @param {State} state
 * @param {Actions} actions
 * @returns {HTMLElement[]}
 */
function chips({ answer, query }, actions) {
  const gone = new Set(query.dropped.map((dropped) => dropped.group));
  const linked = (answer?.linked_entities ?? []).filter(({ group }) => !gone.has(group));
  if (linked.length + query.dropped.length === 0) return [];
  return [
    h(
      "div",
      { class: "chips" },
      h("span", { class: "chips-label", id: "chips-label" }, text.understoodAs),
      h(
        "ul",
        { "aria-labelledby": "chips-label" },
        linked.map((entity) => h("li", {}, usedChip(entity, actions))),
        query.dropped.map((entity) => h("li", {}, droppedChip(entity, actions))),
      ),
    ),
  ];
}

/**
 * @param {import("../api.js").LinkedEntity} entity
 * @param {Actions} actions
 */
function usedChip({ group, value, surface, known }, actions) {
  const name = text.group(group);
  const drop = () => actions.drop({ group, value, surface: surface ?? value });
  return h(
    "button",
    { class: "chip", type: "button", "data-group": group, onclick: drop },
    h("small", {}, name),
    h("span", {}, value, known ? null : h("small", {}, ` (${text.unknown})`)),
    h("span", { class: "sr" }, text.ignore),
    icon("close"),
  );
}

/**
 * @param {import("../state.js").Dropped} entity
 * @param {Actions} actions
 */
function droppedChip({ group, value }, actions) {
  const name = text.group(group);
  const back = () => actions.useAgain(group);
  return h(
    "button",
    { class: "chip gone", type: "button", "data-group": group, onclick: back },
    h("small", {}, name),
    h("s", {}, value),
    h("span", { class: "sr" }, text.useAgain),
    icon("undo"),
  );
}
