import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.catalogue_values import CellError, merchant_row, parse_pictures, parse_price, parse_stock, plain_row


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("12.90 EUR", 12.9, "EUR"),
        ("12,90 EUR", 12.9, "EUR"),
        ("EUR 12.90", 12.9, "EUR"),
        ("eur12.90", 12.9, "EUR"),
        ("€12.90", 12.9, "EUR"),
        ("12,90 €", 12.9, "EUR"),
        ("£5", 5.0, "GBP"),
        ("$5.00", 5.0, None),
        ("US$5.00", 5.0, "USD"),
        ("1,299.00 USD", 1299.0, "USD"),
        ("1.299,00 EUR", 1299.0, "EUR"),
        ("1 299,00 EUR", 1299.0, "EUR"),
        ("1\u00a0299,5 EUR", 1299.5, "EUR"),
        ("1'299.00 CHF", 1299.0, "CHF"),
        ("1,299", 1299.0, None),
        ("1.299", 1.299, None),
        ("1.299.000 IDR", 1_299_000.0, "IDR"),
        ("1,29,900.00 INR", 129_900.0, "INR"),
        ("12,9", 12.9, None),
        ("1e2", 100.0, None),
        (".5", 0.5, None),
        ("0", 0.0, None),
        (" 7 ", 7.0, None),
        (7, 7.0, None),
        (7.25, 7.25, None),
        (Decimal("7.25"), 7.25, None),
    ],
)
def test_prices_as_feeds_write_them(text, amount, currency):
    assert parse_price(text) == (pytest.approx(amount), currency)


@pytest.mark.parametrize(
    "text",
    ["", "abc", "12.90.1", "1,2,3", "12 EUR USD", "EUR 12 USD", "nan", "inf", "-1", "-12.90 EUR", "12..9", "1,29.9,0",
     "12.90 Euro", "1e999", float("nan"), float("inf"), -0.01, True, None, ["12"], "1.2345,00", "12 34 EUR", "--5"],
)  # fmt: skip
def test_what_is_no_price_is_refused(text):
    with pytest.raises(ValueError, match=r"price|finite|negative|currency"):
        parse_price(text)


@given(
    cents=st.integers(0, 10**11),
    style=st.sampled_from([(",", "."), (".", ","), (" ", ","), ("'", "."), ("", "."), ("", ",")]),
    currency=st.sampled_from(["EUR", "USD", "JPY"]),
    before=st.booleans(),
)
def test_price_survives_any_grouping(cents, style, currency, before):
    thousands, decimal = style
    number = f"{cents // 100:,}".replace(",", thousands) + decimal + f"{cents % 100:02d}"
    text = f"{currency} {number}" if before else f"{number} {currency}"
    assert parse_price(text) == (pytest.approx(cents / 100), currency)


@given(st.text(max_size=30))
def test_any_text_is_a_price_or_a_value_error(text):
    try:
        amount, currency = parse_price(text)
    except ValueError:
        return
    assert amount >= 0
    assert currency is None or len(currency) == 3


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_number_as_python_writes_it_is_kept(value):
    assert parse_price(repr(value)) == (value, None)


@pytest.mark.parametrize(
    "value", [True, 1, 1.0, "true", "Yes", "in stock", "in_stock", "In-Stock", "limited availability"]
)
def test_in_stock(value):
    assert parse_stock(value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, "no", "out of stock", "OUT_OF_STOCK", "preorder", "backorder"])
def test_out_of_stock(value):
    assert parse_stock(value) is False


@pytest.mark.parametrize("value", ["maybe", 2, "", None])
def test_neither(value):
    with pytest.raises(ValueError, match="neither"):
        parse_stock(value)


@pytest.mark.parametrize(
    ("cell", "references"),
    [
        ("a.jpg", ["a.jpg"]),
        ("a.jpg|b.jpg", ["a.jpg", "b.jpg"]),
        ("a, b.jpg", ["a, b.jpg"]),
        ("https://x/a.jpg,https://x/b.jpg", ["https://x/a.jpg", "https://x/b.jpg"]),
        ("https://x/a.jpg?w=1,2 https://x/b.jpg", ["https://x/a.jpg?w=1,2", "https://x/b.jpg"]),
        ('["a.jpg", "b.jpg"]', ["a.jpg", "b.jpg"]),
        (["a.jpg", " "], ["a.jpg"]),
        (("a.jpg",), ["a.jpg"]),
        ("data:image/png;base64,aa|bb", ["data:image/png;base64,aa|bb"]),
        ("", []),
    ],
)
def test_lists_of_pictures(cell, references):
    assert parse_pictures(cell) == references


@pytest.mark.parametrize("cell", [5, [1], '["a"', {"a": 1}])
def test_what_is_no_list_of_pictures(cell):
    with pytest.raises(ValueError, match="list"):
        parse_pictures(cell)


def test_merchant_names():
    row = merchant_row(
        {
            "g:ID": "1",
            "Link": "https://shop.example/1",
            "image link": "https://x/1.jpg",
            "additional image link": "https://x/2.jpg,https://x/1.jpg",
            "product_type": "Home > Women > Maxi Dresses",
            "google product category": "2271",
            "item_group_id": "g1",
            "material": "silk",
            "availability": "in stock",
            "color": "red",
        }
    )
    assert row == {
        "id": "1",
        "url": "https://shop.example/1",
        "images": ["https://x/1.jpg", "https://x/2.jpg"],
        "product_type": "Home > Women > Maxi Dresses",
        "google_product_category": "2271",
        "category": "Maxi Dresses",
        "group": "g1",
        "composition": "silk",
        "in_stock": "in stock",
        "color": "red",
    }


def test_main_picture_comes_first_wherever_its_column_stands():
    row = merchant_row({"additional_image_link": "b.jpg", "image_link": "a.jpg"})
    assert row["images"] == ["a.jpg", "b.jpg"]


def test_category_falls_back_to_googles_path_but_not_its_number():
    assert merchant_row({"google_product_category": "Apparel > Shoes"})["category"] == "Shoes"
    assert "category" not in merchant_row({"google_product_category": "187"})
    assert merchant_row({"product_type": ["A > B", "C"]})["category"] == "B"


def test_plain_row_brings_types_into_line():
    row = plain_row(
        {
            "id": 12.0,
            "group": 7,
            "title": " T ",
            "price": "12,90 €",
            "in_stock": "out of stock",
            "season": float("nan"),
            "since": dt.date(2026, 1, 2),
            "width": Decimal("1.5"),
            "sizes": ["S", None, "M"],
            "count": 3,
            "new": True,
            "empty": "  ",
            "none": None,
        }
    )
    assert row == {
        "id": "12",
        "group": "7",
        "title": "T",
        "price": 12.9,
        "currency": "EUR",
        "in_stock": False,
        "since": "2026-01-02",
        "width": 1.5,
        "sizes": ("S", "M"),
        "count": 3,
        "new": True,
    }


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"price": "12.90 EUR", "currency": "USD"}, "currency"),
        ({"price": "free"}, "price"),
        ({"price": float("nan")}, "price"),
        ({"in_stock": "perhaps"}, "in_stock"),
        ({"title": "a\0b"}, "title"),
        ({"tags": ["a\0b"]}, "tags"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(row, field):
    with pytest.raises(CellError) as caught:
        plain_row(row)
    assert caught.value.field == field


def test_currency_in_its_own_column_is_put_in_capitals():
    assert plain_row({"price": 5, "currency": "eur"}) == {"price": 5.0, "currency": "EUR"}
