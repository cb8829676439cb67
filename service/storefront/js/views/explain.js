// The terms of a hit's score as a small bar chart that is also a table.

import { toBars } from "../explain.js";
import { h } from "../dom.js";
import { text } from "../text.js";

/** @typedef {import("../explain.js").Bar} Bar */

/** @typedef {import("../state.js").State} State */

/** What a product loses by being of another category; nothing is said of it where it loses nothing. */
const OTHER_CATEGORY = "other category";

/**
 * @param {import("../api.js").Hit} hit with its terms
 * @param {State} state
 * @returns {HTMLElement}
 */
export function explanation(hit, state) {
  const terms = (hit.explain?.terms ?? []).filter(({ name, score }) => name !== OTHER_CATEGORY || score !== 0);
  const { bars, total } = toBars(hit.score, terms);
  const body = h("tbody", {}, bars.map((bar) => row(bar, state)));
  for (const [name, value] of Object.entries(scale(bars))) body.style.setProperty(name, `${value}`);
  const gated = terms.some((term) => term.gate !== null);
  return h(
    "section",
    { class: "explain", "aria-labelledby": "explain-title" },
    h("h3", { id: "explain-title", tabindex: "-1" }, text.explainTitle),
    h(
      "table",
      {},
      h("caption", { class: "sr" }, text.explainCaption),
      h("thead", { class: "sr" }, h("tr", {}, heading(text.explainPart), heading(text.explainShare))),
      body,
      h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, text.score), h("td", { class: "points" }, text.points(total)))),
    ),
    gated ? h("p", { class: "note" }, text.gateNote) : null,
  );
}

/** @param {string} name */
function heading(name) {
  return h("th", { scope: "col" }, name);
}

/**
 * Where the bars begin, as a share of their place, and how much of it a reach of 1 takes: what counts against a product
 * goes to the left from there, as far as the furthest bar needs.
 *
 * @param {Bar[]} bars
 */
function scale(bars) {
  const reaches = bars.map(({ reach }) => reach);
  const [left, right] = [Math.max(0, ...reaches.map((reach) => -reach)), Math.max(0, ...reaches)];
  const whole = left + right || 1;
  return { "--zero": left / whole, "--unit": 1 / whole };
}

/**
 * @param {Bar} bar
 * @param {State} state
 */
function row({ term, points, reach }, state) {
  const line = h("span", { class: "line" });
  line.style.setProperty("--reach", `${Math.abs(reach)}`);
  return h(
    "tr",
    { class: reach < 0 ? "against" : null, "data-term": term.name },
    h(
      "th",
      { scope: "row" },
      h("span", { class: "part" }, ...naming(term, state)),
      h("span", { class: "bar", "aria-hidden": "true" }, line),
    ),
    h("td", { class: "points" }, text.points(points)),
  );
}

/**
 * @param {import("../api.js").Term} term
 * @param {State} state
 * @returns {(Node | string)[]}
 */
function naming({ name, value, gate }, { products, query }) {
  if (name === "product" && value !== null && query.less.includes(value)) {
    return [text.lessLikeThis, " ", h("b", {}, products[value]?.title ?? "")];
  }
  const plain = { words: text.words, lexical: text.lexical, image: text.picture, product: text.likeness }[name];
  if (plain) return [plain];
  if (name === OTHER_CATEGORY) return [text.otherCategory, " ", h("b", {}, value ?? "")];
  const said = [text.group(name), " ", h("b", {}, value ?? "")];
  return gate === null ? said : [...said, " ", h("small", {}, text.gate(gate))];
}
