"""What surrounds the product of a photo: a plain backdrop, read from the photo's own edges.

A plain backdrop may fade from side to side. Colours are CIE Lab, in which distances of about 2 are just visible.
Telling the product from it is left to `models.capture.cutting`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Lab = NDArray[np.float32]

BAND: Final = 0.04
"""Width of the edges that are read, as a share of the photo's longer side."""
ALIKE: Final = 8.0
"""Colours at most so far from the backdrop are taken for it."""
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Backdrop:
    """The backdrop of a photo.

    Attributes:
        colours: `(h, w, 3) float32` Lab, as if the product were not there.
        share: of the photo's edges that look like it, 0..1.
        noise: distance that nine tenths of those edges stay within.
    """

    colours: Lab
    share: float
    noise: float


def read_backdrop(lab: Lab) -> Backdrop:
    """Return the backdrop of `lab` `(h, w, 3) float32`: the even fade that most of its edges follow.

    A plane is laid through the colours of the edges; then again through those near it, so that what reaches into
    the edges does not tilt it.
    """
    height, width, _ = lab.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    at = np.stack([np.ones_like(x), x / width - 0.5, y / height - 0.5], axis=-1)  # (h, w, 3)
    edges = edge_band(height, width)
    where, seen = at[edges], lab[edges]
    plane = np.zeros((3, 3), dtype=np.float32)
    plane[0] = np.median(seen, axis=0)
    residual = np.linalg.norm(seen - plane[0], axis=1)
    kept = residual < 3 * ALIKE
    for _ in range(_ROUNDS):
        if kept.mean() < 0.2:
            break
        plane = np.linalg.lstsq(where[kept], seen[kept], rcond=None)[0].astype(np.float32)
        residual = np.linalg.norm(seen - where @ plane, axis=1)
        kept = residual < ALIKE
    noise = float(np.quantile(residual[kept], 0.9)) if kept.any() else ALIKE
    return Backdrop(at @ plane, float(kept.mean()), noise)


def edge_band(height: int, width: int) -> NDArray[np.bool_]:
    """Return which pixels of a photo are its edges, `(h, w) bool`."""
    band = max(1, round(BAND * max(height, width)))
    inner = np.ones((height, width), dtype=bool)
    inner[band : height - band, band : width - band] = False
    return inner
