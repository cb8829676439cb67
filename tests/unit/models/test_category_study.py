"""The comparison of ways to decide a category: its figures counted again by hand, and its table."""

import json
import math

import numpy as np
import pytest

from models.calibration import Temperature
from models.category import study as study_module
from models.category.study import WITH_LABELS, ZERO_SHOT, Agreement, Figures, Items, Study, Way, study
from models.category.tables import study_table
from models.prototypes import Sure
from models.tournaments import decide

NAMES = ("a", "b", "c")
SURE = Sure(margin=0.0)
WAYS = {
    ZERO_SHOT: {
        "argmax cosine",
        "argmax cosine, centred",
        "one-vs-rest sub-dimensions",
        "pairwise, one bracket",
        "pairwise, 15 brackets vote",
        "pairwise, margin sum",
        "pairwise, margin sum, means of pseudo-labels",
        "nearest mean of pseudo-labels",
    },
    WITH_LABELS: {
        "one-vs-rest sub-dimensions",
        "pairwise, one bracket",
        "pairwise, 15 brackets vote",
        "pairwise, margin sum",
        "pairwise, margin sum, spread evened out, class biases",
        "cosine to class means",
        "nearest prototype",
        "logistic regression",
    },
}
MEANS = np.random.default_rng(5).normal(size=(3, 6)) + 1


def items(seed, n, spread):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n).astype(np.int32)
    return Items((MEANS[labels] + spread * rng.normal(size=(n, 6))).astype(np.float32), labels)


def both(seed, n):
    """Two kinds of vectors of the same items, pictures noisier."""
    text = items(seed, n, 1.0)
    noisier = text.vectors + 1.2 * np.random.default_rng(seed + 1).normal(size=text.vectors.shape)
    return {"text": text, "image": Items(noisier.astype(np.float32), text.labels)}


@pytest.fixture(scope="module")
def found():
    return study(both(0, 400), both(10, 300), MEANS.astype(np.float32), NAMES, sure=SURE)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_every_way_is_there_for_both_kinds(found):
    for kind in ("text", "image"):
        ways = {knows: {f.way for f in found.figures if f.kind == kind and f.knows == knows} for knows in WAYS}
        assert ways == WAYS
    assert {(a.knows, a.way) for a in found.agreements} == {(knows, way) for knows in WAYS for way in WAYS[knows]}
    assert (found.classes, found.train, found.evaluated) == (
        3, {"text": 400, "image": 400}, {"text": 300, "image": 300},
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["text", "image"])
def test_accuracy_counted_again(found, kind):
    train, evaluated = both(0, 400)[kind], both(10, 300)[kind]
    fitted, held = study_module._split(train, 0)
    assert len(fitted.labels) + len(held.labels) == 400
    assert 50 < len(held.labels) < 110
    centre = fitted.vectors.mean(axis=0)
    class_means = np.stack([fitted.vectors[fitted.labels == c].mean(axis=0) for c in range(3)])
    want = {
        (ZERO_SHOT, "argmax cosine"): unit(evaluated.vectors) @ unit(MEANS).T,
        (ZERO_SHOT, "argmax cosine, centred"): unit(evaluated.vectors - centre) @ unit(MEANS - MEANS.mean(axis=0)).T,
        (WITH_LABELS, "cosine to class means"): unit(evaluated.vectors - centre) @ unit(class_means - centre).T,
        (WITH_LABELS, "nearest prototype"): -np.linalg.norm(
            evaluated.vectors[:, None] - class_means[None], axis=2
        ),
    }  # fmt: skip
    for (knows, way), scores in want.items():
        right = sum(int(s.argmax()) == t for s, t in zip(scores, evaluated.labels, strict=True))
        (figures,) = [f for f in found.figures if (f.kind, f.knows, f.way) == (kind, knows, way)]
        assert figures.accuracy == pytest.approx(right / 300)
        assert 0.5 < figures.accuracy < 1


def test_agreement_is_of_one_kind_with_the_other(found):
    text = items(20, 300, 1.0)
    same = study({"text": text, "image": text}, {"text": text, "image": text}, MEANS.astype(np.float32), NAMES)
    assert {a.weighted_f1 for a in same.agreements} == {1.0}
    # Counted again for argmax cosine, class by class.
    evaluated = both(10, 300)
    t, i = ((unit(evaluated[kind].vectors) @ unit(MEANS).T).argmax(axis=1) for kind in ("text", "image"))
    f1 = [2 * ((t == c) & (i == c)).sum() / ((t == c).sum() + (i == c).sum()) for c in range(3)]
    (agreement,) = [a for a in found.agreements if (a.knows, a.way) == (ZERO_SHOT, "argmax cosine")]
    assert agreement.weighted_f1 == pytest.approx(sum(f * (t == c).mean() for c, f in enumerate(f1)))
    assert agreement.weighted_f1 < 1


