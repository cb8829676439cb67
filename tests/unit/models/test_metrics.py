"""Measures against naive oracles, hand-worked cases and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.metrics import (
    Difference,
    Interval,
    Rankings,
    average_precision,
    average_precision_at_k,
    bootstrap_interval,
    intervals,
    mrr,
    ndcg_at_k,
    paired_bootstrap,
    recall_at_k,
    retrieval_ranks,
    success_at_k,
)

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 12))


@st.composite
def judged_scores(draw):
    shape = draw(SHAPES)
    # Few distinct scores: most examples are full of ties.
    scores = draw(hnp.arrays(np.float64, shape, elements=st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0])))
    gains = draw(hnp.arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.0])))
    return scores, gains


def naive_list(scores, gains):
    """Gains of the returned items, best first, the least relevant first among equals."""
    returned = [(-s, g) for s, g in zip(scores, gains, strict=True) if s != -math.inf]
    return [g for _, g in sorted(returned)]


def naive_measures(listed, judged, k):
    relevant = [g for g in judged if g > 0]
    ranks = [r for r, g in enumerate(listed, start=1) if g > 0]
    dcg = sum(g / math.log2(r + 1) for r, g in enumerate(listed[:k], start=1))
    best = sum(g / math.log2(r + 1) for r, g in enumerate(sorted(relevant, reverse=True)[:k], start=1))
    precisions = [sum(1 for q in ranks if q <= r) / r for r in ranks]
    return {
        "success": float(any(r <= k for r in ranks)),
        "recall": sum(r <= k for r in ranks) / len(relevant) if relevant else 0.0,
        "mrr": 1 / ranks[0] if ranks else 0.0,
        "ndcg": dcg / best if best else 0.0,
        "ap": sum(precisions) / len(relevant) if relevant else 0.0,
        "ap@k": sum(p for p, r in zip(precisions, ranks, strict=True) if r <= k) / max(1, min(k, len(relevant))),
        "rank": float(ranks[0]) if ranks else math.inf,
    }


def all_measures(rankings, k):
    return {
        "success": success_at_k(rankings, k),
        "recall": recall_at_k(rankings, k),
        "mrr": mrr(rankings),
        "ndcg": ndcg_at_k(rankings, k),
        "ap": average_precision(rankings),
        "ap@k": average_precision_at_k(rankings, k),
    }


@settings(deadline=None)
@given(judged_scores(), st.integers(1, 14))
def test_every_measure_of_scores_equals_the_naive_oracle(judged, k):
    scores, gains = judged
    found = all_measures(Rankings.from_scores(scores, gains), k) | {"rank": retrieval_ranks(scores, gains > 0)}
    for q, (s, g) in enumerate(zip(scores, gains, strict=True)):
        expected = naive_measures(naive_list(s, g), g, k)
        assert {name: values[q] for name, values in found.items()} == pytest.approx(expected)


@settings(deadline=None)
@given(judged_scores(), st.integers(1, 14))
def test_lists_and_scores_give_the_same_values(judged, k):
    scores, gains = judged
    results = [
        [i for _, _, i in sorted((-s, g, i) for i, (s, g) in enumerate(zip(sr, gr, strict=True)) if s != -math.inf)]
        for sr, gr in zip(scores, gains, strict=True)
    ]
    judgements = [{i: g for i, g in enumerate(row) if g} for row in gains]
    by_list = all_measures(Rankings.from_lists(results, judgements), k)
    by_score = all_measures(Rankings.from_scores(scores, gains), k)
    for name, values in by_list.items():
        np.testing.assert_allclose(values, by_score[name])


def test_hand_worked_list():
    # Relevant: a (gain 3), b (2), c (1); returned: x, a, y, c.
    rankings = Rankings.from_lists([["x", "a", "y", "c"]], [{"a": 3, "b": 2, "c": 1}])
    assert success_at_k(rankings, 1) == [0]
    assert success_at_k(rankings, 2) == [1]
    assert recall_at_k(rankings, 2) == pytest.approx([1 / 3])
    assert recall_at_k(rankings, 10) == pytest.approx([2 / 3])
    assert mrr(rankings) == [0.5]
    assert average_precision(rankings) == pytest.approx([(1 / 2 + 2 / 4) / 3])
    assert average_precision_at_k(rankings, 2) == pytest.approx([(1 / 2) / 2])
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg_at_k(rankings, 4) == pytest.approx([(3 / math.log2(3) + 1 / math.log2(5)) / ideal])


def test_an_item_returned_twice_counts_once():
    rankings = Rankings.from_lists([["a", "a", "a"]], [{"a", "b"}])
    assert recall_at_k(rankings, 3) == [0.5]
    assert average_precision(rankings) == [0.5]


def test_queries_without_results_or_without_relevant_items_count_as_zero():
    rankings = Rankings.from_lists([[], ["a"], ["a"]], [{"a"}, set(), {"a"}])
    for values in all_measures(rankings, 3).values():
        assert values.tolist() == [0, 0, 1]


def test_nothing_returned_at_all():
    for values in all_measures(Rankings.from_lists([[], []], [{"a"}, {"b": 2.0}]), 5).values():
        assert values.tolist() == [0, 0]


def test_no_queries_at_all():
    assert success_at_k(Rankings.from_lists([], []), 1).shape == (0,)


def test_a_constant_scorer_is_last_among_its_ties():
    relevant = np.eye(10, dtype=bool)
    assert retrieval_ranks(np.zeros((10, 10)), relevant).tolist() == [10.0] * 10
    assert success_at_k(Rankings.from_scores(np.zeros((10, 10)), relevant), 9).sum() == 0


def test_ranks_of_a_perfect_and_a_reversed_scorer():
    relevant = np.eye(4, dtype=bool)
    assert retrieval_ranks(np.eye(4), relevant).tolist() == [1] * 4
    assert retrieval_ranks(-np.eye(4), relevant).tolist() == [4] * 4


@pytest.mark.parametrize(
    ("scores", "gains", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "must both be"),
        (np.zeros(3), np.zeros(3), "must both be"),
        ([[math.nan]], [[1]], "NaN"),
        ([[1.0]], [[-1.0]], "negative"),
        ([[1.0]], [[math.inf]], "finite"),
    ],
)
def test_bad_scores_are_refused(scores, gains, message):
    with pytest.raises(ValueError, match=message):
        Rankings.from_scores(scores, gains)


def test_bad_lists_shapes_and_k_are_refused():
    with pytest.raises(ValueError, match="1 result lists for 2"):
        Rankings.from_lists([["a"]], [{"a"}, {"b"}])
    with pytest.raises(ValueError, match="negative"):
        Rankings.from_lists([["a"]], [{"a": -1.0}])
    with pytest.raises(ValueError, match="must be"):
        Rankings(np.zeros((2, 3)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="at least 1"):
        recall_at_k(Rankings.from_lists([["a"]], [{"a"}]), 0)


def test_bootstrap_is_deterministic_and_moves_with_the_seed():
    values = np.random.default_rng(1).random(50)
    assert bootstrap_interval(values, 3) == bootstrap_interval(values, 3)
    assert bootstrap_interval(values, 3) != bootstrap_interval(values, 4)


def test_bootstrap_of_proportions_agrees_with_the_binomial():
    # The resampled mean of n zeros and ones is Binomial(n, p)/n: its normal interval is p +- 1.96 sqrt(pq/n).
    values = np.repeat([0.0, 1.0], [300, 700])
    found = bootstrap_interval(values, 0, resamples=20_000)
    half = 1.96 * math.sqrt(0.7 * 0.3 / 1000)
    assert found.mean == pytest.approx(0.7)
    assert (found.low, found.high) == pytest.approx((0.7 - half, 0.7 + half), abs=2e-3)


def test_bootstrap_does_not_depend_on_chunking(monkeypatch):
    values = np.random.default_rng(0).random(30)
    whole = bootstrap_interval(values, 5, resamples=100)
    monkeypatch.setattr(intervals, "_CHUNK_DRAWS", 64)
    assert bootstrap_interval(values, 5, resamples=100) == whole


def test_wider_confidence_gives_a_wider_interval():
    values = np.random.default_rng(2).random(40)
    narrow, wide = (bootstrap_interval(values, 0, confidence=c) for c in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_constant_values_have_an_interval_of_no_width():
    assert bootstrap_interval([0.25] * 7) == Interval(0.25, 0.25, 0.25)


def test_coverage_of_the_interval():
    # 95% intervals of a known mean should hold it about 95% of the time (percentile intervals a little less).
    rng = np.random.default_rng(7)
    held = 0
    for trial in range(200):
        found = bootstrap_interval(rng.random(60) < 0.4, trial, resamples=500)
        held += found.low <= 0.4 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_paired_differences_see_what_unpaired_intervals_cannot():
    rng = np.random.default_rng(3)
    b = rng.random(200)
    a = b + 0.02 + 0.01 * rng.standard_normal(200)
    found = paired_bootstrap(a, b)
    assert 0.015 < found.low < found.mean < found.high < 0.025
    assert found.p_value < 0.01
    swapped = paired_bootstrap(b, a)
    assert (swapped.mean, swapped.low, swapped.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_equal_systems_are_not_told_apart():
    values = np.random.default_rng(4).random(100)
    assert paired_bootstrap(values, values) == Difference(0.0, 0.0, 0.0, 1.0)
    noise = np.random.default_rng(5).standard_normal(400)
    assert paired_bootstrap(noise - noise.mean(), np.zeros(400)).p_value > 0.8


def test_p_values_of_no_difference_are_about_uniform():
    rng = np.random.default_rng(6)
    p = [paired_bootstrap(rng.standard_normal(80), np.zeros(80), t, resamples=400).p_value for t in range(200)]
    assert np.mean(np.array(p) < 0.1) < 0.2
    assert 0.4 < np.mean(p) < 0.6


@pytest.mark.parametrize("values", [[], [[1.0]], [math.nan], [math.inf, 1.0]])
def test_bootstrap_refuses_what_has_no_mean(values):
    with pytest.raises(ValueError, match="non-empty, finite"):
        bootstrap_interval(values)


def test_bootstrap_refuses_bad_parameters():
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval([1.0], confidence=1.0)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval([1.0], resamples=0)
    with pytest.raises(ValueError, match="differ in length"):
        paired_bootstrap([1.0], [1.0, 2.0])


@settings(max_examples=25, deadline=None)
@given(judged_scores())
def test_more_results_never_hurt_recall_or_success(judged):
    rankings = Rankings.from_scores(*judged)
    for measure in (recall_at_k, success_at_k):
        values = np.stack([measure(rankings, k) for k in range(1, 14)])
        assert (np.diff(values, axis=0) >= 0).all()
        assert ((values >= 0) & (values <= 1)).all()
