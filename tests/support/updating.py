"""Products that are changed over HTTP: services with update logs, what is sent to them, and what they then show."""

import asyncio
import base64
import threading
from urllib.parse import quote

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from service.api.views import ProblemView, ProductResponse, ProductsResponse
from service.app import create_app
from service.settings import Settings

RESULTS = TypeAdapter(ProductsResponse)
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


def opening(shop, bundle, folder):
    """Return what opens services over the shop with their update log in `folder`, given settings or an encoder."""

    def start(*, encoder=shop.encoder, **settings):
        given = {"data_dir": folder, "ready_cache_ms": 0, "write_timeout_ms": 20_000, **settings}
        return TestClient(create_app(Settings.model_validate(given), (encoder, bundle)))

    return start


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
