"""Filters, judged row by row by DuckDB, and what is refused."""

import json
import os

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.fields import Fields
from indexer.products import ProductTable, ProductWriter
from models.product import Product
from service.errors import InvalidRequestError
from service.filters import DEEPEST, MOST_CONDITIONS, Filters

N = 400
BATCHES = int(os.environ.get("CATALENS_TEST_FILTERS", "100"))  # of ten expressions; 1,000 take half a minute
BRANDS = ["Nike", "NIKE", "Puma", "L'Été", "l'été", "and", 'Tom "T" O\'Neil', "50%"]
TAGS = ["red", "Red", "navy blue", "new", "not"]
SIZES = [36.0, 36.5, 40.0, -1.0, 0.0]


def products(n, seed=0):
    rng = np.random.default_rng(seed)

    def maybe(values, share=0.7):
        return values[rng.integers(len(values))] if rng.random() < share else None

    for i in range(n):
        attributes = {
            "size": maybe(SIZES),
            "organic": maybe([True, False]),
            "tags": tuple(rng.permutation(TAGS)[: rng.integers(4)].tolist()) or None,
            "brand": maybe(["attribute of the same name"], 0.1),
            "or": maybe(["x", "y"]),
        }
        yield Product(
            id=f"id {i}",
            title="t",
            brand=maybe(BRANDS),
            season=maybe(["Winter", "Summer"]),
            price=maybe([0.0, 5.0, 9.99, 10.0, 50.0, 1e9]),
            in_stock=maybe([True, False]),
            attributes={name: value for name, value in attributes.items() if value is not None},
        )


@pytest.fixture(scope="module")
def catalogue():
    return list(products(N))


