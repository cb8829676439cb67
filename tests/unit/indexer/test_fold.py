"""The update log folded into a feed: row by row, and as bundles that are built of it."""

import io
from functools import partial

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import indexer.build
from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.catalogue import BytesImage, CatalogueRow, PathImage, RejectedRow, UrlImage, read_catalogue
from indexer.evaluate import measure
from indexer.fold import Fold
from indexer.live import LiveCatalogue
from indexer.product_encoding import encode_anew, thumbnail
from indexer.rejects import BuildError
from indexer.updates import Change, EncodedProduct, Kind
from indexer.updates_sqlite import SqliteLog
from models.picture import decode_picture
from models.product import Product

D = 8
N = 12
URL = "https://pictures.example/new.jpg"


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "updates.sqlite")
    yield log
    log.close()


@pytest.fixture(scope="module")
def small_feed(feeds, tmp_path_factory):
    return feeds.write_feed(tmp_path_factory.mktemp("feed"), N)


def store(log, kind, product_id, content=None):
    payload = content.to_bytes() if kind == Kind.PUT else b"" if content is None else orjson.dumps(content)
    [outcome] = log.append([Change(product_id, kind, payload)])
    assert outcome.seq is not None
    return log.read(outcome.seq - 1, 1)[0]


def encoded(product, **pictures):
    """Return a product as the log holds it: `pictures` are files by reference, thumbnails are told by their number."""
    n = len(product.images)
    thumbnails = tuple(f"thumbnail {i}".encode() for i in range(n))
    return EncodedProduct(product, np.ones(D, np.float16), np.ones((n, D), np.float16), thumbnails, "f", pictures)


def whole(product_id, *images, **fields):
    return Product(**{"id": product_id, "title": "New", "images": images, **fields})


def folded(fold, feed):
    """Return the rows of a feed with a fold, by id."""
    rows = list(fold.rows(read_catalogue(feed)))
    assert len({row.product.id for row in rows}) == len(rows)
    return {row.product.id: row for row in rows}


def counted(fold):
    return fold.put, fold.changed, fold.deleted


# --- row by row ---


def test_an_empty_log_changes_nothing(log, small_feed):
    fold = Fold(log)
    assert list(fold.rows(read_catalogue(small_feed))) == list(read_catalogue(small_feed))
    assert counted(fold) == (0, 0, 0)
    assert fold.position == log.tail()
    assert fold.position.seq == 0


def test_what_was_put_replaces_its_row(log, small_feed):
    own = list(read_catalogue(small_feed))
    kept, other = "images/p3-1.jpg", "sha256:0a"
    product = whole("p3", kept, other, URL, "images/gone.jpg", brand="Novel", attributes={"fit": "slim"})
    store(log, Kind.PUT, "p3", encoded(product, **{other: b"file"}))
    fold = Fold(log)
    rows = list(fold.rows(read_catalogue(small_feed)))
    assert [row for row in rows if row.row != 4] == [row for row in own if row.row != 4]
    assert [row.product.id for row in rows] == [row.product.id for row in own]
    assert rows[3] == CatalogueRow(
        row=4,
        product=product,
        images=(
            PathImage(kept, small_feed.parent / kept),  # one of the feed's
            BytesImage(other, b"file"),
            UrlImage(URL),
            BytesImage("images/gone.jpg", b"thumbnail 3"),
        ),
    )
    assert counted(fold) == (1, 0, 0)


def test_files_that_came_with_a_product_count_for_more_than_those_of_the_feed(log, small_feed):
    name = "images/p3-0.jpg"
    store(log, Kind.PUT, "p3", encoded(whole("p3", name, URL), **{name: b"new", URL: b"fetched then"}))
    images = folded(Fold(log), small_feed)["p3"].images
    assert images == (BytesImage(name, b"new"), BytesImage(URL, b"fetched then"))


