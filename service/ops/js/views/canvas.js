// The points of the map on a canvas: drawn, moved, magnified, and chosen by mouse, touch and keyboard.

import { h } from "../../../js/dom.js";
import { WHOLE, magnified, moved, nearest, nextPoint, toPixels } from "../scatter.js";

/** @typedef {{x: number[], y: number[], id: string[]}} Points */

const STEP_PX = 60;
const CLICK_PX = 5;
const DIRECTIONS = /** @type {Record<string, [number, number]>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
});

/**
 * @param {{point: (i: number | null, at?: [number, number]) => void, open: (i: number) => void}} tell
 *   `point`: this one is meant; `open`: it is asked for
 */
export function createScatter(tell) {
  const node = /** @type {HTMLCanvasElement} */ (
    h("canvas", {
      class: "scatter",
      tabindex: "0",
      role: "application",
      "aria-label":
        "Map of the catalogue. Arrows go from product to product, Enter opens one, Shift with arrows moves the map, plus and minus magnify, 0 shows all.",
    })
  );
  /** @type {Points} */
  let points = { x: [], y: [], id: [] };
  /** @type {readonly number[]} */
  let groups = [];
  /** @type {Set<number>} */
  const hidden = new Set();
  /** @type {Set<number> | null} */
  let lit = null;
  /** @type {number | null} */
  let meant = null;
  let sight = WHOLE;
  let frame = 0;

  const size = () => ({ width: node.clientWidth, height: node.clientHeight });
  const among = () => points.x.map((_, i) => i).filter((i) => !hidden.has(groups[i]));

  function draw() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(paint);
  }

  function paint() {
    const { width, height } = size();
    const context = node.getContext("2d");
    if (!context || !width) return;
    const density = devicePixelRatio || 1;
    if (node.width !== width * density || node.height !== height * density) {
      [node.width, node.height] = [width * density, height * density];
    }
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, width, height);
    const colours = coloursOf(node);
    const project = toPixels(sight, { width, height });
    const radius = Math.min(7, 2.4 + Math.sqrt(sight.scale));
    const dot = (/** @type {number} */ i, /** @type {number} */ r) => {
      const [x, y] = project(points.x[i], points.y[i]);
      if (x < -r || y < -r || x > width + r || y > height + r) return;
      context.beginPath();
      trace(context, colours.shapes[groups[i]] ?? 0, x, y, r);
      context.fill();
    };
    const shown = among();
    context.globalAlpha = lit ? 0.16 : 0.78;
    for (const i of shown) {
      context.fillStyle = colours.tones[groups[i]] ?? colours.plain;
      dot(i, radius);
    }
    context.globalAlpha = 1;
    for (const i of shown) {
      if (!lit?.has(i)) continue;
      context.fillStyle = colours.ink;
      dot(i, radius + 3.5);
      context.fillStyle = colours.tones[groups[i]] ?? colours.plain;
      dot(i, radius + 2);
    }
    if (meant !== null) ring(context, project(points.x[meant], points.y[meant]), radius + 5, colours.ink);
  }

  function look(/** @type {import("../scatter.js").Sight} */ next) {
    sight = next;
    node.dataset.scale = sight.scale.toFixed(2);
    draw();
  }

  function mean(/** @type {number | null} */ i) {
    if (i === meant) return;
    meant = i;
    tell.point(i, i === null ? undefined : toPixels(sight, size())(points.x[i], points.y[i]));
    node.classList.toggle("pointing", i !== null);
    draw();
  }

  listenToPointers(node, {
    move: (dx, dy) => look(moved(sight, size(), dx, dy)),
    magnify: (times, at) => look(magnified(sight, size(), times, at)),
    over: (at, reach) => mean(at && nearest(points, among(), at, toPixels(sight, size()), reach)),
    click: (touched) => {
      if (meant !== null && !touched) tell.open(meant);
    },
    again: () => meant !== null && tell.open(meant),
  });

  node.addEventListener("keydown", (event) => {
    const direction = DIRECTIONS[event.key];
    const { width, height } = size();
    if (direction && event.shiftKey)
      look(moved(sight, { width, height }, -direction[0] * STEP_PX, direction[1] * STEP_PX));
    else if (direction) step(direction);
    else if (event.key === "+" || event.key === "=") look(magnified(sight, { width, height }, 1.6));
    else if (event.key === "-") look(magnified(sight, { width, height }, 1 / 1.6));
    else if (event.key === "0") look(WHOLE);
    else if (event.key === "Enter" && meant !== null) tell.open(meant);
    else if (event.key === "Escape" && meant !== null) mean(null);
    else return;
    event.preventDefault();
  });

  /** Go to the next point in a direction, or to the one in the middle; the map comes along. */
  function step(/** @type {[number, number]} */ direction) {
    const { width, height } = size();
    const project = toPixels(sight, { width, height });
    const next =
      meant === null
        ? nearest(points, among(), [width / 2, height / 2], project, width)
        : nextPoint(points, among(), meant, direction);
    if (next === null) return;
    const [x, y] = project(points.x[next], points.y[next]);
    if (x < 20 || y < 20 || x > width - 20 || y > height - 20) look({ ...sight, x: points.x[next], y: points.y[next] });
    mean(next);
  }

  new ResizeObserver(draw).observe(node);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  return {
    node,
    draw,
    /** Show points; `of` is the group of each. */
    show(/** @type {Points} */ given, /** @type {readonly number[]} */ of) {
      [points, groups, sight, meant, lit] = [given, of, WHOLE, null, null];
      hidden.clear();
      node.dataset.points = `${given.id.length}`;
      draw();
    },
    toggle(/** @type {number} */ group, /** @type {boolean} */ on) {
      if (on) hidden.delete(group);
      else hidden.add(group);
      if (meant !== null && hidden.has(groups[meant])) mean(null);
      node.dataset.points = `${among().length}`;
      draw();
    },
    /** Let some stand out; null: none does. */
    light(/** @type {readonly number[] | null} */ places) {
      lit = places && new Set(places);
      node.dataset.lit = places ? `${places.length}` : "";
      draw();
    },
    zoom: (/** @type {number} */ times) => look(magnified(sight, size(), times)),
    whole: () => look(WHOLE),
  };
}

