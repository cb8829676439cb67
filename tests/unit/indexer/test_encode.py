import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from indexer.catalogue import BytesImage, CatalogueRow, PathImage, RejectedRow, UrlImage
from indexer.encode import EncodedBatch, EncodeOptions, encode_catalogue
from indexer.product_encoding import entities_of, texts_of, thumbnail
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


def batches(items):
    return [i for i in items if isinstance(i, EncodedBatch)]


def test_vectors_are_those_of_the_encoder(row, encoder, feeds):
    rows = [row(i, brand="Ruby") for i in range(7)]
    found = batches(encode_catalogue(rows, encoder, EncodeOptions(batch=3)))
    products = [p for b in found for p in b.products]
    assert products == [r.product for r in rows]
    texts = encoder.encode_texts([f"Product {i}" for i in range(7)], [{"brand": "Ruby"}] * 7)
    np.testing.assert_array_equal(np.concatenate([b.texts for b in found]), texts)
    images = encoder.encode_images([decode_picture(r.images[0].content) for r in rows])
    np.testing.assert_array_equal(np.concatenate([b.images for b in found]), images)


def test_pictures_belong_to_their_products(row, encoder, feeds):
    pictures = [BytesImage(f"{i}.jpg", feeds.jpeg(feeds.picture(i))) for i in range(5)]
    rows = [row(0, *pictures[:3]), CatalogueRow(1, Product(id="bare", title="t"), ()), row(2, *pictures[3:])]
    (batch,) = batches(encode_catalogue(rows, encoder))
    assert batch.image_rows.tolist() == [0, 0, 0, 2, 2]
    assert batch.image_rows.dtype == np.int32
    assert len(batch.thumbnails) == 5
    for content, source in zip(batch.thumbnails, pictures, strict=True):
        shown, original = Image.open(io.BytesIO(content)), decode_picture(source.content)
        difference = np.abs(np.asarray(shown, float) - np.asarray(original, float)).mean()
        assert difference < 5


def test_no_products_no_batches(encoder):
    assert list(encode_catalogue([], encoder)) == []


def test_products_without_pictures_only(encoder):
    rows = [CatalogueRow(i, Product(id=f"p{i}", title="t"), ()) for i in range(300)]
    found = batches(encode_catalogue(rows, encoder, EncodeOptions(batch=8)))
    assert sum(len(b.products) for b in found) == 300
    assert all(b.images.shape == (0, encoder.dim) for b in found)


def test_a_product_whose_picture_is_broken_is_rejected_and_the_rest_goes_on(row, encoder, tmp_path):
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
    found = list(encode_catalogue(rows, encoder, EncodeOptions(batch=1)))
    rejected = [r for r in found if isinstance(r, RejectedRow)]
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
    assert [p.id for b in batches(found) for p in b.products] == ["p1", "p7"]


def test_keep_without_images_loses_only_the_broken_picture(row, encoder, feeds):
    good = BytesImage("good.jpg", feeds.jpeg(feeds.picture(1)))
    rows = [row(1, BytesImage("bad.jpg", b"nothing"), good), row(2, BytesImage("bad.jpg", b"nothing"))]
    (batch,) = encode_catalogue(rows, encoder, EncodeOptions(keep_without_images=True))
    assert [p.images for p in batch.products] == [("good.jpg",), ()]
    assert batch.image_rows.tolist() == [0]


def test_limits_apply_to_files(row, encoder, tmp_path):
    (tmp_path / "large.jpg").write_bytes(b"\xff\xd8\xff" + bytes(5000))
    rows = [row(1, PathImage("large.jpg", tmp_path / "large.jpg"))]
    (rejected,) = encode_catalogue(rows, encoder, EncodeOptions(limits=PictureLimits(max_bytes=1000)))
    assert "1,000" in rejected.reason


def test_urls_are_fetched_by_what_was_given(row, encoder, feeds):
    content = feeds.jpeg(feeds.picture(3))

    def fetch(url):
        if url.endswith("gone.jpg"):
            raise ValueError("404")
        return content

    rows = [row(1, UrlImage("https://x/a.jpg")), row(2, UrlImage("https://x/gone.jpg"))]
    batch, rejected = sorted(encode_catalogue(rows, encoder, EncodeOptions(fetch=fetch)), key=str)
    assert batch.products[0].images == ("https://x/a.jpg",)
    assert rejected.reason == "https://x/gone.jpg: 404"


def test_decoding_goes_on_while_the_encoder_works(row, weightless):
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
    found = batches(encode_catalogue(rows, Slow(), EncodeOptions(batch=8, threads=2, fetch=fetch)))
    assert [p.id for b in found for p in b.products] == [f"p{i}" for i in range(40)]


def test_how_far_decoding_runs_ahead_is_bounded(row, encoder):
    begun = []
    content = row(0).images[0].content

    def fetch(url):
        begun.append(url)
        return content

    rows = (row(i, UrlImage(f"https://x/{i}.jpg")) for i in range(500))
    stream = encode_catalogue(rows, encoder, EncodeOptions(batch=4, threads=2, fetch=fetch))
    next(stream)
    time.sleep(0.2)
    assert len(begun) <= 4 + 2 * 4 + 2
    stream.close()


def test_large_pictures_make_smaller_batches(row, encoder, feeds, monkeypatch):
    monkeypatch.setattr("indexer.encode.PIXELS_IN_FLIGHT", 2 * 120 * 160 * 3)
    found = batches(encode_catalogue([row(i) for i in range(9)], encoder, EncodeOptions(batch=100)))
    assert [len(b.products) for b in found] == [3, 3, 3]


def test_stopping_early_leaves_no_threads(row, encoder):
    before = threading.active_count()
    stream = encode_catalogue((row(i) for i in range(100)), encoder, EncodeOptions(batch=2))
    next(stream)
    stream.close()
    assert threading.active_count() == before


def test_errors_of_the_feed_reach_the_caller(row, encoder):
    def feed():
        yield row(1)
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        list(encode_catalogue(feed(), encoder))


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
