// The relevance playground: one query, two ways of answering it.

import { byId, h, icon } from "../../../js/dom.js";
import { startComparing } from "../comparing.js";
import { isServed, newestFirst } from "../state.js";
import { badge, button } from "./parts.js";
import { showHits } from "./hits.js";

/** @typedef {import("../state.js").Store} Store */
/** @typedef {import("../state.js").Settings} Settings */

/** What a setting may be, with its name; the empty one is as the service has it. */
const CHOICES = {
  mode: { "": "Hybrid (as usual)", vector: "By meaning alone", lexical: "As words alone" },
  linking: { "": "On (as usual)", strict: "Strict", off: "Off" },
  rerank: { "": "None (as usual)", demote: "Demote others", filter: "Filter" },
};
const NAMES = /** @type {const} */ ({ a: "A", b: "B" });

/**
 * @param {Store} store
 * @param {import("../api.js").Api} api
 * @param {import("../acting.js").Acting} acting
 */
export function showCompare(store, api, acting) {
  const section = byId("view-compare", HTMLElement);
  const results = h("div", {});
  const comparing = startComparing(store, api);
  section.append(
    h(
      "header",
      { class: "head" },
      h("h2", { id: "compare-title" }, "Compare"),
      h("p", { class: "count" }, "one query, two bundles or two settings"),
    ),
    queryForm(store, comparing),
    h("div", { class: "sides" }, settingsForm("a", store, acting), settingsForm("b", store, acting)),
    results,
  );
  showHits(results, store, api);
  void comparing.now();
}

/**
 * @param {Store} store
 * @param {{now: () => Promise<void>}} comparing
 */
function queryForm(store, comparing) {
  const change = (/** @type {Partial<import("../state.js").Asked>} */ patch) =>
    store.set({ asked: { ...store.get().asked, ...patch } });
  const words = field("compare-q", "Words", "search", (value) => change({ q: value }));
  const entities = field("compare-entities", "Entities", "text", (value) => change({ entities: value }));
  words.input.maxLength = 2000;
  entities.input.placeholder = "brand: Diesel; season: winter";
  const file = field("compare-picture", "Picture", "file", () => undefined);
  file.input.accept = "image/jpeg,image/png,image/webp,image/gif";
  file.input.addEventListener("change", () => change({ picture: file.input.files?.[0] ?? null }));
  const none = h(
    "button",
    { class: "ghost", type: "button", "aria-label": "Take the picture away", onclick: () => change({ picture: null }) },
    icon("close"),
  );
  file.row.append(none);

  function show() {
    const { asked } = store.get();
    if (words.input.value !== asked.q) words.input.value = asked.q;
    if (entities.input.value !== asked.entities) entities.input.value = asked.entities;
    if (!asked.picture) file.input.value = "";
    none.hidden = asked.picture === null;
  }
  store.watch(({ asked }) => asked, show);
  show();
  const form = h(
    "form",
    { class: "asking", role: "search", "aria-label": "What to search for" },
    words.row,
    entities.row,
    file.row,
    h("button", { class: "button small", type: "submit" }, "Search"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void comparing.now();
  });
  return form;
}

/**
 * @param {"a" | "b"} side
 * @param {Store} store
 * @param {import("../acting.js").Acting} acting
 */
