"""A bundle and what has happened since, read as one catalogue.

The judge is a dict of products to which every change is done in the plainest way, and brute force over their vectors.
"""

import json
import random
from collections import Counter
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import indexer.build
from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.encode import EncodeOptions
from indexer.evaluate import measure
from indexer.fields import UnknownFieldError
from indexer.fold import Fold
from indexer.live import LiveCatalogue
from indexer.manifest import FusionWeights
from indexer.product_encoding import encode_anew, entities_of, texts_of, thumbnail
from indexer.products import NO_ENTITY
from indexer.ranking import FilterStrategy, NamedEntity, Scored, has_named, rank
from indexer.updates import Change, EncodedProduct, Entry, Kind, Position
from indexer.updates_sqlite import SqliteLog
from models.picture import decode_picture
from models.product import Product
from service.errors import InvalidRequestError
from service.facets import count
from service.filters import Filters
from service.ordering import sorted_places

N = 48
D = 32
BOTH, TEXT, IMAGE = (FusionWeights(image=share, text=1 - share) for share in (0.5, 0.0, 1.0))
FROM_OUTSIDE = [f"https://pictures.example/{i}.jpg" for i in range(6)]


# --- the shop: a bundle with fields of every kind, and what it is known to hold ---


@dataclass(frozen=True)
class Held:
    """A product as it must be."""

    product: Product
    text: np.ndarray
    images: np.ndarray
    thumbnails: tuple


@dataclass(frozen=True)
class Shop:
    feed: object
    bundle: Bundle
    encoder: object
    held: dict
    pictures: dict  # those that are not in the feed, by reference: file, vector, thumbnail

    def live(self):
        return LiveCatalogue(self.bundle, no_encoder)

    def put(self, product, held=None):
        """Return `product` encoded; pictures it shares with `held` are kept, others come from outside."""
        kept = {} if held is None else {r: held.product.images.index(r) for r in held.product.images}
        parts = [
            (held.images[kept[ref]], held.thumbnails[kept[ref]], None)
            if ref in kept
            else (self.pictures[ref][1], self.pictures[ref][2], self.pictures[ref][0])
            for ref in product.images
        ]
        [text] = self.encoder.encode_texts(texts_of([product], self.encoder), entities_of([product], self.encoder))
        return EncodedProduct(
            product=product,
            text=text.astype(np.float16),
            images=np.array([vector for vector, _, _ in parts], np.float16).reshape(-1, D),
            thumbnails=tuple(small for _, small, _ in parts),
            fingerprint=self.encoder.fingerprint,
            pictures={ref: part[2] for ref, part in zip(product.images, parts, strict=True) if part[2] is not None},
        )


def no_encoder(encoded):
    raise AssertionError(f"{encoded.product.id} was encoded anew")


def with_fields_of_every_kind(rows):
    for i, row in enumerate(rows):
        row["images"] = row["images"][: i % 3]
        row["title"] = f"{row['title']}{' waterproof' * (i % 4 == 0)}"
        row["size"] = [36.0, 37.5, 40, None][i % 4]
        row["organic"] = [True, False, None][i % 3]
        row["tags"] = [["new"], ["new", "Sale"], [], ["sale"]][i % 4]
        row["serial"] = [7, "A-7", "7", None, True][i % 5]
        row["attributes"] = {"price": i / 2} if i % 3 else {}  # another price than the product's own
        row["price"] = None if i % 11 == 0 else row["price"]
        row["season"] = None if i % 7 == 0 else row["season"]
        row["colour"] = str(row["colour"]).upper() if i % 9 == 0 else row["colour"]
    return [{name: value for name, value in row.items() if value not in (None, [], {})} for row in rows]


