"""The Python client against services of the small shop: what each method finds, and what it does when refused."""

import re
import socket
import time
from typing import get_type_hints

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from catalens_client import Catalens, CatalensError, NoAnswerError, picture, wire
from catalens_client.client import SimilarRequest

# Routes that are no use to a client: pictures go with `search`, and the rest is for those who run the service.
LEFT_OUT = {
    ("POST", "/v1/search/image"), ("PUT", "/v1/bundles/{id}"), ("DELETE", "/v1/bundles/{id}"),
    ("GET", "/livez"), ("GET", "/readyz"), ("GET", "/metrics"),
}  # fmt: skip


@pytest.fixture(scope="module")
def door(shop, bundle, support, tmp_path_factory):
    """Where a service is that lets strangers search, twice a second; and a key that opens everything."""
    shops, live = support("live_shop"), support("live")
    folder = shops.settle(shop, tmp_path_factory.mktemp("client") / "data")
    key = shops.add_master_key(folder)
    with shops.open_shop(live, shop, bundle, folder, anonymous="search", anonymous_rate="2/second") as address:
        yield address, key


@pytest.fixture(scope="module")
def catalens(door):
    with Catalens(door[0], key=door[1], timeout_s=60) as client:
        yield client


def ids(answer):
    return [hit["id"] for hit in answer["hits"]]


def test_words_filters_facets_and_sorting(catalens):
    answer = catalens.search(
        filter={"price": {"lt": 20}, "colour": ["red", "blue"]}, facets=["colour"], sort=["price:desc"], limit=2
    )
    assert ids(answer) == ["p9", "p7"]
    assert answer["facets"]["colour"]["values"] == [{"value": "blue", "count": 2}, {"value": "red", "count": 2}]
    [hit, *_] = catalens.search(q="yellow mug", mode="lexical", explain=True)["hits"]
    assert {"yellow", "mug"} & set(hit["product"]["title"].split())
    assert sum(term["score"] for term in hit["explain"]["terms"]) == pytest.approx(hit["score"], abs=1e-4)


def test_a_picture_finds_its_product_and_more_like_it(catalens):
    shown = picture(catalens.image("p9"))
    assert ids(catalens.search(image=shown, limit=1)) == ["p9"]
    mixed = catalens.search(query=[{"image": shown, "weight": 0.7}, {"text": "red"}], filter={"id": ["p9", "p1"]})
    assert set(ids(mixed)) == {"p9", "p1"}
    own = catalens.product("p4")["product"]
    like = catalens.similar("p4", shares=["colour"], differs=["brand"], filter={"price": {"gt": 20}}, limit=5)
    assert like["hits"]
    for hit in like["hits"]:
        assert hit["product"]["attributes"]["colour"] == own["attributes"]["colour"]
        assert hit["product"]["brand"] != own["brand"]
        assert hit["product"]["price"] > 20


def test_any_id_is_found(catalens):
    assert catalens.product("odd/id %2F?#ü")["product"]["id"] == "odd/id %2F?#ü"


def test_suggestions_and_categories(catalens):
    assert "Canada Geese" in {each["value"] for each in catalens.suggest("canada g")["suggestions"]}
    assert len(catalens.suggest(limit=2)["suggestions"]) == 2
    assert set(catalens.classify(q="a blue dress")) == {"category", "index"}


def test_vectors_of_words_and_pictures(catalens):
    words, shown = catalens.embed(input=["red mug", {"image": picture(catalens.image("p9"))}], kind="product")["data"]
    assert len(words["embedding"]) == len(shown["embedding"]) == 64
    with pytest.raises(CatalensError) as refused:
        catalens.embed(input=["red mug", {"image": picture(b"none")}])
    assert [error["path"] for error in refused.value.errors] == ["input[1].image.data"]


