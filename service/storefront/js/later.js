// Parts of the page that are sent for when they are wanted, so that the first view is there the sooner.

import { h } from "./dom.js";

/**
 * Return a function that sends for a part the first time, and again where it did not come: without a connection, say.
 *
 * @template T
 * @param {() => Promise<T>} send
 * @returns {() => Promise<T>}
 */
export function later(send) {
  /** @type {Promise<T> | null} */
  let there = null;
  return () => {
    there ??= send();
    there.catch(() => (there = null));
    return there;
  };
}

/**
 * @param {string} href
 * @returns {Promise<void>} once the style sheet holds
 */
export function style(href) {
  return new Promise((resolve, reject) => {
    document.head.append(h("link", { rel: "stylesheet", href, onload: () => resolve(), onerror: reject }));
  });
}