@pytest.fixture(scope="module")
def quick_builds():
    """Builds that measure themselves on less: what they choose is of no account here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexer.build, "measure", partial(measure, sample=10))
        patch.setattr(indexer.build, "calibrate_lexical_weight", lambda _bundle, _encoder, weights, **_: weights)
        yield


@pytest.fixture(scope="module")
def shop(feeds, weightless, quick_builds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    rows = feeds.products(N)
    feeds.write_pictures(folder / "feed", rows)
    lines = "".join(json.dumps(row) + "\n" for row in with_fields_of_every_kind(rows))
    (folder / "feed" / "catalogue.jsonl").write_text(lines)
    encoder = weightless(D, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
    pictures = {}
    for i, ref in enumerate(FROM_OUTSIDE):
        file = feeds.jpeg(feeds.picture(1000 + i, list(feeds.COLOURS)[i]))
        image = decode_picture(file)
        pictures[ref] = (file, encoder.encode_images([image])[0].astype(np.float16), thumbnail(image))
    built = build(encoder, BuildOptions(folder / "feed", folder / "data"))
    with Bundle.open(built.path) as bundle:
        held = {}
        for row, product in enumerate(bundle.products):
            own = slice(*bundle.image_starts[row : row + 2])
            small = tuple(bundle.thumbnail(row, n) for n in range(len(product.images)))
            held[product.id] = Held(product, bundle.vectors["text"][row], bundle.vectors["image"][own], small)
        yield Shop(folder / "feed", bundle, encoder, held, pictures)


# --- the plainest reading of changes ---


def after(held, kind, content):
    """Return what a product has become; None: there is none."""
    if kind == Kind.DELETE:
        return None
    if kind == Kind.PUT:
        return Held(content.product, content.text, content.images, content.thumbnails)
    if held is None:
        return None
    stated = held.product.model_dump()
    for name, value in content.items():
        if name == "attributes":
            both = {**stated["attributes"], **value}
            stated["attributes"] = {key: one for key, one in both.items() if one is not None}
        else:
            stated[name] = value
    return Held(Product.model_validate(stated), held.text, held.images, held.thumbnails)


class Shelf(dict):
    """Products by id, and the numbers of the changes done to them."""

    def __init__(self, held):
        super().__init__(held)
        self.seq = 0

    def change(self, kind, product_id, content=None):
        """Do the change, and return it as an entry of a log."""
        self.seq += 1
        became = after(self.get(product_id), kind, content)
        if became is None:
            self.pop(product_id, None)
        else:
            self[product_id] = became
        return Entry(self.seq, float(self.seq), product_id, kind, self.seq, payload(kind, content))


def payload(kind, content):
    if kind == Kind.PUT:
        return content.to_bytes()
    return orjson.dumps(content) if kind == Kind.PATCH else b""


# --- changes of every sort, whatever `choose` chooses of some options ---

IDS = ["p1", "p2", "p3", "p10", "p11", "p30", "new", "new 2", "P1", "p10a", "zoë/1"]
NEW_FIELDS = {"fit": ["slim", "Slim", "wide", None], "weight": [0.5, 2, None]}
LIGHT = {
    "size": [36.0, 41, 0, None],
    "organic": [True, False, None],
    "price": [0.25, 99, None],  # the attribute
}
UNSUITED = {"size": ["XL", True, ("a", "b")], "organic": ["yes", 1.0], "price": ["cheap", False]}
WORDY = {
    "colour": ["red", "TEAL", 5.0, None],
    "tags": [("new",), ("sale", "Sale", "last"), (), None],
    "serial": [8, "B"],
}
OWN = {"price": [0.0, 12.5, 55, 1e6, None], "in_stock": [True, False, None], "url": ["u", None], "group": ["g1", None]}


def some_product(choose, product_id, held, unsuited):
    attributes = {name: choose([*values, None]) for name, values in {**LIGHT, **WORDY, **NEW_FIELDS}.items()}
    if choose([False, False, True]):
        name = choose(list(unsuited))
        attributes[name] = choose(unsuited[name])
    images = tuple(choose(FROM_OUTSIDE) for _ in range(choose([0, 1, 2, 3])))
    if held is not None and choose([False, True]):
        images = held.product.images  # as one sends a product again whose pictures stay
    return Product(
        id=product_id,
        title=choose(["Ruby red dress", "Teal zebra jumper", "waterproof watch", "mug"]),
        description=choose(["", "A quilted thing."]),
        brand=choose(["Ruby", "RUBY", "Golden Goat", "Novel & Sons", None]),
        category=choose(["dress", "Mug", "lamp", None]),
        season=choose(["Summer", None]),
        price=choose(OWN["price"]),
        in_stock=choose(OWN["in_stock"]),
        url=choose(["https://shop.example/new", None]),
        group=choose(["g1", "G2", None]),
        images=images,
        attributes={name: value for name, value in attributes.items() if value is not None},
    )


def some_patch(choose, unsuited):
    """A patch of fields that vectors do not depend on: a light one, or one that needs a row."""
    fields = {}
    for _ in range(choose([1, 2, 3])):
        what = choose(["price", "in_stock", "light", "light", "light", "unsuited", "wordy", "new", "url", "group"])
        if what in OWN:
            fields[what] = choose(OWN[what])
            continue
        options = {"light": LIGHT, "unsuited": unsuited, "wordy": WORDY, "new": NEW_FIELDS}[what]
        name = choose(list(options))
        fields.setdefault("attributes", {})[name] = choose(options[name])
    return fields


def some_change(choose, shelf, shop, ids=IDS, unsuited=UNSUITED):
    product_id = choose(ids)
    held = shelf.get(product_id)
    kind = choose([Kind.PUT, Kind.PUT, Kind.PATCH, Kind.PATCH, Kind.PATCH, Kind.DELETE])
    if kind == Kind.PUT:
        return kind, product_id, shop.put(some_product(choose, product_id, held, unsuited), held)
    return kind, product_id, some_patch(choose, unsuited) if kind == Kind.PATCH else None


# --- the plainest reading of a catalogue ---

OF_WORDS = {"brand", "category", "season", "currency", "group", "colour", "tags", "serial", "fit"}
OF_NUMBERS = {"price", "size", "attributes.price", "weight"}
OF_TRUTH = {"in_stock", "organic"}


def said(product, name):
    """Return what a product says in a field, as a list; what does not suit the field's kind is not said."""
    bare = name.removeprefix("attributes.")
    is_own = name == bare and name in Product.model_fields
    value = getattr(product, name) if is_own else product.attributes.get(bare)
    if name in OF_NUMBERS or (bare in OF_NUMBERS and not is_own):
        return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []
    if bare in OF_TRUTH:
        return [value] if isinstance(value, bool) else []
    values = value if isinstance(value, tuple) else [] if value is None else [value]
    if bare == "id":
        return list(values)
    return sorted({(one if isinstance(one, str) else json.dumps(one).removesuffix(".0")).casefold() for one in values})


