// What a bundle's report says, made ready to be shown. Pure.

/**
 * @typedef {{
 *   name: string, outcome: "passed" | "failed" | "skipped", says: string, value: number | null, bar: number | null,
 * }} Check
 */
/** @typedef {{at: string, passed: boolean, forced: boolean, compared_with: string | null, checks: Check[]}} Verdict */
/** @typedef {{recall_at_10: number, queries: number, p50_ms: number, p95_ms: number}} Searched */
/** @typedef {{value: string, count: number, mean: number}} ValueGate */
/** @typedef {{mean: number, stated: number, known?: number, values: ValueGate[]}} GroupGate */
/**
 * @typedef {{
 *   agreement: number, abstained: number, products?: number,
 *   confused: {stated: string, classified: string, count: number}[],
 * }} Categories
 */
/**
 * @typedef {{
 *   products: number, images: number, rejected: number, products_without_images: number,
 *   ann?: Record<string, Searched>, ranking?: Record<string, Searched>,
 *   self_retrieval?: {image: number | null, text: number, image_sample: number, text_sample: number},
 *   stages_s?: Record<string, number>, gates?: Record<string, GroupGate>, categories?: Categories,
 * }} Report
 */
/**
 * @typedef {{
 *   at: string, action: "publish" | "rollback", bundle: string, previous: string | null, forced: boolean,
 *   problems: string[], automatic: boolean, reason: string | null,
 * }} HistoryEntry
 */
/**
 * @typedef {{
 *   id: string, role: string, current: boolean, problem: string | null,
 *   manifest: {
 *     created_at: string, catalogue: string, digest: string, format_version: number,
 *     encoder: {name: string, fingerprint: string} | string, counts: Record<string, number>,
 *     exact_rows: number, log_position: string | null, size_bytes: number,
 *   } | null,
 *   report: Report | null, verdicts: Verdict[], history: HistoryEntry[],
 * }} ReportAnswer
 */
/** @typedef {{name: string, value: number, bar: number | null, of: string}} Found a share in 0..1 and its bar */

/** Mean gate below which a group is said to add nothing: its summand is hardly there. */
const SET_ASIDE = 0.05;
/** Share of the products below which a group is said to be stated seldom. */
const RARE = 0.2;
/** Checks that are nDCG@10 of judged queries. */
export const JUDGED = new Map([
  ["golden", "golden queries"],
  ["made-queries", "queries made of the catalogue"],
]);

/**
 * Return the shares of what was found, with the bars of the newest verdict.
 *
 * @param {Report} report
 * @param {Verdict | undefined} verdict
 * @returns {Found[]}
 */
export function found({ ann = {}, ranking = {}, self_retrieval: own }, verdict) {
  const barOf = (/** @type {string} */ name) => verdict?.checks.find((check) => check.name === name)?.bar ?? null;
  const recall = (
    /** @type {[string, Searched]} */ [name, { recall_at_10: value, queries }],
    what = "",
    check = "",
  ) => ({
    name: `${what} ${name}`,
    value,
    bar: barOf(check + name),
    of: `${queries} queries`,
  });
  return [
    ...Object.entries(ann).map((entry) => recall(entry, "Index recall@10,", "report/ann-recall/")),
    ...Object.entries(ranking).map((entry) => recall(entry, "Ranking recall@10,", "report/ranking/")),
    ...(own ? /** @type {const} */ (["text", "image"]) : []).flatMap((space) => {
      const value = own?.[space] ?? null;
      if (value === null) return [];
      const bar = barOf(`report/self-retrieval/${space}`);
      return [{ name: `Finds itself, ${space}`, value, bar, of: `${own?.[`${space}_sample`] ?? 0} products` }];
    }),
  ];
}

/**
 * Return how long searches took, `[what, p50, p95]` in milliseconds.
 *
 * @param {Report} report
 * @returns {{name: string, p50: number, p95: number}[]}
 */
