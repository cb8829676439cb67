// A picture as the user gives it: read, shown small, and made light enough to send from a phone. The service
// judges what it is; here only what no browser would call a picture is refused.

/** Pictures above this many bytes are scaled down before they are sent. */
const LIGHT_BYTES = 1_500_000;
/** Longest side of a scaled picture, in pixels: well above what any encoder reads. */
const LONG_SIDE_PX = 1600;
const JPEG_QUALITY = 0.92;

/**
 * Return the reference a file stands for. Where this browser cannot read the file there is no preview, and
 * the file goes to the service as it is.
 *
 * @param {File} file
 * @returns {Promise<import("./state.js").PictureReference>}
 */
export async function readPicture(file) {
  const name = file.name || "picture";
  const preview = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
  const light = preview && file.size > LIGHT_BYTES ? await scaledDown(preview) : null;
  return { kind: "picture", file: light ?? file, name, preview };
}

/** @param {File} file Whether it may be a picture: its stated type says so, or says nothing. */
export function mayBePicture(file) {
  return file.type === "" || file.type.startsWith("image/");
}

/**
 * Draw `preview` over the whole of `canvas`, cut to its form and centred.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {ImageBitmap} preview
 */
export function drawPreview(canvas, preview) {
  const scale = Math.max(canvas.width / preview.width, canvas.height / preview.height);
  const width = preview.width * scale;
  const height = preview.height * scale;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.imageSmoothingQuality = "high";
  context.drawImage(preview, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
}

/**
 * @param {ImageBitmap} preview
 * @returns {Promise<Blob | null>} JPEG, transparent parts on white as the service would put them
 */
function scaledDown(preview) {
  const scale = Math.min(1, LONG_SIDE_PX / Math.max(preview.width, preview.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(preview.width * scale);
  canvas.height = Math.round(preview.height * scale);
  const context = canvas.getContext("2d");
  if (!context) return Promise.resolve(null);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(preview, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
}
