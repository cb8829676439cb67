// InstantSearch over Catalens: what its helper asks in Algolia's words becomes searches, and answers become results.
//
//   import { Catalens } from "./catalens.js";
//   import { searchClient } from "./instantsearch.js";
//   instantsearch({ indexName: "products", searchClient: searchClient(new Catalens({ url })) })

/** @typedef {Record<string, any>} Params of a request, as the helper writes them */
/**
 * @typedef {{
 *   search?: Params,
 *   replicas?: Record<string, string[]>,
 *   booleans?: string[],
 *   highlight?: string[],
 * }} Options
 *   `search` goes with every search (`mode`, `collapse`, `rerank`, a `filter` that always holds); `replicas` are names
 *   of sorted indexes and what they sort by, `{"by-price": ["price:asc"]}`; `booleans` are fields that are true or
 *   false; `highlight`, fields of products in which the words of the query are marked
 */

/** The service skips no more hits than this. */
const DEEPEST = 1_000;

/** The most values of a field that the service counts for one search. */
const MOST_VALUES = 1_000;

/** What a search may say of words only; without any it browses. */
const OF_WORDS = ["mode", "lexical_weight", "rerank", "entities", "entity_linking"];

/** What only Algolia understands: better refused than ignored. */
const FOREIGN = ["filters", "tagFilters", "optionalFilters", "aroundLatLng", "insideBoundingBox", "insidePolygon"];

const COMPARED = /^(?<field>.+?)\s*(?<operator><=|>=|!=|=|<|>)\s*(?<number>-?[\d.]+(?:e[+-]?\d+)?)$/i;
const OPERATORS = { "<": "lt", "<=": "lte", ">": "gt", ">=": "gte", "=": "eq" };

/**
 * Return the search client for InstantSearch.
 *
 * @param {import("./catalens.js").Catalens} catalens
 * @param {Options} [options]
 */
export function searchClient(catalens, options = {}) {
  const chosen = {
    search: {},
    replicas: {},
    booleans: ["in_stock"],
    highlight: ["title", "description", "brand", "category"],
    ...options,
  };
  return {
    /** @param {{indexName: string, params?: Params}[]} requests */
    async search(requests) {
      const one = async ({ indexName, params = {} }) =>
        results(await catalens.search(asked(indexName, params, chosen)), indexName, params, catalens, chosen);
      return { results: await Promise.all(requests.map(one)) };
    },

    /** @param {{indexName: string, params: Params}[]} requests */
    searchForFacetValues(requests) {
      return Promise.all(requests.map(({ params }) => facetValues(catalens, params, chosen)));
    },
  };
}

/**
 * Return the search that a request comes to.
 *
 * @param {string} index
 * @param {Params} params
 * @param {Required<Options>} options
 */
export function asked(index, params, { search, replicas, booleans }) {
  const foreign = FOREIGN.find((name) => params[name]?.length);
  if (foreign) throw new TypeError(`Catalens has no ${foreign}: use facets, or the adapter's option search.filter`);
  const { query = "", page = 0, hitsPerPage = 20, maxValuesPerFacet = 20 } = params;
  const facets = [params.facets ?? []].flat().filter((field) => field !== "*");
  const words = query.trim() ? { q: query } : Object.fromEntries(OF_WORDS.map((name) => [name, undefined]));
  return {
    ...search,
    ...words,
    filter: both(search.filter, filterOf(params, booleans)),
    facets: facets.map((field) => ({ field, limit: Math.min(maxValuesPerFacet, MOST_VALUES) })),
    sort: replicas[index] ?? search.sort ?? [],
    limit: hitsPerPage || 1,
    offset: page * hitsPerPage,
  };
}

function both(...filters) {
  const stated = filters.filter((filter) => filter && Object.keys(filter).length);
  return stated.length > 1 ? { and: stated } : (stated[0] ?? {});
}

/** Return the filter of a request; lists within lists are "any of them". */
function filterOf({ facetFilters = [], numericFilters = [] }, booleans) {
  const all = (stated, read) =>
    [stated].flat().map((one) => (Array.isArray(one) ? anyOf(one.map(read)) : read(one)));
  const conditions = [...all(facetFilters, (text) => equal(text, booleans)), ...all(numericFilters, compared)];
  return conditions.length ? { and: conditions } : {};
}

const anyOf = (conditions) => (conditions.length === 1 ? conditions[0] : { or: conditions });

