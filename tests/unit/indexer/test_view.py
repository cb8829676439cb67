"""Searching a bundle with layers above it: made of random vectors, judged by brute force over what is alive."""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import orjson
import pyarrow as pa
import pytest

from indexer import ranking
from indexer.asking import NO_ROW
from indexer.fields import Fields
from indexer.index import FaissIndex, SearchIndex
from indexer.lexical import FIELD_WEIGHTS, Analyzer, LexicalIndex, field_texts, write_lexical
from indexer.live import FANOUT, LiveCatalogue
from indexer.manifest import SPACES, FusionWeights
from indexer.products import SCHEMA, ProductTable, product_row
from indexer.ranking import NamedEntity, Words, rank, score
from indexer.tuning import choose_width
from indexer.updates import EncodedProduct, Entry, Kind
from models.product import Product

D = 24
BRANDS = ("Golden Goat", "Ruby", "Northmost")
COLOURS = ("red", "blue", "green", "yellow")
SORTS = ("sneaker", "dress", "watch", "espresso mug", "running shoes")


def unit(rng, *shape):
    """Random unit rows in clusters, as encoders give them; noise alone would flatter no index."""
    centres = np.random.default_rng(99).standard_normal((30, D))
    rows = centres[rng.integers(0, 30, shape)] + 0.7 * rng.standard_normal((*shape, D))
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float16)


def product(i, **fields):
    brand, colour, sort = BRANDS[i % 3], COLOURS[i % 4], SORTS[i % 5]
    stated = {
        "title": f"{brand} {colour} {sort}",
        "description": f"A {colour} {sort} for every day" if i % 2 else "",
        "brand": brand if i % 7 else None,
        "category": sort,
        "price": float(i % 50),
        "attributes": {"colour": colour, "tags": ("sale", colour)} if i % 3 else {"colour": colour},
    }
    return Product(id=f"p{i}", **{**stated, **fields})


class Bare:
    """As much of a bundle as a view needs: products with 0 to 2 pictures, no encoder and no thumbnails."""

    def __init__(self, folder, n, recipe="exact", seed=0):
        rng = np.random.default_rng(seed)
        counts = np.arange(n) % 3
        made = [product(i) for i in range(n)]
        self.products = ProductTable(pa.Table.from_pylist([product_row(one) for one in made], schema=SCHEMA))
        self.fields = Fields(self.products)
        self.image_rows = np.repeat(np.arange(n, dtype=np.int32), counts)
        texts = unit(rng, n)
        pictures = texts[self.image_rows] + 0.1 * rng.standard_normal((len(self.image_rows), D))  # alike, not equal
        pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
        self.vectors = {"image": pictures.astype(np.float16), "text": texts}
        self.indexes = {space: FaissIndex.build(xb, recipe) for space, xb in self.vectors.items()}
        self.image_starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        folder.mkdir()
        write_lexical(made, folder)
        self.lexical = LexicalIndex.open(folder, n)
        xq = unit(rng, 20).astype(np.float32)
        self.widths = {space: choose_width(self.indexes[space], self.vectors[space], xq) for space in SPACES}
        self.manifest = SimpleNamespace(encoder=SimpleNamespace(fingerprint="own", dim=D), exact_rows=100)

    def thumbnail(self, row, n):
        return b""

    def live(self):
        return LiveCatalogue(self, None)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Bare(tmp_path_factory.mktemp("small") / "bundle", 60)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return Bare(tmp_path_factory.mktemp("graph") / "bundle", 2_500, "HNSW32,SQfp16")


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    return Bare(tmp_path_factory.mktemp("lists") / "bundle", 1_200, "IVF32,SQfp16")


def put(one, text=None, images=None, seed=0):
    rng = np.random.default_rng([seed, *one.id.encode()])
    images = unit(rng, len(one.images)) if images is None else images
    encoded = EncodedProduct(one, unit(rng) if text is None else text, images, (b"",) * len(images), "own")
    return Entry(1, 0.0, one.id, Kind.PUT, 1, encoded.to_bytes())


def delete(product_id):
    return Entry(1, 0.0, product_id, Kind.DELETE, 1, b"")


def patch(product_id, fields):
    return Entry(1, 0.0, product_id, Kind.PATCH, 1, orjson.dumps(fields))


def living(view):
    return np.ones(len(view.products), np.bool_) if view.live is None else view.live


