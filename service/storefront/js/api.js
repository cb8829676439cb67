// The wire: requests to /v1 and what comes back. Knows nothing of the page.

import { isMixed } from "./state.js";

/**
 * @typedef {{
 *   id: string, title: string, description?: string, brand?: string | null, category?: string | null,
 *   season?: string | null, composition?: string | null, price?: number | null, currency?: string | null,
 *   in_stock?: boolean | null, url?: string | null, group?: string | null, images?: string[],
 *   attributes?: Record<string, string | number | boolean | string[]>,
 * }} Product
 */
/** @typedef {{query: number, name: string, value: string | null, gate: number | null, score: number}} Term */
/** @typedef {{id: string, score: number, product: Product, explain?: {terms: Term[]} | null}} Hit */
/**
 * @typedef {{
 *   query: number, group: string, value: string, surface: string | null, start: number | null, end: number | null,
 *   probability: number, source: "linked" | "caller", known: boolean,
 * }} LinkedEntity
 */
/**
 * A product in the picture: `box` is left, top, right and bottom as shares of its width and height.
 *
 * @typedef {{
 *   box: [number, number, number, number], confidence: number, hits: Hit[], found: number, facets?: Facets,
 * }} Instance
 */
/**
 * @typedef {{
 *   values: {value: string | boolean, count: number}[], distinct: number, exact: boolean,
 *   statistics: {count: number, min: number, max: number, mean: number} | null,
 * }} Facet
 */
/** @typedef {Record<string, Facet>} Facets */
/** @typedef {{field: string, limit: number}} AskedFacet */
/** @typedef {{text: string, group: string | null, value: string | null, count: number}} Suggestion */
/** @typedef {{suggestions: Suggestion[], corrected: string | null}} Suggestions `corrected`: what was meant, if misspelt */
/** @typedef {{surface: string, read_as: string | null}} Synonym words of the query that stand for others */
/**
 * @typedef {{
 *   hits: Hit[], instances?: Instance[] | null, linked_entities: LinkedEntity[], synonyms?: Synonym[],
 *   found: number, limit: number, offset: number, facets?: Facets,
 *   index: {bundle: string, model: string}, timings_ms: Record<string, number>, degraded: string[],
 * }} Answer
 */
/** @typedef {{limit: number, offset: number, signal: AbortSignal, facets?: AskedFacet[]}} Page */

/** Longest wait for one answer, in milliseconds. */
const TIMEOUT_MS = 30_000;
/** How strongly the disliked products push away, against a weight of 1 for all that is wanted. */
const LESS = 0.5;
/** Tells searches that are only for their counts from others in a log; the service does not read it. */
const COUNTS = "?counts";

