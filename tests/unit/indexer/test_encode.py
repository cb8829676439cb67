import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from indexer.catalogue import BytesImage, CatalogueRow, PathImage, RejectedRow, UrlImage
from indexer.encode import LocalEngine
from indexer.product_encoding import entities_of, texts_of, thumbnail
from indexer.rejects import BadRowLimit
from indexer.store import Store
from indexer.work import WINDOW_BLOCKS, EncodeOptions, steps
from models.picture import PictureLimits, decode_picture
from models.product import Product


@pytest.fixture
def row(feeds):
    """Make a catalogue row with one picture, or those given."""

    def make(number, *images, **fields):
        found = images or (BytesImage(f"p{number}.jpg", feeds.jpeg(feeds.picture(number))),)
        product = Product(
            id=f"p{number}", title=f"Product {number}", images=tuple(i.reference for i in found), **fields
        )
        return CatalogueRow(number, product, found)

    return make


@pytest.fixture
def blocks(tmp_path):
    """Encode rows into a store, block by block: `blocks(rows, encoder, options)`."""

    def run(rows, encoder, options=None, *, store=None, allowed=None):
        chosen = options or EncodeOptions()
        engine = LocalEngine(encoder, chosen)
        kept = Store(tmp_path / "encoded") if store is None else store
        for block in engine.blocks(steps(rows, encoder, kept, engine.prepare, chosen, allowed)):
            kept.add(block.encoded)
            yield block

    return run


@pytest.fixture
def encoded(blocks):
    """Return what is made of rows: the encoding of each, None for a rejected one."""

    def run(rows, encoder, options=None):
        made, found = {}, []
        for block in blocks(rows, encoder, options):
            made.update(block.encoded)
            found += [made.get(row.key) for row in block.rows]
        return found

    return run


def refused(blocks, *, keep=False):
    found = []
    for block in blocks:
        made = dict(block.encoded)
        for row in block.rows:
            problems = {**row.problems, **made[row.key].problems} if row.key in made else row.problems
            found.append(row.refused(problems, keep=keep))
    return [row for row in found if row is not None]


def test_vectors_are_those_of_the_encoder(row, encoder, encoded):
    rows = [row(i, brand="Ruby") for i in range(7)]
    found = encoded(rows, encoder, EncodeOptions(batch=3))
    texts = encoder.encode_texts([f"Product {i}" for i in range(7)], [{"brand": "Ruby"}] * 7)
    np.testing.assert_array_equal([e.text for e in found], texts.astype(np.float16))
    images = encoder.encode_images([decode_picture(r.images[0].content) for r in rows])
    np.testing.assert_array_equal(np.concatenate([e.images for e in found]), images.astype(np.float16))


def test_texts_are_encoded_without_their_category_too(row, encoder, weightless, encoded):
    rows = [row(0, brand="Ruby", category="bag"), row(1, brand="Ruby"), row(2, category="mug")]
    found = encoded(rows, encoder)
    bare = encoder.encode_texts([f"Product {i}" for i in range(3)], [{"brand": "Ruby"}, {"brand": "Ruby"}, {}])
    np.testing.assert_array_equal([e.bare for e in found], bare.astype(np.float16))
    assert not np.array_equal(found[0].bare, found[0].text)
    assert [e.bare for e in encoded(rows, weightless(dim=48))] == [None] * 3


def test_pictures_belong_to_their_products(row, encoder, feeds, encoded):
    pictures = [BytesImage(f"{i}.jpg", feeds.jpeg(feeds.picture(i))) for i in range(5)]
    rows = [row(0, *pictures[:3]), CatalogueRow(1, Product(id="bare", title="t"), ()), row(2, *pictures[3:])]
    found = encoded(rows, encoder)
    assert [len(e.images) for e in found] == [3, 0, 2]
    thumbnails = [small for e in found for small in e.thumbnails]
    for content, source in zip(thumbnails, pictures, strict=True):
        shown, original = Image.open(io.BytesIO(content)), decode_picture(source.content)
        difference = np.abs(np.asarray(shown, float) - np.asarray(original, float)).mean()
        assert difference < 5


def test_no_products_no_blocks(encoder, blocks):
    assert list(blocks([], encoder)) == []


def test_products_without_pictures_only(encoder, encoded):
    rows = [CatalogueRow(i, Product(id=f"p{i}", title=f"t {i}"), ()) for i in range(300)]
    found = encoded(rows, encoder, EncodeOptions(batch=8))
    assert [e.images.shape for e in found] == [(0, encoder.dim)] * 300