def test_figures_by_hand():
    """Ten items of two classes, the score their difference; wrong are the least sure and the third surest."""
    margins = np.array([0.1, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3])
    stated = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    true = stated.copy()
    true[[0, 7]] = 1 - stated[[0, 7]]
    scores = np.where(stated[:, None] == np.arange(2), margins[:, None], 0).astype(np.float32)
    rng = np.random.default_rng(0)
    calibrating = rng.normal(size=(3_000, 2)).astype(np.float32)
    chance = 1 / (1 + np.exp(-2 * (calibrating[:, 1] - calibrating[:, 0])))
    held = Items(calibrating, (rng.random(3_000) < chance).astype(np.int32))  # a temperature of a half
    classes, figures = study_module._figures(Way(decide), held, Items(scores, true.astype(np.int32)))
    assert classes.tolist() == stated.tolist()
    assert figures["accuracy"] == pytest.approx(0.8)
    # Class 0: 4 right of 5 stated and 5 true. Class 1: the same.
    assert figures["macro_f1"] == pytest.approx(0.8)
    assert figures["errors_left"] == pytest.approx(0.5)  # one item is not answered, and it is one of two errors
    p = 1 / (1 + np.exp(-2 * margins))
    bins = np.minimum((p * 15).astype(int), 14)
    error = sum(abs(p[bins == b].sum() - (true == stated)[bins == b].sum()) for b in set(bins)) / 10
    assert figures["calibration_error"] == pytest.approx(error, abs=0.03)
    assert figures["seconds_per_million"] > 0
    assert Temperature.fit(decide(held.vectors), held.labels).value == pytest.approx(0.5, rel=0.1)


def test_a_way_that_has_probabilities_of_its_own_is_judged_by_them():
    """All answers are stated at .95, and all are right."""
    some = Items(np.eye(2, dtype=np.float32).repeat(5, axis=0), np.repeat([0, 1], 5).astype(np.int32))
    scores = np.log(19) * some.vectors
    way = Way(lambda vectors: decide(np.log(19) * vectors), Temperature(1.0))
    assert Temperature(1.0).probabilities(scores).max(axis=1) == pytest.approx(0.95)
    figures = study_module._figures(way, some, Items(some.vectors, some.labels))[1]
    assert figures["calibration_error"] == pytest.approx(0.05)
    # Of ten answers at .95 each, the mean of |.95 - share that is right|.
    binomial = [math.comb(10, k) * 0.95**k * 0.05 ** (10 - k) * abs(0.95 - k / 10) for k in range(11)]
    assert figures["calibration_chance"] == pytest.approx(sum(binomial), abs=0.01)


def test_without_an_error_none_is_left():
    some = Items(np.eye(2, dtype=np.float32).repeat(5, axis=0), np.repeat([0, 1], 5).astype(np.int32))
    assert study_module._figures(Way(decide), some, some)[1]["errors_left"] == 0


def test_pseudo_labels_are_counted_right():
    prompts = np.array([[1, 0], [0, 1]], np.float32)
    # About their centre: two along the first prompt, two along the second, two that are as far from either.
    vectors = np.array([[1, -1], [2, -2], [-1, 1], [-2, 2], [3, 3], [-3, -3]], np.float32) + 5
    labels = np.array([0, 1, 1, 1, 0, 0], np.int32)
    right, share = study_module._pseudo_right(Items(vectors, labels), prompts, Sure(margin=0.5))
    assert (right, share) == (pytest.approx(3 / 4), pytest.approx(4 / 6))
    crosswise = Items(vectors[4:], labels[4:])
    assert study_module._pseudo_right(crosswise, prompts, Sure(margin=0.5)) == (0.0, 0.0)


def test_the_table_holds_a_line_for_each_way():
    figures = tuple(
        Figures(way, knows, kind, accuracy, 0.25, 0.125, 0.0625, 0.5, seconds)
        for way, knows in (("one", "labels"), ("two", "nothing"))
        for kind, accuracy, seconds in (("text", 0.7, 12.0), ("image", 0.9, 34.4))
    )
    agreements = (Agreement("one", "labels", 0.8125), Agreement("two", "nothing", 0.1))
    stated = Study(2, {"text": 5, "image": 5}, {"text": 7, "image": 7}, {"text": (0.5, 0.75)}, figures, agreements)
    lines = study_table(stated).splitlines()
    assert lines[0] == "2 classes; 5 items to fit on and calibrate with, 7 judged"
    assert lines[1] == "pseudo-labels: text 0.500 right, given to 0.75"
    assert lines[5:] == [
        "| labels | one | 0.700 | 0.250 | 0.125 (0.062) | 0.900 | 0.250 | 0.125 (0.062) | 0.812 | 0.50 / 0.50 | 34 |",
        "| nothing | two | 0.700 | 0.250 | 0.125 (0.062) | 0.900 | 0.250 | 0.125 (0.062) | 0.100 | 0.50 / 0.50 | 34 |",
    ]
    assert {line.count("|") for line in lines[3:]} == {12}


def test_the_table_and_the_json_hold_everything(found):
    lines = study_table(found).splitlines()
    assert len(lines) == 5 + sum(map(len, WAYS.values()))
    plain = json.loads(json.dumps(found.to_json()))
    assert len(plain["figures"]) == 2 * 16
    assert {f["kind"] for f in plain["figures"]} == {"text", "image"}
