"""The retrieval protocols against a slow recount of the same definitions, on vectors made for the purpose."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.evaluate import SAMPLE, Protocol, evaluate, recalls
from models.picture import decode_picture
from models.product import canonical_text
from models.train.feed import DataError, Feed


@pytest.fixture
def tiny(support):
    return support("tiny")


@pytest.fixture
def shop(tiny, tmp_path):
    return Feed.open(tiny.write_shop(tmp_path / "shop", test=60))


@pytest.fixture
def encoder(weightless):
    class Watched(weightless):
        """Remembers which entities it was given."""

        given = ()

        def encode_texts(self, texts, entities=None):
            self.given = list(entities)
            return super().encode_texts(texts, entities)

    return Watched(
        dim=48, vocabularies={"brand": ["Nike", "Diesel", "Golden Fox"], "category": ["circle", "square", "bar"]}
    )


def count(encoder, feed, *, pictures, groups, candidates, per_pair):
    """R@K both ways by loops: rank = 1 + how many irrelevant candidates score at least as well."""
    items = list(feed.items("test", pictures=pictures))
    texts = encoder.encode_texts(
        [canonical_text(item.product, encoder.text_fields) for item in items],
        [item.product.entities(groups) for item in items],
    )
    images = [encoder.encode_images([decode_picture(p) for p in item.pictures]) for item in items]
    to_image, to_text = [], []
    for i in range(len(items)):
        pool = candidates(i, items)
        others = [float(texts[i] @ v) for j in pool if j != i for v in images[j]]
        own = [float(texts[i] @ v) for v in images[i]]
        if per_pair:
            for k, score in enumerate(own):
                rest = others + own[:k] + own[k + 1 :]
                to_image.append(1 + sum(s >= score - 1e-6 for s in rest))
        else:
            to_image.append(1 + sum(s >= max(own) - 1e-6 for s in others))
        for v in images[i]:
            score = float(v @ texts[i])
            to_text.append(1 + sum(float(v @ texts[j]) >= score - 1e-6 for j in pool if j != i))
    return [np.mean([rank <= k for rank in ranks]) for ranks in (to_image, to_text) for k in (1, 5, 10)]


def means(level):
    return [getattr(way, f"r{k}").mean for way in (level.text_to_image, level.image_to_text) for k in (1, 5, 10)]


@pytest.mark.parametrize("pictures", [1, 2])
def test_full_candidates_equal_the_recount(encoder, shop, pictures):
    figures = evaluate(encoder, shop, Protocol(pictures=pictures))
    everything = {
        "pictures": pictures,
        "groups": ("brand", "category"),
        "candidates": lambda _, items: range(len(items)),
    }
    assert means(figures.pair) == pytest.approx(count(encoder, shop, **everything, per_pair=True))
    assert means(figures.product) == pytest.approx(count(encoder, shop, **everything, per_pair=False))
    assert figures.pair.sum_r == pytest.approx(100 * sum(means(figures.pair)))
    assert (figures.products, figures.pictures) == (60, 60 if pictures == 1 else 90)
    assert figures.candidates_mean == 60
    assert figures.entities == ("brand", "category")


def test_candidates_of_the_category_equal_the_recount(encoder, shop):
    """Every category has fewer than a hundred products here, so its candidates are all of them."""
    figures = evaluate(encoder, shop, Protocol(candidates="100"))

    def pool(i, items):
        return [j for j, item in enumerate(items) if item.product.category == items[i].product.category]

    want = count(encoder, shop, pictures=1, groups=("brand",), candidates=pool, per_pair=False)
    assert means(figures.product) == pytest.approx(want)
    assert figures.candidates_mean == 20
    assert figures.entities == ("brand",)
    assert {key for stated in encoder.given for key in stated} == {"brand"}


def test_a_large_category_is_sampled_to_a_hundred_and_always_the_same(tiny, weightless, tmp_path):
    rows = [{**row, "category": "thing"} for row in tiny.shop_rows(150, "test")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "catalogue.parquet")
    feed, encoder = Feed.open(tmp_path), weightless(dim=16)
    figures = evaluate(encoder, feed, Protocol(candidates="100"))
    assert figures.candidates_mean == SAMPLE
    assert figures == evaluate(encoder, feed, Protocol(candidates="100"))
    whole = evaluate(encoder, feed, Protocol())
    assert all(few >= many for few, many in zip(means(figures.pair), means(whole.pair), strict=True))
    assert figures.pair.text_to_image.median_rank < whole.pair.text_to_image.median_rank


def test_texts_alone_are_measured_without_entities(encoder, shop):
    figures = evaluate(encoder, shop, Protocol(with_entities=False))
    assert figures.entities == ()
    assert not any(encoder.given)


def test_limits_and_counts_of_what_no_encoder_can_tell_apart(encoder, shop):
    assert evaluate(encoder, shop, Protocol(limit=36)).indistinct == 0
    assert evaluate(encoder, shop, Protocol(limit=40)).indistinct == 8
    assert evaluate(encoder, shop, Protocol(limit=10)).products == 10


def test_intervals_hold_their_means(encoder, shop):
    figures = evaluate(encoder, shop, Protocol())
    for way in (figures.pair.text_to_image, figures.pair.image_to_text):
        for estimate in (way.r1, way.r5, way.r10):
            assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1


def test_figures_say_what_they_were_measured_on(encoder, shop):
    figures = evaluate(encoder, shop, Protocol(split="val"))
    assert (figures.encoder, figures.fingerprint) == (encoder.name, encoder.fingerprint)
    assert (figures.catalogue, figures.split, figures.seed) == ("shop", "val", 2022)
    assert figures.data != evaluate(encoder, shop, Protocol()).data


def test_a_catalogue_without_categories_cannot_be_sampled_within(tiny, encoder, tmp_path):
    rows = [{**row, "category": None} for row in tiny.shop_rows(4, "test")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "catalogue.parquet")
    with pytest.raises(DataError, match="has a category"):
        evaluate(encoder, Feed.open(tmp_path), Protocol(candidates="100"))


def test_a_damaged_picture_is_named(tiny, encoder, tmp_path):
    rows = tiny.shop_rows(3, "test")
    rows[1]["image_bytes"] = [b"nothing"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "catalogue.parquet")
    with pytest.raises(DataError, match="product p1: picture"):
        evaluate(encoder, Feed.open(tmp_path), Protocol())


class TestRecalls:
    def test_matched_rows_are_found_and_a_shift_of_one_is_second(self):
        matched = recalls(np.eye(20, dtype=np.float32), np.eye(20, dtype=np.float32))
        assert set(matched.values()) == {1.0}
        angle = np.arange(20) * 0.1
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        shifted = np.roll(ring, 1, axis=0)[1:]
        found = recalls(ring[1:], shifted)
        assert found["text_to_image_r1"] < 0.1
        assert found["text_to_image_r5"] == found["image_to_text_r5"] == 1.0

    def test_a_constant_encoder_earns_nothing(self):
        ones = np.ones((12, 4), dtype=np.float32) / 2
        assert set(recalls(ones, ones).values()) == {0.0}
