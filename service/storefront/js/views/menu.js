// The menu of what else a name that was read out of the words may be.

import { alternatives } from "../alternatives.js";
import { h } from "../dom.js";
import { text } from "../text.js";

/** @typedef {import("../actions.js").Actions} Actions */
/** @typedef {import("../state.js").Corrected} Corrected */

/**
 * Open the menu of what else an entity may be. It closes with Escape, Tab, a choice, or a click elsewhere.
 *
 * @param {HTMLElement} item where it hangs
 * @param {HTMLElement} opener
 * @param {Corrected} read
 * @param {string} q
 * @param {Actions} actions
 */
export function openMenu(item, opener, read, q, actions) {
  const closing = new AbortController();
  const { signal } = closing;
  const group = text.group(read.group);
  const status = h("p", { class: "menu-status", role: "status" }, text.looking);
  const choices = h("div", { class: "choices-of", role: "none" });
  const menu = h("div", { class: "menu", role: "menu", "aria-label": text.choices(group), tabindex: "-1" }, choices);
  const box = h("div", { class: "menu-box" }, status, menu);

  function close(/** @type {boolean} */ back) {
    closing.abort();
    box.remove();
    opener.setAttribute("aria-expanded", "false");
    if (back) opener.focus();
  }
  function choice(/** @type {string} */ words, /** @type {() => void} */ act) {
    const pick = () => {
      close(true);
      act();
    };
    return h("button", { type: "button", role: "menuitem", tabindex: "-1", onclick: pick }, words);
  }

  opener.setAttribute("aria-expanded", "true");
  menu.append(choice(text.notUsed, () => actions.drop({ group: read.group, value: read.was, surface: read.surface })));
  item.append(box);
  keepOnPage(box);
  menu.focus();
  menu.addEventListener("keydown", (event) => walk(event, menu, close));
  addEventListener("pointerdown", ({ target }) => target instanceof Node && !item.contains(target) && close(false), { signal });
  opener.addEventListener("click", () => close(true), { signal });

  alternatives(q, read, signal).then(
    (values) => {
      const correct = (/** @type {string} */ value) => actions.correct({ ...read, value });
      choices.replaceChildren(...values.map((value) => choice(value, () => correct(value))));
      status.textContent = values.length ? "" : text.noChoices;
      if (document.activeElement === menu) menu.querySelector("button")?.focus();
    },
    (error) => {
      if (!signal.aborted) throw error;
    },
  );
}

/**
 * The keys of a menu: up and down, first and last, the first letter of a choice, and out.
 *
 * @param {KeyboardEvent} event
 * @param {HTMLElement} menu
 * @param {(back: boolean) => void} close
 */
function walk(event, menu, close) {
  const all = [...menu.querySelectorAll("button")];
  const here = all.findIndex((button) => button === document.activeElement);
  const turned = (/** @type {number} */ by) => all[(here + by + all.length) % all.length];
  const beginning = (/** @type {HTMLElement} */ button) =>
    button.textContent?.toLocaleLowerCase().startsWith(event.key.toLocaleLowerCase());
  const typed = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey && event.key !== " ";
  const next =
    event.key === "ArrowDown" ? (here < 0 ? all[0] : turned(1))
    : event.key === "ArrowUp" ? (here < 0 ? all.at(-1) : turned(-1))
    : event.key === "Home" ? all[0]
    : event.key === "End" ? all.at(-1)
    : typed ? [...all.slice(here + 1), ...all].find(beginning)
    : undefined;
  if (event.key === "Tab") close(true); // and on from the button it came from
  if (event.key === "Escape") close(true);
  if (next || event.key === "Escape") event.preventDefault();
  if (next || typed) event.stopPropagation();
  next?.focus();
}

/** @param {HTMLElement} box Shifted to the left by what it would stick out on the right. */
function keepOnPage(box) {
  const over = box.getBoundingClientRect().right - document.documentElement.clientWidth + 12;
  if (over > 0) box.style.setProperty("left", `${-over}px`);
}
