// The products in the picture: which hits are shown for all of them and for one. Pure functions; no DOM, no network.

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./api.js").Hit} Hit */
/** @typedef {import("./api.js").Instance} Instance */

/**
 * @param {Answer | null} answer
 * @returns {Instance[]} none where the picture shows one thing, or there is no picture
 */
export function instancesOf(answer) {
  return answer?.instances ?? [];
}

/**
 * The place of the chosen product, null where all are shown: none is chosen, or the answer has it no longer.
 *
 * @param {Answer | null} answer
 * @param {number | null} chosen
 */
export function chosenOf(answer, chosen) {
  return chosen !== null && chosen < instancesOf(answer).length ? chosen : null;
}

/**
 * What an answer shows: the hits of the chosen product; without one those of each in turn; those of the whole picture
 * where no products were found in it.
 *
 * @param {Answer} answer
 * @param {number | null} chosen
 * @returns {Hit[]}
 */
export function hitsOf(answer, chosen) {
  const instances = instancesOf(answer);
  const place = chosenOf(answer, chosen);
  if (place !== null) return instances[place].hits;
  return instances.length ? inTurn(instances.map(({ hits }) => hits)) : answer.hits;
}

/**
 * How many hits there are on all pages of what is shown; null where that cannot be told: those of several products may
 * be the same.
 *
 * @param {Answer} answer
 * @param {number | null} chosen
 */
export function foundOf(answer, chosen) {
  const instances = instancesOf(answer);
  const place = chosenOf(answer, chosen) ?? (instances.length === 1 ? 0 : null);
  if (place !== null) return instances[place].found;
  return instances.length ? null : answer.found;
}

/**
 * How far the longest list of an answer goes.
 *
 * @param {Answer} answer
 */
export function longestOf(answer) {
  return Math.max(answer.found, ...instancesOf(answer).map(({ found }) => found));
}

/**
 * The best of each list, then the second of each, and so on; what was there before is left out.
 *
 * @param {Hit[][]} lists
 * @returns {Hit[]}
 */
export function inTurn(lists) {
  const longest = Math.max(0, ...lists.map((hits) => hits.length));
  const dealt = Array.from({ length: longest }, (_, n) => lists.flatMap((hits) => hits[n] ?? [])).flat();
  const seen = new Set();
  return dealt.filter(({ id }) => !seen.has(id) && seen.add(id));
}

/**
 * The instances of an answer, each with the hits of its next page; of another page than that of the same products,
 * nothing.
 *
 * @param {Answer} answer
 * @param {Answer} page
 * @param {(hits: Hit[], page: Hit[]) => Hit[]} join
 */
export function withNextPage(answer, page, join) {
  const next = instancesOf(page);
  if (next.length !== instancesOf(answer).length) return answer.instances;
  return answer.instances?.map((instance, n) => ({ ...instance, hits: join(instance.hits, next[n].hits) }));
}
