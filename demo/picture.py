"""From an item to pixels: renders the drawing, lays it on a background with its shadow, encodes a JPEG.

The SVG renderer draws flat sheets only; turning, scaling and soft shadows are done on pixels, which is
several times faster than turned pattern fills and blur filters.
"""

import io
import math
from functools import lru_cache

import resvg_py
from PIL import Image, ImageFilter

from demo.forms import drawing
from demo.items import Item, generator
from demo.moods import MOOD_VARIANTS, SIDE, STUDIO_VARIANTS, mood, studio

PIXELS = 224
QUALITY = 88


def rasterise(svg: str) -> Image.Image:
    """Return the RGBA picture of an SVG document."""
    data = bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True))
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("RGBA")


@lru_cache(maxsize=2)
def cutout(item: Item, *, back: bool = False) -> Image.Image:
    """Return the product alone, `(224, 224)` RGBA on a transparent sheet. Callers must not change it."""
    return rasterise(drawing(item, back=back))


@lru_cache(maxsize=128)
def background(season: str, kind: str, variant: int) -> Image.Image:
    """Return a `(SIDE, SIDE)` RGB background, `kind` is `studio` or `mood`. Callers must not change it."""
    if kind == "studio":
        return rasterise(studio(season, variant)).convert("RGB")
    picture = rasterise(mood(season, variant)).convert("RGB").filter(ImageFilter.GaussianBlur(1.6))
    return Image.blend(picture, Image.new("RGB", picture.size, "#f4f1ec"), 0.22)


def cast_shadow(canvas: Image.Image, alpha: Image.Image, offset: tuple[int, int], strength: float) -> None:
    """Darken `canvas` in place by the soft shadow of `alpha` (same size), moved by `offset` pixels."""
    width, height = alpha.size
    small = alpha.resize((width // 4, height // 4), Image.Resampling.BILINEAR)
    moved = Image.new("L", small.size)
    moved.paste(small, (round(offset[0] / 4), round(offset[1] / 4)))
    soft = moved.filter(ImageFilter.GaussianBlur(1.7)).resize(alpha.size, Image.Resampling.BILINEAR)
    canvas.paste((32, 28, 44), (0, 0), soft.point([round(v * strength) for v in range(256)]))


def contact_shadow(canvas: Image.Image, alpha: Image.Image, strength: float) -> None:
    """Darken the ground under a standing product in place."""
    box = alpha.getbbox()
    if box is None:
        return
    width, height = int((box[2] - box[0]) * 1.25), 26
    spot = Image.new("L", (64, 16))
    spot.paste(255, (10, 5, 54, 11))
    spot = spot.filter(ImageFilter.GaussianBlur(3)).resize((width, height), Image.Resampling.BILINEAR)
    place = ((box[0] + box[2] - width) // 2 + 5, box[3] - height // 2 - 2)
    canvas.paste((28, 24, 38), place, spot.point([round(v * strength) for v in range(256)]))


def turned(sheet: Image.Image, angle: float, scale: float, shift: tuple[float, float]) -> Image.Image:
    """Return `sheet` scaled and turned (degrees, anticlockwise) about its middle, then shifted, on the same canvas."""
    radians, middle = math.radians(angle), PIXELS / 2
    cos, sin = math.cos(radians) / scale, math.sin(radians) / scale
    x, y = -middle - shift[0], -middle - shift[1]
    matrix = (cos, -sin, cos * x - sin * y + middle, sin, cos, sin * x + cos * y + middle)
    return sheet.transform(sheet.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def picture(item: Item, view: int) -> Image.Image:
    """Return picture number `view` of `item`, `(224, 224)` RGB.

    View 0 stands in a plain studio; the others hang, lie or stand in the season's mood, slightly turned,
    and now and then show the back of a garment.
    """
    rng = generator(item.seed, "view", item.number, view)
    kind = "studio" if view == 0 else "mood"
    variants = STUDIO_VARIANTS if view == 0 else MOOD_VARIANTS
    room = SIDE - PIXELS
    left, top = rng.randrange(room + 1), rng.randrange(room // 2 + 1)
    canvas = background(item.season, kind, rng.randrange(variants)).crop((left, top, left + PIXELS, top + PIXELS))
    if rng.random() < 0.5:
        canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    back = view > 0 and item.kind.back and rng.random() < 0.15
    sheet = cutout(item, back=back)
    if view > 0:
        turn = rng.uniform(-3, 3) if item.kind.stands else rng.uniform(-10, 10)
        scale = rng.uniform(0.8, 1.04) if view == 1 else rng.uniform(1.0, 1.14)
        sheet = turned(sheet, turn, scale, (rng.uniform(-9, 9), rng.uniform(-5, 7)))
    alpha = sheet.getchannel("A")
    if item.kind.stands:
        contact_shadow(canvas, alpha, 0.75)
        cast_shadow(canvas, alpha, (7, 3), 0.2)
    else:
        cast_shadow(canvas, alpha, (6, 9), 0.42)
    canvas.paste(sheet, (0, 0), sheet)
    return canvas


def jpeg(image: Image.Image) -> bytes:
    """Return `image` as JPEG bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
