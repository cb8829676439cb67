// What the page knows: the query as the user put it, and the answer as the service gave it. Pure functions
// from one query to the next; no DOM, no network.

import { hitsOf } from "./instances.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./api.js").ApiError} ApiError */
/** @typedef {import("./api.js").Hit} Hit */

/** @typedef {{kind: "picture", file: Blob, name: string, preview: ImageBitmap | null}} PictureReference */
/** @typedef {{kind: "product", id: string}} ProductReference */
/** @typedef {PictureReference | ProductReference} Reference */
/** @typedef {{group: string, value: string, surface: string}} Dropped an entity the user does not want used */
/**
 * An entity that the user says is another one: `value` instead of `was`, which was read from the words `surface`.
 *
 * @typedef {{group: string, value: string, was: string, surface: string}} Corrected
 */
/**
 * `less` are products that the hits should be less like, by their ids, the first first.
 * `sort` is FIELD:asc or FIELD:desc, or empty for the best first.
 *
 * @typedef {{
 *   q: string, reference: Reference | null, weight: number, dropped: readonly Dropped[],
 *   corrected: readonly Corrected[], less: readonly string[],
 *   filter: import("./facets.js").Filter, sort: string,
 * }} Query
 */
/** @typedef {"idle" | "loading" | "slow" | "ready" | "failed"} Phase */
/**
 * @typedef {{
 *   query: Query,
 *   answer: Answer | null,
 *   answered: Query,
 *   chosen: number | null,
 *   phase: Phase,
 *   error: ApiError | null,
 *   loadingMore: boolean,
 *   browse: {hits: readonly Hit[], examples: readonly string[], answer: Answer} | null,
 *   open: string | null,
 *   why: boolean,
 *   suggested: ({q: string} & import("./api.js").Suggestions) | null,
 *   facets: readonly import("./api.js").AskedFacet[],
 *   whole: readonly string[],
 *   counts: import("./api.js").Facets,
 *   products: Readonly<Record<string, import("./api.js").Product>>,
 *   online: boolean,
 * }} State
 */

/** So many products may be disliked at once; another one takes the place of the first. */
export const MOST_LESS = 8;
/** Share of the picture (or product) against the words until the user moves the slider. */
export const EVEN = 0.5;

/** @type {Query} */
export const NO_QUERY = Object.freeze({ q: "", reference: null, weight: EVEN, dropped: [], corrected: [], less: [], filter: {}, sort: "" });

/** @returns {State} */
export function initialState() {
  return {
    query: NO_QUERY,
    answer: null,
    answered: NO_QUERY,
    chosen: null,
    phase: "idle",
    error: null,
    loadingMore: false,
    browse: null,
    open: null,
    why: false,
    suggested: null,
    facets: [],
    whole: [],
    counts: {},
    products: {},
    online: true,
  };
}

/** @param {Query} query Whether nothing is asked: no words, no picture, nothing to narrow or sort by. */
export function isEmpty({ q, reference, filter, sort }) {
  return q.trim() === "" && reference === null && sort === "" && Object.keys(filter).length === 0;
}

/** @param {Query} query Whether there is something to find the like of, or the less like of. */
export function isLookedFor({ q, reference }) {
  return q.trim() !== "" || reference !== null;
}

/** @param {Query} query Whether words and a picture (or product) are mixed, so that a weight has a meaning. */
export function isMixed(query) {
  return query.q.trim() !== "" && query.reference !== null;
}

/**
 * Whether the page shows the first view: nothing is searched for, or the first answer is still on its way.
 *
 * @param {State} state
 */
export function showsFirstView({ query, answer, phase, browse }) {
  return isEmpty(query) || (phase === "loading" && answer === null && browse !== null);
}

/**
 * The hits on the page.
 *
 * @param {State} state
 * @returns {readonly Hit[]}
 */
export function shownHits(state) {
  if (showsFirstView(state)) return state.browse?.hits ?? [];
  return state.answer ? hitsOf(state.answer, state.chosen) : [];
}

/**
 * The query with other words. What was dropped or corrected is forgotten once its words are gone.
 *
 * @param {Query} query
 * @param {string} q
 * @returns {Query}
 */
export function withWords(query, q) {
  const words = q.toLocaleLowerCase();
  const stands = (/** @type {{surface: string}} */ { surface }) => words.includes(surface.toLocaleLowerCase());
  const [dropped, corrected] = [query.dropped.filter(stands), query.corrected.filter(stands)];
  return withLessOfSomething({ ...query, q, dropped, corrected });
}

/**
 * @param {Query} query
 * @param {Reference | null} reference
 * @returns {Query}
 */
export function withReference(query, reference) {
  return withLessOfSomething({ ...query, reference, weight: EVEN });
}

/**
 * The search for things like one product: it starts afresh, without the words.
 *
 * @param {string} id
 * @returns {Query}
 */
export function likeProduct(id) {
  return { ...NO_QUERY, reference: { kind: "product", id } };
}

/**
 * @param {Query} query
 * @param {Dropped} entity
 * @returns {Query}
 */
export function withoutEntity(query, { group, value, surface }) {
  const open = withEntityBack(query, group);
  return { ...open, dropped: [...open.dropped, { group, value, surface }] };
}

/**
 * @param {Query} query
 * @param {Corrected} entity
 * @returns {Query}
 */
export function withEntityAs(query, { group, value, was, surface }) {
  const open = withEntityBack(query, group);
  return value === was ? open : { ...open, corrected: [...open.corrected, { group, value, was, surface }] };
}

/**
 * The query with what is read for `group` as the words say it.
 *
 * @param {Query} query
 * @param {string} group
 * @returns {Query}
 */
export function withEntityBack(query, group) {
  const others = (/** @type {{group: string}} */ entity) => entity.group !== group;
  return { ...query, dropped: query.dropped.filter(others), corrected: query.corrected.filter(others) };
}

/**
 * @param {Query} query
 * @param {string} id
 * @param {boolean} on whether the hits should be less like this product
 * @returns {Query}
 */
export function withLess(query, id, on) {
  const others = query.less.filter((other) => other !== id);
  return { ...query, less: on ? [...others, id].slice(-MOST_LESS) : others };
}

/**
 * Less is less of something: without words and reference there is nothing to have less of.
 *
 * @param {Query} query
 * @returns {Query}
 */
function withLessOfSomething(query) {
  return isLookedFor(query) ? query : { ...query, less: [] };
}
