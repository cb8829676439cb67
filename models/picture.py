"""Bytes to pixels: the one decoding that training, indexing and serving share.

The same bytes give the same RGB pixels everywhere. Content decides the type (JPEG, PNG, WebP, GIF; the first
frame of an animation), EXIF rotation is applied, transparency is laid on white, and large JPEGs are decoded
at a reduced scale whose shorter side stays at least 448 pixels. Colour profiles are not applied.

A decoder cannot be interrupted, so time is bounded by what is checked before it starts: bytes, pixels,
and the number of parts and JPEG scans. Resizing and normalising are left to the encoders, fetching to
`indexer.fetch`.
"""

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.picture_file import PictureError, PictureFile, PictureReason, check_pixels, read_picture_file

__all__ = ["PictureError", "PictureLimits", "PictureReason", "decode_picture"]

_DRAFT_SIDE = 448  # twice the usual 224 px input: reduced JPEGs keep all the detail an encoder can use
_MOST_PIXELS = 89_000_000  # just below the size at which Pillow itself starts to warn

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What a picture may cost.

    Attributes:
        max_bytes: of the file.
        max_pixels: width times height as stated by the file, at most 89 million; decoding takes up to about
            13 bytes of memory for each.
    """

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000

    def __post_init__(self) -> None:
        if self.max_bytes < 1 or not 1 <= self.max_pixels <= _MOST_PIXELS:
            msg = f"max_bytes must be positive and max_pixels within 1..{_MOST_PIXELS}"
            raise ValueError(msg)


DEFAULT_LIMITS = PictureLimits()


def decode_picture(data: bytes, limits: PictureLimits = DEFAULT_LIMITS) -> Image.Image:
    """Return the picture in `data` as an upright RGB image of at least 1x1 pixels, without metadata.

    Raises:
        PictureError: the bytes are empty, over a limit, of another type, damaged or cut short.
    """
    if not data:
        raise PictureError("empty", "no picture: 0 bytes")
    if len(data) > limits.max_bytes:
        raise PictureError("too_large_bytes", f"{len(data):,} bytes, more than {limits.max_bytes:,}")
    file = read_picture_file(data, limits.max_pixels)
    picture = _decode(file, limits)
    turn = _UPRIGHT.get(file.orientation)
    return picture if turn is None else picture.transpose(turn)


def _decode(file: PictureFile, limits: PictureLimits) -> Image.Image:
    try:
        # Closing lets go of its pixels, too; leaving it to the error of a damaged one would keep them.
        with contextlib.closing(Image.open(io.BytesIO(file.data), formats=[file.kind])) as opened:
            check_pixels(*opened.size, limits.max_pixels)
            if file.kind == "JPEG":
                opened.draft(None, (_DRAFT_SIDE, _DRAFT_SIDE))
            opened.load()
            return _on_white(opened)
    except (MemoryError, PictureError):
        raise
    except Exception:  # noqa: BLE001, S110 - parsers raise whatever damaged bytes lead them to: OSError, SyntaxError, ...
        pass
    # Not as the cause of this: its frames hold all pixels, for as long as somebody holds the error.
    raise PictureError("corrupt", f"damaged {file.kind} picture")


def _on_white(image: Image.Image) -> Image.Image:
    """Return a loaded image as RGB, transparent parts white; 16-bit grey keeps its upper 8 bits."""
    if image.mode.startswith("I;16"):
        return _from_grey16(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        flat = Image.new("RGB", image.size, "white")
        flat.paste(layer, mask=layer.getchannel("A"))
    else:
        flat = image.convert("RGB")
    flat.info.clear()
    return flat


def _from_grey16(image: Image.Image) -> Image.Image:
    grey = np.asarray(image)
    upper = (grey >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if transparent is not None:
        upper[grey == transparent] = 255
    return Image.fromarray(upper).convert("RGB")
