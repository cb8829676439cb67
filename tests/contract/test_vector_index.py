"""Every index keeps the SearchIndex contract, judged by brute force in numpy: FAISS by each recipe, torch, Milvus."""

import itertools
import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from indexer.exact_torch import TorchIndex
from indexer.index import FaissIndex, SearchIndex, VectorIndex
from indexer.parts import IndexFileError
from indexer.recipes import estimate_memory, resolve_recipe

N, D, K = 4_000, 32, 10


@dataclass(frozen=True)
class Case:
    """One kind of index.

    Attributes:
        recall: of the true ten nearest that it must find with a generous width.
        engine: whose index it is.
        recipe: by which it is built.
        exact: it finds all that there is.
        coded: its scores are those of codes, not of the vectors.
        few: it can be made of five rows.
    """

    recall: float
    engine: str = "faiss"
    recipe: str = "exact"
    exact: bool = False
    coded: bool = False
    few: bool = True


CASES = {
    "exact": Case(1.0, exact=True),
    "hnsw": Case(0.98, recipe="hnsw"),
    "ivf": Case(0.98, recipe="ivf"),
    "ivfpq": Case(0.95, recipe="ivfpq", few=False),
    "sq8": Case(0.9, recipe="sq8", coded=True, few=False),
    "rabitq": Case(0.75, recipe="rabitq", few=False),  # one bit for each of only 32 dimensions
    "auto": Case(1.0, recipe="auto", exact=True),
    "Flat": Case(1.0, recipe="Flat", exact=True),
    "HNSW16,SQ8": Case(0.9, recipe="HNSW16,SQ8", coded=True),
    "RaBitQ refined": Case(0.75, recipe=f"RR{D},IVF32,RaBitQfs,Refine(SQfp16)", few=False),
    "PQ refined": Case(0.95, recipe="IVF32,PQ16x4fs,Refine(SQfp16)", few=False),
    "PCA": Case(0.3, recipe="PCA24,IVF16,Flat", coded=True, few=False),
    "torch": Case(1.0, "torch", exact=True),
    "torch in little memory": Case(1.0, "torch", "little", exact=True),
    "torch on a GPU": Case(1.0, "torch", "cuda", exact=True),
    "Milvus, exact": Case(1.0, "milvus", exact=True),
    "Milvus, hnsw": Case(0.98, "milvus", "hnsw"),
}
MARKS = {
    "torch on a GPU": [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
}


def named(suits):
    """Return the names of the cases that suit, to parametrise by."""
    return [pytest.param(name, marks=MARKS.get(name, []), id=name) for name, case in CASES.items() if suits(case)]


KEPT = named(lambda case: case.engine != "milvus")


def vectors(n: int, seed: int) -> np.ndarray:
    """Return unit rows in clusters, as encoders give them; noise alone would flatter no index."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((40, D))
    rows = centres[rng.integers(0, 40, n)] + 0.6 * rng.standard_normal((n, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def xb():
    return vectors(N, 0).astype(np.float16)


@pytest.fixture(scope="module")
def xq():
    return vectors(50, 1)


@pytest.fixture(scope="module")
def truth(xb, xq):
    scores = xq.astype(np.float64) @ xb.astype(np.float64).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return np.take_along_axis(scores, order, axis=1), order, scores


@pytest.fixture(scope="module")
def in_milvus(support, tmp_path_factory):
    """Make an index in Milvus Lite of vectors: `in_milvus(xb, "hnsw")`."""
    pytest.importorskip("pymilvus", reason="the extra `milvus` is not installed")
    return support("milvus").maker(tmp_path_factory.mktemp("milvus") / "lite.db")


@pytest.fixture(scope="module")
def build(request):
    """Build the index of a case: `build("hnsw", xb)`."""

    def built(name: str, xb: np.ndarray) -> SearchIndex:
        case = CASES[name]
        if case.engine == "torch":
            device = "cuda" if case.recipe == "cuda" else "cpu"
            return TorchIndex.build(xb, device, *([1 << 20] if case.recipe == "little" else []))
        if case.engine == "milvus":
            return request.getfixturevalue("in_milvus")(xb, case.recipe)
        return FaissIndex.build(xb, case.recipe, seed=3)

    return built


@pytest.fixture(scope="module")
def index_of(build, xb):
    known = {}

    def index(name: str) -> SearchIndex:
        if name not in known:
            known[name] = build(name, xb)
        return known[name]

    return index


@pytest.fixture(params=named(lambda case: case.recall))
def name(request):
    return request.param


@pytest.fixture
def case(name):
    return CASES[name]


@pytest.fixture
def index(name, index_of):
    return index_of(name)


def recall(found, order):
    return np.mean([len(set(a) & set(b)) / K for a, b in zip(found, order, strict=True)])


def test_is_a_search_index(index, case):
    assert isinstance(index, SearchIndex if case.engine == "milvus" else VectorIndex)
    assert (index.d, index.ntotal) == (D, N)


def test_finds_what_brute_force_finds(index, case, xq, truth):
    scores, rows = index.search(xq, K, width=256)
    assert scores.shape == rows.shape == (50, K)
    assert scores.dtype == np.float32
    assert rows.dtype == np.int64
    assert recall(rows, truth[1]) >= case.recall
    assert (np.diff(scores, axis=1) <= 1e-6).all()


@pytest.mark.parametrize(
    "name", named(lambda case: not case.recipe.startswith("PCA"))
)  # fewer dimensions, other scores
def test_scores_are_inner_products(index, case, xq, truth):
    scores, rows = index.search(xq, K, width=256)
    exact = np.take_along_axis(truth[2], rows, axis=1)
    np.testing.assert_allclose(scores, exact, atol=0.05 if case.coded else 1e-3)


@pytest.mark.parametrize("name", named(lambda case: case.exact))
def test_exact_recipes_do_not_lose_what_was_stored(index, xq, truth):
    scores, rows = index.search(xq, K)
    np.testing.assert_allclose(scores, truth[0], atol=1e-5)
    np.testing.assert_array_equal(rows, truth[1])
    assert not index.width_matters


@pytest.mark.parametrize("name", named(lambda case: case.few))
def test_more_than_there_is_ends_in_minus_one(name, build, xb, xq):
    small = build(name, xb[:5])
    scores, rows = small.search(xq, 8, width=64)
    assert sorted(rows[0][:5]) == [0, 1, 2, 3, 4]
    assert (rows[:, 5:] == -1).all()
    assert np.isneginf(scores[:, 5:]).all()


def test_width_is_of_the_call_not_of_the_index(index, xq):
    before = index.search(xq, K, width=4)[1]
    index.search(xq, K, width=256)
    np.testing.assert_array_equal(index.search(xq, K, width=4)[1], before)


def test_wider_finds_no_less(index, xq, truth):
    narrow, wide = (recall(index.search(xq, K, width=w)[1], truth[1]) for w in (1, 256))
    assert wide >= narrow
    if index.width_matters:
        assert wide > narrow


@pytest.mark.parametrize("share", [0.0, 0.002, 0.1, 0.9])
def test_only_rows_asked_for_are_found_and_all_of_them_at_full_width(index, case, xq, truth, share):
    among = np.random.default_rng(7).random(N) < share
    scores, rows = index.search(xq, K, width=N, among=among)
    found = min(K, int(among.sum()))
    assert (rows[:, :found] >= 0).all()
    assert (rows[:, found:] == -1).all()
    assert np.isneginf(scores[:, found:]).all()
    assert among[rows[:, :found]].all()
    if case.coded:
        return  # codes are not the vectors
    best = np.sort(np.where(among, truth[2], -np.inf), axis=1)[:, ::-1][:, :found]
    np.testing.assert_allclose(scores[:, :found], best, atol=1e-3)


@pytest.mark.parametrize("width", [None, 16])
def test_no_row_outside_is_found_at_any_width(index, xq, width):
    among = np.random.default_rng(8).random(N) < 0.3
    scores, rows = index.search(xq, K, width=width, among=among)
    found = rows != -1
    assert found.any()
    assert among[rows[found]].all()
    assert np.isneginf(scores[~found]).all()
    assert np.isfinite(scores[found]).all()


def test_rows_asked_for_are_one_a_row(index, xq):
    with pytest.raises(ValueError, match="rows to search among"):
        index.search(xq, K, among=np.ones(N - 1, np.bool_))


@pytest.mark.parametrize("name", KEPT)
def test_same_seed_same_index(name, index, build, xb, xq):
    again = build(name, xb)
    for mine, others in zip(index.search(xq, K, width=8), again.search(xq, K, width=8), strict=True):
        np.testing.assert_array_equal(mine, others)


@pytest.mark.parametrize("name", KEPT)
def test_survives_being_saved(index, case, xq, tmp_path):
    index.save(tmp_path / "index.faiss")
    loaded = FaissIndex.load(tmp_path / "index.faiss", index.recipe)
    assert (loaded.recipe, loaded.d, loaded.ntotal) == (index.recipe, D, N)
    (scores, rows), (loaded_scores, loaded_rows) = (one.search(xq, K, width=8) for one in (index, loaded))
    np.testing.assert_array_equal(rows, loaded_rows)
    np.testing.assert_allclose(scores, loaded_scores, rtol=1e-6 if case.engine == "torch" else 0)


@pytest.mark.parametrize("name", KEPT)
def test_memory_is_told_before_and_after(index, case, tmp_path):
    index.save(tmp_path / "index.faiss")
    on_disk = (tmp_path / "index.faiss").stat().st_size
    assert index.memory_bytes == pytest.approx(on_disk, rel=0.1)
    assert estimate_memory("exact" if case.engine == "torch" else case.recipe, N, D) == index.memory_bytes


@pytest.mark.parametrize("name", named(lambda case: case.engine == "faiss"))
def test_recorded_recipe_builds_the_same_kind_again(index, case, xb):
    assert resolve_recipe(case.recipe, N, D) == index.recipe
    assert resolve_recipe(index.recipe, N, D) == index.recipe
    assert FaissIndex.build(xb[:2000], index.recipe).recipe == index.recipe


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_queries_that_are_not_finite_are_refused(index, xq, bad):
    broken = xq.copy()
    broken[3, 5] = bad
    with pytest.raises(ValueError, match="finite"):
        index.search(broken, K)


@pytest.mark.parametrize(
    ("query", "k", "width"),
    [((1, D + 1), 1, None), ((D,), 1, None), ((1, D), 0, None), ((1, D), 1, 0)],
)
def test_queries_of_another_shape_are_refused(index, query, k, width):
    with pytest.raises(ValueError, match=r"queries must be|positive"):
        index.search(np.zeros(query, np.float32), k, width=width)


def test_no_queries(index):
    scores, rows = index.search(np.zeros((0, D), np.float32), K)
    assert scores.shape == rows.shape == (0, K)


def test_concurrent_searches_do_not_disturb_each_other(index, case, xq):
    masks = {None: None, 0.9: np.random.default_rng(2).random(N) < 0.9, 0.05: np.random.default_rng(3).random(N) < 0.05}
    # Milvus Lite keeps the width on the graph that all its searches share; Milvus itself does not.
    widths = (64,) if case.engine == "milvus" else (1, 8, 64, 256)
    asked = list(itertools.product(widths, masks))
    alone = {(w, share): index.search(xq, K, width=w, among=masks[share]) for w, share in asked}
    wrong = []

    def search(turn):
        for width, share in asked[turn % len(asked) :] + asked[: turn % len(asked)]:
            scores, rows = index.search(xq, K, width=width, among=masks[share])
            if not np.array_equal(rows, alone[width, share][1]):
                wrong.append((width, share))
            np.testing.assert_allclose(scores, alone[width, share][0], rtol=1e-6)

    threads = [threading.Thread(target=search, args=(turn,)) for turn in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(name, build, xb, value):
    broken = xb[:1_300].copy()
    broken[-1, 0] = value
    with pytest.raises(ValueError, match="finite"):
        build(name, broken)


class TestRecipes:
    def test_auto_goes_by_size(self):
        assert resolve_recipe("auto", 1_000, 512) == "SQfp16"
        assert resolve_recipe("auto", 200_000, 512) == "HNSW32,SQfp16"
        assert resolve_recipe("auto", 10_000_000, 512).endswith("Refine(SQfp16)")

    def test_lists_of_an_ivf_grow_with_the_root_and_keep_enough_rows(self):
        assert resolve_recipe("ivf", 1_000_000, 512) == "IVF4096,SQfp16"
        assert resolve_recipe("ivf", 100, 512) == "IVF2,SQfp16"
        assert resolve_recipe("ivf", 3, 512) == "IVF1,SQfp16"

    def test_memory_at_size(self):
        """Published figures: HNSW32 over float32 takes 2,320 bytes a vector at 512 dimensions."""
        assert estimate_memory("HNSW32", 200_000, 512) / 200_000 == pytest.approx(2_320, rel=0.02)
        assert estimate_memory("exact", 1_000_000, 512) == 1_000_000 * 1_024

    @pytest.mark.parametrize("unknown", ["hsnw", "", "IVF,", "PQ7"])
    def test_unknown_recipe(self, unknown, xb):
        with pytest.raises(IndexFileError, match="recipe"):
            FaissIndex.build(xb, unknown)

    def test_recipe_that_cannot_be_trained_on_so_little(self, xb):
        with pytest.raises(IndexFileError, match="cannot be built on 10 rows"):
            FaissIndex.build(xb[:10], "IVF64,SQ8")

    def test_vectors_must_be_rows(self):
        with pytest.raises(ValueError, match=r"\(n, d\)"):
            FaissIndex.build(np.zeros(8, np.float32))

    def test_no_rows_at_all(self, xq):
        empty = FaissIndex.build(np.zeros((0, D), np.float16), "hnsw")
        assert (empty.ntotal, empty.recipe) == (0, "SQfp16")
        assert (empty.search(xq, 3)[1] == -1).all()

    def test_training_takes_a_sample_of_many_rows(self, monkeypatch, xb, xq, truth):
        monkeypatch.setattr("indexer.index.ADD_BLOCK", 500)
        monkeypatch.setattr("indexer.index.TRAIN_ROWS_PER_LIST", 40)
        sampled = FaissIndex.build(xb, "IVF16,SQfp16")
        assert recall(sampled.search(xq, K, width=16)[1], truth[1]) == 1.0


class TestFiles:
    def test_missing_and_broken(self, tmp_path, xb):
        with pytest.raises(IndexFileError, match=r"nowhere.faiss"):
            FaissIndex.load(tmp_path / "nowhere.faiss")
        path = tmp_path / "index.faiss"
        FaissIndex.build(xb, "exact").save(path)
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(IndexFileError, match=r"index.faiss: not a readable index"):
            FaissIndex.load(path)

    def test_recipe_is_told_from_the_index_where_nobody_says(self, tmp_path, xb):
        for recipe in ("SQfp16", "HNSW32,SQfp16", "IVF32,SQfp16"):
            FaissIndex.build(xb, recipe).save(tmp_path / "i.faiss")
            assert FaissIndex.load(tmp_path / "i.faiss").recipe == recipe
        FaissIndex.build(xb, f"RR{D},IVF32,RaBitQfs,Refine(SQfp16)").save(tmp_path / "i.faiss")
        assert FaissIndex.load(tmp_path / "i.faiss").recipe == "IndexRefine"