def every_score(view, q, weights):
    """Return each row's score by brute force; -inf of dead rows."""
    parts = []
    for layer in view.layers:
        best = np.full(layer.n, -np.inf)
        np.maximum.at(best, layer.part.image_rows, layer.part.vectors["image"].astype(np.float64) @ q)
        text = layer.part.vectors["text"].astype(np.float64) @ q
        parts.append(weights.image * np.where(np.isinf(best), 0, best) + weights.text * text)
    return np.where(living(view), np.concatenate(parts), -np.inf)


# --- where most of what is near is gone ---


@pytest.mark.parametrize("image", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("recipe", ["graph", "lists"])
def test_pages_stay_full_where_most_near_products_are_gone(request, recipe, image):
    bundle, weights, hits = request.getfixturevalue(recipe), FusionWeights(image=image, text=1 - image), []
    for q in unit(np.random.default_rng(7), 12).astype(np.float32):
        live = bundle.live()
        nearest = np.argsort(-every_score(live.view, q, weights))[:300].tolist()
        without = live.apply([delete(f"p{row}") for row in nearest])
        near = put(product(nearest[0], images=("a",)), text=q.astype(np.float16), images=q[None].astype(np.float16))
        with_one = live.apply([near])
        for view in (without, with_one):
            ranked = rank(view, q, weights, 10)
            assert len(ranked.rows) == 10
            assert living(view)[ranked.rows].all()
            truth = np.sort(every_score(view, q, weights))[::-1][:10]
            hits += (ranked.scores >= truth - 1e-5).tolist()
        assert ranked.rows[0] == len(without.products)
    assert np.mean(hits) >= 0.99


@pytest.mark.parametrize("recipe", ["graph", "lists"])
def test_an_index_gives_all_places_whatever_is_gone(request, recipe):
    bundle, hits = request.getfixturevalue(recipe), []
    for q in unit(np.random.default_rng(9), 12).astype(np.float32):
        scores = bundle.vectors["text"].astype(np.float64) @ q
        order = np.argsort(-scores)
        for gone in (1, 100, 600):
            view = bundle.live().apply([delete(f"p{row}") for row in order[:gone].tolist()])
            _, rows = view.indexes["text"].search(q[None], 5, width=bundle.widths["text"])
            assert not set(rows[0].tolist()) & {NO_ROW, *order[:gone].tolist()}
            hits += (scores[rows[0]] >= scores[order[gone : gone + 5]] - 1e-5).tolist()
    assert np.mean(hits) >= 0.97


def test_where_little_is_gone_no_more_is_looked_at(graph, monkeypatch):
    view, looked = graph.live().apply([delete(f"p{row}") for row in range(20)]), []
    search = FaissIndex.search
    monkeypatch.setattr(
        FaissIndex, "search", lambda *a, width, **kw: looked.append(width) or search(*a, width=width, **kw)
    )
    for q in unit(np.random.default_rng(9), 12).astype(np.float32):
        view.indexes["text"].search(q[None], 5, width=64)
    assert max(looked) <= 4 * 64
    assert min(looked) == 64


@pytest.mark.parametrize("recipe", ["graph", "lists", "small"])
@pytest.mark.parametrize("left", [1, 30, 300])
def test_a_bundle_of_which_little_is_left_costs_little(request, monkeypatch, recipe, left):
    """As after a whole feed was sent as changes: the dead are not gone through one after the other."""
    bundle, weights = request.getfixturevalue(recipe), FusionWeights(image=0.5, text=0.5)
    live, n = bundle.live(), len(bundle.products)
    left = min(left, n - 1)
    kept = set(np.random.default_rng(left).permutation(n)[:left].tolist())
    view = live.apply([delete(f"p{row}") for row in range(n) if row not in kept])
    asked, search = [], FaissIndex.search

    def counted(self, xq, k, **options):
        asked.append(k)
        return search(self, xq, k, **options)

    monkeypatch.setattr(FaissIndex, "search", counted)
    for q in unit(np.random.default_rng(8), 5).astype(np.float32):
        ranked = rank(view, q, weights, 10)
        np.testing.assert_allclose(
            ranked.scores, np.sort(every_score(view, q, weights))[::-1][: min(10, left)], atol=1e-5
        )
    assert max(asked) <= 2 * ranking.MIN_CANDIDATES
    assert len(asked) == 5 * len(SPACES)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_filter_loses_nothing_among_the_living(graph, share):
    rng, weights, hits = np.random.default_rng(3), FusionWeights(image=0.5, text=0.5), []
    live = graph.live()
    gone = rng.permutation(2_500)[:1_500]
    live.apply([delete(f"p{row}") for row in gone.tolist()])
    for i in range(120):
        live.apply([put(product(3_000 + i, images=("a",)))])
    view = live.view
    for q in unit(rng, 12).astype(np.float32):
        among = living(view) & (rng.random(len(view.products)) < share)
        scored = score(view, q, weights, 10, among=among)
        found = scored.take(scored.best()[:10])
        assert among[found.rows].all()
        truth = np.sort(np.where(among, every_score(view, q, weights), -np.inf))[::-1][: min(10, among.sum())]
        assert len(found.rows) == len(truth)
        hits += (found.scores >= truth - 1e-5).tolist()
    assert np.mean(hits) >= 0.99


def test_everything_is_deleted_and_something_new_comes(graph, small):
    for bundle in (graph, small):
        live, q = bundle.live(), unit(np.random.default_rng(1)).astype(np.float32)
        view = live.apply([delete(bundle.products.id_of(row)) for row in range(len(bundle.products))])
        words = Words([NamedEntity("brand", "Ruby", 1.0)], [("red dress", 1.0)])
        weights = FusionWeights(image=0.5, text=0.5, lexical=0.5)
        assert view.count == 0
        assert not view.live.any()
        assert len(rank(view, q, weights, 10, words).rows) == 0
        assert len(score(view, q, weights, 10, words, among=living(view)).rows) == 0
        view = live.apply([put(product(1, images=("a",)))])
        assert view.count == 1
        assert rank(view, q, weights, 10, words).rows.tolist() == [len(bundle.products)]


# --- indexes and vectors of layers ---


@pytest.fixture
def layered(small):
    """Several layers, dead rows in most, one of them without pictures."""
    live = small.live()
    for batch in (
        [put(product(100 + i, images=("a",) * (i % 4))) for i in range(12)],
        [put(product(i, images=("a", "b"))) for i in range(3, 30, 9)] + [delete("p101"), delete("p50")],
        [put(product(200))],
        [delete("p105"), delete("p12")],
    ):
        live.apply(batch)
    assert len(live.view.layers) == 4
    assert not live.view.layers[3].part.image_rows.size
    return live.view


@pytest.mark.parametrize("space", SPACES)
def test_the_index_of_layers_is_one(layered, space):
    index, q = layered.indexes[space], unit(np.random.default_rng(2), 6).astype(np.float32)
    xb = np.concatenate([layer.part.vectors[space] for layer in layered.layers]).astype(np.float64)
    alive = living(layered) if space == "text" else living(layered)[layered.image_rows]
    assert isinstance(index, SearchIndex)
    assert (index.d, index.ntotal) == (D, len(xb))
    for share in (None, 0.0, 0.1, 0.5):
        among = None if share is None else np.random.default_rng(4).random(len(xb)) < share
        admitted = alive if among is None else alive & among
        for k in (1, 7, len(xb) + 3):
            scores, rows = index.search(q, k, width=16, among=among)
            assert scores.shape == rows.shape == (6, k)
            assert (scores.dtype, rows.dtype) == (np.float32, np.int64)
            truth = np.where(admitted, q.astype(np.float64) @ xb.T, -np.inf)
            places = min(k, int(admitted.sum()))
            np.testing.assert_allclose(scores[:, :places], -np.sort(-truth, axis=1)[:, :places], atol=1e-5)
            assert np.isneginf(scores[:, places:]).all()
            assert (rows[:, places:] == NO_ROW).all()
            found = np.take_along_axis(truth, np.maximum(rows[:, :places], 0), axis=1)
            np.testing.assert_allclose(scores[:, :places], found, atol=1e-5)
            assert all(len(set(row)) == places for row in rows[:, :places].tolist())


def test_what_did_not_change_is_searched_as_wide_as_before(graph, lists):
    """And no wider: for an index of lists, width times as many are read."""
    q = unit(np.random.default_rng(6), 8).astype(np.float32)
    for bundle, width in [(lists, 2), (graph, 16)]:
        joined, own = bundle.live().view.indexes["text"], bundle.indexes["text"]
        for k in (5, 100):
            for found, expected in zip(joined.search(q, k, width=width), own.search(q, k, width=width), strict=True):
                np.testing.assert_array_equal(found, expected)
    assert (lists.indexes["text"].search(q, 100, width=32)[1] != own.search(q, 100, width=2)[1]).any()


def test_what_the_index_of_layers_refuses(layered):
    index, q = layered.indexes["text"], np.zeros((1, D), np.float32)
    with pytest.raises(ValueError, match="rows to search among"):
        index.search(q, 3, among=np.ones(index.ntotal - 1, np.bool_))
    for xq, k in [(q, 0), (q * np.nan, 3), (q[:, :-1], 3)]:
        with pytest.raises(ValueError, match=r"positive|finite|queries must be"):
            index.search(xq, k)


@pytest.mark.parametrize("space", SPACES)
def test_vectors_are_read_as_if_they_stood_together(layered, space):
    vectors = layered.vectors[space]
    together = np.concatenate([layer.part.vectors[space] for layer in layered.layers])
    n = len(together)
    rng = np.random.default_rng(0)
    assert vectors.shape == together.shape == (n, D)
    for row in (*range(n), np.int64(n - 1), np.int32(3)):
        np.testing.assert_array_equal(vectors[row], together[row])
    for part in (
        slice(None),
        slice(0, 0),
        slice(50, n - 3),
        slice(None, None, 7),
        slice(n - 1, 2, -3),
        slice(-4, None),
    ):
        np.testing.assert_array_equal(vectors[part], together[part])
    for wanted in ([], [0], [n - 1], [n - 1, 0, n - 1, 61], range(n), rng.integers(0, n, 200), [1, 2, 3]):
        rows = np.array(wanted, np.int64)
        found = vectors[rows]
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, together[rows])
    for missing in (n, np.array([0, n])):
        with pytest.raises(IndexError):
            vectors[missing]


