"""The classifiers to compare with: scores against loops, the regression against finite differences and its optimum."""

import math

import numpy as np
import pytest

from models import logistic
from models.baselines import CosineScorer, NearestMeanScorer, OneVsRestScorer
from models.class_statistics import class_statistics
from models.logistic import LogisticScorer, NotConvergedError, loss_and_gradient, minimised
from models.prototypes import mean_prototypes
from models.subdimensions import CutOff, one_vs_rest_subdimensions
from models.tournaments import decide
from models.vector_blocks import modality_centre, unit_rows

CLASSES = 5  # the last never has samples


def clouds(seed=0, n=300, d=12, noise=0.3):
    rng = np.random.default_rng(seed)
    y = rng.integers(CLASSES - 1, size=n)
    means = np.random.default_rng(99).normal(size=(CLASSES - 1, d)) + 1
    return (means[y] + noise * rng.normal(size=(n, d))).astype(np.float32), y


def fitted(kind, x, y):
    statistics, centre = class_statistics(x, y, CLASSES), modality_centre(x)
    if kind == "cosine":
        return CosineScorer(mean_prototypes(statistics, centre), centre)
    if kind == "one-vs-rest":
        return OneVsRestScorer.fit(statistics, centre=centre)
    if kind == "nearest-mean":
        return NearestMeanScorer.fit(statistics)
    return LogisticScorer.fit(x, y, CLASSES, centre=centre)


@pytest.mark.parametrize("kind", ["cosine", "one-vs-rest", "nearest-mean", "logistic"])
class TestEveryScorer:
    def test_is_near_perfect_on_separable_classes(self, kind):
        (x, y), (test, truth) = clouds(0), clouds(1)
        assert (decide(fitted(kind, x, y).scores(test)).classes == truth).mean() > 0.98

    def test_scores_are_float32_and_an_empty_class_cannot_win(self, kind):
        x, y = clouds()
        scores = fitted(kind, x, y).scores(x.astype(np.float16))
        assert (scores.shape, scores.dtype) == ((300, CLASSES), np.float32)
        assert np.isfinite(scores[:, :-1]).all()
        assert np.isneginf(scores[:, -1]).all()

    def test_each_item_is_scored_alone(self, kind):
        x, y = clouds()
        scorer, many = fitted(kind, x, y), np.tile(x, (10, 1))
        np.testing.assert_allclose(scorer.scores(many)[2_900:], scorer.scores(x)[200:], atol=1e-5)
        assert scorer.scores(x[:0]).shape == (0, CLASSES)

    def test_nan_and_other_dimensions_are_refused(self, kind):
        x, y = clouds()
        scorer = fitted(kind, x, y)
        bad = np.tile(x, (10, 1))
        bad[2_345, 2] = math.nan
        with pytest.raises(ValueError, match="row 2345 holds NaN"):
            scorer.scores(bad)
        with pytest.raises(ValueError, match="must be"):
            scorer.scores(x[:, :5])


class TestScores:
    def test_cosines_are_those_of_a_loop(self):
        x, y = clouds()
        centre = modality_centre(x)
        prototypes = mean_prototypes(class_statistics(x, y, CLASSES), centre)
        found = CosineScorer(prototypes, centre).scores(x[:9])
        for row, scores in zip(x[:9] - centre, found, strict=True):
            want = [row @ p / np.linalg.norm(row) / np.linalg.norm(p) for p in prototypes[:-1]]
            np.testing.assert_allclose(scores[:-1], want, atol=1e-6)

    def test_one_against_the_rest_uses_the_dimensions_of_each_class(self):
        x, y = clouds(noise=1.0)
        statistics, rule = class_statistics(x, y, CLASSES), CutOff(1.3, 2, 5)
        given = np.random.default_rng(2).normal(size=(CLASSES, 12)).astype(np.float32)
        found = OneVsRestScorer.fit(statistics, given, cutoff=rule).scores(x[:9])
        masks = one_vs_rest_subdimensions(statistics, rule)
        assert 2 <= masks[:-1].sum(axis=1).min() <= masks.sum(axis=1).max() <= 5
        for c, mask in enumerate(masks[:-1]):
            p, rows = given[c][mask], x[:9][:, mask]
            np.testing.assert_allclose(
                found[:, c], rows @ p / np.linalg.norm(p) / np.linalg.norm(rows, axis=1), atol=1e-5
            )

    def test_nothing_on_a_class_s_dimensions_scores_0(self):
        scorer = OneVsRestScorer(np.eye(2, 3, dtype=np.float32), np.array([[1, 0, 0], [0, 1, 0]], bool))
        assert scorer.scores(np.array([[0.0, 0.0, 2.0]])).tolist() == [[0, 0]]

    def test_nearest_mean_is_minus_the_squared_distance_far_from_the_origin_too(self):
        x, y = clouds()
        scorer = NearestMeanScorer.fit(class_statistics(x + 1_000, y, CLASSES))
        for c in range(CLASSES - 1):
            want = -((x[:9] - x[y == c].mean(axis=0)) ** 2).sum(axis=1)
            np.testing.assert_allclose(scorer.scores(x[:9] + 1_000)[:, c], want, rtol=1e-2, atol=1e-2)


