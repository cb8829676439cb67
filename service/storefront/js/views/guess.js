// What category the model takes something for: said quietly, with the runners-up, and that it is unsure where it is.

import { ApiError } from "../api.js";
import { categoryOfPicture, categoryOfProduct } from "../category.js";
import { h } from "../dom.js";
import { text } from "../text.js";

/** @typedef {import("../category.js").Category} Category */

/** Below this probability, any category is more likely wrong than right. */
const SURE = 0.5;
/** Runners-up that are less likely are not worth a word. */
const WORTH = 0.01;

/** @param {import("../state.js").PictureReference} picture */
export function guessOfPicture(picture) {
  return guess(categoryOfPicture(picture));
}

/** @param {import("../api.js").Product} product */
export function guessOfProduct(product) {
  return guess(categoryOfProduct(product), product.category);
}

/**
 * Return a place that is filled once a category is there; without one it stays empty.
 *
 * @param {Promise<Category | null>} asked
 * @param {string | null} [listed] the category that the catalogue states
 * @returns {HTMLElement}
 */
function guess(asked, listed = null) {
  const place = h("div", { class: "guess" });
  asked.then(
    (category) => category && place.replaceChildren(said(category, listed)),
    (error) => {
      if (!(error instanceof ApiError)) throw error; // without an answer nothing is said
    },
  );
  return place;
}

/**
 * @param {Category} category
 * @param {string | null} listed
 */
function said({ name, probability, alternatives }, listed) {
  const sure = probability >= SURE;
  const words = sure ? text.categoryGuess(name, probability) : text.categoryUnsure;
  const others = [...(sure ? [] : [{ name, probability }]), ...alternatives].filter((other) => other.probability >= WORTH);
  const differs = sure && listed && listed.toLocaleLowerCase() !== name.toLocaleLowerCase();
  if (!others.length && !differs) return h("p", {}, words);
  return h(
    "details",
    {},
    h("summary", {}, words),
    others.length
      ? h("p", {}, `${text.categoryOthers} ${others.map((other) => text.categoryOther(other.name, other.probability)).join(", ")}`)
      : null,
    differs ? h("p", {}, text.categoryListed(listed)) : null,
  );
}
