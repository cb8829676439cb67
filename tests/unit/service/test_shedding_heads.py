"""Searches refused by the protocol that reads them, on real sockets: who is, who is left to what stands behind."""

import asyncio
import contextlib
import json

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.heads import SheddingHeads
from service.lifecycle import Lifecycle
from service.middleware import ANSWER_HEADERS
from service.pressure import Pressure
from service.shedding import Shedder, Shedding
from service.telemetry import Metrics

KNOWN, NEW = b'{"q":"asked before"}', b'{"q":"never asked"}'
HEAD = b"POST /v1/search HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n"


def request(body=NEW, more=b"", head=HEAD):
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (head, more, len(body), body)


class Answering:
    """What stands behind: answers all with their own bodies."""

    def __init__(self):
        self.passed = []

    async def __call__(self, scope, receive, send):
        message = await receive()
        self.passed.append(message["body"])
        length = str(len(message["body"])).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": message["body"]})


class Place:
    """A server on a free port, under so much pressure that a search would take ten seconds."""

    def __init__(self, running=20):
        self.pressure, self.metrics, self.behind = Pressure(2.0), Metrics(), Answering()
        self.pressure._running, self.pressure._busy_s, self.pressure._answers = running, 0.5, 1.0
        self.shedder = Shedder(
            pressure=self.pressure,
            lifecycle=Lifecycle(),
            known=lambda _, body: body == KNOWN,
            metrics=self.metrics,
            timeout_ms=10_000,
        )

    async def __aenter__(self):
        config = uvicorn.Config(
            Shedding(self.behind, self.shedder), lifespan="off", ws="none", log_config=None, server_header=False
        )
        config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"now")]
        self.server = await asyncio.get_running_loop().create_server(
            lambda: SheddingHeads(self.shedder, config=config, server_state=self.state, app_state={}), "127.0.0.1", 0
        )
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.line.close()
        await asyncio.sleep(0.01)  # for what it was answered with to end

    async def connect(self):
        self.line = Line(*await asyncio.open_connection(*self.server.sockets[0].getsockname()))
        return self.line


class Line:
    """One connection."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    def say(self, data):
        self._writer.write(data)

    async def answer(self):
        """Return the status, the headers and the body of the next answer."""
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 5)
        first, *lines = head.decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await self._reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), headers, body

    async def close(self):
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def is_closed(self):
        return await asyncio.wait_for(self._reader.read(), 5) == b""


def conversation(talk, running=20):
    """Return what `talk` returns of a server and a connection to it."""

    async def scenario():
        async with Place(running) as place:
            return await talk(place, await place.connect())

    return asyncio.run(scenario())


async def asked(line, *data):
    for part in data:
        line.say(part)
        await asyncio.sleep(0.05 * (len(data) > 1))
    return await line.answer()


def test_a_search_that_came_whole_is_refused_and_its_connection_goes_on():
    async def talk(place, line):
        answers = [await asked(line, request(more=b"x-request-id: a-%d\r\n" % number)) for number in range(3)]
        place.pressure._running = 0
        return place, answers, await asked(line, request())

    place, answers, (status, _, body) = conversation(talk)
    for number, (refused, headers, problem) in enumerate(answers):
        assert refused == 503
        assert headers["retry-after"] == "11"
        assert headers["x-request-id"] == json.loads(problem)["request_id"] == f"a-{number}"
        assert headers["content-type"] == "application/problem+json"
        assert "date" in headers
        assert {name.decode() for name, _ in ANSWER_HEADERS} < headers.keys()
    assert (status, body) == (200, NEW)
    assert place.behind.passed == [NEW]
    counted = {"method": "POST", "route": "/v1/search", "status": "503"}
    assert place.metrics.registry.get_sample_value("catalens_requests_total", counted) == 3
    assert place.state.total_requests == 4


def test_it_is_refused_in_the_words_of_what_stands_behind():
    async def talk(place, line):
        at_once = await asked(line, request(more=b"x-request-id: a\r\n"))
        whole = request(more=b"x-request-id: a\r\n")
        late = await asked(line, whole[:-3], whole[-3:])
        return place, at_once, late

    place, at_once, late = conversation(talk)
    assert at_once == late
    assert place.behind.passed == []


@pytest.mark.parametrize("running", [0, 7])
def test_where_there_is_time_all_pass(running):
    assert conversation(lambda _, line: asked(line, request()), running)[0] == 200


PASSING = {
    "known": request(KNOWN),
    "no search": request(head=b"POST /v1/other HTTP/1.1\r\nhost: shop\r\n"),
    "from another site": request(more=b"origin: https://shop.example\r\n"),
}


@pytest.mark.parametrize("which", PASSING)
def test_others_are_left_to_what_stands_behind(which):
    async def talk(place, line):
        return await asked(line, PASSING[which]), place.behind.passed

    (status, _, body), passed = conversation(talk)
    assert (status, [body]) == (200, passed)


CLOSING = {
    "asked for": request(more=b"connection: close\r\n"),
    "of an older version": request(head=b"POST /v1/search HTTP/1.0\r\nhost: shop\r\n"),
}


@pytest.mark.parametrize("which", CLOSING)
def test_a_connection_that_is_to_end_ends_with_its_refusal(which):
    async def talk(_, line):
        return await asked(line, CLOSING[which]), await line.is_closed()

    (status, headers, _), closed = conversation(talk)
    assert (status, headers["connection"], closed) == (503, "close", True)


def test_requests_in_one_go_are_answered_in_their_order():
    async def talk(_, line):
        line.say(request() + request(KNOWN) + request() + request(KNOWN))
        return [(await line.answer())[0] for _ in range(4)]

    assert conversation(talk) == [503, 200, 503, 200]


def test_what_follows_a_search_and_is_no_request_ends_the_connection():
    async def talk(place, line):
        line.say(request() + b"no request\r\n\r\n")
        first = await line.answer()
        return place, first, await line.is_closed()

    place, first, closed = conversation(talk)
    assert (first[0], closed) == (400, True)
    assert place.behind.passed == []