def test_patches_change_their_rows(log, small_feed):
    before = {row.product.id: row for row in read_catalogue(small_feed)}
    store(log, Kind.PATCH, "p1", {"price": 7, "attributes": {"colour": None, "fit": "wide"}})
    store(log, Kind.PATCH, "p1", {"in_stock": None, "attributes": {"tags": ["a", "b"]}})
    store(log, Kind.PATCH, "p2", {"url": "https://shop.example/else"})
    fold = Fold(log)
    rows = folded(fold, small_feed)
    assert counted(fold) == (0, 2, 0)
    attributes = {"split": "val", "fit": "wide", "tags": ("a", "b")}
    changed = before["p1"].product.model_copy(update={"price": 7.0, "in_stock": None, "attributes": attributes})
    assert rows["p1"].product == changed
    assert rows["p2"].product == before["p2"].product.model_copy(update={"url": "https://shop.example/else"})
    assert rows["p1"].images == before["p1"].images
    assert {i: row for i, row in rows.items() if i not in {"p1", "p2"}} == {
        i: row for i, row in before.items() if i not in {"p1", "p2"}
    }


def test_deleted_products_are_left_out(log, small_feed):
    store(log, Kind.PATCH, "p4", {"price": 1})
    for product_id in ("p4", "nobody"):
        store(log, Kind.DELETE, product_id)
    fold = Fold(log)
    assert list(folded(fold, small_feed)) == [f"p{i}" for i in range(N) if i != 4]
    assert counted(fold) == (0, 0, 1)


def test_products_that_only_the_log_has_come_last_with_their_patches(log, small_feed):
    store(log, Kind.PUT, "new 2", encoded(whole("new 2", URL)))
    store(log, Kind.PUT, "new 1", encoded(whole("new 1", "sha256:0", price=3), **{"sha256:0": b"file"}))
    store(log, Kind.PATCH, "new 1", {"price": 4, "attributes": {"fit": "slim"}})
    store(log, Kind.PUT, "p5", encoded(whole("p5")))
    store(log, Kind.PATCH, "p5", {"price": 5})
    store(log, Kind.PUT, "gone", encoded(whole("gone")))
    store(log, Kind.DELETE, "gone")
    store(log, Kind.PATCH, "of no feed any more", {"price": 4})
    fold = Fold(log)
    rows = folded(fold, small_feed)
    assert list(rows) == [*(f"p{i}" for i in range(N)), "new 2", "new 1"]
    assert rows["new 1"].product == whole("new 1", "sha256:0", price=4, attributes={"fit": "slim"})
    assert rows["new 1"].images == (BytesImage("sha256:0", b"file"),)
    assert rows["p5"].product == whole("p5", price=5)
    assert counted(fold) == (3, 0, 0)


def test_what_a_feed_has_already_is_left_out(log, small_feed):
    entries = [
        store(log, Kind.DELETE, "p1"),
        store(log, Kind.PUT, "p2", encoded(whole("p2"))),
        store(log, Kind.PUT, "new", encoded(whole("new"))),
        store(log, Kind.PATCH, "p3", {"price": 1}),
        store(log, Kind.PATCH, "p4", {"price": 2}),
        store(log, Kind.DELETE, "p5"),
        store(log, Kind.PATCH, "p2", {"price": 3}),
    ]
    before = {row.product.id: row.product for row in read_catalogue(small_feed)}
    fold = Fold(log, as_of=entries[3].at)  # the fourth is just in time
    rows = folded(fold, small_feed)
    assert list(rows) == [f"p{i}" for i in range(N) if i != 5]
    changed = {i: row.product for i, row in rows.items() if row.product != before[i]}
    assert changed == {
        "p4": before["p4"].model_copy(update={"price": 2.0}),
        "p2": before["p2"].model_copy(update={"price": 3.0}),
    }
    assert counted(fold) == (0, 2, 1)
    assert fold.position == log.tail()
    nothing = Fold(log, as_of=entries[-1].at)
    assert {i: row.product for i, row in folded(nothing, small_feed).items()} == before
    assert nothing.position == log.tail()


