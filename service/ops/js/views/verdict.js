// What the gate said of a bundle: judged queries over time, and every check of a verdict.

import { h } from "../../../js/dom.js";
import { judged, margin, ordered, verdictName } from "../report.js";
import { meter, timeline } from "../svg.js";
import { text } from "../text.js";
import { badge, panel, table } from "./parts.js";

/** @typedef {import("../report.js").Verdict} Verdict */
/** @typedef {import("../report.js").Check} Check */

const TONES = { passed: "good", failed: "bad", skipped: "plain", refused: "bad", forced: "fair" };

/**
 * @param {readonly Verdict[]} verdicts the newest first
 * @returns {(HTMLElement | null)[]}
 */
export function verdictPanels(verdicts) {
  if (!verdicts.length) return [panel("The gate", "It was never judged.")];
  return [quality(verdicts), checks(verdicts)];
}

/** @param {readonly Verdict[]} verdicts */
function quality(verdicts) {
  const kinds = judged(verdicts);
  if (!kinds.length) {
    return panel(
      "Judged queries",
      "nDCG@10 is measured when a bundle is judged: of golden queries, or against a current bundle.",
    );
  }
  return panel(
    "Judged queries",
    "nDCG@10, from 0 to 1, when the gate judged the bundle; the line across is the least that passes.",
    ...kinds.flatMap(({ name, checks: all }) => {
      const newest = all[all.length - 1];
      return [
        table(
          name,
          ["", "", "nDCG@10", "Bar"],
          [
            [
              text.name(name),
              meter(newest.value ?? 0, { bar: newest.bar, tone: newest.outcome === "failed" ? "bad" : "" }),
              text.exact(newest.value),
              text.exact(newest.bar),
            ],
          ],
          { kind: "plotted", numbers: [2, 3] },
        ),
        all.length > 1 ? overTime(all) : null,
      ];
    }),
  );
}

/** @param {readonly (Check & {at: string})[]} all the earliest first */
function overTime(all) {
  const points = all.map(({ value }, i) => /** @type {[number, number | null]} */ ([i, value]));
  const bars = all.map(({ bar }, i) => /** @type {[number, number | null]} */ ([i, bar]));
  return h(
    "figure",
    { class: "plot" },
    timeline(
      [
        { name: "nDCG@10", tone: 0, points },
        { name: "bar", tone: "bar", points: bars },
      ],
      { from: 0, to: all.length - 1, most: 1 },
    ),
    h(
      "figcaption",
      { class: "note" },
      `The last ${all.length} verdicts, ${text.time(all[0].at)} to ${text.time(all[all.length - 1].at)}: ${all.map(({ value }) => text.exact(value)).join(", ")}`,
    ),
  );
}

/** @param {readonly Verdict[]} verdicts */
function checks(verdicts) {
  const place = h("div", {});
  const show = (/** @type {number} */ i) => place.replaceChildren(...verdict(verdicts[i]));
  const choose = h(
    "select",
    {
      id: "verdict",
      onchange: (/** @type {Event} */ event) => show(/** @type {HTMLSelectElement} */ (event.target).selectedIndex),
    },
    verdicts.map((one, i) => h("option", { value: i }, `${text.time(one.at)}: ${verdictName(one)}`)),
  );
  show(0);
  const several =
    verdicts.length > 1 ? h("p", { class: "field" }, h("label", { for: "verdict" }, "Verdict of"), choose) : null;
  const node = panel("What the gate said", null, several, place);
  node.classList.add("wide");
  return node;
}

/** @param {Verdict} one */
function verdict(one) {
  const name = verdictName(one);
  const failed = one.checks.filter(({ outcome }) => outcome === "failed").length;
  const against = one.compared_with ? `against ${one.compared_with}` : "against nothing";
  return [
    h(
      "p",
      { class: "verdict" },
      badge(name, TONES[name]),
      `${text.time(one.at)}, ${against}: ${failed ? `${failed} of ${one.checks.length} checks failed` : `${one.checks.length} checks`}.`,
    ),
    table(
      "Checks of the verdict",
      ["Check", "Outcome", "Value", "Bar", "From the bar", "What it says"],
      ordered(one).map(row),
      {
        kind: "checks stack",
        numbers: [2, 3, 4],
      },
    ),
  ];
}

/** @param {Check} check */
function row(check) {
  const { name, outcome, value, bar, says } = check;
  const far = margin(check);
  const number = (/** @type {number | null} */ figure) =>
    figure === null ? text.none : Number.isInteger(figure) ? text.count(figure) : text.exact(figure);
  return [
    name,
    badge(outcome, TONES[outcome]),
    number(value),
    number(bar),
    far === null ? text.none : h("span", { class: far < 0 ? "bad" : null }, far === 0 ? "0" : text.signed(far)),
    says,
  ];
}
