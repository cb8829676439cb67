"""Facets against counting by hand."""

from collections import Counter

import numpy as np

from indexer.fields import BooleanColumn, KeywordColumn, NumberColumn
from service.facets import count

TAGS = [["red", "new"], [], ["Red"], ["blue", "red", "RED"], ["new"]]
AMONG = np.array([True, True, True, True, False])


def test_keywords_are_counted_once_a_product_whatever_their_case():
    facet = count("tags", KeywordColumn.of(TAGS), AMONG, 10, exact=True)
    assert facet.values == (("red", 3), ("blue", 1), ("new", 1))
    assert facet.distinct == 3
    assert facet.exact
    assert facet.statistics is None


def test_many_keywords_against_a_counter():
    rng = np.random.default_rng(0)
    stated = [[f"v{v}" for v in set(rng.integers(50, size=3).tolist())] for _ in range(2000)]
    among = rng.random(2000) < 0.4
    counts = Counter(value for row in np.flatnonzero(among) for value in stated[row])
    facet = count("f", KeywordColumn.of(stated), among, 7, exact=False)
    assert facet.values == tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:7])
    assert facet.distinct == len(counts)
    assert not facet.exact


def test_numbers_have_statistics():
    facet = count("price", NumberColumn(np.array([1.0, np.nan, 3.0, 8.0, 100.0])), AMONG, 10, exact=True)
    assert facet.values == ()
    assert (facet.statistics.count, facet.statistics.min, facet.statistics.max, facet.statistics.mean) == (3, 1, 8, 4)


def test_numbers_that_nobody_states():
    assert count("price", NumberColumn(np.full(5, np.nan)), AMONG, 10, exact=True).statistics is None


def test_booleans():
    facet = count("in_stock", BooleanColumn(np.array([1, -1, 0, 0, 1], np.int8)), AMONG, 10, exact=True)
    assert facet.values == ((False, 2), (True, 1))
