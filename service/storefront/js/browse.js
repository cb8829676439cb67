// What a visitor sees before asking: a varied first grid, and example searches in the shop's own words. Both
// come from answers of the service, so that they fit whatever catalogue is behind it.

/** @typedef {import("./api.js").Hit} Hit */

/** What the first grid is searched with. Every shop has something near it. */
export const BROWSE_WORDS = "new and popular";
/** Where in its answer to look: the best hits of a large shop may all be of one kind, those far apart are not. */
export const BROWSE_OFFSETS = [0, 300, 1000];
/** How many hits to look at, at each of these places. */
export const BROWSE_LIMIT = 50;
const EXAMPLES = 6;

/**
 * Return `hits` dealt out by category: the best of each category first, then the second of each, and so on.
 *
 * @param {readonly Hit[]} hits best first
 * @returns {Hit[]}
 */
export function varied(hits) {
  /** @type {Map<string, Hit[]>} */
  const piles = new Map();
  for (const hit of hits) {
    const category = hit.product.category ?? "";
    piles.set(category, [...(piles.get(category) ?? []), hit]);
  }
  const rounds = Math.max(0, ...[...piles.values()].map((pile) => pile.length));
  return Array.from({ length: rounds }, (_, round) => [...piles.values()].flatMap((pile) => pile[round] ?? [])).flat();
}

/**
 * Return example searches made of what `hits` are: each of another category, by colour or brand in turn.
 *
 * @param {readonly Hit[]} hits varied
 * @returns {string[]}
 */
export function exampleSearches(hits) {
  /** @type {Map<string, string>} */
  const examples = new Map();
  for (const { product } of hits) {
    if (examples.size === EXAMPLES) break;
    const { category } = product;
    if (!category || examples.has(category)) continue;
    const byBrand = examples.size % 2 === 1;
    const kind = category.split(/[>/]/).at(-1)?.trim() ?? category;
    const described = (byBrand ? null : colourOf(product)) ?? product.brand;
    examples.set(category, [described, kind.toLocaleLowerCase()].filter(Boolean).join(" "));
  }
  return [...examples.values()];
}

/**
 * The colour a product states, under whichever name its catalogue has for it; the plainest name first.
 *
 * @param {import("./api.js").Product} product
 */
function colourOf({ attributes = {} }) {
  const names = Object.keys(attributes).filter((name) => /colou?r/i.test(name) && typeof attributes[name] === "string");
  const [plainest] = names.sort((a, b) => a.length - b.length);
  return plainest ? String(attributes[plainest]).toLocaleLowerCase() : null;
}
