// How many products each choice of a filter has. Never in the way of a search: what an answer does not count is asked for
// after it is there, and where that fails the counts stay as they are.

import { ApiError, count } from "./api.js";
import { withField } from "./facets.js";
import { chosenOf } from "./instances.js";
import { NO_QUERY, isEmpty, shownHits } from "./state.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./api.js").Facet} Facet */
/** @typedef {import("./api.js").Facets} Facets */
/** @typedef {import("./facets.js").Filter} Filter */
/** @typedef {import("./state.js").State} State */

/** Fields that every catalogue has, whether or not its products state them. */
const STANDARD = ["in_stock", "price", "category", "brand", "season", "composition"];
/** Values of a field to count: at first, and where all are asked for. */
const FEW = 20;
const ALL = 1000;
/** An attribute is offered where this share of the products shown state it; so many attributes at most. */
const COMMON = 0.2;
const MOST_OFFERED = 12;
/** Longer values are sentences. */
const LONGEST_VALUE = 60;
/** The attribute by which a catalogue sets products aside for evaluation. */
const INTERNAL = "split";

/**
 * Keep the store's counts in step with what is shown.
 *
 * @param {import("./store.js").Store<State>} store
 */
export function startCounting(store) {
  let underWay = new AbortController();

  function now() {
    underWay.abort();
    underWay = new AbortController();
    void run(store, underWay.signal);
  }
  store.watch((state) => state.answered, now);
  store.watch(({ answer, chosen }) => chosenOf(answer, chosen), now);
  store.watch((state) => state.whole, now);
  store.watch((state) => state.browse !== null && isEmpty(state.query), (first) => first && now());
  if (store.get().answer ?? store.get().browse) now();
}

/**
 * @param {import("./store.js").Store<State>} store
 * @param {AbortSignal} signal
 */
async function run(store, signal) {
  const state = store.get();
  const first = isEmpty(state.query);
  const query = first ? NO_QUERY : state.answered;
  const chosen = first ? null : chosenOf(state.answer, state.chosen);
  const hits = shownHits(state);
  const facets = hits.length ? toFacets(offeredBy(hits), state.whole) : state.facets;
  const known = first ? {} : facetsOf(state.answer, chosen);
  store.set({ facets, counts: { ...state.counts, ...known } });
  try {
    const asks = toCount(fieldsOf(facets, query.filter), query.filter, known, state.whole);
    const answers = await Promise.all(
      asks.map(({ fields, filter, whole }) => count({ ...query, filter }, toFacets(fields, whole), signal)),
    );
    if (!signal.aborted) store.set({ counts: Object.assign({}, known, ...answers.map((answer) => facetsOf(answer, chosen))) });
  } catch (error) {
    if (!signal.aborted && !(error instanceof ApiError)) throw error;
  }
}

/**
 * @param {readonly string[]} fields
 * @param {readonly string[]} whole those of which all values are wanted
 */
function toFacets(fields, whole) {
  return fields.map((field) => ({ field, limit: whole.includes(field) ? ALL : FEW }));
}

/**
 * The fields to narrow by beside `hits`: the standard ones and the attributes that are common among them, words or true
 * and false.
 *
 * @param {readonly import("./api.js").Hit[]} hits
 */
export function offeredBy(hits) {
  /** @type {Map<string, number>} */
  const stated = new Map();
  for (const [name, value] of hits.flatMap(({ product }) => Object.entries(product.attributes ?? {}))) {
    if (isKind(value) && name !== INTERNAL && !name.includes(":")) stated.set(name, (stated.get(name) ?? 0) + 1);
  }
  const common = [...stated].filter(([, n]) => n >= COMMON * hits.length).sort(([, one], [, other]) => other - one);
  return [...STANDARD, ...common.slice(0, MOST_OFFERED).map(([name]) => `attributes.${name}`)];
}

/** @param {unknown} value Whether it sorts products into kinds. */
function isKind(value) {
  if (typeof value === "string") return value.length <= LONGEST_VALUE;
  return typeof value === "boolean" || (Array.isArray(value) && value.every(isKind));
}

/**
 * The fields offered, and any that is chosen.
 *
 * @param {State["facets"]} facets
 * @param {Filter} filter
 */
export function fieldsOf(facets, filter) {
  return [...new Set([...facets.map(({ field }) => field), ...Object.keys(filter)])];
}

/**
 * What to count besides what an answer counted, `known`. What is chosen of a field must not narrow the counts of that
 * field itself, or its other values would seem to be gone: it is counted without its own part of the filter.
 *
 * @param {readonly string[]} fields
 * @param {Filter} filter
 * @param {Facets} known
 * @param {readonly string[]} whole
 * @returns {{fields: string[], filter: Filter, whole: readonly string[]}[]} of a field with a choice, all values
 */
export function toCount(fields, filter, known, whole) {
  const lacks = (/** @type {string} */ field) =>
    !known[field] || (whole.includes(field) && known[field].values.length < Math.min(ALL, known[field].distinct));
  const open = fields.filter((field) => !(field in filter) && lacks(field));
  const own = fields.filter((field) => field in filter);
  return [
    ...(open.length ? [{ fields: open, filter, whole }] : []),
    ...own.map((field) => ({ fields: [field], filter: withField(filter, field, []), whole: [field] })),
  ];
}

/**
 * The facets of what an answer shows.
 *
 * @param {Answer | null} answer
 * @param {number | null} chosen the product of the picture whose hits are shown
 * @returns {Facets}
 */
function facetsOf(answer, chosen) {
  return (chosen === null ? null : answer?.instances?.[chosen]?.facets) ?? answer?.facets ?? {};
}

/**
 * Whether a facet is worth showing: there is something to choose from, and it is no product's own number.
 *
 * @param {string} field
 * @param {Facet | undefined} facet
 */
export function isUseful(field, facet) {
  if (!facet) return false;
  if (facet.statistics) return facet.statistics.max > facet.statistics.min;
  if (field === "in_stock") return facet.values.some(({ value }) => value === true);
  return facet.distinct > 1 && (STANDARD.includes(field) || facet.values[0].count > 1);
}
