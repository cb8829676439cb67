"""Composites: photos of several products, made of cut-outs of single ones, with boxes and ids as labels.

As the training set of Product1M (ICCV 2021, section 3) is made: foregrounds are pasted with scale, rotation, overlap
and blended edges. Each composite is drawn from (seed, number) alone, so any process may make any of them, in any
order, and nothing is kept.
"""

import io
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.capture.backgrounds import BackgroundMix, Backgrounds
from models.capture.cutouts import Cutouts
from models.capture.pasting import Look, Piece, lay, piece
from models.capture.placing import Ground, Rules

_Share = Annotated[float, Field(ge=0, le=1)]
_Side = Annotated[int, Field(ge=32, le=2048)]
_Span = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]

_DRAWS = 20  # of a product whose group is not there yet
_SIZES = 8  # tried for a product, each smaller than the one before, ...
_PLACES = 12  # ... and places for each
_SHRINK: Final = 0.8
_ROOM = 0.94  # of the picture's sides that a product takes, at most
_GRIDS = ((1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (1, 3), (3, 2), (2, 3), (4, 2), (2, 4), (3, 3))


class CompositeDesign(BaseModel):
    """How composites are made. Shares are of composites unless said otherwise.

    Attributes:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        least: products, at least; fewer only where the cut-outs have fewer groups.
        most: products, at most.
        scales: longer side of a product, as a multiple of the side of its fair share of the area: sqrt(w·h / n).
        rotation: either way, in degrees, at most.
        mirrored: share of the products that are mirrored; lettering and emblems are then, too.
        overlapping: share of the products that may be laid over others.
        max_iou: of the visible boxes of any two products.
        most_hidden: share of a product's pixels that are covered or out of the picture, at most; a place where more
            would be hidden is not taken, so every product that is there is labelled.
        beyond: share of the products that may reach out of the picture.
        feather: radius of the softening of edges, in pixels, at most.
        shadow: share with shadows.
        collages: share that are grids on white or nearly so, one product in a cell, without shadows or rotation.
        light: change of brightness, of contrast and of the colour of light, either way, at most.
        jpeg: share that went through JPEG.
        qualities: of JPEG, 1..100, least and most.
        backgrounds: kinds of backgrounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: _Side = 320
    height: _Side = 240
    least: Annotated[int, Field(ge=1, le=7)] = 1
    most: Annotated[int, Field(ge=1, le=7)] = 7
    scales: _Span = (0.45, 1.0)
    rotation: Annotated[float, Field(ge=0, le=180)] = 20.0
    mirrored: _Share = 0.2
    overlapping: _Share = 0.4
    max_iou: _Share = 0.3
    most_hidden: Annotated[float, Field(ge=0, lt=1)] = 0.35
    beyond: _Share = 0.1
    feather: Annotated[float, Field(ge=0, le=4)] = 1.0
    shadow: _Share = 0.6
    collages: _Share = 0.2
    light: Annotated[float, Field(ge=0, le=0.5)] = 0.12
    jpeg: _Share = 0.5
    qualities: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = (45, 95)
    backgrounds: BackgroundMix = Field(default_factory=BackgroundMix)

    @model_validator(mode="after")
    def _ordered(self) -> "CompositeDesign":
        for name, (low, high) in (
            ("least and most", (self.least, self.most)),
            ("scales", self.scales),
            ("qualities", self.qualities),
        ):
            if low > high:
                msg = f"{name}: {low} is more than {high}"
                raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True)
class Composite:
    """A made photo of several products.

    Attributes:
        picture: RGB.
        boxes: `(n, 4) float32`, left, top, right, bottom of what is visible of each product, in pixels, right and
            bottom exclusive; n is 1..7.
        products: the id of each.
    """

    picture: Image.Image
    boxes: NDArray[np.float32]
    products: tuple[str, ...]


class Composer:
    """Makes composites of `cutouts`, by number; cut-outs are read as they are needed and not kept."""

    def __init__(self, cutouts: Cutouts, design: CompositeDesign, seed: int) -> None:
        self._cutouts = cutouts
        self._design = design
        self._seed = seed
        self._backgrounds = Backgrounds(cutouts, design.backgrounds)
        self._groups = cutouts.groups

    def composite(self, number: int) -> Composite:
        """Return composite `number`, from 0: the same seed and number give the same one, byte for byte."""
        rng = np.random.default_rng([self._seed, number])
        chosen = self._chosen(rng)
        if rng.random() < self._design.collages:
            canvas, ground, products = self._collage(rng, chosen)
        else:
            canvas, ground, products = self._scene(rng, chosen)
        boxes = np.array(ground.boxes, dtype=np.float32).reshape(-1, 4)
        return Composite(_photographed(rng, canvas, self._design), boxes, tuple(products))

    def _chosen(self, rng: np.random.Generator) -> list[int]:
        """Return cut-outs of different groups."""
        wanted = int(rng.integers(self._design.least, self._design.most + 1))
        chosen: dict[int, int] = {}
        for number in rng.integers(0, len(self._cutouts), wanted * _DRAWS):
            chosen.setdefault(int(self._groups[number]), int(number))
            if len(chosen) == wanted:
                break
        return list(chosen.values())

    def _scene(self, rng: np.random.Generator, chosen: list[int]) -> tuple[Image.Image, Ground, list[str]]:
        """Return products laid about on a background."""
        design = self._design
        canvas = self._backgrounds.draw(rng, (design.width, design.height))
        ground = Ground(design.width, design.height, Rules(design.max_iou, design.most_hidden))
        look = Look.draw(rng, shadow=design.shadow, feather=design.feather)
        fair = (design.width * design.height / len(chosen)) ** 0.5
        common = rng.uniform(*design.scales)
        products = []
        for number in chosen:
            cutout = self._cutouts[number]
            side = fair * min(max(common * rng.uniform(0.75, 1.25), design.scales[0]), design.scales[1])
            turn = rng.uniform(-1, 1) * design.rotation * (rng.random() < 0.7)
            image = cutout.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self._mirrors(rng) else cutout.image
            if placed := self._placed(rng, ground, image, side, turn):
                lay(canvas, *placed, look)
                products.append(cutout.id)
        return canvas, ground, products

    def _mirrors(self, rng: np.random.Generator) -> bool:
        return bool(rng.random() < self._design.mirrored)

    def _placed(
        self, rng: np.random.Generator, ground: Ground, image: Image.Image, side: float, turn: float
    ) -> tuple[Piece, int, int] | None:
        """Return a product of about `side` pixels, turned by `turn` degrees, and where it was put on the ground."""
        design = self._design
        overlap = design.max_iou if rng.random() < design.overlapping else 0.0
        beyond = 0.5 * design.most_hidden if rng.random() < design.beyond else 0.0
        for _ in range(_SIZES):
            part = piece(image, side, turn, (design.width * _ROOM, design.height * _ROOM))
            reach = (round(beyond * part.width), round(beyond * part.height))
            left = rng.integers(-reach[0], design.width - part.width + reach[0] + 1, _PLACES)
            top = rng.integers(-reach[1], design.height - part.height + reach[1] + 1, _PLACES)
            boxes = np.stack([left, top, left + part.width, top + part.height], axis=1)
            for number in np.flatnonzero(ground.free(boxes, overlap)):
                if ground.put(part.visible, int(left[number]), int(top[number])):
                    return part, int(left[number]), int(top[number])
            side *= _SHRINK
        return None

    def _collage(self, rng: np.random.Generator, chosen: list[int]) -> tuple[Image.Image, Ground, list[str]]:
        """Return products in the cells of a grid, as collages and the pages of a catalogue have them."""
        design = self._design
        grids = [(a, b) for a, b in _GRIDS if len(chosen) <= a * b <= len(chosen) + 2]
        columns, rows = grids[int(rng.integers(len(grids)))]
        shade = 255 if rng.random() < 0.8 else int(rng.integers(225, 255))
        canvas = Image.new("RGB", (design.width, design.height), (shade, shade, shade))
        ground = Ground(design.width, design.height, Rules(design.max_iou, design.most_hidden))
        look = Look(0, 0, 0, 0, rng.uniform(0, design.feather))
        cell, fill = (design.width / columns, design.height / rows), rng.uniform(0.7, 1)
        products = []
        for number, place in zip(chosen, rng.permutation(columns * rows), strict=False):
            cutout, share = self._cutouts[number], fill * rng.uniform(0.8, 1)
            image = cutout.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self._mirrors(rng) else cutout.image
            part = piece(image, max(cell), 0, (cell[0] * share, cell[1] * share))
            row, column = divmod(int(place), columns)
            spare = (cell[0] - part.width, cell[1] - part.height)
            left = int(column * cell[0] + spare[0] * rng.choice([0.5, rng.random()]))
            top = int(row * cell[1] + spare[1] * rng.choice([0.5, 1.0, rng.random()]))
            if ground.put(part.visible, left, top):
                lay(canvas, part, left, top, look)
                products.append(cutout.id)
        return canvas, ground, products


def _photographed(rng: np.random.Generator, canvas: Image.Image, design: CompositeDesign) -> Image.Image:
    """Return `canvas` in another light, and with what JPEG leaves of it."""
    gain, contrast = 1 + design.light * rng.uniform(-1, 1), 1 + design.light * rng.uniform(-1, 1)
    tint = 1 + 0.4 * design.light * rng.uniform(-1, 1, 3)
    levels = np.arange(256)[None] * gain * tint[:, None]
    table = np.clip(128 + (levels - 128) * contrast, 0, 255).round().astype(int)
    canvas = canvas.point(table.ravel().tolist())
    if rng.random() >= design.jpeg:
        return canvas
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=int(rng.integers(design.qualities[0], design.qualities[1] + 1)))
    with Image.open(buffer) as stored:
        return stored.convert("RGB")
