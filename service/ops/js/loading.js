// What the parts of the page show is fetched when they are looked at: bundles, one bundle's report, a map, the products
// that light up on it.

import { ApiError } from "./api.js";
import { isServed, mappedBundle } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {ReturnType<typeof startLoading>} Loading */

/** Between two looks at the bundles, while they are on the screen. */
const BUNDLES_MS = 10_000;
/** Products on a map, and products found that may light up. */
const MAPPED = 2000;
const LIT = 100;
/** Rest after the last key before what lights up is searched for. */
const TYPING_MS = 250;

/**
 * @param {import("./state.js").Store} store
 * @param {import("./api.js").Api} api
 */
export function startLoading(store, api) {
  let mapping = new AbortController();
  let lighting = new AbortController();
  let typing = 0;

  /** Ask for the bundles; without the right to, the page asks for a key. */
  async function bundles() {
    try {
      const found = await api.bundles();
      const same = JSON.stringify(found) === JSON.stringify(store.get().bundles);
      store.set({ entry: "open", error: null, ...(same ? {} : { bundles: found }) });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      store.set(error.barred ? { entry: "barred", error, bundles: null, report: null, map: null } : { error });
    }
  }

  /** @param {string | null} id */
  async function report(id) {
    if (id === null) return store.set({ report: null });
    if (store.get().report?.id !== id) store.set({ report: { id, answer: null, error: null } });
    const told = await settled(api.report(id));
    if (store.get().open === id) store.set({ report: { id, ...told } });
  }

  async function map() {
    const id = mappedBundle(store.get());
    if (id === null || (store.get().map?.id === id && !store.get().map?.error)) return;
    mapping.abort();
    mapping = new AbortController();
    const { signal } = mapping;
    store.set({ map: { id, answer: null, error: null } });
    const told = await settled(api.map(id, MAPPED, signal), signal);
    if (!signal.aborted) store.set({ map: { id, ...told } });
  }

  async function light() {
    lighting.abort();
    lighting = new AbortController();
    const { signal } = lighting;
    const { lit, bundles: known } = store.get();
    const q = lit.trim();
    if (!q) return store.set({ hits: { q, ids: [], error: null } });
    const id = mappedBundle(store.get());
    const served = known?.bundles.some((bundle) => bundle.id === id && isServed(bundle));
    const asked = { q, limit: LIT, fields: ["id"], ...(served ? { bundle: id } : {}) };
    const { answer, error } = await settled(api.search(asked, signal), signal);
    if (!signal.aborted) store.set({ hits: { q, ids: answer?.hits.map((hit) => hit.id) ?? [], error } });
  }

  const shown = (/** @type {State["view"]} */ view) => {
    const { entry, view: now } = store.get();
    return entry === "open" && now === view && !document.hidden;
  };
  const look = () => {
    if (!shown("map")) return;
    void map();
    if (store.get().hits.q !== store.get().lit.trim()) void light();
  };
  store.watch(({ open, entry }) => (entry === "open" ? open : null), report);
  for (const part of /** @type {const} */ (["view", "mapped", "entry"])) store.watch((state) => state[part], look);
  store.watch(
    ({ lit }) => lit,
    () => {
      clearTimeout(typing);
      typing = setTimeout(light, TYPING_MS);
    },
  );
  store.watch(mappedBundle, () => {
    store.set({ hits: { q: "", ids: [], error: null } });
    look();
  });
  setInterval(() => shown("bundles") && void bundles(), BUNDLES_MS);

  return { bundles, report: () => report(store.get().open), map };
}

/**
 * @template T
 * @param {Promise<T>} asked
 * @param {AbortSignal} [signal]
 * @returns {Promise<{answer: T | null, error: ApiError | null}>}
 */
export async function settled(asked, signal) {
  try {
    return { answer: await asked, error: null };
  } catch (error) {
    if (signal?.aborted) return { answer: null, error: null };
    if (!(error instanceof ApiError)) throw error;
    return { answer: null, error };
  }
}