def test_rows_that_are_not_there(layered):
    for row in (-1, len(layered.products)):
        with pytest.raises(IndexError):
            layered.products[row]
        with pytest.raises(IndexError):
            layered.products.id_of(row)


# --- what was taken stays as it was ---


@dataclass
class Taken:
    """A view, and what was read of it when it was taken."""

    view: object

    def __post_init__(self):
        self.before = self.read()

    def read(self):
        view, q = self.view, unit(np.random.default_rng(5)).astype(np.float32)
        ranked = rank(view, q, FusionWeights(image=0.5, text=0.5), 20)
        return {
            "products": [view.products[row].model_dump() for row in range(len(view.products))],
            "live": living(view).tolist(),
            "prices": view.fields["price"].values.tobytes(),
            "colours": view.fields["colour"].order.tobytes(),
            "ids": view.fields["id"].order.tobytes(),
            "ranked": list(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True)),
            "words": view.lexical.scores("red sneaker").tolist(),
            "brands": view.products.entity_codes("brand")[0].tolist(),
            "vectors": view.vectors["text"][:].tobytes() + view.vectors["image"][:].tobytes(),
        }


def test_a_view_stays_as_it_was(small):
    live = small.live()
    taken = [Taken(live.view)]
    for i in range(12):
        batch = [
            patch(f"p{i}", {"price": 1000 + i}),
            patch(f"p{40 + i}", {"price": None, "in_stock": True}),
            delete(f"p{20 + i}"),
            put(product(5, title=f"Red sneaker {i}", images=("a",) * (i % 3)), seed=i),
            patch("p5", {"price": i, "group": "g"}),
            put(product(100 + i)),
        ]
        taken.append(Taken(live.apply(batch)))
        live.apply([patch(f"p{100 + i}", {"price": 5000})])
    assert len({len(one.view.layers) for one in taken}) > 2  # some were merged between
    for one in taken:
        assert one.read() == one.before


