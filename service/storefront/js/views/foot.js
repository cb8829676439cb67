// The quiet line at the end: how long the answer took, which index and model gave it, what it went without. And the
// choice of a language.

import { byId, h } from "../dom.js";
import { showsFirstView } from "../state.js";
import { text } from "../text.js";
import { languagePicker } from "./language.js";

/** @typedef {import("../state.js").State} State */

/** @param {import("../store.js").Store<State>} store */
export function showFoot(store) {
  const said = h("div", { class: "facts" });
  byId("foot", HTMLElement).append(said, languagePicker(store));
  function show() {
    const state = store.get();
    const shown = showsFirstView(state) ? state.browse?.answer : state.answer;
    if (shown) said.replaceChildren(...facts(shown));
  }
  store.watch((state) => state.answer, show);
  store.watch((state) => state.browse, show);
  store.watch(showsFirstView, show);
}

/**
 * @param {import("../api.js").Answer} answer
 * @returns {HTMLElement[]}
 */
function facts({ index, timings_ms: { total, ...stages }, degraded }) {
  const spent = Object.entries(stages).filter(([, ms]) => ms > 0);
  return [
    h(
      "details",
      { class: "timings" },
      h("summary", {}, text.took(total)),
      h("ul", {}, spent.map(([stage, ms]) => h("li", {}, `${text.stage(stage)} ${text.took(ms)}`))),
    ),
    h("span", { class: "index" }, text.index(index.bundle)),
    h("span", { class: "model" }, text.model(index.model)),
    ...(degraded.length ? [h("span", { class: "degraded" }, text.degraded(degraded))] : []),
  ];
}
