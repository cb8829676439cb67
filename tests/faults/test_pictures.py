"""Pictures that attack whoever reads them: each is answered rightly or refused clearly, in little time and memory."""

import base64
import io
import threading
import time

import httpx
import numpy as np
import pytest
from PIL import Image

LIMIT_PX = 50_000_000  # as it is by default
WARNING_BAND_PX = (89_478_486, 178_956_970)  # where Pillow warns, and from where on it refuses
SIDE = 2_400
SOON_S = 10.0
POLLERS = 2


@pytest.fixture(scope="module")
def attack(support):
    return support("attack_pictures")


@pytest.fixture(scope="module")
def photo(feeds):
    """A picture that is not alike in any direction."""
    return feeds.picture(77, "green", (96, 128))


def send(service, data, name="p.jpg", media="image/jpeg"):
    began = time.perf_counter()
    answer = service.client.post(
        "/v1/search/image", files={"image": (name, data, media)}, data={"fields": "id", "limit": "5"}
    )
    assert time.perf_counter() - began < SOON_S, "it took too long"
    return answer


def hits(service, data, **named):
    answer = send(service, data, **named)
    assert answer.status_code == 200, answer.text
    return [(hit["id"], hit["score"]) for hit in answer.json()["hits"]]


def assert_refused(answer, statuses):
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["path"] == "image"


