"""What pairwise sub-dimensions are worth: every way to decide a category, on the same vectors and split, side by side.

Zero-shot ways know the names of the classes alone; ways with labels are fitted on the training part. Probabilities are
calibrated on another part of the training items, but for a judge's own, which come from cross-fitting; everything is
judged on the evaluation items, which had no part in any of it. Texts and pictures are judged apart; how far they agree
is not how far they are right.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.baselines import CosineScorer, NearestMeanScorer, OneVsRestScorer
from models.calibration import Calibrator, calibrate
from models.category.judge import fit_judge
from models.class_statistics import class_statistics
from models.logistic import LogisticScorer
from models.metrics import f1_scores
from models.pairwise import PairwiseClassifier, Tournament
from models.prototypes import Sure, mean_prototypes, prompt_prototypes, pseudo_labels
from models.reliability import abstention_curve, calibration_error_by_chance, expected_calibration_error
from models.tournaments import Decisions, decide
from models.vector_blocks import Labels, Rows, Vectors, modality_centre

CALIBRATION_SHARE: Final = 0.2
ABSTAINED: Final = 0.1
ZERO_SHOT: Final = "zero-shot"
WITH_LABELS: Final = "with labels"

Decide = Callable[[Vectors], Decisions]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to decide.

    Attributes:
        decide: decides items.
        calibrator: its own; None: one is fitted on items that only calibrate.
    """

    decide: Decide
    calibrator: Calibrator | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """Items of one kind of vectors: `vectors (n, d)` and their true classes, `labels (n,)`."""

    vectors: Vectors
    labels: Labels


