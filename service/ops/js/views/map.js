// The catalogue as a map: what the model finds alike lies together.

import { byId, h } from "../../../js/dom.js";
import { OTHERS, grouped } from "../scatter.js";
import { mappedBundle, newestFirst } from "../state.js";
import { text } from "../text.js";
import { createScatter } from "./canvas.js";
import { announce, button, failure, redraw, thumbnail, waiting } from "./parts.js";

/** @typedef {import("../api.js").MapAnswer} MapAnswer */

/** Categories with a colour and a shape of their own: twelve colours, three shapes. */
const TONES = 12;
const MOST = 3 * TONES;

/**
 * @param {import("../state.js").Store} store
 * @param {import("../api.js").Api} api
 * @param {import("../loading.js").Loading} loading
 */
export function showMap(store, api, loading) {
  const section = byId("view-map", HTMLElement);
  const bundle = /** @type {HTMLSelectElement} */ (h("select", { id: "mapped" }));
  const light = /** @type {HTMLInputElement} */ (
    h("input", {
      id: "light",
      type: "search",
      autocomplete: "off",
      maxlength: 2000,
      placeholder: "words, such as red dress",
    })
  );
  const lit = h("p", { class: "note", role: "status" });
  const notice = h("div", {});
  const said = h("p", { class: "note" });
  const legend = h("ul", { class: "map-legend", "aria-label": "Categories" });
  const all = h(
    "p",
    { class: "buttons" },
    button("All", () => toggleAll(true), { more: "categories" }),
    button("None", () => toggleAll(false), { more: "of the categories" }),
  );
  const card = h("div", { class: "map-card", hidden: true });
  const scatter = createScatter({ point: pointAt, open: openProduct });
  const chart = h("div", { class: "map" }, scatter.node, card, zooming(scatter));
  /** @type {MapAnswer | null} */
  let drawn = null;

  section.append(
    h(
      "header",
      { class: "head" },
      h("h2", { id: "map-title" }, "Map"),
      h("p", { class: "count" }, "products that the model finds alike lie together"),
    ),
    h(
      "div",
      { class: "asking" },
      h("p", { class: "field" }, h("label", { for: "mapped" }, "Bundle"), bundle),
      h("p", { class: "field" }, h("label", { for: "light" }, "Light up what a search finds"), light),
    ),
    lit,
    notice,
    h("div", { class: "mapping" }, chart, h("div", { class: "map-side" }, said, all, legend)),
  );
  bundle.addEventListener("change", () => store.set({ mapped: bundle.value }));
  light.addEventListener("input", () => store.set({ lit: light.value }));

  function showChoices() {
    const { bundles, lit: words } = store.get();
    const known = newestFirst(bundles?.bundles ?? []).filter(({ products }) => products !== null);
    bundle.replaceChildren(
      ...known.map(({ id, role }) => h("option", { value: id }, role === "none" ? id : `${id} (${role})`)),
    );
    bundle.value = mappedBundle(store.get()) ?? "";
    if (light.value !== words) light.value = words;
  }

  function showPoints() {
    const { map } = store.get();
    redraw(notice, [
      map?.error ? failure(map.error, button("Try again", loading.map)) : null,
      map && !map.answer && !map.error ? waiting("The map is being drawn. The first time takes some seconds.") : null,
    ]);
    drawn = map?.answer ?? null;
    chart.hidden = drawn === null;
    card.hidden = true;
    if (!drawn) {
      legend.replaceChildren();
      said.textContent = "";
      return;
    }
    const { points, of, method } = drawn;
    const groups = grouped(points.category, MOST);
    said.textContent = `${text.count(points.id.length)} of ${text.count(of)} products, by ${method}.`;
    legend.replaceChildren(...groups.names.map((name, i) => h("li", {}, toggle(name, groups.counts[i], i))));
    scatter.show(points, groups.of);
    showLit();
  }

  /**
   * @param {string} name
   * @param {number} n
   * @param {number} i
   */
  function toggle(name, n, i) {
    const node = h(
      "button",
      { type: "button", class: "toggle", "aria-pressed": "true" },
      h("i", { class: `swatch ${signOf(name, i)}` }),
      name,
      h("small", {}, text.count(n)),
    );
    node.addEventListener("click", () => {
      const on = node.getAttribute("aria-pressed") !== "true";
      node.setAttribute("aria-pressed", `${on}`);
      scatter.toggle(i, on);
    });
    return node;
  }

  /** @param {boolean} on */
  function toggleAll(on) {
    for (const [i, node] of [...legend.querySelectorAll(".toggle")].entries()) {
      node.setAttribute("aria-pressed", `${on}`);
      scatter.toggle(i, on);
    }
  }

  function showLit() {
    const { hits } = store.get();
    const ids = new Set(hits.ids);
    const places = drawn ? drawn.points.id.flatMap((id, i) => (ids.has(id) ? [i] : [])) : [];
    scatter.light(hits.q ? places : null);
    lit.textContent = hits.error
      ? `${hits.error.title}: ${hits.error.detail}`
      : hits.q && drawn
        ? `${places.length} of the first ${ids.size} hits for “${hits.q}” are on the map.`
        : "";
  }

  /**
   * Show what a point is; null: nothing.
   *
   * @param {number | null} i
   * @param {[number, number]} [at] in pixels
   */
  function pointAt(i, at = [0, 0]) {
    card.hidden = i === null || !drawn;
    if (i === null || !drawn) return;
    const { id, title, category, price } = drawn.points;
    const facts = [category[i], price[i] === null ? null : text.figure(price[i])].filter(Boolean).join(" · ");
    card.replaceChildren(
      thumbnail({ id: id[i], title: title[i], images: [`v1/products/${encodeURIComponent(id[i])}/images/0`] }, api),
      h("span", { class: "naming" }, h("b", {}, title[i].slice(0, 120)), h("small", {}, facts)),
    );
    card.classList.toggle("left", at[0] > chart.clientWidth / 2);
    card.classList.toggle("top", at[1] > chart.clientHeight / 2);
    announce(`${title[i].slice(0, 120)}. ${facts}`);
  }

  /** @param {number} i */
  function openProduct(i) {
    if (drawn)
      open(new URL(`../?product=${encodeURIComponent(drawn.points.id[i])}`, document.baseURI), "_blank", "noopener");
  }

  store.watch(({ bundles }) => bundles, showChoices);
  store.watch(mappedBundle, showChoices);
  store.watch(({ lit: words }) => words, showChoices);
  store.watch(({ map }) => map, showPoints);
  store.watch(({ hits }) => hits, showLit);
  store.watch(
    ({ view }) => view,
    () => scatter.draw(),
  );
  showChoices();
  showPoints();
}

/**
 * The classes of a category's sign.
 *
 * @param {string} name
 * @param {number} i
 */
function signOf(name, i) {
  return name === OTHERS ? "tone-plain" : `tone-${i % TONES} shape-${Math.floor(i / TONES)}`;
}

/** @param {ReturnType<typeof createScatter>} scatter */
function zooming(scatter) {
  const control = (/** @type {string} */ label, /** @type {string} */ sign, /** @type {() => void} */ act) =>
    button("", act, { kind: "quiet small round", icon: sign, more: label });
  return h(
    "div",
    { class: "zooming", role: "group", "aria-label": "Magnify" },
    control("Closer", "plus", () => scatter.zoom(1.6)),
    control("Farther", "minus", () => scatter.zoom(1 / 1.6)),
    control("All of it", "fit", scatter.whole),
  );
}
