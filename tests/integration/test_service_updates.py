"""Live updates over HTTP: what each kind of item does, what refuses it, and that every search sees what was stored."""

import asyncio
import base64
import hashlib
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from indexer.updates import EncodedProduct, Kind
from indexer.updates_sqlite import SqliteLog
from service.api import examples
from service.api.schemas import ProductsRequest
from service.api.views import DeletedResponse, ProblemView, ProductResponse, ProductsResponse
from service.app import create_app
from service.settings import Settings

RESULTS = TypeAdapter(ProductsResponse)
JSON = {"content-type": "application/json"}
ODD = "odd/id %2F?#ü"
MODES = ("hybrid", "vector", "lexical")
LAMP = {
    "id": "lamp",
    "title": "Zebra lamp",
    "description": "Stands on a desk.",
    "brand": "Ruby",
    "category": "lamp",
    "price": 4.5,
    "currency": "EUR",
    "in_stock": True,
    "group": "lamps",
    "attributes": {"colour": "green", "watts": 40},
}


class Counting:
    """The shop's encoder, which counts what it encodes, and can be held up."""

    def __init__(self, encoder):
        self._encoder = encoder
        self.texts = self.images = 0
        self.open = threading.Event()
        self.open.set()

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def text_terms(self, texts, entities=None):
        assert self.open.wait(60)
        self.texts += len(texts)
        return self._encoder.text_terms(texts, entities)

    def encode_images(self, images):
        self.images += len(images)
        return self._encoder.encode_images(images)

    def counted(self):
        """Return texts and pictures encoded since the last time."""
        was, self.texts, self.images = (self.texts, self.images), 0, 0
        return was


pytestmark = pytest.mark.usefixtures("no_long_waits")


@pytest.fixture
def service(shop, bundle, tmp_path):
    """A service over the shop with an update log of its own: `with service(max_waiting=1) as client:`."""

    def start(*, encoder=shop.encoder, **settings):
        given = {"data_dir": tmp_path, "ready_cache_ms": 0, "write_timeout_ms": 20_000, **settings}
        return TestClient(create_app(Settings.model_validate(given), (encoder, bundle)))

    return start


@pytest.fixture(scope="module")
def untouched(shop, bundle, tmp_path_factory):
    """One service that the tests of what is refused as a whole may share: nothing is stored in its log."""
    folder = tmp_path_factory.mktemp("untouched")
    with TestClient(create_app(Settings(data_dir=folder), (shop.encoder, bundle))) as client:
        yield client
    with closing(SqliteLog(folder / "updates.sqlite")) as log:
        assert log.tail().seq == 0


@pytest.fixture
def live(service):
    """A client of a service whose products may be changed."""
    with service() as client:
        yield client


@pytest.fixture
def entries(tmp_path):
    """What the log holds, by product and whether it is a patch: `entries()["lamp", False]`."""

    def read():
        with closing(SqliteLog(tmp_path / "updates.sqlite")) as log:
            found = log.read(0, 10_000)
        return {(entry.product_id, entry.kind == Kind.PATCH): entry for entry in found}

    return read


def put(client, *items, wait=True):
    """Send items; return what became of each."""
    answer = client.put("/v1/products", params={"wait": wait}, json={"products": items})
    assert answer.status_code == 200, answer.text
    RESULTS.validate_python(answer.json(), strict=True)
    results = answer.json()["results"]
    assert len(results) == len(items)
    assert answer.json()["stored"] == sum(result["status"] == 200 for result in results)
    assert answer.json()["failed"] == len(items) - answer.json()["stored"]
    return results


def stored(client, *items, wait=True):
    """Send items, all of which are to be stored; return their versions."""
    results = put(client, *items, wait=wait)
    assert [(result["id"], result["status"], result["errors"]) for result in results] == [
        (item["id"], 200, []) for item in items
    ]
    return [result["version"] for result in results]


def path_of(product_id):
    return f"/v1/products/{quote(product_id, safe='')}"


def product(client, product_id):
    answer = client.get(path_of(product_id))
    assert answer.status_code == 200, answer.text
    return answer.json()["product"]


def version(client, product_id):
    answer = client.get(path_of(product_id), params={"version": True})
    assert answer.status_code == 200, answer.text
    TypeAdapter(ProductResponse).validate_python(answer.json(), strict=True)
    return answer.json()["version"]


def encoded(client, product_id):
    """Return a product with its vectors as searches have them."""
    return client.app_state["engine"].served.bundle.encoded(product_id)


def in_bundle(bundle, product_id):
    """Return image vectors and text vector of a product as it was built."""
    row = bundle.products.row_of(product_id)
    return bundle.vectors["image"][bundle.image_rows == row], bundle.vectors["text"][row]


