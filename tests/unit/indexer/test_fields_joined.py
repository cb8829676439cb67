"""Columns of parts, one behind the other, against columns made of all rows at once."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.fields import (
    BooleanColumn,
    Columns,
    Fields,
    JoinedKeywords,
    KeywordColumn,
    NumberColumn,
    UnknownFieldError,
    column_of,
    kind_of,
)
from indexer.layers import Layer
from indexer.products import SCHEMA, ProductTable, product_row
from indexer.view import JoinedColumns, JoinedProducts
from models.product import Product

WORDS = ["Red", "red", "RED", "navy", "Navy", "straße", "STRASSE", "Éclair", "éclair", "zebra", "10"]
STATED = st.lists(st.sampled_from(WORDS), max_size=4)
PARTS = st.lists(st.lists(STATED, max_size=6), min_size=1, max_size=4)


def folded(words):
    return {word.casefold() for word in words}


def ranking(order):
    """Return places as ranks: equal ones are equal, NaN is None."""
    places = {place: rank for rank, place in enumerate(sorted(set(order[~np.isnan(order)].tolist())))}
    return [None if np.isnan(place) else places[place] for place in order.tolist()]


# --- keywords ---


@given(parts=PARTS, asked=st.lists(st.sampled_from([*WORDS, "nobody"]), max_size=3), data=st.data())
def test_keywords_of_parts_are_those_of_all_rows(parts, asked, data):
    rows = [words for part in parts for words in part]
    whole = KeywordColumn.of(rows)
    joined = JoinedKeywords.joining([KeywordColumn.of(part) if part else KeywordColumn.empty(0) for part in parts])
    assert joined.n == len(rows)
    assert [value.casefold() for value in joined.values] == sorted(folded(word for words in rows for word in words))
    np.testing.assert_array_equal(joined.stated, [bool(words) for words in rows])
    expected = [bool(folded(words) & folded(asked)) for words in rows]
    np.testing.assert_array_equal(joined.having(iter(asked)), np.array(expected, np.bool_))
    among = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), np.bool_)
    counts = dict(zip((value.casefold() for value in joined.values), joined.counts(among).tolist(), strict=True))
    for value, count in counts.items():
        assert count == sum(value in folded(words) for words, counted in zip(rows, among, strict=True) if counted)
    assert ranking(joined.order) == ranking(whole.order)
    first = [min(folded(words), default=None) for words in rows]
    assert ranking(joined.order) == [None if one is None else sorted({*first} - {None}).index(one) for one in first]
    assert joined.order.dtype == np.float64


@given(parts=PARTS)
def test_each_row_states_its_own_values(parts):
    joined = JoinedKeywords.joining([KeywordColumn.of(part) if part else KeywordColumn.empty(0) for part in parts])
    assert (np.diff(joined.rows) >= 0).all()
    stated = [set() for _ in range(joined.n)]
    for row, code in zip(joined.rows.tolist(), joined.codes.tolist(), strict=True):
        stated[row].add(joined.values[code].casefold())
    assert stated == [folded(words) for part in parts for words in part]


def test_the_first_spelling_is_shown():
    parts = [
        KeywordColumn.of([["Nike"], ["puma"]]),
        KeywordColumn.of([["NIKE"], ["adidas"]]),
        KeywordColumn.of([["Adidas"]]),
    ]
    assert JoinedKeywords.joining(parts).values == ["adidas", "Nike", "puma"]
    assert JoinedKeywords.joining([KeywordColumn.empty(3), *parts[1:]]).values == ["adidas", "NIKE"]
    assert JoinedKeywords.joining([KeywordColumn.empty(3), KeywordColumn.empty(0)]).values == []


# --- columns of layers ---

KINDS = {"size": NumberColumn, "organic": BooleanColumn, "colour": KeywordColumn}
ATTRIBUTES = {
    "size": st.sampled_from([36.0, 0.0, 41.5]),
    "organic": st.booleans(),
    "colour": st.sampled_from(["red", "Blue", ("red", "green"), ()]),
    "price": st.sampled_from([1.0, 2.0]),
    "later": st.sampled_from(["x", "Y"]),
}
PRODUCT = st.fixed_dictionaries(
    {},
    optional={
        "brand": st.sampled_from(["Ruby", "RUBY", "Novel"]),
        "price": st.sampled_from([0.0, 9.5, 10.0]),
        "in_stock": st.booleans(),
        "group": st.sampled_from(["g1", "G2"]),
        "attributes": st.fixed_dictionaries({}, optional=ATTRIBUTES),
    },
)
# The first part states every attribute but `later` in a way that shows its kind.
SHOWN = {"attributes": {"size": 1.0, "organic": True, "colour": "red", "price": 3.0}}


class Part:
    """As much of a bundle or a segment as columns need."""

    def __init__(self, products, like=None):
        rows = [product_row(product) for product in products]
        self.products = ProductTable(pa.Table.from_pylist(rows, schema=SCHEMA))
        self.fields = Fields(self.products, like=like)


def made(parts):
    """Return products by part; ids are in no order."""
    numbers = iter(np.random.default_rng(0).permutation(1_000).tolist())
    return [[Product(id=f"p{next(numbers)}", title="t", **fields) for fields in part] for part in parts]


def layers_of(products):
    first = Part(products[0])
    parts = [first, *(Part(part, like=first.fields) for part in products[1:] if part)]
    return [Layer.of(part) for part in parts]


def joined_columns(layers):
    starts = np.cumsum([0, *(layer.n for layer in layers)])
    return JoinedColumns(layers, JoinedProducts(layers, starts))


NAMES = ("brand", "price", "in_stock", "group", "season", "size", "organic", "colour", "attributes.price")


@given(parts=st.lists(st.lists(PRODUCT, max_size=5), max_size=3))
def test_columns_of_layers_are_those_of_one_table(parts):
    products = made([[SHOWN, {}], *parts])
    every = [product for part in products for product in part]
    fields, whole = joined_columns(layers_of(products)), Fields(Part(every).products)
    assert isinstance(fields, Columns)
    assert fields.n == len(every)
    assert fields.attribute_names == whole.attribute_names
    assert fields.names == whole.names
    for name in (*NAMES, *(["later", "attributes.later"] if "later" in whole.names else [])):
        column, expected = fields[name], whole[name]
        assert kind_of(column) is kind_of(expected)
        np.testing.assert_array_equal(column.stated, expected.stated)
        assert ranking(column.order) == ranking(expected.order)
        if isinstance(expected, KeywordColumn):
            assert folded(column.values) == folded(expected.values)
            for value in expected.values:
                np.testing.assert_array_equal(column.having([value]), expected.having([value]))
        else:
            np.testing.assert_array_equal(column.values, expected.values)
            assert column.values.dtype == expected.values.dtype
        assert fields[name] is column  # made once
    assert set(fields.keywords(["brand", "size", "colour", "nothing"])) == {"brand", "colour"}
    fields.prepare()


@given(parts=st.lists(st.lists(PRODUCT, max_size=5), max_size=3))
def test_ids_of_layers_are_in_the_order_of_all(parts):
    products = made([[SHOWN, {}], *parts])
    every = [product.id for part in products for product in part]
    column = joined_columns(layers_of(products))["id"]
    assert ranking(column.order) == [sorted(every).index(one) for one in every]
    assert column.stated.tolist() == [True] * len(every)
    asked = [*every[::2], "nobody"]
    assert column.having(asked).tolist() == [one in asked for one in every]


def test_fields_of_no_layer():
    fields = joined_columns(layers_of(made([[SHOWN], [{"attributes": {"later": "x"}}]])))
    assert fields["later"].having(["X"]).tolist() == [False, True]
    for name in ("nothing", "attributes.nothing", "attributes.brand", "title", "later.", "attributes."):
        with pytest.raises(UnknownFieldError):
            fields[name]


def test_a_column_changed_where_it_stands_is_joined_as_changed():
    first, second = layers_of(made([[SHOWN, {"price": 1.0}], [{"price": 2.0}]]))
    changed = first.with_values([(0, {"price": 7.0, "size": None, "organic": False})], first.part.fields)
    # A segment none of whose products states an attribute gets a column for it.
    later = second.with_values([(0, {"size": 40, "attributes.price": 8, "organic": None})], first.part.fields)
    before, after = joined_columns([first, second]), joined_columns([changed, later])
    np.testing.assert_array_equal(after["price"].values, [7.0, 1.0, 2.0])
    np.testing.assert_array_equal(after["size"].values, [np.nan, np.nan, 40.0])
    np.testing.assert_array_equal(after["attributes.price"].values, [3.0, np.nan, 8.0])
    assert after["organic"].values.tolist() == [0, -1, -1]
    np.testing.assert_array_equal(before["price"].values, [np.nan, 1.0, 2.0])
    np.testing.assert_array_equal(before["size"].values, [1.0, np.nan, np.nan])
    assert before["organic"].values.tolist() == [1, -1, -1]


# --- kinds ---

VALUES = st.sampled_from([True, False, 0.0, 1.0, 36.5, "36.5", "red", "", ("red", "new"), ()])


@given(stated=st.lists(st.dictionaries(st.sampled_from([*KINDS, "new"]), VALUES), min_size=1, max_size=6))
def test_kinds_are_those_of_other_products(stated):
    """A value that does not suit is not stated; an attribute the others lack has the kind of its own values."""
    like = Part(made([[SHOWN]])[0]).fields
    fields = Part(made([[{"attributes": attributes} for attributes in stated]])[0], like).fields
    for name in {name for attributes in stated for name in attributes} & set(KINDS):
        column, values = fields[name], [attributes.get(name) for attributes in stated]
        assert kind_of(column) is KINDS[name]
        suits = {
            "size": lambda one: isinstance(one, float) and not isinstance(one, bool),
            "organic": lambda one: isinstance(one, bool),
            "colour": lambda one: one is not None and one != (),
        }[name]
        assert column.stated.tolist() == [suits(one) for one in values]
        if name == "size":
            assert column.values[column.stated].tolist() == [one for one in values if suits(one)]
        if name == "organic":
            for truth in (True, False):
                assert column.having(value=truth).tolist() == [one is truth for one in values]
        if name == "colour":
            words = [one if isinstance(one, tuple) else () if one is None else (as_word(one),) for one in values]
            for word in folded(word for of_row in words for word in of_row):
                assert column.having([word]).tolist() == [word in folded(of_row) for of_row in words]
    new = [attributes["new"] for attributes in stated if "new" in attributes]
    if new:
        types = {type(value) for value in new}
        expected = BooleanColumn if types == {bool} else NumberColumn if types == {float} else KeywordColumn
        assert kind_of(fields["new"]) is expected


def as_word(value):
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value).removesuffix(".0")


@pytest.mark.parametrize("name", ["size", "attributes.size"])
def test_kinds_are_found_by_either_name(name):
    like = Part(made([[SHOWN]])[0]).fields
    fields = Part(made([[{"attributes": {"size": "XL", "price": "cheap"}, "price": 3.0}]])[0], like).fields
    assert kind_of(fields[name]) is NumberColumn
    assert not fields[name].stated.any()
    assert kind_of(fields["attributes.price"]) is NumberColumn
    assert (fields["attributes.price"].stated.any(), fields["price"].stated.all()) == (False, True)


@pytest.mark.parametrize("kind", [KeywordColumn, NumberColumn, BooleanColumn])
def test_empty_columns_state_nothing(kind):
    for n in (0, 3):
        column = kind.empty(n)
        made_of_none = column_of(kind, [None] * n)
        assert column.stated.tolist() == made_of_none.stated.tolist() == [False] * n
        assert np.isnan(column.order).tolist() == [True] * n
        assert kind_of(column) is kind
