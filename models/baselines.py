"""What pairwise sub-dimensions must beat, on the same vectors: cosine, one class against the rest, nearest mean.

Each has `scores(vectors)`, the highest of which wins; `models.tournaments.decide` decides. A class without a prototype
or samples scores -inf. Logistic regression is in `models.logistic`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from models.class_statistics import ClassStatistics
from models.prototypes import mean_prototypes
from models.subdimensions import CutOff, Mask, one_vs_rest_subdimensions
from models.vector_blocks import Rows, Vectors, blocks, check_vectors, cosine_blocks, unit_blocks


class Scorer(Protocol):
    """Scores items for every class, from their vectors alone."""

    def scores(self, vectors: Vectors) -> Rows:
        """Return `(n, C) float32` for `vectors (n, d)`, the higher the likelier; -inf for what cannot be.

        Raises:
            ValueError: a value is NaN or infinite (the message names the row), or d differs.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CosineScorer:
    """Cosine with every prototype on all dimensions: zero-shot with prompts, nearest class mean with means.

    Attributes:
        prototypes: `(C, d) float32`; a row of zeros for none.
        centre: `(d,)`, subtracted from the items; none when None.
    """

    prototypes: Rows
    centre: Rows | None = None

    def scores(self, vectors: Vectors) -> Rows:
        """See `Scorer`; in -1..1."""
        return stacked(len(vectors), len(self.prototypes), cosine_blocks(vectors, self.prototypes, self.centre))


@dataclass(frozen=True, slots=True, eq=False)
class OneVsRestScorer:
    """Cosine with every prototype on the dimensions that tell its class from all others together.

    Attributes:
        prototypes: `(C, d) float32`; a row of zeros for none.
        masks: `(C, d)`, the dimensions of each class.
        centre: `(d,)`, subtracted from the items; none when None.
    """

    prototypes: Rows
    masks: Mask
    centre: Rows | None = None

    @classmethod
    def fit(
        cls,
        statistics: ClassStatistics,
        prototypes: Rows | None = None,
        centre: Rows | None = None,
        cutoff: CutOff | None = None,
    ) -> Self:
        """Choose the dimensions by cross-variance, as the article's `pairwise=False`.

        Args:
            statistics: of the samples to fit on.
            prototypes: as for `CosineScorer`; class means about `centre` when None.
            centre: of the samples.
            cutoff: of the dimensions' scores.
        """
        given = mean_prototypes(statistics, centre) if prototypes is None else prototypes
        return cls(given, one_vs_rest_subdimensions(statistics, cutoff), centre)

    def scores(self, vectors: Vectors) -> Rows:
        """See `Scorer`; in -1..1, 0 for an item that is 0 on a class's dimensions."""
        cut = self.prototypes * self.masks
        lengths = np.linalg.norm(cut, axis=1)
        there = lengths > 0
        unit = cut / np.where(there, lengths, 1)[:, np.newaxis]
        masks = self.masks.astype(np.float32)

        def parts() -> Iterator[tuple[slice, Rows]]:
            for where, block in unit_blocks(vectors, self.centre):
                own = np.sqrt(np.maximum(block**2 @ masks.T, np.float32(1e-30)))
                yield where, np.where(there, block @ unit.T / own, np.float32(-np.inf))

        return stacked(len(vectors), len(self.prototypes), parts())


@dataclass(frozen=True, slots=True, eq=False)
class NearestMeanScorer:
    """The class whose mean is nearest in Euclidean distance, the mean not scaled to unit length.

    Attributes:
        means: `(C, d) float32`.
        there: `(C,)`, whether a class had samples.
    """

    means: Rows
    there: NDArray[np.bool_]

    @classmethod
    def fit(cls, statistics: ClassStatistics) -> Self:
        """Take the means of `statistics`."""
        return cls(statistics.means.astype(np.float32), statistics.counts > 0)

    def scores(self, vectors: Vectors) -> Rows:
        """See `Scorer`; minus the squared distance."""
        check_vectors(vectors, self.means.shape[1])
        # About their own mean the vectors are short, and little cancels in |x|^2 - 2 x.m + |m|^2.
        middle = self.means[self.there].mean(axis=0) if self.there.any() else np.float32(0)
        means = self.means - middle
        squares = np.einsum("ij,ij->i", means, means)

        def parts() -> Iterator[tuple[slice, Rows]]:
            for where, block in blocks(vectors):
                about = block.astype(np.float32) - middle
                own = np.einsum("ij,ij->i", about, about)[:, np.newaxis]
                yield where, np.where(self.there, 2 * (about @ means.T) - squares - own, np.float32(-np.inf))

        return stacked(len(vectors), len(self.means), parts())


def stacked(n: int, classes: int, parts: Iterator[tuple[slice, Rows]]) -> Rows:
    """Return `(n, classes) float32` of blocks of scores and where they belong."""
    scores = np.empty((n, classes), np.float32)
    for where, block in parts:
        scores[where] = block
    return scores
