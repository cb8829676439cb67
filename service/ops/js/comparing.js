// The two searches of a comparison, asked at once.

import { searchBody, searchForm } from "./compared.js";
import { settled } from "./loading.js";

/** Hits on each side. */
export const DEPTH = 20;
const TYPING_MS = 300;

/**
 * Search whenever what is asked, or how, changes.
 *
 * @param {import("./state.js").Store} store
 * @param {import("./api.js").Api} api
 * @returns {{now: () => Promise<void>}}
 */
export function startComparing(store, api) {
  let underWay = new AbortController();
  let timer = 0;

  async function now() {
    clearTimeout(timer);
    underWay.abort();
    underWay = new AbortController();
    const { signal } = underWay;
    const { asked, settings, entry } = store.get();
    if (entry !== "open") return;
    if (!asked.q.trim() && !asked.picture) return store.set({ sides: null, comparing: false, chosen: null });
    store.set({ comparing: true });
    const search = (/** @type {"a" | "b"} */ side) => {
      const body = searchBody(asked, settings[side], DEPTH);
      const sent = asked.picture
        ? api.searchWithPicture(searchForm(body, asked.picture), signal)
        : api.search(body, signal);
      return settled(sent, signal);
    };
    const [a, b] = await Promise.all([search("a"), search("b")]);
    if (!signal.aborted) store.set({ sides: { a, b }, comparing: false });
  }

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(now, TYPING_MS);
  };
  store.watch(({ asked }) => asked, later);
  store.watch(({ settings }) => settings, later);
  store.watch(({ entry }) => entry, now);
  return { now };
}
