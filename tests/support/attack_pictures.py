"""Picture files made to harm whoever reads them, and picture files that only look as if they would."""

import io
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache

from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6  # PNG's colour types
_CHANNELS = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}
_ROWS = 64  # compressed at a time


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return `image` as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(width: int, height: int, kind: str, mode: str = "RGB", **options: object) -> bytes:
    """Return a file of one colour, as small as its format allows."""
    return saved(Image.new(mode, (width, height)), kind, **options)


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, depth: int = 8, colours: int = COLOUR, *, extra: bytes = b"", data: bytes | None = None
) -> bytes:
    """Return a PNG of zeros, of any size: it is compressed as it is made. `data` takes the place of its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    pixels = data if data is not None else _zeros(1 + (width * _CHANNELS[colours] * depth + 7) // 8, height)
    return PNG + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _zeros(row_bytes: int, rows: int) -> bytes:
    packer = zlib.compressobj(9)
    block = bytes(row_bytes * _ROWS)
    parts = [packer.compress(block) for _ in range(rows // _ROWS)]
    return b"".join([*parts, packer.compress(block[: row_bytes * (rows % _ROWS)]), packer.flush()])


@lru_cache
def inflating(mib: int) -> bytes:
    """Return deflated zeros, a thousandth of the `mib` that they become."""
    return _zeros(1 << 20, mib)


def with_png_chunk(file: bytes, name: bytes, data: bytes) -> bytes:
    """Return a PNG with one more chunk behind its header."""
    return file[:33] + chunk(name, data) + file[33:]


def gif_stating(screen: tuple[int, int], frame: tuple[int, int], at: tuple[int, int] = (0, 0)) -> bytes:
    """Return a GIF of one frame, which need not lie within the screen, with next to no data."""
    table = bytes(6)
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + table
    return head + b"," + struct.pack("<HHHHB", *at, *frame, 0) + b"\x02\x02\x4c\x01\x00;"


def webp_stating(width: int, height: int) -> bytes:
    """Return a WebP whose canvas has a size, with next to nothing on it."""
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_stating(width: int, height: int) -> bytes:
    """Return a JPEG whose frame header states another size than its data have."""
    file = bytearray(plain(16, 16, "JPEG"))
    at = file.index(b"\xff\xc0") + 5
    file[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(file)


def jpeg_of_scans(width: int, height: int, scans: int) -> bytes:
    """Return a progressive JPEG whose last scan is there again and again, until there are so many."""
    file = plain(width, height, "JPEG", progressive=True, subsampling=0)
    last_table = file.rindex(b"\xff\xc4")
    again = file[last_table:-2]
    return file[:-2] + again * (scans - file.count(b"\xff\xda")) + file[-2:]


def with_jpeg_segment(file: bytes, marker: int, data: bytes) -> bytes:
    """Return a JPEG with one more segment behind its start."""
    return file[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data + file[2:]


def exif(orientation: int, *, entries: int = 1) -> bytes:
    """Return an EXIF block with this orientation, that says it has so many entries."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, entries) + entry + bytes(4)


def tenths(file: bytes) -> Sequence[bytes]:
    """Return the file cut off at each tenth of its length."""
    return [file[: len(file) * n // 10] for n in range(10)]
