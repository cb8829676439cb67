// What stands in the way of results: an error, no connection, a slow shop, nothing found. And the same for ears.

import { byId, h, icon } from "../dom.js";
import { foundOf } from "../instances.js";
import { isEmpty, shownHits } from "../state.js";
import { text } from "../text.js";
import { heading } from "./results.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../actions.js").Actions} Actions */

/** Rest after an answer before it is announced, so that typing is not talked over. */
const ANNOUNCE_MS = 700;
/** What the service says of an error is said in this language whatever the page's is. */
const SERVICE_LANGUAGE = "en";

/**
 * @param {import("../store.js").Store<State>} store
 * @param {Actions} actions
 */
export function showNotices(store, actions) {
  const place = byId("notice", HTMLElement);
  function show() {
    const notice = fitting(store.get(), actions);
    place.replaceChildren(...(notice ? [notice] : []));
  }
  for (const part of /** @type {(keyof State)[]} */ (["phase", "error", "online", "answer", "browse"])) {
    store.watch((state) => state[part], show);
  }
  show();
  announce(store);
}

/**
 * @param {State} state
 * @param {Actions} actions
 * @returns {HTMLElement | null}
 */
function fitting(state, actions) {
  const { error, online, phase, query } = state;
  if (!online) return notice({ title: text.offlineTitle, detail: text.offlineDetail, role: "status" });
  if (error) return failure(error, query, actions);
  if (phase === "slow") return notice({ title: text.slow, role: "status" });
  if (phase === "ready" && !isEmpty(query) && shownHits(state).length === 0) {
    return notice({ title: text.emptyTitle, detail: text.emptyDetail, role: "status" });
  }
  return null;
}

/**
 * @param {import("../api.js").ApiError} error
 * @param {import("../state.js").Query} query
 * @param {Actions} actions
 */
function failure(error, query, actions) {
  const said = {
    network: { title: text.networkTitle, detail: text.networkDetail },
    timeout: { title: text.timeoutTitle, detail: text.timeoutDetail },
    problem: {
      title: (error.status ? text.problemTitle(error.status, error.title) : error.title) || text.brokenTitle,
      detail: error.detail,
    },
  }[error.kind];
  const removable = !error.passing && query.reference !== null;
  return notice({
    ...said,
    role: "alert",
    language: error.status ? SERVICE_LANGUAGE : null,
    errors: error.errors,
    requestId: error.requestId,
    buttons: [
      error.passing ? button(text.retry, actions.retry) : null,
      removable ? button(removeLabel(query), actions.removeReference) : null,
    ],
  });
}

/** @param {import("../state.js").Query} query */
function removeLabel({ reference }) {
  return reference?.kind === "picture" ? text.removePicture : text.removeProduct;
}

/**
 * @param {string} label
 * @param {() => void} act
 */
function button(label, act) {
  return h("button", { class: "button quiet", type: "button", onclick: act }, label);
}

/**
 * @param {{title: string, role: "alert" | "status", detail?: string, errors?: {path: string, message: string}[],
 *          requestId?: string | null, buttons?: (HTMLElement | null)[], language?: string | null}} facts `language` is
 *          that of the detail and the errors where it is not the page's
 */
function notice({ title, role, detail, errors = [], requestId, buttons = [], language }) {
  const more = errors.filter(({ message }) => message && !detail?.includes(message));
  return h(
    "div",
    { class: `notice ${role}`, role },
    icon("alert"),
    h(
      "div",
      {},
      h("p", { class: "notice-title" }, title),
      detail ? h("p", { lang: language }, detail) : null,
      more.length ? h("ul", { lang: language }, more.map(({ path, message }) => h("li", {}, path ? `${path}: ${message}` : message))) : null,
      buttons.some(Boolean) ? h("p", { class: "buttons" }, buttons) : null,
      requestId ? h("p", { class: "note" }, text.requestId(requestId)) : null,
    ),
  );
}

/** @param {State} state */
function saidOf(state) {
  const found = state.answer ? foundOf(state.answer, state.chosen) : 0;
  return text.announced(found ?? shownHits(state).length, heading(state));
}

/** @param {import("../store.js").Store<State>} store */
function announce(store) {
  const announcer = byId("announcer", HTMLElement);
  let timer = 0;
  store.watch(
    (state) => state.chosen,
    () => {
      clearTimeout(timer);
      if (store.get().answer) announcer.textContent = saidOf(store.get());
    },
  );
  store.watch(
    (state) => state.answer,
    (answer, before) => {
      clearTimeout(timer);
      if (!answer) return;
      const isNextPage = before !== null && answer.offset > before.offset;
      const said = isNextPage
        ? text.moreAnnounced(shownHits(store.get()).length)
        : saidOf(store.get());
      timer = setTimeout(() => (announcer.textContent = said), ANNOUNCE_MS);
    },
  );
}
