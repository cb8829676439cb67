"""Biases of classes: recovered where they are known, bounded where little is, and their gradient."""

import numpy as np
import pytest

from models.class_bias import class_bias, loss_and_gradient

TRUE = np.array([0.0, -1.5, 2.0, 0.5])


def drawn(seed, n, steepness=2.0, bias=TRUE):
    """Scores, and labels drawn from the softmax of steepness times the biased scores."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, len(bias))).astype(np.float32)
    p = np.exp(steepness * (scores + bias))
    p /= p.sum(axis=1, keepdims=True)
    labels = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).astype(np.int32)
    return scores, labels


def test_biases_that_labels_were_drawn_by_are_found():
    found = class_bias(*drawn(0, 40_000))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found - found.mean(), TRUE - TRUE.mean(), atol=0.06)


def test_they_are_in_the_scores_own_unit():
    """Scores a thousand times as large have biases a thousand times as large."""
    scores, labels = drawn(1, 5_000)
    np.testing.assert_allclose(class_bias(1_000 * scores, labels), 1_000 * class_bias(scores, labels), rtol=1e-3)


def test_more_of_what_is_common_is_right():
    scores, labels = drawn(2, 5_000)
    fresh, truth = drawn(3, 5_000)
    plain = (fresh.argmax(axis=1) == truth).mean()
    assert ((fresh + class_bias(scores, labels)).argmax(axis=1) == truth).mean() > plain + 0.1


def test_the_gradient_is_that_of_the_loss():
    scores, labels = drawn(4, 30)
    scores = scores.astype(np.float64)
    scores[labels != 3, 3] = -np.inf
    at = np.array([1.3, 0.2, -0.4, 0.1, 0.7])
    _, slope = loss_and_gradient(at, scores, labels, 0.01)
    steps = 1e-6 * np.eye(5)
    up, down = ([loss_and_gradient(at + way * step, scores, labels, 0.01)[0] for step in steps] for way in (1, -1))
    np.testing.assert_allclose(slope, (np.array(up) - down) / 2e-6, atol=1e-7)


def test_scores_that_tell_nothing_are_given_the_log_odds():
    """Over the least steepness."""
    labels = np.repeat(np.array([0, 1], np.int32), [30_000, 10_000])
    scores = np.random.default_rng(9).normal(size=(40_000, 2)).astype(np.float32)
    found = class_bias(scores, labels)
    assert found[0] - found[1] == pytest.approx(np.log(3) / 0.5, rel=0.03)


def test_scores_that_mislead_do_not_make_biases_endless():
    scores, labels = drawn(5, 2_000, steepness=-2.0, bias=np.array([0.0, 0.0, 0.0, -2.0]))
    found = class_bias(scores, labels)
    assert found.argmax() == np.bincount(labels).argmax()
    assert np.ptp(found) < 10


def test_items_of_no_class_and_classes_that_cannot_win_have_no_say():
    scores, labels = drawn(6, 500)
    wide = np.concatenate([scores, np.full((500, 1), -np.inf, np.float32)], axis=1)
    more = np.concatenate([wide, np.zeros((2, 5), np.float32)])
    more[-1, 4] = -np.inf
    found = class_bias(more, np.concatenate([labels, np.array([-1, 4], np.int32)]))
    np.testing.assert_allclose(found[:4], class_bias(scores, labels), rtol=1e-3, atol=1e-4)
    assert found[4] == 0
    np.testing.assert_array_equal(class_bias(scores, np.full(500, -1, np.int32)), np.zeros(4))


def test_classes_told_apart_without_a_mistake_have_bounded_biases():
    labels = np.repeat(np.arange(3, dtype=np.int32), 20)
    scores = np.eye(3, dtype=np.float32)[labels]
    assert np.abs(class_bias(scores, labels)).max() < 1e-3


def test_the_order_of_classes_does_not_matter():
    scores, labels = drawn(7, 1_000)
    order = np.array([2, 0, 3, 1])
    back = np.argsort(order).astype(np.int32)
    np.testing.assert_allclose(
        class_bias(np.ascontiguousarray(scores[:, order]), back[labels]), class_bias(scores, labels)[order], atol=1e-4
    )


def test_very_many_items_are_drawn_from(monkeypatch):
    """By the seed, and with much the same result."""
    scores, labels = drawn(8, 20_000)
    whole = class_bias(scores, labels)
    monkeypatch.setattr("models.class_bias._MOST_VALUES", 4 * 8_000)
    first, again, other = (class_bias(scores, labels, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_allclose(first - first.mean(), whole - whole.mean(), atol=0.15)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_the_scores_there_are_biases(seed):
    """One item or one class, scores all alike, tiny, huge or impossible, labels that scores tell or that never vary."""
    rng = np.random.default_rng(seed)
    classes, n = int(rng.integers(1, 30)), int(rng.choice([1, 2, 3, 10, 100]))
    scores = rng.normal(size=(n, classes)) if seed % 5 else np.full((n, classes), rng.normal())
    labels = [rng.integers(-1, classes, n), scores.argmax(axis=1), np.full(n, classes - 1)][seed % 3]
    scores = (scores * 10.0 ** rng.integers(-12, 9)).astype(np.float32)
    scores[rng.random(scores.shape) < (seed % 2) / 3] = -np.inf
    found = class_bias(scores, labels.astype(np.int32))
    assert found.shape == (classes,)
    assert np.isfinite(found).all()
