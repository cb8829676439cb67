"""Admission around a bare ASGI app: what time a request gets, which times are refused, and who is turned away."""

import asyncio
import contextlib
import json
import math
import time

import pytest

from service.admission import MOST_TIMEOUT_MS, TIMEOUT_HEADER, Admission, Deadlines
from service.pressure import Pressure

TIMEOUT_MS = 10_000
SEARCHES = [
    "/v1/search", "/v1/search/image", "/v1/classify", "/v1/embeddings", "/v1/suggest", "/v1/products/p%2F1/similar",
]  # fmt: skip
OTHERS = ["/v1/products", "/v1/products/p1", "/v1/products/p1/images/0", "/v1/bundles"]
OUTSIDE = ["/", "/readyz", "/livez", "/metrics", "/v1", "/openapi.json"]


class Reached:
    """What stands behind: remembers the scopes that came so far."""

    def __init__(self):
        self.scopes = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})


class Asked:
    """One request: its status, its headers, its problem, and what it had become when it was passed on."""

    def __init__(self, path="/v1/search", stated=None, *, pressure=None, kind="http", **state):
        reached = Reached()
        headers = [] if stated is None else [(TIMEOUT_HEADER.lower().encode(), stated)]
        scope = {"type": kind, "method": "POST", "path": path, "headers": headers}
        scope["state"] = {"request_id": "r1", **state}
        sent = []

        async def receive():
            raise AssertionError("nobody reads the body to find out when a request is due")

        async def send(message):
            sent.append(message)

        admission = Admission(reached, pressure=pressure or Pressure(2.0))
        whole = admission if "due" in state else Deadlines(admission, timeout_ms=TIMEOUT_MS)
        asyncio.run(whole(scope, receive, send))
        self.state = reached.scopes[0]["state"] if reached.scopes else None
        self.status = sent[0]["status"] if sent else None
        self.headers = dict(sent[0]["headers"]) if sent else {}
        self.problem = json.loads(sent[1]["body"]) if self.status not in {None, 200} else {}

    @property
    def left_ms(self):
        return (self.state["due"] - time.monotonic()) * 1000


class Busy(Pressure):
    """A pressure under many requests that take long: 8 are answered whatever is forecast."""

    def __init__(self, each_s=60.0, running=8):
        began = time.monotonic()
        times = iter([began, began + each_s])
        super().__init__(2.0, lambda: next(times, None) or time.monotonic())
        with self.answering(math.inf):
            pass
        self._held = contextlib.ExitStack()
        for _ in range(running):
            self._held.enter_context(self.answering(math.inf))


@pytest.mark.parametrize(
    ("stated", "ms"),
    [(None, TIMEOUT_MS), (b"1500", 1_500), (b"0001500", 1_500), (b"3600000", TIMEOUT_MS), (b"10001", TIMEOUT_MS)],
)
def test_a_request_is_due_when_it_says_but_no_later_than_the_service_says(stated, ms):
    for path in SEARCHES + OTHERS:
        asked = Asked(path, stated)
        assert asked.status == 200
        assert ms - 1_000 < asked.left_ms <= ms


@pytest.mark.parametrize(
    "stated",
    [b"", b"0", b"00", b"-1", b"+5", b"1.5", b"1e3", b"0x10", b" 5", b"5 ", b"5,6", b"1_000", b"abc", b"\xff", b"NaN",
     "١٢".encode(), b"3600001", b"9999999", b"10000000", b"9" * 5_000],
)  # fmt: skip
def test_a_time_that_is_none_is_refused_by_name(stated):
    for path in ("/v1/search", "/v1/products"):
        asked = Asked(path, stated)
        assert asked.status == 422
        assert asked.state is None
        assert asked.problem["type"] == "urn:catalens:problem:invalid-request"
        assert [error["path"] for error in asked.problem["errors"]] == [TIMEOUT_HEADER]
        assert f"{MOST_TIMEOUT_MS:,}" in asked.problem["detail"]
        assert asked.problem["request_id"] == "r1"


