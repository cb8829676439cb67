// From what /metrics said at several times to series over time.

import { total, totalsBy } from "./exposition.js";

/**
 * What is kept of one look: counters as they stood, and gauges.
 *
 * @typedef {{
 *   at: number,
 *   requests: Record<string, number>,
 *   buckets: Record<string, number>,
 *   vectors: Record<string, number>,
 *   answers: Record<string, number>,
 *   refusals: Record<string, number>,
 *   degraded: Record<string, number>,
 *   searches: number,
 *   gauges: {waiting: number, answering: number, memory: number, behind: number, changed: number, products: number},
 * }} Look
 */
/** @typedef {[at: number, value: number | null]} Point `at` in milliseconds; null: nothing to tell */

/** Milliseconds that are kept and shown. */
export const SHOWN_MS = 300_000;
/** Quantiles and shares are of so many milliseconds: those of two seconds would be of a handful of requests. */
const WINDOW_MS = 15_000;

const SEARCHES = /^\/v1\/(search|search\/image|products\/\{id\}\/similar)$/;
const REFUSED = new Set(["overloaded", "deadline-exceeded", "rate-limited"]);

/**
 * @param {import("./exposition.js").Metrics} metrics
 * @param {number} at in milliseconds
 * @returns {Look}
 */
export function lookOf(metrics, at) {
  const byResult = (/** @type {string} */ name) => totalsBy(metrics, name, ({ result }) => result);
  const ofSearch = (/** @type {Record<string, string>} */ { route = "", le, status = "" }) =>
    SEARCHES.test(route) && status.startsWith("2") ? le : null;
  return {
    at,
    requests: totalsBy(metrics, "catalens_requests_total", ({ route = "", status = "" }) =>
      route.startsWith("/v1/") ? `${status.charAt(0)}xx` : null,
    ),
    buckets: totalsBy(metrics, "catalens_request_duration_seconds_bucket", ofSearch),
    vectors: byResult("catalens_cache_lookups_total"),
    answers: byResult("catalens_result_cache_lookups_total"),
    refusals: totalsBy(metrics, "catalens_problems_total", ({ problem }) => (REFUSED.has(problem) ? problem : null)),
    degraded: totalsBy(metrics, "catalens_degraded_answers_total", ({ part }) => part),
    searches: total(metrics, "catalens_searches_total"),
    gauges: {
      waiting: total(metrics, "catalens_queue_depth"),
      answering: Math.max(0, total(metrics, "catalens_requests_in_flight") - 1), // one asks for these figures
      memory: total(metrics, "process_resident_memory_bytes"),
      behind: total(metrics, "catalens_updates_behind"),
      changed: total(metrics, "catalens_updates_rows"),
      products: total(metrics, "catalens_index_products"),
    },
  };
}

/**
 * The looks with one more, without those that are no longer shown.
 *
 * @param {readonly Look[]} looks
 * @param {Look} look
 */
export function withLook(looks, look) {
  return [...looks.filter(({ at }) => at > look.at - SHOWN_MS - WINDOW_MS), look];
}

/**
 * Return by how much counters rose. One that fell began again, with its process: what it stands at, it rose by.
 *
 * @param {Record<string, number>} before
 * @param {Record<string, number>} now
 */
export function rise(before, now) {
  return Object.fromEntries(
    Object.entries(now).map(([name, value]) => {
      const past = before[name] ?? 0;
      return [name, value >= past ? value - past : value];
    }),
  );
}

/**
 * Return the rates per second of a counter, by name, each from one look to the next.
 *
 * @param {readonly Look[]} looks
 * @param {(look: Look) => Record<string, number>} pick
 * @returns {Record<string, Point[]>}
 */
export function rates(looks, pick) {
  const names = [...new Set(looks.flatMap((look) => Object.keys(pick(look))))].sort();
  return Object.fromEntries(
    names.map((name) => [
      name,
      looks.slice(1).map((look, i) => {
        const seconds = (look.at - looks[i].at) / 1000;
        return /** @type {Point} */ ([look.at, (rise(pick(looks[i]), pick(look))[name] ?? 0) / seconds]);
      }),
    ]),
  );
}

/**
 * Return the points of a gauge.
 *
 * @param {readonly Look[]} looks
 * @param {keyof Look["gauges"]} name
 * @returns {Point[]}
 */
export function gauge(looks, name) {
  return looks.map(({ at, gauges }) => [at, gauges[name]]);
}

/**
 * Return, for each look, the share that `hit` has of what a counter rose by in the window before it.
 *
 * @param {readonly Look[]} looks
 * @param {(look: Look) => Record<string, number>} pick
 * @returns {Point[]}
 */
export function hitShare(looks, pick) {
  return overWindow(looks, pick, (risen) => {
    const all = sum(risen);
    return all ? (risen.hit ?? 0) / all : null;
  });
}

/**
 * Return, for each look, a quantile of the searches' time in the window before it, in milliseconds.
 *
 * @param {readonly Look[]} looks
 * @param {number} share such as 0.95
 * @returns {Point[]}
 */
export function quantiles(looks, share) {
  return overWindow(
    looks,
    (look) => look.buckets,
    (risen) => {
      const s = quantile(risen, share);
      return s === null ? null : s * 1000;
    },
  );
}

/**
 * Return a quantile of a histogram as Prometheus's `histogram_quantile` does: straight lines within a bucket, and the
 * last finite bound for what lies beyond it.
 *
 * @param {Record<string, number>} buckets counts up to each bound
 * @param {number} share
 * @returns {number | null} null: there is nothing in it
 */
export function quantile(buckets, share) {
  const bounds = Object.entries(buckets)
    .map(([le, n]) => ({ le: le === "+Inf" ? Infinity : Number(le), n }))
    .sort((a, b) => a.le - b.le);
  const all = bounds.at(-1)?.n ?? 0;
  if (!all) return null;
  const i = bounds.findIndex(({ n }) => n >= share * all);
  const { le: low, n: below } = i > 0 ? bounds[i - 1] : { le: 0, n: 0 };
  const { le: high, n } = bounds[i];
  if (high === Infinity) return low;
  return n === below ? high : low + ((high - low) * (share * all - below)) / (n - below);
}

/**
 * @param {readonly Look[]} looks
 * @param {(look: Look) => Record<string, number>} pick
 * @param {(risen: Record<string, number>) => number | null} tell
 * @returns {Point[]}
 */
function overWindow(looks, pick, tell) {
  return looks.slice(1).map((look, i) => {
    const first = looks.findIndex(({ at }) => at >= look.at - WINDOW_MS);
    return [look.at, tell(rise(pick(looks[Math.min(first, i)]), pick(look)))];
  });
}

/** @param {Record<string, number>} values */
export function sum(values) {
  return Object.values(values).reduce((all, value) => all + value, 0);
}