def any_of(name, here, values):
    folded = [one.casefold() if isinstance(one, str) and name != "id" else one for one in values]
    return any(one in folded for one in here)


def holds(product, stated):
    """Return whether a product meets a filter."""
    return all(member(product, name, value) for name, value in stated.items())


def member(product, name, value):
    if name == "not":
        return not holds(product, value)
    if name in {"and", "or"}:
        return (all if name == "and" else any)(holds(product, part) for part in value)
    return condition(said(product, name), name, value)


def condition(here, name, value):
    if not isinstance(value, dict):
        return any_of(name, here, value if isinstance(value, list) else [value])
    tests = {
        "not": lambda operand: not condition(here, name, operand),
        "exists": lambda operand: bool(here) == operand,
        "gt": lambda operand: any(one > operand for one in here),
        "gte": lambda operand: any(one >= operand for one in here),
        "lt": lambda operand: any(one < operand for one in here),
        "lte": lambda operand: any(one <= operand for one in here),
    }
    return all(tests[operator](operand) for operator, operand in value.items())


FILTERS = [
    {},
    {"brand": "ruby"},
    {"brand": ["RUBY", "novel & sons", "nobody"], "category": {"not": "MUG"}},
    {"category": ["dress", "Lamp"]},
    {"season": {"exists": True}, "currency": {"exists": False}},
    {"group": ["g1", "g2"]},
    {"colour": "RED"},
    {"attributes.colour": ["teal", "5"]},
    {"colour": {"exists": False}},
    {"tags": "SALE"},
    {"tags": {"not": ["sale", "last"]}},
    {"tags": {"exists": False}},
    {"serial": ["7", "8", "true"]},
    {"price": {"gte": 12.5, "lt": 40}},
    {"price": {"exists": False}},
    {"not": {"price": {"lt": 40}}},
    {"price": [55, 0]},
    {"attributes.price": {"gt": 4}},
    {"attributes.price": {"exists": True}, "price": {"exists": True}},
    {"size": 40},
    {"size": [36, 41.0]},
    {"attributes.size": {"lte": 37.5}},
    {"size": {"not": {"gt": 37}}},
    {"size": {"exists": False}},
    {"in_stock": True},
    {"in_stock": {"not": False}},
    {"organic": False},
    {"attributes.organic": {"exists": False}},
    {"id": ["p1", "P2", "zoë/1", "p10a"]},
    {"id": {"not": ["p1", "new"]}},
    {"id": {"exists": True}, "in_stock": {"exists": True}},
    {"or": [{"size": 36}, {"tags": "new"}, {"id": "p3"}], "not": {"brand": "Ruby"}},
    {"and": [{"organic": True}, {"price": {"gt": 20}}]},
    {"fit": "SLIM"},
    {"attributes.fit": {"not": "slim"}},
    {"weight": {"gt": 1}},
]
NAMED = [("brand", "ruby"), ("brand", "Novel & Sons"), ("category", "MUG"), ("season", "summer"), ("colour", "red")]


