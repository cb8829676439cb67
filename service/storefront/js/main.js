// The storefront: puts the parts together and starts the first search.

import { createActions, fetchNamedProducts } from "./actions.js";
import { fromAddress, keepAddress } from "./address.js";
import { takeUp } from "./carried.js";
import { byId } from "./dom.js";
import { startSearching } from "./search.js";
import { initialState } from "./state.js";
import { createStore } from "./store.js";
import { showAsked } from "./views/asked.js";
import { showFoot } from "./views/foot.js";
import { showHero } from "./views/hero.js";
import { sayWords } from "./views/language.js";
import { showNarrowing } from "./views/narrow.js";
import { showNotices } from "./views/notice.js";
import { showOverPage } from "./views/over.js";
import { showPhoto } from "./views/photo.js";
import { showResults } from "./views/results.js";
import { showSearchBox } from "./views/searchbox.js";

sayWords();
const asked = fromAddress(location.search);
const picture = await takeUp();
if (picture) asked.query = { ...asked.query, reference: picture };
const store = createStore({ ...initialState(), ...asked, online: navigator.onLine });
const searching = startSearching(store);
const actions = createActions(store, searching, keepAddress(store));

fetchNamedProducts(store);
showSearchBox(store, actions);
showAsked(store, actions);
showPhoto(store, actions);
showHero(store, actions);
showResults(store, actions);
showNarrowing(store, actions);
showNotices(store, actions);
showFoot(store);
showOverPage(store, actions);

addEventListener("online", () => actions.setOnline(true));
addEventListener("offline", () => actions.setOnline(false));
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault(); // an address with a fragment would be a step in the history
  byId("results", HTMLElement).focus();
});
document.querySelector(".logo")?.addEventListener("click", (event) => {
  event.preventDefault();
  actions.startAgain();
  byId("q", HTMLInputElement).focus();
});

searching.now();
