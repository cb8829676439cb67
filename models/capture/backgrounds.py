"""What composites are pasted on: textures made here, patches of photos, and things that are no products on them."""

from typing import Annotated, Final

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.capture.cutouts import Cutouts
from models.capture.textures import PAINTERS, Size, palette

_Weight = Annotated[float, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_OPAQUE: Final = 250
_ENOUGH: Final = 64  # backdrops: with fewer, each would be seen too often


class BackgroundMix(BaseModel):
    """How often each kind of background is taken, as weights; and how they are varied, as shares.

    Attributes:
        plain: one colour.
        gradient: a fade.
        clouds: fractal noise.
        wood: grain and boards.
        fabric: threads, stripes, checks.
        stone: speckles.
        tiles: tiles with joints.
        paper: fine fibres.
        photo: the surroundings of busy photos; where the file of cut-outs has few, mostly `patch` instead.
        patch: a patch of a product, enlarged: print, knit, leather.
        soft: share of the backgrounds that are out of focus.
        clutter: share of the backgrounds with shapes on them that are no products.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    plain: _Weight = 1.0
    gradient: _Weight = 1.0
    clouds: _Weight = 1.0
    wood: _Weight = 1.0
    fabric: _Weight = 1.0
    stone: _Weight = 0.7
    tiles: _Weight = 0.7
    paper: _Weight = 0.5
    photo: _Weight = 3.0
    patch: _Weight = 1.0
    soft: _Share = 0.5
    clutter: _Share = 0.3

    @model_validator(mode="after")
    def _some(self) -> "BackgroundMix":
        if not any(self.weights().values()):
            raise ValueError("all weights are 0")
        return self

    def weights(self) -> dict[str, float]:
        """Return kind -> weight."""
        return {name: float(getattr(self, name)) for name in (*PAINTERS, "photo", "patch")}


class Backgrounds:
    """Draws backgrounds: `mix` says which, `cutouts` lends photos."""

    def __init__(self, cutouts: Cutouts, mix: BackgroundMix) -> None:
        weights = mix.weights()
        self._kinds = list(weights)
        self._shares = np.array(list(weights.values())) / sum(weights.values())
        self._mix = mix
        self._cutouts = cutouts

    def draw(self, rng: np.random.Generator, size: Size) -> Image.Image:
        """Return a background of `size` (width, height), RGB; the same state of `rng` gives the same one."""
        kind = self._kinds[int(rng.choice(len(self._kinds), p=self._shares))]
        soft = rng.random() < self._mix.soft
        drawn = self._drawn(kind, rng, (max(2, size[0] // 2), max(2, size[1] // 2)) if soft else size)
        if rng.random() < self._mix.clutter:
            _clutter(rng, drawn)
        return drawn.resize(size, Image.Resampling.BICUBIC) if soft else drawn

    def _drawn(self, kind: str, rng: np.random.Generator, size: Size) -> Image.Image:
        if kind == "photo" and rng.random() * _ENOUGH < self._cutouts.backdrops:
            return _surrounding(rng, self._cutouts.backdrop(int(rng.integers(self._cutouts.backdrops))), size)
        if kind in {"photo", "patch"}:
            return _patch(rng, self._cutouts[int(rng.integers(len(self._cutouts)))].image, size)
        return PAINTERS[kind](rng, size)


def _surrounding(rng: np.random.Generator, photo: Image.Image, size: Size) -> Image.Image:
    """Return a part of `photo`, mirrored or not, in a light of its own."""
    share = rng.uniform(0.55, 1)
    width = share * min(photo.width, photo.height * size[0] / size[1])
    height = width * size[1] / size[0]
    left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
    part = photo.convert("RGB").resize(size, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    part = ImageEnhance.Color(part).enhance(rng.uniform(0.5, 1.3))
    return ImageEnhance.Brightness(part).enhance(rng.uniform(0.75, 1.1))


def _patch(rng: np.random.Generator, product: Image.Image, size: Size) -> Image.Image:
    """Return a small opaque part of `product`, enlarged until it is a surface; its mean colour where there is none."""
    side = max(6, round(min(product.size) * rng.uniform(0.15, 0.4)))
    for _ in range(8):
        left = int(rng.integers(0, max(1, product.width - side)))
        top = int(rng.integers(0, max(1, product.height - side)))
        part = product.crop((left, top, left + side, top + side))
        if np.asarray(part.getchannel("A")).min() >= _OPAQUE:
            return part.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    return product.convert("RGB").resize((1, 1), Image.Resampling.BOX).resize(size)


def _clutter(rng: np.random.Generator, canvas: Image.Image) -> None:
    """Draw a few plain shapes on `canvas`: leaves, strips, blots, corners of things."""
    draw, span = ImageDraw.Draw(canvas), max(canvas.size)
    for _ in range(int(rng.integers(1, 9))):
        red, green, blue = (int(part) for part in palette(rng)[int(rng.integers(256))])
        x, y = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)
        reach = span * rng.uniform(0.02, 0.12)
        match int(rng.integers(3)):
            case 0:
                wide = reach * rng.uniform(0.3, 1)
                draw.ellipse((x - wide, y - reach, x + wide, y + reach), fill=(red, green, blue))
            case 1:
                turns = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
                rays = reach * rng.uniform(0.4, 1, len(turns))
                points = np.stack([x + rays * np.cos(turns), y + rays * np.sin(turns)], axis=1)
                draw.polygon([(float(a), float(b)) for a, b in points], fill=(red, green, blue))
            case _:
                angle, length = rng.uniform(0, np.pi), span * rng.uniform(0.1, 0.8)
                end = (x + length * np.cos(angle), y + length * np.sin(angle))
                draw.line((x, y, *end), fill=(red, green, blue), width=max(1, round(span * rng.uniform(0.003, 0.02))))
