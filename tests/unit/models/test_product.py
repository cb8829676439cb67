import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.product import Product, canonical_text, clean_text, paste_entities, product_from_row


def shirt(**changes):
    row = {"id": "7", "title": "Ember shirt", "description": "A soft shirt.", "brand": "Ember", "season": "Winter"}
    return product_from_row({**row, **changes})


def test_canonical_text_joins_the_fields_the_card_names():
    product = shirt()
    assert canonical_text(product) == "Ember shirt. A soft shirt"
    assert canonical_text(product, ["description"]) == "A soft shirt"
    assert canonical_text(product, ["description", "title"]) == "A soft shirt. Ember shirt"


def test_canonical_text_leaves_empty_fields_out():
    assert canonical_text(shirt(description="")) == "Ember shirt"
    assert canonical_text(shirt(description=None)) == "Ember shirt"


def test_pasted_entities_stand_in_front():
    assert paste_entities("a soft shirt", {"brand": "Ember", "season": "Winter"}) == "Ember Winter. a soft shirt"
    assert paste_entities("a soft shirt", {}) == "a soft shirt"
    assert paste_entities("", {"brand": "Ember"}) == "Ember"


def test_entities_come_in_the_order_asked_and_only_when_stated():
    product = shirt(fit="slim", pockets=2)
    assert list(product.entities(["season", "brand"]).items()) == [("season", "Winter"), ("brand", "Ember")]
    assert product.entities(["composition", "fit"]) == {"fit": "slim"}
    assert product.entities(["pockets"]) == {}  # a number is no entity


def test_unclaimed_columns_become_attributes_and_keep_their_type():
    product = shirt(pockets=2, recycled=True, tags=["a", "b"], fit="slim", missing=None, blank="")
    assert dict(product.attributes) == {"pockets": 2.0, "recycled": True, "tags": ("a", "b"), "fit": "slim"}
    assert product.attributes["recycled"] is True


def test_nested_attributes_and_columns_are_merged():
    assert dict(shirt(attributes={"fit": "slim"}, pockets=2).attributes) == {"fit": "slim", "pockets": 2.0}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "a\nb"),
        ("title", "   "),
        ("price", -1),
        ("price", math.nan),
        ("price", math.inf),
        ("price", "cheap"),
        ("currency", "euro"),
        ("in_stock", "perhaps"),
        ("title", "x" * 1001),
    ],
)
def test_a_wrong_value_is_refused_by_name(field, value):
    with pytest.raises(ValidationError) as raised:
        Product.model_validate({"id": "1", "title": "t", field: value})
    assert raised.value.errors()[0]["loc"][0] == field


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError, match="colour"):
        Product.model_validate({"id": "1", "title": "t", "colour": "red"})


@given(st.text())
def test_clean_text_is_normal_idempotent_and_without_control_characters(text):
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    assert not any(unicodedata.category(c) == "Cc" for c in cleaned)
    assert cleaned == cleaned.strip()
    assert "  " not in cleaned
