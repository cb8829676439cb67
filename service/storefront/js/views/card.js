// One product in the grid.

import { toAddress } from "../address.js";
import { h, icon } from "../dom.js";
import { likeProduct } from "../state.js";
import { formatPrice, text } from "../text.js";

/** @typedef {import("../api.js").Product} Product */
/** @typedef {import("../actions.js").Actions} Actions */

/** Form of the pictures' place; the picture itself is fitted into it. */
const PICTURE_PX = 400;

/**
 * @param {Product} product
 * @param {{href: string, explained: boolean, less: boolean}} facts where the product is shown in full; whether the hit
 *   has terms; whether there is something to have less of
 * @param {Actions} actions
 */
export function card(product, { href, explained, less }, actions) {
  const open = (/** @type {Event} */ event) => follow(event, () => actions.open(product.id));
  return h(
    "li",
    { class: product.in_stock === false ? "card sold-out" : "card", "data-id": product.id },
    h("h3", {}, h("a", { class: "card-open", href, onclick: open }, product.title)),
    h("div", { class: "tile" }, picture(product.images?.[0])),
    product.brand ? h("p", { class: "brand" }, product.brand) : null,
    h("p", { class: "offer" }, price(product), stock(product)),
    h(
      "div",
      { class: "card-actions" },
      explained ? whyButton(product, actions) : null,
      likeLink(product, actions),
      less ? lessButton(product, actions) : null,
    ),
  );
}

/**
 * @param {Product} product
 * @param {Actions} actions
 */
function whyButton({ id, title }, actions) {
  const label = `${text.whyThis} ${title}`;
  const ask = () => actions.open(id, true);
  return h("button", { type: "button", class: "card-why", "aria-label": label, onclick: ask }, icon("why"), h("span", {}, text.why));
}

/**
 * @param {Product} product
 * @param {Actions} actions
 */
function likeLink(product, actions) {
  const href = toAddress(likeProduct(product.id), null);
  const label = `${text.similar}: ${text.moreLike(product.title)}`;
  const ask = (/** @type {Event} */ event) => follow(event, () => actions.like(product));
  return h("a", { class: "card-like", href, "aria-label": label, onclick: ask }, icon("similar"), text.similar);
}

/**
 * @param {Product} product
 * @param {Actions} actions
 */
function lessButton(product, actions) {
  const label = `${text.less}: ${text.lessLike(product.title)}`;
  const ask = () => actions.dislike(product);
  return h("button", { type: "button", class: "card-less", "aria-label": label, onclick: ask }, icon("less"), h("span", {}, text.less));
}

/** @param {Product} product */
export function price(product) {
  const written = formatPrice(product);
  return written && h("span", { class: "price" }, written);
}

/** @param {Product} product */
export function stock({ in_stock: inStock }) {
  if (inStock === null || inStock === undefined) return null;
  return h("span", { class: inStock ? "stock" : "stock out" }, inStock ? text.inStock : text.soldOut);
}

/** @param {string | undefined} src */
function picture(src) {
  if (!src) return h("span", { class: "no-picture" }, icon("picture"), h("span", { class: "sr" }, text.noPicture));
  return h("img", { src, alt: "", width: PICTURE_PX, height: PICTURE_PX, loading: "lazy", decoding: "async" });
}

/**
 * Do `act` instead of going where the link points, unless the user wants a new tab or window.
 *
 * @param {Event} event
 * @param {() => void} act
 */
function follow(event, act) {
  if (!(event instanceof MouseEvent) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  act();
}
