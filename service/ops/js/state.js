// What the page knows. Pure: no DOM, no network.

/** @typedef {import("./api.js").ApiError} ApiError */
/** @typedef {import("./api.js").Bundle} Bundle */
/** @typedef {"bundles" | "live" | "compare" | "map"} View */
/** @typedef {"unknown" | "open" | "barred"} Entry whether the service lets this page in */
/**
 * Settings of one side of a comparison; an empty string: as usual.
 *
 * @typedef {{
 *   bundle: string, mode: string, weight: string, linking: string, rerank: string, diversity: string, collapse: string,
 * }} Settings
 */
/** @typedef {{q: string, entities: string, picture: File | null}} Asked */
/** @typedef {{answer: import("./api.js").Answer | null, error: ApiError | null}} Side */
/**
 * @typedef {{
 *   entry: Entry,
 *   view: View,
 *   bundles: import("./api.js").Bundles | null,
 *   error: ApiError | null,
 *   open: string | null,
 *   report: {id: string, answer: import("./report.js").ReportAnswer | null, error: ApiError | null} | null,
 *   live: import("./polling.js").Live,
 *   asked: Asked,
 *   settings: {a: Settings, b: Settings},
 *   sides: {a: Side, b: Side} | null,
 *   comparing: boolean,
 *   chosen: string | null,
 *   mapped: string,
 *   map: {id: string, answer: import("./api.js").MapAnswer | null, error: ApiError | null} | null,
 *   lit: string,
 *   hits: {q: string, ids: readonly string[], error: ApiError | null},
 * }} State
 */
/** @typedef {import("../../js/store.js").Store<State>} Store */

/** @type {readonly View[]} */
export const VIEWS = ["bundles", "live", "compare", "map"];

/** @type {Settings} */
export const AS_USUAL = Object.freeze({
  bundle: "",
  mode: "",
  weight: "",
  linking: "",
  rerank: "",
  diversity: "",
  collapse: "",
});

/** @returns {State} */
export function initialState() {
  return {
    entry: "unknown",
    view: "bundles",
    bundles: null,
    error: null,
    open: null,
    report: null,
    live: { samples: [], ready: null, error: null, paused: false },
    asked: { q: "", entities: "", picture: null },
    settings: { a: AS_USUAL, b: AS_USUAL },
    sides: null,
    comparing: false,
    chosen: null,
    mapped: "",
    map: null,
    lit: "",
    hits: { q: "", ids: [], error: null },
  };
}

/**
 * The bundle that is mapped: the one that was chosen, or the one that answers.
 *
 * @param {State} state
 */
export function mappedBundle({ mapped, bundles }) {
  return mapped || bundles?.primary || null;
}

/**
 * The newest first, those that are no bundles last.
 *
 * @param {readonly Bundle[]} bundles
 */
export function newestFirst(bundles) {
  return [...bundles].sort(
    (a, b) => Number(a.created_at === null) - Number(b.created_at === null) || (a.id < b.id ? 1 : -1),
  );
}

/** @param {Bundle} bundle Whether it answers searches that name it. */
export function isServed({ role }) {
  return role !== "none";
}
