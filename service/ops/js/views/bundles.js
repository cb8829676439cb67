// The bundles of the data folder as a table; one that is opened takes its place.

import { byId, h } from "../../../js/dom.js";
import { toAddress } from "../address.js";
import { newestFirst } from "../state.js";
import { text } from "../text.js";
import { bundleButtons, rollBackButton } from "./actions.js";
import { bundlePage } from "./bundle.js";
import { follow, redraw, roles, table } from "./parts.js";

/** @typedef {import("../api.js").Bundle} Bundle */
/** @typedef {import("../state.js").Store} Store */

/**
 * @param {Store} store
 * @param {import("../acting.js").Acting} acting
 */
export function showBundles(store, acting) {
  const section = byId("view-bundles", HTMLElement);

  function show() {
    const { bundles, open } = store.get();
    if (!bundles) return section.replaceChildren();
    redraw(section, open === null ? list(bundles) : bundlePage(open, store, acting));
  }

  /** @param {import("../api.js").Bundles} bundles */
  function list({ bundles }) {
    return [
      h(
        "header",
        { class: "head" },
        h("h2", { id: "bundles-title", tabindex: "-1", "data-key": "title" }, "Bundles"),
        h("p", { class: "count" }, `${bundles.length} in the data folder`),
        h("p", { class: "buttons" }, rollBackButton(store, acting)),
      ),
      bundles.length
        ? table(
            "Bundles of the data folder, the newest first",
            ["Bundle", "Products", "Size", "Encoder", "Serves", "Share / shadow", "To do"],
            newestFirst(bundles).map(row),
            { kind: "bundles stack", numbers: [1, 2] },
          )
        : h("p", { class: "note" }, "There is none yet."),
    ];
  }

  /** @param {Bundle} bundle */
  function row(bundle) {
    const { id, created_at: created, products, size_bytes: size, encoder, share, shadow, role, problem } = bundle;
    const href = toAddress({ ...store.get(), view: "bundles", open: id });
    const openIt = (/** @type {Event} */ event) => follow(event, () => acting.open(id));
    return [
      h(
        "span",
        { class: "naming" },
        h("a", { href, onclick: openIt, "data-key": `open ${id}` }, id),
        h("small", {}, text.time(created)),
        problem ? h("small", { class: "bad" }, problem) : null,
      ),
      text.count(products),
      text.bytes(size),
      encoder ?? text.none,
      served(bundle),
      role === "beside" ? `${text.percent(share)} / ${text.percent(shadow)}` : text.none,
      h("span", { class: "buttons" }, ...bundleButtons(bundle, store, acting)),
    ];
  }

  /** @param {Bundle} bundle */
  function served(bundle) {
    const known = roles(bundle);
    return known.length ? h("span", { class: "badges" }, ...known) : text.none;
  }

  for (const part of /** @type {const} */ (["bundles", "open", "report"])) store.watch((state) => state[part], show);
  store.watch(
    ({ open }) => open,
    (open, before) => {
      const back = open === null && before !== null;
      scrollTo({ top: 0 });
      const target = back
        ? section.querySelector(`[data-key="open ${CSS.escape(before)}"]`)
        : section.querySelector("h2");
      if (target instanceof HTMLElement) target.focus();
    },
  );
  show();
}
