"""The dimensions that tell two classes apart, for every pair of classes: cross-variance, score, cut-off.

From the article "Pairwise Cross-Variance Classification" (code: doc1000/pairwise_classification). Its cross-variance,
the mean of half the squared difference over all pairs of samples, has a closed form in the statistics of the two
classes, so no pair of samples is ever formed and none has to be drawn. Comparing by these dimensions is left to
`models.duels`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.class_statistics import ClassStatistics, Values

Mask = NDArray[np.bool_]
Bits = NDArray[np.uint8]
Indices = NDArray[np.int64]

VARIANCE_FLOOR = 1e-8
"""Least variance a score is taken of: a deviation of 1e-4, the step of float16 at the size of unit vectors' values."""

_BLOCK_VALUES = 1_000_000  # scores in memory at once: 8 MB, and a few arrays like it


@dataclass(frozen=True, slots=True)
class CutOff:
    """Which dimensions of a pair are kept: those that score more than `score`, but `floor` to `ceiling` of them.

    Where too few pass, the best of the others fill up; where too many do, the best are kept. Equal scores go by the
    index of the dimension.

    Attributes:
        score: 1 or more; 1.10 in the article. Every dimension scores at least 1, and exactly 1 where both classes have
            the same mean and variance.
        floor: at least this many, or all where there are fewer.
        ceiling: at most this many; None for any number.
    """

    score: float = 1.10
    floor: int = 8
    ceiling: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.score < np.inf:
            msg = f"the cut-off must be a score of at least 1, not {self.score}"
            raise ValueError(msg)
        if self.floor < 1 or (self.ceiling is not None and self.ceiling < self.floor):
            msg = f"floor and ceiling must be 1 <= floor <= ceiling, not {self.floor} and {self.ceiling}"
            raise ValueError(msg)

    def keep(self, scores: Values) -> Mask:
        """Return which of `scores (m, d)` are kept, row by row."""
        passing = scores > self.score
        found = passing.sum(axis=1)
        d = scores.shape[1]
        wanted = np.clip(found, min(self.floor, d), d if self.ceiling is None else min(self.ceiling, d))
        odd = np.flatnonzero(found != wanted)
        if len(odd):
            best = np.argsort(-scores[odd], axis=1, kind="stable")
            kept = np.zeros((len(odd), d), np.bool_)
            np.put_along_axis(kept, best, np.arange(d) < wanted[odd, np.newaxis], axis=1)
            passing[odd] = kept
        return passing


def cross_variance(mean_a: ArrayLike, variance_a: ArrayLike, mean_b: ArrayLike, variance_b: ArrayLike) -> Values:
    """Return CV = (var_a + var_b + (mean_a - mean_b)^2) / 2, broadcast, float64.

    That is the mean of (a - b)^2 / 2 over all pairs of a sample of each class, for population variances:
    E[(a - b)^2] = E[a^2] + E[b^2] - 2 E[a] E[b], and E[a^2] = var_a + mean_a^2.
    """
    apart = np.asarray(mean_a, dtype=np.float64) - np.asarray(mean_b, dtype=np.float64)
    spread = np.asarray(variance_a, dtype=np.float64) + np.asarray(variance_b, dtype=np.float64)
    return np.asarray((spread + apart**2) / 2, dtype=np.float64)


def cross_score(mean_a: ArrayLike, variance_a: ArrayLike, mean_b: ArrayLike, variance_b: ArrayLike) -> Values:
    """Return sqrt(CV / (std_a * std_b)), broadcast, float64, at least 1 and finite.

    Variances below `VARIANCE_FLOOR` count as that, in CV too.
    """
    a = np.maximum(np.asarray(variance_a, dtype=np.float64), VARIANCE_FLOOR)
    b = np.maximum(np.asarray(variance_b, dtype=np.float64), VARIANCE_FLOOR)
    return np.asarray(np.sqrt(cross_variance(mean_a, a, mean_b, b) / np.sqrt(a * b)), dtype=np.float64)


def scoring_variances(statistics: ClassStatistics) -> Values:
    """Return the variances `(C, d)` that scores are taken of.

    One sample has no spread: such a class takes the pooled variance within the others, else every dimension of its
    pairs would pass.
    """
    single = (statistics.counts == 1)[:, np.newaxis]
    return np.where(single, statistics.pooled_variances, statistics.variances)


def pair_count(classes: int) -> int:
    """Return C (C - 1) / 2."""
    return classes * (classes - 1) // 2