# --- words ---


def bm25(base, one, stems):
    """BM25 of a product's words among those of the products `base`, by the book (Robertson and Zaragoza 2009)."""
    analyzer, total = Analyzer("english"), 0.0
    for field, weight in FIELD_WEIGHTS.items():
        documents = [[stem for _, stem in analyzer.words(field_texts(other)[field])] for other in base]
        own = [stem for _, stem in analyzer.words(field_texts(one)[field])]
        mean = sum(map(len, documents)) / len(documents)
        for stem in stems:
            having = sum(stem in document for document in documents)
            idf = math.log(1 + (len(base) - having + 0.5) / (having + 0.5))
            times = own.count(stem)
            total += weight * idf * times / (times + 1.5 * (0.25 + 0.75 * len(own) / mean))
    return total


TEXTS = ["red", "Golden Goat sneaker", "running shoes for every day", "espresso", "sale blue", "a", "nobody has these"]


@pytest.mark.parametrize("text", [*TEXTS, "sneeker", "runing shos", "expresso mug", "dres", "snea"])
def test_a_product_stated_again_scores_as_it_did(small, text):
    live = small.live()
    again = [4, 1, 33, 20, 7]
    view = live.apply([put(product(i)) for i in again])
    scores, before = view.lexical.scores(text), small.lexical.scores(text)
    assert scores.dtype == np.float32
    assert scores.shape == (65,)
    np.testing.assert_allclose(scores[60:], before[again], rtol=1e-5)
    assert not scores[again].any()
    others = np.setdiff1d(np.arange(60), again)
    np.testing.assert_array_equal(scores[others], before[others])
    assert before.any() or text == "nobody has these"


