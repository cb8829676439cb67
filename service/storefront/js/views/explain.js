// The terms of a hit's score as a small bar chart that is also a table.

import { toBars } from "../explain.js";
import { h } from "../dom.js";
import { text } from "../text.js";

/** @typedef {import("../explain.js").Bar} Bar */

/**
 * @param {import("../api.js").Hit} hit with its terms
 * @returns {HTMLElement}
 */
export function explanation(hit) {
  const terms = hit.explain?.terms ?? [];
  const { bars, total } = toBars(hit.score, terms);
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
      h("tbody", {}, bars.map(row)),
      h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, text.score), h("td", { class: "points" }, text.points(total)))),
    ),
    gated ? h("p", { class: "note" }, text.gateNote) : null,
  );
}

/** @param {string} name */
function heading(name) {
  return h("th", { scope: "col" }, name);
}

/** @param {Bar} bar */
function row({ term, points, reach }) {
  const line = h("span", { class: "line" });
  line.style.setProperty("--reach", `${Math.abs(reach)}`);
  return h(
    "tr",
    { class: reach < 0 ? "against" : null, "data-term": term.name },
    h(
      "th",
      { scope: "row" },
      h("span", { class: "part" }, ...naming(term)),
      h("span", { class: "bar", "aria-hidden": "true" }, line),
    ),
    h("td", { class: "points" }, text.points(points)),
  );
}

/**
 * @param {import("../api.js").Term} term
 * @returns {(Node | string)[]}
 */
function naming({ name, value, gate }) {
  const plain = { words: text.words, lexical: text.lexical, image: text.picture, product: text.likeness }[name];
  if (plain) return [plain];
  const said = [text.group(name), " ", h("b", {}, value ?? "")];
  return gate === null ? said : [...said, " ", h("small", {}, text.gate(gate))];
}
