// When to ask, what to do with an answer, and what to do without one. Watches the query in the store; at most
// one search is under way, and a newer one ends it.

import { ApiError, browse, search } from "./api.js";
import { BROWSE_LIMIT, BROWSE_OFFSETS, BROWSE_WORDS, exampleSearches, varied } from "./browse.js";
import { longestOf, withNextPage } from "./instances.js";
import { isEmpty } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Query} Query */

/** Hits per page. */
export const PAGE = 24;
/** The service pages no further than this offset. */
const DEEPEST_OFFSET = 1000;
/** Rest after the last key before a search starts. */
const TYPING_MS = 160;
/** After this long without an answer the page says that it is slow. */
const SLOW_MS = 4000;
/** A refusal that asks to come back within this time is obeyed without bothering the user, this often. */
const PATIENCE_MS = 10_000;
const ATTEMPTS = 3;

/**
 * Keep the store's answer in step with its query.
 *
 * @param {import("./store.js").Store<State>} store
 * @returns {{now: () => void, more: () => Promise<void>}} search at once; fetch the next page
 */
export function startSearching(store) {
  let underWay = new AbortController();
  let timer = 0;

  function later(/** @type {number} */ ms) {
    underWay.abort();
    clearTimeout(timer);
    const empty = isEmpty(store.get().query);
    store.set(empty ? { answer: null, error: null, phase: "idle", loadingMore: false } : { phase: "loading" });
    timer = setTimeout(now, ms);
  }

  function now() {
    underWay.abort();
    clearTimeout(timer);
    underWay = new AbortController();
    void run(store, underWay.signal);
  }

  store.watch(
    (state) => state.query,
    (query, before) => later(isEmpty(query) || sameWords(query, before) ? 0 : TYPING_MS),
  );
  store.watch(
    (state) => state.online,
    (online) => online && store.get().error && now(),
  );
  return { now, more: () => showMore(store, underWay.signal) };
}

/** How far the hits of `answer` reach; null where there is nothing beyond. */
export function nextOffset(/** @type {import("./api.js").Answer | null} */ answer) {
  if (!answer) return null;
  const next = answer.offset + answer.limit;
  return next < longestOf(answer) && next <= DEEPEST_OFFSET ? next : null;
}

/**
 * @param {Query} query
 * @param {Query} before
 */
function sameWords(query, before) {
  return query.q === before.q && query.weight === before.weight;
}

/**
 * @param {import("./store.js").Store<State>} store
 * @param {AbortSignal} signal
 */
async function run(store, signal) {
  const { query, browse: seen, error: old } = store.get();
  const empty = isEmpty(query);
  if (empty && seen) return;
  store.set({ phase: "loading", loadingMore: false });
  const slow = setTimeout(() => !signal.aborted && store.set({ phase: "slow" }), SLOW_MS);
  try {
    const found = empty
      ? { browse: await firstView(signal) }
      : { answer: await firstPage(store.get(), signal), answered: query };
    const { error } = store.get();
    store.set({ ...found, phase: "ready", error: error === old ? null : error }); // a newer error is not of this search
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof ApiError)) throw error;
    store.set({ phase: "failed", error, ...(error.passing ? {} : { answer: null }) });
  } finally {
    clearTimeout(slow);
  }
}

/** @param {AbortSignal} signal */
async function firstView(signal) {
  const pages = BROWSE_OFFSETS.map((offset) => ({ limit: BROWSE_LIMIT, offset, signal }));
  const answers = await Promise.all(pages.map((page) => patiently(() => browse(BROWSE_WORDS, page), signal)));
  const hits = varied(answers.map((answer) => answer.hits).reduce(joined));
  return { answer: answers[0], hits: hits.slice(0, PAGE), examples: exampleSearches(hits) };
}

/**
 * @param {State} state
 * @param {AbortSignal} signal
 */
async function firstPage({ query, facets }, signal) {
  const open = facets.filter(({ field }) => !(field in query.filter)); // counting.js asks for the others
  const page = { limit: PAGE, offset: 0, facets: open, signal };
  return withoutItself(query, await patiently(() => search(query, page), signal));
}

/**
 * @param {import("./store.js").Store<State>} store
 * @param {AbortSignal} signal
 */
async function showMore(store, signal) {
  const { query, answer, loadingMore } = store.get();
  const offset = nextOffset(answer);
  if (!answer || offset === null || loadingMore) return;
  store.set({ loadingMore: true, error: null });
  try {
    const page = withoutItself(query, await patiently(() => search(query, { limit: PAGE, offset, signal }), signal));
    const hits = joined(answer.hits, page.hits);
    const { facets } = answer;
    store.set({ answer: { ...page, facets, hits, instances: withNextPage(answer, page, joined) }, loadingMore: false });
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof ApiError)) throw error;
    store.set({ error, loadingMore: false });
  }
}

/**
 * Two pages as one list. A product may stand on both when the index was swapped in between.
 *
 * @param {import("./api.js").Hit[]} hits
 * @param {import("./api.js").Hit[]} page
 */
function joined(hits, page) {
  const seen = new Set(hits.map((hit) => hit.id));
  return [...hits, ...page.filter((hit) => !seen.has(hit.id))];
}

/**
 * The answer to "like this, but …" without the product it starts from.
 *
 * @param {Query} query
 * @param {import("./api.js").Answer} answer
 */
function withoutItself({ reference }, answer) {
  if (reference?.kind !== "product") return answer;
  return { ...answer, hits: answer.hits.filter((hit) => hit.id !== reference.id) };
}

/**
 * Ask again where the service says when to come back, if that is soon.
 *
 * @template T
 * @param {() => Promise<T>} ask
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
async function patiently(ask, signal) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      const wait = error instanceof ApiError ? error.retryAfterMs : null;
      if (signal.aborted || wait === null || wait > PATIENCE_MS || attempt === ATTEMPTS) throw error;
      await rest(wait, signal);
    }
  }
}

/**
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function rest(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
