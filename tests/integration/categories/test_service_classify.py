"""What category a query is of, over HTTP."""

import numpy as np
import pytest

from service.categorise import kind_vectors
from service.mixture import EncodedPart, mix
from service.query import Query, TextPart
from tests.support.categories import UNNAMED, classify, refusal

pytestmark = pytest.mark.usefixtures("quick_builds")


def test_words_that_name_a_category(client):
    category = classify(client, q="a red mug by Ruby")
    assert (category["name"], category["source"], category["alternatives"]) == ("mug", "linked", [])
    assert 0.5 <= category["probability"] <= 1
    assert classify(client, q="MUGS")["name"] == "mug"


def test_a_category_that_the_caller_states_as_an_entity(client):
    category = classify(client, q=UNNAMED, entities={"category": "Watch"})
    assert (category["name"], category["probability"], category["source"]) == ("watch", 1.0, "linked")


def is_judged(category, shop, source):
    """Check what holds of whatever the judges say."""
    others = [other["probability"] for other in category["alternatives"]]
    assert category["source"] == source
    assert 1 <= len(others) <= 4
    assert others == sorted(others, reverse=True)
    assert 0 <= min(others) <= max(others) <= category["probability"]
    assert 0 < category["probability"] <= category["probability"] + sum(others) <= 1 + 1e-5
    names = [category["name"], *(other["name"] for other in category["alternatives"])]
    assert len(set(names)) == len(names)
    assert set(names) <= set(shop.bundle.categories.names)
    return category["name"]


@pytest.mark.parametrize(
    "asked",
    [
        {"q": UNNAMED},
        {"q": "something blue"},
        {"q": "7"},
        {"q": "Diesel Lane"},
        {"q": "zebra"},
        {"q": "mug", "entity_linking": "off"},
        {"q": "mug", "entities": {"category": None}},
    ],
)
def test_words_that_name_none_are_judged(client, shop, asked):
    is_judged(classify(client, **asked), shop, "words")


def test_words_are_judged_by_what_they_mean(client, shop):
    for name in ("mug", "watch", "sneaker", "top"):
        asked = {"q": f"a {name} for every day", "entity_linking": "off"}
        assert is_judged(classify(client, **asked), shop, "words") == name


def test_a_picture_is_judged(client, shop, picture):
    seen = {is_judged(classify(client, image=picture(number)), shop, "picture") for number in range(4, 48, 4)}
    assert len(seen) > 1


def test_words_and_a_picture_are_judged_together(client, shop, picture):
    is_judged(classify(client, q=UNNAMED, image=picture(9)), shop, "both")
    sure = classify(client, q="mug handle", image=picture(9), entity_linking="off")
    assert is_judged(sure, shop, "both") == "mug"


def test_a_name_counts_for_more_than_a_picture(client, picture):
    category = classify(client, q="watch", image=picture(9))
    assert (category["name"], category["source"]) == ("watch", "linked")


def test_words_are_no_surer_than_short_ones_were_found_to_be(client, shop):
    least, most = shop.bundle.categories.of_queries.y[[0, -1]]
    sure = [classify(client, q=q, entity_linking="off")["probability"] for q in (UNNAMED, "mug", "watch", "7")]
    assert least - 1e-6 <= min(sure) <= max(sure) <= most + 1e-6 < 1


def test_the_judges_do_not_see_a_category_that_the_query_is_read_with(shop):
    read = shop.encoder.text_terms(["red thing"], [{"brand": "Ruby", "category": "mug"}])[0]
    mixture = mix([EncodedPart(0, 1.0, read, {})])
    found = kind_vectors(Query((TextPart("red thing", 1.0, "q"),)), mixture)
    [own] = shop.encoder.encode_texts(["red thing"], [{"brand": "Ruby"}])
    np.testing.assert_allclose(found["text"], own, atol=1e-6)


def test_the_first_is_the_likeliest_however_short_the_words(client, shop, feeds):
    for number in range(40):
        colour = list(feeds.COLOURS)[number % 6]
        is_judged(classify(client, q=f"{colour} {number} thing"), shop, "words")


def test_what_is_no_picture_is_not_classified(client):
    answer = client.post("/v1/classify", json={"image": {"data": "nonsense"}})
    assert answer.status_code == 415
    assert [error["path"] for error in answer.json()["errors"]] == ["image.data"]


@pytest.mark.parametrize("asked", [{"q": UNNAMED}, {"q": "dress"}])
def test_a_catalogue_without_categories_tells_none(bare, asked):
    assert classify(bare, **asked) is None


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({}, "q"),
        ({"q": None}, "q"),
        ({"q": "  "}, "q"),
        ({"entities": {"category": "mug"}}, "q"),
        ({"image": {}}, "image"),
        ({"q": "mug", "limit": 3}, "limit"),
        ({"q": "mug", "query": [{"text": "mug"}]}, "query"),
        ({"q": "mug", "entity_linking": "strict", "entities": {"category": "zebra"}}, "entities.category"),
    ],
)
def test_what_cannot_be_classified_is_refused_with_its_path(client, asked, path):
    assert refusal(client.post("/v1/classify", json=asked)) == [path]


def test_the_documentation_has_it_with_its_problems(client):
    described = client.get("/openapi.json").json()
    asked = described["paths"]["/v1/classify"]["post"]
    assert set(asked["responses"]) == set(described["paths"]["/v1/search"]["post"]["responses"])
    assert {"200", "422", "500", "503", "504"} <= set(asked["responses"])
    assert "rerank" in described["components"]["schemas"]["SearchRequest"]["properties"]
