"""Bootstrap intervals of means, and of paired differences of means."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.metrics.ranked import Values

_CHUNK_DRAWS = 4_000_000  # draws of a bootstrap held in memory at once: 32 MB of indices


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its bootstrap percentile interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of means `a - b`, its interval, and how easily chance alone would give it.

    Attributes:
        mean: mean of `a - b` over the queries.
        low: lower end of the percentile interval.
        high: upper end of the percentile interval.
        p_value: two-sided; twice the share of resamples on the other side of zero, at most 1.
    """

    mean: float
    low: float
    high: float
    p_value: float


def bootstrap_interval(
    values: ArrayLike, seed: int = 0, *, confidence: float = 0.95, resamples: int = 2_000
) -> Interval:
    """Return the mean of `values (n,)` and its percentile interval over resampled queries (Efron 1979).

    Deterministic by `seed`.

    Raises:
        ValueError: `values` is empty, not one-dimensional or not finite; or a parameter is out of range.
    """
    v = _checked_values(values)
    means = _resampled_means(v, seed, resamples)
    low, high = _percentiles(means, confidence)
    return Interval(float(v.mean()), low, high)


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, seed: int = 0, *, confidence: float = 0.95, resamples: int = 2_000
) -> Difference:
    """Compare two systems on the same queries: resample queries, not systems (Koehn 2004).

    Args:
        a: `(n,)` per-query values of one system.
        b: `(n,)` per-query values of the other, in the same order of queries.
        seed: of the resampling.
        confidence: of the interval, in (0, 1).
        resamples: how many.

    Raises:
        ValueError: as `bootstrap_interval`, or the two differ in length.
    """
    va, vb = _checked_values(a), _checked_values(b)
    if len(va) != len(vb):
        msg = f"paired values differ in length: {len(va)} and {len(vb)}"
        raise ValueError(msg)
    differences = va - vb
    means = _resampled_means(differences, seed, resamples)
    low, high = _percentiles(means, confidence)
    # One is added above and below so that a finite number of resamples never claims certainty.
    tail = 1 + min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Difference(float(differences.mean()), low, high, min(1.0, 2 * tail / (resamples + 1)))


def _checked_values(values: ArrayLike) -> Values:
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 1 or not v.size or not np.isfinite(v).all():
        msg = "values must be a non-empty, finite, one-dimensional array"
        raise ValueError(msg)
    return v


def _resampled_means(values: Values, seed: int, resamples: int) -> Values:
    if resamples < 1:
        msg = f"resamples must be at least 1, not {resamples}"
        raise ValueError(msg)
    rng = np.random.default_rng(seed)
    chunks = _chunk_sizes(resamples, max(1, _CHUNK_DRAWS // len(values)))
    return np.concatenate([values[rng.integers(len(values), size=(c, len(values)))].mean(axis=1) for c in chunks])


def _chunk_sizes(total: int, largest: int) -> Iterator[int]:
    for start in range(0, total, largest):
        yield min(largest, total - start)


def _percentiles(means: Values, confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        msg = f"confidence must lie between 0 and 1, not {confidence}"
        raise ValueError(msg)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)
