// The words of the page in the language that was chosen before the first paint (language.js): only that one is loaded.

export { LOCALE, formatPrice } from "./text/numbers.js";

/** @type {{text: typeof import("./text/en.js").text}} */
const words = await import(`./text/${document.documentElement.lang}.js`).catch(() => import("./text/en.js"));

export const { text } = words;
