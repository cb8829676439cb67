// The last five minutes of the process, from what it tells Prometheus.

import { byId, h } from "../../../js/dom.js";
import { EVERY_MS, startPolling } from "../polling.js";
import { SHOWN_MS, gauge, hitShare, quantiles, rates } from "../series.js";
import { roundEnd, timeline } from "../svg.js";
import { text } from "../text.js";
import { badge, button, failure, redraw, waiting } from "./parts.js";

/** @typedef {import("../series.js").Look} Look */
/** @typedef {import("../svg.js").Line} Line */
/** @typedef {{title: string, lines: Line[], write: (value: number) => string, most?: number, said?: string}} Chart */

/** The shortest time that charts show. */
const LEAST_MS = 60_000;

const perSecond = (/** @type {number} */ value) => `${text.figure(value)}/s`;
const STATUS_TONES = { "2xx": "good", "3xx": "plain", "4xx": "fair", "5xx": "bad" };

/**
 * @param {import("../state.js").Store} store
 * @param {import("../api.js").Api} api
 * @param {import("../loading.js").Loading} loading
 */
export function showLive(store, api, loading) {
  const section = byId("view-live", HTMLElement);
  const head = h(
    "header",
    { class: "head" },
    h("h2", { id: "live-title" }, "Live"),
    h("p", { class: "count" }, `this process, the last five minutes, every ${EVERY_MS / 1000} s`),
  );
  const notice = h("div", {});
  const ready = h("div", { class: "ready" });
  const charts = h("div", { class: "charts" });
  section.append(head, notice, ready, charts);

  function show() {
    const { view, live, entry } = store.get();
    if (view !== "live" || entry !== "open") return;
    const { samples, error, paused } = live;
    redraw(notice, [
      error ? unreachable(error, loading) : null,
      paused ? h("p", { class: "note" }, "Paused while this tab is hidden.") : null,
      !error && samples.length < 2 ? waiting("Figures appear after the second look.") : null,
    ]);
    redraw(ready, live.ready ? readiness(live.ready) : []);
    charts.classList.toggle("stale", error !== null);
    if (samples.length > 1) charts.replaceChildren(...chartsOf(samples).map((chart) => figure(chart, shown(samples))));
  }
  for (const part of /** @type {const} */ (["live", "view", "entry"])) store.watch((state) => state[part], show);
  show();
  startPolling(store, api);
}

/**
 * @param {import("../api.js").ApiError} error
 * @param {import("../loading.js").Loading} loading
 */
function unreachable(error, loading) {
  const node = failure(
    error,
    h(
      "p",
      { class: "note" },
      error.status ? "It is asked again." : "What is shown is from before. It is asked again every two seconds.",
    ),
    error.barred ? button("Sign in again", loading.bundles) : null,
  );
  node.setAttribute("role", "status");
  return node;
}

/** @param {import("../api.js").Ready} ready */
function readiness({ status, checks, degraded }) {
  return [
    h("h3", {}, "Ready?"),
    badge(status === "ready" ? "ready" : "not ready", status === "ready" ? "good" : "bad"),
    h(
      "ul",
      { class: "legend" },
      checks.map(({ name, ok, detail, ms }) =>
        h("li", {}, badge(name, ok ? "good" : "bad"), text.ms(ms), detail ? h("small", {}, detail) : null),
      ),
      degraded.length ? h("li", {}, badge(`without ${degraded.join(", ")}`, "fair")) : null,
    ),
  ];
}

/**
 * @param {readonly Look[]} looks two or more
 * @returns {Chart[]}
 */
function chartsOf(looks) {
  const lines = (
    /** @type {Record<string, import("../series.js").Point[]>} */ by,
    /** @type {Record<string, string>} */ tones = {},
  ) => Object.entries(by).map(([name, points], i) => ({ name, tone: tones[name] ?? i, points }));
  const quantile = (/** @type {number} */ share, /** @type {number} */ tone) => ({
    name: `p${share * 100}`,
    tone,
    points: quantiles(looks, share),
  });
  const ms = (/** @type {number} */ value) => text.ms(value);
  return [
    {
      title: "Requests by status",
      lines: lines(
        rates(looks, (look) => look.requests),
        STATUS_TONES,
      ),
      write: perSecond,
    },
    {
      title: "Time of a search",
      lines: [quantile(0.5, 0), quantile(0.95, 1), quantile(0.99, 2)],
      write: ms,
      said: "over 15 s",
    },
    {
      title: "Waiting and being answered",
      lines: [
        { name: "waiting at a stage", tone: 1, points: gauge(looks, "waiting") },
        { name: "being answered", tone: 0, points: gauge(looks, "answering") },
      ],
      write: text.count,
    },
    {
      title: "Found in the cache",
      lines: [
        { name: "whole answers", tone: 0, points: hitShare(looks, (look) => look.answers) },
        { name: "query vectors", tone: 1, points: hitShare(looks, (look) => look.vectors) },
      ],
      write: text.percent,
      most: 1,
      said: "over 15 s",
    },
    { title: "Refused", lines: lines(rates(looks, (look) => look.refusals)), write: perSecond },
    { title: "Answered without a part", lines: lines(rates(looks, (look) => look.degraded)), write: perSecond },
    { title: "Memory", lines: [{ name: "resident", tone: 0, points: gauge(looks, "memory") }], write: text.bytes },
    {
      title: "Live updates",
      lines: [
        { name: "not applied yet", tone: 1, points: gauge(looks, "behind") },
        { name: "changed since the build", tone: 0, points: gauge(looks, "changed") },
      ],
      write: text.count,
    },
  ];
}

/**
 * The time that is shown: all that was seen, a minute at least, five at most.
 *
 * @param {readonly Look[]} looks
 */
function shown(looks) {
  const [first, to] = [looks[0].at, looks[looks.length - 1].at];
  return { from: Math.max(to - SHOWN_MS, Math.min(first, to - LEAST_MS)), to };
}

/**
 * @param {Chart} chart
 * @param {{from: number, to: number}} span in milliseconds
 */
function figure({ title, lines, write, most: fixed, said }, { from, to }) {
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value ?? 0));
  const most = fixed ?? roundEnd(Math.max(0, ...values));
  return h(
    "figure",
    { class: "chart", "aria-label": title },
    h(
      "figcaption",
      {},
      h("b", {}, title),
      said ? h("small", {}, said) : null,
      h("span", { class: "scale", "aria-hidden": "true" }, write(most)),
    ),
    timeline(lines, { from, to, most }),
    h(
      "p",
      { class: "ends", "aria-hidden": "true" },
      h("span", {}, `${text.seconds((to - from) / 1000)} ago`),
      h("span", {}, "now"),
    ),
    h(
      "ul",
      { class: "legend" },
      lines.length
        ? lines.map(({ name, tone, points }) =>
            h("li", {}, h("i", { class: `swatch tone-${tone}` }), name, h("b", {}, latest(points, write))),
          )
        : h("li", {}, "none so far"),
    ),
  );
}

/**
 * @param {readonly import("../series.js").Point[]} points
 * @param {(value: number) => string} write
 */
function latest(points, write) {
  const value = points.at(-1)?.[1] ?? null;
  return value === null ? text.none : write(value);
}