def pair_index(a: NDArray[np.integer], b: NDArray[np.integer], classes: int) -> Indices:
    """Return where the pair of classes `a != b`, in either order, stands among all pairs.

    Pairs are in the order (0, 1), (0, 2), ..., (1, 2), ..., (C - 2, C - 1).
    """
    low, high = np.minimum(a, b).astype(np.int64), np.maximum(a, b).astype(np.int64)
    return np.asarray(low * (2 * classes - low - 1) // 2 + high - low - 1, dtype=np.int64)


def pairs_of(classes: int) -> tuple[Indices, Indices]:
    """Return the classes a < b of every pair, each `(C (C - 1) / 2,) int64`, in the order of `pair_index`."""
    a, b = np.triu_indices(classes, 1)
    return a, b


@dataclass(frozen=True, slots=True, eq=False)
class SubDimensions:
    """The dimensions kept for every pair of classes, eight to a byte: 32 MB for 1,000 classes of 512 dimensions.

    Attributes:
        classes: how many, C.
        dimensions: how many, d.
        bits: `(C (C - 1) / 2, ceil(d / 8)) uint8`, as of `numpy.packbits`.
    """

    classes: int
    dimensions: int
    bits: Bits

    def __post_init__(self) -> None:
        shape = (pair_count(self.classes), -(-self.dimensions // 8))
        if self.bits.shape != shape or self.bits.dtype != np.uint8:
            msg = f"masks must be {shape} uint8, not {self.bits.shape} {self.bits.dtype}"
            raise ValueError(msg)

    def unpack(self, pairs: slice | Indices) -> Bits:
        """Return the masks of `pairs`, `(m, d) uint8` of zeros and ones."""
        return np.unpackbits(self.bits[pairs], axis=1, count=self.dimensions)

    def between(self, a: int, b: int) -> Mask:
        """Return which dimensions tell class `a` from class `b`, `(d,)`.

        Raises:
            ValueError: the two are not two classes.
        """
        if a == b or not 0 <= min(a, b) <= max(a, b) < self.classes:
            msg = f"{a} and {b} must be two of the classes 0..{self.classes - 1}"
            raise ValueError(msg)
        return np.asarray(self.unpack(pair_index(np.array([a]), np.array([b]), self.classes))[0], dtype=np.bool_)

    def among(self, chosen: NDArray[np.integer]) -> Self:
        """Return the masks of the pairs of the `chosen` classes, in their order."""
        a, b = pairs_of(len(chosen))
        bits = self.bits[pair_index(chosen[a], chosen[b], self.classes)]
        return type(self)(len(chosen), self.dimensions, bits)


def pair_scores(statistics: ClassStatistics) -> Iterator[tuple[slice, Values]]:
    """Yield `(pairs, scores (m, d))` for every pair of classes, a bounded number at a time."""
    a, b = pairs_of(len(statistics))
    means, variances = statistics.means, scoring_variances(statistics)
    step = max(1, _BLOCK_VALUES // means.shape[1])
    for start in range(0, len(a), step):
        where = slice(start, min(start + step, len(a)))
        i, j = a[where], b[where]
        yield where, cross_score(means[i], variances[i], means[j], variances[j])


def pairwise_subdimensions(statistics: ClassStatistics, cutoff: CutOff | None = None) -> SubDimensions:
    """Return the dimensions kept for every pair of classes; none where one of the two is empty."""
    rule, (classes, d) = cutoff or CutOff(), statistics.means.shape
    bits = np.zeros((pair_count(classes), -(-d // 8)), np.uint8)
    a, b = pairs_of(classes)
    known = (statistics.counts[a] > 0) & (statistics.counts[b] > 0)
    for where, scores in pair_scores(statistics):
        bits[where] = np.packbits(rule.keep(scores) & known[where, np.newaxis], axis=1)
    return SubDimensions(classes, d, bits)


def one_vs_rest_subdimensions(statistics: ClassStatistics, cutoff: CutOff | None = None) -> Mask:
    """Return the dimensions that tell every class from all others together, `(C, d)`; none for an empty class.

    A class that has all samples is told from nothing: it keeps every dimension.
    """
    rest = statistics.rest()
    of_rest = scoring_variances(rest)
    kept = (cutoff or CutOff()).keep(cross_score(statistics.means, scoring_variances(statistics), rest.means, of_rest))
    kept[rest.counts == 0] = True
    kept[statistics.counts == 0] = False
    return kept
