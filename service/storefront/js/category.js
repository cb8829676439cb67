// What category a product or the user's picture is of, asked once for each.

import { ApiError, asDataUrl, post, problem } from "./api.js";
import { readPicture } from "./picture.js";

/**
 * A category with its probability, and the likeliest others.
 *
 * @typedef {{name: string, probability: number, source: string, alternatives: {name: string, probability: number}[]}} Category
 */
/** @typedef {import("./api.js").Product} Product */

/** @type {WeakMap<object, Promise<Category | null>>} */
const asked = new WeakMap();
/** Longest text that the service reads, in characters. */
const LONGEST = 2000;

/** @param {import("./state.js").PictureReference} picture */
export function categoryOfPicture(picture) {
  return once(picture, () => classify({ picture: picture.file }, new AbortController().signal));
}

/**
 * The category of a product by its picture and its words.
 *
 * @param {Product} product
 */
export function categoryOfProduct(product) {
  return once(product, async () => {
    const { signal } = new AbortController();
    const [first] = product.images ?? [];
    const q = [product.title, product.description].filter(Boolean).join(". ").slice(0, LONGEST);
    if (!first) return classify({ q }, signal);
    const picture = await pictureAt(first, signal);
    const { file } = await readPicture(new File([picture], first, { type: picture.type })); // not heavier than need be
    return classify({ q, picture: file }, signal);
  });
}

/**
 * @param {object} key
 * @param {() => Promise<Category | null>} ask
 */
function once(key, ask) {
  const answer = asked.get(key) ?? ask();
  asked.set(key, answer);
  answer.catch(() => asked.delete(key)); // another time it may be answered
  return answer;
}

/**
 * Ask what category words, a picture or both are of; names in the words are not taken for an answer.
 *
 * @param {{q?: string, picture?: Blob}} asked
 * @param {AbortSignal} signal
 * @returns {Promise<Category | null>} null where the catalogue has no categories to tell apart
 */
async function classify({ q, picture }, signal) {
  const image = picture ? { image: { data: await asDataUrl(picture) } } : {};
  const body = { ...(q ? { q } : {}), ...image, entity_linking: "off" };
  const answer = await post("v1/classify", JSON.stringify(body), signal);
  return answer.category;
}

/**
 * @param {string} address of a picture on this server
 * @param {AbortSignal} signal
 * @returns {Promise<Blob>}
 */
async function pictureAt(address, signal) {
  const response = await fetch(new URL(address, document.baseURI), { signal }).catch(() => {
    throw new ApiError("network", { title: "network" });
  });
  if (!response.ok) throw await problem(response);
  return response.blob();
}
