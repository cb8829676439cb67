"""Filters, facets, sorting, collapsing and browsing over HTTP."""

import json

import numpy as np
import pytest

from indexer.manifest import QueryKind
from indexer.ranking import score_rows


def ids(found):
    return [hit["id"] for hit in found["hits"]]


def refusal(answer):
    assert answer.status_code == 422, answer.text
    return [error["path"] for error in answer.json()["errors"]]


def test_hits_meet_the_filter_and_are_the_nearest_that_do(client, shop, bundle, search):
    stated = {"price": {"gte": 20, "lt": 50}, "in_stock": True, "not": {"colour": "red"}}
    asked = {"q": "green sneaker", "entity_linking": "off", "mode": "vector", "explain": True}
    found = search(client, **asked, filter=stated, limit=5)
    admitted = [
        r for r, p in enumerate(bundle.products)
        if 20 <= p.price < 50 and p.in_stock and p.attributes["colour"] != "red"
    ]  # fmt: skip
    q = shop.encoder.encode_texts(["green sneaker"], [{}])[0]
    scores, _ = score_rows(bundle, q, bundle.manifest.fusion[QueryKind.TEXT], np.array(admitted))
    best = [bundle.products.id_of(admitted[i]) for i in np.argsort(-scores, kind="stable")[:5]]
    assert ids(found) == best
    assert found["found"] == len(admitted)
    assert found["filter_strategy"] == "exact"
    assert found["timings_ms"]["filter"] >= 0
    for hit in found["hits"]:
        assert sum(term["score"] for term in hit["explain"]["terms"]) == pytest.approx(hit["score"], abs=1e-4)


def test_without_a_filter_there_is_no_strategy(client, search):
    assert search(client, q="sneaker")["filter_strategy"] == "none"
    assert search(client, q="sneaker")["facets"] == {}


def test_nothing_meets_the_filter(client, search):
    found = search(client, q="sneaker", filter={"price": {"gt": 1e6}}, facets=["brand", "price"])
    assert (found["hits"], found["found"]) == ([], 0)
    assert found["facets"]["brand"] == {"values": [], "distinct": 0, "statistics": None, "exact": True}


def test_browsing_by_price(client, shop, search):
    rows = [row for row in shop.rows if row["category"] == "dress"]
    found = search(client, filter={"category": "Dress"}, sort=["price:desc"], facets=["colour", "price"], limit=3)
    assert [hit["product"]["price"] for hit in found["hits"]] == sorted((r["price"] for r in rows), reverse=True)[:3]
    assert found["found"] == len(rows)
    assert {hit["score"] for hit in found["hits"]} == {0.0}
    colours = {value["value"]: value["count"] for value in found["facets"]["colour"]["values"]}
    assert sum(colours.values()) == len(rows)
    assert found["facets"]["price"]["statistics"]["max"] == max(row["price"] for row in rows)
    assert all(facet["exact"] for facet in found["facets"].values())
    assert found["linked_entities"] == []


def test_browsing_goes_in_the_order_of_the_catalogue_page_by_page(client, shop, search):
    pages = [search(client, facets=["brand"], limit=20, offset=offset) for offset in (0, 20, 40)]
    assert [hit_id for page in pages for hit_id in ids(page)] == [row["id"] for row in shop.rows]


def test_browsing_by_id(client, shop, search):
    found = search(client, sort=["id:desc"], limit=48)
    assert ids(found) == sorted((row["id"] for row in shop.rows), key=str.encode, reverse=True)


def test_sorting_a_search_sorts_what_was_found(client, search):
    found = search(client, q="red dress", sort=["season:asc", "price:asc"], limit=48)
    keys = [(hit["product"]["season"], hit["product"]["price"]) for hit in found["hits"]]
    assert keys == sorted(keys)


def test_collapsing_keeps_the_best_of_each_value(client, search):
    all_hits = search(client, q="red dress", limit=48)["hits"]
    first = {}
    for hit in all_hits:
        first.setdefault(hit["product"]["brand"], hit["id"])
    found = search(client, q="red dress", collapse="brand", limit=10)
    assert ids(found) == list(first.values())
    assert found["found"] == len(first)


def test_diversity_keeps_the_first_and_brings_unlike_ones_forward(client, search):
    plain = search(client, q="red dress", limit=10)
    diverse = search(client, q="red dress", limit=10, diversity=0.6)
    assert ids(diverse)[0] == ids(plain)[0]
    assert ids(diverse) != ids(plain)
    whole = search(client, q="red dress", limit=20, diversity=0.6)
    assert ids(whole)[:10] == ids(diverse)
    pages = [search(client, q="red dress", limit=5, offset=offset, diversity=0.6) for offset in (0, 5)]
    assert ids(pages[0]) + ids(pages[1]) == ids(diverse)


