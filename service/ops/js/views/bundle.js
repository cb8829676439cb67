// One bundle: what it is, what can be done to it, and its report.

import { h, icon } from "../../../js/dom.js";
import { text } from "../text.js";
import { bundleButtons } from "./actions.js";
import { failure, follow, panel, roles, table, waiting } from "./parts.js";
import { reportPanels } from "./report.js";
import { verdictPanels } from "./verdict.js";

/** @typedef {import("../report.js").ReportAnswer} ReportAnswer */

/**
 * @param {string} id
 * @param {import("../state.js").Store} store
 * @param {import("../acting.js").Acting} acting
 * @returns {(HTMLElement | null)[]}
 */
export function bundlePage(id, store, acting) {
  const { bundles, report } = store.get();
  const bundle = bundles?.bundles.find((one) => one.id === id);
  const told = report?.id === id ? report : null;
  return [
    h(
      "header",
      { class: "head" },
      h(
        "a",
        {
          class: "back",
          href: "?view=bundles",
          "data-key": "back",
          onclick: (/** @type {Event} */ event) => follow(event, () => acting.open(null)),
        },
        icon("back"),
        "All bundles",
      ),
      h("h2", { id: "bundles-title", tabindex: "-1", "data-key": "title" }, id),
      bundle ? h("p", { class: "badges" }, ...roles(bundle)) : null,
      bundle ? h("p", { class: "buttons" }, ...bundleButtons(bundle, store, acting)) : null,
    ),
    told?.error ? failure(told.error) : null,
    told && !told.error && !told.answer ? waiting("Reading its report…") : null,
    told?.answer ? h("div", { class: "panels" }, ...contents(told.answer)) : null,
  ];
}

/** @param {ReportAnswer} answer */
function contents(answer) {
  const { report, verdicts, problem } = answer;
  return [
    problem ? h("div", { class: "notice alert wide" }, icon("alert"), h("p", {}, problem)) : null,
    facts(answer),
    ...(report ? reportPanels(report, verdicts[0]) : []),
    ...verdictPanels(verdicts),
    past(answer),
  ].filter((one) => one !== null);
}

/** @param {ReportAnswer} answer */
function facts({ manifest, report }) {
  if (!manifest) return null;
  const { encoder, counts } = manifest;
  const model = typeof encoder === "string" ? encoder : `${encoder.name} (${encoder.fingerprint.slice(0, 12)})`;
  const rows = {
    Created: text.time(manifest.created_at),
    Products: text.count(counts.products),
    Pictures: text.count(counts.images),
    "Without a picture": text.count(report?.products_without_images),
    Rejected: text.count(counts.rejected),
    Size: text.bytes(manifest.size_bytes),
    Encoder: model,
    Catalogue: manifest.catalogue,
    Format: `${manifest.format_version}`,
    Digest: manifest.digest.slice(0, 16),
    "Log position": manifest.log_position ?? text.none,
  };
  return panel(
    "What it is",
    null,
    h(
      "dl",
      { class: "facts" },
      Object.entries(rows).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    ),
  );
}

/** @param {ReportAnswer} answer */
function past({ id, history }) {
  const what = (/** @type {import("../report.js").HistoryEntry} */ { action, bundle, forced, automatic }) => {
    const how = [forced ? "forced" : "", automatic ? "by a service itself" : ""].filter(Boolean).join(", ");
    const done =
      action === "publish"
        ? bundle === id
          ? "published"
          : "replaced"
        : bundle === id
          ? "rolled back to"
          : "rolled back from";
    return how ? `${done}, ${how}` : done;
  };
  const rows = history.map((entry) => [
    text.time(entry.at),
    what(entry),
    entry.bundle === id ? (entry.previous ?? text.none) : entry.bundle,
    [entry.reason, ...entry.problems].filter(Boolean).join("; ") || text.none,
  ]);
  const said = rows.length ? null : "It was never published.";
  return panel(
    "History",
    said,
    rows.length ? table("History", ["When", "What", "Instead of, or for", "Why"], rows, { kind: "stack" }) : null,
  );
}