/** "brand:Ember", or "brand:-Ember" for all others; a minus of the value's own is written "\-". */
function equal(text, booleans) {
  const [field, ...rest] = text.split(":");
  const value = rest.join(":");
  if (value.startsWith("-")) return { not: equal(`${field}:${value.slice(1)}`, booleans) };
  const meant = value.replace(/^\\-/, "-");
  return { [field]: booleans.includes(field) ? meant === "true" : meant };
}

/** "price<=10" */
function compared(text) {
  const parts = COMPARED.exec(text)?.groups;
  if (!parts) throw new TypeError(`${text} compares no number`);
  const number = Number(parts.number);
  if (parts.operator === "!=") return { not: { [parts.field]: number } };
  return { [parts.field]: { [OPERATORS[parts.operator]]: number } };
}

function results(answer, index, params, catalens, { highlight }) {
  const { query = "", page = 0, hitsPerPage = 20 } = params;
  const facets = Object.entries(answer.facets);
  const pages = hitsPerPage ? Math.ceil(answer.found / hitsPerPage) : 0;
  return {
    index,
    query,
    params: "",
    hits: hitsPerPage ? answer.hits.map((hit) => hitOf(hit, params, catalens, highlight)) : [],
    nbHits: answer.found,
    page,
    hitsPerPage,
    nbPages: Math.min(pages, Math.floor(DEEPEST / (hitsPerPage || 1)) + 1),
    facets: Object.fromEntries(facets.map(([field, facet]) => [field, counts(facet)])),
    facets_stats: Object.fromEntries(facets.flatMap(([field, { statistics }]) => statisticsOf(field, statistics))),
    exhaustiveFacetsCount: facets.every(([, facet]) => facet.exact),
    exhaustiveNbHits: answer.filter_strategy !== "approximate",
    processingTimeMS: Math.round(answer.timings_ms.total),
    degraded: answer.degraded,
    linked_entities: answer.linked_entities,
  };
}

const counts = ({ values }) => Object.fromEntries(values.map(({ value, count }) => [`${value}`, count]));

function statisticsOf(field, statistics) {
  if (!statistics) return [];
  const { count, min, max, mean } = statistics;
  return [[field, { min, max, avg: mean, sum: mean * count }]];
}

function hitOf({ id, score, product }, params, catalens, highlight) {
  const stated = highlight.filter((field) => typeof product[field] === "string");
  const marked = Object.fromEntries(stated.map((field) => [field, mark(product[field], params)]));
  const images = product.images?.map((image) => catalens.picture(image));
  const shown = { ...product, ...(images && { images }) };
  return { ...shown, objectID: id, score, _highlightResult: marked, _snippetResult: marked };
}

/** Return `text` with tags around beginnings of its words that are words of the query, whatever their case. */
function mark(text, { query = "", highlightPreTag = "<em>", highlightPostTag = "</em>" }) {
  const words = [...new Set(wordsOf(query))].sort((a, b) => b.length - a.length);
  const found = new Set();
  const beginning = words.length && new RegExp(`(?<![\\p{L}\\p{N}])(?:${words.join("|")})`, "giu");
  const value = beginning
    ? text.replace(beginning, (word) => {
        found.add(word.toLowerCase());
        return highlightPreTag + word + highlightPostTag;
      })
    : text;
  const matchLevel = found.size === 0 ? "none" : found.size < words.length ? "partial" : "full";
  return { value, matchLevel, fullyHighlighted: false, matchedWords: [...found] };
}

const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

/** Return the values of a facet some word of which begins with what was typed, most products first. */
async function facetValues(catalens, { facetName, facetQuery = "", maxFacetHits = 10, ...params }, options) {
  const search = asked("", { ...params, facets: [], page: 0, hitsPerPage: 1 }, options);
  const answer = await catalens.search({ ...search, facets: [{ field: facetName, limit: MOST_VALUES }] });
  const { values, distinct, exact } = answer.facets[facetName];
  const tags = { ...params, query: facetQuery };
  const all = values.map(({ value, count }) => ({ value: `${value}`, count, marked: mark(`${value}`, tags) }));
  const facetHits = all
    .filter(({ marked }) => !facetQuery.trim() || marked.matchLevel === "full")
    .slice(0, maxFacetHits)
    .map(({ value, count, marked }) => ({ value, count, highlighted: marked.value }));
  return {
    facetHits,
    exhaustiveFacetsCount: exact && distinct <= values.length,
    processingTimeMS: Math.round(answer.timings_ms.total),
  };
}