def plain(product):
    """Return a product so that equal ones are equal: true is not one, and the order of attributes is none."""
    stated = product.model_dump()
    stated["attributes"] = {name: (isinstance(one, bool), one) for name, one in sorted(stated["attributes"].items())}
    return stated


def ids_of(view, mask):
    return sorted(view.products.id_of(row) for row in np.flatnonzero(mask).tolist())


def living(view):
    return np.ones(len(view.products), np.bool_) if view.live is None else view.live


def check_products(view, shelf):
    """The same products under the same ids, with their own pictures and vectors; no others."""
    live = living(view)
    assert view.count == live.sum() == len(shelf)
    assert ids_of(view, live) == sorted(shelf)
    for product_id in {*IDS, *shelf}:
        row = view.products.row_of(product_id)
        if product_id not in shelf:
            assert row is None
            assert view.encoded(product_id) is None
            continue
        held = shelf[product_id]
        assert live[row]
        assert view.products.id_of(row) == product_id
        assert plain(view.products[row]) == plain(held.product)
        own = slice(*view.image_starts[row : row + 2].tolist())
        assert view.picture_count(row) == own.stop - own.start == len(held.images)
        assert (view.image_rows[own] == row).all()
        np.testing.assert_array_equal(view.vectors["image"][own], held.images)
        np.testing.assert_array_equal(view.vectors["text"][row], held.text)
        assert tuple(view.thumbnail(row, n) for n in range(len(held.images))) == held.thumbnails
        assert view.thumbnail(row, len(held.images)) is None
    assert (np.diff(view.image_rows) >= 0).all()
    assert (
        view.image_starts[-1] == len(view.image_rows) == view.vectors["image"].shape[0] == view.indexes["image"].ntotal
    )
    assert view.vectors["text"].shape == (len(view.products), D)


