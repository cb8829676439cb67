// The button that shows filters. They are sent for when something is searched for, or by the button.

import { byId, h, icon } from "../dom.js";
import { later, style } from "../later.js";
import { isEmpty } from "../state.js";
import { text } from "../text.js";

/**
 * @param {import("../store.js").Store<import("../state.js").State>} store
 * @param {import("../actions.js").Actions} actions
 */
export function showNarrowing(store, actions) {
  const get = later(async () => {
    const parts = Promise.all([import("./facets.js"), import("./sort.js"), import("../counting.js"), import("./facet.js")]);
    const [[{ showFacets }, { showSort }, { startCounting }]] = await Promise.all([parts, style("css/facets.css")]);
    const facets = showFacets(store, actions);
    showSort(store, actions);
    startCounting(store);
    return facets;
  });
  const nothing = () => {};
  const open = () => get().then((facets) => facets.open(), nothing);
  const label = [icon("filter"), text.filter];
  byId("tools", HTMLElement).append(h("button", { type: "button", class: "button quiet", id: "filter", onclick: open }, label));
  const searched = (/** @type {boolean} */ empty) => empty || get().catch(nothing);
  store.watch(({ query }) => isEmpty(query), searched);
  searched(isEmpty(store.get().query));
}
