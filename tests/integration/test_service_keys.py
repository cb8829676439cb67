"""A whole service behind keys: what each opens, quotas that refuse at once, and keys that are never told on."""

import asyncio
import hashlib
import socket
import statistics
import threading
import time
from contextlib import ExitStack

import httpx
import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from service.api.views import ProblemView
from service.app import create_app
from service.auth import add_key, revoke_key
from service.errors import StartupError
from service.otlp import Collected
from service.scopes import ROUTES, Scope, scope_of
from service.settings import Settings

PROBLEM = TypeAdapter(ProblemView)
OPEN = {"/livez", "/readyz", "/metrics", "/docs", "/docs/oauth2-redirect", "/openapi.json"}
RED = {"q": "red mug"}
SAFE = ("x-request-id", "x-content-type-options", "x-frame-options", "content-security-policy", "referrer-policy")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def keys(path):
    """A key for each right, by its name."""
    return {scope.value: add_key(path, scope.value, [scope]) for scope in Scope}


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def assert_problem(answer, status, kind):
    assert answer.status_code == status, answer.text
    problem = answer.json()
    PROBLEM.validate_python(problem, strict=True)
    assert problem["type"] == f"urn:catalens:problem:{kind}"
    assert problem["request_id"] == answer.headers["x-request-id"]
    for header in SAFE:
        assert answer.headers[header]


def routes_of(routes):
    for route in routes:
        if inner := getattr(route, "original_router", None):
            yield from routes_of(inner.routes)
        elif template := getattr(route, "path", None):
            yield from ((method, template) for method in route.methods)


def test_every_route_of_the_app_is_in_the_table_or_known_to_be_open():
    app = create_app(Settings())
    there = set(routes_of(app.routes))
    described = {(method.upper(), path) for path, on in app.openapi()["paths"].items() for method in on}
    assert described <= there
    assert {route for route in there if route[1].startswith("/v1")} == set(ROUTES)
    assert {path for _, path in there if not path.startswith("/v1")} == OPEN
    assert not any(scope_of(method, path) for method, path in there if path in OPEN)


def test_the_document_says_what_each_route_needs_and_how_it_refuses(client):
    described = client.get("/openapi.json").json()
    assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert described["components"]["securitySchemes"]["key"]["name"] == "X-API-Key"
    for (method, template), scope in ROUTES.items():
        operation = described["paths"][template][method.lower()]
        assert operation["security"] == [{"bearer": [scope]}, {"key": [scope]}]
        assert {"401", "403", "429"} <= set(operation["responses"])
        assert "Retry-After" in operation["responses"]["429"]["headers"]
    assert "security" not in described["paths"]["/livez"]["get"]


def test_each_key_does_its_own_and_every_refusal_is_a_problem_with_safe_headers(open_service, path, keys):
    client = open_service(keys_file=path)
    assert client.post("/v1/search", json=RED, headers=bearer(keys["search"])).status_code == 200
    assert client.get("/v1/products/p1/images/0", headers={"x-api-key": keys["search"]}).status_code == 200
    assert_problem(client.post("/v1/search", json=RED), 401, "unauthenticated")
    assert_problem(client.post("/v1/search", json=RED, headers=bearer(keys["write"])), 403, "forbidden")
    assert_problem(client.delete("/v1/products/p1", headers=bearer(keys["search"])), 403, "forbidden")
    assert_problem(client.delete("/v1/products/p1", headers=bearer(keys["write"])), 503, "unavailable")
    assert_problem(client.post("/v1/bundles/rollback", headers=bearer(keys["write"])), 403, "forbidden")
    assert_problem(client.get("/v1/nowhere"), 401, "unauthenticated")
    assert_problem(client.get("/v1/nowhere", headers=bearer(keys["search"])), 403, "forbidden")
    assert_problem(client.get("/v1/nowhere", headers=bearer(keys["admin"])), 404, "not-found")
    for open_path in (*OPEN, "/", "/app.js"):
        assert client.get(open_path).status_code in {200, 404}, open_path


def test_an_open_search_needs_no_key_but_believes_none_that_is_wrong(open_service, path, keys):
    client = open_service(keys_file=path, anonymous="search", anonymous_rate="3/hour")
    assert client.post("/v1/search", json=RED).status_code == 200
    assert_problem(client.put("/v1/products", json={"products": []}), 401, "unauthenticated")
    assert_problem(client.post("/v1/search", json=RED, headers=bearer(keys["search"] + "x")), 401, "unauthenticated")
    assert [client.get("/v1/suggest?q=r").status_code for _ in range(2)] == [200, 200]
    assert_problem(client.post("/v1/search", json=RED), 429, "rate-limited")
    assert client.post("/v1/search", json=RED, headers=bearer(keys["search"])).status_code == 200


