"""Changes of a small API, each with what it breaks for callers, said by hand."""

import copy
import json
from pathlib import Path

import pytest

FROZEN = Path(__file__).parents[2] / "docs" / "openapi.json"


def answer(schema):
    return {"200": {"content": {"application/json": {"schema": schema}}}, "422": {}}


API = {
    "paths": {
        "/search": {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Asked"}}},
                },
                "responses": answer({"$ref": "#/components/schemas/Answer"}),
            }
        },
        "/suggest": {
            "get": {
                "parameters": [{"name": "q", "in": "query", "schema": {"type": "string", "maxLength": 200}}],
                "responses": answer({"type": "array", "items": {"type": "string"}}),
            }
        },
    },
    "components": {
        "schemas": {
            "Asked": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "q": {"anyOf": [{"type": "string", "maxLength": 2000}, {"type": "null"}]},
                    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
                    "mode": {"type": "string", "enum": ["hybrid", "vector"]},
                    "sort": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
                },
            },
            "Answer": {
                "type": "object",
                "required": ["hits", "found", "category"],
                "properties": {
                    "hits": {"type": "array", "items": {"$ref": "#/components/schemas/Hit"}},
                    "found": {"type": "integer"},
                    "category": {"type": "string", "enum": ["a", "b"]},
                },
            },
            "Hit": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
        }
    },
}
ASKED = ("components", "schemas", "Asked")
ANSWER = ("components", "schemas", "Answer")
SUGGEST = ("paths", "/suggest", "get")
GONE = object()

BREAKING = [
    (("paths", "/suggest"), GONE, "The path /suggest is gone."),
    (SUGGEST, GONE, "GET /suggest is gone."),
    (
        (*SUGGEST, "parameters"),
        [],
        "The query parameter q of GET /suggest is gone, and callers who send it are refused.",
    ),
    ((*SUGGEST, "parameters", 0, "required"), True, "The query parameter q of GET /suggest is required now."),
    (
        (*SUGGEST, "parameters", 1),
        {"name": "limit", "in": "query", "required": True, "schema": {}},
        "GET /suggest has a new required query parameter: limit.",
    ),
    (
        (*SUGGEST, "parameters", 0, "schema", "maxLength"),
        50,
        "maxLength of the query parameter q of GET /suggest is 50 now; it was 200.",
    ),
    ((*SUGGEST, "requestBody"), {"required": True, "content": {}}, "GET /suggest needs a body now."),
    (
        (*SUGGEST, "responses", "200", "content", "application/json", "schema", "items", "type"),
        "object",
        "Each of the answer of GET /suggest may be object now, which callers do not expect.",
    ),
    (
        (*ASKED, "properties", "mode"),
        GONE,
        "The body of POST /search has no field mode any more, and callers who send it are refused.",
    ),
    ((*ASKED, "required"), ["q"], "The body of POST /search needs the field q now."),
    (
        (*ASKED, "properties", "mode", "enum"),
        ["vector"],
        "Mode in the body of POST /search may be 'hybrid' no more.",
    ),
    (
        (*ASKED, "properties", "q"),
        {"type": "string", "maxLength": 2000},
        "Q in the body of POST /search may be null no more.",
    ),
    (
        (*ASKED, "properties", "limit", "minimum"),
        5,
        "minimum of limit in the body of POST /search is 5 now; it was 1.",
    ),
    (
        (*ASKED, "properties", "sort", "minItems"),
        1,
        "minItems of sort in the body of POST /search is 1 now; it was free.",
    ),
    (
        (*ASKED, "properties", "sort", "items", "pattern"),
        "^x",
        "The pattern of each of sort in the body of POST /search is another: ^x.",
    ),
    (
        ("paths", "/search", "post", "requestBody", "content"),
        {"text/plain": {"schema": {}}},
        "POST /search takes application/json no more.",
    ),
    ((*ANSWER, "properties", "found"), GONE, "The answer of POST /search has no field found any more."),
    ((*ANSWER, "required"), ["hits", "category"], "found in the answer of POST /search is not always there any more."),
    (
        (*ANSWER, "properties", "found"),
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "Found in the answer of POST /search may be null now, which callers do not expect.",
    ),
    (
        ("components", "schemas", "Hit", "properties", "id", "type"),
        "integer",
        "Id in each of hits in the answer of POST /search may be integer now, which callers do not expect.",
    ),
]

COMPATIBLE = [
    (("paths", "/new"), {"get": {"responses": answer({"type": "string"})}}),
    ((*SUGGEST, "parameters", 1), {"name": "limit", "in": "query", "schema": {"type": "integer"}}),
    ((*SUGGEST, "parameters", 0, "schema", "maxLength"), 500),
    ((*SUGGEST, "responses", "503"), {}),
    ((*SUGGEST, "description"), "Complete."),
    ((*ASKED, "properties", "facets"), {"type": "array"}),
    ((*ASKED, "properties", "limit", "maximum"), GONE),
    ((*ASKED, "properties", "limit", "type"), "number"),
    ((*ASKED, "properties", "mode", "enum"), ["hybrid", "vector", "lexical"]),
    ((*ASKED, "properties", "sort"), {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}),
    ((*ANSWER, "properties", "instances"), {"type": "array"}),
    ((*ANSWER, "properties", "category", "enum"), ["a", "b", "c"]),
    (("components", "schemas", "Hit", "required"), ["id", "score"]),
]


@pytest.fixture(scope="module")
def breaking(support):
    return support("openapi_diff").breaking


def changed(where, value):
    """Return the API with one thing put in, replaced or gone."""
    new = copy.deepcopy(API)
    *way, last = where
    place = new
    for step in way:
        place = place[step]
    if value is GONE:
        del place[last]
    elif isinstance(place, list):
        place.append(value)
    else:
        place[last] = value
    return new


@pytest.mark.parametrize(("where", "value", "sentence"), BREAKING, ids=[sentence for *_, sentence in BREAKING])
def test_what_breaks_callers_is_said_in_a_sentence(breaking, where, value, sentence):
    assert breaking(API, changed(where, value)) == [sentence]


@pytest.mark.parametrize(("where", "value"), COMPATIBLE, ids=["/".join(map(str, where)) for where, _ in COMPATIBLE])
def test_what_breaks_nobody_is_not_mentioned(breaking, where, value):
    assert breaking(API, changed(where, value)) == []


def test_the_real_document_is_read(breaking):
    document = json.loads(FROZEN.read_text(encoding="utf-8"))
    assert breaking(document, document) == []
    fewer = copy.deepcopy(document)
    del fewer["components"]["schemas"]["SearchRequest"]["properties"]["q"]
    del fewer["components"]["schemas"]["Hit"]["properties"]["score"]
    sentences = breaking(document, fewer)
    assert "The body of POST /v1/search has no field q any more, and callers who send it are refused." in sentences
    assert "Each of hits in the answer of POST /v1/search has no field score any more." in sentences
