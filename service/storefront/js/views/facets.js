// What the results can be narrowed to: beside them on a desk, in a sheet of its own on a phone. And above the results,
// what they are narrowed to.

import { fieldsOf, isUseful } from "../counting.js";
import { byId, h, icon } from "../dom.js";
import { chosenRange, chosenValues, withField, withValue } from "../facets.js";
import { foundOf } from "../instances.js";
import { isEmpty, showsFirstView } from "../state.js";
import { text } from "../text.js";
import { count as tally } from "../text/numbers.js";
import { facetPart, fill, nameOf, priced, said } from "./facet.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../actions.js").Actions} Actions */
/** @typedef {import("../store.js").Store<State>} Store */

/** There is room for a sidebar; the style sheet has the same width. */
const DESK = "(width >= 960px)";

/**
 * @param {Store} store
 * @param {Actions} actions
 * @returns {{open: () => void}} open: show it where it is not in sight
 */
export function showFacets(store, actions) {
  const panel = h("div", { class: "panel", tabindex: "-1" });
  const places = showPlaces(store, actions, panel);
  /** @type {Map<string, import("./facet.js").Part>} */
  const parts = new Map();

  function show() {
    const { query, facets, counts } = store.get();
    const fields = fieldsOf(facets, query.filter).filter((field) => field in query.filter || isUseful(field, counts[field]));
    const nodes = fields.map((field) => {
      const part = parts.get(field) ?? facetPart(field, store, actions);
      parts.set(field, part);
      part.show(counts[field]);
      return part.node;
    });
    fill(panel, nodes);
    places.show();
  }
  store.watch((state) => state.counts, show);
  store.watch((state) => state.query.filter, show);
  show();
  showChosen(store, actions);
  return places;
}

/**
 * Where the panel is: in the sidebar, or in the sheet that the button opens.
 *
 * @param {Store} store
 * @param {Actions} actions
 * @param {HTMLElement} panel
 */
function showPlaces(store, actions, panel) {
  const aside = byId("facets", HTMLElement);
  const sheet = byId("sheet", HTMLDialogElement);
  const button = byId("filter", HTMLButtonElement);
  const desk = matchMedia(DESK);
  const room = h("div", { class: "sheet-room" });
  const close = () => sheet.close();
  const see = h("button", { type: "button", class: "button", onclick: close });
  let wanted = false; // asked for while nothing was searched for

  aside.setAttribute("aria-label", text.filter);
  sheet.addEventListener("click", (event) => event.target === sheet && close());
  sheet.append(
    h(
      "header",
      {},
      h("h2", { id: "sheet-title" }, text.filter),
      h("button", { type: "button", class: "ghost", "aria-label": text.close, onclick: close }, icon("close")),
    ),
    room,
    h("footer", {}, h("button", { type: "button", class: "button quiet", onclick: () => actions.narrow({}) }, text.clearAll), see),
  );

  function show() {
    const state = store.get();
    const first = showsFirstView(state);
    const none = panel.childElementCount === 0 && Object.keys(state.counts).length > 0;
    const found = first || !state.answer ? null : foundOf(state.answer, state.chosen);
    const chosen = choices(state);
    const home = desk.matches ? aside : room;
    if (panel.parentElement !== home) home.append(panel); // to move it is to lose the focus in it
    if (desk.matches && sheet.open) close();
    aside.hidden = !desk.matches || none || (first && !wanted);
    button.hidden = none || !aside.hidden;
    button.replaceChildren(icon("filter"), text.filter, ...(chosen ? [h("b", { class: "badge" }, tally.format(chosen))] : []));
    see.textContent = found === null ? text.showProducts : text.showCounted(found);
  }
  desk.addEventListener("change", show);
  for (const part of /** @type {(keyof State)[]} */ (["answer", "chosen", "browse"])) store.watch((state) => state[part], show);
  store.watch(showsFirstView, (first) => {
    wanted &&= first;
    show();
  });
  return {
    show,
    open() {
      if (!desk.matches) return sheet.showModal();
      wanted = isEmpty(store.get().query);
      show();
      panel.focus();
    },
  };
}

/** @param {State} state How many values and ranges are chosen. */
function choices({ query: { filter } }) {
  return Object.keys(filter).reduce((sum, field) => sum + Math.max(1, chosenValues(filter, field).length), 0);
}

/**
 * What the results are narrowed to: a chip for each choice, to take it away.
 *
 * @param {Store} store
 * @param {Actions} actions
 */
function showChosen(store, actions) {
  const place = byId("chosen", HTMLElement);
  function show() {
    const { filter } = store.get().query;
    const chips = Object.keys(filter).flatMap((field) => {
      const values = chosenValues(filter, field).map((value) =>
        chip(field, value, () => actions.narrow(withValue(filter, field, value, false))),
      );
      return values.length ? values : [chip(field, rangeSaid(store.get(), field), () => actions.narrow(withField(filter, field, [])))];
    });
    const clear = h("button", { type: "button", class: "inline", onclick: () => actions.narrow({}) }, text.clearAll);
    const hadFocus = place.contains(document.activeElement);
    place.hidden = chips.length === 0;
    place.replaceChildren(...chips, clear);
    if (hadFocus) (chips.length ? clear : byId("results", HTMLElement)).focus();
  }
  store.watch((state) => state.query.filter, show);
  show();
}

/**
 * @param {State} state
 * @param {string} field
 */
function rangeSaid(state, field) {
  const { gte, lte } = chosenRange(state.query.filter, field);
  if (gte === undefined) return text.priceTo(priced(lte ?? 0, state));
  return lte === undefined ? text.priceFrom(priced(gte, state)) : `${priced(gte, state)} – ${priced(lte, state)}`;
}

/**
 * @param {string} field
 * @param {import("../facets.js").Value} value
 * @param {() => void} remove
 */
function chip(field, value, remove) {
  const own = field === "in_stock" && value === true;
  return h(
    "button",
    { type: "button", class: "chip", "data-field": field, onclick: remove },
    own ? null : h("small", {}, nameOf(field)),
    h("span", {}, own ? text.inStock : said(value)),
    h("span", { class: "sr" }, text.unfilter),
    icon("close"),
  );
}
