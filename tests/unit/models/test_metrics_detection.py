"""Overlap, matching and average precision of boxes against hand-worked cases and a naive oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics import PictureBoxes, detection_average_precision, detection_interval, match_boxes, overlaps

LEFT, RIGHT = [0, 0, 10, 10], [20, 0, 30, 10]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
        ([0, 0, 10, 10], [5, 0, 15, 10], 50 / 150),
        ([0, 0, 10, 10], [2, 2, 7, 7], 25 / 100),
        ([0, 0, 10, 10], [10, 0, 20, 10], 0.0),  # the right edge is exclusive
        ([0, 0, 0, 10], [0, 0, 0, 10], 0.0),  # no area
    ],
)
def test_overlap_by_hand(a, b, expected):
    assert overlaps([a], [b]).item() == pytest.approx(expected)
    assert overlaps([b], [a]).item() == pytest.approx(expected)


def test_the_surest_box_is_matched_first_and_each_product_once():
    found = [[0, 0, 10, 8], LEFT, [21, 0, 30, 10], [50, 50, 60, 60]]
    assert match_boxes(found, [0.9, 0.8, 0.7, 0.6], [LEFT, RIGHT]).tolist() == [0, -1, 1, -1]
    assert match_boxes(found, [0.8, 0.9, 0.7, 0.6], [LEFT, RIGHT]).tolist() == [-1, 0, 1, -1]
    assert match_boxes([], [], [LEFT]).tolist() == []
    assert match_boxes([LEFT], [0.5], []).tolist() == [-1]


def test_average_precision_by_hand():
    # In order of confidence: right, wrong, right; of 4 products. Precision 1 up to recall 1/4 (recalls 0..0.25: 26 of
    # the 101), 2/3 up to 2/4 (0.26..0.50: 25), 0 beyond.
    pictures = [
        PictureBoxes([LEFT, [50, 50, 60, 60]], [0.9, 0.8], [LEFT, RIGHT]),
        PictureBoxes([RIGHT], [0.7], [LEFT, RIGHT]),
    ]
    assert detection_average_precision(pictures) == pytest.approx((26 * 1 + 25 * 2 / 3) / 101)


def test_all_found_nothing_found_and_nothing_there():
    assert detection_average_precision([PictureBoxes([LEFT], [0.1], [LEFT])]) == 1.0
    assert detection_average_precision([PictureBoxes([], [], [LEFT])]) == 0.0
    assert detection_average_precision([PictureBoxes([LEFT], [0.9], [])]) == 0.0
    assert detection_average_precision([]) == 0.0


def naive(pictures, least):
    """Every step with plain loops: sort, match, count, then the best precision at or beyond each recall."""
    total = sum(len(true) for _, _, true in pictures)
    entries = [(-c, p, i) for p, (_, sure, _) in enumerate(pictures) for i, c in enumerate(sure)]
    taken, outcomes = set(), []
    for _, p, i in sorted(entries):
        found, _, true = pictures[p]
        left = [(overlaps([found[i]], [t]).item(), -j) for j, t in enumerate(true) if (p, j) not in taken]
        over, j = max(left, default=(0.0, 0))
        right = bool(left) and over >= least
        if right:
            taken.add((p, -j))
        outcomes.append(right)
    points = [(sum(outcomes[:n]) / n, sum(outcomes[:n])) for n in range(1, len(outcomes) + 1)]
    precisions = [
        max((precision for precision, hits in points if hits * 100 >= r * total), default=0.0) for r in range(101)
    ]
    return sum(precisions) / 101 if total else 0.0


SIDE = st.integers(1, 4)
BOX = st.builds(lambda x, y, w, h: [x, y, x + w, y + h], st.integers(0, 4), st.integers(0, 4), SIDE, SIDE)


@st.composite
def judged(draw):
    pictures = []
    for _ in range(draw(st.integers(1, 4))):
        found = draw(st.lists(BOX, max_size=5))
        sure = [draw(st.sampled_from([0.1, 0.5, 0.9])) for _ in found]
        pictures.append((found, sure, draw(st.lists(BOX, max_size=4))))
    return pictures


@settings(deadline=None, max_examples=50)
@given(judged(), st.sampled_from([0.3, 0.5, 0.75]))
def test_average_precision_is_the_naive_oracle(pictures, least):
    found = detection_average_precision([PictureBoxes(*one) for one in pictures], least)
    assert found == pytest.approx(naive(pictures, least))


def test_the_interval_is_of_pictures_and_repeats_itself():
    hit, miss = PictureBoxes([LEFT], [0.9], [LEFT]), PictureBoxes([], [], [LEFT])
    interval = detection_interval([hit] * 60 + [miss] * 40, seed=1)
    assert interval == detection_interval([hit] * 60 + [miss] * 40, seed=1)
    assert interval.mean == pytest.approx(61 / 101)
    spread = 1.96 * np.sqrt(0.6 * 0.4 / 100)  # recall is binomial over pictures, and all of the precision is 1
    assert interval.low == pytest.approx(0.6 - spread, abs=0.03)
    assert interval.high == pytest.approx(0.6 + spread, abs=0.03)


@pytest.mark.parametrize(
    ("found", "sure", "message"),
    [([[0, 0, 1]], [1.0], "boxes must be"), ([LEFT], [], "confidences"), ([LEFT], [float("nan")], "finite")],
)
def test_what_does_not_fit_is_refused(found, sure, message):
    with pytest.raises(ValueError, match=message):
        match_boxes(found, sure, [LEFT])


def test_an_interval_of_nothing_is_refused():
    with pytest.raises(ValueError, match="needed"):
        detection_interval([])
