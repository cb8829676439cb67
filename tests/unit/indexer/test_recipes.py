"""Recipes by name: what they resolve to, what `auto` takes, and that filters hold with all of them."""

import numpy as np
import pytest

from indexer import recipes
from indexer.index import FaissIndex
from indexer.parts import IndexFileError
from indexer.recipes import Goal, Recipe, build_s, choose, estimate_memory, latency_us, lists, resolve_recipe

N, D, K = 2_000, 24, 10
NAMED = [recipe for recipe in Recipe if recipe != Recipe.AUTO]
# FAISS throws when these are searched with a selector, or ends the process.
CODES = ["PQ12x4fs", "PQ6x5np", "RaBitQfs", "RQ3x4"]
UNSELECTING = [*CODES, "PQ12x4fs,Refine(SQfp16)"]


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def xb():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((30, D))
    return unit(centres[rng.integers(0, 30, N)] + 0.5 * rng.standard_normal((N, D))).astype(np.float16)


@pytest.fixture(scope="module")
def xq(xb):
    rng = np.random.default_rng(1)
    return unit(xb[rng.integers(0, N, 20)] + 0.05 * rng.standard_normal((20, D)))


@pytest.fixture(scope="module")
def scores(xb, xq):
    return xq.astype(np.float64) @ xb.astype(np.float64).T


@pytest.fixture(scope="module", params=[*NAMED, *UNSELECTING])
def index(request, xb):
    return FaissIndex.build(xb, request.param, seed=5)


def found_of(rows, order):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(rows, order, strict=True)])


@pytest.mark.parametrize("share", [0.003, 0.2, 0.95])
@pytest.mark.parametrize("width", [1, 8, N])
def test_a_filter_lets_through_what_it_admits_and_nothing_else(index, xq, share, width):
    among = np.random.default_rng(2).random(N) < share
    scores, rows = index.search(xq, K, width=width, among=among)
    having = rows >= 0
    assert scores.shape == rows.shape == (len(xq), K)
    assert among[rows[having]].all()
    assert np.isneginf(scores[~having]).all()
    assert (np.diff(having.astype(int), axis=1) <= 0).all()  # what is missing comes last
    if width == N:
        assert (having.sum(axis=1) == min(K, among.sum())).all()


def test_a_filter_that_admits_nothing_finds_nothing(index, xq):
    for width in (None, N):
        scores, rows = index.search(xq, K, width=width, among=np.zeros(N, np.bool_))
        assert (rows == -1).all()
        assert np.isneginf(scores).all()


@pytest.mark.parametrize("recipe", CODES)
def test_what_the_codes_keep_decides_after_a_filter_too(recipe, xb, xq):
    """Of an index without vectors, the filtered answer is the unfiltered one of all rows without the refused."""
    index = FaissIndex.build(xb, recipe, seed=5)
    among = np.random.default_rng(3).random(N) < 0.3
    of_all, every = index.search(xq, N)
    of_some, rows = index.search(xq, K, among=among)
    for scores, ids, some, mine in zip(of_all, every, of_some, rows, strict=True):
        np.testing.assert_allclose(some, scores[among[ids]][:K], atol=1e-5)
        assert len(set(mine)) == K


@pytest.mark.parametrize("recipe", NAMED)
def test_named_recipes_find_what_brute_force_finds_and_the_same_each_time(recipe, xb, xq, scores):
    index, again = (FaissIndex.build(xb, recipe, seed=5) for _ in range(2))
    found = index.search(xq, K, width=64)
    for mine, others in zip(found, again.search(xq, K, width=64), strict=True):
        np.testing.assert_array_equal(mine, others)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    assert found_of(found[1], order) >= {Recipe.EXACT: 1.0, Recipe.RABITQ: 0.8}.get(recipe, 0.93)


def test_an_index_that_cannot_be_told_how_much_of_it_to_look_at_is_refused(xb):
    with pytest.raises(IndexFileError, match=r"IVF8,RQ3x4fs.*cannot be searched"):
        FaissIndex.build(xb, "IVF8,RQ3x4fs")


def test_another_seed_gives_another_training(xb):
    one, other = (FaissIndex.build(xb, "ivf", seed=seed) for seed in (0, 1))
    rows = [index.search(xb[:200].astype(np.float32), K, width=1)[1] for index in (one, other)]
    assert (rows[0] != rows[1]).any()


