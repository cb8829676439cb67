"""What `auto` is judged by: the fastest recipe that reaches the recall and fits, against cases worked out by hand."""

import numpy as np
import orjson
import pytest

from benchmarks import recipes
from benchmarks.ann import recall_at_k
from benchmarks.vectors import Structured, nearest
from indexer.index import FaissIndex
from indexer.recipes import Goal, Recipe, choose, estimate_memory

N, D = 200_000, 128
BYTES = {recipe: estimate_memory(recipe, N, D) for recipe in Recipe if recipe != Recipe.AUTO}
MS = {Recipe.EXACT: 3.0, Recipe.HNSW: 0.05, Recipe.IVF: 0.06, Recipe.SQ8: 0.07}


def test_the_ratio_is_to_the_fastest_that_fits():
    free = recipes.judged(MS, BYTES, N, D, Goal(0.9))
    assert free == {"memory_bytes": None, "chosen": Recipe.HNSW, "best": Recipe.HNSW, "ratio": 1.0}
    slow = recipes.judged({**MS, Recipe.HNSW: 0.09}, BYTES, N, D, Goal(0.9))
    assert (slow["best"], slow["ratio"]) == (Recipe.IVF, pytest.approx(1.5))
    bound = recipes.judged(MS, BYTES, N, D, Goal(0.9, BYTES[Recipe.SQ8]))
    assert (bound["chosen"], bound["best"], bound["ratio"]) == (Recipe.SQ8, Recipe.SQ8, 1.0)


def test_a_choice_that_does_not_reach_the_recall_has_no_ratio():
    without = {recipe: ms for recipe, ms in MS.items() if recipe != choose(N, D, Goal(0.9))}
    assert recipes.judged(without, BYTES, N, D, Goal(0.9))["ratio"] is None
    figures = recipes.of_vectors(Structured(16, 0).rows(1_500), Structured(16, 0).queries(20), turns=1, seed=0)
    found = recipes._summed({"few": figures})
    ratios = [judgement["ratio"] for at in figures["at"].values() for judgement in at["auto"]]
    assert found["missed"] == ratios.count(None)
    assert found["worst_ratio"] == (None if found["missed"] else max(ratios))
    assert orjson.loads(orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY)) == found
    assert min(ratio for ratio in ratios if ratio is not None) >= 1


def test_the_smallest_width_reaches_the_recall_and_none_below_does():
    made = Structured(16, 0)
    xb, xq = made.rows(4_000), made.queries(40)
    truth, index = nearest(xb, xq, 10), FaissIndex.build(xb, "ivf")
    width, recall = recipes.smallest_width(index, xq, truth, 0.95)
    assert recall == recall_at_k(index.search(xq, 10, width=width)[1], truth) >= 0.95
    narrower = [one for one in recipes.WIDTHS if one < width]
    assert all(recall_at_k(index.search(xq, 10, width=one)[1], truth) < 0.95 for one in narrower)
    assert recipes.smallest_width(FaissIndex.build(xb, "IVF8,PQ4x4fs"), xq, truth, 0.95) is None
    assert recipes.smallest_width(FaissIndex.build(xb, "exact"), xq, truth, 0.95) == (None, pytest.approx(1, abs=0.02))


def test_bounds_shut_out_the_largest_one_by_one():
    bounds = recipes._bounds(BYTES, MS)
    assert bounds[0] is None
    assert bounds[1:] == sorted((BYTES[recipe] for recipe in MS if recipe != Recipe.HNSW), reverse=True)
    assert np.isin(bounds[1:], list(BYTES.values())).all()
