// Every word the scripts say, and how numbers are written: the one place a translation would replace.

const LOCALE = document.documentElement.lang || "en";

const count = new Intl.NumberFormat(LOCALE);
const percent = new Intl.NumberFormat(LOCALE, { style: "percent" });
const milliseconds = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 2 });
const signed = new Intl.NumberFormat(LOCALE, {
  minimumFractionDigits: 3,
  maximumFractionDigits: 3,
  signDisplay: "negative",
});

/** @param {string} name an entity group or attribute as the catalogue spells it */
function titled(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toLocaleUpperCase(LOCALE) + words.slice(1);
}

export const text = {
  pageTitle: (/** @type {string} */ about) => (about ? `${about} · Catalens` : "Catalens"),
  products: "A few to begin with",
  resultsFor: (/** @type {string} */ q) => `Results for “${q}”`,
  resultsLike: (/** @type {string} */ title) => `More like ${title}`,
  resultsLikeBoth: (/** @type {string} */ title, /** @type {string} */ q) => `Like ${title}, “${q}”`,
  resultsPicture: "Results for your picture",
  resultsPictureAnd: (/** @type {string} */ q) => `Results for your picture and “${q}”`,
  resultsInstances: (/** @type {number} */ n) => `Results for all ${count.format(n)} products`,
  resultsInstancesAnd: (/** @type {number} */ n, /** @type {string} */ q) =>
    `Results for all ${count.format(n)} products and “${q}”`,
  resultsInstance: (/** @type {number} */ n, /** @type {number} */ of) =>
    `Results for product ${count.format(n)} of ${count.format(of)}`,
  resultsInstanceAnd: (/** @type {number} */ n, /** @type {number} */ of, /** @type {string} */ q) =>
    `Results for product ${count.format(n)} of ${count.format(of)} and “${q}”`,
  counted: (/** @type {number} */ shown, /** @type {number} */ found) =>
    `${count.format(shown)} of ${count.format(found)}`,
  announced: (/** @type {number} */ found, /** @type {string} */ about) =>
    found === 1 ? `1 product. ${about}` : `${count.format(found)} products. ${about}`,
  moreAnnounced: (/** @type {number} */ shown) => `${count.format(shown)} products shown.`,
  showMore: "Show more",
  loadingMore: "Loading…",
  thisProduct: "this product",
  yourPicture: "Your picture",

  photoTitle: (/** @type {number} */ n) =>
    n === 1 ? "One product found in your picture" : `${count.format(n)} products found in your picture`,
  photoHint: "Choose one to see what is like it.",
  photoOne: "What is in the frame is searched for.",
  instance: (/** @type {number} */ n, /** @type {number} */ of) => `Product ${count.format(n)} of ${count.format(of)}`,
  instanceNumber: (/** @type {number} */ n) => count.format(n),
  wholePhoto: "Whole photo",

  moreLikeThis: "More like this",
  moreLike: (/** @type {string} */ title) => `more like ${title}`,
  similar: "Similar",
  why: "Why?",
  whyThis: "Why? The reasons for",
  inStock: "In stock",
  soldOut: "Sold out",
  noPicture: "No picture",
  close: "Close",
  toShop: "View at the shop",
  pictureOf: (/** @type {string} */ title, /** @type {number} */ n) => `${title}, picture ${n}`,
  showPicture: (/** @type {number} */ n) => `Show picture ${n}`,
  group: titled,

  words: "Words",
  lexical: "Words as they are written",
  picture: "Picture",
  likeness: "Product",
  weightLabel: "Words against picture",
  weightValue: (/** @type {number} */ weight, /** @type {string} */ other) =>
    `${percent.format(1 - weight)} words, ${percent.format(weight)} ${other.toLocaleLowerCase(LOCALE)}`,
  removePicture: "Remove the picture",
  removeProduct: "Remove the product",
  understoodAs: "Read as",
  ignore: ": do not read it so",
  useAgain: ": not used, read it so again",
  unknown: "new to the model",

  explainTitle: "Why this result",
  explainCaption: "The parts that add up to the score of this product",
  explainPart: "Part",
  explainShare: "Points",
  score: "Score",
  gate: (/** @type {number} */ gate) => `gate ${gate.toFixed(2)}`,
  gateNote: "A gate, from 0 to 1, is how far the model trusts that kind of name.",
  points: (/** @type {number} */ score) => signed.format(score),

  slow: "Still searching. The shop is busy.",
  retry: "Try again",
  emptyTitle: "Nothing found",
  emptyDetail: "Try other words, fewer words, or a picture.",
  offlineTitle: "You are offline",
  offlineDetail: "What you see stays here. The search goes on when the connection is back.",
  networkTitle: "The shop cannot be reached",
  networkDetail: "Check the connection and try again.",
  timeoutTitle: "The shop took too long to answer",
  timeoutDetail: "It may be busy. Try again in a moment.",
  brokenTitle: "Something went wrong in the shop",
  notPictureTitle: (/** @type {string} */ name) => `“${name}” is not a picture`,
  notPictureDetail: "Choose a JPEG, PNG, WebP or GIF.",
  requestId: (/** @type {string} */ id) => `Request ${id}`,
  example: (/** @type {string} */ q) => `Search for ${q}`,

  took: (/** @type {number} */ ms) => `${milliseconds.format(ms)} ms`,
  stage: titled,
  index: (/** @type {string} */ bundle) => `index ${bundle}`,
  model: (/** @type {string} */ model) => `model ${model}`,
  degraded: (/** @type {readonly string[]} */ parts) => `running without ${parts.join(", ")}`,
};

/**
 * Return a price as the reader's locale writes it, or null where the product states none. A currency the
 * browser does not know is written as its code.
 *
 * @param {{price?: number | null, currency?: string | null}} product
 */
export function formatPrice({ price, currency }) {
  if (price === null || price === undefined) return null;
  const whole = Number.isInteger(price) ? { minimumFractionDigits: 0 } : {};
  return new Intl.NumberFormat(LOCALE, currency ? { style: "currency", currency, ...whole } : {}).format(price);
}
