"""A bundle beside the primary one: who names it, a share of the searches, shadows, and the file that says so."""

import os
import time

import pytest

from indexer.publish import publish
from tests.support.swapping import (
    WATCH_MS,
    activated,
    assert_of_one_bundle,
    assert_problem,
    degraded,
    flipped,
    metrics_of,
    primary,
    role,
    search,
    until,
)

pytestmark = pytest.mark.usefixtures("quick_builds")


def test_a_bundle_beside_answers_who_names_it(client, place, shops):
    refused = client.post("/v1/search", json={"q": "red mug", "bundle": place.beta})
    assert place.alpha in assert_problem(refused, 422, "invalid-request", "bundle")
    answer = client.put(f"/v1/bundles/{place.beta}", json={})
    assert answer.status_code == 200
    assert role(client, place.beta)["role"] == "beside"
    for name in (place.alpha, place.beta):
        assert shops.ids[assert_of_one_bundle(shops, search(client, bundle=name))] == name
        similar = client.get("/v1/products/p3/similar", params={"bundle": name})
        assert shops.ids[assert_of_one_bundle(shops, similar.json())] == name
    assert search(client)["index"]["bundle"] == place.alpha
    assert client.delete(f"/v1/bundles/{place.beta}").status_code == 200
    assert client.post("/v1/search", json={"q": "red mug", "bundle": place.beta}).status_code == 422
    assert client.delete(f"/v1/bundles/{place.beta}").status_code == 404


def test_a_share_of_searches_goes_to_it_and_each_visitor_stays(client, place, shops):
    assert client.put(f"/v1/bundles/{place.beta}", json={"share": 0.3}).status_code == 200
    assert role(client, place.beta)["share"] == 0.3
    visitors = [f"visitor-{n}" for n in range(60)]
    rounds = [
        [assert_of_one_bundle(shops, search(client, {"X-Visitor-Id": visitor})) for visitor in visitors]
        for _ in range(2)
    ]
    assert rounds[0] == rounds[1]
    assert rounds[0].count("Beta") / len(visitors) == pytest.approx(0.3, abs=0.24)
    nameless = [assert_of_one_bundle(shops, search(client)) for _ in range(80)]
    assert nameless.count("Beta") / len(nameless) == pytest.approx(0.3, abs=0.21)  # 4 sigma
    assert search(client, {"X-Visitor-Id": "visitor-1"}, bundle=place.alpha)["index"]["bundle"] == place.alpha
    picture = client.get("/v1/products/p3/images/0").content
    found = {
        client.post("/v1/search/image", files={"image": ("p.jpg", picture)}, headers={"X-Visitor-Id": visitor}).json()[
            "index"
        ]["bundle"]
        for visitor in visitors[:12]
    }
    assert found == {place.alpha, place.beta}


def test_what_cannot_be_beside_is_refused_and_nothing_is_written(client, place):
    assert_problem(client.put(f"/v1/bundles/{place.alpha}", json={"share": 0.1}), 422, "invalid-request", "id")
    flipped(place.bundle(place.beta), "text.faiss")
    assert_problem(client.put(f"/v1/bundles/{place.beta}", json={"share": 0.1}), 409, "bundle-refused", "id")
    assert not (place.folder / "beside.json").exists()
    assert (degraded(client), primary(client)) == ([], place.alpha)


def test_a_folder_that_cannot_be_written_to_is_said_so(client, place):
    (place.folder / f".beside.json-{os.getpid()}").mkdir()
    assert_problem(client.put(f"/v1/bundles/{place.beta}", json={"share": 1.0}), 503, "unavailable")
    assert {search(client)["index"]["bundle"] for _ in range(5)} == {place.alpha}
    assert role(client, place.beta)["role"] == "none"


