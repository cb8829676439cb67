// The report of a bundle in plots: what it finds, how long it takes, what its entities and categories come to.

import { h } from "../../../js/dom.js";
import { advice, found, latencies, stages } from "../report.js";
import { meter, roundEnd, span, stacked } from "../svg.js";
import { text } from "../text.js";
import { panel, table } from "./parts.js";

/** @typedef {import("../report.js").Report} Report */

/**
 * @param {Report} report
 * @param {import("../report.js").Verdict | undefined} verdict the newest
 * @returns {(HTMLElement | null)[]}
 */
export function reportPanels(report, verdict) {
  return [recall(report, verdict), latency(report), building(report), gates(report), categories(report)];
}

/**
 * @param {Report} report
 * @param {import("../report.js").Verdict | undefined} verdict
 */
function recall(report, verdict) {
  const rows = found(report, verdict).map(({ name, value, bar, of }) => [
    h("span", { class: "naming" }, name, h("small", {}, of)),
    meter(value, { bar, tone: bar !== null && value < bar ? "bad" : "" }),
    text.exact(value),
    text.exact(bar),
  ]);
  if (!rows.length) return null;
  return panel(
    "What it finds",
    "The line across a bar is the gate's.",
    table("What it finds", ["", "", "Share", "Bar"], rows, { kind: "plotted", numbers: [2, 3] }),
  );
}

/** @param {Report} report */
function latency(report) {
  const rows = latencies(report);
  if (!rows.length) return null;
  const most = roundEnd(Math.max(...rows.map(({ p95 }) => p95)));
  return panel(
    "How long a search takes",
    `Median, and 95th percentile in pale, on a scale up to ${text.ms(most)}; one thread of the machine that built it.`,
    table(
      "How long a search takes",
      ["", "", "p50", "p95"],
      rows.map(({ name, p50, p95 }) => [name, span(p50, p95, most), text.ms(p50), text.ms(p95)]),
      { kind: "plotted", numbers: [2, 3] },
    ),
  );
}

/** @param {Report} report */
function building(report) {
  const parts = stages(report);
  if (!parts.length) return null;
  const all = parts.reduce((sum, { seconds }) => sum + seconds, 0);
  return panel(
    "How it was built",
    `${text.seconds(all)} in all.`,
    stacked(parts.map(({ share }) => share)),
    h(
      "ul",
      { class: "legend" },
      parts.map(({ name, seconds, share }, i) =>
        h(
          "li",
          {},
          h("i", { class: `swatch tone-${i % 12}` }),
          text.name(name),
          h("b", {}, text.seconds(seconds)),
          h("small", {}, text.percent(share)),
        ),
      ),
    ),
  );
}

/** @param {Report} report */
function gates({ gates: groups }) {
  if (!groups || !Object.keys(groups).length) return null;
  const ranked = Object.entries(groups).sort((a, b) => b[1].mean - a[1].mean);
  const said = ranked.map(([group, gate]) => advice(group, gate)).filter(Boolean);
  return panel(
    "Gates of the entities",
    "How far the model trusts each kind of name, from 0 to 1: the mean over its products. Open one to see its most frequent values.",
    h(
      "div",
      { class: "gates" },
      ranked.map(([group, gate]) => groupGate(group, gate)),
    ),
    said.length
      ? h(
          "ul",
          { class: "advice" },
          said.map((sentence) => h("li", {}, sentence)),
        )
      : null,
    said.length
      ? h(
          "p",
          { class: "note" },
          "What searches lose without a group is measured by ",
          h("code", {}, "python -m models report"),
          ".",
        )
      : null,
  );
}

/**
 * @param {string} group
 * @param {import("../report.js").GroupGate} gate
 */
function groupGate(group, { mean, stated, values }) {
  const rows = values.map(({ value, count, mean: own }) => [value, text.count(count), meter(own), text.exact(own)]);
  return h(
    "details",
    { class: "gate" },
    h(
      "summary",
      {},
      h("span", { class: "gate-name" }, text.name(group), h("small", {}, ` stated by ${text.percent(stated)}`)),
      meter(mean),
      h("b", {}, text.exact(mean)),
    ),
    table(`Gates of ${group}`, ["Value", "Products", "", "Gate"], rows, { kind: "plotted", numbers: [1, 3] }),
  );
}

/** @param {Report} report */
function categories({ categories: found }) {
  if (!found) return null;
  const { agreement, abstained, confused, products } = found;
  const other = Math.max(0, 1 - agreement - abstained);
  const shares = [
    { name: "as stated", share: agreement, tone: "good" },
    { name: "not sure enough", share: abstained, tone: "fair" },
    { name: "judged to be another", share: other, tone: "bad" },
  ];
  return panel(
    "Categories: stated and judged",
    `What comparing each product with the categories comes to${products ? `, for ${text.count(products)} of them` : ""}. Where they disagree, one of the two is wrong.`,
    table(
      "Categories: agreement",
      ["", "", "Share"],
      shares.map(({ name, share, tone }) => [name, meter(share, { tone }), text.percent(share)]),
      { kind: "plotted", numbers: [2] },
    ),
    confused.length
      ? table(
          "Categories that are taken for others",
          ["Stated", "Judged to be", "Products"],
          confused.map(({ stated, classified, count }) => [stated, classified, text.count(count)]),
          { numbers: [2] },
        )
      : null,
  );
}
