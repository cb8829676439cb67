"""Composites ready for the detector: composed and fitted once, memory-mapped, drawn the same way for the same seed.

The cache is a folder of `squares.npy`, `(n, side, side, 3) uint8`, and `boxes.npz`, named by the digest of all that
decides them, so that a changed design never meets old pictures.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor
from tqdm import tqdm

from models.capture.detector_config import AlikeConfig
from models.capture.squares import Boxes, Fitted, Square

_LAYOUT: Final = "1"  # changes when fitting or the layout of the files changes
_AT_ONCE: Final = 32
_SQUARES, _BOXES = "squares.npy", "boxes.npz"


class Labelled(Protocol):
    """A picture with the boxes of its products in pixels, `(k, 4) float32`."""

    @property
    def picture(self) -> Image:
        """RGB."""
        ...

    @property
    def boxes(self) -> NDArray[np.float32]:
        """Left, top, right, bottom; right and bottom exclusive."""
        ...


class Composes(Protocol):
    """Makes composite `number`, the same one whenever it is asked."""

    def composite(self, number: int) -> Labelled:
        """Return it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SquareTable:
    """Composites in squares.

    Attributes:
        squares: `(n, side, side, 3) uint8`, memory-mapped.
        boxes: of each, `(k, 4) float32` in pixels of the square.
        digest: of all that decides them, 64 hex digits.
    """

    squares: Square
    boxes: tuple[Boxes, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.boxes)


def square_table(composer: Composes, count: int, side: int, *, said: dict[str, object], cache_dir: Path) -> SquareTable:
    """Return composites 0..count-1 of `composer` in squares, composing them where they are not yet.

    Args:
        composer: makes them.
        count: how many.
        side: of the square, pixels.
        said: all that decides what `composer` makes, as JSON values: names the cache.
        cache_dir: made if needed.
    """
    head = json.dumps([_LAYOUT, said, count, side], sort_keys=True)
    digest = hashlib.sha256(head.encode()).hexdigest()
    folder = cache_dir / digest
    if not folder.is_dir():
        _write(folder, composer, count, side)
    with np.load(folder / _BOXES) as file:
        boxes = np.split(file["boxes"], file["starts"][1:-1])
    return SquareTable(np.load(folder / _SQUARES, mmap_mode="r"), tuple(boxes), digest)


def _write(folder: Path, composer: Composes, count: int, side: int) -> None:
    """Fill `folder` by way of a temporary one, so that only whole caches are ever found."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="partial-") as made:
        partial = Path(made) / "whole"
        partial.mkdir()
        shape = (count, side, side, 3)
        squares = np.lib.format.open_memmap(partial / _SQUARES, mode="w+", dtype=np.uint8, shape=shape)
        boxes: list[Boxes] = []
        for pixels, found in _composed(composer, count, side):
            squares[len(boxes)] = pixels
            boxes.append(found)
        squares.flush()
        del squares
        starts = np.cumsum([0, *map(len, boxes)])
        np.savez(partial / _BOXES, boxes=np.concatenate(boxes), starts=starts)
        partial.rename(folder)


def _composed(composer: Composes, count: int, side: int) -> Iterator[tuple[Square, Boxes]]:
    def one(number: int) -> tuple[Square, Boxes]:
        composite = composer.composite(number)
        fitted = Fitted.of(composite.picture, side)
        extent = np.array(composite.picture.size * 2, dtype=np.float32)
        boxes = fitted.within(np.asarray(composite.boxes, np.float32).reshape(-1, 4) / extent)
        return fitted.pixels, boxes

    numbers = iter(range(count))
    with (
        ThreadPoolExecutor() as pool,
        tqdm(total=count, desc="composing", unit="picture", disable=None, leave=False) as bar,
    ):
        while block := list(islice(numbers, _AT_ONCE)):
            yield from pool.map(one, block)
            bar.update(len(block))


@dataclass(frozen=True, slots=True, eq=False)
class DetectionBatch:
    """What a step is shown.

    Attributes:
        squares: `(n, side, side, 3) uint8`.
        truth: of each, `(k, 4) float32` in pixels.
    """

    squares: Tensor
    truth: list[Tensor]


class SquareBatches:
    """The batches of every epoch: each composite once, in an order and with changes that follow from the seed."""

    def __init__(self, table: SquareTable, batch_size: int, alike: AlikeConfig, seed: int) -> None:
        self._table = table
        self._size = min(batch_size, len(table))
        self._alike = alike
        self._seed = seed
        self.steps = len(table) // self._size

    def batch(self, epoch: int, step: int) -> DetectionBatch:
        """Return the batch of a step; what is left of an epoch's order fills no batch and is not shown."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._table))
        rows = order[step * self._size : (step + 1) * self._size]
        rng = np.random.default_rng([self._seed, epoch, step])
        squares = [np.array(self._table.squares[row]) for row in rows]
        truth = [self._table.boxes[row].copy() for row in rows]
        for n in range(len(rows)):
            if rng.random() < self._alike.mirror:
                squares[n], truth[n] = mirrored(squares[n], truth[n])
            squares[n] = lit(squares[n], rng.uniform(-1, 1, 2) * self._alike.light)
        return DetectionBatch(torch.from_numpy(np.stack(squares)), [torch.from_numpy(boxes) for boxes in truth])


def mirrored(square: Square, boxes: Boxes) -> tuple[Square, Boxes]:
    """Return the square and its boxes with left and right exchanged."""
    side = square.shape[1]
    turned = boxes.copy()
    turned[:, 0], turned[:, 2] = side - boxes[:, 2], side - boxes[:, 0]
    return np.ascontiguousarray(square[:, ::-1]), turned


def lit(square: Square, change: NDArray[np.float64]) -> Square:
    """Return the square in another light: contrast times 1 + change[0], brightness plus change[1] of the range."""
    levels = (np.arange(256) - 127.5) * (1 + change[0]) + 127.5 + 255 * change[1]
    table: Square = levels.clip(0, 255).round().astype(np.uint8)
    return np.take(table, square)