def test_a_shadow_is_compared_and_answers_nobody(client, place):
    queries = [f"{colour} {thing}" for colour in ("red", "green", "blue") for thing in ("mug", "bag", "top", "watch")]
    assert client.put(f"/v1/bundles/{place.beta}", json={}).status_code == 200
    expected = 0.0
    for q in queries:
        ids = [{hit["id"] for hit in search(client, q=q, bundle=name, limit=10)["hits"]} for name in shops_of(place)]
        expected += len(ids[0] & ids[1]) / 10
    assert client.put(f"/v1/bundles/{place.beta}", json={"shadow": 1.0}).status_code == 200
    label = ("bundle", place.beta)

    def compared():
        return metrics_of(client).get(("catalens_shadow_answers_total", (label, ("outcome", "answered"))), 0)

    for n, q in enumerate(queries):
        assert search(client, q=q, limit=10, explain=True)["index"]["bundle"] == place.alpha
        until(lambda n=n: compared() == n + 1)
    seen = metrics_of(client)
    assert seen["catalens_shadow_overlap_ratio_count", (label,)] == len(queries)
    assert seen["catalens_shadow_overlap_ratio_sum", (label,)] == pytest.approx(expected)
    assert 0 < expected <= len(queries)


def shops_of(place):
    return place.alpha, place.beta


def test_a_file_that_was_edited_by_hand_is_followed(client, place):
    place.beside({place.beta: {"share": 1}})
    until(lambda: role(client, place.beta)["share"] == 1)
    assert search(client)["index"]["bundle"] == place.beta
    place.beside({place.beta: {"shadow": 0.5}})
    until(lambda: role(client, place.beta)["shadow"] == 0.5)
    assert search(client)["index"]["bundle"] == place.alpha
    (place.folder / "beside.json").unlink()
    until(lambda: role(client, place.beta)["role"] == "none")


@pytest.mark.parametrize("text", ["{", "[]", '{"BETA": {"share": 7}}', '{"BETA": {"share": 1}, "x": {"share": 1}}'])
def test_a_damaged_file_is_told_of_and_holds_nothing_else_up(client, place, text):
    place.beside({place.beta: {"share": 1.0}})
    until(lambda: role(client, place.beta)["share"] == 1)
    place.beside(text.replace("BETA", place.beta))
    until(lambda: degraded(client) == ["bundle"])
    assert search(client)["index"]["bundle"] == place.beta  # as it was
    publish(place.folder, place.beta)
    until(lambda: primary(client) == place.beta)
    place.beside({place.alpha: {"share": 0.25}})
    until(lambda: degraded(client) == [])
    assert role(client, place.alpha)["share"] == 0.25


def test_a_bad_bundle_in_the_file_is_told_of_as_long_as_it_is_there_and_bad(client, place):
    path = place.bundle(place.beta) / "text.faiss"
    good = path.read_bytes()
    for mend in (lambda: place.beside({}), lambda: path.write_bytes(good)):
        path.write_bytes(b"bad")
        place.beside({place.beta: {"share": 0.5}})
        until(lambda: degraded(client) == ["bundle"])
        assert "text.faiss" in role(client, place.beta)["problem"]
        time.sleep(0.05)
        mend()
        until(lambda: degraded(client) == [])
        path.write_bytes(good)
    until(lambda: role(client, place.beta)["role"] == "beside")
    assert role(client, place.beta)["problem"] is None


def test_the_one_that_won_is_beside_no_more(client, place):
    assert client.put(f"/v1/bundles/{place.beta}", json={"share": 0.5}).status_code == 200
    activated(client, place.beta)
    assert {search(client)["index"]["bundle"] for _ in range(10)} == {place.beta}
    publish(place.folder, place.alpha)
    until(lambda: primary(client) == place.alpha)
    time.sleep(3 * WATCH_MS / 1000)
    assert role(client, place.beta)["role"] == "none"
    assert {search(client, explain=True)["index"]["bundle"] for _ in range(10)} == {place.alpha}


def test_starting_again_serves_what_the_folder_says(service, place):
    with service() as client:
        activated(client, place.beta)
        assert client.put(f"/v1/bundles/{place.alpha}", json={"share": 0.5}).status_code == 200
    with service() as client:
        assert primary(client) == place.beta
        until(lambda: role(client, place.alpha)["share"] == 0.5)
