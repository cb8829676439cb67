"""Decoding judged against Pillow on honest pictures, and against hand-built hostile ones."""

import contextlib
import io
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from models.picture import PictureError, PictureLimits, decode_picture
from models.picture_file import exif_orientation, read_picture_file

KINDS = ["JPEG", "PNG", "WEBP", "GIF"]
ANY_BYTES = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def pixels(width=24, height=16, channels=3, seed=0):
    """A smooth gradient with noise: every corner differs, JPEG keeps it well."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [np.clip(255 * x / width + 20 * c, 0, 255) if c % 2 else 255 * y / height for c in range(channels)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def example(kind, **options):
    return saved(Image.fromarray(pixels()), kind, **options)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*chunks, size=(1, 1), depth=8, colour=2, data=b"\0\xff\0\0"):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body + chunk(b"IEND", b"")


def reason_of(data, **limits):
    with pytest.raises(PictureError) as caught:
        decode_picture(data, PictureLimits(**limits))
    assert str(caught.value)
    return caught.value.reason


# --- honest pictures


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_decodes_as_pillow_decodes_it(kind):
    data = example(kind)
    found = decode_picture(data)
    assert type(found) is Image.Image
    assert found.mode == "RGB"
    assert found.info == {}
    assert found.tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_one_pixel(kind):
    found = decode_picture(saved(Image.new("RGB", (1, 1), (255, 0, 0)), kind))
    assert found.size == (1, 1)
    assert found.getpixel((0, 0))[0] > 240


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_give_the_same_pixels(kind):
    data = example(kind)
    assert decode_picture(data).tobytes() == decode_picture(bytes(bytearray(data))).tobytes()


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 2}, {"optimize": True, "quality": 30}])
def test_jpeg_variants(options):
    data = example("JPEG", **options)
    assert decode_picture(data).tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def test_jpeg_with_restart_markers_comment_profile_and_preview():
    data = example("JPEG", comment=b"\xff\xd9 not the end", icc_profile=b"x" * 70_000, restart_marker_blocks=1)
    assert decode_picture(data).tobytes() == decode_picture(example("JPEG")).tobytes()


def test_jpeg_with_padding_before_a_marker_and_bytes_after_the_end():
    data = example("JPEG")
    padded = data[:2] + b"\xff\xff" + data[2:] + b"trailing film"
    assert decode_picture(padded).tobytes() == decode_picture(data).tobytes()


def test_cmyk_jpeg():
    rgb = Image.new("RGB", (8, 8), (200, 30, 60))
    found = decode_picture(saved(rgb.convert("CMYK"), "JPEG", quality=95))
    np.testing.assert_allclose(np.asarray(found)[4, 4], (200, 30, 60), atol=6)


def test_adobe_inverted_cmyk_is_told_by_its_marker():
    cmyk = Image.new("CMYK", (8, 8), (10, 200, 150, 20))
    plain = np.asarray(decode_picture(saved(cmyk, "JPEG", quality=95)))
    marked = saved(cmyk, "JPEG", quality=95)
    assert b"Adobe" in marked, "Pillow writes inverted CMYK with Adobe's marker"
    np.testing.assert_allclose(plain, np.asarray(cmyk.convert("RGB")), atol=6)


def test_grey_jpeg():
    found = decode_picture(saved(Image.new("L", (5, 5), 77), "JPEG"))
    assert found.getpixel((2, 2)) == (77, 77, 77)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((447, 3000), (447, 3000)), ((895, 900), (895, 900)), ((896, 900), (448, 450)), ((3600, 3600), (450, 450))],
)
def test_large_jpegs_are_reduced_but_never_below_448(size, expected):
    found = decode_picture(saved(Image.new("RGB", size, "teal"), "JPEG"))
    assert found.size == expected


def test_a_reduced_jpeg_still_looks_the_same():
    large = Image.fromarray(pixels(1800, 1400))
    found = decode_picture(saved(large, "JPEG", quality=95))
    assert found.size == (600, 467) or min(found.size) >= 448
    reference = large.resize(found.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(found, int) - np.asarray(reference, int)).mean() < 3


def test_only_jpegs_are_reduced():
    assert decode_picture(saved(Image.new("RGB", (1000, 1000)), "PNG")).size == (1000, 1000)


# --- depth, palettes, transparency


def test_sixteen_bit_grey_keeps_its_upper_byte():
    grey = np.array([[0x0000, 0x00FF, 0x1234, 0xFFFF]], dtype=np.uint16)
    found = decode_picture(saved(Image.fromarray(grey), "PNG"))
    assert np.asarray(found)[0, :, 1].tolist() == [0x00, 0x00, 0x12, 0xFF]


def test_sixteen_bit_grey_with_a_transparent_value():
    data = png(chunk(b"tRNS", b"\x12\x34"), size=(2, 1), depth=16, colour=0, data=b"\0" + b"\x12\x34" + b"\x12\x35")
    assert np.asarray(decode_picture(data))[0, :, 0].tolist() == [255, 0x12]


def test_sixteen_bit_colour_keeps_its_upper_byte():
    data = png(depth=16, data=b"\0" + bytes([10, 99, 20, 99, 30, 99]))
    assert decode_picture(data).getpixel((0, 0)) == (10, 20, 30)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_alpha_is_laid_on_white(kind):
    rgba = Image.new("RGBA", (4, 1), (255, 0, 0, 0))
    rgba.putpixel((1, 0), (0, 0, 255, 255))
    rgba.putpixel((2, 0), (0, 0, 0, 128))
    options = {"lossless": True} if kind == "WEBP" else {}
    found = np.asarray(decode_picture(saved(rgba, kind, **options)))[0]
    assert found[0].tolist() == [255, 255, 255]
    assert found[1].tolist() == [0, 0, 255]
    np.testing.assert_allclose(found[2], 127, atol=1)


def test_grey_with_alpha():
    found = decode_picture(saved(Image.new("LA", (2, 2), (0, 51)), "PNG"))
    assert found.getpixel((0, 0)) == (204, 204, 204)


def test_palette_with_one_transparent_entry_and_with_partial_ones():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    one = np.asarray(decode_picture(saved(image, "PNG", transparency=1)))[0]
    assert one.tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]
    partial = np.asarray(decode_picture(saved(image, "PNG", transparency=bytes([0, 255, 102]))))[0]
    assert partial.tolist() == [[255, 255, 255], [0, 255, 0], [153, 153, 255]]
    gif = np.asarray(decode_picture(saved(image, "GIF", transparency=1)))[0]
    assert gif.tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]


@pytest.mark.parametrize("mode", ["1", "L"])
def test_bilevel_and_grey_with_a_transparent_value(mode):
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((0, 0), 255)
    found = np.asarray(decode_picture(saved(image, "PNG", transparency=0)))[0, :, 0]
    assert found.tolist() == [255, 255]


def test_true_colour_with_a_transparent_colour():
    data = png(chunk(b"tRNS", struct.pack(">HHH", 255, 0, 0)))
    assert decode_picture(data).getpixel((0, 0)) == (255, 255, 255)


# --- animations


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert decode_picture(data).getpixel((3, 2)) == (255, 0, 0)


def test_a_gif_frame_beyond_its_screen_is_measured_by_the_frame():
    data = bytearray(example("GIF"))
    data[6:10] = struct.pack("<HH", 1, 1)
    assert decode_picture(bytes(data)).size == (24, 16)
    descriptor = data.index(b"," + struct.pack("<HHHH", 0, 0, 24, 16))
    data[descriptor + 5 : descriptor + 9] = struct.pack("<HH", 65535, 65535)
    assert reason_of(bytes(data)) == "too_many_pixels"


def test_gif_comments_and_stray_zeros_are_passed_over():
    data = example("GIF")
    at = data.index(b"," + struct.pack("<HHHH", 0, 0, 24, 16))
    spliced = data[:at] + b"\0\0" + b"\x21\xfe\x05hello\0" + data[at:]
    assert decode_picture(spliced).tobytes() == decode_picture(data).tobytes()


# --- orientation


def exif_block(orientation, *, order=">", kind=3, prefix=b"Exif\0\0", before=1):
    entries = [(0x010F, 3, 1, 0)] * before + [(0x0112, kind, 1, orientation)]
    mark = b"MM\0*" if order == ">" else b"II*\0"
    body = struct.pack(f"{order}H", len(entries))
    for tag, entry_kind, count, value in entries:
        field = struct.pack(f"{order}I", value) if entry_kind == 4 else struct.pack(f"{order}HH", value, 0)
        body += struct.pack(f"{order}HHI", tag, entry_kind, count) + field
    return prefix + mark + struct.pack(f"{order}I", 8) + body + b"\0\0\0\0"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_agrees_with_pillow(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = example(kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    found = decode_picture(data)
    assert found.size == expected.size
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
def test_orientation_in_both_byte_orders_and_types(order, kind):
    assert exif_orientation(exif_block(6, order=order, kind=kind)) == 6
    assert exif_orientation(exif_block(6, order=order, kind=kind, prefix=b"")) == 6


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_out_of_range_is_none(value):
    assert exif_orientation(exif_block(value)) == 1


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_no_exif_block_can_fail(block):
    for prefix in (b"", b"MM\0*\0\0\0\x08", b"Exif\0\0II*\0\x08\0\0\0"):
        assert 1 <= exif_orientation(prefix + block) <= 8


@settings(deadline=None)
@given(st.integers(0, 60))
def test_a_cut_exif_block_leaves_the_picture_as_it_is(length):
    block = exif_block(6)
    assert exif_orientation(block[:length]) == (6 if length >= len(block) - 6 else 1)


def test_damaged_exif_does_not_hide_the_picture():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = example("JPEG", exif=exif_block(6)[:20] + b"\xff" * 40)
    assert decode_picture(data).size == (24, 16)


# --- limits and refusals


def test_nothing_at_all():
    assert reason_of(b"") == "empty"


def test_the_byte_limit_is_inclusive():
    data = example("PNG")
    assert decode_picture(data, PictureLimits(max_bytes=len(data)))
    assert reason_of(data, max_bytes=len(data) - 1) == "too_large_bytes"


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixel_limit_is_inclusive_and_counts_the_stored_picture(kind):
    assert decode_picture(example(kind), PictureLimits(max_pixels=24 * 16))
    assert reason_of(example(kind), max_pixels=24 * 16 - 1) == "too_many_pixels"


@pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"max_pixels": 0}, {"max_pixels": 10**9}])
def test_limits_that_cannot_hold_are_refused(limits):
    with pytest.raises(ValueError, match="must be positive"):
        PictureLimits(**limits)


def bomb_webp(width, height):
    extended = (
        b"VP8X" + struct.pack("<IB3x", 10, 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended


def bomb_jpeg(width, height):
    data = bytearray(example("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bomb_gif(width, height):
    data = bytearray(example("GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


@pytest.mark.clock
@pytest.mark.parametrize(
    "data",
    [
        png(size=(30_000, 30_000)),
        png(size=(2**31 - 1, 2**31 - 1)),
        png(size=(30_000, 30_000))[:40],
        bomb_jpeg(30_000, 30_000),
        bomb_jpeg(65_535, 65_535),
        bomb_gif(65_535, 65_535),
        bomb_webp(2**24, 2**24),
        bomb_webp(30_000, 30_000),
    ],
    ids=["png-900M", "png-4E", "png-cut", "jpeg-900M", "jpeg-4G", "gif-4G", "webp-281T", "webp-900M"],
)
def test_pixel_bombs_are_refused_from_the_header_in_milliseconds(data):
    started = time.perf_counter()
    assert reason_of(data) == "too_many_pixels"
    assert time.perf_counter() - started < 0.05


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_a_picture_without_pixels(size):
    assert reason_of(png(size=size)) == "corrupt"
    assert reason_of(bomb_jpeg(*size)) == "corrupt"


def fast(data):
    """Decode and return the seconds of processor time it took."""
    started = time.process_time()
    with contextlib.suppress(PictureError):
        decode_picture(data)
    return time.process_time() - started


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
def test_compressed_metadata_is_never_inflated(name):
    inflated = zlib.compress(bytes(900_000), 9)
    lead = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[name]
    data = png(*[chunk(name, lead + inflated)] * 5_000)
    assert fast(data) < 0.5
    assert decode_picture(data).size == (1, 1)


def segment(marker, body):
    return b"\xff" + bytes([marker]) + struct.pack(">H", 2 + len(body)) + body


def test_many_exif_segments_do_not_add_up():
    data = example("JPEG")
    assert fast(data[:2] + segment(0xE1, b"Exif\0\0" + b"x" * 40) * 30_000 + data[2:]) < 1
    assert reason_of(data[:2] + segment(0xFE, b"") * 300_000 + data[2:]) == "corrupt"


def test_a_jpeg_of_endless_scans_is_refused():
    data = example("JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    assert reason_of(data[:-2] + data[at:-2] * 200 + data[-2:]) == "corrupt"


def test_a_gif_of_endless_tiny_blocks_is_refused():
    data = example("GIF")
    at = data.index(b"," + struct.pack("<HHHH", 0, 0, 24, 16))
    assert reason_of(data[:at] + b"\x21\xfe" + b"\x01x" * 300_000 + b"\0" + data[at:]) == "corrupt"


def test_a_png_of_endless_chunks_is_refused():
    assert reason_of(png(*[chunk(b"teXt", b"")] * 260_000)) == "corrupt"


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'/>",
        b"%PDF-1.7\n",
        b"BM" + bytes(60),
        b"II*\0" + bytes(60),
        b"\0\0\0\x20ftypavif" + bytes(60),
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"GIF90a" + bytes(20),
        b"<html><img src='data:image/png;base64,'></html>",
        b"\0",
        b"\xff\xd8",
        b"PK\x03\x04" + b"\x89PNG\r\n\x1a\n",
    ],
)
def test_other_types_are_refused_by_content(data):
    assert reason_of(data) == "unsupported_type"


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM", "ICO", "TGA", "PCX"])
def test_kinds_pillow_knows_but_we_do_not_take(kind):
    assert reason_of(example(kind)) == "unsupported_type"


@pytest.mark.parametrize("kind", KINDS)
def test_polyglots_are_read_as_what_they_begin_with(kind):
    data = example(kind)
    assert decode_picture(data + b"PK\x03\x04<script>alert(1)</script>%PDF").tobytes() == decode_picture(data).tobytes()


def test_the_end_of_a_jpeg_hidden_in_a_comment_hides_no_scans():
    data = example("JPEG", progressive=True)
    at = data.index(b"\xff\xda")
    trick = data[:at] + segment(0xFE, b"\xff\xd9") + data[at:-2] + data[at:-2] * 100 + data[-2:]
    assert reason_of(trick) == "corrupt"


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", b""),
        png(chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0))),
        png(data=b""),
        png(colour=5),
        png(depth=3),
        b"RIFF\x04\0\0\0WEBPNOPE" + bytes(30),
        b"RIFF\x04\0\0\0WEBPVP8 " + bytes(30),
        bomb_webp(10, 10),
        b"GIF89a" + bytes(6) + b"\0;",
        b"GIF89a" + bytes(6) + b"\0\x99",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\0\x04abnomarker",
        b"\xff\xd8" + segment(0xC0, b"\x08\0\1\0\1\1\1\x11\0") + b"\xff\xd9",
        b"\xff\xd8" + segment(0xC0, b"\x08\0\1\0\1\1\1\x11\0") * 2 + b"\xff\xd9",
    ],
)
def test_damaged_containers(data):
    assert reason_of(data) == "corrupt"


def test_a_flipped_byte_of_png_data_is_noticed():
    data = bytearray(example("PNG"))
    data[data.index(b"IDAT") + 20] ^= 1
    assert reason_of(bytes(data)) == "corrupt"


def test_running_out_of_memory_is_not_blamed_on_the_picture(monkeypatch):
    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image, "open", exhausted)
    with pytest.raises(MemoryError):
        decode_picture(example("PNG"))


# --- whatever the bytes


@pytest.mark.parametrize("kind", KINDS)
def test_cut_at_every_offset_it_is_refused(kind):
    data = example(kind)
    # Only a GIF may miss its last bytes: the trailer after a whole first frame.
    whole = len(data) - 1 if kind == "GIF" else len(data)
    for length in range(1, whole):
        assert reason_of(data[:length]) in {"corrupt", "unsupported_type"}, length
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_animation_is_refused_or_shows_its_first_frame(kind):
    if kind == "JPEG":
        data = example(kind, progressive=True)
    else:
        frames = [Image.fromarray(pixels(seed=s)) for s in range(3)]
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    for length in range(1, len(data), 7):
        image_or_refusal(data[:length])


def image_or_refusal(data):
    with contextlib.suppress(PictureError):  # any other exception, and any warning, fails the test
        found = decode_picture(data, PictureLimits(max_pixels=1_000_000))
        assert found.mode == "RGB"
        assert min(found.size) >= 1


@ANY_BYTES
@given(st.binary(max_size=400))
def test_random_bytes(data):
    image_or_refusal(data)


HEADS = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\x30\0\0\0WEBPVP8X", b"RIFF\x30\0\0\0WEBPVP8L"]


@ANY_BYTES
@given(st.sampled_from(HEADS), st.binary(max_size=400))
def test_random_bytes_after_a_true_head(head, body):
    image_or_refusal(head + body)


@ANY_BYTES
@given(st.data(), st.sampled_from(KINDS), st.integers(1, 6))
def test_flipped_bytes(data, kind, flips):
    hurt = bytearray(example(kind))
    for _ in range(flips):
        hurt[data.draw(st.integers(0, len(hurt) - 1))] ^= data.draw(st.integers(1, 255))
    image_or_refusal(bytes(hurt))


@ANY_BYTES
@given(st.data(), st.sampled_from(KINDS))
def test_spliced_pieces(data, kind):
    whole = example(kind)
    cut = data.draw(st.integers(0, len(whole)))
    back = data.draw(st.integers(0, len(whole)))
    image_or_refusal(whole[:cut] + data.draw(st.binary(max_size=12)) + whole[back:])


@ANY_BYTES
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(KINDS))
def test_the_container_states_what_pillow_finds(width, height, kind):
    data = saved(Image.new("RGB", (width, height)), kind)
    file = read_picture_file(data, 10_000)
    assert (file.kind, file.width, file.height, file.orientation) == (kind, width, height, 1)
