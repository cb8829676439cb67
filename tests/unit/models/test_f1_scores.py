"""F1 of decisions among classes: by hand, and by counting every class of every item."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics import f1_scores


def test_by_hand():
    # Class 0: 2 of 3 found, stated 3 times, F1 2/3. Class 1: 1 of 2, stated twice, 1/2. Class 2: never, stated once.
    true, stated = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2])
    found = f1_scores(true, stated, 4)
    f1 = {0: 2 * 2 / (3 + 2), 1: 2 * 1 / (2 + 2)}
    assert found.macro == pytest.approx((f1[0] + f1[1]) / 2)
    assert found.weighted == pytest.approx((3 * f1[0] + 2 * f1[1]) / 5)


def test_all_right_and_all_wrong():
    some = np.array([0, 1, 1, 3])
    right, wrong = f1_scores(some, some, 5), f1_scores(some, np.full(4, 2), 5)
    assert (right.macro, right.weighted, wrong.macro, wrong.weighted) == (1, 1, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_is_precision_and_recall_counted(pairs):
    scores, occurs = {}, {}
    for c in range(5):
        hits = sum(t == s == c for t, s in pairs)
        stated, true = sum(s == c for _, s in pairs), sum(t == c for t, _ in pairs)
        precision, recall = hits / stated if stated else 0, hits / true if true else 0
        if true:
            scores[c] = 2 * precision * recall / (precision + recall) if hits else 0
            occurs[c] = true
    found = f1_scores(*(np.array(side) for side in zip(*pairs, strict=True)), 5)
    assert found.macro == pytest.approx(sum(scores.values()) / len(scores))
    assert found.weighted == pytest.approx(sum(scores[c] * occurs[c] for c in scores) / len(pairs))


@pytest.mark.parametrize(
    ("true", "stated", "message"),
    [
        ([], [], "n >= 1"),
        ([0], [0, 1], "n >= 1"),
        ([[0]], [[0]], "n >= 1"),
        ([0, 3], [0, 1], r"0\.\.2, not 0\.\.3"),
        ([0, 1], [-1, 1], r"0\.\.2, not -1\.\.1"),
    ],
)
def test_what_is_no_class_is_refused(true, stated, message):
    with pytest.raises(ValueError, match=message):
        f1_scores(np.array(true, int), np.array(stated, int), 3)