def test_facets_say_how_many_values_there_are(client, search):
    found = search(client, facets=[{"field": "colour", "limit": 2}])
    assert len(found["facets"]["colour"]["values"]) == 2
    assert found["facets"]["colour"]["distinct"] == 6


def test_similar_products_that_meet_a_filter(client):
    stated = json.dumps({"season": "winter"})
    answer = client.get("/v1/products/p3/similar", params={"filter": stated, "collapse": "brand"})
    hits = answer.json()["hits"]
    assert hits
    assert {hit["product"]["season"] for hit in hits} == {"winter"}
    assert len({hit["product"]["brand"] for hit in hits}) == len(hits)


def similar(client, product_id="p3", **asked):
    return client.get(f"/v1/products/{product_id}/similar", params=asked)


def test_what_goes_with_a_product(client, shop):
    own = shop.rows[3]
    hits = similar(client, shares=["season", "colour"], differs="category", limit=48).json()["hits"]
    expected = {
        row["id"] for row in shop.rows
        if (row["season"], row["colour"]) == (own["season"], own["colour"]) and row["category"] != own["category"]
    }  # fmt: skip
    assert expected
    assert {hit["id"] for hit in hits} == expected


def test_what_goes_with_a_product_meets_the_filter_too(client, shop):
    stated = {"and": [{"in_stock": True}], "price": {"lt": 40}}
    hits = similar(client, differs="brand", filter=json.dumps(stated), limit=48).json()["hits"]
    rows = {row["id"]: row for row in shop.rows}
    assert hits
    for hit in hits:
        row = rows[hit["id"]]
        assert row["in_stock"]
        assert row["price"] < 40
        assert row["brand"] != rows["p3"]["brand"]


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"shares": ["season", "colr"]}, "shares[1]"),
        ({"differs": "title"}, "differs[0]"),
        ({"shares": "season", "filter": '{"and": [{"colr": "red"}]}'}, "filter.and[0].colr"),
        ({"shares": "season", "filter": '{"and": 3}'}, "filter.and"),
    ],
)
def test_what_cannot_go_with_a_product_is_refused_with_its_path(client, asked, path):
    assert refusal(similar(client, **asked)) == [path]


def test_a_field_that_the_product_does_not_state_narrows_nothing(client):
    assert similar(client, shares="group", limit=5).json()["hits"] == similar(client, limit=5).json()["hits"]


def test_a_picture_with_a_filter(client, shop):
    form = {"filter": json.dumps({"colour": "blue"}), "facets": json.dumps(["colour"]), "sort": '["price:asc"]'}
    files = {"image": ("p.jpg", shop.picture("images/p3-0.jpg"), "image/jpeg")}
    answer = client.post("/v1/search/image", data=form, files=files)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {hit["product"]["attributes"]["colour"] for hit in found["hits"]} == {"blue"}
    assert found["facets"]["colour"]["values"] == [{"value": "blue", "count": found["found"]}]


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"filter": {"colr": "red"}}, "filter.colr"),
        ({"filter": {"price": {"lt": "x"}}}, "filter.price.lt"),
        ({"filter": []}, "filter"),
        ({"facets": ["colr"]}, "facets[0]"),
        ({"facets": ["brand", {"field": "title"}]}, "facets[1]"),
        ({"facets": [{"field": "brand", "limit": 0}]}, "facets[0].limit"),
        ({"facets": ["id"]}, "facets[0]"),
        ({"collapse": "id"}, "collapse"),
        ({"sort": ["price"]}, "sort[0]"),
        ({"sort": ["price:asc", "prize:desc"]}, "sort[1]"),
        ({"collapse": "price"}, "collapse"),
        ({"collapse": "colr"}, "collapse"),
        ({"diversity": 1.5}, "diversity"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(client, asked, path):
    answer = client.post("/v1/search", json={"q": "sneaker", **asked})
    assert path in refusal(answer)
    assert client.post("/v1/search", json={"q": "sneaker"}).status_code == 200


def test_a_filter_that_is_no_json(client):
    answer = client.get("/v1/products/p3/similar", params={"filter": "{"})
    assert refusal(answer) == ["filter"]


@pytest.mark.parametrize("levels", [100, 900, 5_000, 100_000])
def test_a_filter_that_nests_deep_is_refused(client, levels):
    body = '{"q": "x", "filter": ' + '{"not": ' * levels + "{}" + "}" * levels + "}"
    answer = client.post("/v1/search", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}
    assert client.post("/v1/search", json={"q": "sneaker"}).status_code == 200


def test_half_a_surrogate_in_a_filter_is_refused_or_finds_nothing(client):
    body = '{"q": "x", "filter": {"brand": "\\ud800"}, "facets": ["brand"]}'
    answer = client.post("/v1/search", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422 or answer.json()["found"] == 0
