// What surrounds the parts of the page: signing in and out, the tabs, what stands in the way of everything.

import { byId } from "../../../js/dom.js";
import { text } from "../text.js";
import { VIEWS } from "../state.js";
import { announce, button, failure, follow, redraw, waiting } from "./parts.js";

/** @typedef {import("../state.js").State} State */

/**
 * @param {import("../state.js").Store} store
 * @param {import("../api.js").Session} session
 * @param {import("../loading.js").Loading} loading
 */
export function showFrame(store, session, loading) {
  const tabs = byId("tabs", HTMLElement);
  const place = byId("place", HTMLElement);
  const links = /** @type {HTMLAnchorElement[]} */ ([...tabs.querySelectorAll("a")]);

  function show() {
    const { entry, view, error, bundles } = store.get();
    const open = entry === "open";
    tabs.hidden = !open;
    for (const link of links) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    for (const name of VIEWS) byId(`view-${name}`, HTMLElement).hidden = !open || name !== view;
    byId("sign-out", HTMLButtonElement).hidden = !open || !session.key;
    place.setAttribute("aria-busy", `${entry === "unknown" && !error}`);
    document.title = text.title(open ? view : "sign in");
    redraw(byId("notice", HTMLElement), [notice(entry, error, bundles)]);
  }

  /**
   * @param {State["entry"]} entry
   * @param {State["error"]} error
   * @param {State["bundles"]} bundles
   */
  function notice(entry, error, bundles) {
    if (error && !error.barred) return failure(error, button("Try again", loading.bundles, { key: "again" }));
    if (entry === "unknown") return waiting("Asking the service…");
    return bundles?.problem ? problem(bundles.problem) : null;
  }

  for (const link of links) {
    link.addEventListener("click", (event) =>
      follow(event, () => {
        const view = VIEWS.find((name) => name === link.dataset.view) ?? "bundles";
        store.set(view === "bundles" ? { view, open: null } : { view });
        announce(text.name(view));
      }),
    );
  }
  for (const part of /** @type {const} */ (["entry", "view", "error", "bundles"]))
    store.watch((state) => state[part], show);
  signing(store, session, loading);
  show();
}

/** @param {string} said */
function problem(said) {
  const node = failure(
    /** @type {any} */ ({ title: "What should be served cannot be", detail: said, errors: [], requestId: null }),
  );
  node.setAttribute("role", "status");
  return node;
}

/**
 * @param {import("../state.js").Store} store
 * @param {import("../api.js").Session} session
 * @param {import("../loading.js").Loading} loading
 */
function signing(store, session, loading) {
  const form = /** @type {HTMLFormElement} */ (byId("signin", HTMLElement));
  const key = byId("key", HTMLInputElement);
  const said = byId("signin-problem", HTMLElement);

  function show() {
    const { entry, error } = store.get();
    form.hidden = entry !== "barred";
    const wrong = entry === "barred" && session.key !== "";
    said.textContent = wrong ? (error?.detail ?? "This key does not open the page.") : "";
    key.toggleAttribute("aria-invalid", wrong);
    if (entry === "barred" && !form.contains(document.activeElement)) key.focus();
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    session.keep(key.value.trim());
    form.classList.add("busy");
    await loading.bundles();
    form.classList.remove("busy");
    if (store.get().entry !== "open") return key.select();
    key.value = "";
    byId("place", HTMLElement).focus();
  });
  byId("sign-out", HTMLButtonElement).addEventListener("click", () => {
    session.keep("");
    store.set({ entry: "barred", error: null, bundles: null, report: null, map: null, sides: null });
    announce("Signed out");
  });
  store.watch(({ entry }) => entry, show);
  store.watch(({ error }) => error, show);
}
