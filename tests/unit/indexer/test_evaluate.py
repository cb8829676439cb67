import shutil

import numpy as np
import pytest

from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.evaluate import (
    Report,
    exact_search,
    measure,
    recall,
    sample_queries,
    self_retrieval,
)
from indexer.index import FaissIndex
from indexer.manifest import QueryKind
from indexer.tuning import (
    DEFAULT_FUSION,
    FILTER_SIZES,
    WIDTHS,
    calibrate_image_weight,
    choose_exact_rows,
    choose_width,
)


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((60, 24))
    rows = centres[rng.integers(0, 60, 6000)] + 0.7 * rng.standard_normal((6000, 24))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def test_exact_search_by_blocks_is_a_sort(vectors, monkeypatch):
    monkeypatch.setattr("indexer.evaluate.EXACT_BLOCK", 700)
    xq = vectors[:30].astype(np.float32)
    scores, rows = exact_search(vectors, xq, 10)
    every = xq.astype(np.float64) @ vectors.astype(np.float64).T
    np.testing.assert_allclose(scores, np.sort(every, axis=1)[:, ::-1][:, :10], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(every, rows, axis=1), scores, atol=1e-5)


def test_recall_by_hand():
    """Two of three and three of three places; the second's third is a tie of another row."""
    truth = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, 0.7]], np.float32)
    found = np.array([[0.9, 0.7, -np.inf], [0.9, 0.8, 0.7]], np.float32)
    assert recall(truth, found) == pytest.approx(5 / 6)


class TestWidth:
    def test_is_the_smallest_that_reaches_the_target(self, vectors):
        index = FaissIndex.build(vectors, "IVF64,SQfp16")
        queries = vectors[::40].astype(np.float32)
        truth = exact_search(vectors, queries, 10)[1]

        def reached(width):
            rows = index.search(queries, 10, width=width)[1]
            return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, truth, strict=True)])

        width = choose_width(index, vectors, queries, target=0.99)
        assert reached(width) >= 0.985
        assert width == WIDTHS[0] or reached(WIDTHS[WIDTHS.index(width) - 1]) < 0.99

    def test_the_largest_where_none_does(self, vectors):
        index = FaissIndex.build(vectors, "PCA4,IVF16,Flat")
        assert choose_width(index, vectors, vectors[:50].astype(np.float32)) == 512

    def test_none_for_an_exact_index(self, vectors):
        assert choose_width(FaissIndex.build(vectors, "exact"), vectors, vectors[:5].astype(np.float32)) is None
        empty = FaissIndex.build(vectors[:0], "hnsw")
        assert choose_width(empty, vectors[:0], vectors[:5].astype(np.float32)) is None


class TestReport:
    def test_of_an_exact_bundle(self, bundle, encoder):
        report = measure(bundle, encoder, seed=1)
        assert {s: a.recall_at_10 for s, a in report.ann.items()} == {"image": 1.0, "text": 1.0}
        assert report.ranking[QueryKind.TEXT].recall_at_10 == 1.0
        assert report.ranking[QueryKind.IMAGE].recall_at_10 == 1.0
        assert (report.products, report.images, report.rejected, report.products_without_images) == (40, 80, 0, 0)
        assert (report.self_retrieval.text, report.self_retrieval.text_sample) == (1.0, 40)
        assert report.self_retrieval.image_sample == 80
        assert report.self_retrieval.image > 0.95

    def test_is_what_the_bundle_carries(self, bundle, built):
        assert Report.model_validate(bundle.report) == built.report
        assert {"read and encode", "index", "measure"} <= set(built.report.stages_s)

    def test_a_coarse_index_shows(self, bundle, encoder, monkeypatch):
        spoilt = FaissIndex.build(bundle.vectors["text"], "SQ4")
        monkeypatch.setitem(bundle.indexes, "text", spoilt)
        monkeypatch.setitem(bundle.indexes, "image", FaissIndex.build(bundle.vectors["image"], "PCA2,Flat"))
        report = measure(bundle, encoder)
        assert report.ann["image"].recall_at_10 < 0.8
        assert report.ann["text"].recall_at_10 > report.ann["image"].recall_at_10

    def test_without_pictures(self, feeds, encoder, tmp_path):
        feed = feeds.write_feed(tmp_path / "feed", 30, pictures=0)
        built = build(encoder, BuildOptions(feed, tmp_path / "data", recipe="hnsw"))
        assert built.report.self_retrieval.image is None
        assert built.report.self_retrieval.image_sample == 0
        assert built.report.products_without_images == 30
        assert set(built.report.ann) == {"text"}
        with Bundle.open(built.path) as opened:
            assert opened.vectors["image"].shape == (0, encoder.dim)
            assert opened.thumbnail(3, 0) is None