/** A request that brought no answer. `kind` says which part failed: the network, the clock or the service. */
export class ApiError extends Error {
  /**
   * `status` is the service's; 0: the fault was seen here, before anything was sent.
   *
   * @param {"network" | "timeout" | "problem"} kind
   * @param {{title: string, detail?: string, status?: number, errors?: {path: string, message: string}[],
   *          requestId?: string | null, retryAfterMs?: number | null}} facts
   */
  constructor(kind, { title, detail = "", status = 0, errors = [], requestId = null, retryAfterMs = null }) {
    super(title);
    this.name = "ApiError";
    this.kind = kind;
    this.title = title;
    this.detail = detail;
    this.status = status;
    this.errors = errors;
    this.requestId = requestId;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may do better later: the fault is not in what was asked. */
  get passing() {
    return this.kind !== "problem" || this.status === 429 || this.status >= 500;
  }
}

/**
 * Ask for one page of hits, each with the terms of its score.
 *
 * @param {import("./state.js").Query} query not empty
 * @param {Page} page
 * @returns {Promise<Answer>}
 */
export function search(query, page) {
  const { reference } = query;
  if (reference?.kind === "picture") return searchWithPicture(query, reference, page);
  const alone = !isMixed(query) && !query.sort && !query.less.length;
  if (reference?.kind === "product" && alone) return similar(reference.id, query, page);
  const byCategory = query.q.trim() && !reference && alone ? { rerank: {} } : {}; // others come behind what was meant
  return post("v1/search", JSON.stringify({ ...searchBody(query, page), ...byCategory }), page.signal);
}

/**
 * Count the values of fields among what a search finds, or in the whole shop for an empty one.
 *
 * @param {import("./state.js").Query} query
 * @param {AskedFacet[]} facets
 * @param {AbortSignal} signal
 * @returns {Promise<Answer>}
 */
export function count(query, facets, signal) {
  const page = { limit: 1, offset: 0, facets, signal };
  if (query.reference?.kind === "picture") return searchWithPicture(query, query.reference, page, COUNTS);
  return post(`v1/search${COUNTS}`, JSON.stringify(searchBody(query, page)), signal);
}

/**
 * @param {string} q
 * @param {AbortSignal} signal
 * @returns {Promise<Suggestions>}
 */
export function suggest(q, signal) {
  return request(`v1/suggest?${new URLSearchParams({ q })}`, { signal });
}

/**
 * A first answer for a visitor who has not asked for anything: products near a shop's own small talk.
 *
 * @param {string} words
 * @param {Page} page
 * @returns {Promise<Answer>}
 */
export function browse(words, { limit, offset, signal }) {
  return post("v1/search", JSON.stringify({ q: words, entity_linking: "off", limit, offset }), signal);
}

/**
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<Product>}
 */
export async function product(id, signal) {
  const answer = await request(`v1/products/${encodeURIComponent(id)}`, { signal });
  return answer.product;
}

/**
 * @param {string} id
 * @param {import("./state.js").Query} query
 * @param {Page} page
 * @returns {Promise<Answer>}
 */
function similar(id, { filter }, { limit, offset, signal }) {
  const asked = new URLSearchParams({ limit: `${limit}`, offset: `${offset}`, explain: "true" });
  if (Object.keys(filter).length) asked.set("filter", JSON.stringify(filter));
  return request(`v1/products/${encodeURIComponent(id)}/similar?${asked}`, { signal });
}

/**
 * @param {import("./state.js").Query} query
 * @param {import("./state.js").PictureReference} picture
 * @param {Page} page
 * @param {string} [mark] behind the path
 * @returns {Promise<Answer>}
 */
async function searchWithPicture(query, picture, page, mark = "") {
  if (query.less.length) {
    const image = { data: await asDataUrl(picture.file) };
    const body = { ...searchBody(query, page), query: parts(query, { image }), instances: "auto" };
    return post(`v1/search${mark}`, JSON.stringify(body), page.signal);
  }
  const { limit, offset, signal, facets = [] } = page;
  const form = new FormData();
  form.set("image", picture.file, picture.name);
  if (isMixed(query)) {
    form.set("q", query.q);
    form.set("weight", `${query.weight}`);
  }
  for (const [name, value] of Object.entries(statedEntities(query))) form.set(name, JSON.stringify(value));
  for (const [name, value] of Object.entries(narrowing(query, facets))) form.set(name, JSON.stringify(value));
  form.set("limit", `${limit}`);
  form.set("offset", `${offset}`);
  form.set("explain", "true");
  form.set("instances", "auto");
  return request(`v1/search/image${mark}`, { method: "POST", body: form, signal });
}

/**
 * @param {import("./state.js").Query} query words, perhaps with a product
 * @param {Page} page
 */
function searchBody(query, { limit, offset, facets = [] }) {
  const { q, reference, less } = query;
  const product = reference?.kind === "product" ? { product: reference.id } : null;
  const asked = product || less.length ? { query: parts(query, product) } : q.trim() ? { q } : {};
  return { ...asked, ...statedEntities(query), ...narrowing(query, facets), limit, offset, explain: true };
}

/**
 * What is looked for, and away from what: the disliked share one weight, as in Rocchio's feedback, so that many of them
 * do not outweigh what is wanted.
 *
 * @param {import("./state.js").Query} query
 * @param {object | null} reference the picture or the product as the service takes it
 */
function parts({ q, weight, less }, reference) {
  const words = q.trim() ? { text: q } : null;
  const mixed = words && reference;
  return [
    ...(words ? [mixed ? { ...words, weight: 1 - weight } : words] : []),
    ...(reference ? [mixed ? { ...reference, weight } : reference] : []),
    ...less.map((product) => ({ product, weight: -LESS / less.length })),
  ];
}

/**
 * What narrows, counts and sorts, as far as it is asked for.
 *
 * @param {import("./state.js").Query} query
 * @param {AskedFacet[]} facets
 */
function narrowing({ filter: stated, sort, ...query }, facets) {
  const { reference, less } = query;
  const itself = reference?.kind === "product" && query.q.trim() === "" ? [reference.id] : [];
  const unwanted = [...itself, ...less];
  const filter = unwanted.length ? { ...stated, not: { id: unwanted } } : stated;
  return {
    ...(Object.keys(filter).length ? { filter } : {}),
    ...(facets.length ? { facets } : {}),
    ...(sort ? { sort: [sort] } : {}),
  };
}

/** @param {import("./state.js").Query} query What the user says of entities, if anything. */
function statedEntities({ dropped, corrected }) {
  const stated = [...dropped.map(({ group }) => [group, null]), ...corrected.map(({ group, value }) => [group, value])];
  return stated.length ? { entities: Object.fromEntries(stated) } : {};
}

/** Pictures as they were sent before: the user asks with the same one again and again.
 * @type {WeakMap<Blob, Promise<string>>} */
const sentBefore = new WeakMap();

/**
 * @param {Blob} picture
 * @returns {Promise<string>}
 */
export function asDataUrl(picture) {
  const written =
    sentBefore.get(picture) ??
    new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(String(reader.result));
      reader.onerror = () => reject(new ApiError("network", { title: "network" }));
      reader.readAsDataURL(picture);
    });
  sentBefore.set(picture, written);
  written.catch(() => sentBefore.delete(picture));
  return written;
}

/**
 * @param {string} path
 * @param {string} body JSON
 * @param {AbortSignal} signal
 */
export function post(path, body, signal) {
  return request(path, { method: "POST", headers: { "content-type": "application/json" }, body, signal });
}

/**
 * @param {string} path below the page's own address, so that the shop may live under a prefix
 * @param {RequestInit & {signal: AbortSignal}} options
 */
async function request(path, { signal, ...options }) {
  const clock = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await fetch(new URL(path, document.baseURI), {
      ...options,
      signal: AbortSignal.any([signal, clock]),
    });
    if (!response.ok) throw await problem(response);
    return await response.json();
  } catch (error) {
    if (signal.aborted || error instanceof ApiError) throw error;
    if (clock.aborted) throw new ApiError("timeout", { title: "timeout" });
    throw new ApiError("network", { title: "network" });
  }
}

/**
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
export async function problem(response) {
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json");
  const facts = isProblem ? await response.json() : {};
  const seconds = Number.parseFloat(response.headers.get("retry-after") ?? "");
  return new ApiError("problem", {
    title: facts.title ?? response.statusText,
    detail: facts.detail,
    status: response.status,
    errors: facts.errors,
    requestId: facts.request_id ?? response.headers.get("x-request-id"),
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : null,
  });
}
