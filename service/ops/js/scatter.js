// The arithmetic of the map: what is shown of it, and which point is meant. Points lie in 0..1, with y upwards.

/** @typedef {{x: number, y: number, scale: number}} Sight the point in the middle, and how many times it is magnified */
/** @typedef {{width: number, height: number}} Size in pixels */

/** @type {Sight} */
export const WHOLE = Object.freeze({ x: 0.5, y: 0.5, scale: 1 });
const MOST = 60;
/** What categories without a sign of their own are called together. */
export const OTHERS = "Others";
/** Share of the canvas that the whole map takes. */
const MARGIN = 0.92;

/** @param {Size} size */
const unit = ({ width, height }) => Math.min(width, height) * MARGIN;

/**
 * @param {Sight} sight
 * @param {Size} size
 * @returns {(x: number, y: number) => [number, number]} from a point to pixels from the upper left
 */
export function toPixels(sight, size) {
  const step = unit(size) * sight.scale;
  return (x, y) => [size.width / 2 + (x - sight.x) * step, size.height / 2 - (y - sight.y) * step];
}

/**
 * Return what is seen after moving by so many pixels.
 *
 * @param {Sight} sight
 * @param {Size} size
 * @param {number} dx
 * @param {number} dy
 * @returns {Sight}
 */
export function moved(sight, size, dx, dy) {
  const step = unit(size) * sight.scale;
  return { ...sight, x: within(sight.x - dx / step), y: within(sight.y + dy / step) };
}

/**
 * Return what is seen after magnifying `times`, with what lies at a pixel staying there.
 *
 * @param {Sight} sight
 * @param {Size} size
 * @param {number} times
 * @param {[number, number]} [at] the middle, if absent
 * @returns {Sight}
 */
export function magnified(sight, size, times, [px, py] = [size.width / 2, size.height / 2]) {
  const scale = Math.min(MOST, Math.max(1, sight.scale * times));
  const pull = 1 / (unit(size) * sight.scale) - 1 / (unit(size) * scale);
  const [x, y] = [sight.x + (px - size.width / 2) * pull, sight.y - (py - size.height / 2) * pull];
  return scale === 1 ? WHOLE : { x: within(x), y: within(y), scale };
}

/**
 * Return which of the points is nearest to a pixel, within `reach` pixels.
 *
 * @param {{x: number[], y: number[]}} points
 * @param {readonly number[]} among their places
 * @param {[number, number]} pixel
 * @param {ReturnType<typeof toPixels>} project
 * @param {number} [reach]
 * @returns {number | null}
 */
export function nearest({ x, y }, among, [px, py], project, reach = 18) {
  let best = null;
  let least = reach * reach;
  for (const i of among) {
    const [cx, cy] = project(x[i], y[i]);
    const far = (cx - px) ** 2 + (cy - py) ** 2;
    if (far <= least) [best, least] = [i, far];
  }
  return best;
}

/**
 * Return the next point from one in a direction: near, and not far aside.
 *
 * @param {{x: number[], y: number[]}} points
 * @param {readonly number[]} among
 * @param {number} from
 * @param {[number, number]} direction of length 1, y upwards
 * @returns {number | null} null: there is none
 */
export function nextPoint({ x, y }, among, from, [dx, dy]) {
  let best = null;
  let least = Infinity;
  for (const i of among) {
    const ahead = (x[i] - x[from]) * dx + (y[i] - y[from]) * dy;
    const aside = Math.abs((x[i] - x[from]) * dy - (y[i] - y[from]) * dx);
    const far = ahead + 2 * aside;
    if (i !== from && ahead > 0 && aside <= 2 * ahead && far < least) [best, least] = [i, far];
  }
  return best;
}

/**
 * Return the categories by how many points they have, and one for all that are too many to have a colour.
 *
 * @param {readonly (string | null)[]} categories
 * @param {number} most
 * @returns {{names: string[], counts: number[], of: number[]}} `of`: for each point, the place of its category
 */
export function grouped(categories, most) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const name of categories) counts.set(name ?? "", (counts.get(name ?? "") ?? 0) + 1);
  const ranked = [...counts].filter(([name]) => name).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const shown = ranked.slice(0, most);
  const place = new Map(shown.map(([name], i) => [name, i]));
  const rest = categories.length - shown.reduce((all, [, n]) => all + n, 0);
  return {
    names: [...shown.map(([name]) => name), ...(rest ? [OTHERS] : [])],
    counts: [...shown.map(([, n]) => n), ...(rest ? [rest] : [])],
    of: categories.map((name) => place.get(name ?? "") ?? shown.length),
  };
}

/** @param {number} share */
function within(share) {
  return Math.min(1, Math.max(0, share));
}
