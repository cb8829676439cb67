"""Calibration: pooled violators against all partitions, temperatures that are known, errors that must fall."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import Isotonic, Method, Temperature, calibrate, calibrator_from_arrays, fit_calibrator
from models.isotonic import RisingCurve, pool_adjacent_violators
from models.linking_report import calibration as linking_calibration
from models.reliability import (
    abstention_curve,
    calibration_error_by_chance,
    expected_calibration_error,
    log_loss,
    reliability,
)
from models.tournaments import decide

NUMBERS = st.floats(-10, 10).map(lambda v: round(v, 1))


def drawn(seed, n=4_000, classes=6, temperature=0.25):
    """Scores whose softmax over `temperature` is the truth: labels are drawn from it."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, classes)) * 0.6
    p = np.exp(scores / temperature)
    p /= p.sum(axis=1, keepdims=True)
    labels = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return decide(scores), labels, p


class TestPooling:
    @settings(deadline=None)
    @given(st.lists(st.tuples(NUMBERS, st.integers(1, 5)), min_size=1, max_size=7))
    def test_is_the_best_of_all_partitions_into_levels(self, points):
        values, weights = (np.array(side, float) for side in zip(*points, strict=True))
        best, least = None, math.inf
        for cuts in itertools.product([False, True], repeat=len(values) - 1):
            level = np.concatenate([[0], np.cumsum(cuts)]).astype(int)
            means = np.bincount(level, values * weights) / np.bincount(level, weights)
            loss = float((weights * (values - means[level]) ** 2).sum())
            if (np.diff(means) >= 0).all() and loss < least - 1e-12:
                best, least = means[level], loss
        np.testing.assert_allclose(pool_adjacent_violators(values, weights), best, atol=1e-6)

    @settings(deadline=None)
    @given(st.lists(NUMBERS, min_size=1, max_size=40))
    def test_is_the_max_of_mins_of_means(self, values):
        n = len(values)
        mean = {(j, k): sum(values[j : k + 1]) / (k + 1 - j) for j in range(n) for k in range(j, n)}
        want = [max(min(mean[j, k] for k in range(i, n)) for j in range(i + 1)) for i in range(n)]
        found = pool_adjacent_violators(values)
        np.testing.assert_allclose(found, want, atol=1e-9)
        assert (np.diff(found) >= 0).all()

    def test_by_hand(self):
        assert pool_adjacent_violators([1, 3, 2, 4]).tolist() == [1, 2.5, 2.5, 4]
        assert pool_adjacent_violators([3, 2, 1]).tolist() == [2, 2, 2]
        assert pool_adjacent_violators([2, 0], [3, 1]).tolist() == [1.5, 1.5]
        assert pool_adjacent_violators([]).tolist() == []

    @pytest.mark.parametrize("bad", [([math.nan], None), ([1.0], [0.0]), ([1.0], [1.0, 2.0]), ([[1.0]], None)])
    def test_what_cannot_be_pooled_is_refused(self, bad):
        with pytest.raises(ValueError, match="values and weights"):
            pool_adjacent_violators(*bad)


class TestCurve:
    def test_by_hand(self):
        curve = RisingCurve.fit([3, 1, 2, 4, 1], [0, 1, 1, 1, 0])
        # Means by x: 1 -> 1/2, 2 -> 1, 3 -> 0, 4 -> 1; 2 and 3 pool to 1/2 with 1, so 1..3 -> 1/2.
        assert (curve.x.tolist(), curve.y.tolist()) == ([1, 3, 4], [0.5, 0.5, 1])
        assert curve([0, 2, 3.5, 9]).tolist() == [0.5, 0.5, 0.75, 1]

    @settings(deadline=None)
    @given(st.lists(st.tuples(NUMBERS, st.booleans()), min_size=1, max_size=60))
    def test_passes_through_the_pooled_means(self, points):
        x, y = (np.array(side, float) for side in zip(*points, strict=True))
        at = np.unique(x)
        want = pool_adjacent_violators([y[x == v].mean() for v in at], [(x == v).sum() for v in at])
        np.testing.assert_allclose(RisingCurve.fit(x, y)(at), want, atol=1e-12)

    def test_what_is_no_curve_is_refused(self):
        for x, y in (([], []), ([math.nan], [1]), ([1, 2], [1])):
            with pytest.raises(ValueError, match="x and y must be"):
                RisingCurve.fit(x, y)
        for x, y in (([1.0, 1.0], [0.0, 1.0]), ([1.0, 2.0], [1.0, 0.0]), ([], [])):
            with pytest.raises(ValueError, match="rising curve"):
                RisingCurve(np.array(x), np.array(y))


