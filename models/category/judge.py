"""Judges of categories: for texts or for pictures, what class a vector is of, and how likely that is right.

A judge is fitted on a catalogue's own labels: the spread within classes is evened out, every two classes meet on the
dimensions that tell them apart, and each class has a bias, for some are common and some are scored too well. What it
says of the very products it was fitted on is worth nothing, so they are judged by cross-fitting: each by a judge that
has seen neither it nor its variants; the probabilities come from these judgements. Judges of text and of picture are
combined as a product of experts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from models.calibration import Calibrator, Temperature, calibrate, calibrator_from_arrays
from models.class_bias import class_bias
from models.pairwise import PairwiseClassifier
from models.tournaments import Decisions, decide
from models.vector_blocks import NO_CLASS, Labels, Rows, Vectors, check_finite, check_labels, check_row
from models.whitening import Whitening

Values = NDArray[np.float64]

FOLDS: Final = 5
ROWS: Final = 65_536  # judged at a time
_TEMPERATURE: Final = "temperature-of-all"  # beside a calibrator's own array
_LEAST: Final = 1e-12  # chance that a logarithm is taken of


class TooFewError(ValueError):
    """Labels that do not suffice to learn a judge from; the message says what was missing."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What was judged of n items among C classes.

    Attributes:
        classes: `(n,) int32`, the likeliest; -1 where there was nothing to judge.
        margins: `(n,) float32`, the lead of its score over the second's.
        probability: `(n,) float64`, that it is right.
        chances: `(n, C) float64`, the probability of every class; rows add up to 1.
    """

    classes: Labels
    margins: Rows
    probability: Values
    chances: Values

    def only(self, there: NDArray[np.bool_]) -> "Judgement":
        """Return the judgement with those not `there`, `(n,)`, judged as nothing: any class is as likely."""
        chances = np.where(there[:, None], self.chances, 1 / self.chances.shape[1])
        return Judgement(
            np.where(there, self.classes, NO_CLASS).astype(np.int32),
            np.where(there, self.margins, 0).astype(np.float32),
            np.where(there, self.probability, 0.0),
            chances,
        )


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges one kind of vectors.

    Attributes:
        whitening: evens the spread out.
        classifier: decides, on evened vectors.
        bias: `(C,) float32`, added to its scores, as by `class_bias`.
        calibrator: how likely a decision is right.
        temperature: how likely each class is.
    """

    whitening: Whitening
    classifier: PairwiseClassifier
    bias: Rows
    calibrator: Calibrator
    temperature: Temperature

    def __post_init__(self) -> None:
        d, of_classifier = len(self.whitening.centre), len(self.classifier.centre)
        if d != of_classifier:
            msg = f"whitening of {d} dimensions does not fit a classifier of {of_classifier}"
            raise ValueError(msg)
        check_row("bias", self.bias, len(self.classifier.names))

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return self.classifier.names

    def decide(self, vectors: Vectors) -> Decisions:
        """Return the decisions on `vectors (n, d)`, finite.

        Raises:
            ValueError: a value is NaN, or d differs.
        """
        return _biased(_decided(self.whitening, self.classifier, vectors), self.bias)

    def judge(self, vectors: Vectors) -> Judgement:
        """Judge `vectors (n, d)`, which had no part in fitting.

        Raises:
            ValueError: a value is NaN, or d differs.
        """
        return self.of(self.decide(vectors))

    def of(self, decisions: Decisions) -> Judgement:
        """Return the judgement that decisions come to."""
        return Judgement(
            decisions.classes,
            decisions.margins,
            self.calibrator.probability(decisions),
            self.temperature.probabilities(decisions.scores),
        )

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return everything as plain arrays, for `numpy.savez` and `numpy.load` without pickle."""
        own: dict[str, NDArray[np.generic]] = {
            "bias": self.bias,
            _TEMPERATURE: np.array([self.temperature.value]),
        }
        return {
            **self.whitening.to_arrays(),
            **self.classifier.to_arrays(),
            **{str(name): array for name, array in self.calibrator.to_arrays().items()},
            **own,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """Return the judge of which `arrays` are the arrays.

        Raises:
            ValueError: one is missing, or of another type or shape.
        """
        stated = np.asarray(arrays.get(_TEMPERATURE, np.zeros(0)), np.float64)
        if stated.shape != (1,):
            msg = f"{_TEMPERATURE} must be there, as one number"
            raise ValueError(msg)
        bias = np.asarray(arrays.get("bias", np.zeros(0)), np.float32)
        curves = {
            name: np.asarray(array, np.float64)
            for name, array in arrays.items()
            if array.dtype == np.float64 and name != _TEMPERATURE
        }
        return cls(
            Whitening.from_arrays(arrays),
            PairwiseClassifier.from_arrays(arrays),
            bias,
            calibrator_from_arrays(curves),
            Temperature(float(stated[0])),
        )


def fit_judge(
    vectors: Vectors, labels: Labels, names: Sequence[str], groups: NDArray[np.integer] | None = None, *, seed: int = 0
) -> tuple[Judge, Judgement]:
    """Fit a judge on all that is labelled, and return it with what cross-fitted ones say of all items.

    Args:
        vectors: `(n, d)`, finite.
        labels: `(n,)` classes in 0..C-1, or -1.
        names: of the C classes.
        groups: `(n,)`, equal for items that are variants of one another and are held out together.
        seed: of the folds.

    Raises:
        TooFewError: too few items are labelled, or they tell nothing apart when some are held out.
        ValueError: a value is NaN, a label is no class, or shapes differ.
    """
    check_finite(vectors)
    labels = check_labels(labels, len(vectors), len(names))
    apart = np.arange(len(labels)) if groups is None else groups
    if apart.shape != labels.shape:
        msg = f"groups must be ({len(labels)},), not {apart.shape}"
        raise ValueError(msg)
    try:
        return _fit(vectors, labels, names, apart, seed)
    except ValueError as error:  # values and shapes are good: it is the labels that do not suffice
        msg = f"too few labels to learn from: {error}"
        raise TooFewError(msg) from error


def _fit(
    vectors: Vectors, labels: Labels, names: Sequence[str], apart: NDArray[np.integer], seed: int
) -> tuple[Judge, Judgement]:
    decisions = _cross_fitted(vectors, labels, names, apart, seed)
    known = np.flatnonzero(labels != NO_CLASS)
    bias = class_bias(decisions.scores, labels, seed=seed)
    decisions = _biased(decisions, bias)
    judged = Decisions(decisions.classes[known], decisions.scores[known], decisions.margins[known])
    calibrator = calibrate(judged, labels[known], seed=seed).calibrator
    temperature = Temperature.fit(judged, labels[known])
    judge = Judge(*_fitted(vectors, labels, names), bias, calibrator, temperature)
    return judge, judge.of(decisions)


def _biased(decisions: Decisions, bias: Rows) -> Decisions:
    return decide(decisions.scores + bias)


def _fitted(vectors: Vectors, labels: Labels, names: Sequence[str]) -> tuple[Whitening, PairwiseClassifier]:
    whitening = Whitening.fit(vectors, labels, len(names))
    samples = np.flatnonzero(labels != NO_CLASS)
    return whitening, PairwiseClassifier.fit(whitening.apply(vectors[samples]), labels[samples], names)


def _decided(whitening: Whitening, classifier: PairwiseClassifier, vectors: Vectors) -> Decisions:
    """Decide some items at a time: evened vectors are float32, and twice as large as stored ones."""
    parts = [
        classifier.classify(whitening.apply(vectors[start : start + ROWS]))
        for start in range(0, max(1, len(vectors)), ROWS)
    ]
    return Decisions(
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.margins for part in parts]),
    )


def _cross_fitted(
    vectors: Vectors, labels: Labels, names: Sequence[str], groups: NDArray[np.integer], seed: int
) -> Decisions:
    """Decide every item by a classifier that was fitted without it and its group."""
    n, classes = len(labels), len(names)
    found = Decisions(np.zeros(n, np.int32), np.full((n, classes), -np.inf, np.float32), np.zeros(n, np.float32))
    for held in _folds(groups, labels, seed):
        decided = _decided(*_fitted(vectors[~held], labels[~held], names), vectors[held])
        found.classes[held], found.scores[held] = decided.classes, decided.scores
        found.margins[held] = decided.margins
    return found


def _folds(groups: NDArray[np.integer], labels: Labels, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Yield which items are held out, group by group, `FOLDS` times.

    Classes are dealt out evenly, so that a class of two groups is never held out whole: a class that a judge has not
    seen cannot win, and its items would seem to be anything but that.
    """
    distinct, member = np.unique(groups, return_inverse=True)
    classes = np.full(len(distinct), NO_CLASS)
    np.maximum.at(classes, member, labels)
    fold = np.empty(len(distinct), np.int64)
    fold[np.lexsort((np.random.default_rng(seed).permutation(len(distinct)), classes))] = np.arange(len(distinct))
    fold %= min(FOLDS, max(2, len(distinct)))
    for number in range(int(fold.max()) + 1):
        yield (fold == number)[member]


def combined(parts: Sequence[Judgement]) -> Judgement:
    """Return what several judges of the same items come to, as a product of experts: the mean of their log chances.

    Args:
        parts: of the same n items and C classes; a row of -1 has no say.

    Raises:
        ValueError: there is no part.
    """
    if not parts:
        msg = "there is nothing to combine"
        raise ValueError(msg)
    has = np.array([part.classes != NO_CLASS for part in parts])
    logs = sum((np.log(np.maximum(part.chances, _LEAST)) * say[:, None] for part, say in zip(parts, has, strict=True)))
    voices = np.maximum(1, has.sum(axis=0))[:, None]
    chances = np.exp(logs / voices - (logs / voices).max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    decided = decide(np.log(np.maximum(chances, _LEAST)))
    classes = np.where(has.any(axis=0), decided.classes, NO_CLASS).astype(np.int32)
    return Judgement(classes, decided.margins, chances.max(axis=1), chances)
