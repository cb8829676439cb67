from dataclasses import dataclass

import numpy as np
import pytest

from indexer import ranking
from indexer.index import FaissIndex
from indexer.manifest import FusionWeights
from indexer.ranking import FilterStrategy, Words, candidate_rows, rank, score, score_rows
from indexer.tuning import choose_width

D = 16


@dataclass
class Stated:
    exact_rows: int = 100


class Matches:
    """A lexical index that has read one text."""

    def __init__(self, scores):
        self._scores = scores

    def scores(self, text):
        return self._scores if text == "known" else np.zeros_like(self._scores)


class Rows:
    """As much of a bundle as ranking needs, made of random vectors: no encoder, no files."""

    def __init__(self, counts, seed=0, recipe="exact"):
        rng = np.random.default_rng(seed)
        self.products = range(len(counts))
        self.image_rows = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        self.image_starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        self.vectors = {"text": unit(rng, len(counts)), "image": unit(rng, sum(counts))}
        self.indexes = {s: FaissIndex.build(v, recipe) for s, v in self.vectors.items()}
        self.widths = {"image": None, "text": None}
        self.manifest = Stated()


def unit(rng, n):
    rows = rng.standard_normal((n, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def brute_force(bundle, q, weights):
    """Score every product the slow way, one by one."""
    scored = []
    for row in range(len(bundle.products)):
        pictures = bundle.vectors["image"][bundle.image_rows == row].astype(np.float64) @ q
        best = max(pictures, default=0.0)
        text = float(bundle.vectors["text"][row].astype(np.float64) @ q)
        picture = int(np.argmax(pictures)) if len(pictures) else -1
        scored.append((-(weights.image * best + weights.text * text), row, picture))
    return sorted(scored)


@pytest.fixture(scope="module")
def bundle():
    rng = np.random.default_rng(5)
    return Rows(rng.integers(0, 5, 300).tolist())


@pytest.fixture(scope="module")
def queries():
    return unit(np.random.default_rng(9), 20).astype(np.float32)


@pytest.mark.parametrize("image", [0.0, 0.3, 0.5, 1.0])
def test_agrees_with_scoring_every_product(bundle, queries, image):
    weights = FusionWeights(image=image, text=1 - image)
    for q in queries:
        ranked = rank(bundle, q, weights, 10)
        expected = brute_force(bundle, q, weights)
        if image == 1.0:  # products without pictures are no candidates then: their score would be 0
            expected = [e for e in expected if e[2] >= 0]
        assert ranked.rows.tolist() == [row for _, row, _ in expected[:10]]
        np.testing.assert_allclose(ranked.scores, [-s for s, _, _ in expected[:10]], atol=1e-5)
        assert ranked.pictures.tolist() == [picture for _, _, picture in expected[:10]]
        assert ranked.scores.dtype == np.float32


def test_excluded_products_give_their_places_to_the_next(bundle, queries):
    weights = FusionWeights(image=0.5, text=0.5)
    whole = rank(bundle, queries[0], weights, 12)
    scored = score(bundle, queries[0], weights, 10, exclude_rows={int(whole.rows[0]), int(whole.rows[4])})
    without = scored.take(scored.best()[:10])
    np.testing.assert_array_equal(without.rows, np.delete(whole.rows, [0, 4]))


def test_more_than_there_is(bundle, queries):
    ranked = rank(bundle, queries[0], FusionWeights(image=0.5, text=0.5), 1000)
    assert len(ranked.rows) == ranked.candidates == 300


def test_equal_scores_go_by_row(queries):
    same = Rows([1] * 8)
    for vectors in same.vectors.values():
        vectors[:] = vectors[0]
    same.indexes = {s: FaissIndex.build(v, "exact") for s, v in same.vectors.items()}
    ranked = rank(same, queries[0], FusionWeights(image=0.5, text=0.5), 5)
    assert ranked.rows.tolist() == [0, 1, 2, 3, 4]
    assert ranked.pictures.tolist() == [0] * 5


def test_scores_do_not_depend_on_the_recipe(queries):
    counts = [2] * 400
    weights = FusionWeights(image=0.5, text=0.5)
    exact, coarse = Rows(counts), Rows(counts, recipe="IVF8,SQ4")
    coarse.widths = {"image": 8, "text": 8}
    for q in queries:
        best, approximate = rank(exact, q, weights, 10), rank(coarse, q, weights, 10)
        common = np.isin(approximate.rows, best.rows)
        assert common.mean() >= 0.9
        shared = dict(zip(best.rows.tolist(), best.scores.tolist(), strict=True))
        for row, own in zip(approximate.rows[common].tolist(), approximate.scores[common].tolist(), strict=True):
            assert own == pytest.approx(shared[row], abs=1e-6)


def test_a_product_with_many_pictures_does_not_crowd_out_the_others(queries):
    """All places of the image index could go to one product's pictures."""
    counts = [400] + [1] * 199
    crowded = Rows(counts)
    crowded.vectors["image"][:400] = queries[0].astype(np.float16)
    crowded.indexes["image"] = FaissIndex.build(crowded.vectors["image"], "exact")
    ranked = rank(crowded, queries[0], FusionWeights(image=1, text=0), 10)
    expected = brute_force(crowded, queries[0], FusionWeights(image=1, text=0))
    assert ranked.rows.tolist() == [row for _, row, _ in expected[:10]]


def test_no_pictures_at_all(queries):
    wordy = Rows([0] * 30)
    ranked = rank(wordy, queries[0], FusionWeights(image=0.5, text=0.5), 5)
    assert ranked.pictures.tolist() == [-1] * 5
    texts = wordy.vectors["text"].astype(np.float32) @ queries[0]
    np.testing.assert_allclose(ranked.scores, 0.5 * np.sort(texts)[::-1][:5], atol=1e-6)
    assert len(candidate_rows(wordy, queries[0], FusionWeights(image=1, text=0), 5)[0]) == 0
    assert len(rank(wordy, queries[0], FusionWeights(image=1, text=0), 5).rows) == 0


def test_score_rows_of_rows_asked_for(bundle, queries):
    weights = FusionWeights(image=0.4, text=0.6)
    rows = np.array([7, 3, 250])
    scores, pictures = score_rows(bundle, queries[0], weights, rows)
    expected = {row: (-s, p) for s, row, p in brute_force(bundle, queries[0], weights)}
    for row, own, picture in zip(rows.tolist(), scores.tolist(), pictures.tolist(), strict=True):
        assert (own, picture) == (pytest.approx(expected[row][0], abs=1e-5), expected[row][1])


@pytest.mark.parametrize("limit", [0, -1])
def test_limits(bundle, queries, limit):
    with pytest.raises(ValueError, match="must be positive"):
        rank(bundle, queries[0], FusionWeights(image=0.5, text=0.5), limit)


@pytest.mark.parametrize("q", [np.full(D, np.nan, np.float32), np.zeros(D + 1, np.float32)])
def test_queries_that_are_none(bundle, q):
    with pytest.raises(ValueError, match=r"finite|queries must be"):
        rank(bundle, q, FusionWeights(image=0.5, text=0.5), 3)


@pytest.mark.parametrize("recipe", ["exact", "HNSW16,SQfp16", "IVF8,SQfp16"])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("near", ["random", "nearest", "farthest"])
def test_a_filter_loses_nothing(queries, recipe, share, near):
    """Whatever share it admits, be it what is near the query or what is far from it."""
    counts = [1, 2] * 600
    bundle = Rows(counts, recipe=recipe)
    bundle.widths = {
        space: choose_width(index, bundle.vectors[space], queries) for space, index in bundle.indexes.items()
    }
    weights = FusionWeights(image=0.5, text=0.5)
    hits = []
    for q in queries:
        scores, _ = score_rows(bundle, q, weights, np.arange(len(counts)))
        order = {"nearest": np.argsort(-scores), "farthest": np.argsort(scores)}.get(
            near, np.random.default_rng(1).permutation(len(counts))
        )
        among = np.zeros(len(counts), np.bool_)
        among[order[: round(share * len(counts))]] = True
        scored = score(bundle, q, weights, 10, among=among)
        found = scored.take(scored.best()[:10])
        assert among[found.rows].all()
        assert len(found.rows) == min(10, among.sum())
        exact = recipe == "exact" or among.sum() <= 100
        assert scored.strategy == (FilterStrategy.EXACT if exact else FilterStrategy.APPROXIMATE)
        truth = np.sort(np.where(among, scores, -np.inf))[::-1][: len(found.rows)]
        hits += [s >= t - 1e-5 for s, t in zip(found.scores, truth, strict=True)]
    assert np.mean(hits) >= 0.99


def test_nothing_admitted(bundle, queries):
    scored = score(bundle, queries[0], FusionWeights(image=0.5, text=0.5), 10, among=np.zeros(300, np.bool_))
    assert len(scored.rows) == 0
    assert scored.strategy is FilterStrategy.EXACT


def test_products_admitted_without_pictures(queries):
    bundle = Rows([0] * 150 + [1] * 150)
    among = np.arange(300) < 150
    scored = score(bundle, queries[0], FusionWeights(image=0.5, text=0.5), 10, among=among)
    assert scored.strategy is FilterStrategy.EXACT
    assert set(scored.rows.tolist()) <= set(range(150))
    assert len(scored.rows) >= 10


@pytest.fixture
def worded(bundle, monkeypatch):
    """The bundle with BM25 scores for the text "known": a tenth of the products match."""
    rng = np.random.default_rng(4)
    scores = np.where(rng.random(300) < 0.1, rng.random(300) * 12, 0).astype(np.float32)
    monkeypatch.setattr(bundle, "lexical", Matches(scores), raising=False)
    return scores


@pytest.mark.parametrize("lexical", [0.2, 0.5, 0.9])
def test_hybrid_scores_are_the_weighted_sum(bundle, queries, worded, lexical, monkeypatch):
    monkeypatch.setattr(ranking, "MIN_CANDIDATES", 4)
    plain, weights = FusionWeights(image=0.4, text=0.6), FusionWeights(image=0.4, text=0.6, lexical=lexical)
    for q in queries:
        vectors, _ = score_rows(bundle, q, plain, np.arange(300))
        expected = (1 - lexical) * vectors + lexical * worded / worded.max()
        ranked = rank(bundle, q, weights, 5, Words(texts=[("known", 1.0)]))
        np.testing.assert_allclose(ranked.scores, np.sort(expected)[::-1][:5], atol=1e-5)
        np.testing.assert_allclose(ranked.added[:, 0], lexical * worded[ranked.rows] / worded.max(), atol=1e-6)


def test_texts_share_the_lexical_weight(bundle, queries, worded):
    weights = FusionWeights(image=0.4, text=0.6, lexical=0.5)
    scored = score(bundle, queries[0], weights, 300, Words(texts=[("known", 0.25), ("unknown", 0.75)]))
    np.testing.assert_allclose(scored.added[:, 0], 0.125 * worded[scored.rows] / worded.max(), atol=1e-6)
    assert not scored.added[:, 1].any()


def test_without_words_vectors_count_whole(bundle, queries, worded):
    weights = FusionWeights(image=0.4, text=0.6, lexical=0.5)
    plain = rank(bundle, queries[0], FusionWeights(image=0.4, text=0.6), 10)
    np.testing.assert_array_equal(rank(bundle, queries[0], weights, 10).scores, plain.scores)


def test_words_alone_find_only_what_has_them(bundle, queries, worded):
    weights = FusionWeights(image=0.4, text=0.6, lexical=1.0)
    scored = score(bundle, np.zeros(D, np.float32), weights, 10, Words(texts=[("known", 1.0)]))
    assert scored.rows.tolist() == np.flatnonzero(worded).tolist()
    np.testing.assert_allclose(scored.scores, worded[scored.rows] / worded.max(), atol=1e-6)
    among = np.arange(300) < 150
    scored = score(bundle, np.zeros(D, np.float32), weights, 10, Words(texts=[("known", 1.0)]), among=among)
    assert scored.rows.tolist() == np.flatnonzero(worded[:150]).tolist()
    assert not len(score(bundle, queries[0], weights, 10, Words(texts=[("unknown", 1.0)])).rows)


def test_the_best_words_are_candidates_wherever_their_vectors_lie(bundle, queries, worded, monkeypatch):
    monkeypatch.setattr(ranking, "MIN_CANDIDATES", 2)
    monkeypatch.setattr(ranking, "OVERSAMPLE", 1)
    weights = FusionWeights(image=0.4, text=0.6, lexical=0.9)
    among = np.ones(300, np.bool_)
    among[worded.argmax()] = False
    ranked = rank(bundle, queries[0], weights, 1, Words(texts=[("known", 1.0)]))
    assert ranked.rows[0] == worded.argmax()
    scored = score(bundle, queries[0], weights, 1, Words(texts=[("known", 1.0)]), among=among)
    second = np.where(among, worded, 0).argmax()
    assert second in scored.rows
    assert worded.argmax() not in scored.rows