def test_bad_rows_pass_through(log, feeds, tmp_path):
    lines = [{"id": "a", "title": "A"}, {"id": "b"}, {"id": "a", "title": "Twice"}, {"id": "c", "title": "C"}]
    feed = tmp_path / "catalogue.jsonl"
    feed.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    store(log, Kind.DELETE, "a")
    store(log, Kind.PUT, "b", encoded(whole("b")))
    store(log, Kind.PATCH, "c", {"price": 1})
    rows = list(Fold(log).rows(read_catalogue(feed)))
    assert [type(row) for row in rows] == [RejectedRow, RejectedRow, CatalogueRow, CatalogueRow]
    assert [row.id for row in rows[:2]] == ["b", "a"]
    assert [row.product.id for row in rows[2:]] == ["c", "b"]  # the log has all of b


def test_it_is_of_the_moment_it_was_made(log, small_feed):
    for i in range(250):  # more than are read at a time
        store(log, Kind.PATCH, f"x{i}", {"price": 1})
    store(log, Kind.PATCH, "p1", {"price": 1})
    fold = Fold(log)
    position = log.tail()
    store(log, Kind.DELETE, "p2")
    store(log, Kind.PUT, "new", encoded(whole("new")))
    rows = folded(fold, small_feed)
    assert fold.position == position
    assert list(rows) == [f"p{i}" for i in range(N)]
    assert rows["p1"].product.price == 1


def test_what_is_stored_while_it_is_made_is_not_in_it(log, small_feed, monkeypatch):
    store(log, Kind.DELETE, "p1")
    tail = log.tail

    def tail_before_another_change():
        position = tail()
        store(log, Kind.DELETE, "p2")
        return position

    monkeypatch.setattr(log, "tail", tail_before_another_change)
    fold = Fold(log)
    assert fold.position.seq == 1
    assert list(folded(fold, small_feed)) == ["p0", *(f"p{i}" for i in range(2, N))]


@pytest.mark.parametrize("kind", [Kind.PUT, Kind.DELETE])
def test_what_is_replaced_while_a_build_runs_is_left_to_those_who_serve_it(log, small_feed, kind):
    before = {row.product.id: row for row in read_catalogue(small_feed)}
    for product_id in ("p1", "new", "p2"):
        store(log, Kind.PUT, product_id, encoded(whole(product_id)))
    store(log, Kind.PATCH, "p1", {"price": 1})
    store(log, Kind.PATCH, "p3", {"price": 1})
    fold = Fold(log)
    for product_id in ("p1", "new", "p3"):
        store(log, kind, product_id, encoded(whole(product_id)) if kind == Kind.PUT else None)
    store(log, Kind.PATCH, "p2", {"price": 2})
    rows = folded(fold, small_feed)
    assert list(rows) == list(before)
    assert {i: row for i, row in rows.items() if i != "p2"} == {i: row for i, row in before.items() if i != "p2"}
    assert rows["p2"].product == whole("p2")
    later = {entry.product_id for entry in log.read(fold.position.seq, 100)}
    assert later == {"p1", "new", "p3", "p2"}


# --- whatever happens, before it and while it is read ---

IDS = ["a", "b", "c", "new", "other"]
FEED = [
    CatalogueRow(i + 1, Product(id=one, title="Feed", price=1, attributes={"fit": "slim"}), ())
    for i, one in enumerate("abc")
]
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "price": st.sampled_from([2.0, 3.0, None]),
        "url": st.sampled_from(["u", None]),
        "attributes": st.dictionaries(st.sampled_from(["fit", "size"]), st.sampled_from(["wide", 3.0, True, None])),
    },
)
CHANGES = st.one_of(
    st.tuples(st.just(Kind.PUT), st.sampled_from(IDS), st.sampled_from(["Red", "Blue"])),
    st.tuples(st.just(Kind.PATCH), st.sampled_from(IDS), FIELDS),
    st.tuples(st.just(Kind.DELETE), st.sampled_from(IDS), st.none()),
)


