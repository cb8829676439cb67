"""Suggestions over HTTP."""

import pytest
from pydantic import TypeAdapter

from service.api.views import SuggestResponse

RESPONSE = TypeAdapter(SuggestResponse)


def suggest(client, **asked):
    answer = client.get("/v1/suggest", params=asked)
    assert answer.status_code == 200, answer.text
    RESPONSE.validate_python(answer.json(), strict=True)
    return answer.json()


def test_a_suggestion_finds_as_many_as_it_says(client):
    for item in suggest(client, q="golden", limit=3)["suggestions"]:
        asked = {"filter": {item["group"]: item["value"]}} if item["group"] else {"q": item["text"], "mode": "lexical"}
        assert client.post("/v1/search", json=asked).json()["found"] == item["count"]


def test_spelling_is_put_right(client):
    assert suggest(client, q="purpel watch")["corrected"] == "purple watch"


def test_nothing_typed(client, bundle):
    found = suggest(client)
    assert len(found["suggestions"]) == 8
    assert found["index"]["bundle"] == bundle.manifest.id


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 51}, "limit"),
        ({"q": "x" * 201}, "q"),
        ({"qq": "x"}, "qq"),
        ({"q": "a\x00"}, "q"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(client, asked, path):
    answer = client.get("/v1/suggest", params=asked)
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["errors"]] == [path]
