"""How likely a listing is wrong: by Bayes' rule by hand, and shares that are known because they were planted."""

import numpy as np
import pytest

from models.category.mislabelled import Mislabelled
from models.reliability import expected_calibration_error


def listings(seed, share, n=12_000, classes=5, sharpness=1.0):
    """True classes drawn from stated chances; `share` of the listings then names any other class."""
    rng = np.random.default_rng(seed)
    logs = 4 * rng.normal(size=(n, classes))
    chances = np.exp(sharpness * (logs - logs.max(axis=1, keepdims=True)))
    chances /= chances.sum(axis=1, keepdims=True)
    true = (chances.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    wrong = rng.random(n) < share
    listed = np.where(wrong, (true + rng.integers(1, classes, n)) % classes, true)
    return logs, listed, wrong


def test_by_hand():
    """Three classes, judged .7, .2, .1; a blind listing names them with 1/2, 1/4, 1/4; a tenth are wrong."""
    model = Mislabelled(0.1, 1.0, np.array([0.5, 0.25, 0.25]))
    logs = np.log([[0.7, 0.2, 0.1]] * 3)
    # Wrong and named 0: true 1 or 2, of which the others named are .5 / .75. Named 1: from 0, .25 / .5; from 2, / .75.
    of_wrong = [0.2 * 2 / 3 + 0.1 * 2 / 3, 0.7 / 2 + 0.1 / 3, 0.7 / 2 + 0.2 / 3]
    want = [0.1 * w / (0.1 * w + 0.9 * q) for w, q in zip(of_wrong, [0.7, 0.2, 0.1], strict=True)]
    np.testing.assert_allclose(model.probability(logs, np.array([0, 1, 2])), want)
    # Twice as sharp, the chances are as their squares: .49, .04, .01 of .54.
    sharp = Mislabelled(0.1, 2.0, model.named).probability(logs[:1], np.array([0]))
    w, q = (0.04 + 0.01) / 0.54 * 2 / 3, 0.49 / 0.54
    np.testing.assert_allclose(sharp, [0.1 * w / (0.1 * w + 0.9 * q)])


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_a_planted_share_is_found_and_each_probability_holds(share, sharpness):
    logs, listed, wrong = listings(1, share, sharpness=sharpness)
    found = Mislabelled.fit(logs, listed)
    assert found.share == pytest.approx(wrong.mean(), rel=0.15, abs=0.006)
    assert found.sharpness == pytest.approx(sharpness, rel=0.3)
    probability = found.probability(logs, listed)
    assert expected_calibration_error(probability, wrong) < 0.02
    assert probability.mean() == pytest.approx(found.share, abs=1e-4)
    assert probability[wrong].mean() > 3 * probability[~wrong].mean()


def test_where_nothing_is_wrong_little_is_said_to_be():
    logs, listed, _ = listings(2, 0.0)
    found = Mislabelled.fit(logs, listed)
    assert found.share < 0.004
    assert found.probability(logs, listed).mean() < 0.004


def test_a_chance_of_nothing_is_wrong_and_finite():
    logs = np.log(np.maximum(np.eye(3)[[0, 1, 2, 0]], 1e-300))
    listed = np.array([0, 1, 2, 1])
    probability = Mislabelled.fit(logs, listed).probability(logs, listed)
    assert probability[3] == pytest.approx(1)
    assert (probability[:3] < 1e-6).all()


def test_how_likely_is_told_without_changing_what_is_given():
    logs, listed, _ = listings(3, 0.1, n=50)
    before = logs.copy(), listed.copy()
    Mislabelled.fit(logs, listed).probability(logs, listed)
    assert (logs == before[0]).all()
    assert (listed == before[1]).all()


@pytest.mark.parametrize("listed", [[0, 0, 0], [0, 1, -1], [0, 1, 3], [0, 1]])
def test_what_cannot_be_fitted_is_refused(listed):
    with pytest.raises(ValueError, match=r"two classes or more|not a class|must be"):
        Mislabelled.fit(np.zeros((3, 3)), np.array(listed))