@pytest.mark.parametrize("recipe", list(Recipe))
@pytest.mark.parametrize("n", [0, 1, 2, 15, 17, 100])
def test_named_recipes_hold_any_number_of_rows(recipe, n, xb, xq):
    few = xb[:n]
    index = FaissIndex.build(few, recipe)
    assert index.ntotal == n
    rows = index.search(xq, K, width=max(n, 1))[1]
    order = np.argsort(-(xq @ few.astype(np.float32).T), axis=1)[:, : min(K, n)]
    assert not n or found_of(rows, order) >= 0.9
    assert (rows[:, n:] == -1).all()


def test_codes_of_an_odd_number_of_dimensions(xb, xq, scores):
    odd, queries = np.ascontiguousarray(xb[:, :23]), np.ascontiguousarray(xq[:, :23])
    index = FaissIndex.build(odd, "ivfpq")
    assert index.recipe == f"Pad24,IVF{lists(N)},PQ12x4fs,Refine(SQfp16)"
    order = np.argsort(-(queries @ odd.astype(np.float32).T), axis=1)[:, :K]
    assert found_of(index.search(queries, K, width=64)[1], order) >= 0.93


def test_many_lists_are_found_through_a_graph(monkeypatch, xb, xq, scores):
    monkeypatch.setattr(recipes, "GRAPH_LISTS", 32)
    index, again = (FaissIndex.build(xb, "ivf", seed=5) for _ in range(2))
    assert index.recipe == f"IVF{lists(N)}_HNSW32,SQfp16"
    found = index.search(xq, K, width=32)
    np.testing.assert_array_equal(found[1], again.search(xq, K, width=32)[1])
    assert found_of(found[1], np.argsort(-scores, axis=1)[:, :K]) >= 0.93
    among = np.random.default_rng(4).random(N) < 0.1
    assert among[index.search(xq, K, width=8, among=among)[1]].all()


class TestAuto:
    @pytest.mark.parametrize(
        ("n", "d", "goal", "chosen"),
        [
            (2_000, 128, Goal(), Recipe.EXACT),  # a scan of 30 microseconds
            (10_000, 128, Goal(), Recipe.HNSW),
            (1_000_000, 128, Goal(0.95), Recipe.HNSW),
            (1_000_000, 128, Goal(0.95, 300_000_000), Recipe.IVF),  # a graph needs 540 MB
            (1_000_000, 128, Goal(0.95, 200_000_000), Recipe.SQ8),  # float16 needs 264 MB
            (1_000_000, 128, Goal(0.99, 200_000_000), Recipe.SQ8),  # falls short of the recall, but fits
            (100_000, 128, Goal(1.0), Recipe.EXACT),
        ],
    )
    def test_goes_by_rows_recall_and_memory(self, n, d, goal, chosen):
        assert choose(n, d, goal) == chosen

    @pytest.mark.parametrize("n", [5_000, 50_000, 700_000, 20_000_000])
    @pytest.mark.parametrize("share", [0.3, 0.6, 1.0, 2.0])
    def test_keeps_within_the_memory(self, n, share):
        bound = int(share * n * 2 * 256)
        try:
            taken = estimate_memory("auto", n, 256, Goal(memory_bytes=bound))
        except IndexFileError:
            assert min(estimate_memory(recipe, n, 256) for recipe in NAMED) > bound
        else:
            assert taken <= bound

    def test_says_what_is_lacking(self):
        with pytest.raises(IndexFileError, match=r"1,000,000 rows .* 64.0 MiB: the smallest, sq8, takes 13\d\.\d MiB"):
            choose(1_000_000, 128, Goal(memory_bytes=64 * 2**20))

    def test_memory_is_shared_by_rows(self):
        assert Goal(0.9, 1_000).part(1, 4) == Goal(0.9, 250)
        assert Goal(0.9).part(1, 4) == Goal(0.9)

    def test_goal_is_for_auto_alone(self):
        assert resolve_recipe("hnsw", 1_000_000, 128, Goal(memory_bytes=1)) == "HNSW32,SQfp16"


@pytest.mark.parametrize("recipe", NAMED)
def test_models_grow_with_rows_and_dimensions(recipe):
    for model in (build_s, latency_us):
        small, rows, dimensions = model(recipe, 20_000, 64), model(recipe, 200_000, 64), model(recipe, 20_000, 256)
        assert 0 < small < rows
        assert small < dimensions
    assert build_s("PQ8", 1_000, 64) == 0
    assert latency_us("PQ8", 1_000, 64) == float("inf")
