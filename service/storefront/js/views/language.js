// The words that index.html holds, in the page's language, and the choice of another one.

import { putBy } from "../carried.js";
import { h } from "../dom.js";
import { text } from "../text.js";

/** The languages of language.js, each by its own name. */
const NAMES = { en: "English", de: "Deutsch", fr: "Français" };
const KEPT_AS = "catalens.language";

/**
 * Say everything that index.html marks: `data-say="key"` for the words of an element, `data-say="attribute:key"` for
 * those of an attribute.
 */
export function sayWords() {
  const words = /** @type {Record<string, unknown>} */ (text);
  for (const node of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-say]"))) {
    const [key, attribute] = (node.dataset.say ?? "").split(":").reverse();
    if (attribute) node.setAttribute(attribute, String(words[key]));
    else node.textContent = String(words[key]);
  }
  delete document.documentElement.dataset.words;
}

/** @param {import("../store.js").Store<import("../state.js").State>} store */
export function languagePicker(store) {
  const { lang } = document.documentElement;
  const options = Object.entries(NAMES).map(([language, name]) =>
    h("option", { value: language, lang: language, selected: language === lang }, name),
  );
  const choose = (/** @type {Event} */ event) => {
    if (event.target instanceof HTMLSelectElement) speak(event.target.value, store.get().query.reference);
  };
  return h(
    "label",
    { class: "language" },
    h("span", { class: "sr" }, text.language),
    h("select", { onchange: choose, autocomplete: "off" }, options),
  );
}

/**
 * @param {string} language
 * @param {import("../state.js").Reference | null} reference of the search, which goes on in the other language
 */
async function speak(language, reference) {
  if (reference?.kind === "picture") await putBy(reference);
  const address = new URL(location.href);
  address.searchParams.delete("lang");
  try {
    localStorage.setItem(KEPT_AS, language);
  } catch {
    address.searchParams.set("lang", language); // storage is refused in some private windows
  }
  if (address.href === location.href) location.reload();
  else location.replace(address);
}
