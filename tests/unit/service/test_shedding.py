"""Refusing in front of all else: who is refused, who passes, and what is told of it."""

import asyncio
import json
import math
from contextlib import ExitStack

import pytest
import structlog

from service.admission import TIMEOUT_HEADER
from service.lifecycle import Lifecycle
from service.middleware import ANSWER_HEADERS
from service.pressure import Pressure
from service.shedding import Shedder, Shedding
from service.telemetry import Metrics

KNOWN = b'{"q": "asked before"}'
NEW = b'{"q": "never asked"}'
SEARCHES = {
    ("POST", "/v1/search"): "/v1/search",
    ("POST", "/v1/search/image"): "/v1/search/image",
    ("GET", "/v1/suggest"): "/v1/suggest",
    ("POST", "/v1/classify"): "/v1/classify",
    ("POST", "/v1/embeddings"): "/v1/embeddings",
    ("GET", "/v1/products/p%2F1/similar"): "/v1/products/{id}/similar",
}
OTHERS = [("PUT", "/v1/products"), ("GET", "/v1/products/p1"), ("GET", "/readyz"), ("GET", "/")]


class Gone:
    """What stands behind: remembers who passed, with which body."""

    def __init__(self):
        self.passed = []

    async def __call__(self, scope, receive, send):
        self.passed.append((await receive()).get("body") if scope["method"] == "POST" else b"")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Desk:
    """Shedding under `running` searches, each of which takes half a second."""

    def __init__(self, running=20):
        self.pressure, self.metrics, self.life, self.behind = Pressure(2.0), Metrics(), Lifecycle(), Gone()
        self.pressure._busy_s, self.pressure._answers = 0.5, 1.0
        self.pressure._most_wait_s, self._held = math.inf, ExitStack()
        for _ in range(running):
            self._held.enter_context(self.pressure.answering(math.inf))
        self.pressure._most_wait_s = 2.0
        self.shedder = Shedder(
            pressure=self.pressure,
            lifecycle=self.life,
            known=lambda _, body: body == KNOWN,
            metrics=self.metrics,
            timeout_ms=10_000,
        )
        self.shedding = Shedding(self.behind, self.shedder)

    async def ask(self, method="POST", path="/v1/search", body=NEW, **headers):
        """Return the status, the headers and the problem that one request gets."""
        sent, parts = [], [{"type": "http.request", "body": body}]

        async def receive():
            return parts.pop() if parts else await asyncio.sleep(3_600)

        async def send(message):
            sent.append(message)

        stated = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": stated, "state": {}}
        await self.shedding(scope, receive, send)
        status = sent[0]["status"]
        return status, dict(sent[0]["headers"]), json.loads(sent[1]["body"]) if status != 200 else None


def asked(desk, *args, **headers):
    return asyncio.run(desk.ask(*args, **headers))


@pytest.mark.parametrize(("method", "path"), SEARCHES)
def test_a_search_that_would_come_too_late_is_refused_as_it_is_further_in(method, path):
    desk = Desk()
    status, headers, problem = asked(desk, method, path)
    assert status == 503
    assert not desk.behind.passed
    assert problem["type"] == "urn:catalens:problem:overloaded"
    assert problem["detail"] == "20 searches are being answered; one more would take 10.5 s."
    assert headers[b"retry-after"] == b"11"
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"x-request-id"] == problem["request_id"].encode()
    assert {name for name, _ in ANSWER_HEADERS} < headers.keys()
    route = SEARCHES[method, path]
    counted = {"method": method, "route": route, "status": "503"}
    assert desk.metrics.registry.get_sample_value("catalens_requests_total", counted) == 1
    assert desk.metrics.registry.get_sample_value("catalens_problems_total", {"problem": "overloaded"}) == 1


@pytest.mark.parametrize(("method", "path"), OTHERS)
def test_what_is_no_search_passes(method, path):
    assert asked(Desk(), method, path)[0] == 200


@pytest.mark.parametrize("running", [0, 7])
def test_where_there_is_time_all_pass(running):
    assert asked(Desk(running), x_request_timeout_ms="1")[0] == 200


def test_what_was_answered_before_passes_with_its_body():
    desk = Desk()
    assert asked(desk, body=KNOWN)[0] == 200
    assert desk.behind.passed == [KNOWN]


def test_who_needs_headers_of_its_own_passes():
    desk = Desk()
    assert asked(desk, origin="https://shop.example")[0] == 200
    desk.life.draining = True
    assert asked(desk)[0] == 200


def test_the_time_that_a_request_states_counts():
    desk = Desk(running=8)  # one more takes 4.5 s
    assert asked(desk)[0] == 503  # no search is let wait longer than 2
    desk.pressure._most_wait_s = math.inf
    assert asked(desk)[0] == 200  # it has 10
    assert asked(desk, **{TIMEOUT_HEADER.lower().replace("-", "_"): "9000"})[0] == 503
    assert asked(desk, **{TIMEOUT_HEADER.lower().replace("-", "_"): "soon"})[0] == 200  # which is refused further in


def test_a_stated_id_comes_back():
    assert asked(Desk(), x_request_id="abc-1")[2]["request_id"] == "abc-1"


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("service.shedding._BODY_S", 0.01)
    desk = Desk()

    async def never():
        await asyncio.sleep(3_600)

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/search", "headers": [], "state": {}}
    asyncio.run(desk.shedding(scope, never, send))
    assert sent[0]["status"] == 503


def test_a_thousand_refusals_are_one_line(monkeypatch):
    monkeypatch.setattr("service.shedding._LINE_S", 0.05)
    desk = Desk()

    async def scenario():
        for _ in range(1_000):
            await desk.ask()
        await asyncio.sleep(0.2)
        await desk.ask()
        await asyncio.sleep(0.2)

    with structlog.testing.capture_logs() as lines:
        asyncio.run(scenario())
    told = [line["count"] for line in lines if line["event"] == "searches_refused"]
    assert sum(told) == 1_001
    assert told[-1] == 1
    assert len(told) < 100
    assert all(line["log_level"] == "warning" and "10.5 s" in line["reason"] for line in lines)
