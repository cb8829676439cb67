"""Mixtures and explanations against the formula they implement, in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.encoder import TextTerms
from service.mixture import EncodedPart, explain, mix

DIM = 16


def part(number, weight, seed, names=("words", "brand")):
    rows = np.random.default_rng(seed).standard_normal((len(names), DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows.sum(axis=0))
    terms = TextTerms(tuple(names), rows, dict.fromkeys(names[1:], 0.25))
    return EncodedPart(number, weight, terms, {"brand": "Ruby"})


weights = st.lists(st.floats(-100, 100).filter(lambda w: abs(w) > 1e-3), min_size=1, max_size=5)


@settings(deadline=None)
@given(weights, st.integers(0, 1000))
def test_a_mixture_is_the_normalised_weighted_sum_and_its_terms_add_up(weights, seed):
    parts = [part(n, weight, seed + n) for n, weight in enumerate(weights)]
    expected = sum(p.weight * p.terms.terms.astype(np.float64).sum(axis=0) for p in parts)
    mixture = mix(parts)
    if mixture is None:
        assert np.linalg.norm(expected) < 1e-4 * max(map(abs, weights))
        return
    unit = expected / np.linalg.norm(expected)
    assert mixture.vector.dtype == np.float32
    np.testing.assert_allclose(mixture.vector, unit, atol=1e-4)
    np.testing.assert_allclose(mixture.terms.sum(axis=0), mixture.vector, atol=1e-5)
    targets = np.random.default_rng(seed).standard_normal((7, DIM)).astype(np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    for terms, target in zip(explain(mixture, targets), targets, strict=True):
        assert sum(term.score for term in terms) == pytest.approx(float(target @ mixture.vector), abs=1e-4)


def test_terms_carry_their_names_values_and_gates():
    mixture = mix([part(0, 1.0, 1), part(3, -2.0, 2, names=("image",))])
    [terms] = explain(mixture, np.eye(1, DIM, dtype=np.float32))
    assert [(t.query, t.name, t.value, t.gate) for t in terms] == [
        (0, "words", None, None),
        (0, "brand", "Ruby", 0.25),
        (3, "image", None, None),
    ]


def test_parts_that_cancel_leave_nothing():
    assert mix([part(0, 1.0, 1), part(1, -1.0, 1)]) is None
    assert mix([part(0, 1e-3, 1), part(1, -1e-3, 1)]) is None
    assert mix([part(0, 0.0, 1)]) is None
    assert mix([part(0, 1e-3, 1)]) is not None


def test_a_hand_worked_case():
    ones = TextTerms(("words", "brand"), np.array([[0.6, 0.0], [0.0, 0.8]], np.float32), {"brand": 0.5})
    other = TextTerms(("image",), np.array([[1.0, 0.0]], np.float32), {})
    mixture = mix([EncodedPart(0, 1.0, ones, {}), EncodedPart(1, 0.5, other, {})])
    length = np.hypot(1.1, 0.8)
    np.testing.assert_allclose(mixture.vector, [1.1 / length, 0.8 / length], rtol=1e-6)
    [terms] = explain(mixture, np.array([[0.5, 0.25]], np.float32))
    assert [t.score for t in terms] == pytest.approx([0.3 / length, 0.2 / length, 0.25 / length], rel=1e-6)


def test_what_an_entity_in_common_adds_joins_its_own_term():
    mixture = mix([part(0, 1.0, 1)])
    targets = np.eye(2, DIM, dtype=np.float32)
    extras = [(0, "brand", "Ruby"), (0, "season", "Winter")]
    added = np.array([[0.3, 0.0], [0.0, 0.15]], dtype=np.float32)
    plain = explain(mixture, targets)
    explained = explain(mixture, targets, list(zip(extras, added.T, strict=True)))
    for row in range(2):
        assert [(t.query, t.name, t.value) for t in explained[row]] == [
            (0, "words", None),
            (0, "brand", "Ruby"),
            (0, "season", "Winter"),
        ]
        total = sum(t.score for t in explained[row])
        assert total == pytest.approx(sum(t.score for t in plain[row]) + float(added[row].sum()), abs=1e-6)
        assert explained[row][1].score == pytest.approx(plain[row][1].score + float(added[row, 0]), abs=1e-6)


def test_words_alone_are_explained_without_a_vector():
    [terms] = explain(None, np.zeros((1, DIM), np.float32), [((0, "lexical", None), np.array([0.7], np.float32))])
    assert [(t.name, t.score) for t in terms] == [("lexical", pytest.approx(0.7))]
