// The address bar: a search that can be written down is in it, so that it can be shared, reloaded and walked
// back to. A picture cannot be written down; it lives on in this visit's history.

import { SORTS, readFilter, writeFilter } from "./facets.js";
import { EVEN, MOST_LESS, NO_QUERY, isEmpty, isLookedFor, isMixed } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Query} Query */
/** @typedef {import("./state.js").Reference} Reference */

/** The language that the address asks for; it stays in it, so that it is shared and reloaded with the rest. */
const LANGUAGE = new URLSearchParams(location.search).get("lang");

/**
 * @param {Query} query
 * @param {string | null} open id of the product shown in full
 * @param {number | null} [chosen] the product of the picture whose hits are shown, from 0
 * @returns {string} the search part of the address, empty or with its question mark
 */
export function toAddress(query, open, chosen = null) {
  const asked = new URLSearchParams();
  if (query.q.trim()) asked.set("q", query.q.trim());
  if (query.reference?.kind === "product") asked.set("like", query.reference.id);
  if (isMixed(query) && query.weight !== EVEN) asked.set("weight", `${query.weight}`);
  for (const { group, surface } of query.dropped) asked.append("without", `${group}:${surface}`);
  for (const { group, surface, value } of query.corrected) asked.append("read", joined(group, surface, value));
  for (const id of query.less) asked.append("less", id);
  writeFilter(query.filter, asked);
  if (query.sort) asked.set("sort", query.sort);
  if (query.reference?.kind === "picture" && chosen !== null) asked.set("instance", `${chosen + 1}`);
  if (open !== null) asked.set("product", open);
  if (LANGUAGE) asked.set("lang", LANGUAGE);
  return asked.size ? `?${asked}` : "";
}

/**
 * @param {string} address as toAddress writes it; what makes no sense is left out
 * @returns {{query: Query, open: string | null, chosen: number | null}}
 */
export function fromAddress(address) {
  const asked = new URLSearchParams(address);
  const like = asked.get("like");
  const weight = Number.parseFloat(asked.get("weight") ?? "");
  const dropped = asked.getAll("without").flatMap((entry) => {
    const [, group, surface] = /^([^:]+):(.+)$/.exec(entry) ?? [];
    return group ? [{ group, value: surface, surface }] : [];
  });
  /** @type {Query} */
  const query = {
    q: asked.get("q")?.slice(0, 2000) ?? "",
    reference: like ? { kind: "product", id: like } : null,
    weight: weight >= 0 && weight <= 1 ? weight : EVEN,
    dropped,
    corrected: asked.getAll("read").flatMap((entry) => {
      const [group, surface, value] = parted(entry);
      return value ? [{ group, value, was: surface, surface }] : [];
    }),
    less: asked.getAll("less").filter(Boolean).slice(-MOST_LESS),
    filter: readFilter(asked),
    sort: SORTS.find((sort) => sort === asked.get("sort")) ?? "",
  };
  const instance = Number.parseInt(asked.get("instance") ?? "", 10);
  const chosen = instance >= 1 ? instance - 1 : null;
  const less = isLookedFor(query) ? query.less : [];
  return { query: isEmpty(query) ? NO_QUERY : { ...query, less }, open: asked.get("product"), chosen };
}

/** @param {string[]} parts to be told apart again by their colons */
function joined(...parts) {
  return parts.map((part) => part.replace(/[%:]/g, encodeURIComponent)).join(":");
}

/** @param {string} entry what joined returned; of anything else, something or nothing */
function parted(entry) {
  return entry.split(":").map((part) => part.replaceAll("%3A", ":").replaceAll("%25", "%"));
}

/**
 * Keep the address bar and the store in step. Everything makes a step of its own in the history, but for
 * going on typing or sliding.
 *
 * @param {import("./store.js").Store<State>} store
 * @returns {{settle: () => void}} settle: the words stand; what is typed next is a new step
 */
export function keepAddress(store) {
  const pictures = rememberPictures();
  let settled = true;
  let restoring = false;

  function write(/** @type {boolean} */ step) {
    const { query, open, chosen } = store.get();
    const opened = open !== null && (step || history.state?.opened === true);
    const entry = /** @type {const} */ ([{ picture: pictures.keyOf(query.reference), opened }, ""]);
    const address = toAddress(query, open, chosen) || location.pathname;
    if (step) history.pushState(...entry, address);
    else history.replaceState(...entry, address);
  }

  function restore() {
    const { query, open, chosen } = fromAddress(location.search);
    const now = store.get().query;
    const asked = { ...query, reference: pictures.get(history.state?.picture) ?? query.reference };
    restoring = true;
    store.set({ open, chosen, ...(sameSearch(asked, now) ? {} : { query: asked }) });
    restoring = false;
    settled = true;
  }

  store.watch(
    (state) => state.query,
    (query, before) => {
      if (restoring) return;
      const reworded = query.q !== before.q || query.weight !== before.weight;
      const goingOn = reworded && query.reference === before.reference;
      write(settled || !goingOn);
      settled = !goingOn;
    },
  );
  store.watch(
    (state) => state.open,
    (open) => {
      if (restoring) return;
      if (open === null && history.state?.opened) history.back();
      else write(open !== null);
    },
  );
  store.watch(
    (state) => state.chosen,
    (_, before) => {
      const { query, answered } = store.get();
      if (restoring || query !== answered) return; // a new search has a step of its own
      write(true);
    },
  );
  addEventListener("popstate", restore);
  if (store.get().query.reference?.kind === "picture") write(false); // its key is of this visit
  return { settle: () => (settled = true) };
}

/**
 * @param {Query} one
 * @param {Query} other
 */
function sameSearch(one, other) {
  const picture = (/** @type {Reference | null} */ reference) => (reference?.kind === "picture" ? reference : null);
  return toAddress(one, null) === toAddress(other, null) && picture(one.reference) === picture(other.reference);
}

/** The pictures of this visit, by keys that no earlier visit in the same history has used. */
function rememberPictures() {
  /** @type {Map<string, Reference>} */
  const kept = new Map();
  return {
    get: (/** @type {string | null | undefined} */ key) => kept.get(key ?? ""),
    keyOf(/** @type {Reference | null} */ reference) {
      if (reference?.kind !== "picture") return null;
      for (const [key, picture] of kept) if (picture === reference) return key;
      const key = `${performance.timeOrigin}-${kept.size}`;
      kept.set(key, reference);
      return key;
    },
  };
}
