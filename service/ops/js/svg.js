// Small plots as SVG, drawn in the colours of the page. What they show is said in words beside them or in a table.

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 100;

/** @typedef {import("./series.js").Point} Point */
/** @typedef {{name: string, tone: number | string, points: readonly Point[]}} Line */

/**
 * @param {string} tag
 * @param {Record<string, string | number | null>} attributes
 * @param {...Node} children
 */
function s(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, `${value}`);
  node.append(...children);
  return node;
}

/**
 * A bar as long as a share of the width, with a mark where the gate's bar is.
 *
 * @param {number} share in 0..1
 * @param {{bar?: number | null, tone?: string}} [facts] `tone`: a class
 */
export function meter(share, { bar = null, tone = "" } = {}) {
  const place = (/** @type {number} */ value) => Math.min(1, Math.max(0, value)) * WIDE;
  return s(
    "svg",
    { class: `meter ${tone}`, viewBox: `0 0 ${WIDE} 10`, preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "track", x: 0, y: 1, width: WIDE, height: 8, rx: 0.8 }),
    s("rect", { class: "fill", x: 0, y: 1, width: place(share), height: 8, rx: 0.8 }),
    ...(bar === null ? [] : [s("line", { class: "mark", x1: place(bar), x2: place(bar), y1: 0, y2: 10 })]),
  );
}

/**
 * A bar from one value to another on a scale, as between a median and a 95th percentile.
 *
 * @param {number} from
 * @param {number} to
 * @param {number} most the end of the scale
 */
export function span(from, to, most) {
  const place = (/** @type {number} */ value) => (value / (most || 1)) * WIDE;
  return s(
    "svg",
    { class: "meter", viewBox: `0 0 ${WIDE} 10`, preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "track", x: 0, y: 1, width: WIDE, height: 8 }),
    s("rect", { class: "tail", x: 0, y: 1, width: place(to), height: 8 }),
    s("rect", { class: "fill", x: 0, y: 1, width: place(from), height: 8 }),
  );
}

/**
 * Parts of a whole, side by side. The class of a part is `tone-0`, `tone-1` and so on.
 *
 * @param {readonly number[]} shares adding up to 1
 */
export function stacked(shares) {
  let x = 0;
  const parts = shares.map((share, i) => {
    const rect = s("rect", {
      class: `part tone-${i % 12}`,
      x: x * WIDE,
      y: 0,
      width: Math.max(share * WIDE, 0),
      height: 10,
    });
    x += share;
    return rect;
  });
  return s(
    "svg",
    { class: "stacked", viewBox: `0 0 ${WIDE} 10`, preserveAspectRatio: "none", "aria-hidden": "true" },
    ...parts,
  );
}

/**
 * Lines over time. A value that is null is a gap; one that stands alone is a dot.
 *
 * @param {readonly Line[]} lines
 * @param {{from: number, to: number, most: number}} scale
 */
export function timeline(lines, { from, to, most }) {
  const x = (/** @type {number} */ at) => ((at - from) / (to - from || 1)) * 300;
  const y = (/** @type {number} */ value) => 98 - (value / (most || 1)) * 94;
  return s(
    "svg",
    { class: "timeline", viewBox: "0 0 300 100", preserveAspectRatio: "none", "aria-hidden": "true" },
    ...[0.25, 0.5, 0.75, 1].map((share) =>
      s("line", { class: "rule", x1: 0, x2: 300, y1: y(share * most), y2: y(share * most) }),
    ),
    ...lines.map(({ tone, points }) => s("path", { class: `line tone-${tone}`, d: drawn(points, from, x, y) })),
  );
}

/**
 * @param {readonly Point[]} points
 * @param {number} from what is earlier is not drawn
 * @param {(at: number) => number} x
 * @param {(value: number) => number} y
 */
function drawn(points, from, x, y) {
  let pen = "M";
  let path = "";
  for (const [at, value] of points) {
    if (at < from) continue;
    if (value === null) {
      pen = "M";
      continue;
    }
    const place = `${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    path += pen === "M" ? `M${place}h.01` : `L${place}`;
    pen = "L";
  }
  return path;
}

/**
 * Return the end of a scale that values up to `most` fill well: 1, 2 or 5 times a power of ten.
 *
 * @param {number} most
 */
export function roundEnd(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((end) => end >= most * 0.999) ?? most;
}
