// How numbers are written where the reader is: the page's language, in the reader's own variant of it.

const LANGUAGE = document.documentElement.lang || "en";

/** @type {string} such as de-AT for a reader from Austria on the German page */
export const LOCALE = navigator.languages.find((tag) => tag.split("-")[0].toLowerCase() === LANGUAGE) ?? LANGUAGE;

export const count = new Intl.NumberFormat(LOCALE);
export const percent = new Intl.NumberFormat(LOCALE, { style: "percent" });
/** @param {number} chance that something is so; never written as certain, or as out of the question */
export const likely = (chance) =>
  chance > 0.99 ? `>\u00a0${percent.format(0.99)}` : chance < 0.01 ? `<\u00a0${percent.format(0.01)}` : percent.format(chance);
export const hundredths = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
export const milliseconds = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 2 });
export const signed = new Intl.NumberFormat(LOCALE, {
  minimumFractionDigits: 3,
  maximumFractionDigits: 3,
  signDisplay: "negative",
});

/** @param {string} name an entity group or attribute as the catalogue spells it */
export function titled(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toLocaleUpperCase(LOCALE) + words.slice(1);
}

/**
 * Return a price, or null where the product states none. A currency the browser does not know is written as its code.
 *
 * @param {{price?: number | null, currency?: string | null}} product
 */
export function formatPrice({ price, currency }) {
  if (price === null || price === undefined) return null;
  const whole = Number.isInteger(price) ? { minimumFractionDigits: 0 } : {};
  return new Intl.NumberFormat(LOCALE, currency ? { style: "currency", currency, ...whole } : {}).format(price);
}