def test_products_are_stored_versioned_and_deleted(catalens):
    good = {"id": "py-1", "title": "Checked scarf", "brand": "Ruby", "price": 25}
    answer = catalens.put([good, {"id": "py-2", "price": "dear"}], wait=True)
    assert [result["status"] for result in answer["results"]] == [200, 422]
    assert ids(catalens.search(filter={"id": "py-1"})) == ["py-1"]
    version = catalens.product("py-1", version=True)["version"]
    with pytest.raises(CatalensError) as refused:
        catalens.delete("py-1", if_version=version + 1)
    assert (refused.value.status, refused.value.type) == (409, "urn:catalens:problem:conflict")
    assert catalens.delete("py-1", if_version=version, wait=True)["version"] > version
    assert ids(catalens.search(filter={"id": "py-1"})) == []


def test_bundles_are_listed_and_activated(catalens, shop):
    listed = catalens.bundles()
    assert listed["primary"] == shop.path.name
    assert catalens.activate(shop.path.name, force=True)["primary"] == shop.path.name
    with pytest.raises(CatalensError) as refused:
        catalens.roll_back()
    assert refused.value.status == 409


def test_a_bundle_is_told_of_and_laid_out(catalens, shop):
    report = catalens.report(shop.path.name)
    assert report["manifest"]["counts"]["products"] == 48
    drawn = catalens.map(shop.path.name, limit=5)
    assert (drawn["of"], len(drawn["points"]["id"])) == (48, 5)
    assert set(drawn) == set(get_type_hints(wire.MapResponse))


def test_a_problem_comes_whole(catalens):
    with pytest.raises(CatalensError, match="limit") as refused:
        catalens.search(q="mug", limit=0)
    assert refused.value.status == 422
    assert [error["path"] for error in refused.value.errors] == ["limit"]
    assert re.fullmatch(r"[0-9a-f]{32}", refused.value.request_id)
    assert refused.value.retry_after_s is None


def test_strangers_wait_as_long_as_told_and_may_not_write(door):
    with Catalens(door[0], retries=0) as hasty, Catalens(door[0], retries=3) as patient:
        with pytest.raises(CatalensError) as refused:
            [hasty.suggest("r") for _ in range(4)]
        assert refused.value.status == 429
        assert refused.value.retry_after_s >= 1
        began = time.monotonic()
        for _ in range(3):
            assert patient.suggest("r")["suggestions"]
        assert time.monotonic() - began >= 0.5
        with pytest.raises(CatalensError) as closed:
            patient.put([{"id": "x", "title": "X"}])
        assert closed.value.status in {401, 429}


def test_an_answer_that_does_not_come_is_another_exception():
    with Catalens("http://127.0.0.1:9") as nobody, pytest.raises(NoAnswerError, match=r"127\.0\.0\.1:9"):
        nobody.suggest("r")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes requests and never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Catalens(address, timeout_s=0.2) as patient, pytest.raises(NoAnswerError):
            patient.search(q="mug")


def test_answers_hold_the_fields_their_types_have(catalens):
    answer = catalens.search(q="red mug", explain=True, facets=["brand", "price"])
    assert set(answer) == set(get_type_hints(wire.SearchResponse))
    assert set(answer["timings_ms"]) == set(get_type_hints(wire.Timings))
    assert set(answer["hits"][0]["product"]) == set(get_type_hints(wire.ProductView))
    assert set(answer["facets"]["price"]["statistics"]) == set(get_type_hints(wire.FacetStatisticsView))


def test_every_route_has_a_method_and_every_parameter_is_passed(door, catalens):
    document = httpx.get(f"{door[0]}/openapi.json").json()
    similar = document["paths"]["/v1/products/{id}/similar"]["get"]["parameters"]
    assert set(get_type_hints(SimilarRequest)) == {each["name"] for each in similar if each["in"] == "query"}
    families = text_string_to_metric_families(httpx.get(f"{door[0]}/metrics").text)
    asked = {
        (sample.labels["method"], sample.labels["route"])
        for family in families for sample in family.samples if sample.name == "catalens_requests_total"
    }  # fmt: skip
    stated = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert stated - LEFT_OUT <= asked, "the tests above call every method of the client"
