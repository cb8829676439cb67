"""Backgrounds for collages: those of composites, by number."""

from pathlib import Path

import numpy as np
from PIL.Image import Image

from models.capture.backgrounds import BackgroundMix, Backgrounds
from models.capture.collages import Background
from models.capture.cutouts import Cutouts


def backgrounds(cutouts: Path, seed: int) -> Background:
    """Return what draws background `number`, the same for the same seed.

    Args:
        cutouts: the file that lends surroundings of photos and patches of products.
        seed: of all of them.

    Raises:
        CutoutsError: the file cannot be read.
    """
    drawer = Backgrounds(Cutouts.open(cutouts), BackgroundMix())

    def draw(number: int, size: tuple[int, int]) -> Image:
        return drawer.draw(np.random.default_rng([seed, number]), size)

    return draw
