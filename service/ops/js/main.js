// The operator's page: puts the parts together and asks whether it may show anything. What is not looked at is not loaded.

import { byId } from "../../js/dom.js";
import { createStore } from "../../js/store.js";
import { createActing } from "./acting.js";
import { fromAddress, keepAddress } from "./address.js";
import { createApi, createSession } from "./api.js";
import { startLoading } from "./loading.js";
import { initialState } from "./state.js";
import { showBundles } from "./views/bundles.js";
import { closeByClickBeside } from "./views/dialog.js";
import { showFrame } from "./views/frame.js";

const session = createSession();
const api = createApi(session);
const store = createStore({ ...initialState(), ...fromAddress(location.search) });
const loading = startLoading(store, api);
const acting = createActing(store, api, loading);

/** @type {Partial<Record<import("./state.js").View, () => Promise<void>>>} how to show a part for the first time */
const parts = {
  live: async () => (await import("./views/live.js")).showLive(store, api, loading),
  compare: async () => (await import("./views/compare.js")).showCompare(store, api, acting),
  map: async () => (await import("./views/map.js")).showMap(store, api, loading),
};

function showPart() {
  const { entry, view } = store.get();
  const show = entry === "open" ? parts[view] : undefined;
  if (!show) return;
  delete parts[view];
  void show();
}

keepAddress(store);
showFrame(store, session, loading);
showBundles(store, acting);
store.watch(({ view }) => view, showPart);
store.watch(({ entry }) => entry, showPart);
closeByClickBeside();

document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault(); // an address with a fragment would be a step in the history
  byId("place", HTMLElement).focus();
});

void loading.bundles();