def row_of(shop, number):
    """Return a row of the feed as an item."""
    row = {name: value for name, value in shop.rows[number].items() if value is not None}
    attributes = {name: row.pop(name) for name in ("colour", "split")}
    return {**row, "attributes": attributes}


def ids(found):
    return [hit["id"] for hit in found["hits"]]


def everything(client, search, **asked):
    return set(ids(search(client, sort=["id:asc"], limit=100, **asked)))


def data_uri(picture, kind="jpeg"):
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


@pytest.fixture(scope="module")
def drawn(support):
    """Draw a picture: `drawn(7, "green")` is a JPEG."""
    feeds = support("feeds")
    return lambda seed, colour="green", size=(60, 80): feeds.jpeg(feeds.picture(1_000 + seed, colour, size))


def searched_with(client, picture):
    answer = client.post("/v1/search/image", files={"image": ("p.jpg", picture)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def assert_problem(answer, status, kind, path=None):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    TypeAdapter(ProblemView).validate_python(problem, strict=True)
    assert problem["type"] == f"urn:catalens:problem:{kind}"
    if path is not None:
        assert any(path in error["path"] for error in problem["errors"]), problem
    return problem


def refused(result):
    """Return status and paths of a result that is none."""
    assert all(error["message"] for error in result["errors"])
    return result["status"], [error["path"] for error in result["errors"]]


def metrics_of(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def at_once(client, asked):
    """Send requests all at once, `(method, path, json)`, and return their answers."""

    async def with_state(scope, receive, send):
        await client.app({**scope, "state": dict(client.app_state)}, receive, send)

    async def send():
        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as own:
            return await asyncio.gather(*(own.request(method, path, json=body) for method, path, body in asked))

    return client.portal.call(send)


def partial(product_id, **fields):
    return {"id": product_id, "partial": True, **fields}


def changing(*items):
    return "PUT", "/v1/products", {"products": items}


# --- whole products ---


def test_a_new_product_with_pictures_is_found_shown_and_seen(live, shop, drawn, search, entries):
    files = [drawn(1, "green"), drawn(2, "purple")]
    references = [f"sha256:{hashlib.sha256(file).hexdigest()}" for file in files]
    assert stored(live, {**LAMP, "images": [data_uri(file) for file in files]}) == [1]
    shown = product(live, "lamp")
    assert {name: shown[name] for name in LAMP} == LAMP
    assert shown["images"] == ["/v1/products/lamp/images/0", "/v1/products/lamp/images/1"]
    for at, file in zip(shown["images"], files, strict=True):
        answer = live.get(at)
        assert answer.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(answer.content)) as thumbnail, Image.open(io.BytesIO(file)) as original:
            assert thumbnail.size == original.size
    assert ids(search(live, q="zebra lamp", limit=1)) == ["lamp"]
    for file in files:
        assert ids(searched_with(live, file))[0] == "lamp"
    held = EncodedProduct.from_bytes(entries()["lamp", False].payload)
    assert held.product.images == tuple(references)
    assert held.pictures == dict(zip(references, files, strict=True))
    pictures = [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
    assert np.array_equal(encoded(live, "lamp").images, shop.encoder.encode_images(pictures).astype(np.float16))


def test_a_product_needs_no_pictures_and_its_words_are_read_as_in_building(live, shop, search):
    assert stored(live, LAMP) == [1]
    assert product(live, "lamp")["images"] == []
    assert live.get("/v1/products/lamp/images/0").status_code == 404
    [text] = shop.encoder.encode_texts(["Zebra lamp. Stands on a desk"], [{"brand": "Ruby", "category": "lamp"}])
    assert np.array_equal(encoded(live, "lamp").text, text.astype(np.float16))
    for mode in MODES:
        assert ids(search(live, q="zebra lamp", mode=mode, limit=1)) == ["lamp"]


def test_pictures_named_by_their_references_keep_their_vectors(service, shop, bundle, search):
    images, _ = in_bundle(bundle, "p3")
    encoder = Counting(shop.encoder)
    with service(encoder=encoder) as client:
        thumbnails = [client.get(f"/v1/products/p3/images/{n}").content for n in (0, 1)]
        encoder.counted()
        assert stored(client, {**row_of(shop, 3), "title": "Zebra lamp"}) == [1]
        assert encoder.counted() == (1, 0)
        assert np.array_equal(encoded(client, "p3").images, images)
        assert [client.get(f"/v1/products/p3/images/{n}").content for n in (0, 1)] == thumbnails
        assert ids(search(client, q="zebra lamp", limit=1)) == ["p3"]
        assert ids(searched_with(client, shop.picture("images/p3-1.jpg")))[0] == "p3"
        assert stored(client, {**row_of(shop, 3), "images": ["images/p3-1.jpg"]}) == [2]
        assert encoder.counted()[1] == 1  # of the search with a picture
        assert np.array_equal(encoded(client, "p3").images, images[1:])
        assert client.get("/v1/products/p3/images/0").content == thumbnails[1]
        assert client.get("/v1/products/p3/images/1").status_code == 404


def test_new_pictures_may_stand_among_kept_ones(live, shop, bundle, drawn):
    images, _ = in_bundle(bundle, "p3")
    new = drawn(3)
    named = ["images/p3-1.jpg", data_uri(new), "images/p3-0.jpg"]
    stored(live, {**row_of(shop, 3), "images": named})
    [vector] = shop.encoder.encode_images([Image.open(io.BytesIO(new)).convert("RGB")])
    assert np.array_equal(encoded(live, "p3").images, np.stack([images[1], vector.astype(np.float16), images[0]]))
    reference = f"sha256:{hashlib.sha256(new).hexdigest()}"
    stored(live, {**row_of(shop, 3), "images": [reference, reference]})
    assert np.array_equal(encoded(live, "p3").images, np.stack([vector, vector]).astype(np.float16))


def test_a_product_stated_again_as_it_was_is_found_as_it_was(live, shop, bundle, search):
    asked = [
        *({"q": "red mug", "mode": mode, "limit": 100} for mode in MODES),
        {"query": [{"product": "p3"}, {"text": "green", "weight": 0.5}], "limit": 100},
        {"filter": {"brand": "Ruby"}, "limit": 100, "sort": ["price:asc"]},
    ]
    before = [{hit["id"]: hit["score"] for hit in search(live, **one)["hits"]} for one in asked]
    stored(live, *(row_of(shop, number) for number in (3, 5, 7, 20)))
    for number in (3, 5, 7, 20):
        product_id = shop.rows[number]["id"]
        now = encoded(live, product_id)
        images, text = in_bundle(bundle, product_id)
        assert np.array_equal(now.images, images)
        assert np.array_equal(now.text, text)
    for one, was in zip(asked, before, strict=True):
        assert {hit["id"]: hit["score"] for hit in search(live, **one)["hits"]} == pytest.approx(was, abs=2e-3)


def test_a_whole_product_leaves_nothing_of_what_was_before(live):
    stored(live, {"id": "p3", "title": "Bare"})
    bare = dict.fromkeys(
        ["brand", "category", "season", "composition", "price", "currency", "in_stock", "url", "group"]
    )
    assert product(live, "p3") == {
        **bare, "id": "p3", "title": "Bare", "description": "", "images": [], "attributes": {},
    }  # fmt: skip


def test_large_pictures_are_kept_compact_and_small_ones_as_they_came(live, shop, entries):
    buffer = io.BytesIO()
    Image.effect_noise((1_600, 1_200), 90).convert("RGB").save(buffer, "JPEG", quality=95)
    large = buffer.getvalue()
    assert len(large) > 256 << 10
    stored(live, {**LAMP, "images": [data_uri(large)]})
    held = EncodedProduct.from_bytes(entries()["lamp", False].payload)
    [(reference, kept)] = held.pictures.items()
    assert reference == held.product.images[0] == f"sha256:{hashlib.sha256(large).hexdigest()}"
    assert len(kept) < len(large) / 2
    with Image.open(io.BytesIO(kept)) as image:
        assert (image.format, image.width / image.height) == ("JPEG", 4 / 3)
        assert 512 <= max(image.size) <= 1_024
        [vector] = shop.encoder.encode_images([image.convert("RGB")])
    assert np.array_equal(held.images[0], vector.astype(np.float16))
    with Image.open(io.BytesIO(live.get("/v1/products/lamp/images/0").content)) as thumbnail:
        assert thumbnail.size == (256, 192)


def test_a_picture_file_outlives_changes_of_words(live, drawn, entries):
    file = drawn(4)
    stored(live, {**LAMP, "images": [data_uri(file)]})
    stored(live, partial("lamp", title="Zebra lamps"))
    stored(live, {**LAMP, "title": "Zebra light", "images": [f"sha256:{hashlib.sha256(file).hexdigest()}"]})
    held = EncodedProduct.from_bytes(entries()["lamp", False].payload)
    assert held.product.title == "Zebra light"
    assert list(held.pictures.values()) == [file]  # for the next build, which would else encode the thumbnail


# --- some of the fields ---


def test_price_stock_and_what_vectors_do_not_depend_on_are_changed_without_encoding(service, shop, bundle, search):
    images, text = in_bundle(bundle, "p3")
    encoder = Counting(shop.encoder)
    with service(encoder=encoder) as client:
        encoder.counted()
        assert stored(client, partial("p3", price=0.5, in_stock=False)) == [1]
        assert ids(search(client, filter={"price": {"lt": 1}})) == ["p3"]
        assert ids(search(client, sort=["price:asc"], limit=2)) == ["p3", "p0"]
        found = search(client, filter={"id": ["p3", "p4"]}, facets=["in_stock", "price"])["facets"]
        assert {value["value"]: value["count"] for value in found["in_stock"]["values"]} == {False: 1, True: 1}
        assert (found["price"]["statistics"]["min"], found["price"]["statistics"]["max"]) == (0.5, 14.0)
        light = {
            "price": None, "currency": "USD", "url": "https://x.example", "group": "g",
            "attributes": {"colour": "pink", "watts": 40, "tags": ["a", "b"], "split": None},
        }  # fmt: skip
        assert stored(client, partial("p3", **light)) == [2]
        for one in (
            {"price": {"exists": False}}, {"currency": "usd"}, {"group": "g"}, {"colour": "pink"}, {"tags": "b"},
            {"watts": {"gt": 39}}, {"split": {"exists": False}},
        ):  # fmt: skip
            assert ids(search(client, filter=one, fields=["id"])) == ["p3"], one
        shown = product(client, "p3")
        assert {name: shown[name] for name in light} == {
            **light, "attributes": {"colour": "pink", "watts": 40, "tags": ["a", "b"]},
        }  # fmt: skip
        assert shown["in_stock"] is False
        assert shown["title"] == shop.rows[3]["title"]
        assert encoder.counted() == (0, 0)
        assert np.array_equal(encoded(client, "p3").images, images)
        assert np.array_equal(encoded(client, "p3").text, text)


def test_a_price_that_changes_over_and_over_is_one_entry(live, search, entries):
    for price in range(100):
        stored(live, partial("p3", price=float(price)), partial("p4", in_stock=price % 2 == 1), wait=False)
    assert version(live, "p3") == version(live, "p4") == 100
    assert set(entries()) == {("p3", True), ("p4", True)}
    assert product(live, "p3")["price"] == 99
    assert ids(search(live, filter={"price": 99})) == ["p3"]


@pytest.mark.parametrize(
    ("fields", "text", "entities"),
    [
        ({"title": "Zebra lamp"}, "Zebra lamp. {description}", {}),
        ({"description": "Zebra lamp."}, "{title}. Zebra lamp", {}),
        ({"description": None}, "{title}", {}),
        ({"brand": "Northmost"}, "{title}. {description}", {"brand": "Northmost"}),
        ({"brand": None}, "{title}. {description}", {"brand": None}),
        ({"category": "bag", "price": 3.0, "title": "Zebra"}, "Zebra. {description}", {"category": "bag"}),
    ],
)
def test_changed_words_and_entities_are_encoded_anew_and_pictures_are_not(
    service, shop, bundle, search, fields, text, entities
):
    row = shop.rows[3]
    read = {"brand": row["brand"], "category": row["category"], **entities}
    known = {group: value for group, value in read.items() if value is not None}
    [vector] = shop.encoder.encode_texts([text.format(**row)], [known])
    images, was = in_bundle(bundle, "p3")
    encoder = Counting(shop.encoder)
    with service(encoder=encoder) as client:
        encoder.counted()
        assert stored(client, partial("p3", **fields)) == [1]
        assert encoder.counted() == (1, 0)
        now = encoded(client, "p3")
        assert np.array_equal(now.text, vector.astype(np.float16))
        assert not np.array_equal(now.text, was)
        assert np.array_equal(now.images, images)
        shown = product(client, "p3")
        assert {name: shown[name] or None for name in fields} == fields
        if "Zebra" in text:
            for mode in MODES:
                assert ids(search(client, q="zebra", mode=mode, limit=1)) == ["p3"]


def test_pictures_may_be_changed_alone(live, shop, bundle, drawn):
    images, text = in_bundle(bundle, "p3")
    file = drawn(5)
    stored(live, partial("p3", images=[data_uri(file), "images/p3-0.jpg"]))
    [vector] = shop.encoder.encode_images([Image.open(io.BytesIO(file)).convert("RGB")])
    assert np.array_equal(encoded(live, "p3").images, np.stack([vector.astype(np.float16), images[0]]))
    assert np.array_equal(encoded(live, "p3").text, text)
    assert ids(searched_with(live, file))[0] == "p3"
    stored(live, partial("p3", images=[]))
    assert product(live, "p3")["images"] == []
    assert "p3" not in ids(searched_with(live, file))[:1]


def test_light_and_heavy_changes_of_one_product_add_up(live, shop, search):
    stored(live, partial("p3", price=1.0, attributes={"watts": 1}))
    stored(live, partial("p3", title="Zebra lamp"))
    stored(live, partial("p3", in_stock=True, attributes={"watts": 2, "colour": None}))
    stored(live, partial("p3", season="spring"))
    stored(live, partial("p3", attributes={"colour": "pink"}))
    shown = product(live, "p3")
    assert {**shown, "images": 2} == {
        **row_of(shop, 3), "title": "Zebra lamp", "price": 1.0, "in_stock": True, "season": "spring", "group": None,
        "attributes": {"split": shop.rows[3]["split"], "watts": 2.0, "colour": "pink"}, "images": 2,
    }  # fmt: skip
    assert version(live, "p3") == 5
    assert ids(search(live, q="zebra", filter={"price": 1, "season": "spring", "watts": 2})) == ["p3"]


def test_who_change_other_fields_of_a_product_at_once_all_succeed(live):
    fields = [
        {"title": "Zebra lamp"}, {"description": "New."}, {"season": "spring"}, {"brand": "Northmost"},
        {"price": 1.0}, {"in_stock": True}, {"attributes": {"watts": 40}},
    ]  # fmt: skip
    answers = at_once(live, [changing(partial("p3", **one)) for one in fields])
    results = [answer.json()["results"][0] for answer in answers]
    assert [result["status"] for result in results] == [200] * len(fields)
    assert sorted(result["version"] for result in results) == list(range(1, len(fields) + 1))
    assert version(live, "p3") == len(fields)
    shown = product(live, "p3")
    for one in fields:
        for name, value in one.items():
            assert shown[name] == value or shown[name]["watts"] == 40


# --- deletions ---


def assert_gone(client, search, product_id, picture):
    """Make sure that no way of searching leads to the product."""
    searches = [
        *({"q": "zebra lamp", "mode": mode} for mode in MODES),
        {"q": "zebra lamp", "explain": True, "diversity": 0.5},
        {"q": "zebra lamp", "sort": ["price:asc"], "collapse": "group"},
        {"q": "zebra lamp", "filter": {"not": {"price": {"gt": 1_000}}}},
        {"q": "zebra lamp", "filter": {"id": product_id}},
        {"filter": {"not": {"category": "nothing"}}},
        {"filter": {"price": {"exists": True}}},
        {"filter": {"id": product_id}},
        {"filter": {"not": {"id": "p0"}}, "collapse": "group"},
        {"sort": ["price:asc"]},
        {"sort": ["id:desc"]},
        {"image": {"data": base64.b64encode(picture).decode()}},
        {"image": {"data": base64.b64encode(picture).decode()}, "q": "lamp", "filter": {"not": {"brand": "Nobody"}}},
        {"query": [{"product": "p3"}, {"text": "zebra lamp"}]},
        {"query": [{"product": "p3"}]},
    ]
    for asked in searches:
        assert product_id not in ids(search(client, **asked, limit=100)), asked
    assert product_id not in ids(searched_with(client, picture))
    assert product_id not in ids(client.get("/v1/products/p3/similar?limit=100").json())
    for at in ("", "?version=true", "/similar", "/images/0"):
        assert_problem(client.get(f"{path_of(product_id)}{at}"), 404, "not-found", "id")
    answer = client.post("/v1/search", json={"query": [{"text": "red"}, {"product": product_id}]})
    assert_problem(answer, 422, "invalid-request", "query[1].product")


@pytest.mark.parametrize("how", ["batch", "DELETE"])
@pytest.mark.parametrize("whose", ["the bundle's", "a new one", "a changed one"])
def test_a_deleted_product_is_found_no_more(live, shop, search, drawn, how, whose):
    product_id, picture = "lamp", drawn(6)
    if whose == "a new one":
        stored(live, {**LAMP, "images": [data_uri(picture)]})
    else:
        product_id, picture = ODD, shop.picture("images/p5-0.jpg")
        if whose == "a changed one":
            stored(live, partial(ODD, title="Zebra lamp", price=3.0))
    assert product_id in everything(live, search)
    assert ids(searched_with(live, picture))[0] == product_id
    count = search(live, sort=["id:asc"])["found"]
    changes = version(live, product_id)
    if how == "batch":
        assert stored(live, {"id": product_id, "delete": True}) == [changes + 1]
    else:
        answer = live.delete(path_of(product_id), params={"wait": True})
        assert answer.status_code == 200, answer.text
        TypeAdapter(DeletedResponse).validate_python(answer.json(), strict=True)
        assert (answer.json()["id"], answer.json()["version"]) == (product_id, changes + 1)
    assert_gone(live, search, product_id, picture)
    found = search(live, facets=["brand", "price"], limit=1)
    assert found["found"] == count - 1
    assert sum(value["count"] for value in found["facets"]["brand"]["values"]) == count - 1
    assert found["facets"]["price"]["statistics"]["count"] == count - 1
    assert live.get("/readyz").status_code == 200


def test_what_was_deleted_may_be_put_again_and_its_versions_go_on(live, search):
    stored(live, LAMP)
    stored(live, {"id": "lamp", "delete": True})
    assert stored(live, {"id": "lamp", "title": "Zebra light"}) == [3]
    assert ids(search(live, q="zebra", limit=1)) == ["lamp"]
    assert product(live, "lamp")["price"] is None
    assert everything(live, search) >= {"lamp", "p0"}


def test_a_shop_may_be_emptied_and_filled_again(service, shop, search):
    with service() as client:
        stored(client, *({"id": row["id"], "delete": True} for row in shop.rows))
        for asked in (
            *({"q": "red mug", "mode": mode} for mode in MODES),
            {"sort": ["price:asc"], "facets": ["brand"]},
        ):
            found = search(client, **asked)
            assert (found["hits"], found["found"]) == ([], 0)
        assert searched_with(client, shop.picture("images/p3-0.jpg"))["hits"] == []
        assert client.get("/readyz").status_code == 200
        assert metrics_of(client)["catalens_index_products", ()] == 0
    with service() as client:
        assert search(client, q="red mug")["hits"] == []
        assert client.get("/readyz").status_code == 200
        stored(client, LAMP)
        assert ids(search(client, q="zebra")) == ["lamp"]
        assert everything(client, search) == {"lamp"}


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


# --- when it is seen ---


SEEN = {
    **{mode: {"q": "{title}", "mode": mode} for mode in MODES},
    "picture": {"image": {"data": "{picture}"}},
    "picture file": {},
    "product": {"query": [{"product": "{id}"}]},
    "filter": {"filter": {"colour": "{id}"}},
    "id": {"filter": {"id": "{id}"}},
    "filtered words": {"q": "red mug", "filter": {"group": "{id}"}},
    "sort": {"sort": ["price:asc"]},
    "collapse": {"sort": ["price:asc"], "collapse": "group"},
}


def test_what_was_waited_for_is_seen_by_the_very_next_search_of_every_kind(live, search, drawn):
    kinds = list(SEEN)
    for number in range(len(kinds)):
        picture = drawn(20 + number, ("green", "purple", "yellow")[number % 3])
        item = {
            **LAMP, "id": f"new-{number}", "title": f"Zebra{number} lamp", "price": 0.5 - number / 100,
            "group": f"new-{number}", "attributes": {"colour": f"new-{number}"}, "images": [data_uri(picture)],
        }  # fmt: skip
        stored(live, item)
        for kind in kinds[number:] + kinds[:number]:  # each time another one is the very next
            if kind == "picture file":
                found = searched_with(live, picture)
            else:
                asked = json.dumps(SEEN[kind]).replace("{id}", item["id"]).replace("{title}", item["title"])
                encoded_picture = base64.b64encode(picture).decode()
                found = search(live, **json.loads(asked.replace("{picture}", encoded_picture)), limit=1)
            assert ids(found)[0] == item["id"], kind
        assert live.get(f"/v1/products/{item['id']}/similar?limit=1").json()["hits"]
        facet = search(live, facets=["colour"], filter={"brand": "Ruby"})["facets"]["colour"]["values"]
        assert {"value": item["id"], "count": 1} in facet
        stored(live, partial(item["id"], price=2_000.0 + number))
        assert ids(search(live, sort=["price:desc"], limit=1)) == [item["id"]]
        live.delete(f"/v1/products/{item['id']}?wait=true")
        assert item["id"] not in ids(search(live, sort=["price:desc"], limit=1))


def test_likes_change_with_the_catalogue(live, shop, search, drawn):
    picture = drawn(30)
    twins = [{**LAMP, "id": f"twin-{n}", "images": [data_uri(picture)]} for n in range(3)]
    stored(live, *twins)
    assert set(ids(live.get("/v1/products/twin-0/similar?limit=2").json())) == {"twin-1", "twin-2"}
    stored(live, {"id": "twin-1", "delete": True}, partial("twin-2", price=1.0))
    found = live.get("/v1/products/twin-0/similar?limit=1&shares=brand").json()
    assert (ids(found), found["hits"][0]["product"]["price"]) == (["twin-2"], 1.0)


def test_what_was_not_waited_for_is_seen_within_a_second(live, search):
    for number in range(5):
        stored(live, {**LAMP, "id": f"new-{number}", "title": f"Zebra{number}"}, wait=False)
        began = time.perf_counter()
        while ids(search(live, q=f"zebra{number}", limit=1)) != [f"new-{number}"]:
            assert time.perf_counter() - began < 1


def test_a_version_comes_with_the_product_of_that_version(live):
    for number in range(1, 30):
        stored(
            live,
            partial("p3", **({"price": float(number)} if number % 3 else {"description": str(number)})),
            wait=False,
        )
        answer = live.get("/v1/products/p3?version=true").json()
        assert answer["version"] == number
        shown = answer["product"]
        assert number in {shown["price"], int(shown["description"]) if shown["description"].isdigit() else None}


def test_a_large_batch_is_stored_while_searches_go_on(live, search, shop, drawn):
    items = [
        {"id": f"n{n}", "title": f"Zebra{n} lamp", "price": 1_000.0 + n, "images": [data_uri(drawn(n))]}
        for n in range(200)
    ]
    many = [data_uri(drawn(300 + n)) for n in range(20)]  # in all, more than may wait anywhere
    items[:20] = [{**item, "images": many} for item in items[:20]]
    with ThreadPoolExecutor(2) as threads:
        storing = threads.submit(stored, live, *items)
        searches = 0
        while not storing.done():
            assert search(live, q="red mug")["hits"]
            assert searched_with(live, shop.picture(f"images/p{10 + searches % 30}-0.jpg"))["hits"]
            searches += 1
        assert storing.result() == [1] * 200
    assert searches >= 3
    assert everything(live, search, filter={"price": {"gte": 1_000, "lt": 1_100}}) == {f"n{n}" for n in range(100)}
    assert search(live, sort=["price:desc"])["found"] == 248
    assert len(product(live, "n0")["images"]) == 20
    for number in (0, 77, 199):
        assert ids(search(live, q=f"zebra{number}", limit=1)) == [f"n{number}"]


# --- restarts, and what can go wrong ---


def test_a_restart_keeps_everything(service, drawn, search):
    def state(client):
        return [
            everything(client, search),
            *({name: product(client, name)} for name in ("lamp", "p3", "p4")),
            *(version(client, name) for name in ("lamp", "p3", "p4")),
            *(client.get(f"/v1/products/lamp/images/{n}").content for n in (0, 1)),
            *(encoded(client, name).images.tobytes() for name in ("lamp", "p3", "p4")),
            *({hit["id"]: hit["score"] for hit in search(client, q="zebra mug", mode=mode)["hits"]} for mode in MODES),
            search(client, facets=["brand", "colour", "in_stock", "price"], sort=["price:asc"])["facets"],
        ]

    with service() as client:
        stored(client, {**LAMP, "images": [data_uri(drawn(40)), data_uri(drawn(41))]}, {"id": ODD, "delete": True})
        stored(client, partial("p3", title="Zebra"), partial("p4", price=0.5, attributes={"watts": 2}))
        stored(client, partial("p3", price=1.0), partial("lamp", in_stock=False))
        before = state(client)
    with service() as client:
        assert state(client) == before
        assert stored(client, partial("p3", price=2.0)) == [3]
    with service() as client:
        assert product(client, "p3")["price"] == 2.0


def test_without_a_log_changes_are_refused_and_reading_goes_on(service, search, tmp_path):
    with service() as client:
        stored(client, partial("p3", price=0.5))
    with service(update_log="off") as client:
        for answer in (
            client.put("/v1/products", json={"products": [LAMP]}),
            client.delete("/v1/products/p3"),
            client.get("/v1/products/p3?version=true"),
        ):
            assert "update log is off" in assert_problem(answer, 503, "unavailable")["detail"]
        assert product(client, "p3")["price"] == 13.0  # as it was built
        found = search(client, q="red mug")
        assert (len(found["hits"]), found["degraded"]) == (20, [])
        assert client.get("/readyz").json()["degraded"] == []
        (tmp_path / "updates.sqlite").unlink()
    with service(update_log="off"):
        assert not list(tmp_path.glob("updates*"))


def test_a_log_that_cannot_be_reached_refuses_changes_and_no_search(service, search, tmp_path):
    with service(update_log=f"unix://{tmp_path}/nobody.sock") as client:
        found = search(client, q="red mug")
        assert (len(found["hits"]), found["degraded"]) == (20, ["updates"])
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["degraded"]) == (200, ["updates"])
        for answer in (
            client.put("/v1/products", json={"products": [LAMP]}),
            client.put("/v1/products", json={"products": [partial("p3", price=1.0)]}),
            client.put("/v1/products?wait=true", json={"products": [{"id": "p3", "delete": True}]}),
            client.delete("/v1/products/p3"),
            client.get("/v1/products/p3?version=true"),
        ):
            assert_problem(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        [faulty] = put(client, {"id": "lamp"})
        assert refused(faulty) == (422, ["products[0].title"])
        assert client.get("/v1/products/p3").status_code == 200
        assert metrics_of(client)["catalens_degraded_answers_total", (("part", "updates"),)] >= 1


def test_a_batch_that_takes_too_long_is_given_up_and_the_next_is_stored(service, shop, search):
    encoder = Counting(shop.encoder)
    with service(encoder=encoder, write_timeout_ms=300) as client:
        encoder.open.clear()
        answer = client.put("/v1/products", json={"products": [partial("p4", price=1.0), LAMP]})
        assert_problem(answer, 504, "deadline-exceeded")
        assert version(client, "p4") == 0  # all of a batch is worked out before any of it is stored
        assert stored(client, partial("p4", price=2.0)) == [1]
        encoder.open.set()
        assert stored(client, LAMP) == [1]
        assert ids(search(client, q="zebra lamp", limit=1)) == ["lamp"]


def test_closing_leaves_no_threads_behind(service):
    def threads():
        ours = ("updates", "write", "batch-")
        return {thread for thread in threading.enumerate() if thread.name.startswith(ours)}

    before = threads()
    with service() as client:
        stored(client, LAMP, partial("p3", price=1.0), wait=False)
        assert {thread.name.split("_")[0] for thread in threads() - before} >= {"updates", "write", "batch-store"}
    deadline = time.monotonic() + 5
    while threads() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not threads() - before


def test_two_services_on_one_file_see_each_other(service, search):
    with service() as one, service() as other:
        for number in range(6):
            here, there = (one, other) if number % 2 else (other, one)
            assert stored(here, partial("p3", price=float(number), if_version=number)) == [number + 1]
            assert version(there, "p3") == number + 1
            assert product(there, "p3")["price"] == number
            assert put(there, partial("p3", price=0.0, if_version=number))[0]["status"] == 409


def test_more_than_may_wait_is_refused_and_nothing_that_was_acknowledged_is_lost(service, shop, search):
    asked = []
    for n in range(1_000):
        asked += [changing(partial(f"p{n % 5}", price=float(n))), changing({"id": f"n{n}", "title": f"Zebra {n}"})]
    patience = {"request_timeout_ms": 300_000, "write_timeout_ms": 300_000}
    with service(max_waiting=8, **patience) as client:
        answers = at_once(client, asked)
        assert {answer.status_code for answer in answers} == {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                assert_problem(answer, 503, "overloaded")
                assert int(answer.headers["retry-after"]) >= 1
        changed, new = dict.fromkeys(range(5), 0), set()
        for n in range(1_000):
            for answer, is_new in ((answers[2 * n], False), (answers[2 * n + 1], True)):
                if answer.status_code == 200 and (result := answer.json()["results"][0])["status"] == 200:
                    changed[n % 5] += not is_new
                    new |= {f"n{n}"} if is_new else set()
                elif answer.status_code == 200:
                    assert refused(result) == (503, ["products[0]"])
        assert sum(changed.values()) + len(new) >= 8  # a new one may find the places taken, once it is encoded
        assert [version(client, f"p{n}") for n in range(5)] == list(changed.values())
        got = everything(client, search, filter={"brand": {"exists": False}})
        assert got == new if len(new) <= 100 else got <= new
        assert all(client.get(f"/v1/products/{name}").status_code == 200 for name in new)
        assert client.get("/v1/products/n999").status_code == (200 if "n999" in new else 404)
        assert metrics_of(client)["catalens_index_products", ()] == 48 + len(new)
        stored(client, LAMP)


def test_metrics_tell_of_updates(live):
    before = metrics_of(live)
    stored(live, LAMP, partial("p3", price=1.0), partial("p4", title="Zebra"), {"id": "p5", "title": "New"})
    stored(live, {"id": "p6", "delete": True})
    live.delete("/v1/products/p7?wait=true")
    put(live, partial("nobody", price=1.0))
    time.sleep(1.1)  # it has looked at the log again
    after = metrics_of(live)

    def grown(name, **labels):
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    assert grown("catalens_updates_applied_total") == 6
    assert after["catalens_updates_rows", ()] == 3
    assert after["catalens_updates_behind", ()] == 0
    assert 1 <= grown("catalens_updates_apply_duration_seconds_count") <= 6
    assert grown("catalens_requests_total", method="PUT", route="/v1/products", status="200") == 3
    assert grown("catalens_requests_total", method="DELETE", route="/v1/products/{id}", status="200") == 1
    assert grown("catalens_batch_size_count", kind="store") == 3
    assert after["catalens_queue_depth", (("stage", "store"),)] == 0
    assert after["catalens_index_products", ()] == 48  # two new, two deleted


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