class TestLogistic:
    @pytest.mark.parametrize("rows", [1, 7, 2_048])
    def test_the_gradient_is_that_of_finite_differences(self, rows, monkeypatch):
        monkeypatch.setattr(logistic, "ROWS", rows)
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(20, 3)).astype(np.float32), rng.integers(4, size=20).astype(np.int32)
        at = rng.normal(size=(4, 4))
        _, slope = loss_and_gradient(at, x, y, 0.3)
        for k in range(16):
            step = np.zeros(16)
            step[k] = 1e-6
            up, down = (loss_and_gradient((at.ravel() + s).reshape(4, 4), x, y, 0.3)[0] for s in (step, -step))
            assert slope[k] == pytest.approx((up - down) / 2e-6, abs=1e-8)

    def test_the_loss_by_hand(self):
        x, y = np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), np.array([0, 1], np.int32)
        assert loss_and_gradient(np.zeros((3, 3)), x, y, 1.0)[0] == pytest.approx(math.log(3))
        at = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]])
        # Logits (1.5, 0) and (0.5, 2); squared weights 2, the bias is free.
        want = (math.log1p(math.exp(-1.5)) + math.log1p(math.exp(-1.5))) / 2 + 0.1 / 2 * 2
        assert loss_and_gradient(at, x, y, 0.1)[0] == pytest.approx(want)

    def test_huge_logits_do_not_overflow(self):
        x, y = np.ones((1, 1), np.float32), np.array([1], np.int32)
        loss, slope = loss_and_gradient(np.array([[1e4, 0.0], [0.0, 0.0]]), x, y, 1e-9)
        assert loss == pytest.approx(1e4 + 0.05)
        assert np.isfinite(slope).all()

    def test_the_slope_at_the_end_is_flat_and_no_other_point_is_lower(self):
        x, y = clouds(noise=2.0)
        scorer = LogisticScorer.fit(x, y, CLASSES, l2=1e-3, tolerance=1e-8)
        at = np.column_stack([scorer.weights, scorer.bias])[:-1].astype(np.float64)
        loss, slope = loss_and_gradient(at, unit_rows(x), y.astype(np.int32), 1e-3)
        assert np.abs(slope).max() < 1e-6
        rng = np.random.default_rng(0)
        for _ in range(20):
            other = at + 0.1 * rng.normal(size=at.shape)
            assert loss_and_gradient(other, unit_rows(x), y.astype(np.int32), 1e-3)[0] > loss

    def test_two_classes_without_features_learn_the_odds(self):
        # All items are alike, so only the biases can tell 30 from 10: their difference is ln 3.
        x, y = np.ones((40, 1), np.float32), np.repeat([0, 1], [30, 10])
        scores = LogisticScorer.fit(x, y, 2, l2=10.0, tolerance=1e-9).scores(x[:1])[0]
        assert scores[0] - scores[1] == pytest.approx(math.log(3), abs=1e-4)

    def test_is_bitwise_deterministic(self):
        x, y = clouds(noise=1.0)
        first, second = (LogisticScorer.fit(x, y, CLASSES) for _ in range(2))
        np.testing.assert_array_equal(first.weights, second.weights)

    def test_stronger_l2_means_smaller_weights(self):
        x, y = clouds(noise=1.0)
        sizes = [np.linalg.norm(LogisticScorer.fit(x, y, CLASSES, l2=l2).weights) for l2 in (1e-4, 1e-2, 1.0)]
        assert sizes[0] > 2 * sizes[1] > 4 * sizes[2]

    def test_rows_of_no_class_are_left_out(self):
        x, y = clouds(noise=1.0)
        some = np.where(np.arange(300) < 200, y, -1)
        found, want = LogisticScorer.fit(x, some, CLASSES), LogisticScorer.fit(x[:200], y[:200], CLASSES)
        np.testing.assert_array_equal(found.weights, want.weights)

    def test_one_class_only(self):
        x, _ = clouds(n=10)
        assert decide(LogisticScorer.fit(x, np.full(10, 2), CLASSES).scores(x)).classes.tolist() == [2] * 10

    def test_what_cannot_be_fitted_is_refused(self):
        x, y = clouds()
        with pytest.raises(ValueError, match="must be labels"):
            LogisticScorer.fit(x, np.full(300, -1), CLASSES)
        with pytest.raises(ValueError, match="l2 must be positive"):
            LogisticScorer.fit(x, y, CLASSES, l2=0.0)

    def test_the_minimum_of_an_uneven_bowl_is_found(self):
        steep = np.array([1.0, 10.0, 1_000.0])
        found = minimised(lambda at: (float(steep @ (at - 1) ** 2), 2 * steep * (at - 1)), np.zeros(3), 1e-9)
        np.testing.assert_allclose(found, 1, atol=1e-9)

    def test_what_does_not_converge_says_so(self):
        def ravine(at):
            return float(at @ at), 2 * at

        with pytest.raises(NotConvergedError, match="after 1 steps"):
            minimised(ravine, np.full(2, 5.0), 1e-9, steps=1)
        with pytest.raises(NotConvergedError, match="no step leads down"):
            minimised(lambda at: (float(at @ at), -2 * at), np.full(2, 5.0), 1e-9)
