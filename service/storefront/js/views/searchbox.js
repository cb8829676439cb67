// The search box: words, the button and the input for a picture, and the picture dropped or pasted anywhere.

import { byId } from "../dom.js";
import { later } from "../later.js";

/** @typedef {import("../state.js").State} State */

/**
 * @param {import("../store.js").Store<State>} store
 * @param {import("../actions.js").Actions} actions
 */
export function showSearchBox(store, actions) {
  const input = byId("q", HTMLInputElement);
  const form = byId("search", HTMLFormElement);
  const clear = byId("clear", HTMLButtonElement);

  input.addEventListener("input", () => actions.type(input.value));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    actions.submit();
    if (matchMedia("(pointer: coarse)").matches) input.blur();
  });
  clear.addEventListener("click", () => {
    actions.type("");
    input.focus();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" || input.getAttribute("aria-expanded") === "true") return;
    const first = document.querySelector(".grid .card-open");
    if (first instanceof HTMLElement) {
      event.preventDefault();
      first.focus();
    }
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    input.select();
  });

  function show(/** @type {string} */ q) {
    if (input.value !== q) input.value = q;
    clear.hidden = q === "";
  }
  store.watch((state) => state.query.q, show);
  store.watch(
    (state) => state.phase === "loading" || state.phase === "slow",
    (busy) => form.classList.toggle("busy", busy),
  );
  show(store.get().query.q);
  takePictures(actions);
  sendForSuggestions(store, actions, input);
}

/**
 * Suggestions come when someone is about to type, and where there are words already.
 *
 * @param {import("../store.js").Store<State>} store
 * @param {import("../actions.js").Actions} actions
 * @param {HTMLInputElement} input
 */
function sendForSuggestions(store, actions, input) {
  const get = later(async () => {
    const [{ showSuggestions }] = await Promise.all([import("./suggestions.js"), import("../suggest.js")]);
    showSuggestions(store, actions);
  });
  const send = () => void get().catch(() => {});
  input.addEventListener("focus", send);
  store.watch((state) => state.query.q !== "", send);
  if (store.get().query.q) send();
}

/** @param {import("../actions.js").Actions} actions */
function takePictures(actions) {
  const file = byId("file", HTMLInputElement);
  for (const id of ["pick", "hero-pick"]) {
    byId(id, HTMLButtonElement).addEventListener("click", () => file.click());
  }
  file.addEventListener("change", () => {
    void actions.givePicture(file.files ?? []);
    file.value = "";
  });
  addEventListener("paste", (event) => {
    const files = event.clipboardData?.files;
    const wordsToo = isTyping(event.target) && event.clipboardData?.getData("text/plain");
    if (!files?.length || wordsToo) return;
    event.preventDefault();
    void actions.givePicture(files);
  });
  takeDrops(actions);
}

/** @param {import("../actions.js").Actions} actions */
function takeDrops(actions) {
  const veil = byId("drop", HTMLElement);
  let ownDrag = false;
  const carriesFile = (/** @type {DragEvent} */ event) =>
    !ownDrag && (event.dataTransfer?.types.includes("Files") ?? false);

  addEventListener("dragstart", () => (ownDrag = true));
  addEventListener("dragend", () => (ownDrag = false));
  addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!carriesFile(event)) return;
    event.preventDefault();
    void actions.givePicture(event.dataTransfer?.files ?? []);
  });
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLElement && target.matches("input:not([type=range]), textarea, [contenteditable]");
}
