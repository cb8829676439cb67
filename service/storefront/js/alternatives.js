// What an entity that was read out of the words may have been meant to be.

import { ApiError, count, suggest } from "./api.js";
import { NO_QUERY } from "./state.js";

/** @typedef {{group: string, surface: string, value: string}} Read */

const MOST = 8;

/**
 * Return values of the entity's group to choose from instead: those whose names begin with its words, then those of the
 * products that the words find when it is not read out of them, the most frequent first.
 *
 * @param {string} q the words
 * @param {Read} read
 * @param {AbortSignal} signal
 * @returns {Promise<string[]>}
 */
export async function alternatives(q, { group, surface, value }, signal) {
  const open = { ...NO_QUERY, q, dropped: [{ group, value, surface }] };
  const facets = [{ field: group, limit: MOST + 1 }];
  const [named, found] = await Promise.all([
    suggest(surface, signal).then(({ suggestions }) => suggestions, nothing(signal)),
    count(open, facets, signal).then((answer) => answer.facets?.[group]?.values ?? [], nothing(signal)),
  ]);
  const names = named.flatMap((suggestion) => (suggestion.group === group ? (suggestion.value ?? []) : []));
  const others = [...names, ...found.map((one) => String(one.value))];
  const seen = new Set([folded(value)]);
  return others.filter((other) => !seen.has(folded(other)) && seen.add(folded(other))).slice(0, MOST);
}

/**
 * A source that does not answer, or has no such field, offers nothing.
 *
 * @param {AbortSignal} signal
 */
function nothing(signal) {
  return (/** @type {unknown} */ error) => {
    if (signal.aborted || !(error instanceof ApiError)) throw error;
    return [];
  };
}

/** @param {string} words */
function folded(words) {
  return words.toLocaleLowerCase().trim();
}
