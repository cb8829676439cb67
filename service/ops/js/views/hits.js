// What two searches found, side by side: what moved, how alike the lists are, and where a product's score differs.

import { h } from "../../../js/dom.js";
import { changes, overlapAt, rankBiasedOverlap, termDifferences } from "../compared.js";
import { text } from "../text.js";
import { announce, badge, button, failure, redraw, table, thumbnail, waiting } from "./parts.js";

/** @typedef {import("../api.js").Hit} Hit */
/** @typedef {import("../api.js").Answer} Answer */
/** @typedef {import("../state.js").State} State */
/** @typedef {import("../compared.js").Change} Change */

const PLAIN = { words: "Words", lexical: "Words as written", image: "Picture", product: "Product" };

/**
 * @param {HTMLElement} place
 * @param {import("../state.js").Store} store
 * @param {import("../api.js").Api} api
 */
export function showHits(place, store, api) {
  const lists = h("div", { class: "lists" });
  const measures = h("div", {});
  const why = h("div", {});
  place.append(measures, why, lists);

  function showLists() {
    const { sides } = store.get();
    redraw(measures, [summary()]);
    redraw(lists, sides ? [list("a", sides), list("b", sides)] : []);
  }

  function summary() {
    const { sides, comparing, asked } = store.get();
    if (comparing && !sides) return waiting("Both are asked…");
    if (!sides)
      return asked.q || asked.picture
        ? null
        : h("p", { class: "note empty" }, "Enter words, or choose a picture, to see what each side finds.");
    const [a, b] = [idsOf(sides.a.answer), idsOf(sides.b.answer)];
    if (!sides.a.answer || !sides.b.answer) return null;
    const [overlap, biased] = [overlapAt(a, b), rankBiasedOverlap(a, b)];
    announce(`Overlap of the first ten: ${text.percent(overlap)}`);
    return h(
      "dl",
      { class: "measures" },
      fact("Overlap@10", text.percent(overlap), "of the first ten hits, in both"),
      fact("Rank-biased overlap", text.exact(biased), "p = 0.9; 1 is the same list"),
      fact(
        "Gone and new",
        text.count(a.filter((id) => !b.includes(id)).length),
        `of the first ${Math.max(a.length, b.length)}`,
      ),
    );
  }

  /**
   * @param {"a" | "b"} side
   * @param {NonNullable<State["sides"]>} sides
   */
  function list(side, sides) {
    const { answer, error } = sides[side];
    const other = sides[side === "a" ? "b" : "a"].answer;
    const moves = answer ? changes(idsOf(answer), idsOf(other)) : [];
    return h(
      "section",
      { class: "list", "aria-label": `Hits of ${side.toUpperCase()}` },
      h("h3", {}, badge(side.toUpperCase(), side), answer ? said(answer) : ""),
      error ? failure(error) : null,
      answer
        ? h(
            "ol",
            { class: "hits" },
            answer.hits.map((hit, i) => row(hit, i, moves[i], side)),
          )
        : null,
      answer && !answer.hits.length ? h("p", { class: "note" }, "Nothing found.") : null,
    );
  }

  /**
   * @param {Hit} hit
   * @param {number} place
   * @param {Change} change
   * @param {"a" | "b"} side
   */
  function row(hit, place, change, side) {
    const { product, score, id } = hit;
    const pick = () => store.set({ chosen: store.get().chosen === id ? null : id });
    const href = `../?product=${encodeURIComponent(id)}`;
    return h(
      "li",
      { class: "hit", "data-id": id },
      h("span", { class: "rank" }, `${place + 1}`),
      thumbnail(product, api),
      h(
        "div",
        { class: "hit-about" },
        h("a", { href }, product.title),
        h("small", {}, [product.brand, product.category].filter(Boolean).join(" · ")),
        h(
          "span",
          { class: "hit-facts" },
          h("span", { class: "points" }, text.exact(score)),
          moved(change, side),
          button("Explain", pick, { key: `why ${side} ${id}`, kind: "link", more: product.title }),
        ),
      ),
    );
  }

  function showWhy() {
    const { chosen, sides } = store.get();
    redraw(why, chosen && sides ? [explained(chosen, sides)] : []);
    if (chosen && sides) why.querySelector("h3")?.focus();
  }

  /**
   * @param {string} id
   * @param {NonNullable<State["sides"]>} sides
   */
  function explained(id, sides) {
    const [a, b] = [sides.a, sides.b].map(({ answer }) => answer?.hits.find((hit) => hit.id === id));
    const rows = termDifferences(a?.explain?.terms ?? [], b?.explain?.terms ?? []).map(
      ({ name, value, a: one, b: two, difference }) => [
        h(
          "span",
          { class: "naming" },
          PLAIN[/** @type {keyof typeof PLAIN} */ (name)] ?? text.name(name),
          value ? h("small", {}, value) : null,
        ),
        text.exact(one),
        text.exact(two),
        text.signed(difference),
      ],
    );
    const missing = [a ? "" : "A", b ? "" : "B"].filter(Boolean).join(" and ");
    const close = () => {
      store.set({ chosen: null });
      const back = lists.querySelector(`.hit[data-id="${CSS.escape(id)}"] button`);
      if (back instanceof HTMLElement) back.focus();
    };
    return h(
      "section",
      { class: "panel why", "aria-labelledby": "why-title" },
      h("h3", { id: "why-title", tabindex: "-1" }, `Why ${(a ?? b)?.product.title ?? id}?`),
      missing ? h("p", { class: "note" }, `It is not among the hits of ${missing}.`) : null,
      table(
        "Terms of the score on both sides",
        ["Part", "A", "B", "B − A"],
        [
          ...rows,
          ["Score", text.exact(a?.score), text.exact(b?.score), a && b ? text.signed(b.score - a.score) : text.none],
        ],
        {
          kind: "terms",
          numbers: [1, 2, 3],
        },
      ),
      h("p", { class: "buttons" }, button("Close", close)),
    );
  }

  for (const part of /** @type {const} */ (["sides", "comparing"])) store.watch((state) => state[part], showLists);
  store.watch(({ chosen }) => chosen, showWhy);
  store.watch(({ sides }) => sides, showWhy);
  store.watch(
    ({ comparing }) => comparing,
    (busy) => lists.classList.toggle("stale", busy),
  );
  showLists();
}

