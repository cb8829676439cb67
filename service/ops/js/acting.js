// What the operator can do to bundles, one request each, and what became of it.

import { ApiError } from "./api.js";
import { settled } from "./loading.js";

/** @typedef {ReturnType<typeof createActing>} Acting */
/** @typedef {{error: ApiError | null}} Outcome */

/**
 * @param {import("./state.js").Store} store
 * @param {import("./api.js").Api} api
 * @param {import("./loading.js").Loading} loading
 */
export function createActing(store, api, loading) {
  /**
   * @param {Promise<import("./api.js").Bundles>} asked
   * @returns {Promise<Outcome>}
   */
  async function done(asked) {
    try {
      const bundles = await asked;
      store.set({ bundles });
      return { error: null };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.barred) await loading.bundles();
      return { error };
    } finally {
      void loading.report(); // a refusal is a verdict, too
    }
  }
  return {
    /** Show a bundle in full; null: all of them. */
    open: (/** @type {string | null} */ id) => store.set({ open: id, report: null }),
    activate: (/** @type {string} */ id, force = false) => done(api.activate(id, force)),
    /** What failed in the newest verdict on a bundle, each in a sentence; null where that cannot be told. */
    async failed(/** @type {string} */ id) {
      const { answer } = await settled(api.report(id));
      const checks = answer?.verdicts[0]?.checks.filter(({ outcome }) => outcome === "failed") ?? [];
      return checks.length ? checks.map(({ name, says }) => `${name}: ${says}`) : null;
    },
    rollBack: () => done(api.rollBack()),
    place: (/** @type {string} */ id, /** @type {number} */ share, /** @type {number} */ shadow) =>
      done(api.place(id, { share, shadow })),
    displace: (/** @type {string} */ id) => done(api.displace(id)),
  };
}
