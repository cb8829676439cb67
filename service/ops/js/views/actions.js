// What can be done to a bundle, each behind a question that names what changes.

import { h } from "../../../js/dom.js";
import { refusal, replaced } from "../report.js";
import { isServed } from "../state.js";
import { text } from "../text.js";
import { announce, button, failure, table } from "./parts.js";
import { ask } from "./dialog.js";

/** @typedef {import("../api.js").Bundle} Bundle */
/** @typedef {import("../state.js").Store} Store */
/** @typedef {import("../acting.js").Acting} Acting */
/** @typedef {import("./parts.js").Child} Child */

/**
 * The buttons that make sense for a bundle.
 *
 * @param {Bundle} bundle
 * @param {Store} store
 * @param {Acting} acting
 * @returns {HTMLElement[]}
 */
export function bundleButtons(bundle, store, acting) {
  const { id, role, products, current } = bundle;
  if (products === null) return [];
  const facts = (/** @type {string} */ what) => ({ key: `${what} ${id}`, more: id });
  return [
    role === "primary" && current
      ? null
      : button("Activate…", () => activate(bundle, store, acting), facts("activate")),
    role === "primary"
      ? null
      : button(isServed(bundle) ? "Share…" : "Serve beside…", () => place(bundle, acting), facts("place")),
    role === "beside" ? button("Stop…", () => displace(bundle, acting), facts("stop")) : null,
  ].filter((one) => one !== null);
}

/**
 * @param {Bundle} bundle
 * @param {Store} store
 * @param {Acting} acting
 */
function activate(bundle, store, acting) {
  const { bundles } = store.get();
  const primary = bundles?.bundles.find(({ id }) => id === bundles.primary);
  const rows = replaced(primary, bundle).map(({ what, before, after, same }) => [
    what,
    before,
    same ? "the same" : after,
  ]);
  ask({
    title: `Activate ${bundle.id}?`,
    body: [
      h(
        "p",
        {},
        "The gate judges it first, against the current bundle. If it passes, it is published: every service of this data folder answers from it.",
      ),
      table("What changes", ["", "Now", "Then"], rows),
    ],
    act: "Activate",
    busy: "The gate looks at it. This takes seconds, or minutes for a large bundle.",
    back: `activate ${bundle.id}`,
    run: async () => {
      const outcome = await acting.activate(bundle.id);
      const listed = outcome.error && refusal(outcome.error);
      if (!listed) return said(outcome, `${bundle.id} answers now.`);
      return refused(bundle, (await acting.failed(bundle.id)) ?? listed, outcome.error?.requestId, acting);
    },
  });
}

/**
 * @param {import("../acting.js").Outcome} outcome
 * @param {string} well
 * @returns {Child[] | null}
 */
function said({ error }, well) {
  if (error) return [failure(error)];
  announce(well);
  return null;
}

/**
 * What the gate has against a bundle, and the way past it.
 *
 * @param {Bundle} bundle
 * @param {readonly string[]} faults
 * @param {string | null | undefined} requestId
 * @param {Acting} acting
 * @returns {Child[]}
 */
function refused(bundle, faults, requestId, acting) {
  return [
    h("p", {}, "The gate refuses it, and nothing has changed:"),
    h(
      "ul",
      { class: "faults", role: "alert" },
      faults.map((fault) => h("li", {}, fault)),
    ),
    requestId ? h("p", { class: "note" }, text.requestId(requestId)) : null,
    h(
      "p",
      { class: "buttons" },
      button("Activate all the same…", () => force(bundle, faults, acting), { kind: "danger" }),
    ),
  ];
}

/**
 * @param {Bundle} bundle
 * @param {readonly string[]} faults
 * @param {Acting} acting
 */
function force({ id }, faults, acting) {
  ask({
    title: `Activate ${id} in spite of the gate?`,
    body: [
      h(
        "p",
        {},
        `Searches are answered from it although ${faults.length === 1 ? "a check" : `${faults.length} checks`} failed. The history says that it was forced, and why it was refused:`,
      ),
      h(
        "ul",
        { class: "faults" },
        faults.map((fault) => h("li", {}, fault)),
      ),
    ],
    act: "Activate all the same",
    danger: true,
    busy: "It is being published.",
    back: `activate ${id}`,
    run: async () => said(await acting.activate(id, true), `${id} answers now; it was forced.`),
  });
}

/**
 * @param {Store} store
 * @param {Acting} acting
 */
export function rollBackButton(store, acting) {
  const act = () =>
    ask({
      title: "Roll back?",
      body: [
        h(
          "p",
          {},
          "The bundle that was current before ",
          h("b", {}, store.get().bundles?.primary ?? "this one"),
          " becomes current again, in every service of this data folder. It is not judged again.",
        ),
      ],
      act: "Roll back",
      busy: "The bundle before is made ready.",
      back: "roll back",
      run: async () => {
        const outcome = await acting.rollBack();
        return said(outcome, `${store.get().bundles?.primary} answers again.`);
      },
    });
  return button("Roll back…", act, { key: "roll back", icon: "undo" });
}

/**
 * @param {Bundle} bundle
 * @param {Acting} acting
 */
function place({ id, share, shadow, role }, acting) {
  const field = (
    /** @type {string} */ name,
    /** @type {string} */ label,
    /** @type {number} */ value,
    /** @type {string} */ help,
  ) => {
    const input = document.createElement("input");
    Object.assign(input, {
      type: "number",
      id: `beside-${name}`,
      min: "0",
      max: "100",
      step: "any",
      value: `${value * 100}`,
    });
    input.setAttribute("aria-describedby", `beside-${name}-help`);
    const row = h(
      "p",
      { class: "field" },
      h("label", { for: input.id }, label),
      h("span", {}, input, " %"),
      h("small", { class: "note", id: `beside-${name}-help` }, help),
    );
    return { row, read: () => (Number.isFinite(input.valueAsNumber) ? input.valueAsNumber / 100 : 0) };
  };
  const fields = {
    share: field("share", "Share", share, "Of the searches that name no bundle, how many it answers."),
    shadow: field(
      "shadow",
      "Shadow",
      shadow,
      "Of the others, how many it answers as well, to be compared in the metrics.",
    ),
  };
  ask({
    title: role === "beside" ? `Change what ${id} is served for` : `Serve ${id} beside the current bundle?`,
    body: [h("p", {}, "It answers searches that name it, and these:"), fields.share.row, fields.shadow.row],
    act: role === "beside" ? "Change" : "Serve beside",
    busy: "It is opened and warmed.",
    back: `place ${id}`,
    run: async () => said(await acting.place(id, fields.share.read(), fields.shadow.read()), `${id} is served beside.`),
  });
}

/**
 * @param {Bundle} bundle
 * @param {Acting} acting
 */
function displace({ id, share }, acting) {
  const loses = share ? `The ${text.percent(share)} of searches that it answers go to the current bundle again.` : "";
  ask({
    title: `Serve ${id} no more?`,
    body: [h("p", {}, `It stays in the data folder. ${loses} Searches that name it are refused.`)],
    act: "Stop serving",
    busy: "It is let go of.",
    back: `place ${id}`,
    run: async () => said(await acting.displace(id), `${id} is served no more.`),
  });
}
