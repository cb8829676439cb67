// One observable state. What the state holds is left to state.js, what happens on a change to the watchers.

/**
 * @template S
 * @typedef {{
 *   get: () => S,
 *   set: (patch: Partial<S>) => void,
 *   watch: <V>(pick: (state: S) => V, react: (value: V, before: V) => void) => void,
 * }} Store
 */

/**
 * Return a store. Watchers run in the order they came, each when the value it picks is no longer the same
 * object; a change made by a watcher is delivered after the running round.
 *
 * @template S
 * @param {S} initial
 * @returns {Store<S>}
 */
export function createStore(initial) {
  let state = initial;
  /** @type {(() => void)[]} */
  const watchers = [];
  let running = false;
  let again = false;

  function deliver() {
    again = true;
    if (running) return;
    running = true;
    try {
      while (again) {
        again = false;
        for (const check of watchers) check();
      }
    } finally {
      running = false;
    }
  }

  return {
    get: () => state,
    set(patch) {
      state = { ...state, ...patch };
      deliver();
    },
    watch(pick, react) {
      let seen = pick(state);
      watchers.push(() => {
        const value = pick(state);
        if (Object.is(value, seen)) return;
        const before = seen;
        seen = value;
        react(value, before);
      });
    },
  };
}
