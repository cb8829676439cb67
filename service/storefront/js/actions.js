// What the user can do, each as one change of the store. The views call these; none of them touches the DOM.

import { ApiError, product } from "./api.js";
import {
  NO_QUERY, likeProduct, shownHits, withEntityAs, withEntityBack, withLess, withReference, withWords, withoutEntity,
} from "./state.js";
import { mayBePicture, readPicture } from "./picture.js";
import { text } from "./text.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {ReturnType<typeof createActions>} Actions */

/**
 * @param {import("./store.js").Store<State>} store
 * @param {{now: () => void, more: () => Promise<void>}} searching
 * @param {{settle: () => void}} address
 */
export function createActions(store, searching, address) {
  let pictures = 0;
  const ask = (/** @type {import("./state.js").Query} */ query) => store.set({ query, error: null });
  const look = (/** @type {import("./state.js").Reference | null} */ reference) =>
    store.set({ query: withReference(store.get().query, reference), chosen: null, error: null });

  return {
    /** Words as they are typed. */
    type: (/** @type {string} */ q) => ask(withWords(store.get().query, q)),

    /** Words that stand as they are: search now, and let what is typed next be a step of its own. */
    submit() {
      address.settle();
      searching.now();
    },

    /** A whole search at once, as an example offers it. */
    tryExample(/** @type {string} */ q) {
      ask({ ...NO_QUERY, q });
      address.settle();
      searching.now();
    },

    /** These words instead of what was being typed. */
    complete(/** @type {string} */ q) {
      ask(withWords(store.get().query, q));
      address.settle();
      searching.now();
    },

    narrow: (/** @type {import("./facets.js").Filter} */ filter) => ask({ ...store.get().query, filter }),
    sortBy: (/** @type {string} */ sort) => ask({ ...store.get().query, sort }),

    /** Count all values of a field, not only the most frequent. */
    countAll: (/** @type {string} */ field) => store.set({ whole: [...store.get().whole, field] }),

    startAgain: () => store.set({ query: NO_QUERY, chosen: null, open: null, error: null }),

    /** The picture in `files`, if one is there; of several, the first. The last one given wins. */
    async givePicture(/** @type {Iterable<File>} */ files) {
      const file = [...files][0];
      if (!file) return;
      const turn = ++pictures;
      if (!mayBePicture(file)) {
        const title = text.notPictureTitle(file.name);
        store.set({ error: new ApiError("problem", { title, detail: text.notPictureDetail }) });
        return;
      }
      const reference = await readPicture(file);
      if (turn === pictures) look(reference);
    },

    removeReference: () => look(null),

    /** Show what was found for one product of the picture; null: for all of it. */
    choose: (/** @type {number | null} */ chosen) => store.set({ chosen }),

    weigh: (/** @type {number} */ weight) => ask({ ...store.get().query, weight }),
    drop: (/** @type {import("./state.js").Dropped} */ entity) => ask(withoutEntity(store.get().query, entity)),
    correct: (/** @type {import("./state.js").Corrected} */ entity) => ask(withEntityAs(store.get().query, entity)),
    useAgain: (/** @type {string} */ group) => ask(withEntityBack(store.get().query, group)),

    /** More like the product that `known` describes. */
    like(/** @type {import("./api.js").Product} */ known) {
      const products = { ...store.get().products, [known.id]: known };
      store.set({ products, query: likeProduct(known.id), chosen: null, open: null, error: null });
    },

    /** Less like the product that `known` describes, of what is searched for. */
    dislike(/** @type {import("./api.js").Product} */ known) {
      const { products, query } = store.get();
      store.set({ products: { ...products, [known.id]: known }, query: withLess(query, known.id, true), open: null, error: null });
    },
    forgive: (/** @type {string} */ id) => ask(withLess(store.get().query, id, false)),

    /** Show a product in full; `why`: its explanation first. */
    open: (/** @type {string} */ id, why = false) => store.set({ open: id, why }),
    close: () => store.set({ open: null }),
    more: () => searching.more(),
    retry: () => searching.now(),
    setOnline: (/** @type {boolean} */ online) => store.set({ online }),
  };
}

/**
 * Fetch the products that the state names and does not know: one searched like, those disliked, one shown in full.
 *
 * @param {import("./store.js").Store<State>} store
 */
export function fetchNamedProducts(store) {
  const fetching = new Set();

  async function ensure(/** @type {string | null} */ id) {
    if (id === null || store.get().products[id] || shownHits(store.get()).some((hit) => hit.id === id) || fetching.has(id)) return;
    fetching.add(id);
    try {
      const found = await product(id, new AbortController().signal);
      store.set({ products: { ...store.get().products, [id]: found } });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const { query } = store.get();
      const gone = error.status === 404 && query.less.includes(id);
      if (gone) store.set({ query: withLess(query, id, false) }); // there is nothing left to be unlike
      else store.set({ error, open: store.get().open === id ? null : store.get().open });
    } finally {
      fetching.delete(id);
    }
  }

  const likedId = (/** @type {State} */ { query: { reference } }) => (reference?.kind === "product" ? reference.id : null);
  for (const named of [likedId, (/** @type {State} */ state) => state.open]) {
    store.watch(named, ensure);
    void ensure(named(store.get()));
  }
  const ensureAll = (/** @type {readonly string[]} */ ids) => ids.forEach((id) => void ensure(id));
  store.watch((state) => state.query.less, ensureAll);
  ensureAll(store.get().query.less);
}