class TestTemperature:
    @pytest.mark.parametrize("true", [0.1, 0.25, 1.0, 3.0])
    def test_is_found_where_it_is_known(self, true):
        decisions, labels, _ = drawn(0, 20_000, temperature=true)
        assert Temperature.fit(decisions, labels).value == pytest.approx(true, rel=0.1)

    def test_is_where_the_loss_is_least(self):
        decisions, labels, _ = drawn(1, 500)
        best = Temperature.fit(decisions, labels).value

        def loss(value):
            return -np.log(Temperature(value).probabilities(decisions.scores)[np.arange(500), labels]).mean()

        assert loss(best) < min(loss(best * 1.02), loss(best / 1.02))

    def test_probabilities_add_up_and_a_class_that_cannot_win_has_none(self):
        p = Temperature(0.5).probabilities([[1.0, 0.5, -math.inf]])
        assert p.tolist() == [pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0])]

    def test_classes_that_cannot_win_and_unknown_labels_do_not_matter(self):
        decisions, labels, _ = drawn(2)
        want = Temperature.fit(decisions, labels).value
        scores = np.vstack([np.column_stack([decisions.scores, np.full(4_000, -np.inf)])] * 2)
        more = decide(scores)
        assert Temperature.fit(more, np.concatenate([labels, np.full(4_000, -1)])).value == pytest.approx(want)
        assert Temperature.fit(more, np.concatenate([labels, np.full(4_000, 6)])).value == pytest.approx(want)
        with pytest.raises(ValueError, match="no label is of a class that can win"):
            Temperature.fit(more, np.full(8_000, 6))

    def test_without_a_minimum_it_ends_where_there_is_nothing_to_gain_or_at_the_bound(self):
        decisions = decide(np.array([[1.0, 0.0], [0.0, 1.0]]))
        sure = Temperature.fit(decisions, np.array([0, 1]))
        assert sure.probability(decisions) == pytest.approx([1, 1], abs=1e-12)
        assert Temperature.fit(decisions, np.array([1, 0])).value == pytest.approx(1e6, rel=0.01)

    @pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
    def test_must_be_positive(self, bad):
        with pytest.raises(ValueError, match="must be positive"):
            Temperature(bad)


