// Catalens over HTTP, for browsers and for Node.js 20 or newer. What is asked and answered: /openapi.json.

/**
 * @typedef {Record<string, any>} Asked
 * @typedef {{signal?: AbortSignal}} Options
 * @typedef {{values: {value: string | boolean, count: number}[], distinct: number, exact: boolean,
 *   statistics: {count: number, min: number, max: number, mean: number} | null}} Facet
 * @typedef {{hits: {id: string, score: number, product: Asked}[], facets: Record<string, Facet>, found: number,
 *   linked_entities: Asked[], degraded: string[], timings_ms: Record<string, number>}} SearchResponse
 */

/** Parameters repeated for each value; other lists travel as JSON. */
const REPEATED = new Set(["fields", "shares", "differs"]);

/** `status` is 0 and `type` "timeout" or "network" where the service said nothing. */
export class CatalensError extends Error {
  name = "CatalensError";

  /** @param {string} message @param {Asked} facts */
  constructor(message, { status = 0, type = "", errors = [], requestId = null, retryAfterS = null, cause }) {
    super(message, { cause });
    Object.assign(this, { status, type, errors, requestId, retryAfterS });
  }
}

export class Catalens {
  #url;
  #headers;
  #timeoutMs;
  #retries;

  /**
   * `timeoutMs` bounds a call, retries and all; only calls that change nothing are retried, when told "not now".
   *
   * @param {{url: string, key?: string, timeoutMs?: number, retries?: number}} options
   */
  constructor({ url, key, timeoutMs = 10_000, retries = 2 }) {
    this.#url = url.endsWith("/") ? url : `${url}/`;
    this.#headers = key ? { authorization: `Bearer ${key}` } : {};
    this.#timeoutMs = timeoutMs;
    this.#retries = retries;
  }

  /**
   * Find products. `image` is {url}, {data} or a Blob, which `weight` weighs against the words `q`.
   *
   * @param {Asked} asked @param {Options} [options] @returns {Promise<SearchResponse>}
   */
  search({ image, ...asked }, options) {
    if (!(image instanceof Blob)) return this.#read("v1/search", json("POST", { image, ...asked }), options);
    const body = new FormData();
    for (const [name, value] of pairs(asked)) body.append(name, value);
    body.append("image", image, "picture");
    return this.#read("v1/search/image", { method: "POST", body }, options);
  }

  /** Find products like one. @param {string} id @param {Asked} [asked] @param {Options} [options] */
  similar(id, asked, options) {
    return this.#read(`${path(id)}/similar${query(asked)}`, {}, options);
  }

  /** Find the category of `q`, `image` or both. @param {Asked} asked @param {Options} [options] */
  classify(asked, options) {
    return this.#read("v1/classify", json("POST", asked), options);
  }

  /** Vectors of `input`: words, {text, entities} or {image}. @param {Asked} asked @param {Options} [options] */
  embed(asked, options) {
    return this.#read("v1/embeddings", json("POST", asked), options);
  }

  /** Complete what is typed, `q`. @param {Asked} [asked] @param {Options} [options] */
  suggest(asked, options) {
    return this.#read(`v1/suggest${query(asked)}`, {}, options);
  }

  /** One product. @param {string} id @param {Asked} [asked] @param {Options} [options] */
  product(id, asked, options) {
    return this.#read(path(id) + query(asked), {}, options);
  }

  /** Change products. @param {Asked[]} products @param {Asked} [asked] @param {Options} [options] */
  put(products, asked, options) {
    return this.#call(`v1/products${query(asked)}`, json("PUT", { products }), options);
  }

  /** Delete a product. @param {string} id @param {Asked} [asked] @param {Options} [options] */
  delete(id, asked, options) {
    return this.#call(path(id) + query(asked), { method: "DELETE" }, options);
  }

  /** The address of a picture that an answer names. @param {string} image */
  picture(image) {
    return image.startsWith("/") ? this.#url + image.slice(1) : image;
  }

  async #read(to, init, options) {
    const until = Date.now() + this.#timeoutMs;
    for (let tried = 0; ; tried += 1) {
      try {
        return await this.#call(to, init, options, until - Date.now());
      } catch (error) {
        const waitMs = (error.retryAfterS ?? 0.1 * 2 ** tried) * 1000;
        const notNow = error.status === 429 || error.status === 503;
        if (!notNow || tried >= this.#retries || Date.now() + waitMs >= until) throw error;
        await pause(waitMs, options?.signal);
      }
    }
  }

  async #call(to, { headers, ...init }, { signal } = {}, timeoutMs = this.#timeoutMs) {
    const clock = AbortSignal.timeout(Math.max(0, timeoutMs));
    init = { ...init, headers: { ...this.#headers, ...headers }, signal: AbortSignal.any([clock, signal ?? clock]) };
    try {
      const answer = await fetch(this.#url + to, init);
      if (!answer.ok) throw await problem(answer);
      return await answer.json();
    } catch (error) {
      if (error instanceof CatalensError || signal?.aborted) throw error;
      const type = clock.aborted ? "timeout" : "network";
      throw new CatalensError(`${type}: no answer from ${this.#url}`, { type, cause: error });
    }
  }
}

async function problem(answer) {
  const said = await answer.json().catch(() => ({}));
  const seconds = Number.parseFloat(answer.headers.get("retry-after"));
  return new CatalensError(said.detail ?? `HTTP ${answer.status}`, {
    status: answer.status,
    type: said.type,
    errors: said.errors,
    requestId: said.request_id ?? answer.headers.get("x-request-id"),
    retryAfterS: Number.isFinite(seconds) ? seconds : null,
  });
}

const path = (id) => `v1/products/${encodeURIComponent(id)}`;

const json = (method, asked) => ({
  method,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(asked),
});

const query = (asked = {}) => `?${new URLSearchParams([...pairs(asked)])}`;

function* pairs(asked) {
  for (const [name, value] of Object.entries(asked)) {
    if (REPEATED.has(name)) for (const one of value ?? []) yield [name, one];
    else if (value != null) yield [name, typeof value === "object" ? JSON.stringify(value) : `${value}`];
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