def test_keys_added_and_revoked_count_within_a_second(open_service, path, keys):
    client = open_service(keys_file=path)
    added = add_key(path, "later", [Scope.SEARCH])
    revoke_key(path, "search")
    time.sleep(0.6)
    assert client.post("/v1/search", json=RED, headers=bearer(added)).status_code == 200
    assert_problem(client.post("/v1/search", json=RED, headers=bearer(keys["search"])), 401, "unauthenticated")


def test_a_damaged_key_file_ends_the_start(shop, bundle, path):
    path.write_text("{}}")
    with pytest.raises(StartupError, match=r"keys\.json is damaged"):
        create_app(Settings(data_dir=shop.data_dir, keys_file=path), (shop.encoder, bundle))


PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


@pytest.mark.parametrize("allowed", ["https://shop.example", "https://a.example, https://shop.example:8443/", "*"])
def test_pages_of_other_origins_may_call_where_the_settings_name_them(open_service, path, keys, allowed):
    if allowed.endswith("/"):
        with pytest.raises(ValueError, match="must be origins such as"):
            Settings(cors_origins=allowed)
        return
    client = open_service(keys_file=path, cors_origins=allowed)
    origin = {"origin": "https://shop.example"}
    before = client.options("/v1/search", headers={**origin, **PREFLIGHT})
    assert before.status_code == 200
    assert "authorization" in before.headers["access-control-allow-headers"].lower()
    refused = client.post("/v1/search", json=RED, headers=origin)
    assert_problem(refused, 401, "unauthenticated")
    for answer in (before, refused, client.post("/v1/search", json=RED, headers={**origin, **bearer(keys["search"])})):
        assert answer.headers["access-control-allow-origin"] in {"*", "https://shop.example"}
        assert all(answer.headers[header] for header in SAFE)
    stranger = client.options("/v1/search", headers={"origin": "https://evil.example", **PREFLIGHT})
    assert stranger.headers.get("access-control-allow-origin") == ("*" if allowed == "*" else None)


