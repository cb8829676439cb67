"""Judges: what they must not have seen, whether what they say holds, and what several of them come to."""

import math
from dataclasses import replace

import numpy as np
import pytest

from models.calibration import Isotonic, Method, Temperature
from models.category import judge as judge_module
from models.category.judge import Judge, Judgement, TooFewError, combined, fit_judge
from models.isotonic import RisingCurve
from models.reliability import expected_calibration_error

NAMES = ("a", "b", "c", "d")


def blobs(seed, n=1_200, classes=4, spread=1.0, shares=None, d=8):
    """Items about class means that are the same for every seed."""
    means = 1.2 * np.random.default_rng(99).normal(size=(classes, d))
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, n, p=shares).astype(np.int32)
    return (means[labels] + spread * rng.normal(size=(n, d))).astype(np.float32), labels


@pytest.fixture(scope="module")
def fitted():
    x, labels = blobs(0, spread=1.8)
    return fit_judge(x, labels, NAMES)


class TestCrossFitting:
    @pytest.fixture
    def planted(self):
        """Pairs of equal items whose class is drawn by lot: only the very item, or its twin, can give it away."""
        rng = np.random.default_rng(1)
        groups = np.repeat(np.arange(120), 2)
        vectors = rng.normal(size=(120, 200)).astype(np.float32)[groups]
        return vectors, rng.integers(12, size=120).astype(np.int32)[groups], [f"c{n}" for n in range(12)], groups

    def test_an_item_is_judged_without_itself_and_its_group(self, planted):
        vectors, labels, names, groups = planted
        judge, own = fit_judge(vectors, labels, names, groups)
        assert (judge.decide(vectors).classes == labels).mean() > 0.95  # it remembers
        assert (own.classes == labels).mean() < 0.25  # what has not seen them does not

    def test_a_twin_that_is_no_variant_gives_it_away(self, planted):
        vectors, labels, names, _ = planted
        assert (fit_judge(vectors, labels, names)[1].classes == labels).mean() > 0.7

    @pytest.mark.parametrize("seed", range(8))
    def test_folds_hold_out_every_item_once_and_groups_whole(self, seed):
        rng = np.random.default_rng(seed)
        groups, labels = rng.integers(20, size=70), rng.integers(-1, 4, size=70).astype(np.int32)
        folds = list(judge_module._folds(groups, labels, seed))
        assert np.sum(folds, axis=0).tolist() == [1] * 70
        for held in folds:
            assert not set(groups[held]) & set(groups[~held])

    @pytest.mark.parametrize("seed", range(8))
    def test_a_class_of_two_is_never_held_out_whole(self, seed):
        x, labels = blobs(seed, 42)
        labels = np.concatenate([labels, [4, 4]]).astype(np.int32)
        x = np.concatenate([x, x[:2] + 3])
        for held in judge_module._folds(np.arange(44), labels, seed):
            assert set(labels[~held]) == {0, 1, 2, 3, 4}
        assert (fit_judge(x, labels, [*NAMES, "e"], seed=seed)[1].chances[:, 4] > 0).all()

    def test_is_the_same_again_and_turns_on_the_seed(self):
        x, labels = blobs(3, spread=2.5)
        first, again, other = (fit_judge(x, labels, NAMES, seed=seed)[1] for seed in (0, 0, 1))
        assert first.chances.tobytes() == again.chances.tobytes()
        assert (first.chances != other.chances).any()

    def test_is_about_as_right_as_on_items_never_seen(self, fitted):
        labels = blobs(0, spread=1.8)[1]
        fresh, truth = blobs(1, 3_000, spread=1.8)
        judge, own = fitted
        unseen = (judge.judge(fresh).classes == truth).mean()
        assert 0.6 < unseen < 0.95
        assert (own.classes == labels).mean() == pytest.approx(unseen, abs=0.04)

    def test_unlabelled_items_are_judged_and_teach_nothing(self):
        x, labels = blobs(4)
        some = np.where(np.arange(len(x)) % 4 == 0, -1, labels).astype(np.int32)
        judge, own = fit_judge(x, some, NAMES)
        hidden = some < 0
        assert (own.classes[hidden] == labels[hidden]).mean() > 0.9
        assert own.chances.shape == (len(x), 4)
        of_known = fit_judge(x[~hidden], some[~hidden], NAMES)[0]
        # The same but for the centre, which all items make.
        np.testing.assert_allclose(judge.whitening.matrix, of_known.whitening.matrix, rtol=1e-4, atol=1e-5)
        assert (judge.decide(x).classes == of_known.decide(x).classes).mean() > 0.98


