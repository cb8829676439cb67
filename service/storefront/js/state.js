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
/** @typedef {{q: string, reference: Reference | null, weight: number, dropped: readonly Dropped[]}} Query */
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
 *   products: Readonly<Record<string, import("./api.js").Product>>,
 *   online: boolean,
 * }} State
 */

/** Share of the picture (or product) against the words until the user moves the slider. */
export const EVEN = 0.5;

/** @type {Query} */
export const NO_QUERY = Object.freeze({ q: "", reference: null, weight: EVEN, dropped: [] });

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
    products: {},
    online: true,
  };
}

/** @param {Query} query */
export function isEmpty(query) {
  return query.q.trim() === "" && query.reference === null;
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
 * The query with other words. A dropped entity is forgotten once its words are gone.
 *
 * @param {Query} query
 * @param {string} q
 * @returns {Query}
 */
export function withWords(query, q) {
  const words = q.toLocaleLowerCase();
  const dropped = query.dropped.filter((entity) => words.includes(entity.surface.toLocaleLowerCase()));
  return { ...query, q, dropped };
}

/**
 * @param {Query} query
 * @param {Reference | null} reference
 * @returns {Query}
 */
export function withReference(query, reference) {
  return { ...query, reference, weight: EVEN };
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
  const others = query.dropped.filter((dropped) => dropped.group !== group);
  return { ...query, dropped: [...others, { group, value, surface }] };
}

/**
 * @param {Query} query
 * @param {string} group
 * @returns {Query}
 */
export function withEntityBack(query, group) {
  return { ...query, dropped: query.dropped.filter((dropped) => dropped.group !== group) };
}
