"""How likely a decision is right: temperature or isotonic regression, whichever predicts held-out items better.

Fit on a calibration split that trained nothing else, and judge on yet another, by `models.reliability`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.isotonic import RisingCurve
from models.reliability import log_loss
from models.tournaments import Decisions
from models.vector_blocks import NO_CLASS, check_labels

Values = NDArray[np.float64]


class Calibrator(Protocol):
    """Tells how likely each decision is right."""

    def probability(self, decisions: Decisions) -> Values:
        """Return `(n,) float64` in 0..1."""
        ...

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the calibrator as an array under the name of its `Method`."""
        ...


@dataclass(frozen=True, slots=True)
class Temperature:
    """Softmax of the scores over one temperature (Guo et al. 2017).

    Attributes:
        value: more than 0.
    """

    value: float

    def __post_init__(self) -> None:
        if not 0 < self.value < np.inf:
            msg = f"a temperature must be positive, not {self.value}"
            raise ValueError(msg)

    @classmethod
    def fit(cls, decisions: Decisions, labels: NDArray[np.integer]) -> Self:
        """Minimise the mean of -log p(label), within 1e-6..1e6, to where the loss is 0 in float64 if it gets there.

        Args:
            decisions: their scores are used.
            labels: `(n,)` true classes. Items that are of none (-1) or of a class that cannot win are left out: no
                temperature makes them likely.

        Raises:
            ValueError: nothing is left, or a label is no class.
        """
        known = check_labels(labels, len(decisions.classes), decisions.scores.shape[1])
        rows = np.flatnonzero(known != NO_CLASS)
        rows = rows[np.isfinite(decisions.scores[rows, known[rows]])]
        if not len(rows):
            msg = "no label is of a class that can win"
            raise ValueError(msg)
        scores = decisions.scores[rows].astype(np.float64)
        return cls(float(1 / _steepness(scores, scores[np.arange(len(rows)), known[rows]])))

    def probabilities(self, scores: ArrayLike) -> Values:
        """Return the probability of every class, `(n, C) float64`, for `scores (n, C)`."""
        s = np.asarray(scores, dtype=np.float64)
        return _softmax(s, 1 / self.value)

    def probability(self, decisions: Decisions) -> Values:
        """See `Calibrator`."""
        rows = np.arange(len(decisions.classes))
        return np.asarray(self.probabilities(decisions.scores)[rows, decisions.classes], dtype=np.float64)

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """See `Calibrator`."""
        return {Method.TEMPERATURE: np.array([self.value])}


def _softmax(scores: Values, steepness: float) -> Values:
    p = np.exp((scores - scores.max(axis=1, keepdims=True)) * steepness)
    return np.asarray(p / p.sum(axis=1, keepdims=True), dtype=np.float64)


def _steepness(scores: Values, right: Values) -> float:
    """Return the 1/T of least loss: its slope, mean expected score minus mean right score, rises with 1/T."""
    finite = np.where(np.isneginf(scores), 0.0, scores)
    low, high = -6.0, 6.0
    for _ in range(50):
        middle = (low + high) / 2
        if ((_softmax(scores, 10**middle) * finite).sum(axis=1) - right).mean() < 0:
            low = middle
        else:
            high = middle
    return float(10**low)


class Method(StrEnum):
    """The ways to calibrate."""

    TEMPERATURE = "temperature"
    MARGIN = "isotonic-margin"
    SCORE = "isotonic-score"


_READ: Mapping[Method, Callable[[Decisions], Values]] = {
    Method.MARGIN: lambda decisions: decisions.margins.astype(np.float64),
    Method.SCORE: lambda decisions: decisions.scores.max(axis=1).astype(np.float64),
}


