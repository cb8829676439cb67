"""The figures of a measurement, and the ranks they were taken from: as values, in files, and back.

An `Evaluation` is what a person reads; the ranks beside it are what two systems are compared by, query by
query, in `models.compare`. Producing ranks is left to `models.evaluate`.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from models.metrics import Values, bootstrap_interval
from models.protocols import SAMPLE_SEED, Candidates, Protocol

DEPTHS = (1, 5, 10)

LevelName = Literal["pair", "product", "text"]
Ranks = Mapping[str, Values]
"""`LEVEL/DIRECTION` -> the 1-based rank of each query, in catalogue order."""


class MeasurementError(ValueError):
    """Files that hold no measurement, or not the one they should."""


class Estimate(BaseModel):
    """A mean over queries with its 95% bootstrap interval, in 0..1."""

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: NDArray[np.bool_]) -> "Estimate":
        """Return the share of `hits (n,)` and its interval."""
        interval = bootstrap_interval(hits.astype(np.float64), seed=SAMPLE_SEED)
        return cls(mean=interval.mean, low=interval.low, high=interval.high)


class Direction(BaseModel):
    """R@K of one direction, and the middle of the ranks (from 1)."""

    model_config = ConfigDict(frozen=True)

    r1: Estimate
    r5: Estimate
    r10: Estimate
    median_rank: float

    @classmethod
    def of(cls, ranks: Values) -> "Direction":
        """Return the figures of `ranks (n,)`."""
        r1, r5, r10 = (Estimate.of(ranks <= k) for k in DEPTHS)
        return cls(r1=r1, r5=r5, r10=r10, median_rank=float(np.median(ranks)))


class Level(BaseModel):
    """Both directions, and the sum of their six recalls in percent (at most 600)."""

    model_config = ConfigDict(frozen=True)

    text_to_image: Direction
    image_to_text: Direction
    sum_r: float

    @classmethod
    def of(cls, ranks: Ranks, name: LevelName) -> "Level":
        """Return the figures of the level `name` of `ranks`."""
        to_image, to_text = (Direction.of(ranks[f"{name}/{way}"]) for way in ("text_to_image", "image_to_text"))
        means = [e.mean for way in (to_image, to_text) for e in (way.r1, way.r5, way.r10)]
        return cls(text_to_image=to_image, image_to_text=to_text, sum_r=100 * sum(means))


class Agreement(BaseModel):
    """How the entities linked from the texts of one group compare with the stated ones.

    Attributes:
        stated: products that state a value of the group.
        linked: products whose text was linked to a value of it.
        agreed: products where the two are the same value.
        precision: agreed of linked; 0 where nothing was linked.
        recall: agreed of stated; 0 where nothing is stated.
    """

    model_config = ConfigDict(frozen=True)

    stated: int
    linked: int
    agreed: int
    precision: float
    recall: float


class Evaluation(BaseModel):
    """The figures of one encoder on one split, and what they were measured on.

    Attributes:
        encoder: name of the encoder.
        fingerprint: of the encoder.
        catalogue: name of the catalogue.
        data: digest of the products and pictures read.
        split: of the catalogue.
        candidates: the protocol's.
        protocol: all of it, enough to measure again.
        candidates_mean: how many candidates a query had on average, its own among them.
        text_fields: what a text was made of.
        entities: the groups given with each text.
        linking: how linked entities compare with stated ones, by group; None unless they were linked.
        products: how many were measured.
        pictures: how many pictures they have.
        indistinct: products whose text and given entities another product shares; no encoder can tell them apart.
        seed: of the sampled candidates and of the intervals.
        pair: only the pair's own picture counts.
        product: any picture of the product counts.
        text: any picture of a product with the same text and given entities counts.
    """

    model_config = ConfigDict(frozen=True)

    encoder: str
    fingerprint: str
    catalogue: str
    data: str
    split: str
    candidates: Candidates
    protocol: Protocol
    candidates_mean: float
    text_fields: tuple[str, ...]
    entities: tuple[str, ...]
    linking: dict[str, Agreement] | None
    products: int
    pictures: int
    indistinct: int
    seed: int
    pair: Level
    product: Level
    text: Level


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of a measurement and the ranks behind them.

    Attributes:
        evaluation: the figures.
        ranks: `pair|product|text / text_to_image|image_to_text` -> rank of each query, in catalogue order.
    """

    evaluation: Evaluation
    ranks: Ranks

    def save(self, folder: Path, stem: str) -> None:
        """Write `STEM.npz` (the ranks), then `STEM.json` (the figures), into `folder`, which is made if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{stem}.npz").open("wb") as file:
            np.savez_compressed(file, **self.ranks)  # type: ignore[arg-type]  # keys are no flags
        (folder / f"{stem}.json").write_text(self.evaluation.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, stem: str) -> "Measurement":
        """Read what `save` wrote.

        Raises:
            MeasurementError: a file is missing or holds something else.
        """
        figures = folder / f"{stem}.json"
        try:
            evaluation = Evaluation.model_validate_json(figures.read_bytes())
        except OSError as error:
            raise MeasurementError(f"cannot read {figures}: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise MeasurementError(f"{figures} is no measurement: {where}: {first['msg']}") from error
        return cls(evaluation, load_ranks(folder / f"{stem}.npz"))


def load_ranks(path: Path) -> dict[str, Values]:
    """Read the ranks that `Measurement.save` wrote.

    Raises:
        MeasurementError: the file is missing or holds something else.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {key: np.asarray(stored[key], dtype=np.float64) for key in stored.files}
    except OSError as error:
        raise MeasurementError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise MeasurementError(f"{path} holds no ranks") from error
