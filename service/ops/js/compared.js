// Two lists of hits, compared.

/** @typedef {import("./api.js").Hit} Hit */
/** @typedef {import("./api.js").Term} Term */
/** @typedef {{kind: "same" | "up" | "down" | "new", by: number}} Change `by` so many places */
/** @typedef {{name: string, value: string | null, a: number | null, b: number | null, difference: number}} TermDifference */

/** Modes in which words as words have a weight; as usual is one. */
const HYBRID = new Set(["", "hybrid"]);
/** How far down a reader goes on: the p of rank-biased overlap. */
const PERSISTENCE = 0.9;

/**
 * Return the share of the first `k` that two rankings have in common. Where both are shorter, of the longer one.
 *
 * @param {readonly string[]} a
 * @param {readonly string[]} b
 * @param {number} [k]
 * @returns {number | null} null: both are empty
 */
export function overlapAt(a, b, k = 10) {
  const [first, second] = [a.slice(0, k), b.slice(0, k)];
  const most = Math.max(first.length, second.length);
  return most ? first.filter((id) => second.includes(id)).length / most : null;
}

/**
 * Return the rank-biased overlap of two rankings, extrapolated from what is seen of them (Webber, Moffat and Zobel
 * 2010, equation 32, for rankings of different lengths): 1 for equal ones, 0 for those with nothing in common.
 *
 * @param {readonly string[]} a
 * @param {readonly string[]} b
 * @param {number} [p] in (0, 1)
 * @returns {number | null} null: one is empty
 */
export function rankBiasedOverlap(a, b, p = PERSISTENCE) {
  const [short, long] = a.length <= b.length ? [a, b] : [b, a];
  const [s, l] = [short.length, long.length];
  if (!s) return l ? 0 : null;
  const common = (/** @type {number} */ depth) => {
    const seen = new Set(long.slice(0, depth));
    return short.slice(0, depth).filter((id) => seen.has(id)).length;
  };
  const [atShort, atLong] = [common(s), common(l)];
  let agreed = 0;
  for (let d = 1; d <= l; d += 1) agreed += (common(d) / d) * p ** d;
  for (let d = s + 1; d <= l; d += 1) agreed += ((atShort * (d - s)) / (s * d)) * p ** d;
  return ((1 - p) / p) * agreed + ((atLong - atShort) / l + atShort / s) * p ** l;
}

/**
 * Return how each hit of a ranking stands against another ranking: `up`, it is higher here than there.
 *
 * @param {readonly string[]} ids
 * @param {readonly string[]} others
 * @returns {Change[]}
 */
export function changes(ids, others) {
  return ids.map((id, place) => {
    const before = others.indexOf(id);
    if (before < 0) return { kind: "new", by: 0 };
    if (before === place) return { kind: "same", by: 0 };
    return before > place ? { kind: "up", by: before - place } : { kind: "down", by: place - before };
  });
}

/**
 * Return the terms of a product's score on both sides, those that differ most first. A term that one side lacks
 * counts nothing there.
 *
 * @param {readonly Term[]} a
 * @param {readonly Term[]} b
 * @returns {TermDifference[]}
 */
export function termDifferences(a, b) {
  /** @type {Map<string, TermDifference>} */
  const found = new Map();
  for (const [side, terms] of /** @type {const} */ ([
    ["a", a],
    ["b", b],
  ])) {
    for (const { query, name, value, score } of terms) {
      const key = JSON.stringify([query, name, value]);
      const row = found.get(key) ?? { name, value, a: null, b: null, difference: 0 };
      row[side] = (row[side] ?? 0) + score;
      row.difference = (row.b ?? 0) - (row.a ?? 0);
      found.set(key, row);
    }
  }
  return [...found.values()].sort((one, other) => Math.abs(other.difference) - Math.abs(one.difference));
}

/**
 * Return what a search asks for on one side.
 *
 * @param {{q: string, entities: string}} asked
 * @param {import("./state.js").Settings} settings
 * @param {number} limit
 */
export function searchBody({ q, entities }, settings, limit) {
  const { bundle, mode, weight, linking, rerank, diversity, collapse } = settings;
  const stated = entitiesIn(entities);
  return {
    ...(q.trim() ? { q: q.trim() } : {}),
    ...(Object.keys(stated).length ? { entities: stated } : {}),
    ...(bundle ? { bundle } : {}),
    ...(mode ? { mode } : {}),
    ...(weight !== "" && HYBRID.has(mode) ? { lexical_weight: Number(weight) } : {}),
    ...(linking ? { entity_linking: linking } : {}),
    ...(rerank ? { rerank: { action: rerank } } : {}),
    ...(diversity !== "" ? { diversity: Number(diversity) } : {}),
    ...(collapse.trim() ? { collapse: collapse.trim() } : {}),
    limit,
    explain: true,
  };
}

/**
 * Return the entities that a text states, `brand: Diesel; season: winter`. A group without a value is dropped: it is
 * not read from the words either.
 *
 * @param {string} said
 * @returns {Record<string, string | null>}
 */
export function entitiesIn(said) {
  const pairs = said.split(/[;\n]/).map((part) => part.split(":"));
  const named = pairs.map(([group, ...value]) => /** @type {const} */ ([group.trim(), value.join(":").trim()]));
  return Object.fromEntries(named.filter(([group]) => group).map(([group, value]) => [group, value || null]));
}

/**
 * The same for a search with a picture: the fields of a form.
 *
 * @param {ReturnType<typeof searchBody>} body
 * @param {File} picture
 */
export function searchForm(body, picture) {
  const form = new FormData();
  form.set("image", picture, picture.name);
  form.set("instances", "off"); // one list on each side
  for (const [name, value] of Object.entries(body)) {
    form.set(name, typeof value === "object" ? JSON.stringify(value) : `${value}`);
  }
  return form;
}