@dataclass(frozen=True, slots=True)
class Figures:
    """How well one way decides one kind of items.

    Attributes:
        way: its name.
        knows: zero-shot, or with labels.
        kind: text or image.
        accuracy: share of evaluation items that are right.
        macro_f1: mean over the classes that occur.
        calibration_error: expected, over 15 bins.
        calibration_chance: what it would be on so few items if every probability held.
        errors_left: of the errors, the share left when the least sure tenth is not answered.
        seconds_per_million: time to decide, of a million items.
    """

    way: str
    knows: str
    kind: str
    accuracy: float
    macro_f1: float
    calibration_error: float
    calibration_chance: float
    errors_left: float
    seconds_per_million: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the two kinds agree on the same items: weighted F1 of one judged by the other."""

    way: str
    knows: str
    weighted_f1: float


@dataclass(frozen=True, slots=True)
class Study:
    """All figures of one catalogue.

    Attributes:
        classes: how many.
        train: items fitted on, of each kind.
        evaluated: items judged, of each kind.
        pseudo_right: of each kind, the share of pseudo-labels that are right, and of items that got one.
    """

    classes: int
    train: Mapping[str, int]
    evaluated: Mapping[str, int]
    pseudo_right: Mapping[str, tuple[float, float]]
    figures: tuple[Figures, ...]
    agreements: tuple[Agreement, ...]

    def to_json(self) -> dict[str, object]:
        """Return everything as plain values."""
        return asdict(self)


def ways_of(train: Items, prompts: Vectors, names: Sequence[str], sure: Sure) -> dict[tuple[str, str], Way]:
    """Return every way to decide one kind of vectors, by what it knows and its name.

    Args:
        train: fitted on; the labels are used by the ways that know them only.
        prompts: `(C, d)`, the vectors of the classes' names.
        names: of the C classes.
        sure: when a guess is a pseudo-label.
    """
    classes, centre = len(names), modality_centre(train.vectors)
    about = prompt_prototypes(prompts, modality_centre(prompts))
    guessed = pseudo_labels(train.vectors, about, centre, sure).labels
    ways: dict[tuple[str, str], Way] = {
        (ZERO_SHOT, "argmax cosine"): _by(CosineScorer(prompt_prototypes(prompts)).scores),
        (ZERO_SHOT, "argmax cosine, centred"): _by(CosineScorer(about, centre).scores),
    }
    for knows, labels, prototypes in ((ZERO_SHOT, guessed, about), (WITH_LABELS, train.labels, None)):
        statistics = class_statistics(train.vectors, labels, classes)
        means = mean_prototypes(statistics, centre)
        one_vs_rest = OneVsRestScorer.fit(statistics, prototypes if prototypes is not None else means, centre)
        pairwise = PairwiseClassifier.fit(train.vectors, labels, names, prototypes=prototypes, centre=centre)
        ways[knows, "one-vs-rest sub-dimensions"] = _by(one_vs_rest.scores)
        ways[knows, "pairwise, one bracket"] = _tournament(pairwise, Tournament.BRACKET)
        ways[knows, "pairwise, 15 brackets vote"] = _tournament(pairwise, Tournament.VOTING)
        ways[knows, "pairwise, margin sum"] = _tournament(pairwise, Tournament.MARGIN_SUM)
        if knows == ZERO_SHOT:
            by_means = PairwiseClassifier.fit(train.vectors, labels, names, centre=centre)
            ways[knows, "pairwise, margin sum, means of pseudo-labels"] = _tournament(by_means, Tournament.MARGIN_SUM)
            ways[knows, "nearest mean of pseudo-labels"] = _by(CosineScorer(means, centre).scores)
        else:
            judge, _ = fit_judge(train.vectors, labels, names)
            ways[knows, "pairwise, margin sum, spread evened out, class biases"] = Way(judge.decide, judge.calibrator)
            ways[knows, "cosine to class means"] = _by(CosineScorer(means, centre).scores)
            ways[knows, "nearest prototype"] = _by(NearestMeanScorer.fit(statistics).scores)
    logistic = LogisticScorer.fit(train.vectors, train.labels, classes, centre=centre)
    ways[WITH_LABELS, "logistic regression"] = _by(logistic.scores)
    return ways


def _by(scores: Callable[[Vectors], Rows]) -> Way:
    return Way(lambda vectors: decide(scores(vectors)))


def _tournament(classifier: PairwiseClassifier, tournament: Tournament) -> Way:
    return Way(lambda vectors: classifier.classify(vectors, tournament))


def study(
    train: Mapping[str, Items],
    evaluated: Mapping[str, Items],
    prompts: Vectors,
    names: Sequence[str],
    *,
    sure: Sure | None = None,
    seed: int = 0,
) -> Study:
    """Return the figures of every way on every kind of items.

    Args:
        train: by kind, fitted on; a fifth of them only calibrates.
        evaluated: by kind, judged on; row i of every kind is the same item.
        prompts: `(C, d)`, the vectors of the classes' names.
        names: of the C classes.
        sure: when a guess is a pseudo-label; the article's rule when None.
        seed: of the calibration split.
    """
    rule = sure or Sure()
    figures: list[Figures] = []
    decided: dict[tuple[str, str], dict[str, Labels]] = {}
    pseudo: dict[str, tuple[float, float]] = {}
    for kind, items in train.items():
        fitted, held = _split(items, seed)
        pseudo[kind] = _pseudo_right(fitted, prompts, rule)
        for (knows, name), way in ways_of(fitted, prompts, names, rule).items():
            found, of_way = _figures(way, held, evaluated[kind])
            figures.append(Figures(name, knows, kind, **of_way))
            decided.setdefault((knows, name), {})[kind] = found
    agreements = [
        Agreement(way, knows, f1_scores(of_kind["text"], of_kind["image"], len(names)).weighted)
        for (knows, way), of_kind in decided.items()
        if {"text", "image"} <= set(of_kind)
    ]
    return Study(
        classes=len(names),
        train={kind: len(items.labels) for kind, items in train.items()},
        evaluated={kind: len(items.labels) for kind, items in evaluated.items()},
        pseudo_right=pseudo,
        figures=tuple(figures),
        agreements=tuple(agreements),
    )


def _split(items: Items, seed: int) -> tuple[Items, Items]:
    """Return the part that is fitted on, and the one that calibrates."""
    held = np.random.default_rng(seed).random(len(items.labels)) < CALIBRATION_SHARE
    return Items(items.vectors[~held], items.labels[~held]), Items(items.vectors[held], items.labels[held])


def _pseudo_right(train: Items, prompts: Vectors, sure: Sure) -> tuple[float, float]:
    about = prompt_prototypes(prompts, modality_centre(prompts))
    guessed = pseudo_labels(train.vectors, about, modality_centre(train.vectors), sure).labels
    given = guessed >= 0
    right = float((guessed == train.labels)[given].mean()) if given.any() else 0.0
    return right, float(given.mean())


def _figures(way: Way, held: Items, evaluated: Items) -> tuple[Labels, dict[str, float]]:
    calibrator = way.calibrator or calibrate(way.decide(held.vectors), held.labels).calibrator
    began = time.perf_counter()
    decisions = way.decide(evaluated.vectors)
    seconds = time.perf_counter() - began
    right: NDArray[np.bool_] = decisions.classes == evaluated.labels
    probability = calibrator.probability(decisions)
    wrong = 1 - right.mean()
    left = abstention_curve(probability, right, [ABSTAINED])[0] * (1 - ABSTAINED)
    return decisions.classes, {
        "accuracy": float(right.mean()),
        "macro_f1": f1_scores(evaluated.labels, decisions.classes, int(decisions.scores.shape[1])).macro,
        "calibration_error": expected_calibration_error(probability, right),
        "calibration_chance": calibration_error_by_chance(probability),
        "errors_left": float(left / wrong) if wrong else 0.0,
        "seconds_per_million": seconds / len(right) * 1e6,
    }
