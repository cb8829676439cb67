// How numbers, times and names are written, and the longer sentences.

const count = new Intl.NumberFormat("en");
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const dated = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

const BYTES = ["B", "KB", "MB", "GB", "TB"];
const NONE = "–";

/** @param {unknown} value */
const missing = (value) => value === null || value === undefined || Number.isNaN(value);

export const text = {
  none: NONE,
  count: (/** @type {number | null | undefined} */ n) => (missing(n) ? NONE : count.format(Number(n))),
  percent: (/** @type {number | null | undefined} */ share) => (missing(share) ? NONE : percent.format(Number(share))),

  /** A number with about three digits that matter. */
  figure(/** @type {number | null | undefined} */ value) {
    if (missing(value)) return NONE;
    const size = Math.abs(Number(value));
    const digits = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
    return Number(value).toLocaleString("en", { maximumFractionDigits: digits });
  },

  /** Three decimals, as scores and shares of the gate have them. */
  exact: (/** @type {number | null | undefined} */ value) => (missing(value) ? NONE : Number(value).toFixed(3)),
  signed: (/** @type {number} */ value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`,
  ms: (/** @type {number | null | undefined} */ value) => (missing(value) ? NONE : `${text.figure(value)} ms`),

  seconds(/** @type {number} */ s) {
    if (s < 1) return text.ms(s * 1000);
    return s < 90 ? `${text.figure(s)} s` : `${text.figure(s / 60)} min`;
  },

  bytes(/** @type {number | null | undefined} */ n) {
    if (missing(n)) return NONE;
    const step = Math.min(BYTES.length - 1, Math.floor(Math.log10(Math.max(Number(n), 1)) / 3));
    return `${text.figure(Number(n) / 1000 ** step)} ${BYTES[step]}`;
  },

  time(/** @type {string | null | undefined} */ iso) {
    const at = new Date(iso ?? "");
    return Number.isNaN(at.valueOf()) ? NONE : dated.format(at);
  },

  /** `self_retrieval` as `Self retrieval`. */
  name(/** @type {string} */ name) {
    const words = name.replaceAll("_", " ");
    return words.charAt(0).toUpperCase() + words.slice(1);
  },

  requestId: (/** @type {string} */ id) => `Request ${id}`,
  title: (/** @type {string} */ view) => `${text.name(view)} · Operator · Catalens`,
};
