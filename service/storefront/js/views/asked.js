// What is searched for beyond the words in the box: the picture or product, its weight, what there should be less of,
// the names read out of the words.

import { byId, h, icon } from "../dom.js";
import { instancesOf } from "../instances.js";
import { later } from "../later.js";
import { drawPreview } from "../picture.js";
import { isMixed } from "../state.js";
import { text } from "../text.js";
import { chips, replaceChips } from "./chips.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../actions.js").Actions} Actions */

const THUMBNAIL_PX = 96;
const guesses = later(() => import("./guess.js"));
/** The slider's ends stay short of 0 and 100, where one side would not be searched for at all. */
const LEAST = 5;

/**
 * @param {import("../store.js").Store<State>} store
 * @param {Actions} actions
 */
export function showAsked(store, actions) {
  const section = byId("asked", HTMLElement);
  const places = { reference: h("div"), guess: h("div"), slider: h("div"), less: h("div", { class: "disliked" }), chips: h("div") };
  section.append(...Object.values(places));

  function showReference() {
    const { query, products } = store.get();
    places.reference.replaceChildren(...(query.reference ? [token(query.reference, products, actions)] : []));
  }
  function showSlider() {
    const { query } = store.get();
    places.slider.replaceChildren(...(isMixed(query) ? [slider(query, actions)] : []));
  }
  function showLess() {
    const { query, products } = store.get();
    places.less.replaceChildren(...query.less.map((id) => lessToken(id, products[id], actions)));
  }
  async function showGuess() {
    places.guess.replaceChildren();
    const picture = singlePicture(store.get());
    if (!picture) return;
    const said = await guesses().then(({ guessOfPicture }) => guessOfPicture(picture), () => "");
    if (picture === singlePicture(store.get())) places.guess.replaceChildren(said);
  }
  function showChips() {
    replaceChips(places.chips, chips(store.get(), actions));
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
  store.watch(singlePicture, () => void showGuess());
  store.watch((state) => state.query.less, draw(showLess));
  store.watch((state) => state.products, draw(showLess));
  store.watch((state) => state.answer, draw(showChips));
  store.watch((state) => state.query.dropped, draw(showChips));
  store.watch((state) => state.query.corrected, draw(showChips));
  [showReference, showSlider, showLess, showChips, hideIfEmpty].forEach((part) => part());
}

/** @param {State} state The product searched like, once it is known. */
function referencedProduct({ query: { reference }, products }) {
  return reference?.kind === "product" ? products[reference.id] : undefined;
}

/**
 * The user's picture once it is answered, if it shows one thing: several are of no one category.
 *
 * @param {State} state
 */
function singlePicture({ query: { reference }, answered, answer }) {
  const one = answer !== null && instancesOf(answer).length < 2;
  return one && reference?.kind === "picture" && reference === answered.reference ? reference : null;
}

/**
 * @param {string} id
 * @param {import("../api.js").Product | undefined} product
 * @param {Actions} actions
 */
function lessToken(id, product, actions) {
  const name = product?.title ?? text.thisProduct;
  const remove = h(
    "button",
    { class: "ghost", type: "button", "aria-label": text.removeLess(name), onclick: () => actions.forgive(id) },
    icon("close"),
  );
  return h(
    "div",
    { class: "token less", "data-id": id },
    thumbnail(product?.images?.[0]),
    h("span", { class: "token-name" }, h("small", {}, text.lessLikeThis), name),
    remove,
  );
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