/**
 * Trace the outline of a point: a disc, a square, or a triangle.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {number} shape
 * @param {number} x
 * @param {number} y
 * @param {number} r
 */
function trace(context, shape, x, y, r) {
  if (shape === 1) context.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
  else if (shape === 2) {
    context.moveTo(x, y - r * 1.2);
    context.lineTo(x + r * 1.15, y + r * 0.85);
    context.lineTo(x - r * 1.15, y + r * 0.85);
  } else context.arc(x, y, r, 0, 2 * Math.PI);
}

/**
 * The colours and shapes of the points, as the legend's swatches have them.
 *
 * @param {HTMLElement} near
 */
function coloursOf(near) {
  const swatches = [...document.querySelectorAll(".map-legend .swatch")];
  return {
    shapes: swatches.map(({ classList }) => [0, 1, 2].find((shape) => classList.contains(`shape-${shape}`)) ?? 0),
    tones: swatches.map((swatch) => getComputedStyle(swatch).backgroundColor),
    plain: "#888",
    ink: getComputedStyle(near).color,
  };
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {[number, number]} at
 * @param {number} radius
 * @param {string} colour
 */
function ring(context, [x, y], radius, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.stroke();
}

/**
 * Mouse, pen and fingers: drag to move, wheel or two fingers to magnify, hover or tap to point, click or a second tap
 * to open.
 *
 * @param {HTMLCanvasElement} node
 * @param {{
 *   move: (dx: number, dy: number) => void, magnify: (times: number, at: [number, number]) => void,
 *   over: (at: [number, number] | null, reach: number) => void, click: (touched: boolean) => void, again: () => void,
 * }} react
 */
function listenToPointers(node, react) {
  /** @type {Map<number, [number, number]>} */
  const down = new Map();
  let travelled = 0;
  /** @type {[number, number] | null} */
  let tapped = null;
  const place = (/** @type {MouseEvent} */ event) => /** @type {[number, number]} */ ([event.offsetX, event.offsetY]);
  const apart = (/** @type {[number, number]} */ [ax, ay], /** @type {[number, number]} */ [bx, by]) =>
    Math.hypot(ax - bx, ay - by);

  node.addEventListener("pointerdown", (event) => {
    node.setPointerCapture(event.pointerId);
    down.set(event.pointerId, place(event));
    travelled = down.size > 1 ? Infinity : 0;
  });
  node.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    const now = place(event);
    if (!before) return react.over(now, 14);
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    travelled += apart(before, now);
    if (other) react.magnify(apart(other, now) / (apart(other, before) || 1), other);
    else if (travelled > CLICK_PX) react.move(now[0] - before[0], now[1] - before[1]);
    down.set(event.pointerId, now);
  });
  const up = (/** @type {PointerEvent} */ event) => {
    const wasDown = down.delete(event.pointerId);
    if (!wasDown || event.type === "pointercancel" || travelled > CLICK_PX || down.size) return;
    const touched = event.pointerType !== "mouse";
    const now = place(event);
    const twice = touched && tapped !== null && apart(tapped, now) < 20;
    tapped = touched ? now : null;
    if (!twice) react.over(now, touched ? 24 : 14);
    if (twice) react.again();
    else react.click(touched);
  };
  node.addEventListener("pointerup", up);
  node.addEventListener("pointercancel", up);
  node.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && react.over(null, 0));
  node.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      react.magnify(1.0016 ** -event.deltaY, place(event));
    },
    { passive: false },
  );
}
