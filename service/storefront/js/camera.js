// The device's camera: its picture as a stream, one still of it as a file, and what stands in the way.

/** @typedef {"insecure" | "refused" | "none" | "busy"} Obstacle */
/** @typedef {"environment" | "user"} Facing away from who holds the device, or towards them */

/** Longest side to ask of a camera, in pixels: well above what any encoder reads. */
const LONG_SIDE_PX = 1600;
const JPEG_QUALITY = 0.92;

/** A camera that gives no picture, and why. */
export class CameraError extends Error {
  /** @param {Obstacle} obstacle */
  constructor(obstacle) {
    super(obstacle);
    this.name = "CameraError";
    this.obstacle = obstacle;
  }
}

/**
 * Start a camera. Whoever gets the stream has to end it, with `stop`.
 *
 * @param {{facing: Facing, device?: string}} wanted which way it should look, or which one it should be
 * @returns {Promise<MediaStream>}
 */
export async function start({ facing, device }) {
  if (!navigator.mediaDevices?.getUserMedia) throw new CameraError("insecure");
  const which = device ? { deviceId: { exact: device } } : { facingMode: { ideal: facing } };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: false, video: { ...which, width: { ideal: LONG_SIDE_PX } } });
  } catch (error) {
    throw new CameraError(obstacleOf(error));
  }
}

/** @param {unknown} error what getUserMedia threw
 * @returns {Obstacle} */
function obstacleOf(error) {
  const name = error instanceof Error ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "refused";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "none";
  return "busy";
}

/** @param {MediaStream | null} stream whose cameras are no longer needed */
export function stop(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}

/**
 * The cameras of this device. Their number is known once one of them was allowed.
 *
 * @returns {Promise<MediaDeviceInfo[]>}
 */
export async function cameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind }) => kind === "videoinput");
}

/**
 * Return the camera after the one that a stream is of.
 *
 * @param {MediaStream} stream
 * @param {MediaDeviceInfo[]} all
 */
export function following(stream, all) {
  const used = stream.getVideoTracks()[0]?.getSettings().deviceId;
  const place = all.findIndex(({ deviceId }) => deviceId === used);
  return all[(place + 1) % all.length]?.deviceId;
}

/** @param {MediaStream} stream Whether it shows who is looking at it, who expects a mirror. */
export function isMirror(stream) {
  return stream.getVideoTracks()[0]?.getSettings().facingMode === "user";
}

/**
 * Draw what `video` shows now, in its own size.
 *
 * @param {HTMLVideoElement} video
 * @param {HTMLCanvasElement} canvas
 */
export function still(video, canvas) {
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
}

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Promise<File | null>}
 */
export function asFile(canvas) {
  return new Promise((resolve) =>
    canvas.toBlob((blob) => resolve(blob && new File([blob], "photo.jpg", { type: blob.type })), "image/jpeg", JPEG_QUALITY),
  );
}