@dataclass(frozen=True, slots=True, eq=False)
class Isotonic:
    """Share of decisions that are right, rising with their margin or with the winner's score.

    Attributes:
        method: which of the two.
        curve: the share.
    """

    method: Method
    curve: RisingCurve

    @classmethod
    def fit(cls, decisions: Decisions, labels: NDArray[np.integer], method: Method) -> Self:
        """Regress on `labels (n,)`; -1 is never right.

        Shares stay within 1/(n + 2) of 0 and 1: no n items show that something never happens.

        Raises:
            ValueError: there are no decisions, or a label is no class.
        """
        right = check_labels(labels, len(decisions.classes), decisions.scores.shape[1]) == decisions.classes
        curve = RisingCurve.fit(_READ[method](decisions), right)
        least = 1 / (len(right) + 2)
        return cls(method, RisingCurve(curve.x, np.clip(curve.y, least, 1 - least)))

    def probability(self, decisions: Decisions) -> Values:
        """See `Calibrator`."""
        return self.curve(_READ[self.method](decisions))

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """See `Calibrator`."""
        return {self.method: np.stack([self.curve.x, self.curve.y])}


def calibrator_from_arrays(arrays: Mapping[str, NDArray[np.float64]]) -> Calibrator:
    """Return the calibrator whose `to_arrays` is among `arrays`.

    Raises:
        ValueError: none or several are, or it has another shape.
    """
    found = [method for method in Method if method in arrays]
    if len(found) != 1:
        msg = f"there must be one of {', '.join(Method)}, not {', '.join(found) or 'none'}"
        raise ValueError(msg)
    array = np.asarray(arrays[found[0]], dtype=np.float64)
    if found[0] is Method.TEMPERATURE and array.shape == (1,):
        return Temperature(float(array[0]))
    if found[0] is Method.TEMPERATURE or array.ndim != 2 or len(array) != 2:
        msg = f"{found[0]} has the wrong shape {array.shape}"
        raise ValueError(msg)
    return Isotonic(found[0], RisingCurve(array[0], array[1]))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibrator chosen, and why.

    Attributes:
        method: of the calibrator.
        calibrator: fitted on all items.
        losses: of each method, the mean of -log p(right or wrong) of items held out, in nats.
    """

    method: Method
    calibrator: Calibrator
    losses: Mapping[Method, float]


def fit_calibrator(method: Method, decisions: Decisions, labels: NDArray[np.integer]) -> Calibrator:
    """Return the calibrator of that `method` for `decisions` with true `labels (n,)`."""
    if method is Method.TEMPERATURE:
        return Temperature.fit(decisions, labels)
    return Isotonic.fit(decisions, labels, method)


def calibrate(decisions: Decisions, labels: NDArray[np.integer], *, folds: int = 5, seed: int = 0) -> Calibration:
    """Return the calibrator with the least cross-validated loss; the first of `Method` among equals.

    The loss is that of the event "the decision is right", the same for all methods.

    Args:
        decisions: n >= 2 of them, from a split that trained nothing.
        labels: `(n,)` true classes, or -1 for an item of none.
        folds: parts of the items, at most n, each held out once.
        seed: of the parts.

    Raises:
        ValueError: fewer than 2 items or folds, or a label is no class.
    """
    n = len(decisions.classes)
    known = check_labels(labels, n, decisions.scores.shape[1])
    if min(n, folds) < 2:
        msg = f"{n} items and {folds} folds are too few: both must be at least 2"
        raise ValueError(msg)
    fold = np.random.default_rng(seed).permutation(n) % min(n, folds)
    losses = {method: _held_out_loss(method, decisions, known, fold) for method in Method}
    best = min(Method, key=lambda method: losses[method])
    return Calibration(best, fit_calibrator(best, decisions, known), losses)


def _held_out_loss(method: Method, decisions: Decisions, labels: NDArray[np.int32], fold: NDArray[np.int64]) -> float:
    probability = np.empty(len(fold))
    for part in range(int(fold.max()) + 1):
        fitted = fit_calibrator(method, _some(decisions, fold != part), labels[fold != part])
        probability[fold == part] = fitted.probability(_some(decisions, fold == part))
    return log_loss(probability, decisions.classes == labels)


def _some(decisions: Decisions, rows: NDArray[np.bool_]) -> Decisions:
    return Decisions(decisions.classes[rows], decisions.scores[rows], decisions.margins[rows])
