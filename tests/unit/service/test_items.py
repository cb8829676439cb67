"""Items of a batch: what each asks for, and every fault with its path; one that is at fault is a result already."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.updates import Kind
from models.product import Product
from service.errors import ProblemType
from service.items import Item, ItemResult, read_items, refused


def read(*stated):
    return read_items(stated, "products")


def read_one(stated):
    [item] = read(stated)
    return item


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


# --- what is asked for ---


def test_a_whole_product_is_a_put():
    stated = {
        "id": "a/1 ü",
        "title": "  Red\tmug\x00 ",
        "description": "Holds tea.",
        "brand": "Ruby",
        "category": "mug",
        "season": "winter",
        "composition": "clay",
        "price": 12,
        "currency": "EUR",
        "in_stock": False,
        "url": "https://shop.example/a",
        "group": "mugs",
        "images": ["data:image/png;base64,AAAA", "https://shop.example/a.jpg", "images/a.jpg"],
        "attributes": {"litres": 1, "half": 0.5, "wide": True, "colour": "red", "tags": ["x", "y"], "none": []},
    }
    assert read_one(stated) == Item(
        "products[0]",
        "a/1 ü",
        Kind.PUT,
        product=Product(
            **{**stated, "title": "Red mug", "attributes": {**stated["attributes"], "tags": ("x", "y"), "none": ()}}
        ),
    )
    assert type(read_one(stated).product.price) is float


def test_what_a_whole_product_leaves_out_it_does_not_have():
    item = read_one({"id": "a", "title": "Mug", "brand": None, "price": None})
    assert item.product == Product(id="a", title="Mug")
    assert (item.fields, item.if_version) == (None, None)


@pytest.mark.parametrize("partial", [False, None])
def test_partial_is_only_what_says_so(partial):
    stated = {"id": "a", "title": "Mug", **({} if partial is None else {"partial": partial, "delete": False})}
    assert read_one(stated).kind == Kind.PUT


def test_a_partial_item_is_a_patch_of_the_fields_it_states_as_json():
    stated = {
        "id": "a", "partial": True, "price": 3, "in_stock": True, "title": "  Cup ", "images": ["images/a.jpg"],
        "attributes": {"litres": 2, "tags": ["x"]},
    }  # fmt: skip
    item = read_one(stated)
    assert (item.product_id, item.kind, item.product) == ("a", Kind.PATCH, None)
    assert item.fields == {
        "price": 3.0,
        "in_stock": True,
        "title": "Cup",
        "images": ["images/a.jpg"],
        "attributes": {"litres": 2.0, "tags": ["x"]},
    }


def test_null_in_a_partial_item_takes_a_value_away():
    nulls = dict.fromkeys(
        ["brand", "category", "season", "composition", "price", "currency", "in_stock", "url", "group"]
    )
    empty = {"description": None, "images": None}
    item = read_one({"id": "a", "partial": True, **nulls, **empty, "attributes": {"colour": None, "litres": 2}})
    assert item.fields == {
        **nulls,
        "description": "",
        "images": [],
        "attributes": {"colour": None, "litres": 2.0},
    }


def test_a_deletion_states_its_id_and_perhaps_a_version():
    assert read({"id": "a", "delete": True}, {"id": "b", "delete": True, "partial": False, "if_version": 0}) == [
        Item("products[0]", "a", Kind.DELETE),
        Item("products[1]", "b", Kind.DELETE, if_version=0),
    ]


@pytest.mark.parametrize("version", [0, 7, 2**53 - 1])
@pytest.mark.parametrize("rest", [{"title": "Mug"}, {"partial": True, "price": 1}, {"delete": True}])
def test_any_item_may_be_for_one_version(version, rest):
    assert read_one({"id": "a", **rest, "if_version": version}).if_version == version
    assert read_one({"id": "a", **rest, "if_version": None}).if_version is None


@pytest.mark.parametrize("product_id", ["a", "é/ %2F?#", "a" * 256, "日本", "\U0001f6cd"])
def test_an_id_is_any_text_that_can_be_written(product_id):
    for rest in ({"title": "Mug"}, {"partial": True, "price": 1}, {"delete": True}):
        assert read_one({"id": product_id, **rest}).product_id == product_id


# --- what is wrong ---

MUG = {"id": "a", "title": "Mug"}
PARTIAL = {"id": "a", "partial": True, "price": 1}
VALUE = "must be text, a finite number, true or false, or a list of texts"

FAULTS = {
    "nothing": ({}, {".id": "Field required", ".title": "Field required"}),
    "no title": ({"id": "a"}, {".title": "Field required"}),
    "no id": ({"title": "Mug"}, {".id": "Field required"}),
    "an empty id": ({**MUG, "id": ""}, {".id": "at least 1"}),
    "an id of white space": ({**MUG, "id": " \t "}, {".id": ""}),
    "an id that is too long": ({**MUG, "id": "a" * 257}, {".id": "at most 256"}),
    "a number for an id": ({**MUG, "id": 7}, {".id": "valid string"}),
    "null for an id": ({**MUG, "id": None}, {".id": "valid string"}),
    "a control character in an id": ({**MUG, "id": "a\x00b"}, {".id": "match"}),
    "a line break in an id": ({**MUG, "id": "a\nb"}, {".id": "match"}),
    "half a surrogate pair in an id": ({**MUG, "id": "a\ud800"}, {"": "JSON"}),
    "half a surrogate pair in a field": ({**MUG, "title": "\ude00"}, {"": "JSON"}),
    "half a surrogate pair for a field": ({**MUG, "\ud800": 1}, {"": "JSON"}),
    "half a surrogate pair for an attribute": ({**MUG, "attributes": {"\ud800": 1}}, {"": "JSON"}),
    "a title of white space": ({**MUG, "title": " \n\u2003"}, {".title": "at least 1"}),
    "a title of control characters": ({**MUG, "title": "\x00\x1f"}, {".title": "at least 1"}),
    "a title that is too long": ({**MUG, "title": "a" * 1_001}, {".title": "at most 1000"}),
    "null for a title": ({**MUG, "title": None}, {".title": "valid string"}),
    "a description that is too long": ({**MUG, "description": "a" * 50_001}, {".description": "at most 50000"}),
    "null for a description": ({**MUG, "description": None}, {".description": "valid string"}),
    "a list for a brand": ({**MUG, "brand": ["Ruby"]}, {".brand": "valid string"}),
    "text for a price": ({**MUG, "price": "79.0"}, {".price": "valid number"}),
    "truth for a price": ({**MUG, "price": True}, {".price": "valid number"}),
    "a price below zero": ({**MUG, "price": -0.01}, {".price": "greater than or equal to 0"}),
    "a price that is no number": ({**MUG, "price": float("nan")}, {".price": ""}),
    "a price without end": ({**MUG, "price": float("inf")}, {".price": "finite"}),
    "a price of 10**400": ({**MUG, "price": 10**400}, {".price": "finite"}),
    "a currency in words": ({**MUG, "currency": "euro"}, {".currency": "match"}),
    "a number for stock": ({**MUG, "in_stock": 1}, {".in_stock": "valid boolean"}),
    "text for stock": ({**MUG, "in_stock": "true"}, {".in_stock": "valid boolean"}),
    "pictures that are no list": ({**MUG, "images": "a.jpg"}, {".images": "valid array"}),
    "null for pictures": ({**MUG, "images": None}, {".images": "valid array"}),
    "a picture that is no text": ({**MUG, "images": ["a.jpg", {"data": ""}]}, {".images[1]": "valid string"}),
    "attributes that are no object": ({**MUG, "attributes": ["red"]}, {".attributes": "object"}),
    "null for attributes": ({**MUG, "attributes": None}, {".attributes": "object"}),
    "an object for an attribute": ({**MUG, "attributes": {"x": {}, "y": 1}}, {".attributes.x": VALUE}),
    "null for an attribute": ({**MUG, "attributes": {"x": None}}, {".attributes.x": VALUE}),
    "a list of numbers for an attribute": ({**MUG, "attributes": {"x": ["a", 1]}}, {".attributes.x": VALUE}),
    "an attribute that is no number": ({**MUG, "attributes": {"x": float("nan")}}, {".attributes.x": VALUE}),
    "an attribute without end": ({**MUG, "attributes": {"x": float("-inf")}}, {".attributes.x": VALUE}),
    "an attribute of 10**400": ({**MUG, "attributes": {"x": 10**400}}, {".attributes.x": VALUE}),
    "an attribute with a strange name": ({**MUG, "attributes": {"a.b": {}}}, {'.attributes["a.b"]': VALUE}),
    "an attribute that nests deep": ({**MUG, "attributes": {"x": nested(150)}}, {".attributes.x": VALUE}),
    "an attribute that nests deeper": ({**MUG, "attributes": {"x": nested(240)}}, {"": "JSON"}),
    "two bad attributes": (
        {**MUG, "attributes": {"x": None, "y": {}}}, {".attributes.x": VALUE, ".attributes.y": VALUE},
    ),
    "an unknown field": ({**MUG, "colour": "red"}, {".colour": "unknown field"}),
    "an unknown field with a strange name": ({**MUG, "a.b": 1}, {'["a.b"]': "unknown field"}),
    "an unknown field without a name": ({**MUG, "": 1}, {'[""]': "unknown field"}),
    "a version below zero": ({**MUG, "if_version": -1}, {".if_version": "greater than or equal to 0"}),
    "a version of 2**53": ({**MUG, "if_version": 2**53}, {".if_version": "less than"}),
    "text for a version": ({**MUG, "if_version": "1"}, {".if_version": "valid integer"}),
    "a fraction for a version": ({**MUG, "if_version": 1.0}, {".if_version": "valid integer"}),
    "truth for a version": ({**MUG, "if_version": True}, {".if_version": "valid integer"}),
    "text for partial": ({**PARTIAL, "partial": "yes"}, {".partial": "valid boolean"}),
    "null for partial": ({**PARTIAL, "partial": None}, {".partial": "valid boolean"}),
    "a number for delete": ({"id": "a", "delete": 1}, {".delete": "valid boolean"}),
    "several": (
        {**MUG, "price": -1, "colour": 1, "images": 0}, {".price": "", ".images": "", ".colour": "unknown field"},
    ),
    "partial without fields": ({"id": "a", "partial": True}, {"": "changes nothing"}),
    "partial with a version alone": ({"id": "a", "partial": True, "if_version": 1}, {"": "changes nothing"}),
    "partial without an id": ({"partial": True, "price": 1}, {".id": "Field required"}),
    "partial of null": ({**PARTIAL, "id": None}, {".id": "valid string"}),
    "partial: null for a title": ({**PARTIAL, "title": None}, {".title": "valid string"}),
    "partial: an empty title": ({**PARTIAL, "title": ""}, {".title": "at least 1"}),
    "partial: text for a price": ({**PARTIAL, "price": "1"}, {".price": "valid number"}),
    "partial: an unknown field": ({**PARTIAL, "colour": "red"}, {".colour": "unknown field"}),
    "partial: null for an unknown field": ({**PARTIAL, "colour": None}, {".colour": "unknown field"}),
    "partial: null for attributes": ({**PARTIAL, "attributes": None}, {".attributes": "object"}),
    "partial: attributes that are no object": ({**PARTIAL, "attributes": "red"}, {".attributes": "object"}),
    "partial: an object for an attribute": (
        {**PARTIAL, "attributes": {"x": {}, "y": None}}, {".attributes.x": VALUE},
    ),
    "partial: an attribute that is no number": (
        {**PARTIAL, "attributes": {"x": float("nan")}}, {".attributes.x": VALUE},
    ),
    "partial: null for half a surrogate pair": ({**PARTIAL, "attributes": {"\ud800": None}}, {"": "JSON"}),
    "partial: a picture that is no text": ({**PARTIAL, "images": [None]}, {".images[0]": "valid string"}),
    "delete with a field": ({"id": "a", "delete": True, "title": "Mug"}, {".delete": "id of its product"}),
    "delete with an unknown field": ({"id": "a", "delete": True, "x": 1}, {".delete": "id of its product"}),
    "delete and partial": ({"id": "a", "delete": True, "partial": True}, {".delete": "id of its product"}),
    "delete without an id": ({"delete": True}, {".id": "valid string"}),
    "delete of a control character": ({"id": "\x7f", "delete": True}, {".id": "match"}),
    "delete of a version below zero": (
        {"id": "a", "delete": True, "if_version": -1}, {".if_version": "greater than or equal to 0"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_its_path(name):
    stated, faults = FAULTS[name]
    result = read({"id": "z", "title": "Good"}, stated)[1]
    assert isinstance(result, ItemResult), result
    assert result.status == 422
    assert {error.path for error in result.errors} == {f"products[1]{path}" for path in faults}
    for error in result.errors:
        assert faults[error.path.removeprefix("products[1]")] in error.message
    assert (result.version, result.seq) == (None, None)
    orjson.dumps([result.id, *(error.path for error in result.errors)])  # as an answer can carry it


def test_a_result_says_whose_it_is_as_far_as_that_can_be_read():
    shown = [result.id for result in read({"id": "a"}, {"id": 7}, {}, {"id": "b\ud83d"}, {"id": "c" * 100_000})]
    assert shown == ["a", None, None, "b?", "c" * 256]


def test_the_path_begins_with_the_field_and_the_place():
    first, second, third = read_items([MUG, {"id": "b", "price": -1}, {"id": "c", "title": "Cup"}], "body.products")
    assert first.path == "body.products[0]"
    assert {error.path for error in second.errors} == {"body.products[1].title", "body.products[1].price"}
    assert third.path == "body.products[2]"


def test_the_later_of_two_items_for_one_product_is_refused_and_names_the_earlier():
    stated = [MUG, {"id": "b", "title": "Cup"}, PARTIAL, {"id": " a ", "delete": True}, {"id": "A", "title": "Mug"}]
    first, second, *doubled, other = read(*stated)
    assert [one.product_id for one in (first, second, other)] == ["a", "b", "A"]
    for number, result in zip((2, 3), doubled, strict=True):
        assert (result.id, result.status) == ("a", 422)
        [error] = result.errors
        assert error.path == f"products[{number}].id"
        assert "products[0]" in error.message


def test_a_faulty_item_keeps_no_later_one_of_its_product_back():
    faulty, good = read({**MUG, "price": -1}, MUG)
    assert faulty.status == 422
    assert good.product == Product(id="a", title="Mug")


def test_nothing_is_read_of_nothing():
    assert read() == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [(ProblemType.NOT_FOUND, 404), (ProblemType.CONFLICT, 409), (ProblemType.INVALID_REQUEST, 422)],
)
def test_what_is_refused_has_the_status_of_its_problem(kind, status):
    result = refused("products[3].id", "a", kind, "no", 5)
    assert (result.id, result.status, result.version, result.seq) == ("a", status, 5, None)
    assert [(error.path, error.message) for error in result.errors] == [("products[3].id", "no")]


TEXT = st.text(st.characters(), max_size=6)  # half surrogate pairs too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from([*Product.model_fields, "partial", "delete", "if_version"]) | TEXT
IDS = st.sampled_from(["a", "b", "c"])
VALUES = st.floats() | st.integers() | st.booleans() | TEXT | st.lists(TEXT, max_size=2) | JSON
FIELDS = {
    "price": st.none() | st.floats(),
    "attributes": st.dictionaries(TEXT, VALUES, max_size=2),
    "images": st.none() | st.lists(TEXT, max_size=2),
    "if_version": st.integers(-1, 2**60),
}
PUTS = st.fixed_dictionaries({"id": IDS, "title": st.just("Mug") | TEXT}, optional=FIELDS)
PATCHES = st.fixed_dictionaries(
    {"id": IDS, "partial": st.just(True)}, optional={**FIELDS, "title": TEXT, "x": st.none()}
)
DELETES = st.fixed_dictionaries({"id": IDS | TEXT, "delete": st.booleans()}, optional={"partial": st.booleans()})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.dictionaries(NAMES, JSON, max_size=6), PUTS, PATCHES, DELETES), max_size=4))
def test_any_objects_have_one_outcome_each_that_can_be_stored_or_told(stated):
    outcomes = read_items(stated, "products")
    assert len(outcomes) == len(stated)
    seen = set()
    for number, (one, outcome) in enumerate(zip(stated, outcomes, strict=True)):
        if isinstance(outcome, ItemResult):
            assert outcome.status == 422
            assert outcome.errors
            assert all(error.path.startswith(f"products[{number}]") for error in outcome.errors)
            orjson.dumps([outcome.id, *((error.path, error.message) for error in outcome.errors)])
            continue
        assert outcome.path == f"products[{number}]"
        assert outcome.product_id == one["id"].strip()
        assert outcome.product_id not in seen
        seen.add(outcome.product_id)
        assert outcome.if_version == one.get("if_version")
        assert (outcome.product is not None, outcome.fields is not None) == (
            outcome.kind == Kind.PUT,
            outcome.kind == Kind.PATCH,
        )
        assert outcome.kind != Kind.DELETE or one["delete"] is True
        if outcome.product is not None:
            stored = json.loads(orjson.dumps(outcome.product.model_dump(mode="json")))
            assert Product.model_validate(stored) == outcome.product
        if outcome.fields is not None:
            assert json.loads(orjson.dumps(outcome.fields)) == outcome.fields
            assert set(outcome.fields) <= set(one)
