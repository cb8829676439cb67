// One product in full, over the page: its pictures, what the catalogue says, and why it was found.

import { byId, h, icon } from "../dom.js";
import { isLookedFor, shownHits } from "../state.js";
import { text } from "../text.js";
import { price, stock } from "./card.js";
import { explanation } from "./explain.js";
import { guessOfProduct } from "./guess.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../actions.js").Actions} Actions */
/** @typedef {import("../api.js").Product} Product */
/** @typedef {import("../api.js").Hit} Hit */

const PICTURE_PX = 640;
const THUMBNAIL_PX = 72;
/** Attributes that say something about the data set, nothing about the product. */
const NOT_FOR_BUYERS = new Set(["split"]);

/**
 * @param {import("../store.js").Store<State>} store
 * @param {Actions} actions
 */
export function showProduct(store, actions) {
  const dialog = byId("product", HTMLDialogElement);

  function show(/** @type {Hit | Product | undefined} */ subject) {
    if (!subject) {
      if (dialog.open) dialog.close();
      return;
    }
    const [product, hit] = "product" in subject ? [subject.product, subject] : [subject, undefined];
    dialog.replaceChildren(...contents(product, hit, store.get(), actions));
    if (!dialog.open) dialog.showModal();
    const first = dialog.querySelector(store.get().why && hit ? "#explain-title" : "#product-title");
    if (first instanceof HTMLElement) first.focus();
  }

  dialog.addEventListener("close", () => store.get().open !== null && actions.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  store.watch(opened, show);
  show(opened(store.get()));
}

/**
 * What is to be shown in full: the hit, if it is among the hits, so that it can be explained; else the product.
 *
 * @param {State} state
 */
function opened(state) {
  const { open, products } = state;
  return open === null ? undefined : (shownHits(state).find(({ id }) => id === open) ?? products[open]);
}

/**
 * @param {Product} product
 * @param {import("../api.js").Hit | undefined} hit
 * @param {State} state
 * @param {Actions} actions
 * @returns {HTMLElement[]}
 */
function contents(product, hit, state, actions) {
  const closing = h("button", { class: "ghost product-close", type: "button", "aria-label": text.close }, icon("close"));
  closing.addEventListener("click", () => byId("product", HTMLDialogElement).close());
  const sheet = h(
    "div",
    { class: "sheet" },
    gallery(product),
    h(
      "div",
      { class: "about" },
      product.brand ? h("p", { class: "brand" }, product.brand) : null,
      h("h2", { id: "product-title", tabindex: "-1" }, product.title),
      h("p", { class: "offer" }, price(product), stock(product)),
      buttons(product, Boolean(hit) && isLookedFor(state.query), actions),
      hit?.explain?.terms.length ? explanation(hit, state) : null,
      product.description ? h("p", { class: "description" }, product.description) : null,
      details(product),
      guessOfProduct(product),
    ),
  );
  return [closing, sheet];
}

/**
 * @param {Product} product
 * @param {boolean} less whether there is something to have less of
 * @param {Actions} actions
 */
function buttons(product, less, actions) {
  const dislike = () => actions.dislike(product);
  const shop = webAddress(product.url);
  return h(
    "p",
    { class: "buttons" },
    h("button", { class: "button", type: "button", onclick: () => actions.like(product) }, icon("similar"), text.moreLikeThis),
    less ? h("button", { class: "button quiet", type: "button", onclick: dislike }, icon("less"), text.lessLikeThis) : null,
    shop ? h("a", { class: "button quiet", href: shop, rel: "noopener", target: "_blank" }, icon("out"), text.toShop) : null,
  );
}

/** @param {Product} product */
function gallery({ title, images = [] }) {
  if (images.length === 0) return h("div", { class: "gallery" }, h("div", { class: "tile" }, icon("picture")));
  const large = h("img", { src: images[0], alt: text.pictureOf(title, 1), width: PICTURE_PX, height: PICTURE_PX });
  const choices = images.map((src, i) => {
    const small = h("img", { src, alt: "", width: THUMBNAIL_PX, height: THUMBNAIL_PX, loading: "lazy" });
    const choice = h("button", { type: "button", "aria-label": text.showPicture(i + 1), "aria-pressed": `${i === 0}` }, small);
    choice.addEventListener("click", () => {
      large.setAttribute("src", src);
      large.setAttribute("alt", text.pictureOf(title, i + 1));
      for (const other of choices) other.setAttribute("aria-pressed", `${other === choice}`);
    });
    return choice;
  });
  return h(
    "div",
    { class: "gallery" },
    h("div", { class: "tile" }, large),
    choices.length > 1 ? h("div", { class: "choices" }, choices) : null,
  );
}

/** @param {Product} product */
function details({ category, season, composition, attributes = {} }) {
  const stated = Object.entries({ category, season, composition, ...attributes })
    .filter(([name, value]) => value !== null && value !== undefined && value !== "" && !NOT_FOR_BUYERS.has(name))
    .map(([name, value]) => [text.group(name), Array.isArray(value) ? value.join(", ") : `${value}`]);
  return h("dl", { class: "details" }, stated.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/**
 * Return `url` if it leads to a web page, else null: a feed may say anything.
 *
 * @param {string | null | undefined} url
 */
function webAddress(url) {
  return url && URL.canParse(url) && ["http:", "https:"].includes(new URL(url).protocol) ? url : null;
}