def do(shelf, kind, product_id, content):
    """Do a change to products, plain JSON by id."""
    if kind == Kind.DELETE:
        shelf.pop(product_id, None)
    elif kind == Kind.PUT:
        shelf[product_id] = content
    elif product_id in shelf:
        both = {**shelf[product_id], **content}
        attributes = {**shelf[product_id]["attributes"], **content.get("attributes", {})}
        shelf[product_id] = {**both, "attributes": {name: one for name, one in attributes.items() if one is not None}}


def as_json(product):
    return orjson.loads(product.model_dump_json())


class Writer:
    """Stores changes, as far as there is something to change, and does them to `shelf` as well."""

    def __init__(self, log):
        self.log = log
        self.shelf = {row.product.id: as_json(row.product) for row in FEED}

    def store(self, changes):
        for kind, product_id, content in changes:
            if kind != Kind.PUT and product_id not in self.shelf:
                continue
            if kind == Kind.PUT:
                product = whole(product_id, brand=content)
                store(self.log, kind, product_id, encoded(product))
                do(self.shelf, kind, product_id, as_json(product))
            else:
                store(self.log, kind, product_id, content)
                do(self.shelf, kind, product_id, content)


@settings(max_examples=40, deadline=None)
@given(before=st.lists(CHANGES, max_size=10), meanwhile=st.lists(st.lists(CHANGES, max_size=3), max_size=6))
def test_nothing_is_lost_between_a_fold_and_those_who_follow(tmp_path_factory, before, meanwhile):
    """The rows of a fold, and then all that the log holds behind its position, come to the present."""
    log = SqliteLog(tmp_path_factory.mktemp("log") / "updates.sqlite")
    writer = Writer(log)
    writer.store(before)
    present, fold, rest = dict(writer.shelf), Fold(log), iter(meanwhile)
    came = {}
    for row in fold.rows(iter(FEED)):
        came[row.product.id] = as_json(row.product)
        writer.store(next(rest, []))
    if not any(meanwhile):
        assert came == present
    for changes in rest:
        writer.store(changes)
    for entry in log.read(fold.position.seq, 1_000):
        content = orjson.loads(entry.payload) if entry.payload else None
        do(came, entry.kind, entry.product_id, content["product"] if entry.kind == Kind.PUT else content)
    assert came == writer.shelf
    log.close()


# --- bundles ---


