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
 * @typedef {{box: [number, number, number, number], confidence: number, hits: Hit[], found: number}} Instance
 */
/**
 * @typedef {{
 *   hits: Hit[], instances?: Instance[] | null, linked_entities: LinkedEntity[], found: number, limit: number,
 *   offset: number,
 *   index: {bundle: string, model: string}, timings_ms: Record<string, number>, degraded: string[],
 * }} Answer
 */
/** @typedef {{limit: number, offset: number, signal: AbortSignal}} Page */

/** Longest wait for one answer, in milliseconds. */
const TIMEOUT_MS = 30_000;

/** A request that brought no answer. `kind` says which part failed: the network, the clock or the service. */
export class ApiError extends Error {
  /**
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
  if (reference?.kind === "product" && !isMixed(query)) return similar(reference.id, page);
  return post("v1/search", JSON.stringify(searchBody(query, page)), page.signal);
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
 * @param {Page} page
 * @returns {Promise<Answer>}
 */
function similar(id, { limit, offset, signal }) {
  const asked = new URLSearchParams({ limit: `${limit}`, offset: `${offset}`, explain: "true" });
  return request(`v1/products/${encodeURIComponent(id)}/similar?${asked}`, { signal });
}

/**
 * @param {import("./state.js").Query} query
 * @param {import("./state.js").PictureReference} picture
 * @param {Page} page
 * @returns {Promise<Answer>}
 */
function searchWithPicture(query, picture, { limit, offset, signal }) {
  const form = new FormData();
  form.set("image", picture.file, picture.name);
  if (isMixed(query)) {
    form.set("q", query.q);
    form.set("weight", `${query.weight}`);
  }
  if (query.dropped.length) form.set("entities", JSON.stringify(droppedEntities(query)));
  form.set("limit", `${limit}`);
  form.set("offset", `${offset}`);
  form.set("explain", "true");
  form.set("instances", "auto");
  return request("v1/search/image", { method: "POST", body: form, signal });
}

/**
 * @param {import("./state.js").Query} query words, perhaps with a product
 * @param {Page} page
 */
function searchBody(query, { limit, offset }) {
  const { q, reference, weight } = query;
  const asked =
    reference?.kind === "product"
      ? { query: [{ text: q, weight: 1 - weight }, { product: reference.id, weight }] }
      : { q };
  const entities = query.dropped.length ? { entities: droppedEntities(query) } : {};
  return { ...asked, ...entities, limit, offset, explain: true };
}

/** @param {import("./state.js").Query} query */
function droppedEntities({ dropped }) {
  return Object.fromEntries(dropped.map(({ group }) => [group, null]));
}

/**
 * @param {string} path
 * @param {string} body JSON
 * @param {AbortSignal} signal
 */
function post(path, body, signal) {
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
async function problem(response) {
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