def check_filters(view, shelf):
    filters = Filters(view.fields)
    for stated in FILTERS:
        admitted = sorted(product_id for product_id, held in shelf.items() if holds(held.product, stated))
        try:
            assert ids_of(view, filters.mask(stated) & living(view)) == admitted, stated
        except InvalidRequestError:  # a field that nobody states
            assert {"fit", "attributes.fit", "weight"} & set(stated)
            assert not any(said(held.product, name) for held in shelf.values() for name in stated)


def check_facets(view, shelf):
    products = [held.product for held in shelf.values()]
    for name in sorted((OF_WORDS | OF_TRUTH | OF_NUMBERS) & set(view.fields.names)):
        facet = count(name, view.fields[name], living(view), 100, exact=True)
        values = [one for product in products for one in said(product, name)]
        if name in OF_NUMBERS:
            found = facet.statistics and (facet.statistics.count, facet.statistics.min, facet.statistics.max)
            assert found == ((len(values), min(values), max(values)) if values else None), name
        else:
            shown = {value.casefold() if isinstance(value, str) else value: n for value, n in facet.values}
            assert shown == Counter(values), name
            assert facet.distinct == len(shown)


def check_order(view, shelf):
    rows = np.flatnonzero(living(view))
    m = len(rows)
    every = Scored(rows, np.zeros(m, np.float32), np.zeros(m, np.int32), np.zeros((m, 0)), FilterStrategy.NONE, m)
    for name, falls in [("id", False), ("id", True), ("price", False), ("price", True), ("colour", False)]:
        ordered = rows[sorted_places(every, [(view.fields[name], falls)])]
        keys = [(said(shelf[view.products.id_of(row)].product, name) or [None])[0] for row in ordered.tolist()]
        stated = sorted((key for key in keys if key is not None), reverse=falls)
        assert keys == stated + [None] * (m - len(stated)), name


def brute_force(shelf, q, weights):
    """Return the score of every product that can be found, by id."""
    scores = {}
    for product_id, held in shelf.items():
        pictures = held.images.astype(np.float64) @ q
        if len(pictures) or weights.text:
            best = pictures.max() if len(pictures) else 0.0
            scores[product_id] = weights.image * best + weights.text * float(held.text.astype(np.float64) @ q)
    return scores


def check_rank(view, shelf, queries, k=10):
    for q in queries:
        for weights in (BOTH, TEXT, IMAGE):
            scores = brute_force(shelf, q, weights)
            ranked = rank(view, q, weights, k)
            ids = [view.products.id_of(row) for row in ranked.rows.tolist()]
            assert len(set(ids)) == len(ids) == min(k, len(scores))
            np.testing.assert_allclose(ranked.scores, [scores[one] for one in ids], atol=1e-5)
            np.testing.assert_allclose(ranked.scores, sorted(scores.values(), reverse=True)[: len(ids)], atol=1e-5)
            for one, picture in zip(ids, ranked.pictures.tolist(), strict=True):
                assert (picture == -1) == (len(shelf[one].images) == 0)


def check_named(view, shelf):
    having = has_named(view, [NamedEntity(group, value, 1.0) for group, value in NAMED])
    for column, (group, value) in enumerate(NAMED):
        named = sorted(
            one
            for one, held in shelf.items()
            for stated in [held.product.entities([group]).get(group, "")]
            if stated.casefold() == value.casefold()
        )
        assert ids_of(view, having[:, column]) == named, (group, value)
        assert (view.products.entity_codes(group)[0][~living(view)] == NO_ENTITY).all()


def check(view, shelf, queries):
    check_products(view, shelf)
    check_filters(view, shelf)
    check_facets(view, shelf)
    check_order(view, shelf)
    check_rank(view, shelf, queries)
    check_named(view, shelf)


@pytest.fixture(scope="module")
def queries(shop):
    texts = shop.encoder.encode_texts(["red dress", "waterproof watch for every day", "quilted teal zebra"])
    return np.concatenate([texts, shop.pictures[FROM_OUTSIDE[0]][1][None].astype(np.float32)])


# --- whatever happens ---


