"""Products as vectors to judge: the category must not be read back from them."""

import numpy as np
import pytest

from models.category.vectors import (
    category_of,
    classes_of,
    encode_prompts,
    gather,
    labels_of,
    means,
    texts_without,
)
from models.category.whole_feed import WHOLE, WholeFeed
from models.product import Product, canonical_text
from models.train.feed import DataError, Feed

VOCABULARIES = {"brand": ["Nike", "Diesel"], "category": ["top", "dress"], "kind": ["long", "short"]}


@pytest.fixture
def encoder(weightless):
    return weightless(dim=48, vocabularies=VOCABULARIES)


def product(n=0, **changes):
    usual = {"id": f"p{n}", "title": "A fine thing", "brand": "Nike", "category": "top", "attributes": {"kind": "long"}}
    return Product(**{**usual, **changes})


class TestTexts:
    def test_products_that_differ_in_their_category_alone_have_equal_vectors(self, encoder):
        products = [product(), product(category="dress"), product(category=None), product(category="unknown")]
        found = texts_without(encoder, products, "category")
        assert found.dtype == np.float32
        assert (found == found[0]).all()
        given = encoder.encode_texts(["A fine thing"] * 2, [p.entities(("category",)) for p in products[:2]])
        assert (given[0] != given[1]).any()  # this encoder does read it

    def test_everything_else_is_still_read(self, encoder):
        products = [product(), product(brand="Diesel"), product(title="Another"), product(attributes={"kind": "short"})]
        found = texts_without(encoder, products, "category")
        assert len(np.unique(found.round(6), axis=0)) == 4
        want = encoder.encode_texts([canonical_text(products[1])], [{"brand": "Diesel", "kind": "long"}])
        np.testing.assert_array_equal(found[1], want[0])

    def test_of_another_group_withholds_that_and_the_category(self, encoder):
        products = [product(), product(category="dress"), product(attributes={"kind": "short"})]
        assert (np.ptp(texts_without(encoder, products, "kind"), axis=0) == 0).all()
        assert np.ptp(texts_without(encoder, [product(), product(brand="Diesel")], "kind"), axis=0).any()


class TestMeans:
    def test_by_hand(self):
        vectors = np.array([[3, 0], [0, 4], [0, -2], [1, 1]], np.float16)
        found = means(vectors, np.array([0, 0, 2, 3]), 4)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [0, -1], [0.5**0.5, 0.5**0.5]], atol=1e-6)

    def test_that_cancel_stay_zero(self):
        assert means(np.array([[1.0, 0], [-1, 0]], np.float32), np.array([0, 0]), 1).tolist() == [[0, 0]]


class TestClasses:
    def test_are_the_values_that_several_state(self):
        products = [product(n, category=c) for n, c in enumerate(["b", "a", "b", "c", "a", "b", None, "d", "d"])]
        assert classes_of(products, "category") == ["a", "b", "d"]
        assert classes_of(products, "category", least=1) == ["a", "b", "c", "d"]
        assert classes_of(products, "category", largest=2) == ["a", "b"]
        assert labels_of(products, "category", ["a", "b", "d"]).tolist() == [1, 0, 1, -1, 0, 1, -1, 2, 2]
        assert labels_of(products, "category", ["a", "b", "d"]).dtype == np.int32

    def test_may_be_an_attribute(self):
        products = [product(attributes={"kind": kind, "size": 3.0}) for kind in ("long", "long", "short", "short", "")]
        assert [category_of(p, "kind") for p in products] == ["long", "long", "short", "short", None]
        assert category_of(products[0], "size") is None
        assert classes_of(products, "kind") == ["long", "short"]

    @pytest.mark.parametrize("stated", [["a", "b"], ["a", "a", "b"], [None, None], ["a", "a"]])
    def test_fewer_than_two_are_an_error(self, stated):
        with pytest.raises(DataError, match="fewer than two values of 'category'"):
            classes_of([product(n, category=c) for n, c in enumerate(stated)], "category")

    def test_prompts_are_what_a_shopper_would_say(self, encoder):
        found = encode_prompts(encoder, ["top", "dress"])
        np.testing.assert_array_equal(found, encoder.encode_texts(["a photo of top", "a photo of dress"]))
        np.testing.assert_array_equal(encode_prompts(encoder, ["x"], "{}!"), encoder.encode_texts(["x!"]))


class TestGather:
    @pytest.fixture
    def shop(self, support, tmp_path):
        return support("tiny").write_shop(tmp_path / "shop", train=12, val=6, test=4)

    def test_rows_are_products_whatever_their_pictures(self, encoder, shop):
        feed = Feed.open(shop)
        found = gather(encoder, feed, "train")
        assert [p.id for p in found.products] == [f"p{n}" for n in range(12)]
        assert [len(names) for names in found.digests] == [1 + n % 2 for n in range(12)]
        np.testing.assert_allclose(np.linalg.norm(found.images, axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(found.texts, texts_without(encoder, found.products, "category"))
        assert len(gather(encoder, feed, "train", limit=5).products) == 5

    def test_a_whole_feed_holds_every_split(self, encoder, shop):
        found = gather(encoder, WholeFeed.open(shop), WHOLE)
        assert len(found.products) == 12 + 6 + 4
        parts = [gather(encoder, Feed.open(shop), split).images for split in ("train", "val", "test")]
        np.testing.assert_array_equal(found.images, np.concatenate(parts))
        with pytest.raises(DataError, match="cannot read"):
            gather(encoder, WholeFeed.open(shop / "nowhere"), WHOLE)