function settingsForm(side, store, acting) {
  const change = (/** @type {Partial<Settings>} */ patch) => {
    const { settings } = store.get();
    store.set({ settings: { ...settings, [side]: { ...settings[side], ...patch } } });
  };
  const id = (/** @type {string} */ name) => `${side}-${name}`;
  const bundle = select(id("bundle"), "Bundle", {}, (value) => change({ bundle: value }));
  const selects = Object.entries({ mode: "Mode", linking: "Entity linking", rerank: "Rerank by category" }).map(
    ([name, label]) =>
      /** @type {const} */ ([
        name,
        select(id(name), label, CHOICES[/** @type {keyof typeof CHOICES} */ (name)], (value) =>
          change({ [name]: value }),
        ),
      ]),
  );
  const numbers = Object.entries({ weight: "Lexical weight", diversity: "Diversity" }).map(([name, label]) => {
    const made = field(id(name), label, "number", (value) => change({ [name]: value }));
    Object.assign(made.input, { min: "0", max: "1", step: "0.05", placeholder: "as usual" });
    return /** @type {const} */ ([name, made]);
  });
  const collapse = field(id("collapse"), "Collapse by", "text", (value) => change({ collapse: value }));
  collapse.input.placeholder = "such as group";
  const offer = h("div", { class: "offer-beside" });

  function show() {
    const { settings, bundles } = store.get();
    const now = settings[side];
    const known = newestFirst(bundles?.bundles ?? []).filter(({ products }) => products !== null);
    const options = Object.fromEntries(
      known.map((one) => [one.id, isServed(one) ? `${one.id} (${one.role})` : `${one.id} (not served)`]),
    );
    offerOptions(bundle.input, {
      "": "Whichever answers",
      ...options,
      ...(now.bundle && !options[now.bundle] ? { [now.bundle]: `${now.bundle} (not there)` } : {}),
    });
    const shown = [
      /** @type {const} */ (["bundle", bundle]),
      ...selects,
      ...numbers,
      /** @type {const} */ (["collapse", collapse]),
    ];
    for (const [name, { input }] of shown) {
      const value = now[/** @type {keyof Settings} */ (name)];
      if (input.value !== value) input.value = value;
    }
    const weight = numbers[0][1].input;
    weight.disabled = now.mode !== "";
    const unserved = known.find((one) => one.id === now.bundle && !isServed(one));
    offer.replaceChildren(...(unserved ? [serving(unserved.id)] : []));
  }

  /** @param {string} bundleId */
  function serving(bundleId) {
    const said = h("span", { role: "status" });
    const serve = button("Serve it beside, for this alone", async () => {
      serve.setAttribute("disabled", "");
      said.textContent = "It is opened…";
      const { error } = await acting.place(bundleId, 0, 0);
      if (error) said.textContent = `${error.title}: ${error.detail}`;
      else store.set({ settings: { ...store.get().settings } });
      serve.removeAttribute("disabled");
    });
    return h("p", { class: "note" }, "It is not served. ", serve, " ", said);
  }

  store.watch(({ settings }) => settings, show);
  store.watch(({ bundles }) => bundles, show);
  show();
  const said = Object.entries(store.get().settings[side]).some(([name, value]) => name !== "bundle" && value !== "");
  return h(
    "fieldset",
    { class: `side ${side}` },
    h("legend", {}, badge(NAMES[side], side), " Settings"),
    bundle.row,
    offer,
    h(
      "details",
      { class: "more", open: matchMedia("(width >= 720px)").matches || said },
      h("summary", {}, "How it is searched"),
      h(
        "div",
        { class: "fields" },
        selects.map(([, made]) => made.row),
        numbers.map(([, made]) => made.row),
        collapse.row,
      ),
    ),
  );
}

/**
 * @param {string} id
 * @param {string} label
 * @param {string} type
 * @param {(value: string) => void} react
 */
function field(id, label, type, react) {
  const input = document.createElement("input");
  Object.assign(input, { id, type, autocomplete: "off", spellcheck: false });
  input.addEventListener("input", () => input.validity.valid && react(input.value));
  return { input, row: h("p", { class: "field" }, h("label", { for: id }, label), input) };
}

/**
 * @param {string} id
 * @param {string} label
 * @param {Record<string, string>} options value to what is read
 * @param {(value: string) => void} react
 */
function select(id, label, options, react) {
  const input = document.createElement("select");
  input.id = id;
  offerOptions(input, options);
  input.addEventListener("change", () => react(input.value));
  return { input, row: h("p", { class: "field" }, h("label", { for: id }, label), input) };
}

/**
 * @param {HTMLSelectElement} input
 * @param {Record<string, string>} options
 */
function offerOptions(input, options) {
  const written = JSON.stringify(options);
  if (input.dataset.options === written) return;
  input.dataset.options = written;
  input.replaceChildren(...Object.entries(options).map(([value, label]) => h("option", { value }, label)));
}