def test_before_anything_happened(shop, queries):
    view = shop.live().view
    assert view.live is None
    check(view, Shelf(shop.held), queries)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_changes_in_any_batches(shop, queries, data):
    shelf, live, applied = Shelf(shop.held), shop.live(), []
    for size in data.draw(st.lists(st.integers(0, 5), max_size=9)):
        batch = [
            shelf.change(*some_change(lambda options: data.draw(st.sampled_from(options)), shelf, shop))
            for _ in range(size)
        ]
        applied += batch
        live.apply(batch)
        check_products(live.view, shelf)
    again = data.draw(st.integers(0, len(applied)))
    if data.draw(st.booleans()):  # a reader that begins anew
        live = shop.live()
        live.apply(applied)
    live.apply(applied[again:])  # one that lost its place reads some of it twice
    check(live.view, shelf, queries)


@pytest.mark.parametrize("seed", range(2))
def test_hundreds_of_changes_and_the_bundle_they_are_folded_into(shop, queries, seed, tmp_path):
    """The log holds what is left of them; who follows it, who reads all of it at once, and the next bundle agree.

    Values suit their fields: in the next bundle others would make words of a field of numbers.
    """
    rng = random.Random(seed)
    shelf, log, live, seen = Shelf(shop.held), SqliteLog(tmp_path / "updates.sqlite"), shop.live(), 0
    ids = [*IDS, *(f"p{i}" for i in range(0, N, 3)), *(f"more {i}" for i in range(20))]
    batches = 0
    for _ in range(120):
        changes = []
        for _ in range(rng.choice([1, 1, 1, 2, 5, 12])):
            kind, product_id, content = some_change(rng.choice, shelf, shop, ids, LIGHT)
            if kind == Kind.PUT or product_id in shelf:  # others are refused before they come to a log
                shelf.change(kind, product_id, content)
                changes.append(Change(product_id, kind, payload(kind, content)))
        log.append(changes)
        while rng.random() < 0.7 and (entries := log.read(seen, rng.choice([1, 3, 50]))):
            live.apply(entries)
            batches += 1
            seen = entries[-1].seq
    live.apply(log.read(seen, 10_000))
    assert batches > 60
    assert len(live.view.layers) < 14
    check(live.view, shelf, queries)

    at_once = shop.live()
    at_once.apply(log.read(0, 10_000))
    check(at_once.view, shelf, queries)

    fetching = EncodeOptions(fetch=lambda url: shop.pictures[url][0])
    options = BuildOptions(shop.feed, tmp_path / "data", encoding=fetching, updates=Fold(log))
    built = build(shop.encoder, options)
    assert Position.parse(built.manifest.log_position) == log.tail()
    with Bundle.open(built.path) as bundle:
        anew = LiveCatalogue(bundle, no_encoder)
        check(anew.view, shelf, queries)  # vectors and thumbnails to the bit
        assert anew.start(log.tail()) == log.tail().seq
    log.close()


# --- what each change does ---


def entry(kind, product_id, content=None):
    return Entry(1, 0.0, product_id, kind, 1, payload(kind, content))


def row_above(live, product_id):
    """Return whether a product stands above the bundle."""
    return live.view.products.row_of(product_id) >= N


def test_prices_and_stock_change_where_they_stand(shop):
    live = shop.live()
    fields = {"price": 3, "in_stock": None, "attributes": {"size": 41, "organic": None, "price": 9}}
    view = live.apply([entry(Kind.PATCH, "p1", fields)])
    assert live.changed == 0
    assert len(view.layers) == 1
    assert len(view.products) == view.count == N
    assert view.live is None
    product = view.products[1]
    assert (product.price, product.in_stock) == (3.0, None)
    assert {"size": 41.0, "price": 9.0}.items() <= product.attributes.items()
    assert "organic" not in product.attributes
    assert view.fields["price"].values[1] == 3.0
    assert view.fields["attributes.price"].values[1] == 9.0


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "https://shop.example/else"},
        {"group": None},
        {"currency": "USD", "price": 1},
        {"attributes": {"colour": "teal"}},
        {"attributes": {"colour": None}},
        {"attributes": {"tags": ["a", "b"]}},
        {"attributes": {"never met": 1}},
        {"attributes": {"never met": None}},
        {"attributes": {"size": "XL"}},
        {"attributes": {"size": True}},
        {"attributes": {"organic": 1}},
    ],
)
def test_other_patches_give_a_product_a_row_of_its_own(shop, fields):
    shelf, live = Shelf(shop.held), shop.live()
    live.apply([shelf.change(Kind.PATCH, "p2", {"price": 77}), shelf.change(Kind.PATCH, "p2", fields)])
    assert row_above(live, "p2")
    assert live.changed == 1
    assert not live.view.live[2]
    check_products(live.view, shelf)


