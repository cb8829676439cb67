// Completions under the search box: a combobox with a list, as the ARIA authoring practices have it. And above the
// results, what was meant where a word of the search is misspelt.

import { byId, h } from "../dom.js";
import { showsFirstView } from "../state.js";
import { marked, meantOf, offersOf, startSuggesting } from "../suggest.js";
import { text } from "../text.js";
import { count as tally } from "../text/numbers.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../actions.js").Actions} Actions */

/**
 * @param {import("../store.js").Store<State>} store
 * @param {Actions} actions
 */
export function showSuggestions(store, actions) {
  const input = byId("q", HTMLInputElement);
  const list = byId("suggestions", HTMLUListElement);
  list.setAttribute("aria-label", text.suggestions);
  let wanted = document.activeElement === input; // words are typed here, and the list was not sent away since
  let active = -1;

  function choose(/** @type {string} */ q) {
    dismiss();
    actions.complete(q);
    if (matchMedia("(pointer: coarse)").matches) input.blur();
  }
  function dismiss() {
    wanted = false;
    show();
  }
  function show() {
    const items = wanted ? offersOf(store.get()) : [];
    list.replaceChildren(...items.map((item, n) => option(item, n, store.get().query.q, choose)));
    list.hidden = items.length === 0;
    input.setAttribute("aria-expanded", `${!list.hidden}`);
    point(-1);
  }
  function point(/** @type {number} */ at) {
    active = at;
    [...list.children].forEach((node, n) => node.setAttribute("aria-selected", `${n === at}`));
    const node = list.children[at];
    node?.scrollIntoView({ block: "nearest" });
    if (node) input.setAttribute("aria-activedescendant", node.id);
    else input.removeAttribute("aria-activedescendant");
  }
  /** Whether a list is shown or on its way. */
  function isUp() {
    const { query, suggested } = store.get();
    return !list.hidden || (wanted && query.q.trim() !== "" && suggested?.q !== query.q.trim());
  }

  const keys = /** @type {Record<string, () => boolean | void>} */ ({
    ArrowDown: () => !list.hidden && point(active + 1 < list.childElementCount ? active + 1 : -1),
    ArrowUp: () => !list.hidden && point(active < 0 ? list.childElementCount - 1 : active - 1),
    Enter: () => active >= 0 && choose(list.children[active].getAttribute("data-q") ?? ""),
    Escape: () => isUp() && dismiss(),
  });
  input.addEventListener("keydown", (event) => {
    const act = event.isComposing || event.altKey || event.ctrlKey || event.metaKey ? undefined : keys[event.key];
    if (!act || act() === false) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  });
  input.addEventListener("input", () => {
    wanted = true;
    if (store.get().suggested?.q === input.value.trim()) show();
  });
  input.addEventListener("blur", dismiss);
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the box
  byId("search", HTMLFormElement).addEventListener("submit", dismiss);
  store.watch((state) => state.suggested, show);
  showMeant(store, actions);
  startSuggesting(store);
}

/**
 * @param {import("../api.js").Suggestion} item
 * @param {number} n
 * @param {string} typed
 * @param {(q: string) => void} choose
 */
function option(item, n, typed, choose) {
  const parts = marked(item.text, typed).map(({ part, typed: was }) => (was ? h("mark", {}, part) : part));
  return h(
    "li",
    { id: `suggestion-${n}`, role: "option", "data-q": item.text, onclick: () => choose(item.text) },
    h("span", {}, parts),
    h("small", { "aria-hidden": "true" }, tally.format(item.count)),
    h("span", { class: "sr" }, `, ${text.productCount(item.count)}`),
  );
}

/**
 * @param {import("../store.js").Store<State>} store
 * @param {Actions} actions
 */
function showMeant(store, actions) {
  const place = byId("meant", HTMLElement);
  store.watch(
    (state) => (showsFirstView(state) ? null : meantOf(state)),
    (meant) => {
      place.hidden = meant === null;
      if (meant === null) return;
      const ask = () => actions.complete(meant);
      const [before, after] = text.didYouMean("\n").split("\n");
      place.replaceChildren(before, h("button", { type: "button", class: "inline", onclick: ask }, meant), after);
    },
  );
}