class TestProbability:
    @pytest.mark.parametrize(("classes", "spread"), [(4, 1.0), (8, 1.5), (12, 1.5)])
    def test_holds_on_items_never_seen(self, classes, spread):
        x, labels = blobs(0, 3_000, classes, spread)
        fresh, truth = blobs(2, 6_000, classes, spread)
        judge = fit_judge(x, labels, [f"c{c}" for c in range(classes)])[0]
        assert abs(np.log(judge.temperature.value)) > 0.3  # scores as they are would not do
        found = judge.judge(fresh)
        right = found.classes == truth
        assert expected_calibration_error(found.probability, right) < 0.04
        assert expected_calibration_error(found.chances.max(axis=1), right) < 0.06
        assert found.probability.std() > 0.08  # it tells sure from unsure
        for c in range(classes):
            assert found.chances[:, c].mean() == pytest.approx((truth == c).mean(), abs=0.04)

    def test_chances_add_up_and_agree_with_the_class(self, fitted):
        found = fitted[1]
        np.testing.assert_allclose(found.chances.sum(axis=1), 1)
        assert (found.chances.argmax(axis=1) == found.classes).all()
        assert ((found.probability >= 0) & (found.probability <= 1)).all()


class TestBias:
    def test_helps_where_classes_are_not_as_common_as_each_other(self):
        shares = [0.9, 0.06, 0.03, 0.01]
        x, labels = blobs(5, 4_000, spread=2.5, shares=shares)
        fresh, truth = blobs(6, 6_000, spread=2.5, shares=shares)
        judge = fit_judge(x, labels, NAMES)[0]
        blind = replace(judge, bias=np.zeros_like(judge.bias))
        with_them, without = ((j.decide(fresh).classes == truth).mean() for j in (judge, blind))
        assert with_them > without + 0.05
        assert judge.bias.tolist() == sorted(judge.bias, reverse=True)  # as common as that

    def test_is_nothing_where_they_are(self):
        x, labels = blobs(7, 4_000)
        bias = fit_judge(x, labels, NAMES)[0].bias
        rare = fit_judge(*blobs(7, 4_000, shares=[0.9, 0.06, 0.03, 0.01]), NAMES)[0].bias
        assert np.ptp(bias) < np.ptp(rare) / 5


def judgement(chances, classes=None):
    chances = np.array(chances, float)
    decided = chances.argmax(axis=1) if classes is None else np.array(classes)
    return Judgement(decided.astype(np.int32), np.zeros(len(chances), np.float32), chances.max(axis=1), chances)


class TestCombined:
    def test_by_hand(self):
        # Geometric means: sqrt(.8 * .5) against sqrt(.2 * .5), so 2 to 1; then sqrt(.9 * .1) against itself.
        found = combined([judgement([[0.8, 0.2], [0.9, 0.1]]), judgement([[0.5, 0.5], [0.1, 0.9]])])
        np.testing.assert_allclose(found.chances, [[2 / 3, 1 / 3], [0.5, 0.5]])
        np.testing.assert_allclose(found.probability, [2 / 3, 0.5])
        np.testing.assert_allclose(found.margins, [math.log(2), 0], atol=1e-6)
        assert found.classes.tolist() == [0, 0]

    def test_of_one_or_of_equals_is_that_one(self):
        one = judgement([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6]])
        for parts in ([one], [one, one], [one, one, one]):
            np.testing.assert_allclose(combined(parts).chances, one.chances)

    def test_who_has_nothing_to_judge_has_no_say(self):
        one = judgement([[0.7, 0.3], [0.7, 0.3], [0.7, 0.3]])
        none = judgement([[0.01, 0.99]] * 3).only(np.array([False, True, False]))
        assert (none.classes.tolist(), none.probability.tolist()) == ([-1, 1, -1], [0, 0.99, 0])
        np.testing.assert_allclose(none.chances[0], [0.5, 0.5])
        found = combined([one, none])
        np.testing.assert_allclose(found.chances[[0, 2]], one.chances[[0, 2]])
        assert found.classes.tolist() == [0, 1, 0]

    def test_nor_has_a_class_that_is_none_whatever_chances_come_with_it(self):
        found = combined([judgement([[0.7, 0.3]]), judgement([[0.1, 0.9]], [-1])])
        np.testing.assert_allclose(found.chances, [[0.7, 0.3]])

    def test_without_any_say_there_is_no_class(self):
        none = judgement([[0.9, 0.1], [0.9, 0.1]]).only(np.array([False, True]))
        found = combined([none, none])
        assert found.classes.tolist() == [-1, 0]
        np.testing.assert_allclose(found.chances[0], [0.5, 0.5])

    def test_a_chance_of_nothing_is_survived(self):
        found = combined([judgement([[1.0, 0.0]]), judgement([[0.0, 1.0]])])
        np.testing.assert_allclose(found.chances, [[0.5, 0.5]])

    def test_of_none_is_refused(self):
        with pytest.raises(ValueError, match="nothing to combine"):
            combined([])


