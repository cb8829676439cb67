// One question at a time, over the page: what will happen, then how it goes, then what became of it.

import { byId, h, icon } from "../../../js/dom.js";
import { focusOn, redraw, waiting } from "./parts.js";

/** @typedef {import("./parts.js").Child} Child */

let questions = 0;

/**
 * Ask before something is done, do it, and say what became of it.
 *
 * @param {{
 *   title: string, body: Child[], act: string, danger?: boolean, busy: string,
 *   run: () => Promise<Child[] | null>, back?: string,
 * }} question
 *   `run` does it: null where all went well and the dialog may close, else what is to be read
 */
export function ask({ title, body, act, danger = false, busy, run, back }) {
  const dialog = byId("dialog", HTMLDialogElement);
  const close = () => dialog.close();
  const own = ++questions;

  async function go() {
    const began = Date.now();
    const spent = h("span", { class: "spent", "aria-hidden": "true" });
    const clock = setInterval(() => (spent.textContent = ` ${Math.round((Date.now() - began) / 1000)} s`), 1000);
    show([waiting(busy), spent], []);
    dialog.querySelector("h2")?.focus();
    try {
      const result = await run();
      if (own !== questions) return; // it was closed, and something else is asked
      if (result === null) return close();
      if (!dialog.open) dialog.showModal();
      show(result, [h("button", { class: "button quiet", type: "button", onclick: close }, "Close")]);
      dialog.querySelector("h2")?.focus();
    } finally {
      clearInterval(clock);
    }
  }

  /**
   * @param {readonly Child[]} content
   * @param {readonly Child[]} buttons
   */
  function show(content, buttons) {
    redraw(dialog, [
      h(
        "button",
        { class: "ghost dialog-close", type: "button", "aria-label": "Close", onclick: close },
        icon("close"),
      ),
      h("h2", { id: "dialog-title", tabindex: "-1" }, title),
      h("div", { class: "dialog-body" }, ...content),
      buttons.length ? h("p", { class: "buttons" }, ...buttons) : null,
    ]);
  }

  show(body, [
    h("button", { class: danger ? "button danger" : "button", type: "submit", onclick: go }, act),
    h("button", { class: "button quiet", type: "button", onclick: close }, "Cancel"),
  ]);
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("h2")?.focus();
  dialog.addEventListener(
    "close",
    () => {
      dialog.replaceChildren();
      if (back) focusOn(byId("place", HTMLElement), back);
    },
    { once: true },
  );
}

/** Let a click beside the dialog close it, as Escape does. */
export function closeByClickBeside() {
  const dialog = byId("dialog", HTMLDialogElement);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