export function latencies({ ann = {}, ranking = {} }) {
  const rows = (/** @type {string} */ what, /** @type {Record<string, Searched>} */ spaces) =>
    Object.entries(spaces).map(([name, { p50_ms: p50, p95_ms: p95 }]) => ({ name: `${what}, ${name}`, p50, p95 }));
  return [...rows("Index", ann), ...rows("Ranking", ranking)];
}

/**
 * Return the time of each stage of the build, with its share of all.
 *
 * @param {Report} report
 */
export function stages({ stages_s: stages = {} }) {
  const all = Object.values(stages).reduce((sum, s) => sum + s, 0);
  return Object.entries(stages).map(([name, seconds]) => ({ name, seconds, share: all ? seconds / all : 0 }));
}

/**
 * Return a verdict's checks, those that failed first, then as they were made.
 *
 * @param {Verdict} verdict
 */
export function ordered({ checks }) {
  const rank = { failed: 0, passed: 1, skipped: 2 };
  return [...checks].sort((a, b) => rank[a.outcome] - rank[b.outcome]);
}

/**
 * Return how far a check is from its bar: positive on the right side of it, whichever that is.
 *
 * @param {Check} check
 * @returns {number | null} null: it is no number against a bar
 */
export function margin({ outcome, value, bar }) {
  if (value === null || bar === null || outcome === "skipped") return null;
  return (outcome === "failed" ? -1 : 1) * Math.abs(value - bar);
}

/** @param {Verdict} verdict */
export function verdictName({ passed, forced }) {
  if (passed) return "passed";
  return forced ? "forced" : "refused";
}

/**
 * Return what judged queries came to over the verdicts, the earliest first, by kind of query.
 *
 * @param {readonly Verdict[]} verdicts the newest first
 * @returns {{name: string, checks: (Check & {at: string})[]}[]}
 */
export function judged(verdicts) {
  return [...JUDGED].flatMap(([check, name]) => {
    const checks = verdicts.flatMap((verdict) =>
      verdict.checks
        .filter((one) => one.name === check && one.value !== null)
        .map((one) => ({ ...one, at: verdict.at })),
    );
    return checks.length ? [{ name, checks: checks.reverse() }] : [];
  });
}

/**
 * Return one sentence on a group of entities where there is something to say: as `python -m models report` words it,
 * but from the gates alone, which show what the model trusts, not what searches lose.
 *
 * @param {string} group
 * @param {GroupGate} gate
 * @returns {string | null}
 */
export function advice(group, { mean, stated }) {
  const seldom = stated < RARE ? `only ${Math.round(100 * stated)}% of the products state it` : "";
  if (mean < SET_ASIDE) {
    const why = `its mean gate is ${mean.toFixed(2)}: the model sets it aside`;
    return `${group} adds nothing here: ${why}${seldom && `; ${seldom}`}.`;
  }
  return seldom && `${group} can seldom help: ${seldom}.`;
}

/**
 * Return what a refusal by the gate lists, which may be cut short; null for every other problem, which no force
 * overcomes.
 *
 * @param {{status: number, detail: string}} error
 * @returns {string[] | null}
 */
export function refusal({ status, detail }) {
  const [, said] = /^bundle \S+ is refused: (.*?)( \(--force publishes it all the same\))?$/s.exec(detail) ?? [];
  return status === 409 && said ? said.split("; ") : null;
}

/**
 * Return what becomes of the searches when one bundle takes the place of another.
 *
 * @param {import("./api.js").Bundle | undefined} before
 * @param {import("./api.js").Bundle} after
 * @returns {{what: string, before: string, after: string, same: boolean}[]}
 */
export function replaced(before, after) {
  const rows = [
    { what: "Bundle", before: before?.id, after: after.id },
    { what: "Products", before: before?.products, after: after.products },
    { what: "Encoder", before: before?.encoder, after: after.encoder },
  ];
  const said = (/** @type {string | number | null | undefined} */ value) =>
    typeof value === "number" ? value.toLocaleString("en") : (value ?? "–");
  return rows.map(({ what, ...row }) => {
    const [old, now] = [said(row.before), said(row.after)];
    return { what, before: old, after: now, same: old === now };
  });
}
