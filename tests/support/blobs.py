"""A real detector without weights: every connected region that is not as light as paper is a product.

Nothing is learnt and nothing is canned: it obeys the `Detector` protocol, and finds what tests paste onto white.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.capture.regions import Detection

_SIDE = 96  # pixels of the longer side that are looked at
_NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))


class BlobDetector:
    """Finds regions darker than `paper`; the larger, the surer: confidence is 1/2 and half of the share of the sides.

    Regions of less than `least_share` of the picture are dust. `calls` counts the pictures that were looked at.
    """

    def __init__(self, paper: int = 235, least_share: float = 0.002) -> None:
        self._paper = paper
        self._least_share = least_share
        self.calls = 0

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"blobs {self._paper} {self._least_share}".encode()).hexdigest()

    def detect(self, pictures: Sequence[Image.Image]) -> list[list[Detection]]:
        self.calls += len(pictures)
        return [self._detect(picture) for picture in pictures]

    def _detect(self, picture: Image.Image) -> list[Detection]:
        small = picture.convert("RGB")
        small.thumbnail((_SIDE, _SIDE))
        ink = np.asarray(small).min(axis=2) < self._paper
        found = []
        while ink.any():
            ys, xs = _take_region(ink)
            if len(ys) >= self._least_share * ink.size:
                found.append(_detection(ys, xs, ink.shape))
        return sorted(found, key=lambda one: -one.confidence)


def _take_region(ink: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of one connected region, which is taken out of `ink`."""
    first = np.unravel_index(int(np.argmax(ink)), ink.shape)
    waiting, taken = [(int(first[0]), int(first[1]))], []
    ink[first] = False
    while waiting:
        y, x = waiting.pop()
        taken.append((y, x))
        for dy, dx in _NEIGHBOURS:
            at = (y + dy, x + dx)
            if 0 <= at[0] < ink.shape[0] and 0 <= at[1] < ink.shape[1] and ink[at]:
                ink[at] = False
                waiting.append(at)
    ys, xs = np.array(taken).T
    return ys, xs


def _detection(ys: NDArray[np.int64], xs: NDArray[np.int64], shape: tuple[int, int]) -> Detection:
    height, width = shape
    box = (xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height)
    share = (box[2] - box[0]) * (box[3] - box[1])
    return Detection((float(box[0]), float(box[1]), float(box[2]), float(box[3])), 0.5 + float(share) / 2)