@pytest.mark.parametrize(
    ("text", "stems"),
    [
        ("red", ["red"]),
        ("Golden zebras", ["golden", "zebra"]),
        ("sneaker quilted", ["sneaker", "quilt"]),
        ("sneeker", None),
        ("espr", None),
        ("quiltet", []),  # a slip of a word that the bundle does not know
    ],
)
def test_words_of_new_products(small, text, stems):
    """Scored by the bundle's statistics, new words as if none of its products had them; slips are of its words."""
    base = list(small.products)
    new = [
        Product(id="n0", title="Quilted zebra sneaker", brand="Golden Zebra", description="Red, red and quilted"),
        Product(id="n1", title="Zebra", attributes={"tags": ("espresso", "quilted"), "season": "Red"}),
        Product(id="n2", title="—"),
    ]
    live = small.live()
    for one in new:
        live.apply([put(one)])
    if stems is None:
        meant, share = {"sneeker": ("sneaker", 0.8), "espr": ("espresso", 0.9)}[text]
        expected = [share * bm25(base, one, [meant]) for one in new]
        assert any(expected)
    else:
        expected = [bm25(base, one, stems) for one in new]
    np.testing.assert_allclose(live.view.lexical.scores(text)[60:], expected, rtol=1e-5)


def test_a_word_that_a_new_product_has_is_meant_as_it_is_written(small):
    live = small.live()
    assert np.count_nonzero(live.view.lexical.scores("sneeker")) == 12
    view = live.apply([put(Product(id="n", title="Sneeker"))])
    assert np.flatnonzero(view.lexical.scores("sneeker")).tolist() == [60]
    assert np.count_nonzero(view.lexical.scores("sneaker")) == 12


def test_words_find_new_products_in_ranking(small, monkeypatch):
    monkeypatch.setattr(ranking, "MIN_CANDIDATES", 2)
    live = small.live()
    view = live.apply([put(product(9, title="Quilted jacket")), delete("p10"), put(Product(id="n", title="Quilted"))])
    q, words = unit(np.random.default_rng(1)).astype(np.float32), Words(texts=[("quilted", 1.0)])
    ranked = rank(view, q, FusionWeights(image=0.5, text=0.5, lexical=1.0), 10, words)
    assert [view.products.id_of(row) for row in ranked.rows.tolist()] == ["n", "p9"]  # the shorter title first


# --- how many layers there are ---


def test_layers_stay_few_however_many_changes_come(small):
    live = small.live()
    sizes = set()
    for i in range(500):
        view = live.apply([put(product(1_000 + i))])
        assert len(view.layers) <= 3 * math.log(i + 1, FANOUT) + 4
        sizes |= {layer.n for layer in view.layers[1:]}
    assert live.changed == 500
    assert view.count == 560
    assert len(sizes) > 4
    for row in range(60, len(view.products)):
        assert view.products.row_of(view.products.id_of(row)) == row


def test_products_that_change_again_and_again_leave_nothing_behind(small):
    live = small.live()
    for i in range(200):
        view = live.apply([put(product(1_000 + i % 20), seed=i)])
        assert len(view.layers) <= 3 * math.log(20, FANOUT) + 4
        assert len(view.products) - 60 <= 5 * 20
    assert live.changed == 20
    live.apply([delete(f"p{1_000 + i}") for i in range(20)])
    assert len(live.view.layers) == 1
