// The order of the products: by relevance or by price, where the shop states prices.

import { byId, h } from "../dom.js";
import { SORTS } from "../facets.js";
import { text } from "../text.js";

/** @typedef {import("../state.js").State} State */

/**
 * @param {import("../store.js").Store<State>} store
 * @param {import("../actions.js").Actions} actions
 */
export function showSort(store, actions) {
  const names = /** @type {Record<string, string>} */ ({
    "": text.sortBest,
    "price:asc": text.sortRising,
    "price:desc": text.sortFalling,
  });
  const select = document.createElement("select");
  select.id = "sort";
  select.append(...["", ...SORTS].map((sort) => h("option", { value: sort }, names[sort])));
  select.addEventListener("change", () => actions.sortBy(select.value));
  const label = h("label", { class: "sort" }, h("span", { class: "sr" }, text.sortBy), select);
  byId("tools", HTMLElement).append(label);

  function show() {
    const { counts, query } = store.get();
    select.value = query.sort;
    label.hidden = !counts.price?.statistics && query.sort === "";
  }
  store.watch((state) => state.counts, show);
  store.watch((state) => state.query.sort, show);
  show();
}