def test_what_came_to_nothing(shop):
    live = shop.live()
    before = live.view
    unknown = [entry(Kind.DELETE, "nobody"), entry(Kind.PATCH, "nobody", {"price": 1}), entry(Kind.DELETE, "P1")]
    for entries in ([], unknown, [entry(Kind.PATCH, "nobody", {"url": "x"})]):
        view = live.apply(entries)
        assert len(view.layers) == 1
        assert view.live is None
        assert (view.count, live.changed) == (before.count, 0)


def test_deleted_put_again_and_deleted_in_one_batch(shop):
    shelf, live = Shelf(shop.held), shop.live()
    whole = shop.put(Product(id="p4", title="Another"))
    batch = [
        shelf.change(Kind.DELETE, "p4"),
        shelf.change(Kind.PATCH, "p4", {"price": 1}),  # of nothing
        shelf.change(Kind.PUT, "p4", whole),
        shelf.change(Kind.PATCH, "p4", {"price": 2}),
        shelf.change(Kind.PATCH, "p4", {"attributes": {"fit": "wide"}}),
    ]
    view = live.apply(batch)
    assert (view.products[view.products.row_of("p4")].price, live.changed) == (2, 1)
    check_products(view, shelf)
    view = live.apply([*batch, shelf.change(Kind.DELETE, "p4")])
    assert live.changed == 0
    check_products(view, shelf)


def test_what_does_not_suit_a_field_is_kept_but_not_searched_by(shop, queries):
    shelf, live = Shelf(shop.held), shop.live()
    attributes = {"size": "XL", "organic": 1.0, "price": ("a", "b"), "colour": 5.0, "tags": True}
    odd = Product(id="odd", title="Odd mug", attributes=attributes)
    view = live.apply([shelf.change(Kind.PUT, "odd", shop.put(odd))])
    filters, row = Filters(view.fields), view.products.row_of("odd")
    for name in ("size", "organic", "attributes.price"):
        assert not filters.mask({name: {"exists": True}})[row]
    assert filters.mask({"colour": "5", "tags": "true"})[row]
    assert view.products[row].attributes == attributes
    check(view, shelf, queries)
    view = live.apply([shelf.change(Kind.PATCH, "odd", {"attributes": {"size": 39, "organic": False}})])
    assert Filters(view.fields).mask({"size": 39, "organic": False})[view.products.row_of("odd")]
    check(view, shelf, queries)


@pytest.mark.parametrize("values", [(5.0, "slim"), ("slim", 5.0), (True, 2.0), (0.0, False)])
def test_a_new_attribute_of_which_products_say_unlike_things(shop, values):
    """Whatever they are to be taken for: products keep them, and no row is lost or shifted."""
    shelf, live = Shelf(shop.held), shop.live()
    for n, value in enumerate(values):
        product = Product(id=f"new {n}", title="New", attributes={"fit": value})
        live.apply([shelf.change(Kind.PUT, product.id, shop.put(product))])
    check_products(live.view, shelf)
    column = live.view.fields["fit"]
    assert column.stated.shape == column.order.shape == (N + 2,)
    assert np.flatnonzero(column.stated).tolist() in ([N], [N, N + 1])
    assert ids_of(live.view, Filters(live.view.fields).mask({"fit": {"exists": True}}))[0] == "new 0"


