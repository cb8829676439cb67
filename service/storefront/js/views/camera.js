// The camera over the page: what it sees, one photo of it, and the way out where there is none. However it is left, the
// camera is off.

import { CameraError, asFile, cameras, following, isMirror, start, still, stop } from "../camera.js";
import { byId, h, icon } from "../dom.js";
import { text } from "../text.js";

/** @typedef {import("../camera.js").Obstacle} Obstacle */

/** @param {import("../actions.js").Actions} actions */
export function openCamera(actions) {
  const dialog = byId("camera", HTMLDialogElement);
  if (dialog.open) return;
  const leaving = new AbortController();
  const { signal } = leaving;
  dialog.replaceChildren(...contents(dialog, actions, signal));
  dialog.addEventListener("close", () => {
    leaving.abort();
    dialog.replaceChildren();
  }, { signal });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close(), { signal });
  addEventListener("pagehide", () => dialog.close(), { signal });
  dialog.showModal();
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {import("../actions.js").Actions} actions
 * @param {AbortSignal} left once the dialog is closed
 * @returns {HTMLElement[]}
 */
function contents(dialog, actions, left) {
  const video = document.createElement("video");
  Object.assign(video, { muted: true, playsInline: true, autoplay: true });
  video.setAttribute("aria-label", text.cameraView);
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", text.photoTaken);
  const said = h("div", { class: "camera-said", role: "status" });
  const shutter = h("button", { class: "shutter", type: "button", "aria-label": text.shutter, onclick: shoot });
  const other = h("button", { class: "ghost", type: "button", "aria-label": text.switchCamera, onclick: turn }, icon("flip"));
  const again = h("button", { class: "button quiet", type: "button", onclick: live }, icon("undo"), text.retake);
  const use = h("button", { class: "button", type: "button", onclick: take }, icon("search"), text.usePhoto);
  const retry = h("button", { class: "button quiet", type: "button", onclick: () => void run() }, text.retry);
  const pick = h("button", { class: "button", type: "button", onclick: choose }, icon("picture"), text.chooseInstead);
  const close = h("button", { class: "ghost camera-close", type: "button", "aria-label": text.close }, icon("close"));
  close.addEventListener("click", () => dialog.close());
  /** @type {MediaStream | null} */
  let stream = null;
  /** Of the starts of a camera, the last one counts. */
  let turns = 0;
  left.addEventListener("abort", () => stop(stream));

  /**
   * @param {"starting" | "live" | "taken" | "none"} phase
   * @param {HTMLElement | null} focus what is to be done next
   */
  function show(phase, focus = null) {
    dialog.dataset.phase = phase;
    for (const [node, phases] of /** @type {[HTMLElement, string[]][]} */ ([
      [video, ["live"]], [canvas, ["taken"]], [shutter, ["live"]], [again, ["taken"]], [use, ["taken"]],
      [retry, ["none"]], [pick, ["none"]],
    ])) node.hidden = !phases.includes(phase);
    if (phase !== "live") other.hidden = true;
    focus?.focus();
  }

  async function run(/** @type {string | undefined} */ device = undefined) {
    const turn = ++turns;
    stop(stream);
    stream = null;
    said.replaceChildren(h("p", {}, text.cameraStarting));
    show("starting", close);
    try {
      const begun = await start({ facing: "environment", device });
      if (left.aborted || turn !== turns) {
        stop(begun);
        return;
      }
      stream = begun;
      for (const track of begun.getTracks()) track.addEventListener("ended", () => stream === begun && fail("busy"));
      video.srcObject = begun;
      video.classList.toggle("mirror", isMirror(begun));
      await video.play();
      if (!left.aborted && turn === turns) await look();
    } catch (error) {
      if (left.aborted || turn !== turns) return;
      fail(error instanceof CameraError ? error.obstacle : "busy");
    }
  }

  async function look() {
    said.replaceChildren();
    show("live", shutter);
    other.hidden = (await cameras()).length < 2 || dialog.dataset.phase !== "live";
  }

  function live() {
    canvas.width = 0;
    if (stream?.active) void look();
    else void run();
  }

  function shoot() {
    still(video, canvas);
    show("taken", use);
  }

  async function turn() {
    if (stream) await run(following(stream, await cameras()));
  }

  async function take() {
    const file = await asFile(canvas);
    dialog.close();
    if (file) void actions.givePicture([file]);
  }

  function choose() {
    dialog.close();
    byId("file", HTMLInputElement).click();
  }

  function fail(/** @type {Obstacle} */ obstacle) {
    stop(stream);
    stream = null;
    said.replaceChildren(...plainWords(obstacle));
    show("none", pick);
    retry.hidden = obstacle === "insecure";
  }

  void run();
  return [
    h("h2", { class: "camera-title", id: "camera-title" }, text.takePhoto),
    close,
    h("div", { class: "camera-stage" }, video, canvas, said),
    h("div", { class: "camera-buttons" }, shutter, other, again, use, retry, pick),
  ];
}

/** @param {Obstacle} obstacle */
function plainWords(obstacle) {
  const [title, detail] = {
    insecure: [text.cameraInsecureTitle, text.cameraInsecureDetail],
    refused: [text.cameraRefusedTitle, text.cameraRefusedDetail],
    none: [text.cameraNoneTitle, text.cameraNoneDetail],
    busy: [text.cameraBusyTitle, text.cameraBusyDetail],
  }[obstacle];
  return [icon("alert"), h("p", { class: "notice-title" }, title), h("p", {}, detail)];
}