class TestArrays:
    CALIBRATORS = (
        Temperature(0.7),
        *(
            Isotonic(method, RisingCurve(np.array([0.0, 1, 4]), np.array([0.2, 0.5, 0.9])))
            for method in (Method.MARGIN, Method.SCORE)
        ),
    )

    @pytest.mark.parametrize("calibrator", CALIBRATORS, ids=lambda calibrator: str(*calibrator.to_arrays()))
    def test_round_trip_through_a_file_without_pickle(self, fitted, calibrator, tmp_path):
        judge = replace(fitted[0], calibrator=calibrator)
        np.savez(tmp_path / "judge.npz", **judge.to_arrays())
        with np.load(tmp_path / "judge.npz", allow_pickle=False) as stored:
            again = Judge.from_arrays(dict(stored))
        fresh, _ = blobs(8, 300, spread=1.8)
        want, found = judge.judge(fresh), again.judge(fresh)
        assert again.names == NAMES
        for part in ("classes", "margins", "probability", "chances"):
            assert getattr(found, part).tobytes() == getattr(want, part).tobytes()

    @pytest.mark.parametrize("calibrator", CALIBRATORS, ids=lambda calibrator: str(*calibrator.to_arrays()))
    def test_every_array_must_be_there_and_have_its_shape(self, fitted, calibrator):
        arrays = replace(fitted[0], calibrator=calibrator).to_arrays()
        assert len(arrays) == 9
        Judge.from_arrays(arrays)
        for key, array in arrays.items():
            for bad in ({k: v for k, v in arrays.items() if k != key}, {**arrays, key: array[:-1]}):
                with pytest.raises(ValueError, match=r"must|shape|fit"):
                    Judge.from_arrays(bad)

    def test_parts_of_different_dimensions_are_refused(self, fitted):
        arrays = fitted[0].to_arrays()
        smaller = {"whitening": np.eye(5, dtype=np.float32), "whitening-centre": np.zeros(5, np.float32)}
        with pytest.raises(ValueError, match="5 dimensions does not fit a classifier of 8"):
            Judge.from_arrays({**arrays, **smaller})

    @pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
    def test_a_temperature_that_is_none_is_refused(self, fitted, bad):
        with pytest.raises(ValueError, match="temperature must be positive"):
            Judge.from_arrays({**fitted[0].to_arrays(), "temperature-of-all": np.array([bad])})


class TestEdges:
    def test_two_classes(self):
        x, labels = blobs(9, 200, classes=2)
        own = fit_judge(x, labels, ["a", "b"])[1]
        assert own.chances.shape == (200, 2)
        assert (own.classes == labels).mean() > 0.9

    def test_a_class_without_samples_never_wins(self):
        x, labels = blobs(10, 300)
        judge, own = fit_judge(x, labels, [*NAMES, "nobody"])
        assert not own.chances[:, 4].any()
        assert judge.judge(100 * x).classes.max() < 4

    @pytest.mark.parametrize("known", [0, 1])
    def test_nothing_or_one_item_to_learn_from_is_refused(self, known):
        x, labels = blobs(11, 20)
        labels[known:] = -1
        with pytest.raises(ValueError, match="no class has a prototype"):
            fit_judge(x, labels, NAMES)

    def test_classes_of_one_item_each_are_too_few(self):
        x, _ = blobs(12, 4)
        with pytest.raises(ValueError, match="no label is of a class that can win"):
            fit_judge(x, np.arange(4, dtype=np.int32), NAMES)

    def test_nan_is_refused_where_it_lies(self, fitted):
        x, labels = blobs(13, 50)
        x[7, 3] = np.nan
        with pytest.raises(ValueError, match="row 7"):
            fitted[0].judge(x)
        with pytest.raises(ValueError, match="NaN"):
            fit_judge(x, labels, NAMES)

    def test_shapes_that_differ_are_refused(self, fitted):
        x, labels = blobs(14, 50)
        with pytest.raises(ValueError, match=r"labels must be \(50,\)"):
            fit_judge(x, labels[:-1], NAMES)
        with pytest.raises(ValueError, match=r"groups must be \(50,\)"):
            fit_judge(x, labels, NAMES, np.arange(49))
        with pytest.raises(ValueError, match=r"not a class in 0\.\.1"):
            fit_judge(x, labels, NAMES[:2])
        with pytest.raises(ValueError, match=r"\(n, 8\)"):
            fitted[0].judge(x[:, :4])

    def test_items_are_judged_a_block_at_a_time(self, fitted, monkeypatch):
        fresh, _ = blobs(15, 100)
        want = fitted[0].judge(fresh)
        monkeypatch.setattr(judge_module, "ROWS", 7)
        found = fitted[0].judge(fresh)
        np.testing.assert_allclose(found.chances, want.chances, atol=1e-5)
        assert len(fitted[0].judge(fresh[:0]).classes) == 0


def test_labels_that_do_not_suffice_are_told_from_vectors_that_are_wrong():
    vectors, labels = np.eye(6, 8, dtype=np.float32), np.array([0, 0, 0, 1, 1, 1], np.int32)
    with pytest.raises(TooFewError, match="too few labels"):
        fit_judge(vectors, labels, ["a", "b"], np.zeros(6, np.int64))
    vectors[4, 2] = np.nan
    with pytest.raises(ValueError, match="row 4 holds NaN") as refused:
        fit_judge(vectors, labels, ["a", "b"])
    assert not isinstance(refused.value, TooFewError)
