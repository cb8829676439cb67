"""Products of a picture as vectors: detected, cut out, encoded, and led to where their catalogue pictures lie.

The one definition for serving and for measuring. When to look and how long to wait is the caller's business.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL.Image import Image

from models.capture.detecting import Detector, load_detector
from models.capture.head import InstanceHead, load_head
from models.capture.regions import MARGIN, Detection, cut_region
from models.checkpoint import CheckpointError
from models.encoder import Encoder, Vectors

BUNDLED: Final = Path(__file__).parents[1] / "weights" / "mini-instances"
"""Detector and head that come with the package."""
DETECTOR: Final = "detector"
HEAD: Final = "head"

LEAST_CONFIDENCE: Final = 0.5
"""Of what is taken for a product: rather one than none."""
MOST: Final = 8
"""Products of one picture, the surest."""
FILLS: Final = 0.6
"""Of a picture's width or height: a product that reaches so far is what the picture shows."""
WITHIN: Final = 0.8
"""Of a box's area within another: the smaller is a part of it."""
SIZEABLE: Final = 0.35
"""Of the largest box's area: what is smaller may be an ornament."""
APART: Final = 0.1
"""Of a box's area within another, at most: the two are not parts of one product."""
_ENOUGH_PX: Final = 640  # of a region's side: encoders read less


@dataclass(frozen=True, slots=True)
class Region:
    """A product that was found, and its picture cut out as encoders want it."""

    detection: Detection
    picture: Image


@dataclass(frozen=True, slots=True)
class Instance:
    """A product that was found, and the vector `(d,) float32`, of unit length, that stands for it."""

    detection: Detection
    vector: Vectors


class InstanceFinder:
    """Finds the products in pictures. Safe to call from threads, as its parts are.

    Args:
        detector: Finds boxes.
        head: Leads vectors of regions to those of catalogue pictures; None, or one for another encoder: they stay.
        encoder: Turns regions into vectors.
        least_confidence: Of a product, 0..1.
        most: Products of one picture.
    """

    def __init__(
        self,
        detector: Detector,
        head: InstanceHead | None,
        encoder: Encoder,
        *,
        least_confidence: float = LEAST_CONFIDENCE,
        most: int = MOST,
    ) -> None:
        self._detector = detector
        self.head = head if head is not None and head.encoder == encoder.fingerprint else None
        self._encoder = encoder
        self._least = least_confidence
        self._most = most

    @property
    def fingerprint(self) -> str:
        """Digest of all that an answer depends on, 64 hex digits: equal fingerprints find the same."""
        head = "" if self.head is None else self.head.fingerprint
        parts = (self._detector.fingerprint, head, self._encoder.fingerprint)
        rules = (self._least, self._most, FILLS, WITHIN, MARGIN, _ENOUGH_PX)
        return hashlib.sha256(repr((parts, rules)).encode()).hexdigest()

    def detect(self, pictures: Sequence[Image]) -> list[list[Detection]]:
        """Return the products of each of the RGB `pictures`, the surest first."""
        return [
            [one for one in found if one.confidence >= self._least][: self._most]
            for found in self._detector.detect(pictures)
        ]

    def regions(self, pictures: Sequence[Image]) -> list[list[Region]]:
        """Return the products of each picture, cut out, the surest first."""
        return [
            [Region(one, _light(cut_region(picture, one.box))) for one in found]
            for picture, found in zip(pictures, self.detect(pictures), strict=True)
        ]

    def lead(self, vectors: Vectors) -> Vectors:
        """Return the vectors `(n, d) float32` of regions, led to where their catalogue pictures lie."""
        return vectors if self.head is None or not len(vectors) else self.head.apply(vectors)

    def find(self, pictures: Sequence[Image]) -> list[list[Instance]]:
        """Return the products of each picture with their vectors, the surest first."""
        found = self.regions(pictures)
        cut = [region.picture for regions in found for region in regions]
        vectors = self._encoder.encode_images(cut) if cut else np.zeros((0, self._encoder.dim), np.float32)
        led = iter(self.lead(vectors))
        return [[Instance(region.detection, next(led)) for region in regions] for regions in found]


def shows_one(detections: Sequence[Detection]) -> bool:
    """Return whether a picture is better searched for as a whole, by the boxes of what was found in it.

    That is so where nothing was found, or one product fills the picture: its box reaches over `FILLS` of the width or
    of the height, and of every other box `WITHIN` lies in it, as a buckle does in a shoe's.
    """
    if not detections:
        return True
    largest = max(detections, key=lambda one: _area(one.box))
    left, top, right, bottom = largest.box
    reaches = max(right - left, bottom - top) >= FILLS
    return reaches and all(_share_within(one.box, largest.box) >= WITHIN for one in detections)


def _light(region: Image) -> Image:
    """Return a region, made a whole number of times smaller if it is far larger than encoders read.

    Those of one large photo would take gigabytes while they wait.
    """
    times = max(region.size) // _ENOUGH_PX
    return region.reduce(times) if times > 1 else region


def shows_several(detections: Sequence[Detection]) -> bool:
    """Return whether a picture surely shows several products: a sizeable box stands apart from the largest."""
    ordered = sorted((one.box for one in detections), key=_area, reverse=True)
    return any(
        _area(box) >= SIZEABLE * _area(ordered[0]) and _share_within(box, ordered[0]) <= APART for box in ordered[1:]
    )


Box = tuple[float, float, float, float]


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _share_within(box: Box, other: Box) -> float:
    """Return how much of a box lies within another, 0..1."""
    common = (max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3]))
    return _area(common) / _area(box)


def open_finder(
    folder: Path, encoder: Encoder, *, least_confidence: float = LEAST_CONFIDENCE, most: int = MOST
) -> InstanceFinder:
    """Return the finder that a folder holds: `detector/`, and `head/` where there is one.

    Raises:
        CheckpointError: one of them cannot be read, or there is no detector.
    """
    if not (folder / DETECTOR).is_dir():
        msg = f"{folder}: holds no {DETECTOR}/"
        raise CheckpointError(msg)
    head = load_head(folder / HEAD) if (folder / HEAD).is_dir() else None
    detector = load_detector(folder / DETECTOR)
    return InstanceFinder(detector, head, encoder, least_confidence=least_confidence, most=most)