def test_a_product_whose_picture_is_broken_is_rejected_and_the_rest_goes_on(row, encoder, blocks, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (tmp_path / "svg.jpg").write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    rows = [
        row(1),
        row(2, PathImage("broken.jpg", tmp_path / "broken.jpg")),
        RejectedRow(3, "price", "negative"),
        row(4, PathImage("svg.jpg", tmp_path / "svg.jpg")),
        row(5, PathImage("gone.jpg", tmp_path / "gone.jpg")),
        row(6, UrlImage("https://shop.example/a.jpg")),
        row(7),
    ]
    found = list(blocks(rows, encoder, EncodeOptions(batch=1)))
    rejected = refused(found)
    assert [(r.row, r.field, r.id) for r in rejected] == [
        (2, "images", "p2"),
        (3, "price", None),
        (4, "images", "p4"),
        (5, "images", "p5"),
        (6, "images", "p6"),
    ]
    assert rejected[0].reason.startswith("broken.jpg: ")
    assert "No such file" in rejected[3].reason
    assert "not fetched" in rejected[4].reason
    assert [r.found.row for b in found for r in b.rows] == [1, 2, 3, 4, 5, 6, 7]


def test_keep_without_images_loses_only_the_broken_picture(row, encoder, feeds, encoded, blocks):
    good = BytesImage("good.jpg", feeds.jpeg(feeds.picture(1)))
    rows = [row(1, BytesImage("bad.jpg", b"nothing"), good), row(2, BytesImage("bad.jpg", b"nothing"))]
    options = EncodeOptions(keep_without_images=True)
    found = encoded(rows, encoder, options)
    assert [len(e.images) for e in found] == [1, 0]
    assert [list(e.problems) for e in found] == [[0], [0]]
    assert refused(blocks(rows, encoder, options), keep=True) == []


def test_a_picture_that_was_kept_as_broken_is_refused_again(row, encoder, blocks, tmp_path):
    rows = [row(1, BytesImage("bad.jpg", b"nothing"))]
    [first] = refused(blocks(rows, encoder))
    store = Store(tmp_path / "encoded")
    [again] = blocks(rows, encoder, store=store)
    assert again.encoded == []
    assert again.rows[0].refused(store.get(again.rows[0].key).problems, keep=False) == first


def test_limits_apply_to_files(row, encoder, blocks, tmp_path):
    (tmp_path / "large.jpg").write_bytes(b"\xff\xd8\xff" + bytes(5000))
    rows = [row(1, PathImage("large.jpg", tmp_path / "large.jpg"))]
    (rejected,) = refused(blocks(rows, encoder, EncodeOptions(limits=PictureLimits(max_bytes=1000))))
    assert "1,000" in rejected.reason


def test_urls_are_fetched_by_what_was_given(row, encoder, feeds, blocks):
    content = feeds.jpeg(feeds.picture(3))

    def fetch(url):
        if url.endswith("gone.jpg"):
            raise ValueError("404")
        return content

    rows = [row(1, UrlImage("https://x/a.jpg")), row(2, UrlImage("https://x/gone.jpg"))]
    [block] = blocks(rows, encoder, EncodeOptions(fetch=fetch))
    [(_, made)] = block.encoded
    assert len(made.images) == 1
    [rejected] = refused([block])
    assert rejected.reason == "https://x/gone.jpg: 404"


class TestBlocks:
    """Rows without pictures but for their texts: what is encoded, and where blocks end."""

    @pytest.fixture
    def bare(self):
        return lambda *titles: [CatalogueRow(i, Product(id=f"p{i}", title=t), ()) for i, t in enumerate(titles, 1)]

    def sizes(self, found):
        return [(len(b.rows), len(b.encoded)) for b in found]

    def test_blocks_end_when_they_are_full(self, bare, encoder, blocks):
        rows = bare(*(f"t{i}" for i in range(10)))
        assert self.sizes(blocks(rows, encoder, EncodeOptions(block=4))) == [(4, 4), (4, 4), (2, 2)]

    def test_what_is_kept_is_not_encoded_again(self, bare, encoder, blocks):
        rows = bare(*(f"t{i}" for i in range(10)))
        list(blocks(rows[::2], encoder, EncodeOptions(block=4)))
        assert self.sizes(blocks(rows, encoder, EncodeOptions(block=4))) == [(8, 4), (2, 1)]
        assert self.sizes(blocks(rows, encoder, EncodeOptions(block=4))) == [(10, 0)]

    def test_equal_products_are_encoded_once(self, bare, encoder, blocks):
        rows = bare("a", "b", "a", "c", "a", "d")
        found = list(blocks(rows, encoder, EncodeOptions(block=3)))
        assert self.sizes(found) == [(4, 3), (2, 1)]
        assert found[1].rows[0].key == found[0].rows[0].key

    def test_a_window_bounds_the_rows_of_a_block(self, bare, encoder, blocks):
        window = 2 * WINDOW_BLOCKS
        rows = bare(*(f"t{i}" for i in range(2 * window)))
        list(blocks(rows[:-3], encoder, EncodeOptions(block=2)))
        found = self.sizes(blocks(rows, encoder, EncodeOptions(block=2)))
        assert found == [(window, 0), (window - 1, 2), (1, 1)]

    @pytest.mark.parametrize("kept", [{0}, {1}, {0, 1}, {2}, {0, 2, 4}, {1, 3, 5, 6}])
    def test_what_is_left_is_cut_as_it_would_have_been(self, bare, encoder, blocks, tmp_path, kept):
        """Whatever blocks are there already, wherever: the others hold the same products."""
        rows = bare(*(f"t{i % 37}" for i in range(50)))
        options = EncodeOptions(block=3)
        earlier, store = Store(tmp_path / "earlier"), Store(tmp_path / "some")
        for part in (earlier, store):  # every fourth title is kept from before
            list(blocks(rows[1::4], encoder, options, store=part))
        whole = [b.encoded for b in blocks(rows, encoder, options, store=earlier)]
        for number in kept:
            store.add(whole[number])
        rest = [b.encoded for b in blocks(rows, encoder, options, store=store)]
        left = [[key for key, _ in part] for number, part in enumerate(whole) if number not in kept and part]
        assert [[key for key, _ in part] for part in rest if part] == left

    def test_too_many_bad_rows_end_it_before_anything_more_is_encoded(self, bare, encoder, blocks):
        rows = bare(*(f"t{i}" for i in range(9)))
        rows[5] = RejectedRow(6, "price", "negative")
        found = list(blocks(rows, encoder, EncodeOptions(block=4), allowed=BadRowLimit(rows=0)))
        assert self.sizes(found) == [(4, 4), (2, 0)]
        assert [b.abandoned for b in found] == [False, True]


def test_decoding_goes_on_while_the_encoder_works(row, weightless, encoded):
    """While the encoder is held in its first batch, threads decode pictures of later ones."""
    decoded = threading.Event()

    class Slow(weightless):
        first = True

        def encode_images(self, images):
            if Slow.first:
                Slow.first = False
                assert decoded.wait(20), "nothing was decoded ahead"
            return super().encode_images(images)

    content = row(0).images[0].content

    def fetch(url):
        if url.endswith("/12.jpg"):
            decoded.set()
        return content

    rows = [row(i, UrlImage(f"https://x/{i}.jpg")) for i in range(40)]
    found = encoded(rows, Slow(), EncodeOptions(batch=8, threads=2, fetch=fetch))
    assert [len(e.images) for e in found] == [1] * 40


def test_how_far_decoding_runs_ahead_is_bounded(row, encoder, blocks):
    begun = []
    content = row(0).images[0].content

    def fetch(url):
        begun.append(url)
        return content

    rows = (row(i, UrlImage(f"https://x/{i}.jpg")) for i in range(500))
    stream = blocks(rows, encoder, EncodeOptions(batch=4, threads=2, fetch=fetch, block=4))
    next(stream)
    time.sleep(0.2)
    assert len(begun) <= 4 + 2 * 4 + 2
    stream.close()


def test_large_pictures_make_smaller_batches(row, weightless, encoded):
    batches = []

    class Listening(weightless):
        def encode_images(self, images):
            batches.append(len(images))
            return super().encode_images(images)

    encoded([row(i) for i in range(9)], Listening(), EncodeOptions(batch=100, pixels=2 * 120 * 160 * 3))
    assert batches == [3, 3, 3]


def test_stopping_early_leaves_no_threads(row, encoder, blocks):
    before = threading.active_count()
    stream = blocks((row(i) for i in range(100)), encoder, EncodeOptions(batch=2, block=2))
    next(stream)
    stream.close()
    assert threading.active_count() == before


def test_errors_of_the_feed_reach_the_caller(row, encoder, blocks):
    def feed():
        yield row(1)
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        list(blocks(feed(), encoder))


def test_texts_follow_the_encoders_fields(weightless):
    class TitleOnly(weightless):
        text_fields = ("title",)

    class Reversed(weightless):
        text_fields = ("description", "title")

    product = Product(id="p", title="T", description="D", brand="Ruby", season="summer")
    assert texts_of([product], TitleOnly()) == ["T"]
    assert texts_of([product], Reversed()) == ["D. T"]
    assert entities_of([product], weightless(vocabularies={"brand": ["Ruby"]})) == [{"brand": "Ruby"}]


@pytest.mark.parametrize(
    ("size", "expected"), [((1000, 500), (256, 128)), ((100, 80), (100, 80)), ((1, 2000), (1, 256))]
)
def test_thumbnails_are_small(size, expected):
    with Image.open(io.BytesIO(thumbnail(Image.new("RGB", size, "red")))) as image:
        assert image.format == "JPEG"
        assert image.size == expected