def test_attributes_have_two_names(shop):
    """Their own and a longer one, before and after a change, like those of a bundle."""
    live = shop.live()
    for view in (live.view, live.apply([entry(Kind.PUT, "new", shop.put(Product(id="new", title="New")))])):
        for name in ("size", "organic", "colour"):
            longer = view.fields[f"attributes.{name}"]
            np.testing.assert_array_equal(longer.stated, view.fields[name].stated)
            np.testing.assert_array_equal(longer.order, view.fields[name].order)
        assert not np.array_equal(view.fields["price"].stated, view.fields["attributes.price"].stated)
        for name in ("attributes.brand", "attributes.nothing", "nothing", "attributes."):
            with pytest.raises(UnknownFieldError):
                view.fields[name]


@pytest.mark.parametrize("value", ["Golden-Goat", "GOLDEN GOAT", "ຄຳ", "!"])
def test_entities_are_told_by_any_spelling(shop, value):
    """Also where folding what is folded already would change it again, as Lao."""
    products = [Product(id=f"new {n}", title="New", attributes={"maker": value}) for n in range(2)]
    live = shop.live()
    for product in products:
        live.apply([entry(Kind.PUT, product.id, shop.put(product))])
    having = has_named(live.view, [NamedEntity("maker", value, 1.0)])[:, 0]
    assert ids_of(live.view, having) == ["new 0", "new 1"]


def test_vectors_of_another_encoder_are_made_anew(shop, feeds, weightless):
    other = weightless(D, salt="other")
    live = LiveCatalogue(shop.bundle, partial(encode_anew, encoder=shop.encoder))
    product = Product(id="new", title="Red mug", brand="Ruby", images=(*FROM_OUTSIDE[:2], "sha256:0"))
    files = {ref: shop.pictures[ref][0] for ref in FROM_OUTSIDE[:2]}
    small = (*(shop.pictures[ref][2] for ref in FROM_OUTSIDE[:2]), shop.pictures[FROM_OUTSIDE[3]][2])
    blank = EncodedProduct(product, np.zeros(D, np.float16), np.zeros((3, D), np.float16), small, "", files)
    foreign, own = encode_anew(blank, other), shop.put(product.model_copy(update={"images": FROM_OUTSIDE[:2]}))
    assert foreign.fingerprint == other.fingerprint
    view = live.apply([entry(Kind.PUT, "new", foreign)])
    held = view.encoded("new")
    np.testing.assert_array_equal(held.text, own.text)
    np.testing.assert_array_equal(held.images[:2], own.images)
    [thumbnail_alone] = shop.encoder.encode_images([decode_picture(small[2])])  # of a picture without a file
    np.testing.assert_array_equal(held.images[2], thumbnail_alone.astype(np.float16))
    assert held.fingerprint == shop.encoder.fingerprint
    assert held.thumbnails == small


def test_another_log_begins_with_the_bundle(shop, queries):
    live, shelf = shop.live(), Shelf(shop.held)
    taken = live.apply([entry(Kind.DELETE, "p1"), entry(Kind.PATCH, "p2", {"price": 77})])
    assert live.reset() is live.view
    assert live.changed == 0
    check(live.view, shelf, queries)
    live.apply([shelf.change(Kind.DELETE, "p3")])
    check(live.view, shelf, queries)
    assert taken.products.row_of("p1") is None


def test_where_a_bundle_stands_in_a_log(shop):
    for stated, seq in [(None, 0), ("a:5", 5), ("a:7", 7), ("b:5", 0)]:
        manifest = shop.bundle.manifest.model_copy(update={"log_position": stated})
        bundle = SimpleNamespace(**{**vars(shop.bundle), "manifest": manifest})
        assert LiveCatalogue(bundle, no_encoder).start(Position("a", 7)) == seq
