// What several views are made of.

import { h, icon } from "../../../js/dom.js";
import { text } from "../text.js";

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * What went wrong, with the service's own words and the request's id.
 *
 * @param {import("../api.js").ApiError} error
 * @param {...Child} more such as a button
 */
export function failure(error, ...more) {
  const others = error.errors.filter(({ message }) => message && !error.detail.includes(message));
  return h(
    "div",
    { class: "notice alert", role: "alert" },
    icon("alert"),
    h(
      "div",
      {},
      h("p", { class: "notice-title" }, error.title),
      error.detail ? h("p", {}, error.detail) : null,
      others.length
        ? h(
            "ul",
            {},
            others.map(({ path, message }) => h("li", {}, path ? `${path}: ${message}` : message)),
          )
        : null,
      error.requestId ? h("p", { class: "note" }, text.requestId(error.requestId)) : null,
      ...more,
    ),
  );
}

/** @param {string} said */
export function waiting(said) {
  return h("p", { class: "waiting", role: "status" }, h("span", { class: "spinner", "aria-hidden": "true" }), said);
}

/**
 * @param {string} said
 * @param {string} [tone] a class
 */
export function badge(said, tone = "") {
  return h("span", { class: `badge ${tone}` }, said);
}

/**
 * What a bundle is to this process, and to the data folder.
 *
 * @param {import("../api.js").Bundle} bundle
 */
export function roles({ role, current }) {
  return [
    role === "primary" ? badge("answers", "good") : null,
    role === "beside" ? badge("beside", "fair") : null,
    current ? badge("current", role === "primary" ? "plain" : "fair") : null,
  ].filter((one) => one !== null);
}

/**
 * @param {string} label
 * @param {(event: Event) => void} act
 * @param {{kind?: string, key?: string, icon?: string, more?: string, disabled?: boolean}} [facts] `key`: what the focus
 *   is given back by when its place is drawn anew; `more`: said to ears alone
 */
export function button(label, act, { kind = "quiet small", key, icon: picture, more, disabled = false } = {}) {
  return h(
    "button",
    { class: `button ${kind}`, type: "button", onclick: act, "data-key": key, disabled },
    picture ? icon(picture) : null,
    label,
    more ? h("span", { class: "sr" }, ` ${more}`) : null,
  );
}

/**
 * A table that scrolls by itself where it is too wide. Roles are stated, since styles may lay rows out as cards.
 *
 * @param {string} caption for ears, unless there is nothing else that says so
 * @param {readonly string[]} heads
 * @param {readonly (readonly Child[])[]} rows
 * @param {{kind?: string, numbers?: readonly number[]}} [facts] `numbers`: columns of figures
 */
export function table(caption, heads, rows, { kind = "", numbers = [] } = {}) {
  const figure = (/** @type {number} */ i) => (numbers.includes(i) ? "figure" : null);
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    h(
      "table",
      { class: `data ${kind}`, role: "table" },
      h("caption", { class: "sr" }, caption),
      h(
        "thead",
        { role: "rowgroup" },
        h(
          "tr",
          { role: "row" },
          heads.map((head, i) =>
            head ? h("th", { scope: "col", role: "columnheader", class: figure(i) }, head) : h("td", { role: "cell" }),
          ),
        ),
      ),
      h(
        "tbody",
        { role: "rowgroup" },
        rows.map((row) =>
          h(
            "tr",
            { role: "row" },
            row.map((cell, i) =>
              i === 0
                ? h("th", { scope: "row", role: "rowheader", class: figure(i) }, cell)
                : h("td", { role: "cell", class: figure(i), "data-head": heads[i] }, cell),
            ),
          ),
        ),
      ),
    ),
  );
}

/**
 * @param {string} title
 * @param {string | null} said
 * @param {...(Child | Child[])} children
 */
export function panel(title, said, ...children) {
  return h(
    "section",
    { class: "panel", "aria-label": title },
    h("h3", {}, title),
    said ? h("p", { class: "note" }, said) : null,
    ...children,
  );
}

/**
 * Draw a place anew; the focus stays on what has the same `data-key`.
 *
 * @param {HTMLElement} place
 * @param {readonly Child[]} children
 */
export function redraw(place, children) {
  const focused = document.activeElement;
  const key = focused instanceof HTMLElement && place.contains(focused) ? focused.dataset.key : undefined;
  place.replaceChildren(.../** @type {Node[]} */ (children.filter((child) => child)));
  if (key) focusOn(place, key);
}

/**
 * @param {HTMLElement} place
 * @param {string} key
 */
export function focusOn(place, key) {
  const again = [...place.querySelectorAll("[data-key]")].find(
    (node) => node instanceof HTMLElement && node.dataset.key === key,
  );
  if (again instanceof HTMLElement) again.focus();
}

/**
 * The first picture of a product, once it is there; where there is none, or not in what is served, a sign for it.
 *
 * @param {import("../api.js").Product} product
 * @param {import("../api.js").Api} api
 */
export function thumbnail({ images = [] }, api) {
  const none = () => h("span", { class: "thumb none" }, icon("picture"));
  if (!images.length) return none();
  const image = h("img", { class: "thumb", alt: "", width: 56, height: 56, loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(none()));
  image.addEventListener("load", () => URL.revokeObjectURL(image.getAttribute("src") ?? ""));
  api.picture(images[0]).then(
    (address) => image.setAttribute("src", address),
    () => image.replaceWith(none()),
  );
  return image;
}

/** @param {string} said to ears, politely */
export function announce(said) {
  const place = document.getElementById("announcer");
  if (place) place.textContent = said;
}

/**
 * Do `act` instead of going where a link points, unless the user wants a new tab or window.
 *
 * @param {Event} event
 * @param {() => void} act
 */
export function follow(event, act) {
  if (!(event instanceof MouseEvent) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  act();
}
