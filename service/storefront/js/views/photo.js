// The user's picture with a frame around each product that was found in it: choose one for its own results.

import { byId, h } from "../dom.js";
import { chosenOf, instancesOf } from "../instances.js";
import { drawPreview } from "../picture.js";
import { text } from "../text.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../actions.js").Actions} Actions */
/** @typedef {import("../api.js").Instance} Instance */

/** Longest side of the drawn picture, in its own pixels: sharp on small screens, too. */
const LONG_SIDE_PX = 800;

/**
 * @param {import("../store.js").Store<State>} store
 * @param {Actions} actions
 */
export function showPhoto(store, actions) {
  const section = byId("photo", HTMLElement);
  /** @type {{preview: ImageBitmap | null, boxes: string} | null} */
  let drawn = null;

  function show() {
    const { answer, answered, query, phase } = store.get();
    const { reference } = query;
    const same = reference !== null && reference === answered.reference && phase !== "failed";
    const instances = same && reference.kind === "picture" ? instancesOf(answer) : [];
    section.hidden = instances.length === 0;
    if (reference?.kind !== "picture" || instances.length === 0) {
      section.replaceChildren();
      drawn = null;
      return;
    }
    const boxes = JSON.stringify(instances.map(({ box }) => box));
    if (drawn?.preview === reference.preview && drawn.boxes === boxes) return; // the focus stays where it is
    drawn = { preview: reference.preview, boxes };
    section.replaceChildren(picture(reference.preview, instances, actions), about(instances, actions));
    mark();
  }

  function mark() {
    const { answer, chosen } = store.get();
    const place = chosenOf(answer, chosen);
    section.classList.toggle("choosing", place !== null);
    for (const button of section.querySelectorAll("[data-instance]")) {
      button.setAttribute("aria-pressed", `${button.getAttribute("data-instance") === `${place ?? "whole"}`}`);
    }
  }

  for (const part of /** @type {(keyof State)[]} */ (["answer", "query", "phase"])) {
    store.watch((state) => state[part], show);
  }
  store.watch((state) => state.chosen, mark);
  store.watch((state) => state.answer, mark);
  show();
}

/**
 * @param {ImageBitmap | null} preview
 * @param {Instance[]} instances
 * @param {Actions} actions
 */
function picture(preview, instances, actions) {
  const frame = h("div", { class: "photo-frame" }, preview ? canvas(preview) : null);
  frame.style.setProperty("--form", preview ? `${preview.width} / ${preview.height}` : "4 / 3");
  const alone = instances.length === 1;
  const frames = instances.map((instance, n) => (alone ? h("span", { class: "photo-box" }) : button(n, instances.length, actions)));
  frames.forEach((node, n) => place(node, instances[n].box));
  frame.append(...frames);
  return frame;
}

/** @param {ImageBitmap} preview */
function canvas(preview) {
  const scale = Math.min(1, LONG_SIDE_PX / Math.max(preview.width, preview.height));
  const node = document.createElement("canvas");
  node.width = Math.max(1, Math.round(preview.width * scale));
  node.height = Math.max(1, Math.round(preview.height * scale));
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", text.yourPicture);
  drawPreview(node, preview);
  return node;
}

/**
 * @param {number} n
 * @param {number} of
 * @param {Actions} actions
 */
function button(n, of, actions) {
  const choose = () => actions.choose(n);
  return h(
    "button",
    { class: "photo-box", type: "button", "data-instance": n, "aria-label": text.instance(n + 1, of), onclick: choose },
    h("span", { "aria-hidden": "true" }, text.instanceNumber(n + 1)),
  );
}

/**
 * Put a frame where its box is; the smaller, the higher, so that each can be reached.
 *
 * @param {HTMLElement} node
 * @param {Instance["box"]} box
 */
function place(node, [left, top, right, bottom]) {
  const sides = { left, top, width: right - left, height: bottom - top };
  for (const [side, share] of Object.entries(sides)) node.style.setProperty(side, `${share * 100}%`);
  node.style.setProperty("z-index", `${Math.round(100 * (1 - sides.width * sides.height)) + 1}`);
}

/**
 * @param {Instance[]} instances
 * @param {Actions} actions
 */
function about({ length }, actions) {
  const whole = h(
    "button",
    { class: "button quiet", type: "button", "data-instance": "whole", onclick: () => actions.choose(null) },
    text.wholePhoto,
  );
  return h(
    "div",
    { class: "photo-about" },
    h("h2", { id: "photo-title" }, text.photoTitle(length)),
    h("p", {}, length === 1 ? text.photoOne : text.photoHint),
    length === 1 ? null : h("p", { class: "buttons" }, whole),
  );
}