class TestCalibration:
    @pytest.mark.parametrize("method", Method)
    def test_makes_the_error_of_miscalibrated_scores_fall(self, method):
        decisions, labels, _ = drawn(3)
        test, truth, _ = drawn(4)
        right = test.classes == truth
        naive = expected_calibration_error(Temperature(1.0).probability(test), right)
        found = expected_calibration_error(fit_calibrator(method, decisions, labels).probability(test), right)
        assert naive > 0.2
        assert found < (0.15 if method is Method.SCORE else 0.04)

    def test_the_true_model_is_chosen_where_it_is_one_of_them(self):
        decisions, labels, p = drawn(5)
        found = calibrate(decisions, labels)
        assert found.method is Method.TEMPERATURE
        truth = log_loss(p.max(axis=1), decisions.classes == labels)
        assert found.losses[Method.TEMPERATURE] == pytest.approx(truth, abs=0.01)
        assert set(found.losses) == set(Method)

    @pytest.mark.parametrize("method", [Method.MARGIN, Method.SCORE])
    def test_isotonic_is_chosen_where_softmax_cannot_be_right(self, method):
        # Right half of the time below 0.5 and always above, whatever the other classes.
        rng = np.random.default_rng(0)
        best, margin = rng.random((2, 3_000))
        right = ((margin if method is Method.MARGIN else best) > 0.5) | (rng.random(3_000) < 0.5)
        scores = np.column_stack([best, best - margin, best - margin - 0.1])
        found = calibrate(decide(scores), np.where(right, 0, 2))
        assert found.method is method
        assert found.losses[method] == pytest.approx(math.log(2) / 2, abs=0.02)
        sure = decide(np.array([[0.9, 0.1, 0.0], [0.1, 0.0, -0.1]]))
        assert found.calibrator.probability(sure) == pytest.approx([1, 0.5], abs=0.05)

    def test_is_reproducible(self):
        decisions, labels, _ = drawn(6, 300)
        assert calibrate(decisions, labels).losses == calibrate(decisions, labels).losses
        assert calibrate(decisions, labels, seed=1).losses != calibrate(decisions, labels).losses

    def test_held_out_losses_are_of_items_the_fit_has_not_seen(self):
        # With labels that no score tells, a fit that sees them would beat the entropy of a coin.
        rng = np.random.default_rng(1)
        decisions = decide(rng.random((60, 2)))
        labels = np.where(rng.random(60) < 0.5, decisions.classes, 1 - decisions.classes)
        found = calibrate(decisions, labels, folds=60)
        seen = log_loss(
            Isotonic.fit(decisions, labels, Method.MARGIN).probability(decisions), decisions.classes == labels
        )
        assert seen < math.log(2) < found.losses[Method.MARGIN]

    def test_shares_stay_off_0_and_1(self):
        decisions = decide(np.array([[1.0, 0.0]] * 8))
        assert Isotonic.fit(decisions, np.zeros(8, int), Method.MARGIN).probability(decisions)[0] == 0.9
        assert Isotonic.fit(decisions, np.full(8, -1), Method.MARGIN).probability(decisions)[0] == pytest.approx(0.1)

    @pytest.mark.parametrize("method", Method)
    def test_comes_back_from_arrays(self, method):
        decisions, labels, _ = drawn(7, 200)
        fitted = fit_calibrator(method, decisions, labels)
        found = calibrator_from_arrays({"names": np.zeros(3)} | fitted.to_arrays())
        np.testing.assert_array_equal(found.probability(decisions), fitted.probability(decisions))

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({}, "not none"),
            ({"temperature": np.ones(1), "isotonic-score": np.ones((2, 1))}, "must be one of"),
            ({"temperature": np.ones(2)}, "temperature has the wrong shape"),
            ({"isotonic-margin": np.ones(4)}, "isotonic-margin has the wrong shape"),
        ],
    )
    def test_arrays_that_are_no_calibrator_are_refused(self, arrays, message):
        with pytest.raises(ValueError, match=message):
            calibrator_from_arrays(arrays)

    def test_too_little_is_refused(self):
        decisions, labels, _ = drawn(8, 3)
        with pytest.raises(ValueError, match="too few"):
            calibrate(decisions, labels, folds=1)
        with pytest.raises(ValueError, match="labels must be"):
            calibrate(decisions, labels[:2])
        one = decide(np.zeros((1, 2)))
        with pytest.raises(ValueError, match="too few"):
            calibrate(one, np.zeros(1, int))
        assert calibrate(decisions, labels).method in Method


