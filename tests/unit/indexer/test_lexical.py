"""The lexical index against BM25 written out by hand, and how it bears slips of the pen."""

import math

import numpy as np
import pytest

from indexer.lexical import FIELD_WEIGHTS, FILES, SCORES, TERMS, LexicalIndex, write_lexical
from indexer.manifest import BundleError
from models.product import Product

PRODUCTS = [
    Product(id="0", title="Red running shoes", brand="Nike", category="Sneakers", description="Shoes to run in."),
    Product(id="1", title="Blue shoe", brand="Diesel", category="Boots", season="Winter"),
    Product(id="2", title="Café T-shirt", description="A red shirt. Red, red, red.", attributes={"colour": "Rouge"}),
    Product(id="3", title="Running watch", brand="Nike", attributes={"tags": ("sport", "red"), "size": 3.0}),
    Product(id="4", title="Espresso mug"),
]


def built(folder, products=PRODUCTS):
    write_lexical(iter(products), folder)
    return LexicalIndex.open(folder, len(products))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    built(folder)
    return folder


@pytest.fixture(scope="module")
def index(folder):
    return LexicalIndex.open(folder, len(PRODUCTS))


# The stems of each field of each product, by hand.
STEMS = {
    "title": [["red", "run", "shoe"], ["blue", "shoe"], ["cafe", "t", "shirt"], ["run", "watch"], ["espresso", "mug"]],
    "brand": [["nike"], ["diesel"], [], ["nike"], []],
    "category": [["sneaker"], ["boot"], [], [], []],
    "attributes": [[], ["winter"], ["roug"], ["sport", "red"], []],
    "description": [["shoe", "to", "run", "in"], [], ["a", "red", "shirt", "red", "red", "red"], [], []],
}


def bm25(stems, row, k1=1.5, b=0.75):
    """Lucene's BM25 of each field, weighted and added up (Robertson and Zaragoza 2009; Kamphuis et al. 2020)."""
    total = 0.0
    for field, documents in STEMS.items():
        average = sum(map(len, documents)) / len(documents)
        for stem in stems:
            having = sum(stem in document for document in documents)
            idf = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
            tf = documents[row].count(stem)
            total += FIELD_WEIGHTS[field] * idf * tf / (tf + k1 * (1 - b + b * len(documents[row]) / average))
    return total


@pytest.mark.parametrize(
    ("text", "stems"),
    [
        ("red shoes", ["red", "shoe"]),
        ("RUNNING, Nike!", ["run", "nike"]),
        ("cafe t-shirts", ["cafe", "t", "shirt"]),
        ("nike nike", ["nike"]),
        ("rouge", ["roug"]),
        ("in winter", ["in", "winter"]),
        ("3", []),
        ("", []),
        ("& — !", []),
        ("日本", []),
    ],
)
def test_scores_are_bm25_by_hand(index, text, stems):
    expected = [bm25(stems, row) for row in range(len(PRODUCTS))]
    np.testing.assert_allclose(index.scores(text), expected, rtol=1e-5)
    assert index.scores(text).dtype == np.float32


@pytest.mark.parametrize(
    ("text", "stems", "share"),
    [
        ("sneekers", ["sneaker"], 0.8),
        ("esprseso", ["espresso"], 0.8),  # neighbours swapped
        ("expresso mug", ["espresso", "mug"], None),
        ("snea", ["sneaker"], 0.9),  # being typed
        ("esp mug", ["mug"], 1.0),  # only a last word is being typed
        ("rad", [], 1.0),  # too short to guess
        ("esprresoo", ["espresso"], 0.6),
        ("xqzwvk", [], 1.0),
    ],
)
def test_words_nobody_uses_stand_for_what_they_may_have_meant(index, text, stems, share):
    found = index.scores(text)
    if share is None:
        assert found.argmax() == 4
        return
    np.testing.assert_allclose(found, [share * bm25(stems, row) for row in range(len(PRODUCTS))], rtol=1e-5)


def test_a_word_somebody_uses_stands_for_itself_alone(index):
    assert index.scores("shoe")[2] == 0  # one slip from nothing that it need be taken for


def test_the_same_products_give_the_same_bytes(folder, tmp_path):
    built(tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_products_without_a_word(tmp_path):
    index = built(tmp_path, [Product(id="1", title="!!!"), Product(id="2", title="—")])
    np.testing.assert_array_equal(index.scores("anything"), np.zeros(2, np.float32))


def test_a_long_text_is_read_as_far_as_queries_go(index):
    text = "mug " * 63 + "espresso watch"
    assert index.scores(text)[3] == 0
    assert index.scores(text)[4] > 0


@pytest.mark.parametrize("spoil", ["cut", "no json", "other", "missing"])
def test_damage_is_named(tmp_path, spoil):
    built(tmp_path)
    path = tmp_path / (SCORES if spoil in {"cut", "missing"} else TERMS)
    if spoil == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": path.read_bytes()[:-3], "no json": b"{", "other": b'{"terms": ["a"]}'}[spoil])
    with pytest.raises(BundleError, match="lexical"):
        LexicalIndex.open(tmp_path, len(PRODUCTS))
    if spoil == "other":
        path.write_text('{"language": "english", "terms": ["a"], "forms": ["a"], "lengths": [1, 1, 1, 1, 1]}')
        with pytest.raises(BundleError, match="do not fit"):
            LexicalIndex.open(tmp_path, len(PRODUCTS))


def test_forms_are_the_words_that_stand_for_a_stem_most_often(index):
    forms = dict(zip(index.vocabulary.terms, index.forms, strict=True))
    assert forms["run"] == "running"
    assert forms["shoe"] == "shoe"  # as often as "shoes", and first in the alphabet
    assert forms["sneaker"] == "sneakers"
    assert forms["to"] is None  # only a description has it


def test_a_text_is_read_word_by_word(index):
    shoe, sneaker = index.vocabulary.terms.index("shoe"), index.vocabulary.terms.index("sneaker")
    assert index.read("Shoes, sneekers qqq") == [
        ("shoes", shoe, None),
        ("sneekers", None, sneaker),
        ("qqq", None, None),
    ]
    assert index.rows(shoe).tolist() == [0, 1]