def test_without_that_setting_no_other_origin_is_let_in(open_service):
    answer = open_service().post("/v1/search", json=RED, headers={"origin": "https://shop.example"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.fixture
def serving(shop, bundle, support):
    """Serve the shop on a real socket: `with serving(keys_file=path) as (host, port)`."""

    def serve(**settings):
        given = Settings.model_validate({"data_dir": shop.data_dir, "update_log": "off", **settings})
        return support("live").serving(create_app(given, (shop.encoder, bundle)))

    return serve


@pytest.mark.clock
def test_a_refusal_takes_a_fraction_of_ten_milliseconds(shop, bundle, path):
    key = add_key(path, "flood", [Scope.SEARCH], "1/day")
    given = {"data_dir": shop.data_dir, "update_log": "off", "keys_file": path}
    app = create_app(Settings.model_validate(given), (shop.encoder, bundle))
    scope = {
        "type": "http", "method": "POST", "path": "/v1/search", "raw_path": b"/v1/search", "query_string": b"",
        "client": ("192.0.2.1", 5), "http_version": "1.1", "scheme": "http", "server": ("test", 80), "root_path": "",
        "headers": [
            (b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json"),
            (b"content-length", b"12"),
        ],
    }  # fmt: skip

    read = []

    async def receive():
        if read:
            await asyncio.sleep(3_600)  # the caller stays
        read.append(True)
        return {"type": "http.request", "body": b'{"q": "red"}', "more_body": False}

    async def answer(state):
        sent = []

        async def send(message):
            sent.append(message)

        began = time.perf_counter()
        await app({**scope, "state": dict(state)}, receive, send)
        return time.perf_counter() - began, sent[0]["status"]

    async def scenario():
        async with app.router.lifespan_context(app) as state:
            assert (await answer(state))[1] == 200
            read.clear()
            return [await answer(state) for _ in range(100)]

    refusals = asyncio.run(scenario())
    assert {status for _, status in refusals} == {429}
    assert not read
    took_ms = sorted(seconds * 1000 for seconds, _ in refusals)
    assert statistics.median(took_ms) < 10
    assert took_ms[98] < 100


def test_who_floods_is_refused_and_nobody_else_is_slowed(serving, path):
    flooding = add_key(path, "flooding", [Scope.SEARCH], "5/minute")
    quiet = add_key(path, "quiet", [Scope.SEARCH], "1000/minute")
    ended, statuses = threading.Event(), []

    def flood(base):
        with httpx.Client(base_url=base, headers=bearer(flooding), timeout=30) as client:
            while not ended.is_set():
                statuses.append(client.post("/v1/search", json=RED).status_code)

    with serving(keys_file=path) as (host, port), ExitStack() as closing:
        base = f"http://{host}:{port}"
        threads = [threading.Thread(target=flood, args=(base,)) for _ in range(3)]
        closing.callback(lambda: [thread.join(30) for thread in threads])
        closing.callback(ended.set)
        for thread in threads:
            thread.start()
        while statuses.count(429) < 20:
            time.sleep(0.005)
        with httpx.Client(base_url=base, headers=bearer(quiet), timeout=30) as client:
            answers = [client.post("/v1/search", json={"q": f"red mug {n}"}) for n in range(40)]
    assert [answer.status_code for answer in answers] == [200] * 40
    assert statuses.count(200) == 5
    assert set(statuses) == {200, 429}
    assert statistics.median(answer.elapsed.total_seconds() for answer in answers) < 1


def test_a_refusal_does_not_wait_for_the_body_it_was_promised(serving, path, keys):
    with (
        serving(keys_file=path) as address,
        socket.create_connection(address, timeout=10) as connection,
    ):
        connection.sendall(b"PUT /v1/products HTTP/1.1\r\nhost: t\r\ncontent-length: 20000000\r\n\r\n")
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer.lower()


class Failing:
    """The shop's encoder, which fails at one text in a way nobody foresaw."""

    def __init__(self, encoder):
        self._encoder = encoder

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def text_terms(self, texts, entities=None):
        if any("boom" in text for text in texts):
            raise RuntimeError("boom")
        return self._encoder.text_terms(texts, entities)


def test_keys_are_never_told_on(path, keys, shop, bundle, caplog):
    wrong = "cat_" + "W" * 43
    limited = add_key(path, "limited", [Scope.SEARCH], "1/hour")
    processors = [structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info]
    caplog.set_level("DEBUG")
    given = {"data_dir": shop.data_dir, "update_log": "off", "keys_file": path, "max_body_bytes": 100_000}
    settings = Settings.model_validate({**given, "log_queries": True})
    exporter = InMemorySpanExporter()
    traces = Collected(exporter, show_queries=True)
    app = create_app(settings, (Failing(shop.encoder), bundle), traces=traces)
    with capture_logs(processors=processors) as logs, TestClient(app) as client:
        answers = [
            client.post("/v1/search", json=RED, headers=headers)
            for key in (*keys.values(), limited, limited, wrong)
            for headers in (
                bearer(key),
                {"x-api-key": key},
                {"authorization": key},
                {**bearer(key), "x-api-key": wrong},
            )
        ]
        good = bearer(keys["search"])
        answers += [
            client.post("/v1/search", json={"q": 1}, headers=good),
            client.post("/v1/search", json={"q": "r" * 200_000}, headers=good),
            client.get("/v1/products/none", headers=good),
            client.get("/v1/nowhere", headers=bearer(keys["admin"])),
        ]
        answers += [client.post("/v1/search", json={"q": "boom"}, headers=good), client.get("/metrics")]
        traces.provider.force_flush()
        spans = [span.to_json() for span in exporter.get_finished_spans()]
    assert {answer.status_code for answer in answers} == {200, 401, 403, 404, 413, 422, 429, 500}
    assert any("RuntimeError" in line.get("exception", "") for line in logs)
    assert len(spans) > 20
    told = [repr(logs), caplog.text, *spans, *(answer.text + repr(answer.headers) for answer in answers)]
    for key in (*keys.values(), limited, wrong):
        digest = hashlib.sha256(key.encode())
        for secret in (key, key.removeprefix("cat_"), digest.hexdigest(), repr(digest.digest())):
            assert not any(secret in text for text in told)
    assert 'catalens_key_requests_total{key="search",outcome="admitted"}' in answers[-1].text
    assert {line.get("key") for line in logs if line["event"] == "request"} == {None, *keys, "limited"}