class TestReliability:
    def test_by_hand(self):
        # Bins of a quarter: two answers at .5 (one right), one at .8 (wrong), one at 1 (right).
        found = reliability([0.5, 0.5, 0.8, 1.0], [True, False, False, True], 4)
        assert found.counts.tolist() == [0, 0, 2, 2]
        assert found.stated.tolist() == [0, 0, 0.5, 0.9]
        assert found.right.tolist() == [0, 0, 0.5, 0.5]
        assert found.error == pytest.approx(0.2)

    def test_perfect_and_worst(self):
        assert expected_calibration_error([0.0, 1.0], [False, True]) == 0
        assert expected_calibration_error([0.0, 1.0], [True, False]) == 1

    def test_there_are_15_equal_bins(self):
        p = (np.arange(15) + 0.5) / 15
        assert reliability(p, np.ones(15)).counts.tolist() == [1] * 15

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
    def test_is_that_of_the_linking_report_over_ten_bins(self, judged):
        want, _ = linking_calibration(judged)
        assert expected_calibration_error(*zip(*judged, strict=True), bins=10) == pytest.approx(want, abs=1e-12)

    def test_of_true_probabilities_is_small(self):
        decisions, labels, p = drawn(9, 20_000)
        assert expected_calibration_error(p.max(axis=1), decisions.classes == labels) < 0.01

    def test_log_loss_by_hand(self):
        assert log_loss([0.5, 0.8], [False, True]) == pytest.approx(-(math.log(0.5) + math.log(0.8)) / 2)
        assert log_loss([0.0], [True]) == pytest.approx(-math.log(1e-12))

    @pytest.mark.parametrize("bad", [([], []), ([1.1], [True]), ([math.nan], [True]), ([0.5], [True, False])])
    def test_what_are_no_probabilities_is_refused(self, bad):
        for measure in (log_loss, reliability):
            with pytest.raises(ValueError, match="probabilities"):
                measure(*bad)
        with pytest.raises(ValueError, match="at least 1 bin"):
            reliability([0.5], [True], 0)


class TestAbstention:
    def test_by_hand(self):
        # From the least sure: wrong, right, wrong, right, right.
        found = abstention_curve([0.9, 0.1, 0.5, 0.3, 0.7], [True, False, False, True, True], [0, 0.2, 0.4, 0.6, 0.9])
        assert found == pytest.approx([2 / 5, 1 / 4, 1 / 3, 0, 0])

    def test_a_constant_confidence_gains_nothing(self):
        found = abstention_curve(np.zeros(10), np.arange(10) < 5, [0, 0.3, 0.5, 0.9])
        assert found == pytest.approx([0.5, 5 / 7, 1, 1])

    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from([0, 1, 2, 5]), st.booleans()), min_size=1, max_size=30), st.floats(0, 0.99)
    )
    def test_is_that_of_a_loop(self, answers, share):
        left = sorted((sure, not right) for sure, right in answers)[math.floor(share * len(answers) + 1e-9) :]
        found = abstention_curve(*zip(*answers, strict=True), [share])
        assert found == pytest.approx([sum(wrong for _, wrong in left) / len(left)])

    def test_what_cannot_be_is_refused(self):
        for bad in (([], []), ([math.nan], [True]), ([1.0], [True, True])):
            with pytest.raises(ValueError, match="confidence and right"):
                abstention_curve(*bad, [0.1])
        for share in (-0.1, 1.0):
            with pytest.raises(ValueError, match="shares"):
                abstention_curve([1.0], [True], [share])


class TestErrorByChance:
    def test_falls_with_the_number_of_answers(self):
        p = np.random.default_rng(0).uniform(0.3, 1, 100_000)
        many, few = calibration_error_by_chance(p), calibration_error_by_chance(p[:200])
        assert many < 0.006
        assert 0.05 < few < 0.12

    def test_is_that_of_probabilities_that_hold(self):
        rng = np.random.default_rng(1)
        p = rng.uniform(0.3, 1, 300)
        seen = [expected_calibration_error(p, rng.random(300) < p) for _ in range(100)]
        assert calibration_error_by_chance(p) == pytest.approx(np.mean(seen), abs=0.005)

    def test_refuses_what_is_no_probability(self):
        with pytest.raises(ValueError, match=r"in 0\.\.1"):
            calibration_error_by_chance([0.5, 1.5])
        with pytest.raises(ValueError, match="at least 1 draw"):
            calibration_error_by_chance([0.5], draws=0)
