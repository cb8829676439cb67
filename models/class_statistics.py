"""Count, mean and variance of every class in every dimension, from labelled vectors or streamed.

Statistics of parts add up to the statistics of the whole, so a catalogue of any size is read once, a block at a
time. Everything is float64: a variance is a small difference. What the numbers are for is left to
`models.subdimensions`.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.vector_blocks import NO_CLASS, Labels, Vectors, blocks, check_labels, check_vectors

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ClassStatistics:
    """Population statistics of C classes in d dimensions; `a + b` are those of both together.

    Attributes:
        counts: `(C,) int64`, samples of each class.
        means: `(C, d) float64`; 0 where a class is empty.
        variances: `(C, d) float64`, divided by the count; 0 where a class has fewer than two samples.
    """

    counts: NDArray[np.int64]
    means: Values
    variances: Values

    def __post_init__(self) -> None:
        if (
            self.means.ndim != 2
            or self.means.shape != self.variances.shape
            or self.counts.shape != self.means.shape[:1]
        ):
            shapes = f"{self.counts.shape}, {self.means.shape}, {self.variances.shape}"
            msg = f"counts, means and variances must be (C,), (C, d) and (C, d), not {shapes}"
            raise ValueError(msg)
        if (self.counts < 0).any() or not np.isfinite(self.means).all() or not (self.variances >= 0).all():
            msg = "counts and variances must not be negative, means must be finite"
            raise ValueError(msg)

    def __add__(self, other: Self) -> Self:
        """Return the statistics of the samples of both (Chan, Golub and LeVeque 1983, eq. 2.1)."""
        if self.means.shape != other.means.shape:
            msg = f"statistics of {self.means.shape} and {other.means.shape} classes and dimensions do not add up"
            raise ValueError(msg)
        counts = self.counts + other.counts
        share = np.divide(other.counts, counts, out=np.zeros(len(counts)), where=counts > 0)[:, np.newaxis]
        apart = other.means - self.means
        within = self.variances * (1 - share) + other.variances * share
        return type(self)(counts, self.means + apart * share, within + apart**2 * share * (1 - share))

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def pooled_variances(self) -> Values:
        """Mean variance within a class, `(d,)`, each class weighted by its count; 0 without samples."""
        weights = np.where(self.counts > 1, self.counts, 0)
        return np.asarray(weights @ self.variances / max(1, weights.sum()), dtype=np.float64)

    def rest(self) -> Self:
        """Return, in the place of every class, the statistics of all samples of the other classes."""
        counts = self.counts.sum() - self.counts
        shares = self.counts[:, np.newaxis].astype(np.float64)
        grand = (shares * self.means).sum(axis=0) / max(1, self.counts.sum())
        # Sums are taken about the grand mean, where little cancels.
        first = shares * (self.means - grand)
        second = shares * (self.variances + (self.means - grand) ** 2)
        left = np.maximum(counts, 1)[:, np.newaxis]
        means = (first.sum(axis=0) - first) / left
        variances = np.maximum((second.sum(axis=0) - second) / left - means**2, 0.0)
        known = (counts > 0)[:, np.newaxis]
        return type(self)(counts, np.where(known, means + grand, 0.0), np.where(known, variances, 0.0))


def class_statistics(
    vectors: Vectors, labels: NDArray[np.integer], classes: int, *, rows: int = 8_192
) -> ClassStatistics:
    """Return the statistics of `vectors (n, d)` by class.

    Args:
        vectors: finite floats.
        labels: `(n,)` integers in `0..classes-1`, or -1 for a row that belongs to no class and is left out.
        classes: how many, C.
        rows: read at once; the result does not depend on it beyond rounding.

    Raises:
        ValueError: a value is NaN or infinite, or a label is no class; the message names the row.
    """
    check_vectors(vectors)
    known = check_labels(labels, len(vectors), classes)
    d = vectors.shape[1]
    total = ClassStatistics(np.zeros(classes, np.int64), np.zeros((classes, d)), np.zeros((classes, d)))
    for where, block in blocks(vectors, rows):
        total += _of_block(block.astype(np.float64), known[where], classes)
    return total


def _of_block(block: Values, labels: Labels, classes: int) -> ClassStatistics:
    block, labels = block[labels != NO_CLASS], labels[labels != NO_CLASS]
    order = np.argsort(labels, kind="stable")
    block, labels = block[order], labels[order]
    present, starts, sizes = np.unique(labels, return_index=True, return_counts=True)
    counts = np.zeros(classes, np.int64)
    means, variances = np.zeros((2, classes, block.shape[1]))
    if len(present):
        counts[present] = sizes
        means[present] = np.add.reduceat(block, starts, axis=0) / sizes[:, np.newaxis]
        apart = block - means[labels]
        variances[present] = np.add.reduceat(apart**2, starts, axis=0) / sizes[:, np.newaxis]
    return ClassStatistics(counts, means, variances)
