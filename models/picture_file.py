"""Walks a picture file before any decoder sees it: what it is, how large, which way up, and its bare data.

JPEG, PNG, WebP and GIF are told apart by content. Each walk is linear, bounded in steps, allocates no pixels
and copies only what decoding needs. Metadata never reaches the decoder: Pillow inflates compressed PNG text
and colour profiles chunk by chunk and concatenates EXIF segments quadratically, so a file within the byte
limit could otherwise keep it busy for minutes. Decoding itself is left to `models.picture`.
"""

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

PictureKind = Literal["JPEG", "PNG", "WEBP", "GIF"]
PictureReason = Literal["too_large_bytes", "too_many_pixels", "unsupported_type", "corrupt", "empty"]

_MAX_STEPS = 250_000  # chunks, segments or sub-blocks; a 20 MiB GIF of full sub-blocks has 82,000
_MAX_SCANS = 100  # a progressive JPEG has about 10; each scan visits every block of the picture
_MAX_SCANNED_PIXELS = 1_000_000_000  # in all scans: 2 to 3 s of decoding

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in entropy-coded data: not stuffing, not a restart
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..SOF15 without DHT, JPG and DAC
_JPEG_DROPPED = (frozenset(range(0xE1, 0xF0)) - {0xEE}) | {0xFE}  # APP1..15 and COM, but not Adobe's APP14
_SOI, _EOI, _SOS, _APP1 = 0xD8, 0xD9, 0xDA, 0xE1

_EXIF_ORIENTATION = 0x0112


