// The welcome above the first grid: example searches made of what the shop has.

import { byId, h } from "../dom.js";
import { text } from "../text.js";

/** @typedef {import("../state.js").State} State */

/**
 * @param {import("../store.js").Store<State>} store
 * @param {import("../actions.js").Actions} actions
 */
export function showHero(store, actions) {
  store.watch(
    (state) => state.browse,
    (browse) => {
      const examples = (browse?.examples ?? []).map((q) =>
        h("button", { class: "example", type: "button", "aria-label": text.example(q), onclick: () => actions.tryExample(q) }, q),
      );
      byId("examples", HTMLElement).replaceChildren(...examples);
    },
  );
}