BOMBS = {
    "PNG": lambda attack, w, h: attack.png(w, h, data=attack.inflating(1)),
    "PNG of 1 bit": lambda attack, w, h: attack.png(w, h, 1, attack.GREY, data=attack.inflating(1)),
    "PNG of 64 bits": lambda attack, w, h: attack.png(w, h, 16, attack.COLOUR_ALPHA, data=attack.inflating(1)),
    "JPEG": lambda attack, w, h: attack.jpeg_stating(w, h),
    "WebP": lambda attack, w, h: attack.webp_stating(w, h),
    "GIF": lambda attack, w, h: attack.gif_stating((w, h), (9, 9)),
    "GIF beyond its screen": lambda attack, w, h: attack.gif_stating((9, 9), (9, 9), (w - 9, h - 9)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_more_pixels_than_may_be_are_refused_from_the_header(attacked, gives_back, attack, kind):
    width = 16_000
    with gives_back(attacked, mib=16):
        attacked.forget_peak()
        before = attacked.resident_mib()
        for pixels in (LIMIT_PX + 8_000, *WARNING_BAND_PX, 2 * WARNING_BAND_PX[1]):
            assert_refused(send(attacked, BOMBS[kind](attack, width, -(-pixels // width))), {413})
        assert attacked.peak_mib() < before + 16


JUST_WITHIN = {
    "JPEG": ("JPEG", {}),
    "progressive JPEG": ("JPEG", {"progressive": True, "subsampling": 0}),
    "PNG": ("PNG", {}),
    "GIF": ("GIF", {}),
    "lossless WebP": ("WEBP", {"lossless": True, "method": 0}),
}


@pytest.fixture(scope="module")
def modest(nursery, published, unharmed):
    """A service that takes a ninth of the pixels that are usual, so that all of them take a ninth of the time."""
    flags = ("--data-dir", published / "data", "--update-log", "off", "--max-image-px", SIDE * SIDE)
    with nursery.running(*flags) as started:
        unharmed.check(started)
        yield started


@pytest.mark.parametrize("kind", JUST_WITHIN)
def test_a_few_kilobytes_of_as_many_pixels_as_may_be_are_read(modest, attack, unharmed, gives_back, kind):
    format_name, options = JUST_WITHIN[kind]
    with gives_back(modest, mib=24):
        assert hits(modest, attack.plain(SIDE, SIDE, format_name, **options))
        assert_refused(send(modest, attack.plain(SIDE, SIDE + 1, format_name, **options)), {413})
        unharmed.check(modest)


def test_memory_of_large_pictures_is_given_back_while_others_ask(attacked, gives_back, attack):
    """Each takes 64 MiB when it is decoded; what is asked beside it is what lets garbage grow old."""
    over = threading.Event()

    def ask():
        with httpx.Client(base_url=attacked.address, timeout=30) as client:
            while not over.is_set():
                client.get("/livez")
                time.sleep(0.01)

    askers = [threading.Thread(target=ask) for _ in range(POLLERS)]
    with gives_back(attacked, mib=64):  # of six: the last one may stay until the next comes
        for asker in askers:
            asker.start()
        for row in range(3):
            assert hits(attacked, attack.png(4_096, 4_096 - row))
        for row in range(3):
            cut = attack.png(4_096, 4_096 - row)
            broken = cut[:40] + attack.chunk(b"IDAT", b"") + cut[40:]
            assert_refused(send(attacked, broken), {422})
        over.set()
        for asker in askers:
            asker.join()


def test_scans_without_end_cost_no_more_than_others(attacked, attack):
    """A file of half a megabyte that would keep a thread busy for a quarter of a minute."""
    answer = send(attacked, attack.jpeg_of_scans(7_000, 7_000, 99))
    assert_refused(answer, {413, 422})


INFLATED_MIB = 64
HARMLESS = {
    "zTXt": lambda attack, file: attack.with_png_chunk(file, b"zTXt", b"a\0\0" + attack.inflating(INFLATED_MIB)),
    "iTXt": lambda attack, file: attack.with_png_chunk(file, b"iTXt", b"a\0\1\0\0\0" + attack.inflating(INFLATED_MIB)),
    "iCCP": lambda attack, file: attack.with_png_chunk(file, b"iCCP", b"a\0\0" + attack.inflating(INFLATED_MIB)),
    "eXIf": lambda attack, file: attack.with_png_chunk(file, b"eXIf", attack.exif(1, entries=65_535)[6:]),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_metadata_that_inflate_are_passed_over(attacked, attack, photo, name):
    file = attack.saved(photo, "PNG")
    attacked.forget_peak()
    before = attacked.resident_mib()
    assert hits(attacked, HARMLESS[name](attack, file)) == hits(attacked, file)
    assert attacked.peak_mib() < before + INFLATED_MIB / 2


def test_a_profile_in_many_segments_is_passed_over(attacked, attack, photo):
    file = attack.saved(photo, "JPEG")
    profiled = file
    for number in range(255, 0, -1):
        profiled = attack.with_jpeg_segment(profiled, 0xE2, b"ICC_PROFILE\0" + bytes([number, 255]) + bytes(65_000))
    assert hits(attacked, profiled) == hits(attacked, file)


POLYGLOTS = {
    "GIF and JavaScript": (lambda a, p: a.saved(p, "GIF") + b"*/=1;alert(document.cookie)//", "GIF"),
    "JPEG and ZIP": (lambda a, p: a.saved(p, "JPEG") + zipped(), "JPEG"),
    "JPEG with a script in a comment": (
        lambda a, p: a.with_jpeg_segment(a.saved(p, "JPEG"), 0xFE, b"<script>alert(1)</script><?php system('id') ?>"),
        "JPEG",
    ),
    "PNG and HTML": (lambda a, p: a.saved(p, "PNG") + b"<html><script>alert(1)</script>", "PNG"),
    "WebP and PDF": (lambda a, p: a.saved(p, "WEBP", lossless=True) + b"%PDF-1.7\n1 0 obj", "WEBP"),
}


def zipped():
    import zipfile  # noqa: PLC0415 - for one case

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../etc/cron.d/x", "* * * * * root id")
    return buffer.getvalue()


@pytest.mark.parametrize("name", POLYGLOTS)
def test_a_file_that_is_two_things_is_the_picture_it_begins_as(attacked, attack, photo, name):
    make, kind = POLYGLOTS[name]
    options = {"lossless": True} if kind == "WEBP" else {}
    assert hits(attacked, make(attack, photo)) == hits(attacked, attack.saved(photo, kind, **options))


OTHERS = {
    "SVG with an entity": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    b'<svg xmlns="http://www.w3.org/2000/svg"><text>&a;</text></svg>',
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64),
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(64),
    "AVIF": b"\0\0\0\x1cftypavif" + bytes(64),
    "PSD": b"8BPS\0\1" + bytes(64),
    "XBM": b"#define x_width 9\n#define x_height 9\nstatic char x_bits[] = {0};",
    "a RIFF that is a sound": b"RIFF\x24\0\0\0WAVEfmt " + bytes(64),
    "a pickle": b"\x80\x04\x95\x1c\0\0\0\0\0\0\0\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.",
    "a ZIP": zipped(),
    "one byte": b"\xff",
}
OTHERS_OF_A_PHOTO = {
    "PDF and JPEG": lambda a, p: b"%PDF-1.7\n" + a.saved(p, "JPEG"),
    "HTML and PNG": lambda a, p: b"<html>" + a.saved(p, "PNG"),
    "TIFF": lambda a, p: a.saved(p, "TIFF"),
    "BMP": lambda a, p: a.saved(p, "BMP"),
    "ICO": lambda a, p: a.saved(p, "ICO"),
    "TGA": lambda a, p: a.saved(p, "TGA"),
}


@pytest.mark.parametrize("name", [*OTHERS, *OTHERS_OF_A_PHOTO])
def test_other_kinds_of_file_are_refused_whatever_they_are_called(attacked, attack, photo, name):
    data = OTHERS[name] if name in OTHERS else OTHERS_OF_A_PHOTO[name](attack, photo)
    for called in ({"name": "p.png", "media": "image/png"}, {"name": "../../p.svg", "media": "text/html"}):
        assert_refused(send(attacked, data, **called), {415})


@pytest.mark.parametrize(("name", "media"), [("p.txt", "text/plain"), ("p.gif", "image/gif"), ("", "x"), ("p", "")])
def test_a_picture_is_one_whatever_it_is_called(attacked, attack, photo, name, media):
    file = attack.saved(photo, "PNG")
    assert hits(attacked, file, name=name or "\0", media=media) == hits(attacked, file)


def noise(mode, side=40):
    values = np.random.default_rng(5).integers(0, 256, (side, side, 4), dtype=np.uint8)
    return Image.fromarray(values, "RGBA").convert(mode)


ODD = {
    "1 x 1 PNG": lambda a: a.plain(1, 1, "PNG"),
    "1 x 1 JPEG": lambda a: a.plain(1, 1, "JPEG"),
    "1 x 1 GIF": lambda a: a.plain(1, 1, "GIF"),
    "1 x 1 WebP": lambda a: a.plain(1, 1, "WEBP"),
    "1 x 20,000": lambda a: a.plain(1, 20_000, "PNG"),
    "65,000 x 1": lambda a: a.plain(65_000, 1, "JPEG"),
    "CMYK JPEG": lambda a: a.saved(Image.merge("CMYK", noise("RGBA").split()), "JPEG"),
    "grey JPEG": lambda a: a.saved(noise("L"), "JPEG"),
    "16-bit grey PNG": lambda a: a.png(30, 30, 16, a.GREY),
    "16-bit colour PNG": lambda a: a.png(30, 30, 16, a.COLOUR),
    "16-bit colour PNG with alpha": lambda a: a.png(30, 30, 16, a.COLOUR_ALPHA),
    "1-bit PNG": lambda a: a.saved(noise("1"), "PNG"),
    "grey PNG with alpha": lambda a: a.saved(noise("LA"), "PNG"),
    "all transparent": lambda a: a.plain(30, 30, "PNG", "RGBA"),
    "palette with transparency": lambda a: a.saved(noise("RGB").quantize(16), "PNG", transparency=3),
    "palette with partial transparency": lambda a: a.saved(noise("RGB").quantize(16), "PNG", transparency=b"\0\x80"),
    "GIF with transparency": lambda a: a.saved(noise("RGB").quantize(16), "GIF", transparency=3),
    "WebP with alpha": lambda a: a.saved(noise("RGBA"), "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_but_true_pictures_are_read(attacked, attack, name):
    assert hits(attacked, ODD[name](attack))


ANIMATIONS = {
    "GIF": {"duration": 20, "loop": 0},
    "WEBP": {"lossless": True, "duration": 20},
    "PNG": {"duration": 20},
}


@pytest.mark.parametrize("kind", ANIMATIONS)
def test_of_an_animation_the_first_frame_counts(attacked, attack, photo, kind):
    first = photo.quantize(64).convert("RGB")
    frames = [noise("RGB").resize(photo.size) for _ in range(8)]
    moving = attack.saved(first, kind, save_all=True, append_images=frames, **ANIMATIONS[kind])
    found = hits(attacked, moving)
    assert found == hits(attacked, attack.saved(first, "PNG")) or kind == "GIF"
    assert found[0][0] == hits(attacked, attack.saved(first, "PNG"))[0][0]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_turned_picture_is_put_upright(attacked, attack, photo, orientation):
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    turned = attack.saved(photo.transpose(turns[orientation]), "PNG")
    stated = attack.with_png_chunk(turned, b"eXIf", attack.exif(orientation)[6:])
    assert hits(attacked, stated) == hits(attacked, attack.saved(photo, "PNG")) != hits(attacked, turned)


TIFF = b"Exif\0\0MM\0*"
BROKEN_EXIF = {
    "cut off": TIFF + b"\0\0",
    "of an orientation that is none": TIFF + b"\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x09\0\0" + bytes(4),
    "of 65,535 entries": TIFF + b"\0\0\0\x08\xff\xff" + bytes(40),
    "that leads back to itself": TIFF + bytes(44),
    "that leads out of the file": TIFF + b"\xff\xff\xff\xff",
    "of noise": b"Exif\0\0" + np.random.default_rng(1).bytes(60_000),
}


@pytest.mark.parametrize("name", BROKEN_EXIF)
def test_broken_exif_leaves_the_picture_as_it_is(attacked, attack, photo, name):
    file = attack.saved(photo, "JPEG")
    broken = attack.with_jpeg_segment(file, 0xE1, BROKEN_EXIF[name])
    assert hits(attacked, broken) == hits(attacked, file)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_cut_off_at_any_tenth_it_is_refused(attacked, attack, photo, kind):
    for part in attack.tenths(attack.saved(photo, kind)):
        assert_refused(send(attacked, part), {415, 422})


def test_the_same_attacks_in_json(attacked, attack, photo):
    """The other way in: base64, as a part of a mixture, and as a picture to be classified."""
    cases = {
        413: attack.png(16_000, 16_000, data=attack.inflating(1)),
        415: attack.saved(photo, "TIFF"),
        422: attack.saved(photo, "JPEG")[:-300],
    }
    for status, data in cases.items():
        picture = {"data": base64.b64encode(data).decode()}
        for path, asked, field in (
            ("/v1/search", {"query": [{"text": "red"}, {"image": picture}]}, "query[1].image.data"),
            ("/v1/classify", {"image": picture}, "image.data"),
        ):
            answer = attacked.client.post(path, json=asked)
            assert answer.status_code == status, answer.text
            assert answer.json()["errors"][0]["path"] == field
