"""Sorting, collapsing and diversity, each against a plain reading of its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.fields import KeywordColumn, NumberColumn
from indexer.ranking import FilterStrategy, Scored
from service.ordering import collapsed, diversified, sorted_places

WORDS = ["a", "B", "c", None]


def scored(scores):
    m = len(scores)
    return Scored(
        rows=np.arange(m),
        scores=np.array(scores, np.float32),
        pictures=np.zeros(m, np.int32),
        added=np.zeros((m, 0), np.float32),
        strategy=FilterStrategy.NONE,
        candidates=m,
    )


product = st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([None, 1.0, 2.0]), st.sampled_from(WORDS))


@given(products=st.lists(product, max_size=30), falls=st.tuples(st.booleans(), st.booleans()))
def test_sorts_like_python(products, falls):
    prices = NumberColumn(np.array([np.nan if p is None else p for _, p, _ in products], np.float64))
    words = KeywordColumn.of([[] if w is None else [w] for _, _, w in products])

    def key(place):
        score, price, word = products[place]
        code = None if word is None else "abc".index(word.lower())
        return [
            *((value is None, 0 if value is None else -value if down else value)
              for value, down in ((price, falls[0]), (code, falls[1]))),
            -score,
            place,
        ]  # fmt: skip

    places = sorted_places(scored([s for s, _, _ in products]), [(prices, falls[0]), (words, falls[1])])
    assert places.tolist() == sorted(range(len(products)), key=key)


def test_without_keys_relevance_decides():
    assert sorted_places(scored([0.1, 0.3, 0.2, 0.3]), []).tolist() == [1, 3, 2, 0]


@given(keys=st.lists(st.sampled_from([0.0, 1.0, 2.0, None]), max_size=20))
def test_collapsing_keeps_the_first_of_each_value_and_all_without_one(keys):
    expected, seen = [], set()
    for place, key in enumerate(keys):
        if key is None or key not in seen:
            expected.append(place)
        seen.add(key)
    values = np.array([np.nan if key is None else key for key in keys], np.float64)
    assert collapsed(np.arange(len(keys)), values).tolist() == expected


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.7, 1.0])
def test_diversity_is_maximal_marginal_relevance(diversity):
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((12, 4))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    scores = np.sort(rng.random(12)).astype(np.float32)[::-1]
    chosen = []
    for _ in range(7):
        left = [i for i in range(12) if i not in chosen]

        def worth(i):
            likeness = max((float(vectors[i] @ vectors[j]) for j in chosen), default=0.0)
            return (1 - diversity) * float(scores[i]) - diversity * likeness

        chosen.append(max(left, key=worth))
    found = diversified(scores, vectors, 7, diversity)
    assert found.tolist() == (chosen if diversity else list(range(7)))


def test_diversity_parts_twins():
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    scores = np.array([0.9, 0.9, 0.5], np.float32)
    assert diversified(scores, vectors, 3, 0.5).tolist() == [0, 2, 1]
    assert diversified(scores, vectors, 9, 0.0).tolist() == [0, 1, 2]
