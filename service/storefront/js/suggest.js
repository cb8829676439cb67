// Completions of what is in the box, kept for the visit. One request at a time; a failing one is nobody's business.

import { ApiError, suggest } from "./api.js";

/** @typedef {import("./state.js").State} State */

/** Rest after the last key before suggestions are asked for. */
const TYPING_MS = 120;
/** The service completes no more characters than these. */
const LONGEST = 200;
const MOST_KEPT = 200;

/**
 * Keep the store's suggestions in step with its words.
 *
 * @param {import("./store.js").Store<State>} store
 */
export function startSuggesting(store) {
  /** @type {Map<string, import("./api.js").Suggestions>} */
  const kept = new Map();
  let underWay = new AbortController();
  let timer = 0;

  async function ask(/** @type {string} */ q) {
    const { signal } = (underWay = new AbortController());
    try {
      const found = await suggest(q, signal);
      if (signal.aborted) return;
      if (kept.size >= MOST_KEPT) kept.clear();
      kept.set(q, found);
      store.set({ suggested: { q, ...found } });
    } catch (error) {
      if (!signal.aborted && !(error instanceof ApiError)) throw error;
    }
  }

  function later(/** @type {string} */ typed) {
    underWay.abort();
    clearTimeout(timer);
    const q = typed.trim();
    const known = kept.get(q);
    if (known) store.set({ suggested: { q, ...known } });
    else if (q === "" || q.length > LONGEST) store.set({ suggested: null });
    else timer = setTimeout(() => void ask(q), TYPING_MS);
  }
  store.watch((state) => state.query.q, later);
  if (store.get().query.q) later(store.get().query.q);
}

/**
 * The parts of a suggestion, each with whether it was typed. Its words are the words typed, one by one, and from the last
 * of these on, any that begins with it.
 *
 * @param {string} suggestion
 * @param {string} typed
 * @returns {{part: string, typed: boolean}[]}
 */
export function marked(suggestion, typed) {
  const words = typed.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  return suggestion.split(/(?<=\s)(?=\S)/).flatMap((word, n) => {
    const beginning = words[Math.min(n, words.length - 1)] ?? "";
    const length = word.toLocaleLowerCase().startsWith(beginning) ? beginning.length : 0;
    return [
      ...(length ? [{ part: word.slice(0, length), typed: true }] : []),
      ...(length < word.length ? [{ part: word.slice(length), typed: false }] : []),
    ];
  });
}

/**
 * What to offer for what stands in the box: nothing that says the same, or one thing twice.
 *
 * @param {State} state
 */
export function offersOf({ query, suggested }) {
  const q = query.q.trim().toLocaleLowerCase();
  return (suggested?.suggestions ?? []).filter((item) => {
    const words = item.text.toLocaleLowerCase();
    const ending = item.value?.toLocaleLowerCase() ?? words.split(" ").at(-1) ?? "";
    const head = words.slice(0, words.length - ending.length).trim();
    return words !== q && !head.split(" ").includes(ending);
  });
}

/**
 * What was meant by the words whose answer is shown, where a word of them is misspelt.
 *
 * @param {State} state
 * @returns {string | null}
 */
export function meantOf({ query, answered, answer, suggested }) {
  const q = query.q.trim();
  if (!answer || !suggested?.corrected || suggested.q !== q || answered.q.trim() !== q) return null;
  return suggested.corrected.toLocaleLowerCase() === q.toLocaleLowerCase() ? null : suggested.corrected;
}
