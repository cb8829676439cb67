"""Where products may lie in a composite, and what is seen of each.

Positions are tried until one keeps every rule: boxes of visible pixels overlap by an IoU of at most so much, and no
product, the new one or an earlier one, has more than a share of itself hidden or out of the picture.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

VISIBLE: Final = 64
"""Opacity of 0..255 from which a pixel shows the product: thin straps and threads belong to it."""
_NOBODY = -1

Box = tuple[int, int, int, int]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a composite has to keep.

    Attributes:
        max_iou: of the boxes of any two products.
        most_hidden: share of a product's pixels that are covered or out of the picture.
    """

    max_iou: float
    most_hidden: float


class Ground:
    """The pixels of a composite, and which product is on top at each."""

    def __init__(self, width: int, height: int, rules: Rules) -> None:
        self._owner = np.full((height, width), _NOBODY, dtype=np.int8)
        self._rules = rules
        self._pixels: list[int] = []
        self._boxes: list[Box] = []

    def __len__(self) -> int:
        return len(self._boxes)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Left, top, right, bottom of what is visible of each product, right and bottom exclusive."""
        return tuple(self._boxes)

    def free(self, boxes: NDArray[np.int64], max_iou: float) -> NDArray[np.bool_]:
        """Return which `boxes` `(n, 4)` overlap no product's box by an IoU of more than `max_iou`, `(n,)`."""
        if not self._boxes:
            return np.ones(len(boxes), dtype=bool)
        return np.asarray((ious(boxes, np.array(self._boxes)) <= max_iou).all(axis=1))

    def put(self, mask: Mask, left: int, top: int) -> bool:
        """Lay a product whose visible pixels are `mask` at `left`, `top`; return whether the rules allowed it."""
        height, width = self._owner.shape
        rows, columns = (
            slice(max(0, top), min(height, top + mask.shape[0])),
            slice(max(0, left), min(width, left + mask.shape[1])),
        )
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return False
        shown = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        pixels, under = int(mask.sum()), self._owner[rows, columns]
        if shown.sum() < max(1, (1 - self._rules.most_hidden) * pixels):
            return False
        before = under.copy()
        covered = np.unique(under[shown])
        under[shown] = len(self._boxes)
        boxes = self._seen(covered[covered != _NOBODY])
        if boxes is None:
            under[...] = before
            return False
        self._boxes, self._pixels = boxes, [*self._pixels, pixels]
        return True

    def _seen(self, covered: NDArray[np.int8]) -> list[Box] | None:
        """Return the boxes of all products with the new one on top, or None where a rule is broken."""
        boxes = [*self._boxes, self._box(len(self._boxes))]
        for number in covered:
            left = int((self._owner == number).sum())
            if left < max(1, (1 - self._rules.most_hidden) * self._pixels[number]):
                return None
            boxes[number] = self._box(int(number))
        found = ious(np.array(boxes), np.array(boxes))
        np.fill_diagonal(found, 0)
        return boxes if found.max() <= self._rules.max_iou else None

    def _box(self, number: int) -> Box:
        own = self._owner == number
        rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def ious(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the IoU of every box of `a` `(n, 4)` with every one of `b` `(m, 4)`, `(n, m)`."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = (high - low).clip(min=0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    return np.asarray(both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1))
