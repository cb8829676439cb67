"""What surrounds the answers: ids, headers, the storefront, the OpenAPI document, health and metrics."""

import json
import re

import numpy as np
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from indexer.bundle import Bundle
from models.encoder import TextTerms
from service.api import examples
from service.api.operating_views import MapResponse, ReportResponse
from service.api.schemas import ProductsRequest, SearchRequest
from service.api.views import (
    ClassifyResponse,
    DeletedResponse,
    EmbeddingsResponse,
    ProductResponse,
    ProductsResponse,
    ReadyResponse,
    SearchResponse,
)
from service.app import STOREFRONT, create_app
from service.errors import StartupError
from service.items import Item, read_items
from service.readiness import NotReadyError, expect_found, probe_row
from service.settings import Settings


def metrics_of(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_every_answer_has_a_request_id_and_a_good_one_is_kept(client):
    fresh = {client.get("/livez").headers["x-request-id"] for _ in range(3)}
    assert len(fresh) == 3
    kept = client.get("/v1/nowhere", headers={"x-request-id": "trace-4.2:a"})
    assert kept.headers["x-request-id"] == kept.json()["request_id"] == "trace-4.2:a"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "a\tb", 'a"b', "é"])
def test_a_bad_request_id_is_replaced(client, bad):
    answer = client.get("/livez", headers={"x-request-id": bad.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/", "/livez", "/v1/nowhere", "/v1/products/p1/images/0", "/docs"])
def test_answers_carry_safe_headers(client, path):
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    if path != "/docs":
        assert "unsafe" not in headers["content-security-policy"]
        assert "img-src 'self' data: blob:" in headers["content-security-policy"]


def test_the_storefront_is_served_with_its_types_and_revalidated(client):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == (STOREFRONT / "index.html").read_text(encoding="utf-8")
    again = client.get("/", headers={"if-none-match": page.headers["etag"]})
    assert again.status_code == 304
    types = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
    for file in STOREFRONT.rglob("*.*"):
        if file.suffix in types:
            answer = client.get(f"/{file.relative_to(STOREFRONT).as_posix()}")
            assert answer.status_code == 200, file
            assert answer.headers["content-type"] == types[file.suffix]
            assert answer.headers["cache-control"] == "no-cache"
    assert client.head("/").status_code == 200


def test_the_documentation_describes_every_route_and_its_problems(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/v1/search", "/v1/search/image", "/v1/products", "/v1/products/{id}", "/v1/products/{id}/similar",
        "/v1/products/{id}/images/{n}", "/v1/classify", "/v1/embeddings", "/v1/suggest",
        "/v1/bundles", "/v1/bundles/rollback", "/v1/bundles/{id}", "/v1/bundles/{id}/activate",
        "/v1/bundles/{id}/report", "/v1/bundles/{id}/map",
        "/livez", "/readyz", "/metrics",
    }  # fmt: skip
    for kind, name in re.findall(r'"#/components/(schemas|examples)/([^"]+)"', json.dumps(described)):
        assert name in described["components"][kind]
    assert "HTTPValidationError" not in described["components"]["schemas"]
    for path in described["paths"].values():
        for operation in path.values():
            assert "500" in operation["responses"]
    errors = described["paths"]["/v1/search"]["post"]["responses"]
    assert {"400", "408", "413", "415", "422", "503", "504"} <= set(errors)
    assert client.get("/docs").status_code == 200


def test_the_documented_examples_are_true(client):
    for asked in examples.SEARCH_REQUESTS:
        SearchRequest.model_validate(asked)
        assert client.post("/v1/search", json=asked).status_code == 200
    described = client.get("/openapi.json").json()
    assert described["components"]["schemas"]["SearchRequest"]["examples"] == examples.SEARCH_REQUESTS
    assert described["components"]["schemas"]["ProductsRequest"]["examples"] == examples.PRODUCTS_REQUESTS
    assert described["components"]["schemas"]["EmbeddingsRequest"]["examples"] == examples.EMBEDDINGS_REQUESTS
    for asked in examples.EMBEDDINGS_REQUESTS:
        assert client.post("/v1/embeddings", json=asked).status_code == 200
    for asked in examples.PRODUCTS_REQUESTS:
        items = read_items(ProductsRequest.model_validate(asked).products, "products")
        assert all(isinstance(item, Item) for item in items)
    shown = {name: example["value"] for name, example in described["components"]["examples"].items()}
    assert shown == examples.ANSWERS
    forms = {
        "Classify": ClassifyResponse,
        "Map": MapResponse,
        "Report": ReportResponse,
        "Embeddings": EmbeddingsResponse,
        "Search": SearchResponse,
        "SearchImage": SearchResponse,
        "Product": ProductResponse,
        "Products": ProductsResponse,
        "Deleted": DeletedResponse,
        "Ready": ReadyResponse,
    }
    for name, form in forms.items():
        TypeAdapter(form).validate_python(shown[name], strict=True)


def test_alive(client):
    assert client.get("/livez").json() == {"status": "alive"}


def test_ready_means_it_was_tried(client, bundle):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    verdict = answer.json()
    TypeAdapter(ReadyResponse).validate_python(verdict, strict=True)
    assert verdict["status"] == "ready"
    assert {check["name"]: check["ok"] for check in verdict["checks"]} == {
        "text": True,
        "image": True,
        "retrieval": True,
    }
    assert verdict["index"]["bundle"] == bundle.manifest.id


class Broken:
    """A weightless encoder that can be broken in one place while it runs."""

    def __init__(self, encoder):
        self._encoder = encoder
        self.texts = self.images = None

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def text_terms(self, texts, entities=None):
        return self.texts(texts) if self.texts else self._encoder.text_terms(texts, entities)

    def encode_images(self, images):
        return self.images(images) if self.images else self._encoder.encode_images(images)


def failing(_):
    raise RuntimeError("secret detail")


@pytest.mark.parametrize(
    ("part", "how", "check", "said"),
    [
        ("texts", failing, "text", "RuntimeError"),
        ("images", failing, "image", "RuntimeError"),
        ("images", lambda images: np.full((len(images), 64), np.nan, np.float32), "image", "not a unit vector"),
        ("images", lambda images: np.ones((len(images), 9), np.float32) / 3, "image", "not a unit vector"),
        (
            "texts",
            lambda texts: [TextTerms(("words",), np.eye(1, 64, dtype=np.float32), {}) for _ in texts],
            "text",
            "differs from the one in the bundle",
        ),
    ],
)
def test_not_ready_says_what_fails_and_ready_again_once_it_works(open_service, shop, part, how, check, said):
    encoder = Broken(shop.encoder)
    client = open_service(encoder=encoder)
    assert client.get("/readyz").status_code == 200
    setattr(encoder, part, how)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    outcome = {each["name"]: each for each in answer.json()["checks"]}
    assert answer.json()["status"] == "not_ready"
    assert [name for name, each in outcome.items() if not each["ok"]] == [check]
    assert said in outcome[check]["detail"]
    assert "secret" not in answer.text
    setattr(encoder, part, None)
    assert client.get("/readyz").status_code == 200


def test_many_twins_of_the_probe_do_not_make_it_unready(tmp_path, shop, support, make_shop):
    feeds = support("feeds")
    [twin] = feeds.products(1, pictures=1)
    twins = [{**twin, "id": f"twin{n}"} for n in range(30)]
    built = make_shop(tmp_path, shop.encoder, twins, feeds)
    with (
        Bundle.open(built.path) as bundle,
        TestClient(create_app(Settings.model_validate({"update_log": "off"}), (shop.encoder, bundle))) as client,
    ):
        assert client.get("/readyz").json()["status"] == "ready"


def test_an_index_that_lost_its_product_is_not_ready(shop, bundle):
    row = probe_row(bundle)
    expect_found(bundle, row)

    class Forgetful:
        def __init__(self, index, vectors):
            self._index, self.ntotal = index, index.ntotal
            self._lost = {n for n in range(len(vectors)) if np.dot(vectors[n], vectors[0]) > 0.5}

        def search(self, xq, k, *, width=None, among=None):
            distances, rows = self._index.search(xq, k, width=width, among=among)
            return distances, np.where(np.isin(rows, list(self._lost)), -1, rows)

    with Bundle.open(shop.path) as damaged:
        damaged.indexes = {
            space: Forgetful(index, damaged.vectors[space].astype(np.float32))
            for space, index in damaged.indexes.items()
        }
        with pytest.raises(NotReadyError, match="does not find itself"):
            expect_found(damaged, row)


def test_a_verdict_is_repeated_for_a_while(open_service, shop):
    encoder = Broken(shop.encoder)
    client = open_service(encoder=encoder, ready_cache_ms=60_000)
    encoder.texts = failing
    assert client.get("/readyz").status_code == 200


def test_an_unforeseen_error_is_a_500_without_a_leak_and_is_logged(open_service, shop):
    encoder = Broken(shop.encoder)
    client = open_service(encoder=encoder)
    encoder.texts = failing
    with capture_logs() as logs:
        answer = client.post("/v1/search", json={"q": "red mug"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
    [error] = [line for line in logs if line["event"] == "unexpected_error"]
    assert error["exc_info"]
    encoder.texts = None
    assert client.post("/v1/search", json={"q": "red mug"}).status_code == 200


def test_requests_are_logged_without_what_was_searched_for(client):
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        answer = client.post("/v1/search", json={"q": "a private matter"})
    [line] = [line for line in logs if line["event"] == "request"]
    assert line["route"] == "/v1/search"
    assert line["status"] == 200
    assert line["method"] == "POST"
    assert line["duration_ms"] > 0
    assert line["sent_bytes"] == len(answer.content)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "private" not in repr(logs)


def test_words_are_logged_when_the_settings_ask_for_it(open_service):
    client = open_service(log_queries=True)
    with capture_logs() as logs:
        client.post("/v1/search", json={"q": "no secret"})
    [line] = [line for line in logs if line["event"] == "query"]
    assert line["texts"] == ["no secret"]
    assert line["hits"] == 20


def test_metrics_count_requests_stages_batches_and_the_index(open_service, bundle, shop):
    client = open_service()
    before = metrics_of(client)
    client.post("/v1/search", json={"q": "red mug"})
    client.post("/v1/search/image", files={"image": shop.picture("images/p9-0.jpg")})
    client.post("/v1/search", json={"limit": -1})
    client.get("/v1/products/p1")
    client.get("/v1/nowhere")
    after = metrics_of(client)

    def grown(name, **labels):
        key = (name, tuple(sorted(labels.items())))
        return after.get(key, 0) - before.get(key, 0)

    def requests(method, route, status):
        return grown("catalens_requests_total", method=method, route=route, status=status)

    assert requests("POST", "/v1/search", "200") == 1
    assert requests("POST", "/v1/search", "422") == 1
    assert requests("POST", "/v1/search/image", "200") == 1
    assert requests("GET", "/v1/products/{id}", "200") == 1
    assert requests("GET", "unrouted", "404") == 1
    for stage in ("total", "decode", "encode", "retrieve", "rank"):
        assert grown("catalens_stage_duration_seconds_count", stage=stage) == 2
    assert grown("catalens_batch_size_count", kind="text") == 1
    assert grown("catalens_batch_size_count", kind="image") == 1
    assert after["catalens_queue_depth", (("stage", "encode_text"),)] == 0
    info = {"bundle": bundle.manifest.id, "model": shop.encoder.name, "fingerprint": shop.encoder.fingerprint}
    assert after["catalens_index_info", tuple(sorted(info.items()))] == 1
    assert after["catalens_index_products", ()] == 48


def test_two_apps_count_for_themselves(open_service):
    one, two = open_service(), open_service()
    one.get("/v1/nowhere")
    key = ("catalens_requests_total", (("method", "GET"), ("route", "unrouted"), ("status", "404")))
    assert metrics_of(one)[key] == 1
    assert key not in metrics_of(two)


def test_a_bundle_of_another_encoder_is_refused(shop, bundle, weightless):
    app = create_app(Settings(data_dir=shop.data_dir), (weightless(64, salt="other"), bundle))
    with pytest.raises(StartupError, match="was made by the encoder weightless-64"), TestClient(app):
        pass


def test_nothing_published_is_said_so(tmp_path):
    with (
        pytest.raises(StartupError, match="no bundle is published"),
        TestClient(create_app(Settings(data_dir=tmp_path))),
    ):
        pass
