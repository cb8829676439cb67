// What a search is narrowed to: fields and the values, or the range, that a product must have. Pure functions; no DOM, no
// network.

/** @typedef {string | boolean} Value */
/** @typedef {{gte?: number, lte?: number}} Range */
/** @typedef {Readonly<Record<string, readonly Value[] | Range>>} Filter as the service takes it; a list: any of them */

/** What a search may be sorted by, besides relevance. */
export const SORTS = ["price:asc", "price:desc"];

/**
 * @param {Filter} filter
 * @param {string} field
 * @returns {readonly Value[]} the values chosen of a field
 */
export function chosenValues(filter, field) {
  const stated = filter[field];
  return Array.isArray(stated) ? stated : [];
}

/**
 * @param {Filter} filter
 * @param {string} field
 * @returns {Range}
 */
export function chosenRange(filter, field) {
  const stated = filter[field];
  return stated && !Array.isArray(stated) ? /** @type {Range} */ (stated) : {};
}

/**
 * @param {Filter} filter
 * @param {string} field
 * @param {Value} value
 * @param {boolean} on whether it is wanted
 * @returns {Filter}
 */
export function withValue(filter, field, value, on) {
  const others = chosenValues(filter, field).filter((other) => other !== value);
  return withField(filter, field, on ? [...others, value] : others);
}

/**
 * @param {Filter} filter
 * @param {string} field
 * @param {readonly Value[] | Range} wanted empty: whatever the field holds
 * @returns {Filter}
 */
export function withField(filter, field, wanted) {
  const { [field]: _, ...others } = filter;
  if (Object.keys(wanted).length === 0) return others;
  return field in filter ? { ...filter, [field]: wanted } : { ...others, [field]: wanted };
}

/**
 * @param {string} from a number as it was typed, or nothing
 * @param {string} to
 * @returns {Range}
 */
export function rangeOf(from, to) {
  const [gte, lte] = [from, to].map((typed) => (typed.trim() === "" ? NaN : Number(typed)));
  return { ...(Number.isFinite(gte) ? { gte } : {}), ...(Number.isFinite(lte) ? { lte } : {}) };
}

/**
 * Write a filter into an address: is=FIELD:WORD, yes=FIELD and no=FIELD for true and false, range=FIELD:FROM..TO.
 *
 * @param {Filter} filter
 * @param {URLSearchParams} asked
 */
export function writeFilter(filter, asked) {
  for (const [field, wanted] of Object.entries(filter)) {
    const { gte = "", lte = "" } = chosenRange(filter, field);
    if (!Array.isArray(wanted)) asked.append("range", `${field}:${gte}..${lte}`);
    for (const value of chosenValues(filter, field)) {
      if (typeof value === "boolean") asked.append(value ? "yes" : "no", field);
      else asked.append("is", `${field}:${value}`);
    }
  }
}

/**
 * @param {URLSearchParams} asked as writeFilter writes it; what makes no sense is left out
 * @returns {Filter}
 */
export function readFilter(asked) {
  /** @type {Filter} */
  let filter = {};
  for (const [name, entry] of asked) {
    const [, field, said] = /^([^:]+):(.+)$/s.exec(entry) ?? [];
    if (name === "is" && field) filter = withValue(filter, field, said, true);
    if ((name === "yes" || name === "no") && entry) filter = withValue(filter, entry, name === "yes", true);
    const [, from, to] = /^(-?[\d.]*)\.\.(-?[\d.]*)$/.exec(said ?? "") ?? [];
    if (name === "range" && from !== undefined) filter = withField(filter, field, rangeOf(from, to));
  }
  return filter;
}
