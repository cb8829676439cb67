"""What an update log holds: encoded products as bytes, patches and how they add up, positions as text."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.updates import EncodedProduct, Position, joined, patched
from models.product import Product

ATTRIBUTE_NAMES = st.sampled_from(["size", "colour", "fit"])
WORDS = st.text("aé1", max_size=3)  # as they are once checked: without white space around them
ATTRIBUTE_VALUES = st.one_of(
    st.booleans(), st.floats(allow_nan=False, allow_infinity=False), WORDS, st.lists(WORDS, max_size=3)
)
PATCHES = st.fixed_dictionaries(
    {},
    optional={
        "title": st.text("abc", min_size=1, max_size=3),
        "brand": st.none() | st.text("abc", min_size=1, max_size=3),
        "price": st.none() | st.floats(0, 100),
        "attributes": st.dictionaries(ATTRIBUTE_NAMES, st.none() | ATTRIBUTE_VALUES),
    },
)
PRODUCTS = st.builds(
    Product,
    id=st.just("p"),
    title=st.just("Title"),
    brand=st.none() | st.just("Brand"),
    price=st.none() | st.floats(0, 100),
    attributes=st.dictionaries(ATTRIBUTE_NAMES, ATTRIBUTE_VALUES),
)


def unit_rows(n, d, seed):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("pictures", [0, 1, 3])
def test_an_encoded_product_comes_back_bit_for_bit(pictures):
    product = Product(
        id="п/1",
        title="Red “mug” \\ 0.3 l",
        description="a\u2028b 🛍️",
        brand="É",
        category="Mugs",
        season="summer",
        composition="clay",
        price=0.1 + 0.2,
        currency="EUR",
        in_stock=False,
        url="https://shop.example/m?a=1&b=2",
        group="g",
        images=tuple(f"sha256:{n}" for n in range(pictures)),
        attributes={"wide": True, "litres": 1e-7, "word": "1", "tags": ("a", "é"), "none": (), "": ""},
    )
    text = unit_rows(1, 64, 1)[0]
    text[:4] = np.array([0x0001, 0x8000, 0x03FF, 0x7BFF], np.uint16).view(np.float16)  # least, -0, subnormal, most
    encoded = EncodedProduct(
        product=product,
        text=text,
        images=unit_rows(6, 64, 2)[: 2 * pictures : 2],  # not contiguous
        thumbnails=tuple(bytes([255, 216, n, 0]) * 100 for n in range(pictures)),
        fingerprint="sha256:abc",
        pictures={f"sha256:{n}": bytes(range(256)) * n for n in range(pictures)},
    )
    back = EncodedProduct.from_bytes(encoded.to_bytes())
    assert back.product == product
    assert {type(value) for value in back.product.attributes.values()} == {bool, float, str, tuple}
    for name in ("text", "images"):
        was, now = getattr(encoded, name), getattr(back, name)
        assert (now.dtype, now.shape, now.tobytes()) == (was.dtype, was.shape, was.tobytes())
    assert back.images.shape == (pictures, 64)
    assert (back.thumbnails, back.fingerprint, back.pictures) == (
        encoded.thumbnails,
        encoded.fingerprint,
        encoded.pictures,
    )


def test_fields_are_patched_and_the_others_stay():
    product = Product(id="p", title="Mug", brand="Old", price=3, attributes={"size": "M", "tags": ("a",), "old": True})
    fields = {"title": "Cup", "brand": None, "attributes": {"size": None, "never": None, "tags": ["x", "y"], "n": 1.5}}
    assert patched(product, fields) == Product(
        id="p", title="Cup", price=3, attributes={"tags": ("x", "y"), "old": True, "n": 1.5}
    )
    assert patched(product, {}) == product
    assert patched(product, {"attributes": {}}) == product
    assert product.title == "Mug"
    assert product.attributes == {"size": "M", "tags": ("a",), "old": True}


@given(PRODUCTS, PATCHES)
def test_a_patched_product_is_one_that_was_made_so(product, fields):
    stated = product.model_dump()
    attributes = {**stated.pop("attributes"), **fields.get("attributes", {})}
    stated |= {name: value for name, value in fields.items() if name != "attributes"}
    stated["attributes"] = {name: value for name, value in attributes.items() if value is not None}
    got = patched(product, fields)
    assert got == Product.model_validate(stated)
    assert Product.model_validate(got.model_dump(mode="json")) == got  # as it is stored


@given(PRODUCTS, PATCHES, PATCHES)
def test_two_patches_joined_do_what_they_do_one_after_the_other(product, earlier, later):
    assert patched(product, joined(earlier, later)) == patched(patched(product, earlier), later)


@given(PATCHES, PATCHES, PATCHES)
def test_patches_may_be_joined_in_any_grouping(a, b, c):
    before = copy.deepcopy((a, b, c))
    assert joined(joined(a, b), c) == joined(a, joined(b, c))
    assert joined(a, {}) == joined({}, a) == a
    assert (a, b, c) == before


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_product_whose_attribute_is_no_finite_number_is_never_stored_unreadable(number):
    vectors = unit_rows(2, 8, 0)
    try:
        product = Product(id="p", title="Mug", attributes={"litres": number})
        payload = EncodedProduct(product, vectors[0], vectors[1:], (b"",), "f").to_bytes()
    except ValueError:
        return
    EncodedProduct.from_bytes(payload)


def encoded(text, images):
    return EncodedProduct(Product(id="p", title="Mug"), text, images, (b"",) * len(images), "f")


def test_vectors_that_fit_are_expected():
    vectors = unit_rows(3, 8, 0)
    encoded(vectors[0], vectors[1:]).expect(8)
    encoded(vectors[0], vectors[1:1]).expect(8)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0, np.nan])
@pytest.mark.parametrize("which", ["text", "images"])
def test_vectors_that_are_not_of_unit_length_are_refused(which, scale):
    vectors = unit_rows(3, 8, 0)
    good = encoded(vectors[0], vectors[1:])
    bad = getattr(good, which).copy()
    bad[-1:] *= np.float16(scale) if which == "images" else 1
    if which == "text":
        bad *= np.float16(scale)
    with pytest.raises(ValueError, match="unit length"):
        replace(good, **{which: bad}).expect(8)


def test_vectors_of_other_dimensions_are_refused():
    vectors = unit_rows(1, 8, 0)
    with pytest.raises(ValueError, match="8 dimensions, where the bundle's have 9"):
        encoded(vectors[0], vectors[1:]).expect(9)


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"null", b'{"text": 1}', b'{"text": "AAAA", "images": ""}'])
def test_what_is_no_encoded_product_is_refused(payload):
    with pytest.raises(ValueError, match=r"."):
        EncodedProduct.from_bytes(payload)


@given(st.text(min_size=1), st.integers(0, 2**63))
def test_position_and_text_are_the_same(epoch, seq):
    position = Position(epoch, seq)
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", ":", "7", "abc", "abc:", ":7", "abc:-1", "abc:7.0", "abc: 7", "abc:7\n", "abc:\u0667", "7:abc"]
)
def test_what_is_no_position_is_refused(text):
    with pytest.raises(ValueError, match="no position of an update log"):
        Position.parse(text)
    with pytest.raises(ValueError, match="no position of an update log"):
        Position("abc", 7).after(text)


def test_who_stands_in_another_log_has_seen_nothing_of_this():
    tail = Position("this", 9)
    assert tail.after(None) == 0
    assert tail.after("that:7") == 0
    assert tail.after("this:7") == 7
    assert Position("a:b", 9).after("a:b:7") == 7
    assert Position("b", 9).after("a:b:7") == 0
