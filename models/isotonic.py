"""Isotonic regression by pooling adjacent violators: the best rising curve through points."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


def pool_adjacent_violators(values: ArrayLike, weights: ArrayLike | None = None) -> Values:
    """Return the non-decreasing sequence nearest to `values (n,)` in weighted squares, `(n,) float64`.

    Barlow, Bartholomew, Bremner and Brunk 1972; linear in n.

    Args:
        values: finite.
        weights: `(n,)`, more than 0; all 1 when None.

    Raises:
        ValueError: a value is not finite, a weight is not positive, or the two differ in length.
    """
    v = np.asarray(values, dtype=np.float64)
    w = np.ones_like(v) if weights is None else np.asarray(weights, dtype=np.float64)
    if v.ndim != 1 or v.shape != w.shape or not np.isfinite(v).all() or not (w > 0).all():
        msg = f"values and weights must be (n,), finite and positive weights, not {v.shape} and {w.shape}"
        raise ValueError(msg)
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for mean, weight in zip(v.tolist(), w.tolist(), strict=True):
        pool = (mean, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            pool = _pooled(pools.pop(), pool)
        pools.append(pool)
    return np.repeat([mean for mean, _, _ in pools], [length for _, _, length in pools]).astype(np.float64)


def _pooled(a: tuple[float, float, int], b: tuple[float, float, int]) -> tuple[float, float, int]:
    weight = a[1] + b[1]
    return (a[0] * a[1] + b[0] * b[1]) / weight, weight, a[2] + b[2]


@dataclass(frozen=True, slots=True, eq=False)
class RisingCurve:
    """A non-decreasing curve, straight between its points and flat beyond them.

    Attributes:
        x: `(k,) float64`, rising.
        y: `(k,) float64`, not falling.
    """

    x: Values
    y: Values

    def __post_init__(self) -> None:
        one_row = self.x.ndim == 1 and self.x.shape == self.y.shape and len(self.x)
        if not one_row or (np.diff(self.x) <= 0).any() or (np.diff(self.y) < 0).any():
            msg = f"a rising curve needs points with rising x and y that does not fall, not {self.x} and {self.y}"
            raise ValueError(msg)

    @classmethod
    def fit(cls, x: ArrayLike, y: ArrayLike) -> Self:
        """Return the curve nearest to the points `x (n,)`, `y (n,)`; equal x count as one point of their mean.

        Raises:
            ValueError: there are no points, or a value is not finite.
        """
        points, target = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if points.ndim != 1 or points.shape != target.shape or not len(points) or not np.isfinite(points).all():
            msg = f"x and y must be (n,) and finite with n >= 1, not {points.shape} and {target.shape}"
            raise ValueError(msg)
        at, which, counts = np.unique(points, return_inverse=True, return_counts=True)
        rising = pool_adjacent_violators(np.bincount(which, target) / counts, counts)
        # The ends of each level say all: what lies between them is straight anyway.
        ends = np.ones(len(at), np.bool_)
        ends[1:-1] = (rising[1:-1] != rising[:-2]) | (rising[1:-1] != rising[2:])
        return cls(at[ends], rising[ends])

    def __call__(self, x: ArrayLike) -> Values:
        """Return the height at `x`, float64 of the same shape."""
        return np.asarray(np.interp(np.asarray(x, dtype=np.float64), self.x, self.y), dtype=np.float64)