@pytest.mark.parametrize("path", OUTSIDE)
def test_what_is_not_the_api_has_no_time(path):
    asked = Asked(path, b"abc", pressure=Busy())
    assert asked.status == 200
    assert "due" not in asked.state


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_what_is_no_request_passes(kind):
    assert "due" not in Asked(kind=kind).state


@pytest.mark.parametrize("path", SEARCHES)
def test_searches_that_would_come_too_late_are_refused_with_a_time_to_come_back(path):
    asked = Asked(path, pressure=Busy())
    assert asked.status == 503
    assert asked.state is None
    assert asked.problem["type"] == "urn:catalens:problem:overloaded"
    assert asked.headers[b"retry-after"] == b"540"


@pytest.mark.parametrize("path", OTHERS)
def test_what_is_no_search_is_not_refused_for_searches(path):
    assert Asked(path, pressure=Busy()).status == 200


def test_a_search_that_has_less_time_than_is_forecast_is_refused():
    assert Asked(pressure=Busy(each_s=0.05), stated=b"2000").status == 200
    assert Asked(pressure=Busy(each_s=0.05), stated=b"500").status == 503


@pytest.mark.parametrize("path", SEARCHES)
def test_a_search_that_is_due_already_is_not_begun(path):
    asked = Asked(path, due=time.monotonic() - 0.001)
    assert asked.status == 504
    assert asked.state is None
    assert asked.problem["type"] == "urn:catalens:problem:deadline-exceeded"


class Crowd:
    """An app whose callers all wait: it reads what has come of the body, and answers nobody before it is told to."""

    def __init__(self):
        self.inside = 0
        self.open = asyncio.Event()

    async def __call__(self, scope, receive, send):
        await receive()
        self.inside += 1
        await self.open.wait()
        self.inside -= 1


def crowd_of(count, body):
    """Return how many of `count` requests that come in one go are let in, and how many searches one then waits for."""
    pressure = Busy(each_s=0.05, running=0)  # 0.05 s each: 20 of them in half of 2 s

    async def receive():
        return body

    async def send(_):
        pass

    def scope():
        return {"type": "http", "method": "POST", "path": "/v1/search", "headers": [], "state": {"request_id": "r"}}

    async def scenario():
        crowd = Crowd()
        admission = Deadlines(Admission(crowd, pressure=pressure), timeout_ms=2_000)
        asked = [asyncio.ensure_future(admission(scope(), receive, send)) for _ in range(count)]
        await asyncio.sleep(0)
        inside, wait_s = crowd.inside, pressure.wait_s
        crowd.open.set()
        await asyncio.gather(*asked)
        assert pressure.wait_s == pytest.approx(0.05)  # nobody is waited for who has been answered
        return inside, round(wait_s / 0.05) - 1

    return asyncio.run(scenario())


def test_those_that_come_in_one_go_are_told_of_each_other():
    """None of them has been begun when the last of them is asked whether there is time for it."""
    assert crowd_of(100, {"type": "http.request", "body": b"{}"}) == (19, 19)


@pytest.mark.parametrize(
    "body",
    [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}],
    ids=["slow", "gone"],
)
def test_who_has_not_arrived_keeps_nobody_waiting(body):
    assert crowd_of(100, body) == (100, 0)


def test_refusing_is_cheap():
    """A refusal costs well below a millisecond, so that it can be given thousands of times a second."""
    reached = Reached()
    admission = Deadlines(Admission(reached, pressure=Busy()), timeout_ms=TIMEOUT_MS)

    async def nothing(*_):
        return {}

    async def refuse(times):
        for _ in range(times):
            await admission(
                {"type": "http", "method": "POST", "path": "/v1/search", "headers": [], "state": {"request_id": "r"}},
                nothing,
                nothing,
            )

    asyncio.run(refuse(20))
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        asyncio.run(refuse(100))
        spent.append(time.perf_counter() - began)
    assert min(spent) / 100 < 0.005
    assert not reached.scopes
