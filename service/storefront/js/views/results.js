// The grid of products: the first view, or the answer to a search, and the button for more of it.

import { toAddress } from "../address.js";
import { byId, h } from "../dom.js";
import { chosenOf, foundOf, instancesOf } from "../instances.js";
import { nextOffset } from "../search.js";
import { isEmpty, isLookedFor, isMixed, shownHits, showsFirstView } from "../state.js";
import { text } from "../text.js";
import { card } from "./card.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../actions.js").Actions} Actions */
/** @typedef {import("../api.js").Hit} Hit */

const SKELETONS = 12;

/**
 * @param {import("../store.js").Store<State>} store
 * @param {Actions} actions
 */
export function showResults(store, actions) {
  const section = byId("results", HTMLElement);
  const grid = byId("grid", HTMLOListElement);
  const more = byId("more", HTMLButtonElement);

  function show() {
    const state = store.get();
    const hits = shownHits(state);
    const busy = state.phase === "loading" || state.phase === "slow";
    section.setAttribute("aria-busy", `${busy}`);
    section.classList.toggle("stale", hits.length > 0 && (busy || state.phase === "failed"));
    if (busy && hits.length === 0) grid.replaceChildren(...skeletons());
    else fill(grid, hits, (hit) => card(hit.product, facts(hit, state), actions));
    showHead(state, hits);
    const found = state.answer && foundOf(state.answer, state.chosen);
    const all = found !== null && hits.length >= found;
    const beyond = !showsFirstView(state) && !all && nextOffset(state.answer) !== null;
    more.hidden = !beyond && !state.loadingMore;
    more.textContent = state.loadingMore ? text.loadingMore : text.showMore;
    more.setAttribute("aria-disabled", `${state.loadingMore}`);
  }

  more.addEventListener("click", async (event) => {
    const before = grid.childElementCount;
    await actions.more();
    const byKeyboard = event.detail === 0;
    const firstNew = grid.children.item(before)?.querySelector(".card-open");
    if (byKeyboard && firstNew instanceof HTMLElement) firstNew.focus();
  });
  for (const part of /** @type {(keyof State)[]} */ (["answer", "chosen", "browse", "phase", "loadingMore", "products"])) {
    store.watch((state) => state[part], show);
  }
  store.watch(showsFirstView, show);
  show();
}

/** @param {State} state What the shown hits are an answer to. */
export function heading(state) {
  if (showsFirstView(state)) return text.products;
  const query = state.answer ? state.answered : state.query;
  const { q, reference } = query;
  if (reference === null) return q.trim() ? text.resultsFor(q.trim()) : text.resultsFiltered;
  if (reference.kind === "picture") return ofPicture(state, isMixed(query) ? q.trim() : "");
  const title = state.products[reference.id]?.title ?? text.thisProduct;
  return isMixed(query) ? text.resultsLikeBoth(title, q.trim()) : text.resultsLike(title);
}

/**
 * @param {State} state
 * @param {string} q the words beside the picture
 */
function ofPicture({ answer, chosen }, q) {
  const place = chosenOf(answer, chosen);
  const { length } = instancesOf(answer);
  if (place !== null) return q ? text.resultsInstanceAnd(place + 1, length, q) : text.resultsInstance(place + 1, length);
  if (length > 1) return q ? text.resultsInstancesAnd(length, q) : text.resultsInstances(length);
  return q ? text.resultsPictureAnd(q) : text.resultsPicture;
}

/**
 * @param {State} state
 * @param {readonly Hit[]} hits
 */
function showHead(state, hits) {
  const first = showsFirstView(state);
  const about = heading(state);
  const title = byId("results-title", HTMLElement);
  title.textContent = about;
  title.classList.toggle("sr", state.phase === "failed" && hits.length === 0);
  const found = !first && state.answer && hits.length ? foundOf(state.answer, state.chosen) : null;
  const counts = found === null ? "" : text.counted(hits.length, found);
  byId("count", HTMLElement).textContent = counts;
  byId("hero", HTMLElement).hidden = !first;
  document.title = text.pageTitle(isEmpty(state.query) ? "" : state.query.q.trim() || about);
}

/**
 * @param {Hit} hit
 * @param {State} state
 */
function facts(hit, { query }) {
  const less = isLookedFor(query);
  return { href: toAddress(query, hit.id), explained: Boolean(hit.explain?.terms.length), less };
}

/**
 * Make `grid` hold one card per hit. Cards of the same hits stay, so that the focus is not lost while more are
 * added; pictures of the same products stay, so that they do not flicker while the user types. Where the card with
 * the focus goes, the one that takes its place gets it.
 *
 * @param {HTMLElement} grid
 * @param {readonly Hit[]} hits
 * @param {(hit: Hit) => HTMLElement} make
 */
function fill(grid, hits, make) {
  const before = [...grid.children];
  const standing = new Map(before.map((node) => [node.getAttribute("data-id"), node]));
  const cards = hits.map((hit) => {
    const old = standing.get(hit.id);
    if (old && hitOf.get(old) === hit) return old;
    const fresh = withPictureOf(old, make(hit));
    hitOf.set(fresh, hit);
    return fresh;
  });
  const same = cards.filter((node, i) => before[i] === node).length;
  const place = before.findIndex((node) => node.querySelector(":focus-visible"));
  if (same === before.length) grid.append(...cards.slice(same));
  else grid.replaceChildren(...cards);
  const next = cards[Math.min(place, cards.length - 1)]?.querySelector(".card-open");
  if (next instanceof HTMLElement && !grid.contains(document.activeElement)) next.focus({ preventScroll: true });
}

/** Which hit a card was made of.
 * @type {WeakMap<Element, Hit>} */
const hitOf = new WeakMap();

/**
 * @param {Element | undefined} old
 * @param {HTMLElement} fresh
 */
function withPictureOf(old, fresh) {
  const [was, is] = [old?.querySelector("img"), fresh.querySelector("img")];
  if (was && is && was.src === is.src) is.replaceWith(was);
  return fresh;
}

function skeletons() {
  return Array.from({ length: SKELETONS }, () =>
    h("li", { class: "card skeleton", "aria-hidden": "true" }, h("div", { class: "tile" }), h("p"), h("p")),
  );
}
