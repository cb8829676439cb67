"""Whether stated probabilities hold, and what is gained by not answering where they are low."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

BINS = 15
CHANCE_DRAWS = 200
_SMALLEST = 1e-12  # probability that a log is taken of


def log_loss(probability: ArrayLike, right: ArrayLike) -> float:
    """Return the mean of -log of the probability of what happened, in nats; probabilities below 1e-12 count as that.

    Args:
        probability: `(n,)` in 0..1, n >= 1, that an answer is right.
        right: `(n,)`, whether it was.

    Raises:
        ValueError: shapes differ, there is nothing, or a probability lies outside.
    """
    p, happened = _checked(probability, right)
    return float(-np.log(np.maximum(np.where(happened, p, 1 - p), _SMALLEST)).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """What was stated and what came true, by equal-width bins of the stated probability.

    Attributes:
        counts: `(bins,) int64`, answers by probability, bin i from i / bins up to (i + 1) / bins; the last has 1 too.
        stated: `(bins,) float64`, their mean probability; 0 in an empty bin.
        right: `(bins,) float64`, the share that was right; 0 in an empty bin.
    """

    counts: NDArray[np.int64]
    stated: Values
    right: Values

    @property
    def error(self) -> float:
        """Expected calibration error: mean over answers of |stated - right| of their bin (Naeini et al. 2015)."""
        return float((self.counts * np.abs(self.stated - self.right)).sum() / self.counts.sum())


def reliability(probability: ArrayLike, right: ArrayLike, bins: int = BINS) -> Reliability:
    """Return the reliability of `probability (n,)`, given what was `right (n,)`.

    Raises:
        ValueError: as `log_loss`, or `bins` is less than 1.
    """
    p, happened = _checked(probability, right)
    if bins < 1:
        msg = f"there must be at least 1 bin, not {bins}"
        raise ValueError(msg)
    bin_of = np.minimum((p * bins).astype(np.int64), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    stated, right_share = (
        np.bincount(bin_of, values, minlength=bins) / np.maximum(counts, 1) for values in (p, happened)
    )
    return Reliability(counts, stated, right_share)


def expected_calibration_error(probability: ArrayLike, right: ArrayLike, bins: int = BINS) -> float:
    """Return `reliability(...).error`, in 0..1; over 15 equal-width bins unless said otherwise."""
    return reliability(probability, right, bins).error


def calibration_error_by_chance(
    probability: ArrayLike, bins: int = BINS, *, draws: int = CHANCE_DRAWS, seed: int = 0
) -> float:
    """Return the error that `probability (n,)` would have on average if every one of them held.

    So few answers as there are do not come out as stated even then: an error near this one says nothing against the
    probabilities (Vaicenavicius et al., AISTATS 2019).

    Raises:
        ValueError: as `reliability`, or `draws` is less than 1.
    """
    if draws < 1:
        msg = f"there must be at least 1 draw, not {draws}"
        raise ValueError(msg)
    p, _ = _checked(probability, np.zeros(np.shape(probability), np.bool_))
    rng = np.random.default_rng(seed)
    return float(np.mean([expected_calibration_error(p, rng.random(len(p)) < p, bins) for _ in range(draws)]))


def abstention_curve(confidence: ArrayLike, right: ArrayLike, shares: Sequence[float]) -> Values:
    """Return the share of errors among the answers left when the least sure are not given, `(len(shares),) float64`.

    Of n answers floor(share * n) are held back. Among equally sure ones the right are held back first, so a constant
    confidence gains nothing by luck.

    Args:
        confidence: `(n,)`, n >= 1, on any scale, higher is surer; not NaN.
        right: `(n,)`, whether the answer is right.
        shares: to hold back, each in [0, 1).

    Raises:
        ValueError: shapes differ, there is nothing, a confidence is NaN, or a share lies outside.
    """
    sure, happened = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.bool_)
    if sure.ndim != 1 or sure.shape != happened.shape or not len(sure) or np.isnan(sure).any():
        msg = f"confidence and right must be (n,) with n >= 1 and no NaN, not {sure.shape} and {happened.shape}"
        raise ValueError(msg)
    if not all(0 <= share < 1 for share in shares):
        msg = f"shares must lie in [0, 1), not {list(shares)}"
        raise ValueError(msg)
    wrong = ~happened[np.lexsort((~happened, sure))]
    left = np.cumsum(wrong[::-1])[::-1] / np.arange(len(wrong), 0, -1)
    return np.asarray(left[[int(share * len(wrong) + 1e-9) for share in shares]], dtype=np.float64)


def _checked(probability: ArrayLike, right: ArrayLike) -> tuple[Values, NDArray[np.bool_]]:
    p, happened = np.asarray(probability, dtype=np.float64), np.asarray(right, dtype=np.bool_)
    if p.ndim != 1 or p.shape != happened.shape or not len(p) or not ((p >= 0) & (p <= 1)).all():
        msg = f"probabilities must be (n,) in 0..1 with n >= 1, one for each answer, not {p.shape} {happened.shape}"
        raise ValueError(msg)
    return p, happened
