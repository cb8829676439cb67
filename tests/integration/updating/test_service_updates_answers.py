"""Live updates over HTTP: what is answered of each item, what refuses one or all, versions, and the documentation."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from PIL import Image
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from indexer.updates_sqlite import SqliteLog
from service.api import examples
from service.api.schemas import ProductsRequest
from service.api.views import DeletedResponse
from service.app import create_app
from service.settings import Settings
from tests.support.updating import (
    LAMP,
    RESULTS,
    assert_problem,
    at_once,
    changing,
    data_uri,
    everything,
    ids,
    partial,
    path_of,
    product,
    put,
    refused,
    stored,
    version,
)

JSON = {"content-type": "application/json"}

pytestmark = pytest.mark.usefixtures("no_long_waits")


@pytest.fixture(scope="module")
def untouched(shop, bundle, tmp_path_factory):
    """One service that the tests of what is refused as a whole may share: nothing is stored in its log."""
    folder = tmp_path_factory.mktemp("untouched")
    with TestClient(create_app(Settings(data_dir=folder), (shop.encoder, bundle))) as client:
        yield client
    with closing(SqliteLog(folder / "updates.sqlite")) as log:
        assert log.tail().seq == 0


# --- results ---


def test_one_bad_item_holds_none_of_the_others_up(live, search, drawn):
    stored(live, partial("p9", price=1.0))
    results = put(
        live,
        LAMP,
        {"id": "bad", "title": "Bad", "price": "1"},
        partial("nobody", price=1.0),
        {"id": "p8", "title": "Late", "if_version": 4},
        {"id": "p7", "delete": True},
        {"id": "torn", "title": "Torn", "images": [data_uri(drawn(7)), data_uri(drawn(8)[:-200])]},
        {"id": "nobody-2", "delete": True},
        partial("p9", price=2.0, if_version=1),
        partial("p9", price=3.0),
    )
    assert [refused(result) for result in results] == [
        (200, []),
        (422, ["products[1].price"]),
        (404, ["products[2].id"]),
        (409, ["products[3].if_version"]),
        (200, []),
        (422, ["products[5].images[1]"]),
        (404, ["products[6].id"]),
        (200, []),
        (422, ["products[8].id"]),
    ]
    assert [result["version"] for result in results] == [1, None, None, 0, 1, None, None, 2, None]
    assert product(live, "p9")["price"] == 2
    shown = everything(live, search)
    assert "lamp" in shown
    assert shown.isdisjoint({"bad", "torn", "nobody", "p7"})


def test_a_value_that_json_does_not_have_is_one_item_s_fault(live, search):
    for number in ("NaN", "-Infinity", "1e999", "1" + "0" * 400):
        body = '{"products": [{"id": "a", "title": "Zebra", "attributes": {"x": %s}}, {"id": "b", "title": "Zebra"}]}'
        answer = live.put("/v1/products?wait=true", content=(body % number).encode(), headers=JSON)
        assert [refused(result) for result in answer.json()["results"]] == [
            (422, ["products[0].attributes.x"]),
            (200, []),
        ]
    body = b'{"products": [{"id": "p3", "partial": true, "price": Infinity}]}'
    [result] = live.put("/v1/products?wait=true", content=body, headers=JSON).json()["results"]
    assert refused(result) == (422, ["products[0].price"])
    found = search(live, q="zebra", limit=2)
    assert ids(found)[0] == "b"
    assert found["degraded"] == []


def test_what_is_not_there_is_neither_changed_nor_deleted(live):
    stored(live, LAMP, {"id": "p3", "delete": True})
    for product_id in ("nobody", "p3"):
        results = [put(live, item)[0] for item in (
            partial(product_id, price=1.0), partial(product_id, title="Zebra"), {"id": product_id, "delete": True},
        )]  # fmt: skip
        assert [refused(result) for result in results] == [(404, ["products[0].id"])] * 3
        assert_problem(live.delete(path_of(product_id)), 404, "not-found", "id")
        assert live.get(path_of(product_id)).status_code == 404
    for product_id in ("a\x00b", "x" * 300, "\U0001f6cd"):
        assert_problem(live.delete(path_of(product_id)), 404, "not-found", "id")


def test_pictures_that_cannot_be_had_are_refused_where_they_stand(service, drawn):
    noise = io.BytesIO()
    Image.effect_noise((90, 90), 90).convert("RGB").save(noise, "PNG")
    wide = io.BytesIO()
    Image.new("RGB", (300, 300)).save(wide, "PNG")
    pictures = {
        data_uri(noise.getvalue(), "png"): 413,
        data_uri(wide.getvalue(), "png"): 413,
        "data:image/jpeg;base64,not base64!": 422,
        "data:image/jpeg,abc": 422,
        "data:image/jpeg;base64,": 422,
        data_uri(drawn(9)[:-100]): 422,
        data_uri(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg+xml"): 415,
        data_uri(b"hello"): 415,
        "https://pictures.example/a.jpg": 422,
        "images/p4-0.jpg": 422,
        f"sha256:{'0' * 64}": 422,
        "/v1/products/p3/images/0": 422,
        "file:///etc/passwd": 422,
        "": 422,
    }
    with service(max_image_bytes=12_000, max_image_px=40_000) as client:
        assert len(noise.getvalue()) > 12_000 > len(wide.getvalue())
        items = [{"id": f"n{n}", "title": "New", "images": [data_uri(drawn(9)), one]} for n, one in enumerate(pictures)]
        results = put(client, *items, {**LAMP, "images": [data_uri(drawn(9))]})
        assert [refused(result) for result in results] == [
            *((status, [f"products[{n}].images[1]"]) for n, status in enumerate(pictures.values())),
            (200, []),
        ]
        [changed] = put(client, partial("p3", images=["images/p3-0.jpg", "images/p4-0.jpg"]))
        assert refused(changed) == (422, ["products[0].images[1]"])
        assert len(product(client, "p3")["images"]) == 2
    with service(allow_image_urls=True) as client:
        [guarded] = put(client, {**LAMP, "id": "u", "images": ["http://127.0.0.1:9/a.jpg"]})
        assert refused(guarded) == (422, ["products[0].images[0]"])


BODIES = {
    "no body": (b"", "application/json", 422, "invalid-request", "body"),
    "not JSON": (b'{"products": [', "application/json", 400, "malformed-body", "body"),
    "bad UTF-8": (b'{"products": [{"id": "\xff"}]}', "application/json", 400, "malformed-body", "body"),
    "JSON called text": (b'{"products": []}', "text/plain", 415, "unsupported-media-type", "body"),
    "JSON called nothing": (b'{"products": []}', None, 415, "unsupported-media-type", "body"),
    "a list": (b"[]", "application/json", 422, "invalid-request", "body"),
    "no products": (b"{}", "application/json", 422, "invalid-request", "products"),
    "none of them": (b'{"products": []}', "application/json", 422, "invalid-request", "products"),
    "products that are no list": (b'{"products": {"id": "a"}}', "application/json", 422, "invalid-request", "products"),
    "a product that is no object": (
        b'{"products": [{"id": "a", "title": "A"}, 7]}', "application/json", 422, "invalid-request", "products[1]",
    ),
    "an unknown field": (
        b'{"products": [{"id": "a", "title": "A"}], "commit": 1}', "application/json", 422, "invalid-request", "commit",
    ),
    "wait in the body": (
        b'{"products": [{"id": "a", "title": "A"}], "wait": true}', "application/json", 422, "invalid-request", "wait",
    ),
    "nested too deep": (
        b'{"products": [{"id": "a", "title": "A", "x": ' + b"[" * 50_000, "application/json", 400, "malformed-body",
        "body",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_batch_is_refused_as_a_whole(untouched, name):
    body, media, status, kind, path = BODIES[name]
    answer = untouched.put("/v1/products", content=body, headers={} if media is None else {"content-type": media})
    assert_problem(answer, status, kind, path)
    assert version(untouched, "p3") == 0


def test_a_batch_has_a_thousand_items_at_most(live):
    items = [partial(f"p{n}", price=1.0) for n in range(1_001)]
    assert_problem(live.put("/v1/products", json={"products": items}), 422, "invalid-request", "products")
    assert version(live, "p3") == 0
    results = put(live, *items[:1_000])
    assert [result["status"] for result in results] == [404 if n == 5 or n >= 48 else 200 for n in range(1_000)]


def test_a_body_over_the_limit_is_refused(service):
    with service(max_body_bytes=2_000) as client:
        assert_problem(client.put("/v1/products", json={"products": [{**LAMP, "x": "y" * 2_000}]}), 413, "too-large")
        assert stored(client, LAMP) == [1]


def test_parameters_that_are_none_are_refused(untouched):
    for params, path in (({"wait": "maybe"}, "wait"), ({"if_version": "-1"}, "if_version"), ({"if_version": "x"}, "")):
        assert_problem(untouched.delete("/v1/products/p3", params=params), 422, "invalid-request", path)
    answer = untouched.put("/v1/products", params={"wait": "maybe"}, json={"products": [LAMP]})
    assert_problem(answer, 422, "invalid-request", "wait")
    assert version(untouched, "p3") == 0
    assert untouched.get("/v1/products/lamp").status_code == 404
    assert untouched.post("/v1/products", json={"products": [LAMP]}).headers["allow"] == "PUT"


# --- versions ---


def test_a_version_is_read_stated_and_refused_when_it_is_old(live):
    assert version(live, "p3") == 0
    assert "version" not in live.get("/v1/products/p3").json()
    assert stored(live, partial("p3", price=1.0, if_version=0)) == [1]
    for late in (partial("p3", price=2.0, if_version=0), partial("p3", title="Late", if_version=0),
                 {"id": "p3", "title": "Late", "if_version": 0}, {"id": "p3", "delete": True, "if_version": 0},
                 {"id": "p3", "title": "Early", "if_version": 2}):  # fmt: skip
        [result] = put(live, late)
        assert refused(result) == (409, ["products[0].if_version"])
        assert result["version"] == 1
        assert "version 1" in result["errors"][0]["message"]
    assert (product(live, "p3")["price"], version(live, "p3")) == (1.0, 1)
    assert stored(live, partial("p3", title="Zebra", if_version=1)) == [2]
    assert stored(live, {"id": "p3", "title": "Zebra lamp", "if_version": version(live, "p3")}) == [3]
    assert_problem(live.delete("/v1/products/p3?if_version=2"), 409, "conflict", "if_version")
    assert product(live, "p3")["title"] == "Zebra lamp"
    answer = live.delete("/v1/products/p3?if_version=3&wait=true")
    assert answer.json()["version"] == 4
    assert live.get("/v1/products/p3").status_code == 404
    [back] = put(live, {"id": "p3", "title": "Back", "if_version": 3})
    assert (back["status"], back["version"]) == (409, 4)
    assert stored(live, {"id": "p3", "title": "Back", "if_version": 4}) == [5]


def test_version_zero_adds_a_product_once(live):
    answers = at_once(live, [changing({**LAMP, "title": f"Lamp {n}", "if_version": 0}) for n in range(8)])
    results = [answer.json()["results"][0] for answer in answers]
    [number] = [n for n, result in enumerate(results) if result["status"] == 200]
    assert {result["status"] for n, result in enumerate(results) if n != number} == {409}
    assert version(live, "lamp") == 1
    assert product(live, "lamp")["title"] == f"Lamp {number}"


def test_a_message_that_comes_late_undoes_nothing_newer(live, search):
    seen = version(live, "p3")
    late = partial("p3", price=1.0, title="Old zebra", if_version=seen)
    stored(live, partial("p3", price=2.0, title="New zebra", if_version=seen))
    assert put(live, late)[0]["status"] == 409
    assert (product(live, "p3")["title"], product(live, "p3")["price"]) == ("New zebra", 2.0)
    assert ids(search(live, q="new zebra", mode="lexical", limit=1)) == ["p3"]


def test_of_many_who_count_up_none_is_lost(live):
    """Read, add one, store if nobody else did: as shops count stock."""

    def count_up(_):
        for _ in range(200):
            seen = live.get("/v1/products/p3?version=true").json()
            price = seen["product"]["price"] + 1
            [result] = put(live, partial("p3", price=price, if_version=seen["version"]), wait=False)
            if result["status"] == 200:
                return
            assert result["status"] == 409
        raise AssertionError("it never came through")

    stored(live, partial("p3", price=0.0))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count_up, range(24)))
    assert version(live, "p3") == 25
    assert product(live, "p3")["price"] == 24


# --- documentation, and what is said ---


def test_the_documented_examples_are_stored(live):
    [asked] = examples.PRODUCTS_REQUESTS
    ProductsRequest.model_validate(asked)
    stored(live, {"id": "10017413", "title": "Jeans"})
    for title in ("A", "B", "C"):
        stored(live, {"id": "10011111", "title": title})
    answer = live.put("/v1/products?wait=true", json=asked).json()
    assert [(result["status"], result["version"]) for result in answer["results"]] == [(200, 2), (200, 1), (200, 4)]
    shown = examples.ANSWERS["Products"]
    RESULTS.validate_python(shown, strict=True)
    assert set(shown) == set(answer)
    for result in shown["results"]:
        assert set(result) == set(answer["results"][0])
    assert (shown["stored"], shown["failed"]) == (1, 1)
    [[fault]] = [result["errors"] for result in shown["results"] if result["errors"]]
    bad = {"id": "10020000", "title": "Scarf", "price": -1}
    assert put(live, partial("10017413", price=1.0), bad)[1] == {**shown["results"][1], "errors": [fault]}
    TypeAdapter(DeletedResponse).validate_python(examples.ANSWERS["Deleted"], strict=True)
    assert set(live.delete("/v1/products/10017413").json()) == set(examples.ANSWERS["Deleted"])


def test_the_documentation_describes_changes(untouched):
    described = untouched.get("/openapi.json").json()
    schema = described["components"]["schemas"]["ProductsRequest"]
    assert schema["examples"] == examples.PRODUCTS_REQUESTS
    assert schema["properties"]["products"]["maxItems"] == 1_000
    statuses = set(described["paths"]["/v1/products"]["put"]["responses"])
    assert {"200", "400", "408", "413", "415", "422", "503", "504"} <= statuses
    deleting = set(described["paths"]["/v1/products/{id}"]["delete"]["responses"])
    assert {"200", "404", "409", "422", "503", "504"} <= deleting
    reading = described["paths"]["/v1/products/{id}"]["get"]
    assert "503" in reading["responses"]
    assert {parameter["name"] for parameter in reading["parameters"]} == {"id", "version"}


def test_what_changes_say_is_json_that_any_reader_reads(untouched):
    items = [
        {"id": "\ud800" * 3, "\ud83d": "\udc00"},
        partial("p3", attributes={"\ud800": None}),
        {"id": "x" * 100_000},
    ]
    answer = untouched.put("/v1/products", content=json.dumps({"products": items}), headers=JSON)
    assert answer.status_code == 200
    assert len(answer.content) < 2_000
    assert [result["status"] for result in json.loads(answer.content)["results"]] == [422] * 3