@pytest.fixture(scope="module")
def fields(catalogue, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "products.parquet"
    with ProductWriter(path) as writer:
        writer.write(catalogue)
    return Fields(ProductTable.open(path))


@pytest.fixture(scope="module")
def filters(fields):
    return Filters(fields)


@pytest.fixture(scope="module")
def database(catalogue):
    """The same products as a table of DuckDB: field names are column names."""
    rows = [
        {
            "row": row,
            **{name: getattr(product, name) for name in ("id", "brand", "season", "price", "in_stock")},
            **{name: product.attributes.get(name) for name in ("size", "organic", "or")},
            "tags": list(product.attributes.get("tags", ())) or None,
            "attributes.brand": product.attributes.get("brand"),
        }
        for row, product in enumerate(catalogue)
    ]
    connection = duckdb.connect()
    connection.register("products", pa.Table.from_pylist(rows))
    yield connection
    connection.close()


KEYWORDS = {
    "brand": [*BRANDS, "nike", "PUMA", "nobody"],
    "season": ["winter", "Summer", "Autumn"],
    "tags": [*TAGS, "RED", "none"],
    "id": ["id 7", "id 8", "id 399", "7"],
    "attributes.brand": ["attribute of the same name"],
    "attributes.or": ["x", "Y"],
}
NUMBERS = {"price": [0, 5, 9.99, 10, 1e9, 7.5], "size": [*SIZES, 37, -0.0]}
BOOLEANS = ("in_stock", "organic", "attributes.organic")


def condition_of(values, *, ordered=False):
    """Conditions on a field: a value, some values, or operators, perhaps under `not`."""
    listed = st.lists(st.sampled_from(values), max_size=2)
    one = st.sampled_from(values)
    operators = {"eq": one, "in": listed, "exists": st.booleans()}
    if ordered:
        operators |= dict.fromkeys(("gt", "gte", "lt", "lte"), one)
    simple = st.sampled_from(sorted(operators)).flatmap(lambda name: st.tuples(st.just(name), operators[name]))
    several = st.lists(simple, min_size=1, max_size=2).map(dict)
    return st.one_of(one, listed, several, several.map(lambda inner: {"not": inner}))


CONDITIONS = {
    **{name: condition_of(values) for name, values in KEYWORDS.items()},
    **{name: condition_of(values, ordered=True) for name, values in NUMBERS.items()},
    **{name: condition_of([True, False]) for name in BOOLEANS},
}


def members(conditions):
    """Objects of up to two conditions."""
    pair = st.sampled_from(sorted(conditions)).flatmap(lambda name: st.tuples(st.just(name), conditions[name]))
    return st.lists(pair, max_size=2).map(dict)


def nested(inner):
    several = st.lists(inner, min_size=1, max_size=2)
    return members({**CONDITIONS, "not": inner, "and": several, "or": several})


def expressions():
    return nested(nested(members(CONDITIONS)))


def sql(stated):
    """Return the condition of an expression, written apart from what is tested."""
    parts = ["true"]
    for name, value in stated.items():
        if name == "not":
            parts.append(f"NOT {sql(value)}")
        elif name in {"and", "or"}:
            parts.append("(" + f" {name.upper()} ".join(sql(part) for part in value) + ")")
        else:
            parts.append(condition(name, value))
    return "(" + " AND ".join(parts) + ")"


def condition(name, value):
    if not isinstance(value, dict):
        return one_of(name, value if isinstance(value, list) else [value])
    parts = []
    for operator, operand in value.items():
        if operator == "not":
            parts.append(f"NOT {condition(name, operand)}")
        elif operator == "exists":
            parts.append(f"{column(name)} IS {'NOT' if operand else ''} NULL")
        elif operator in {"eq", "in"}:
            parts.append(one_of(name, operand if operator == "in" else [operand]))
        else:
            sign = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[operator]
            parts.append(f"COALESCE({column(name)} {sign} {literal(operand)}, false)")
    return "(" + " AND ".join(parts) + ")"


def column(name):
    return '"attributes.brand"' if name == "attributes.brand" else f'"{name.removeprefix("attributes.")}"'


def one_of(name, values):
    if not values:
        return "false"
    listed = ", ".join(literal(value) for value in values)
    if name == "tags":
        return f"COALESCE(len(list_filter(tags, lambda tag: lower(tag) IN ({listed}))) > 0, false)"
    found = f"lower({column(name)})" if name in KEYWORDS else column(name)
    return f"COALESCE({found} IN ({listed}), false)"


def literal(value):
    if isinstance(value, str):
        return "'" + value.lower().replace("'", "''") + "'"
    return str(value).lower()


@pytest.mark.slow
@settings(max_examples=BATCHES, deadline=None)
@given(batch=st.lists(expressions(), min_size=10, max_size=10))
def test_a_thousand_expressions_admit_what_duckdb_admits(filters, database, batch):
    listed = ", ".join(f"{sql(stated)} AS c{i}" for i, stated in enumerate(batch))
    expected = database.execute(f"SELECT {listed} FROM products ORDER BY row").fetchnumpy()
    for i, stated in enumerate(batch):
        np.testing.assert_array_equal(filters.mask(stated), expected[f"c{i}"], err_msg=json.dumps(stated))


def rows(filters, stated):
    return set(np.flatnonzero(filters.mask(stated)).tolist())


def test_the_example_of_the_documentation(filters, catalogue):
    stated = {
        "brand": ["Nike", "Puma"],
        "price": {"gte": 10, "lt": 50},
        "in_stock": True,
        "not": {"season": "Winter"},
    }
    expected = {
        row
        for row, p in enumerate(catalogue)
        if p.brand in {"Nike", "NIKE", "Puma"} and p.price == 10 and p.in_stock is True and p.season != "Winter"
    }
    assert expected
    assert rows(filters, stated) == expected


def test_an_empty_filter_admits_all_and_an_empty_list_none(filters):
    assert rows(filters, {}) == set(range(N))
    assert rows(filters, {"brand": []}) == set()


def test_ids_mean_themselves_alone(filters):
    assert rows(filters, {"id": ["id 7", "ID 8", "8"]}) == {7}
    assert rows(filters, {"id": {"exists": True, "not": ["id 7"]}}) == set(range(N)) - {7}


def test_a_mask_is_kept_and_cannot_be_written_to(filters):
    first = filters.mask({"price": {"lt": 10}, "brand": "Nike"})
    assert filters.mask({"brand": "Nike", "price": {"lt": 10}}) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = True


def deep(levels):
    stated = {"brand": "Nike"}
    for _ in range(levels):
        stated = {"not": stated}
    return stated


@pytest.mark.parametrize(
    ("stated", "path", "message"),
    [
        ({"bran": "Nike"}, "filter.bran", "did you mean 'brand'"),
        ({"attributes.none": "x"}, "filter.attributes.none", "no product has"),
        ({"title": "t"}, "filter.title", "no product has"),
        ({"brand": 3}, "filter.brand", "must be text"),
        ({"brand": None}, "filter.brand", "exists"),
        ({"brand": ["Nike", None]}, "filter.brand", "must be text"),
        ({"price": "10"}, "filter.price", "must be a number"),
        ({"price": True}, "filter.price", "must be a number"),
        ({"price": {"gte": None}}, "filter.price.gte", "must be a number"),
        ({"price": {"gte": 10**400}}, "filter.price.gte", "finite"),
        ({"price": {"gte": float("nan")}}, "filter.price.gte", "finite"),
        ({"price": {"in": 10}}, "filter.price.in", "must be a list"),
        ({"price": {}}, "filter.price", "must hold an operator"),
        ({"price": {"between": [1, 2]}}, "filter.price.between", "is no operator"),
        ({"brand": {"gte": "A"}}, "filter.brand.gte", "compares numbers"),
        ({"in_stock": 1}, "filter.in_stock", "true or false"),
        ({"in_stock": {"exists": "yes"}}, "filter.in_stock.exists", "true or false"),
        ({"not": [{"brand": "Nike"}]}, "filter.not", "must be an object"),
        ({"or": {}}, "filter.or", "must be a list"),
        ({"and": []}, "filter.and", "must be a list"),
        ({"or": [{"brand": "Nike"}, {"prize": 3}]}, "filter.or[1].prize", "did you mean 'price'"),
        ({"and": [{"in_stock": False}, 3]}, "filter.and[1]", "must be an object"),
        ({"brand": "nobody", "season": 3}, "filter.season", "must be text"),
        ({"brand": {"not": {"not": {"eq": 3}}}}, "filter.brand.not.not.eq", "must be text"),
        ({"or": [{"season": "Winter"}] * (MOST_CONDITIONS + 1)}, "filter", "more than"),
        (deep(DEEPEST + 1), "filter" + ".not" * (DEEPEST + 1), "deeper"),
        (deep(5000), "filter", "deeper"),
        ({"or": [{}] * (MOST_CONDITIONS + 1)}, "filter", "more than"),
        ({"id": ["x"] * 10_001}, "filter.id", "one too many"),
        ({"or": [{"id": ["x"] * 6_000}, {"price": [1] * 6_000}]}, "filter.or[1].price", "one too many"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(filters, stated, path, message):
    with pytest.raises(InvalidRequestError, match=message) as refused:
        filters.mask(stated)
    assert [error.path for error in refused.value.errors] == [path]


def test_kinds_come_from_the_catalogue(tmp_path):
    attributes = [
        {"n": 1.0, "flag": True, "mixed": 3.0, "list": ("a", "A")},
        {"n": 2.5, "flag": False, "mixed": "3"},
        {"mixed": True},
    ]
    with ProductWriter(tmp_path / "p.parquet") as writer:
        writer.write(Product(id=str(i), title="t", attributes=stated) for i, stated in enumerate(attributes))
    fields = Fields(ProductTable.open(tmp_path / "p.parquet"))
    filters = Filters(fields)
    assert rows(filters, {"n": {"gt": 1}}) == {1}
    assert rows(filters, {"flag": False}) == {1}
    assert rows(filters, {"mixed": "3"}) == {0, 1}
    assert rows(filters, {"mixed": "true"}) == {2}
    assert fields["list"].counts(np.ones(3, np.bool_)).tolist() == [1]
    assert {"brand", "price", "n", "flag", "mixed", "list"} <= set(fields.names)