@pytest.fixture(scope="module")
def quick_builds():
    """Builds that measure themselves on less: what they choose is of no account here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexer.build, "measure", partial(measure, sample=10))
        patch.setattr(indexer.build, "calibrate_lexical_weight", lambda _bundle, _encoder, weights, **_: weights)
        yield


@pytest.fixture
def new_build(small_feed, encoder, quick_builds, tmp_path):
    """Build the feed with a log folded in: `new_build(log)`."""
    return lambda log=None: build(
        encoder, BuildOptions(small_feed, tmp_path / "data", updates=None if log is None else Fold(log))
    )


def png(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def sent(encoder, product, held=None):
    """Return a product as the service stores it: pictures it has are kept, those of `sha256:` come with it."""
    files = {name: png(n) for n, name in enumerate(product.images) if name.startswith("sha256:")}
    kept = (
        {}
        if held is None
        else dict(zip(held.product.images, zip(held.images, held.thumbnails, strict=True), strict=True))
    )
    small = tuple(kept[name][1] if name in kept else thumbnail(decode_picture(files[name])) for name in product.images)
    blank = np.zeros((len(small), encoder.dim), np.float16)
    made = encode_anew(EncodedProduct(product, blank[:0], blank, small, "", files), encoder)
    for n, name in enumerate(product.images):
        if name in kept:
            made.images[n] = kept[name][0]
    return made


def read(searchable, product_id):
    row = searchable.products.row_of(product_id)
    pictures = slice(*searchable.image_starts[row : row + 2].tolist())
    return {
        "product": searchable.products[row],
        "text": searchable.vectors["text"][row].tobytes(),
        "images": searchable.vectors["image"][pictures].tobytes(),
        "thumbnails": [searchable.thumbnail(row, n) for n in range(len(searchable.products[row].images))],
        "price": searchable.fields["price"].order[row],
        "in stock": searchable.fields["in_stock"].having(value=True)[row],
        "colours": [one for one in ("red", "teal", "blue") if searchable.fields["colour"].having([one])[row]],
    }


def test_the_view_before_is_the_bundle_after(new_build, log, encoder):
    with Bundle.open(new_build().path) as first:
        live = LiveCatalogue(first, None)
        assert first.manifest.log_position is None
        assert live.start(log.tail()) == 0
        held = live.view.encoded("p7")
        reworded = held.product.model_copy(
            update={"title": "Teal top", "images": (*held.product.images[1:], "sha256:1")}
        )
        store(log, Kind.PUT, "p7", sent(encoder, reworded, held))
        pictured = whole("new", "sha256:2", "sha256:3", brand="Ruby", price=3, attributes={"colour": "teal"})
        store(log, Kind.PUT, "new", sent(encoder, pictured))
        store(log, Kind.PUT, "p8", sent(encoder, whole("p8", price=1)))
        store(log, Kind.PATCH, "new", {"in_stock": True})
        store(log, Kind.PATCH, "p2", {"price": 5, "attributes": {"colour": "blue"}})
        store(log, Kind.PATCH, "p3", {"in_stock": None})
        store(log, Kind.DELETE, "p4")
        view = live.apply(log.read(0, 100))
        with Bundle.open(new_build(log).path) as second:
            ids = [one.id for one in second.products]
            assert ids == ["p0", "p1", "p2", "p3", *(f"p{i}" for i in range(5, N)), "new"]
            assert view.count == len(ids)
            for product_id in ids:
                assert read(view, product_id) == read(second, product_id)
            assert view.products.row_of("p4") is None


def test_who_serves_the_bundle_goes_on_behind_its_position(new_build, log, encoder):
    store(log, Kind.DELETE, "p1")
    store(log, Kind.PATCH, "p2", {"price": 5})
    store(log, Kind.PATCH, "p3", {"price": 5})
    tail = log.tail()
    built = new_build(log)
    assert built.manifest.log_position == str(tail)
    store(log, Kind.PATCH, "p2", {"price": 6})
    store(log, Kind.PUT, "p1", sent(encoder, whole("p1")))
    with Bundle.open(built.path) as bundle:
        live = LiveCatalogue(bundle, None)
        assert live.start(log.tail()) == tail.seq == 3
        later = log.read(live.start(log.tail()), 100)
        assert [entry.product_id for entry in later] == ["p2", "p1"]
        view = live.apply(later)
        assert view.count == N
        assert view.products[view.products.row_of("p2")].price == 6
        assert view.products[view.products.row_of("p3")].price == 5


def test_the_same_feed_again_and_again(new_build, log, encoder):
    """What was deleted stays so, what was put stays there, and the same log gives the same bytes."""
    store(log, Kind.DELETE, "p1")
    store(log, Kind.PUT, "new", sent(encoder, whole("new", "sha256:1")))
    digests = []
    for _ in range(2):
        built = new_build(log)
        digests.append(built.manifest.digest)
        with Bundle.open(built.path) as bundle:
            assert bundle.products.row_of("p1") is None
            assert bundle.products.row_of("new") == N - 1
        assert [entry.kind for entry in log.read(0, 10)] == [Kind.DELETE, Kind.PUT]  # a build takes nothing out
    assert digests[0] == digests[1]
    store(log, Kind.PATCH, "p2", {"price": 5})
    built = new_build(log)
    assert built.manifest.digest != digests[0]
    with Bundle.open(built.path) as bundle:
        assert [one.id for one in bundle.products] == ["p0", *(f"p{i}" for i in range(2, N)), "new"]


def test_a_catalogue_of_which_all_is_deleted(new_build, log):
    for i in range(N):
        store(log, Kind.DELETE, f"p{i}")
    with pytest.raises(BuildError, match="no product could be read"):
        new_build(log)
