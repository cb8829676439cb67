// The terms of a score, made ready to be read: rounded so that what is shown adds up to the shown score.

/** @typedef {import("./api.js").Term} Term */
/** @typedef {{term: Term, points: number, reach: number}} Bar `reach` in -1..1, of the longest bar */

/** Decimals shown of a score and of its terms. */
const STEP = 1000;

/**
 * Return one bar per term, the largest first, and their total. Points are whole steps of 0.001: each term is
 * rounded down, and the steps still missing go to those that lost most (the largest-remainder method), so
 * that the shown points add up to the shown total exactly.
 *
 * @param {number} score
 * @param {readonly Term[]} terms whose scores add up to `score`
 * @returns {{bars: Bar[], total: number}}
 */
export function toBars(score, terms) {
  const total = Math.round(score * STEP);
  const steps = terms.map((term) => Math.floor(term.score * STEP));
  const missing = total - steps.reduce((sum, step) => sum + step, 0);
  const byLoss = terms.map((_, i) => i).sort((a, b) => loss(terms[b]) - loss(terms[a]));
  byLoss.slice(0, Math.max(missing, 0)).forEach((i) => (steps[i] += 1));

  const longest = Math.max(...steps.map(Math.abs), 1);
  const bars = terms.map((term, i) => ({ term, points: steps[i] / STEP, reach: steps[i] / longest }));
  bars.sort((a, b) => Math.abs(b.points) - Math.abs(a.points));
  return { bars, total: total / STEP };
}

/** @param {Term} term */
function loss({ score }) {
  return score * STEP - Math.floor(score * STEP);
}
