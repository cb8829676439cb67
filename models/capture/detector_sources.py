"""The composites a detector is trained on and measured with: of several shapes, some of one product alone."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.capture.composites import Composer, Composite
from models.capture.cutouts import Cutouts
from models.capture.detector_config import DetectorConfig
from models.capture.detector_data import SquareTable, square_table
from models.capture.detector_training import DetectorData
from models.checkpoint import DataCard
from models.train.pixels import user_cache_dir

_ALONE: Final = 77  # keeps the draw of who is alone apart from what a composer draws of the same seed and number


@dataclass(frozen=True, slots=True)
class CutoutFiles:
    """Files of cut-outs.

    Attributes:
        train: its split train is trained on.
        val: its split val is measured with; may be the same file.
    """

    train: Path
    val: Path


class VariedComposer:
    """Makes composites of `cutouts` by number, in shapes that take turns."""

    def __init__(self, cutouts: Cutouts, config: DetectorConfig) -> None:
        data, seed = config.data, config.run.seed
        designs = [
            config.composites.model_copy(update={"width": width, "height": height}) for width, height in data.shapes
        ]
        one = {"least": 1, "most": 1, "scales": data.alone_scales}
        self._several = [Composer(cutouts, design, seed) for design in designs]
        self._alone = [Composer(cutouts, design.model_copy(update=one), seed) for design in designs]
        self._seed, self._share = seed, data.alone

    def composite(self, number: int) -> Composite:
        """Return composite `number`, from 0."""
        alone = np.random.default_rng([self._seed, number, _ALONE]).random() < self._share
        return (self._alone if alone else self._several)[number % len(self._several)].composite(number)


def detector_data(config: DetectorConfig, files: CutoutFiles) -> DetectorData:
    """Return the composites of `config`, made where they are not yet.

    Raises:
        CutoutsError: a file cannot be read, or lacks its split.
    """
    cutouts = {"train": Cutouts.open(files.train).of_split("train"), "val": Cutouts.open(files.val).of_split("val")}
    digests = {"train": _digest(files.train), "val": _digest(files.val)}
    made = config.model_dump(mode="json", include={"composites": True, "data": {"shapes", "alone", "alone_scales"}})

    def table(split: str, count: int) -> SquareTable:
        return square_table(
            VariedComposer(cutouts[split], config),
            count,
            config.design.side,
            said={"cutouts": digests[split], "split": split, "seed": config.run.seed, **made},
            cache_dir=config.data.cache_dir or user_cache_dir(),
        )

    card = DataCard(
        name=files.train.stem,
        fingerprint=hashlib.sha256(f"{digests['train']}{digests['val']}".encode()).hexdigest(),
        products={split: len(set(found.groups.tolist())) for split, found in cutouts.items()},
        licence=config.data.licence,
    )
    return DetectorData(table("train", config.data.train), table("val", config.data.val), card)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