/** @param {Answer | null} answer */
function idsOf(answer) {
  return answer?.hits.map(({ id }) => id) ?? [];
}

/** @param {Answer} answer */
function said({ index, found, timings_ms: { total }, degraded, rerank, linked_entities: links }) {
  const read = links.map(({ group, value }) => `${group} ${value}`).join(", ");
  return h(
    "span",
    { class: "said" },
    h("b", {}, index.bundle),
    h(
      "small",
      {},
      [
        `${text.count(found)} found`,
        text.ms(total),
        read && `read as ${read}`,
        degraded.length && `without ${degraded.join(", ")}`,
        rerank?.reason,
      ]
        .filter(Boolean)
        .join(" · "),
    ),
  );
}

/**
 * @param {string} name
 * @param {string} value
 * @param {string} help
 */
function fact(name, value, help) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value), h("dd", { class: "note" }, help));
}

/**
 * How a hit moves from A to B, on whichever side it is shown.
 *
 * @param {Change} change
 * @param {"a" | "b"} side
 */
function moved({ kind, by }, side) {
  if (kind === "same") return badge("=", "plain");
  if (kind === "new") return side === "b" ? badge("new", "good") : badge("gone in B", "bad");
  const up = (kind === "up") === (side === "b");
  return h(
    "span",
    { class: `badge ${up ? "good" : "fair"}` },
    h("span", { "aria-hidden": "true" }, `${up ? "▲" : "▼"} ${by}`),
    h("span", { class: "sr" }, `${up ? "up" : "down"} ${by} in B`),
  );
}
