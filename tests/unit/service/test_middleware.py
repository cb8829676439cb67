"""The middleware around a bare ASGI app: bodies cut off in time, raw paths, unforeseen errors."""

import asyncio
import json

import pytest
from starlette.exceptions import HTTPException
from structlog.testing import capture_logs

from service.lifecycle import Lifecycle
from service.middleware import BodyLimit, RawProductPaths, RequestContext
from service.telemetry import Metrics

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


def scope_of(path="/", headers=(), raw=None, kind="http"):
    return {
        "type": kind, "method": "POST", "path": path, "raw_path": path.encode() if raw is None else raw,
        "query_string": b"", "headers": list(headers), "state": {"request_id": "r1"},
    }  # fmt: skip


def arriving(*chunks, pause=0.0):
    """An ASGI receive that brings chunks, the last one marked as the last."""
    waiting = list(chunks)

    async def receive():
        await asyncio.sleep(pause)
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    return receive


class Sent(list):
    async def __call__(self, message):
        self.append(message)

    @property
    def status(self):
        return self[0]["status"]


async def echo(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def test_a_body_within_its_limits_passes():
    sent = Sent()
    app = BodyLimit(echo, max_bytes=6, timeout_s=5)
    await app(scope_of(headers=[(b"content-length", b"6")]), arriving(b"abc", b"def"), sent)
    assert sent[1]["body"] == b"abcdef"


async def test_a_body_over_its_limit_stops_at_the_limit():
    app = BodyLimit(echo, max_bytes=5, timeout_s=5)
    with pytest.raises(HTTPException) as refused:
        await app(scope_of(), arriving(b"abc", b"def", b"ghi"), Sent())
    assert refused.value.status_code == 413
    assert refused.value.headers["connection"] == "close"


async def test_a_stated_length_over_the_limit_is_refused_before_reading():
    sent = Sent()
    receive = arriving(b"never read")
    app = BodyLimit(echo, max_bytes=5, timeout_s=5)
    await app(scope_of(headers=[(b"content-length", b"6")]), receive, sent)
    assert sent.status == 413
    assert json.loads(sent[1]["body"])["errors"][0]["path"] == "body"
    assert (await receive())["body"] == b"never read"


async def test_a_slow_body_is_given_up():
    app = BodyLimit(echo, max_bytes=100, timeout_s=0.05)
    with pytest.raises(HTTPException) as refused:
        await app(scope_of(), arriving(*[b"x"] * 50, pause=0.02), Sent())
    assert refused.value.status_code == 408


async def test_time_counts_for_the_body_alone():
    async def reads_then_waits(scope, receive, send):
        await receive()
        await asyncio.sleep(0.1)
        assert (await receive())["type"] == "http.disconnect"
        await echo(scope, arriving(b""), send)

    sent = Sent()
    await BodyLimit(reads_then_waits, max_bytes=100, timeout_s=0.05)(scope_of(), arriving(b"x"), sent)
    assert sent.status == 200


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/v1/products/a%2Fb/similar?limit=3", "/v1/products/a%2Fb/similar"),
        (b"/v1/products/%252F", "/v1/products/%252F"),
        ("/v1/products/ü".encode(), "/v1/products/%C3%BC"),
        (None, "/v1/products/p1"),
    ],
)
async def test_product_paths_are_routed_as_they_were_sent(raw, path):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["path"])

    scope = scope_of("/v1/products/p1", raw=raw)
    if raw is None:
        del scope["raw_path"]
    await RawProductPaths(app)(scope, arriving(), Sent())
    assert seen == [path]


async def test_other_paths_and_other_kinds_of_scope_are_left_alone():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    metrics = Metrics()
    layers = RawProductPaths(RequestContext(BodyLimit(app, max_bytes=1, timeout_s=1), metrics, Lifecycle()))
    lifespan = scope_of(kind="lifespan")
    await layers(lifespan, arriving(), Sent())
    assert seen == [lifespan]
    await RawProductPaths(app)(scope_of("/a b", raw=b"/a%20b"), arriving(), Sent())
    assert seen[1]["path"] == "/a b"


async def test_an_error_before_the_answer_is_a_500_and_is_logged():
    async def app(scope, receive, send):
        raise KeyError("secret")

    sent = Sent()
    with capture_logs() as logs:
        await RequestContext(app, Metrics(), Lifecycle())(scope_of(), arriving(), sent)
    assert sent.status == 500
    assert b"secret" not in sent[1]["body"]
    assert [line["event"] for line in logs] == ["unexpected_error", "request"]
    assert logs[1]["status"] == 500


async def test_an_error_within_the_answer_breaks_the_connection():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError("late")

    with capture_logs() as logs, pytest.raises(KeyError):
        await RequestContext(app, Metrics(), Lifecycle())(scope_of(), arriving(), Sent())
    assert logs[0]["event"] == "unexpected_error"


async def test_an_answer_s_own_headers_are_kept():
    async def app(scope, receive, send):
        headers = [(b"cache-control", b"public"), (b"content-security-policy", b"none")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    sent = Sent()
    await RequestContext(app, Metrics(), Lifecycle())(scope_of(), arriving(), sent)
    headers = dict(sent[0]["headers"])
    assert headers[b"cache-control"] == b"public"
    assert headers[b"content-security-policy"] == b"none"
    assert headers[b"x-content-type-options"] == b"nosniff"


async def test_while_draining_every_answer_ends_its_connection():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    lifecycle = Lifecycle()
    for draining in (False, True):
        lifecycle.draining = draining
        sent = Sent()
        await RequestContext(app, Metrics(), lifecycle)(scope_of(), arriving(), sent)
        assert (dict(sent[0]["headers"]).get(b"connection") == b"close") is draining
