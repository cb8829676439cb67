"""Whatever is typed, the words of a bundle are matched and completed; whatever a log holds of a product comes back."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.suggest import Suggester
from indexer.updates import EncodedProduct
from models.product import Product

FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
KNOWN = st.sampled_from(["red", "Golden Goat", "sneker", "mug", "no 7", "dress", "zzz", "\u00df", "\u0130", "e\u0301"])
TYPED = st.text(max_size=40) | st.lists(KNOWN, max_size=6).map(" ".join)


@pytest.fixture(scope="module")
def suggester(bundle):
    return Suggester(bundle)


@FEW
@given(text=TYPED, limit=st.integers(1, 20))
def test_any_text_is_completed(suggester, bundle, text, limit):
    found = suggester.suggest(text, limit)
    assert len(found.items) <= limit
    assert all(0 < item.count <= len(bundle.products) for item in found.items)
    assert len({item.text.casefold() for item in found.items}) == len(found.items)


@FEW
@given(TYPED)
def test_any_text_is_matched_as_words(bundle, text):
    scores = bundle.lexical.scores(text)
    assert scores.shape == (len(bundle.products),)
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    meant = bundle.lexical.meant(text)
    assert all(0 < weight <= 1 and term in bundle.lexical for term, weight in meant.items() if term in bundle.lexical)


IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(str.strip)


@st.composite
def encoded(draw):
    pictures = draw(st.integers(0, 3))
    dim = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    product = Product(id=draw(IDS), title="t", images=tuple(f"i{n}" for n in range(pictures)))
    return EncodedProduct(
        product=product,
        text=rng.standard_normal(dim).astype(np.float16),
        images=rng.standard_normal((pictures, dim)).astype(np.float16),
        thumbnails=tuple(draw(st.binary(max_size=20)) for _ in range(pictures)),
        fingerprint=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
        pictures={f"i{n}": draw(st.binary(max_size=20)) for n in range(pictures)},
    )


@FEW
@given(encoded())
def test_any_encoded_product_comes_back(one):
    back = EncodedProduct.from_bytes(one.to_bytes())
    assert (back.product, back.thumbnails, back.fingerprint) == (one.product, one.thumbnails, one.fingerprint)
    assert dict(back.pictures) == dict(one.pictures)
    np.testing.assert_array_equal(back.text, one.text)
    np.testing.assert_array_equal(back.images, one.images)


@FEW
@given(encoded(), st.binary(max_size=80), st.integers(0, 10**6))
def test_other_bytes_are_none(one, noise, place):
    """A follower that reads them tells so and goes on; it need not know why."""
    whole = one.to_bytes()
    for content in (noise, whole[: place % len(whole)]):
        with pytest.raises((LookupError, TypeError, ValueError)):
            EncodedProduct.from_bytes(content)