class TestSelfRetrievalNotices:
    @pytest.fixture
    def spoilt(self, built, tmp_path):
        """Open a copy without its digests being checked, after `change(folder)`."""
        opened = []

        def spoil(change):
            folder = shutil.copytree(built.path, tmp_path / "copy")
            change(folder)
            bundle = Bundle.open(folder, verify=False)
            opened.append(bundle)
            return bundle

        yield spoil
        for bundle in opened:
            bundle.close()

    def test_shuffled_vectors(self, spoilt, encoder):
        def shuffle(folder):
            path = folder / "vectors" / "text.npy"
            vectors = np.load(path)
            np.save(path, vectors[np.random.default_rng(0).permutation(len(vectors))])

        assert self_retrieval(spoilt(shuffle), encoder).text < 0.3

    def test_another_encoder(self, bundle, weightless):
        found = self_retrieval(bundle, weightless(dim=48, salt="other"))
        assert found.text < 0.3
        assert found.image < 0.3

    def test_nothing_where_nothing_is_wrong(self, spoilt, encoder):
        assert self_retrieval(spoilt(lambda _: None), encoder).text == 1.0


class TestCalibration:
    def test_default_where_few_products_have_several_pictures(self, bundle):
        assert calibrate_image_weight(bundle) == DEFAULT_FUSION[QueryKind.IMAGE]

    def test_texts_that_say_nothing_get_no_weight(self, bundle, monkeypatch):
        """Pictures of a product are near each other, texts are noise: the more weight on pictures the better."""
        monkeypatch.setattr("indexer.tuning.MIN_CALIBRATION_PRODUCTS", 5)
        rng = np.random.default_rng(0)
        noise = rng.standard_normal(bundle.vectors["text"].shape)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        monkeypatch.setitem(bundle.vectors, "text", noise.astype(np.float16))
        pictures = rng.standard_normal((40, 48)).repeat(2, axis=0) + 1.2 * rng.standard_normal((80, 48))
        pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
        monkeypatch.setitem(bundle.vectors, "image", pictures.astype(np.float16))
        assert calibrate_image_weight(bundle).image >= 0.7

    def test_pictures_that_say_nothing_get_little_weight(self, bundle, monkeypatch):
        """A picture is near its product's text but not near the product's other picture."""
        monkeypatch.setattr("indexer.tuning.MIN_CALIBRATION_PRODUCTS", 5)
        rng = np.random.default_rng(0)
        texts = bundle.vectors["text"].astype(np.float64)
        noise = rng.standard_normal((80, 48)) / np.sqrt(48)
        signs = np.where(np.arange(80) % 2, 1.0, -1.0)[:, None] * rng.standard_normal((40, 48)).repeat(2, axis=0)
        pictures = texts.repeat(2, axis=0) * 0.8 + signs / np.sqrt(48) + 0.5 * noise
        pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
        monkeypatch.setitem(bundle.vectors, "image", pictures.astype(np.float16))
        weights = calibrate_image_weight(bundle)
        assert weights.image <= 0.4
        assert weights.text == pytest.approx(1 - weights.image)


def test_samples_are_halves_of_both_spaces(bundle):
    queries = sample_queries(bundle, 40, seed=2)
    assert queries.shape == (40, 48)
    assert queries.dtype == np.float32
    np.testing.assert_array_equal(queries, sample_queries(bundle, 40, seed=2))
    stored = {v.tobytes() for v in bundle.vectors["text"].astype(np.float32)}
    assert sum(q.tobytes() in stored for q in queries) == 20


class TestExactRows:
    def test_the_largest_size_before_asking_is_faster(self, bundle, monkeypatch):
        monkeypatch.setattr("indexer.tuning.FILTER_SIZES", (5, 10, 20, 30, 500))
        times = {5: (1.0, 3.0), 10: (2.0, 3.0), 20: (4.0, 3.0), 30: (1.0, 3.0)}
        monkeypatch.setattr("indexer.tuning._both_ways", lambda *given: times[len(given[2])])
        assert choose_exact_rows(bundle, sample_queries(bundle, 10, 0)) == 10

    def test_a_small_catalogue_is_scored_whole(self, bundle):
        assert choose_exact_rows(bundle, sample_queries(bundle, 10, 0)) == FILTER_SIZES[0] >= len(bundle.products)

    def test_by_the_clock(self, bundle, monkeypatch):
        monkeypatch.setattr("indexer.tuning.FILTER_SIZES", (5, 10, 20))
        assert choose_exact_rows(bundle, sample_queries(bundle, 10, 0)) in {5, 10, 20}
