"""Labelled photos as a shop's `scenes.jsonl` states them: picture, caption, and the id and box of each product.

A line is `{"image": PATH, "objects": [{"id": PRODUCT, "box": [left, top, right, bottom]}, ...], "caption": TEXT}`;
paths start at the file's folder, boxes are pixels, right and bottom exclusive. A box may be null where it is not
known what part of the photo shows the product; a caption may be missing.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from pydantic import BaseModel, Field, ValidationError

from models.capture.collages import Collage
from models.picture import PictureError, decode_picture
from models.train.feed import DataError

Fractions = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A photo of one or more products.

    Attributes:
        name: for messages.
        picture: RGB.
        boxes: `(n, 4)` of the products, in fractions of width and height; None where they are not known.
        products: id of each.
        caption: what was said of the photo; None for nothing.
        larger: `(n, 4)` boxes that a detection may just as well be matched with; None for none.
    """

    name: str
    picture: Image
    boxes: Fractions | None
    products: tuple[str, ...]
    caption: str | None = None
    larger: Fractions | None = None

    @classmethod
    def of_collage(cls, collage: Collage) -> "Scene":
        """Return a collage as a scene; whole cells are what a detection may be matched with as well."""
        extent = np.array(collage.picture.size * 2)
        return cls(
            collage.name, collage.picture, collage.boxes / extent, collage.products, larger=collage.cells / extent
        )


class _Object(BaseModel):
    id: str
    box: tuple[float, float, float, float] | None = None


class _Line(BaseModel):
    image: str
    objects: tuple[_Object, ...] = Field(min_length=1)
    caption: str | None = None
    split: str | None = None


def read_scenes(path: Path, split: str | None = None) -> Iterator[Scene]:
    """Yield the scenes of a file, in its order.

    Args:
        path: JSON lines.
        split: only the lines that say so; None for all.

    Raises:
        DataError: a line or a picture cannot be read, or there is none.
    """
    found = False
    for number, line in _lines(path):
        if split is not None and line.split != split:
            continue
        found = True
        yield _scene(path, number, line)
    if not found:
        raise DataError(f"{path} has no scene" + (f" of the split {split!r}" if split else ""))


def _lines(path: Path) -> Iterator[tuple[int, _Line]]:
    number = 0
    try:
        with path.open(encoding="utf-8") as file:
            for text in file:
                number += 1
                yield number, _Line.model_validate_json(text)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "line"
        raise DataError(f"{path}: line {number}: {where}: {first['msg']}") from error


def _scene(path: Path, number: int, line: _Line) -> Scene:
    try:
        picture = decode_picture((path.parent / line.image).read_bytes())
    except (OSError, PictureError) as error:
        raise DataError(f"{path}: line {number}: {line.image}: {error}") from error
    stated = [one.box for one in line.objects]
    known = [box for box in stated if box is not None]
    if known and len(known) < len(stated):
        raise DataError(f"{path}: line {number}: objects: either all boxes are known or none")
    boxes = np.array(known, np.float64) / np.array(picture.size * 2) if known else None
    if boxes is not None and not (_within(boxes) and (boxes[:, :2] < boxes[:, 2:]).all()):
        raise DataError(f"{path}: line {number}: objects: a box is empty or reaches out of the picture")
    return Scene(line.image, picture, boxes, tuple(one.id for one in line.objects), line.caption)


def _within(boxes: Fractions) -> bool:
    return bool((boxes >= 0).all() and (boxes <= 1).all())


@dataclass(frozen=True, slots=True, eq=False)
class _Pasted:
    picture: Image
    boxes: NDArray[np.float32]
    products: tuple[str, ...]


class SceneComposer:
    """Labelled photos in the place of composites: number n is the n-th; without a box a product is the whole photo."""

    def __init__(self, path: Path, split: str | None = None) -> None:
        self._path = path
        self._lines = [(number, line) for number, line in _lines(path) if split is None or line.split == split]

    def __len__(self) -> int:
        return len(self._lines)

    def composite(self, number: int) -> _Pasted:
        """Return photo `number`."""
        scene = _scene(self._path, *self._lines[number])
        extent = np.array(scene.picture.size * 2)
        boxes = np.array([[0.0, 0, 1, 1]] * len(scene.products)) if scene.boxes is None else scene.boxes
        return _Pasted(scene.picture, (boxes * extent).astype(np.float32), scene.products)


def digest_of(path: Path) -> dict[str, object]:
    """Return what names a file of scenes in a cache: its text, which names every picture."""
    return {"scenes": json.dumps([line.model_dump() for _, line in _lines(path)], sort_keys=True)}
