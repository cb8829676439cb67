"""The detector that comes with the package, on photos of a shop it was not trained on."""

from pathlib import Path

import numpy as np
import pytest

import models
from demo.scenes import scene
from models.capture.detecting import Detector, load_detector
from models.metrics import PictureBoxes, detection_average_precision

FOLDER = Path(models.__file__).parent / "weights" / "mini-instances" / "detector"
SHOP = 12345
"""Seed of a shop that nothing else is made of."""


@pytest.fixture(scope="module")
def detector():
    return load_detector(FOLDER)


def test_it_finds_the_products_in_photos_of_another_shop(detector):
    scenes = [scene(SHOP, number, 300) for number in range(8)]
    found = []
    for one, boxes in zip(scenes, detector.detect([one.picture for one in scenes]), strict=True):
        fractions = np.array([d.box for d in boxes]).reshape(-1, 4)
        pixels = fractions * np.array(one.picture.size * 2)
        found.append(PictureBoxes(pixels, [d.confidence for d in boxes], one.boxes))
    assert detection_average_precision(found) > 0.85


def test_it_says_what_it_is(detector):
    assert isinstance(detector, Detector)
    card = detector.card
    assert card.licence == "Apache-2.0"
    assert "train-detector" in card.training.command
    assert card.metrics["val_ap50"] > 0.8
    assert card.metrics["val_calibration_error"] < 0.05
    assert (FOLDER / "model.safetensors").stat().st_size < 3_000_000
