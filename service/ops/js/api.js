// The wire: requests of this page and what comes back. Knows nothing of the page.

/**
 * @typedef {{
 *   id: string, role: "primary" | "beside" | "none", current: boolean, share: number, shadow: number,
 *   products: number | null, created_at: string | null, encoder: string | null, size_bytes: number,
 *   problem: string | null,
 * }} Bundle
 */
/** @typedef {{bundles: Bundle[], primary: string, problem: string | null}} Bundles */
/** @typedef {{id: string, title: string, brand?: string | null, category?: string | null, images?: string[]}} Product */
/** @typedef {{query: number, name: string, value: string | null, gate: number | null, score: number}} Term */
/** @typedef {{id: string, score: number, product: Product, explain?: {terms: Term[]}}} Hit */
/**
 * @typedef {{
 *   hits: Hit[], found: number, linked_entities: {group: string, value: string}[],
 *   index: {bundle: string, model: string}, timings_ms: Record<string, number>, degraded: string[],
 *   rerank: {action: string, reason: string, category: {name: string, probability: number} | null} | null,
 * }} Answer
 */
/**
 * @typedef {{
 *   bundle: string, method: string, of: number,
 *   points: {id: string[], title: string[], x: number[], y: number[], category: (string | null)[], price: (number | null)[]},
 * }} MapAnswer
 */
/** @typedef {{status: string, checks: {name: string, ok: boolean, detail: string, ms: number}[], degraded: string[]}} Ready */
/** @typedef {ReturnType<typeof createApi>} Api */
/** @typedef {ReturnType<typeof createSession>} Session */

const KEPT_AS = "catalens.admin-key";
/** Longest wait for one answer, in milliseconds: a gate that judges a large bundle takes minutes. */
const TIMEOUT_MS = 900_000;

/** A request that brought no answer. `status` 0: the service was not reached. */
export class ApiError extends Error {
  /**
   * @param {{title: string, detail?: string, status?: number, errors?: {path: string, message: string}[],
   *          requestId?: string | null}} facts
   */
  constructor({ title, detail = "", status = 0, errors = [], requestId = null }) {
    super(title);
    this.name = "ApiError";
    this.title = title;
    this.detail = detail;
    this.status = status;
    this.errors = errors;
    this.requestId = requestId;
  }

  /** Whether another key is what it takes. */
  get barred() {
    return this.status === 401 || this.status === 403;
  }
}

/** The key of this tab: kept until it is closed, never in the address. */
export function createSession() {
  let key = "";
  try {
    key = sessionStorage.getItem(KEPT_AS) ?? "";
  } catch {
    // Storage is refused in some private windows: the key lasts as long as the page.
  }
  return {
    get key() {
      return key;
    },
    keep(/** @type {string} */ given) {
      key = given;
      try {
        if (given) sessionStorage.setItem(KEPT_AS, given);
        else sessionStorage.removeItem(KEPT_AS);
      } catch {
        // As above.
      }
    },
  };
}

/** @param {Session} session */
export function createApi(session) {
  /**
   * @param {string} path below the service's address, which is the folder above this page
   * @param {RequestInit} [options]
   */
  async function send(path, options = {}) {
    const clock = AbortSignal.timeout(TIMEOUT_MS);
    const headers = new Headers(options.headers);
    if (session.key) headers.set("authorization", `Bearer ${session.key}`);
    const signal = options.signal ? AbortSignal.any([options.signal, clock]) : clock;
    try {
      const response = await fetch(new URL(`../${path}`, document.baseURI), { ...options, headers, signal });
      if (!response.ok && !(path === "readyz" && response.status === 503)) throw await problem(response);
      return response;
    } catch (error) {
      if (error instanceof ApiError || options.signal?.aborted) throw error;
      const title = clock.aborted ? "The service took too long to answer" : "The service cannot be reached";
      throw new ApiError({ title, detail: "Look whether it runs, and whether this machine is connected to it." });
    }
  }

  /**
   * @template T
   * @param {string} path
   * @param {RequestInit} [options]
   * @returns {Promise<T>}
   */
  const json = async (path, options) => (await send(path, options)).json();
  /** @param {string} method @param {unknown} body */
  const withBody = (method, body) => ({
    method,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const at = (/** @type {string} */ id) => `v1/bundles/${encodeURIComponent(id)}`;

  return {
    /** @returns {Promise<Bundles>} */
    bundles: () => json("v1/bundles"),
    /** @returns {Promise<import("./report.js").ReportAnswer>} */
    report: (/** @type {string} */ id) => json(`${at(id)}/report`),
    /** @returns {Promise<MapAnswer>} */
    map: (/** @type {string} */ id, /** @type {number} */ limit, /** @type {AbortSignal} */ signal) =>
      json(`${at(id)}/map?limit=${limit}`, { signal }),
    /** @returns {Promise<Bundles>} */
    activate: (/** @type {string} */ id, /** @type {boolean} */ force) =>
      json(`${at(id)}/activate${force ? "?force=true" : ""}`, { method: "POST" }),
    /** @returns {Promise<Bundles>} */
    rollBack: () => json("v1/bundles/rollback", { method: "POST" }),
    /** @returns {Promise<Bundles>} */
    place: (/** @type {string} */ id, /** @type {{share: number, shadow: number}} */ role) =>
      json(at(id), withBody("PUT", role)),
    /** @returns {Promise<Bundles>} */
    displace: (/** @type {string} */ id) => json(at(id), { method: "DELETE" }),
    /** @returns {Promise<Answer>} */
    search: (/** @type {object} */ asked, /** @type {AbortSignal} */ signal) =>
      json("v1/search", { ...withBody("POST", asked), signal }),
    /** @returns {Promise<Answer>} */
    searchWithPicture: (/** @type {FormData} */ form, /** @type {AbortSignal} */ signal) =>
      json("v1/search/image", { method: "POST", body: form, signal }),
    /** @returns {Promise<{product: Product}>} */
    product: (/** @type {string} */ id, /** @type {AbortSignal} */ signal) =>
      json(`v1/products/${encodeURIComponent(id)}`, { signal }),
    /** @returns {Promise<string>} */
    metrics: async () => (await send("metrics")).text(),
    /** @returns {Promise<Ready>} */
    ready: () => json("readyz"),
    /** The address of a product's picture: where a key is needed, the picture itself is fetched with it. */
    async picture(/** @type {string} */ path) {
      const relative = path.replace(/^\//, "");
      if (!session.key) return new URL(`../${relative}`, document.baseURI).href;
      return URL.createObjectURL(await (await send(relative)).blob());
    },
  };
}

/**
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
async function problem(response) {
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json");
  const facts = isProblem ? await response.json() : {};
  return new ApiError({
    title: facts.title ?? (response.statusText || `HTTP ${response.status}`),
    detail: facts.detail,
    status: response.status,
    errors: facts.errors,
    requestId: facts.request_id ?? response.headers.get("x-request-id"),
  });
}
