// What opens over the page, sent for when it is wanted: the camera, and a product in full.

import { ApiError } from "../api.js";
import { byId } from "../dom.js";
import { later, style } from "../later.js";

/** @typedef {import("../state.js").State} State */

/**
 * @param {import("../store.js").Store<State>} store
 * @param {import("../actions.js").Actions} actions
 */
export function showOverPage(store, actions) {
  const camera = later(async () => {
    const [{ openCamera }] = await Promise.all([import("./camera.js"), style("css/camera.css")]);
    return openCamera;
  });
  const product = later(async () => {
    const [{ showProduct }] = await Promise.all([import("./product.js"), style("css/product.css")]);
    showProduct(store, actions);
  });
  const unreachable = () => store.set({ open: null, error: new ApiError("network", { title: "network" }) });

  for (const id of ["shoot", "hero-shoot"]) {
    byId(id, HTMLButtonElement).addEventListener("click", () => camera().then((open) => open(actions), unreachable));
  }
  const show = (/** @type {string | null} */ open) => open !== null && product().catch(unreachable);
  store.watch((state) => state.open, show);
  void show(store.get().open);
}
