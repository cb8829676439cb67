"""Every recipe keeps the VectorIndex contract, judged by brute force in numpy."""

import threading

import numpy as np
import pytest

from indexer.index import FaissIndex, IndexFileError, VectorIndex, estimate_memory, resolve_recipe

N, D, K = 4_000, 32, 10

# recipe -> recall@10 it must reach against brute force with a generous width
RECIPES = {
    "exact": 1.0,
    "hnsw": 0.98,
    "ivf": 0.98,
    "auto": 1.0,
    "Flat": 1.0,
    "HNSW16,SQ8": 0.9,
    "IVF32,SQ8": 0.9,
    f"RR{D},IVF32,RaBitQfs,Refine(SQfp16)": 0.75,  # one bit for each of only 32 dimensions
    "IVF32,PQ16x4fs,Refine(SQfp16)": 0.95,
    "PCA24,IVF16,Flat": 0.3,
}
EXACT = {"exact", "auto", "Flat"}


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


@pytest.fixture(scope="module", params=list(RECIPES))
def recipe(request):
    return request.param


@pytest.fixture(scope="module")
def index(recipe, xb):
    return FaissIndex.build(xb, recipe, seed=3)


def recall(found, order):
    return np.mean([len(set(a) & set(b)) / K for a, b in zip(found, order, strict=True)])


def test_is_a_vector_index(index):
    assert isinstance(index, VectorIndex)
    assert (index.d, index.ntotal) == (D, N)


def test_finds_what_brute_force_finds(index, recipe, xq, truth):
    scores, rows = index.search(xq, K, width=256)
    assert scores.shape == rows.shape == (50, K)
    assert scores.dtype == np.float32
    assert rows.dtype == np.int64
    assert recall(rows, truth[1]) >= RECIPES[recipe]
    assert (np.diff(scores, axis=1) <= 1e-6).all()


def test_scores_are_inner_products(index, recipe, xq, truth):
    if recipe.startswith("PCA"):
        pytest.skip("reduced dimensions give approximate scores")
    scores, rows = index.search(xq, K, width=256)
    exact = np.take_along_axis(truth[2], rows, axis=1)
    tolerance = 0.05 if recipe.endswith("SQ8") else 1e-3
    np.testing.assert_allclose(scores, exact, atol=tolerance)


def test_exact_recipes_do_not_lose_what_was_stored(recipe, index, xq, truth):
    if recipe not in EXACT:
        pytest.skip("approximate")
    scores, rows = index.search(xq, K)
    np.testing.assert_allclose(scores, truth[0], atol=1e-5)
    np.testing.assert_array_equal(rows, truth[1])
    assert not index.width_matters


def test_more_than_there_is_ends_in_minus_one(recipe, xb, xq):
    if "RaBitQ" in recipe or "PQ" in recipe or "PCA" in recipe:
        pytest.skip("needs more rows to train on")
    small = FaissIndex.build(xb[:5], "ivf" if recipe.startswith("IVF") else recipe)
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


@pytest.mark.parametrize("share", [0.002, 0.1, 0.9])
def test_only_rows_asked_for_are_found_and_all_of_them_at_full_width(index, recipe, xq, truth, share):
    among = np.random.default_rng(7).random(N) < share
    scores, rows = index.search(xq, K, width=N, among=among)
    found = min(K, int(among.sum()))
    assert (rows[:, :found] >= 0).all()
    assert (rows[:, found:] == -1).all()
    assert among[rows[:, :found]].all()
    if any(coded in recipe for coded in ("SQ8", "PCA", "PQ")) and "Refine" not in recipe:
        return  # codes are not the vectors
    best = np.sort(np.where(among, truth[2], -np.inf), axis=1)[:, ::-1][:, :found]
    np.testing.assert_allclose(scores[:, :found], best, atol=1e-3)


def test_rows_asked_for_are_one_a_row(index, xq):
    with pytest.raises(ValueError, match="rows to search among"):
        index.search(xq, K, among=np.ones(N - 1, np.bool_))


def test_same_seed_same_index(recipe, index, xb, xq):
    again = FaissIndex.build(xb, recipe, seed=3)
    for mine, others in zip(index.search(xq, K, width=8), again.search(xq, K, width=8), strict=True):
        np.testing.assert_array_equal(mine, others)


def test_survives_being_saved(index, recipe, xq, tmp_path):
    index.save(tmp_path / "index.faiss")
    loaded = FaissIndex.load(tmp_path / "index.faiss", index.recipe)
    assert (loaded.recipe, loaded.d, loaded.ntotal) == (index.recipe, D, N)
    for mine, others in zip(index.search(xq, K, width=8), loaded.search(xq, K, width=8), strict=True):
        np.testing.assert_array_equal(mine, others)


def test_memory_is_told_before_and_after(index, recipe, tmp_path):
    index.save(tmp_path / "index.faiss")
    on_disk = (tmp_path / "index.faiss").stat().st_size
    assert index.memory_bytes == pytest.approx(on_disk, rel=0.1)
    assert estimate_memory(recipe, N, D) == index.memory_bytes


def test_recorded_recipe_builds_the_same_kind_again(index, recipe, xb):
    assert resolve_recipe(recipe, N, D) == index.recipe
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


def test_concurrent_searches_do_not_disturb_each_other(index, xq):
    widths = (1, 8, 64, 256)
    alone = {w: index.search(xq, K, width=w) for w in widths}
    wrong = []

    def search(width):
        for _ in range(20):
            scores, rows = index.search(xq, K, width=width)
            if not (np.array_equal(rows, alone[width][1]) and np.array_equal(scores, alone[width][0])):
                wrong.append(width)

    threads = [threading.Thread(target=search, args=(w,)) for w in widths * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(recipe, xb, value):
    broken = xb.copy()
    broken[-1, 0] = value
    with pytest.raises(ValueError, match="finite"):
        FaissIndex.build(broken, recipe)


class TestRecipes:
    def test_auto_goes_by_size(self):
        assert resolve_recipe("auto", 1_000, 512) == "SQfp16"
        assert resolve_recipe("auto", 19_000, 512) == "SQfp16"
        assert resolve_recipe("auto", 50_000, 192) == "SQfp16"
        assert resolve_recipe("auto", 200_000, 512) == "HNSW32,SQfp16"
        assert resolve_recipe("auto", 10_000_000, 512) == "RR512,IVF16384,RaBitQfs,Refine(SQfp16)"

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
