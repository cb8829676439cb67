// Looks at /metrics every two seconds while the live view is on the screen, and at /readyz now and then.

import { ApiError } from "./api.js";
import { parse } from "./exposition.js";
import { lookOf, withLook } from "./series.js";

/**
 * @typedef {{
 *   samples: readonly import("./series.js").Look[], ready: import("./api.js").Ready | null, error: ApiError | null,
 *   paused: boolean,
 * }} Live
 */

export const EVERY_MS = 2000;
/** Readiness is found out by searching: every fifth time will do. */
const READY_EVERY = 5;

/**
 * @param {import("./state.js").Store} store
 * @param {import("./api.js").Api} api
 */
export function startPolling(store, api) {
  let timer = 0;
  let turns = 0;
  let asking = false;

  const wanted = () => store.get().entry === "open" && store.get().view === "live" && !document.hidden;
  const live = (/** @type {Partial<Live>} */ patch) => store.set({ live: { ...store.get().live, ...patch } });

  async function look() {
    clearTimeout(timer);
    if (!wanted() || asking) return;
    asking = true;
    timer = 0;
    try {
      const [exposed, ready] = await Promise.all([
        api.metrics(),
        turns % READY_EVERY ? store.get().live.ready : api.ready(),
      ]);
      turns += 1;
      live({ samples: withLook(store.get().live.samples, lookOf(parse(exposed), Date.now())), ready, error: null });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      turns = 0;
      live({ error });
    } finally {
      asking = false;
      if (wanted()) timer = setTimeout(look, EVERY_MS);
    }
  }

  function turn() {
    live({ paused: document.hidden });
    void look();
  }
  document.addEventListener("visibilitychange", turn);
  store.watch(({ view, entry }) => view === "live" && entry === "open", look);
  void look();
}
