"""Collages of catalogue pictures as queries: a file says which products, this puts their pictures together.

A line of the file is `{"cid": NAME, "ids": [PRODUCT, ...], "cells": [0..3, ...]}`: each product's first picture stands
in a quarter of a canvas of two by two cells, from the top left. On white a collage looks like a page of a catalogue;
on other backgrounds only what is not white in the picture is pasted, so that nothing gives the cells away.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from pydantic import BaseModel, Field, ValidationError

from models.picture import PictureError, decode_picture
from models.train.feed import DataError, Feed

CELL: Final = (168, 224)
"""Width and height of a cell in pixels; larger or smaller pictures are fitted into it."""
WHITE_FROM: Final = 245
"""A pixel is white whose channels are all at least this, of 255."""
_FEATHER: Final = 0.7  # pixels, of the edge where a picture is pasted without its white

Boxes = NDArray[np.float32]
Mask = NDArray[np.bool_]
Background = Callable[[int, tuple[int, int]], Image.Image]
"""Number and (width, height) to an RGB picture of that size."""


class CollageLine(BaseModel):
    """A line of the file.

    Attributes:
        cid: the collage's name.
        ids: of its products.
        cells: where each stands: 0 top left, 1 top right, 2 bottom left, 3 bottom right.
    """

    cid: str
    ids: tuple[int | str, ...] = Field(min_length=1, max_length=4)
    cells: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Collage:
    """A picture of several products.

    Attributes:
        name: of the collage.
        picture: RGB.
        boxes: `(n, 4)` pixels of what is not white of each product; right and bottom exclusive.
        cells: `(n, 4)` pixels of the whole picture of each, its white included.
        products: id of each.
    """

    name: str
    picture: Image.Image
    boxes: Boxes
    cells: Boxes
    products: tuple[str, ...]


def read_collages(path: Path, feed: Feed, split: str, background: Background | None = None) -> Iterator[Collage]:
    """Yield the collages of a file, in its order.

    Args:
        path: the file, JSON lines.
        feed: the catalogue that holds the products.
        split: of the catalogue, which holds them all.
        background: what they are pasted on, by the collage's line number from 0; None for white.

    Raises:
        DataError: a line, a product or a picture cannot be read.
    """
    lines = list(_lines(path))
    pictures = _pictures(feed, split, {str(one) for line in lines for one in line.ids})
    for number, line in enumerate(lines):
        width, height = CELL[0] * 2, CELL[1] * 2
        canvas = (
            Image.new("RGB", (width, height), "white") if background is None else background(number, (width, height))
        )
        yield _collage(line, canvas, pictures, cut=background is not None)


def _lines(path: Path) -> Iterator[CollageLine]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, start=1):
                line = CollageLine.model_validate_json(text)
                if len(line.cells) != len(line.ids) or set(line.cells) - set(range(4)):
                    raise DataError(f"{path}: line {number}: cells must say 0 to 3 for every one of ids")
                if len(set(line.cells)) != len(line.cells):
                    raise DataError(f"{path}: line {number}: two products in one cell")
                yield line
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except (ValidationError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: line {number}: {str(error).splitlines()[0]}") from error


def _pictures(feed: Feed, split: str, wanted: set[str]) -> dict[str, Image.Image]:
    pictures: dict[str, Image.Image] = {}
    for item in feed.items(split, pictures=1):
        if item.product.id in wanted:
            try:
                pictures[item.product.id] = decode_picture(item.pictures[0])
            except PictureError as error:
                raise DataError(f"product {item.product.id}: picture: {error}") from error
    if missing := sorted(wanted - pictures.keys()):
        raise DataError(f"{feed.path} has no product {missing[0]} with a picture in the split {split!r}")
    return pictures


def _collage(line: CollageLine, canvas: Image.Image, pictures: Mapping[str, Image.Image], *, cut: bool) -> Collage:
    canvas = canvas.convert("RGB")
    boxes, cells = [], []
    for product, cell in zip(line.ids, line.cells, strict=True):
        picture = _fitted(pictures[str(product)])
        left = cell % 2 * CELL[0] + (CELL[0] - picture.width) // 2
        top = cell // 2 * CELL[1] + (CELL[1] - picture.height) // 2
        inside = product_mask(picture)
        canvas.paste(picture, (left, top), _soft(inside) if cut else None)
        boxes.append(_moved(_bounds(inside), left, top))
        cells.append(_moved((0, 0, *picture.size), left, top))
    ids = tuple(str(product) for product in line.ids)
    return Collage(line.cid, canvas, np.array(boxes, np.float32), np.array(cells, np.float32), ids)


def _fitted(picture: Image.Image) -> Image.Image:
    scale = min(CELL[0] / picture.width, CELL[1] / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC)


def product_mask(picture: Image.Image) -> Mask:
    """Return where `picture` shows its product, `(h, w)`: all but the white that is joined to the picture's edge.

    A picture that is white throughout is all product.
    """
    white: Mask = np.asarray((np.asarray(picture) >= WHITE_FROM).all(axis=2))
    outside = np.zeros_like(white)
    outside[0], outside[-1], outside[:, 0], outside[:, -1] = white[0], white[-1], white[:, 0], white[:, -1]
    while True:
        grown = outside.copy()
        for rows, of_white in (
            (grown, white),
            (grown[::-1], white[::-1]),
            (grown.T, white.T),
            (grown.T[::-1], white.T[::-1]),
        ):
            for row in range(1, len(rows)):
                rows[row] |= rows[row - 1] & of_white[row]
        if (grown == outside).all():
            return np.ones_like(white) if outside.all() else ~outside
        outside = grown


def _soft(inside: Mask) -> Image.Image:
    return Image.fromarray((inside * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(_FEATHER))


def _bounds(inside: Mask) -> tuple[int, int, int, int]:
    down, across = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1


def _moved(box: tuple[int, int, int, int], left: int, top: int) -> tuple[int, int, int, int]:
    return box[0] + left, box[1] + top, box[2] + left, box[3] + top
