"""Measures of boxes: how well they overlap, which box found which product, and average precision.

Average precision is COCO's: detections of all pictures in order of confidence, each matched in its own picture to the
best box nobody surer has taken, precision made monotone and read at 101 recalls (0, .01, ..., 1). AP50 is that with an
overlap of at least .5. Finding boxes is left to detectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.intervals import Interval
from models.metrics.ranked import Values

NO_BOX: Final = -1
_RECALLS: Final = np.linspace(0, 1, 101)


def overlaps(a: ArrayLike, b: ArrayLike) -> Values:
    """Return the intersection over union of boxes `a (n, 4)` and `b (m, 4)`, `(n, m)` in 0..1.

    Boxes are left, top, right, bottom in any one unit; one without area overlaps nothing.

    Raises:
        ValueError: a shape is another, or a value is not finite.
    """
    one, other = _checked(a), _checked(b)
    least = np.maximum(one[:, None, :2], other[None, :, :2])
    most = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both: Values = np.clip(most - least, 0, None).prod(axis=2)
    whole = _area(one)[:, None] + _area(other)[None, :] - both
    share: Values = np.divide(both, whole, out=np.zeros_like(both), where=whole > 0)
    return share


def _checked(boxes: ArrayLike) -> Values:
    b = np.asarray(boxes, dtype=np.float64)
    if not b.size:
        return np.empty((0, 4))
    if b.ndim != 2 or b.shape[1] != 4 or not np.isfinite(b).all():
        msg = f"boxes must be (n, 4) and finite, not {b.shape}"
        raise ValueError(msg)
    return b


def _area(boxes: Values) -> Values:
    return np.asarray(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1), dtype=np.float64)


def match_boxes(found: ArrayLike, confidences: ArrayLike, true: ArrayLike, least: float = 0.5) -> NDArray[np.int64]:
    """Return for each `found (n, 4)` box the row of the `true (m, 4)` box that it found, or -1, `(n,)`.

    Surest first (of equals the first), each takes the box it overlaps most of those not taken yet, by at least `least`.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    sure = np.asarray(confidences, dtype=np.float64)
    over = overlaps(found, true)
    if sure.shape != (len(over),) or not np.isfinite(sure).all():
        msg = f"confidences must be ({len(over)},) and finite, not {sure.shape}"
        raise ValueError(msg)
    rows = np.full(len(over), NO_BOX, dtype=np.int64)
    if not over.size:
        return rows
    for row in np.argsort(-sure, kind="stable"):
        best = int(over[row].argmax())
        if over[row, best] >= least:
            rows[row] = best
            over[:, best] = -1.0
    return rows


@dataclass(frozen=True, slots=True)
class PictureBoxes:
    """What was found in one picture, and what is there.

    Attributes:
        found: `(n, 4)` boxes: left, top, right, bottom.
        confidences: `(n,)`, higher is surer; comparable between pictures.
        true: `(m, 4)` boxes in the same unit.
    """

    found: ArrayLike
    confidences: ArrayLike
    true: ArrayLike


@dataclass(frozen=True, slots=True)
class _Sorted:
    """All detections, surest first: the picture of each, whether it is right; and the products of each picture."""

    picture: NDArray[np.int64]
    right: NDArray[np.bool_]
    products: NDArray[np.int64]

    def precision(self, times: NDArray[np.int64]) -> float:
        """Return the average precision, 0..1, where picture `p` counts `times[p]` times."""
        weights = times[self.picture]
        products = int((self.products * times).sum())
        right = (weights * self.right).cumsum()
        all_found = weights.cumsum()
        if not products or not len(right):
            return 0.0
        precision = right / np.maximum(1, all_found)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(right / products, _RECALLS, side="left")
        return float(np.where(at < len(precision), precision[np.minimum(at, len(precision) - 1)], 0.0).mean())


def _sorted(pictures: Sequence[PictureBoxes], least: float) -> _Sorted:
    sure = [np.asarray(one.confidences, dtype=np.float64).reshape(-1) for one in pictures]
    rows = [match_boxes(one.found, one.confidences, one.true, least) for one in pictures]
    number = np.repeat(np.arange(len(pictures)), [len(found) for found in rows])
    order = np.argsort(-np.concatenate([np.empty(0), *sure]), kind="stable")
    right = np.concatenate([np.empty(0, np.int64), *rows]) != NO_BOX
    return _Sorted(number[order], right[order], np.array([len(_checked(one.true)) for one in pictures], np.int64))


def detection_average_precision(pictures: Sequence[PictureBoxes], least: float = 0.5) -> float:
    """Return COCO's average precision at an overlap of `least`, 0..1; without any product to find, 0.

    Raises:
        ValueError: as `match_boxes`.
    """
    return _sorted(pictures, least).precision(np.ones(len(pictures), np.int64))


def detection_interval(
    pictures: Sequence[PictureBoxes],
    least: float = 0.5,
    seed: int = 0,
    *,
    confidence: float = 0.95,
    resamples: int = 500,
) -> Interval:
    """Return the average precision and its bootstrap percentile interval over resampled pictures.

    Raises:
        ValueError: as `match_boxes`, there is no picture, or a parameter is out of range.
    """
    if not pictures or resamples < 1 or not 0 < confidence < 1:
        msg = f"needed: pictures, resamples, confidence in (0, 1); not {len(pictures)}, {resamples}, {confidence}"
        raise ValueError(msg)
    found, rng, n = _sorted(pictures, least), np.random.default_rng(seed), len(pictures)
    draws = [found.precision(np.bincount(rng.integers(n, size=n), minlength=n)) for _ in range(resamples)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return Interval(found.precision(np.ones(n, np.int64)), float(low), float(high))
