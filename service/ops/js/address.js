// The address bar: which part of the page is shown, and what is compared or lit up there. Keys and pictures are
// never in it.

import { AS_USUAL, VIEWS } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Settings} Settings */
/** @typedef {Pick<State, "view" | "open" | "asked" | "settings" | "mapped" | "lit">} Shown */

const SIDES = /** @type {const} */ (["a", "b"]);

/**
 * @param {Shown} shown
 * @returns {string} the search part of the address
 */
export function toAddress({ view, open, asked, settings, mapped, lit }) {
  const said = new URLSearchParams({ view });
  if (view === "bundles" && open !== null) said.set("bundle", open);
  if (view === "compare") {
    if (asked.q.trim()) said.set("q", asked.q.trim());
    if (asked.entities.trim()) said.set("entities", asked.entities.trim());
    for (const side of SIDES) {
      for (const [name, value] of Object.entries(settings[side])) if (value !== "") said.set(`${side}.${name}`, value);
    }
  }
  if (view === "map") {
    if (mapped) said.set("bundle", mapped);
    if (lit.trim()) said.set("light", lit.trim());
  }
  return `?${said}`;
}

/**
 * @param {string} address as toAddress writes it; what makes no sense is left out
 * @returns {Shown}
 */
export function fromAddress(address) {
  const said = new URLSearchParams(address);
  const view = VIEWS.find((known) => known === said.get("view")) ?? "bundles";
  const compared = view === "compare";
  return {
    view,
    open: view === "bundles" ? said.get("bundle") : null,
    asked: { q: (compared && said.get("q")) || "", entities: (compared && said.get("entities")) || "", picture: null },
    settings: { a: settingsIn(said, "a"), b: settingsIn(said, "b") },
    mapped: (view === "map" && said.get("bundle")) || "",
    lit: (view === "map" && said.get("light")) || "",
  };
}

/**
 * @param {URLSearchParams} said
 * @param {"a" | "b"} side
 * @returns {Settings}
 */
function settingsIn(said, side) {
  const stated = Object.keys(AS_USUAL).map((name) => [name, said.get(`${side}.${name}`) ?? ""]);
  return /** @type {Settings} */ (Object.fromEntries(stated));
}

/**
 * Keep the address bar and the store in step. Another part of the page or another bundle is a step of the history,
 * the rest changes where it stands.
 *
 * @param {import("./state.js").Store} store
 */
export function keepAddress(store) {
  let restoring = false;
  const write = (/** @type {boolean} */ step) => {
    if (restoring) return;
    const address = toAddress(store.get());
    if (address === location.search) return;
    if (step) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  };
  store.watch(
    ({ view }) => view,
    () => write(true),
  );
  store.watch(
    ({ open }) => open,
    () => write(true),
  );
  for (const part of /** @type {const} */ (["asked", "settings", "mapped", "lit"])) {
    store.watch(
      (state) => state[part],
      () => write(false),
    );
  }
  addEventListener("popstate", () => {
    const { view, open, ...rest } = fromAddress(location.search);
    restoring = true;
    store.set(view === store.get().view ? { open, ...rest } : { view, open });
    restoring = false;
  });
}