class PictureError(ValueError):
    """A picture was refused. The message is safe to show; `reason` is for programs.

    Attributes:
        reason: `empty`, `too_large_bytes`, `too_many_pixels`, `unsupported_type` or `corrupt`.
    """

    def __init__(self, reason: PictureReason, message: str) -> None:
        super().__init__(message)
        self.reason: PictureReason = reason


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture file as its container describes it.

    Attributes:
        kind: the format, by content.
        width: of the stored picture, in pixels, before any rotation.
        height: of the stored picture, in pixels.
        orientation: 1..8 as EXIF counts them; 1 when not stated.
        data: the file without metadata and trailing bytes; for a GIF, its first frame.
    """

    kind: PictureKind
    width: int
    height: int
    orientation: int
    data: bytes


def _corrupt(what: str) -> PictureError:
    return PictureError("corrupt", f"damaged picture: {what}")


def read_picture_file(data: bytes, max_pixels: int) -> PictureFile:
    """Return what `data` holds.

    Raises:
        PictureError: `unsupported_type`; `too_many_pixels`, as soon as the size is read; `corrupt` where the
            container is damaged or cut short.
    """
    try:
        if data.startswith(_PNG_MAGIC):
            return _read_png(data, max_pixels)
        if data.startswith(b"\xff\xd8\xff"):
            return _read_jpeg(data, max_pixels)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _read_webp(data, max_pixels)
        if data.startswith((b"GIF87a", b"GIF89a")):
            return _read_gif(data, max_pixels)
    except (struct.error, IndexError) as error:
        raise _corrupt("the file is cut short") from error
    msg = "not a JPEG, PNG, WebP or GIF picture"
    raise PictureError("unsupported_type", msg)


def check_pixels(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """Return `(width, height)`.

    Raises:
        PictureError: there are more pixels than `max_pixels`, or none.
    """
    if not width or not height:
        raise _corrupt(f"{width} x {height} pixels")
    if width * height > max_pixels:
        raise PictureError("too_many_pixels", f"{width:,} x {height:,} pixels, more than {max_pixels:,}")
    return width, height


def exif_orientation(exif: bytes) -> int:
    """Return the orientation, 1..8, an EXIF block states for the main picture; 1 for none or a damaged block.

    Only the one tag is read: Pillow's reader takes in every tag, and warns or raises on damaged ones.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, at)
            if tag == _EXIF_ORIENTATION:
                (value,) = struct.unpack_from(f"{order}{'I' if kind == 4 else 'H'}", tiff, at + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


class _Steps:
    """Counts the steps of a walk and ends one that has gone on too long."""

    def __init__(self) -> None:
        self._left = _MAX_STEPS

    def take(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _corrupt("too many parts")


def _read_png(data: bytes, max_pixels: int) -> PictureFile:
    steps, at, exif = _Steps(), len(_PNG_MAGIC), b""
    kept = [_PNG_MAGIC]
    width, height = check_pixels(*_png_size(data), max_pixels)
    name = b""
    while name != b"IEND":
        steps.take()
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data):
            raise _corrupt("the file is cut short")
        if name in _PNG_KEPT:
            if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
                raise _corrupt("a checksum does not match")
            if name == b"IHDR" and len(kept) > 1:
                raise _corrupt("two headers")
            kept.append(data[at:end])
        elif name == b"eXIf":
            exif = data[at + 8 : end - 4]
        at = end
    return PictureFile("PNG", width, height, exif_orientation(exif), b"".join(kept))


def _png_size(data: bytes) -> tuple[int, int]:
    length, name, width, height = struct.unpack_from(">I4sII", data, len(_PNG_MAGIC))
    if name != b"IHDR" or length != 13:
        raise _corrupt("no header")
    return width, height


def _read_jpeg(data: bytes, max_pixels: int) -> PictureFile:
    steps, at, exif, scans = _Steps(), 2, b"", 0
    kept = [data[:2]]
    size: tuple[int, int] | None = None
    while True:
        steps.take()
        marker, at = _jpeg_marker(data, at)
        if marker == _EOI:
            break
        end = at + struct.unpack_from(">H", data, at)[0]
        if marker == _APP1 and not exif and data.startswith(b"Exif\0\0", at + 2):
            exif = data[at + 2 : end]
        elif marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            if size is not None:
                raise _corrupt("two headers")
            size = check_pixels(width, height, max_pixels)
        elif marker == _SOS:
            scans += 1
            end = _jpeg_scan_end(data, end)
        if marker not in _JPEG_DROPPED:
            kept.append(data[at - 2 : end])
        at = end
    if size is None or not 1 <= scans <= _MAX_SCANS:
        raise _corrupt("no header" if size is None else f"{scans} scans")
    if scans > 1 and scans * size[0] * size[1] > max(_MAX_SCANNED_PIXELS, max_pixels):
        raise _corrupt(f"{scans} scans of {size[0]} by {size[1]} pixels")
    return PictureFile("JPEG", *size, exif_orientation(exif), b"".join([*kept, b"\xff\xd9"]))


def _jpeg_marker(data: bytes, at: int) -> tuple[int, int]:
    """Return the marker at `at` and where its segment's length stands; 0xFF may be repeated before a marker."""
    if data[at] != 0xFF:
        raise _corrupt("a segment is missing")
    while data[at] == 0xFF:
        at += 1
    return data[at], at + 1


def _jpeg_scan_end(data: bytes, at: int) -> int:
    found = _JPEG_MARKER.search(data, at)
    if found is None:
        raise _corrupt("the file is cut short")
    return found.start()


def _read_webp(data: bytes, max_pixels: int) -> PictureFile:
    steps, at, exif = _Steps(), 12, b""
    width, height = check_pixels(*_webp_size(data), max_pixels)
    total = 8 + struct.unpack_from("<I", data, 4)[0]
    if total > len(data):
        raise _corrupt("the file is cut short")
    while at + 8 <= total:
        steps.take()
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"EXIF":
            exif = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    return PictureFile("WEBP", width, height, exif_orientation(exif), data[:total])


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return the canvas a decoder would allocate: VP8X states it, else the one frame's own header."""
    match data[12:16]:
        case b"VP8X":
            low = struct.unpack_from("<HBHB", data, 24)
            return 1 + low[0] + (low[1] << 16), 1 + low[2] + (low[3] << 16)
        case b"VP8 " if data[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L" if data[20] == 0x2F:
            (bits,) = struct.unpack_from("<I", data, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise _corrupt("no header")


def _read_gif(data: bytes, max_pixels: int) -> PictureFile:
    steps = _Steps()
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    start = at = 13 + _gif_table(flags)
    control = b""
    while True:
        steps.take()
        block = data[at]
        if block == 0x2C:
            break
        if block == 0x21:
            end = _gif_blocks_end(data, at + 2, steps)
            if data[at + 1] == 0xF9:
                control = data[at:end]
            at = end
        elif block == 0:
            at += 1
        else:
            raise _corrupt("no frame")
    left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", data, at + 1)
    # A frame may reach beyond the screen: Pillow then enlarges the picture.
    size = check_pixels(max(width, left + frame_width), max(height, top + frame_height), max_pixels)
    end = _gif_blocks_end(data, at + 11 + _gif_table(flags), steps)
    return PictureFile("GIF", *size, 1, b"".join([data[:start], control, data[at:end], b";"]))


def _gif_table(flags: int) -> int:
    """Return the bytes of the colour table announced by `flags`."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_blocks_end(data: bytes, at: int, steps: _Steps) -> int:
    """Return where the chain of sub-blocks starting at `at` ends, its closing zero included."""
    while data[at]:
        steps.take()
        at += 1 + data[at]
    return at + 1
