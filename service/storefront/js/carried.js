// The picture of a search over a new load of the page (another language was chosen): it waits in this tab's storage.

import { readPicture } from "./picture.js";

/** @typedef {import("./state.js").PictureReference} PictureReference */

const KEPT_AS = "catalens.picture";

/**
 * Put a picture by for the page that this tab loads next. Where storage is refused or too small it is lost.
 *
 * @param {PictureReference} picture
 */
export async function putBy({ file, name }) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  try {
    sessionStorage.setItem(KEPT_AS, JSON.stringify({ name, type: file.type, bytes: btoa(text) }));
  } catch {
    return;
  }
}

/**
 * Return the picture that was put by, if one was; it is given once.
 *
 * @returns {Promise<PictureReference | null>}
 */
export async function takeUp() {
  try {
    const kept = sessionStorage.getItem(KEPT_AS);
    sessionStorage.removeItem(KEPT_AS);
    if (kept === null) return null;
    const { name, type, bytes } = JSON.parse(kept);
    const file = new File([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))], name, { type });
    return await readPicture(file);
  } catch {
    return null;
  }
}
