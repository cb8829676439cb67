// The names that were read out of the words: each can be taken for nothing, for another one, and for itself again.

import { h, icon } from "../dom.js";
import { later } from "../later.js";
import { text } from "../text.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../actions.js").Actions} Actions */
/** @typedef {import("../state.js").Corrected} Corrected an entity; `value` is `was` where nobody has corrected it */

const menu = later(() => import("./menu.js"));

/**
 * @param {State} state
 * @param {Actions} actions
 * @returns {HTMLElement[]}
 */
export function chips({ answer, query }, actions) {
  const entities = answer?.linked_entities ?? [];
  const stated = new Set([...query.dropped, ...query.corrected].map(({ group }) => group));
  const linked = entities.filter(({ group }) => !stated.has(group));
  const known = (/** @type {Corrected} */ { group }) => entities.find((one) => one.group === group)?.known ?? true;
  const read = [
    ...linked.map(({ group, value, surface }) => ({ group, value, was: value, surface: surface ?? value, chip: usedChip })),
    ...query.corrected.map((entity) => ({ ...entity, chip: correctedChip })),
    ...query.dropped.map((entity) => ({ ...entity, was: entity.value, chip: droppedChip })),
  ];
  const reworded = (answer?.synonyms ?? []).filter(({ read_as }) => read_as !== null);
  if (read.length + reworded.length === 0) return [];
  const words = query.q.toLocaleLowerCase();
  const place = (/** @type {Corrected} */ { surface }) => words.indexOf(surface.toLocaleLowerCase());
  read.sort((one, other) => place(one) - place(other));
  const all = read.map(({ chip, ...entity }) => pair(chip(entity, actions, known(entity)), entity, query.q, actions));
  return [
    h(
      "div",
      { class: "chips" },
      h("span", { class: "chips-label", id: "chips-label" }, text.understoodAs),
      h("ul", { "aria-labelledby": "chips-label" }, reworded.map(synonym), all),
    ),
  ];
}

/**
 * Put new chips in the place of those before; the focus stays where it was.
 *
 * @param {HTMLElement} place
 * @param {HTMLElement[]} fresh
 */
export function replaceChips(place, fresh) {
  const key = place.contains(document.activeElement) ? document.activeElement?.getAttribute("data-key") : null;
  place.replaceChildren(...fresh);
  if (!key) return;
  const same = [...place.querySelectorAll("[data-key]")].find((node) => node.getAttribute("data-key") === key);
  if (same instanceof HTMLElement) same.focus();
}

/** @param {import("../api.js").Synonym} synonym */
function synonym({ surface, read_as }) {
  return h(
    "li",
    { class: "chip-synonym" },
    h("span", { "aria-hidden": "true" }, surface, h("small", {}, " → "), read_as),
    h("span", { class: "sr" }, text.standsFor(surface, read_as ?? "")),
  );
}

/**
 * @param {HTMLElement} chip
 * @param {Corrected} read
 * @param {string} q
 * @param {Actions} actions
 */
function pair(chip, read, q, actions) {
  chip.setAttribute("data-key", `chip ${read.group}`);
  const change = h(
    "button",
    {
      class: "chip-change", type: "button", "data-group": read.group, "data-key": `change ${read.group}`,
      "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": text.correct(text.group(read.group), read.value),
    },
    icon("down"),
  );
  const item = h("li", { class: "chip-pair" }, chip, change);
  change.addEventListener("click", () => {
    if (change.getAttribute("aria-expanded") === "true") return; // the menu closes itself
    const nothing = () => {}; // without a connection there is nothing to choose from
    void menu().then(({ openMenu }) => openMenu(item, change, read, q, actions), nothing);
  });
  return item;
}

/**
 * @param {Corrected} read
 * @param {Actions} actions
 * @param {boolean} known whether the model knows the value
 */
function usedChip({ group, value, surface }, actions, known) {
  const drop = () => actions.drop({ group, value, surface });
  return h(
    "button",
    { class: "chip", type: "button", "data-group": group, onclick: drop },
    h("small", {}, text.group(group)),
    h("span", {}, value, known ? null : h("small", {}, ` (${text.unknown})`)),
    h("span", { class: "sr" }, text.ignore),
    icon("close"),
  );
}

/**
 * @param {Corrected} read
 * @param {Actions} actions
 * @param {boolean} known whether the model knows the value
 */
function correctedChip({ group, value, was }, actions, known) {
  return h(
    "button",
    { class: "chip corrected", type: "button", "data-group": group, onclick: () => actions.useAgain(group) },
    h("small", {}, text.group(group)),
    h("span", {}, value, " ", h("small", {}, text.instead(was)), known ? null : h("small", {}, ` (${text.unknown})`)),
    h("span", { class: "sr" }, text.undoCorrection),
    icon("undo"),
  );
}

/**
 * @param {Corrected} read
 * @param {Actions} actions
 */
function droppedChip({ group, value }, actions) {
  return h(
    "button",
    { class: "chip gone", type: "button", "data-group": group, onclick: () => actions.useAgain(group) },
    h("small", {}, text.group(group)),
    h("s", {}, value),
    h("span", { class: "sr" }, text.useAgain),
    icon("undo"),
  );
}
