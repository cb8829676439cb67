"""Product1M's scorer: cases worked by hand, one for each of its quirks, and its steps written out naively."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics import product1m_scores

GALLERY = {"a1": "A", "a2": "A", "a3": "A", "b1": "B", "b2": "B", "c1": "C"}


def scored(results, labels, n):
    scores = product1m_scores([results], [labels], GALLERY, n)
    return [float(values[0]) for values in (scores.average_precision, scores.average_recall, scores.precision)]


@pytest.mark.parametrize(
    ("results", "labels", "n", "expected"),
    [
        # k = min(10, 5 positives, 4 listed) = 4; hits at 1 and 3; expected of A min(5, 3), of B min(5, 2).
        (["a1", "c1", "b1", "c1"], ["A", "B"], 10, [(1 + 2 / 3) / 2, (1 / 3 + 1 / 2) / 2, 2 / 4]),
        # One hit at rank 1 and nothing else: AP is 1.0, the mean over hits, where the standard one is 1/3.
        (["a1", "c1", "b1"], ["A"], 10, [1.0, 1 / 3, 1 / 3]),
        # k = 3 positives of A, so a hit at rank 4 counts for neither AP nor Prec; AR looks at N = 10.
        (["c1", "b1", "b2", "a1"], ["A"], 10, [0.0, 1 / 3, 0.0]),
        # N = 2 for two labels: one of each is expected.
        (["a1", "a2", "b1"], ["A", "B"], 2, [1.0, (1 / 1 + 0 / 1) / 2, 1.0]),
        # N = 1 for two labels: floor(1/2) = 0 is expected of either, and AR is 0 though the first is right.
        (["a1"], ["A", "B"], 1, [1.0, 0.0, 1.0]),
        # A twice: |L| = 3, floor(4/3) = 1 for each time, so 2 of A and 1 of B; positives 3 + 3 + 2 = 8, k = 4.
        (["a1", "c1", "a2", "b1"], ["A", "A", "B"], 4, [(1 + 2 / 3 + 3 / 4) / 3, (2 / 2 + 1 / 1) / 2, 3 / 4]),
        # The distinct labels are divided by, not the repeated ones.
        (["a1"], ["A", "A"], 10, [1.0, 1 / 3, 1.0]),
        # An id listed twice is two hits, and AR stays at most 1.
        (["c1", "c1"], ["C"], 10, [1.0, 1.0, 1.0]),
        # Exceptions count as zero: a label the gallery lacks takes everything,
        (["a1"], ["A", "Z"], 10, [0.0, 0.0, 0.0]),
        # no list at all, no label,
        ([], ["A"], 10, [0.0, 0.0, 0.0]),
        (["a1"], [], 10, [0.0, 0.0, 0.0]),
        # and an unknown id, here one that kept its space, takes AR even where it is beyond k;
        (["a1", "a2", "a3", " b1"], ["A"], 10, [1.0, 0.0, 1.0]),
        # beyond N it is never looked up.
        (["a1", "a2", " b1"], ["A"], 2, [1.0, 1.0, 1.0]),
    ],
)
def test_by_hand(results, labels, n, expected):
    assert scored(results, labels, n) == pytest.approx(expected)


def literal(results, labels, gallery, n):
    """The published steps: a list of positives, counters per label, and one `except` around everything."""
    by_label = {}
    for item, label in gallery.items():
        by_label.setdefault(label, []).append(item)
    sums = [0.0, 0.0, 0.0]
    try:
        positives = [item for label in labels for item in by_label[label]]
        k = min(n, len(positives), len(results))
        hits, total = 0, 0.0
        for i in range(k):
            if results[i] in positives:
                hits += 1
                total += hits / (i + 1)
        precision = hits / k
        sums[0], sums[2] = (total / hits if hits else 0), precision
        expected = {}
        for label in labels:
            expected[label] = expected.get(label, 0) + int(n / len(labels))
        expected = {label: min(count, len(by_label[label])) for label, count in expected.items()}
        retrieved = {}
        for item in results[:n]:
            label = gallery[item]
            if label in expected:
                retrieved[label] = retrieved.get(label, 0) + 1
        share = 0.0
        for label, count in retrieved.items():
            share += min(count, expected[label]) / expected[label]
        sums[1] = share / len(set(labels))
    except (KeyError, ZeroDivisionError):
        pass
    return sums


IDS = [*GALLERY, "x"]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from(IDS), max_size=8),
    st.lists(st.sampled_from(["A", "B", "C", "Z"]), max_size=4),
    st.integers(1, 9),
)
def test_it_is_the_published_procedure(results, labels, n):
    assert scored(results, labels, n) == pytest.approx(literal(results, labels, GALLERY, n))


def test_every_query_has_a_value_and_what_does_not_fit_is_refused():
    scores = product1m_scores([["a1"], []], [["A"], ["B"]], GALLERY, 10)
    np.testing.assert_allclose(scores.precision, [1.0, 0.0])
    assert product1m_scores([], [], GALLERY, 10).precision.shape == (0,)
    with pytest.raises(ValueError, match="1 result lists for 0"):
        product1m_scores([["a1"]], [], GALLERY, 10)
    with pytest.raises(ValueError, match="N must be"):
        product1m_scores([], [], GALLERY, 0)
