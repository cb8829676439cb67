// Prometheus's text format, read: https://prometheus.io/docs/instrumenting/exposition_formats/

/** @typedef {{labels: Readonly<Record<string, string>>, value: number}} Sample */
/** @typedef {Map<string, Sample[]>} Metrics samples by name, such as `catalens_requests_total` */

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /\s*([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)/y;
const SPECIAL = { "+Inf": Infinity, "-Inf": -Infinity, Inf: Infinity, NaN: Number.NaN };
const ESCAPED = { "\\\\": "\\", '\\"': '"', "\\n": "\n" };

/**
 * Return what the text states. Comments, and lines that are none of the format, are passed over.
 *
 * @param {string} exposed
 * @returns {Metrics}
 */
export function parse(exposed) {
  /** @type {Metrics} */
  const metrics = new Map();
  for (const line of exposed.split("\n")) {
    const [, name, labels = "", stated = ""] = LINE.exec(line.trim()) ?? [];
    if (!name) continue;
    const value = stated in SPECIAL ? SPECIAL[/** @type {keyof typeof SPECIAL} */ (stated)] : Number(stated);
    if (Number.isNaN(value) && stated !== "NaN") continue;
    const samples = metrics.get(name) ?? [];
    samples.push({ labels: labelsIn(labels), value });
    metrics.set(name, samples);
  }
  return metrics;
}

/** @param {string} stated `a="1",b="2"` */
function labelsIn(stated) {
  /** @type {Record<string, string>} */
  const labels = {};
  LABEL.lastIndex = 0;
  for (let found = LABEL.exec(stated); found; found = LABEL.exec(stated)) {
    labels[found[1]] = found[2].replace(/\\[\\"n]/g, (pair) => ESCAPED[/** @type {keyof typeof ESCAPED} */ (pair)]);
  }
  return labels;
}

/**
 * Return the sum of a metric's samples, 0 without any.
 *
 * @param {Metrics} metrics
 * @param {string} name
 * @param {(labels: Sample["labels"]) => boolean} [wanted]
 */
export function total(metrics, name, wanted = () => true) {
  const samples = metrics.get(name) ?? [];
  return samples.reduce((sum, { labels, value }) => (wanted(labels) ? sum + value : sum), 0);
}

/**
 * Return the sums of a metric's samples by what `key` makes of their labels.
 *
 * @param {Metrics} metrics
 * @param {string} name
 * @param {(labels: Sample["labels"]) => string | null} key null: left out
 * @returns {Record<string, number>}
 */
export function totalsBy(metrics, name, key) {
  /** @type {Record<string, number>} */
  const sums = {};
  for (const { labels, value } of metrics.get(name) ?? []) {
    const under = key(labels);
    if (under !== null) sums[under] = (sums[under] ?? 0) + value;
  }
  return sums;
}
