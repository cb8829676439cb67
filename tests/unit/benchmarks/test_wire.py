"""Requests as bytes, and answers however they come."""

import orjson
import pytest

from benchmarks.wire import Connection, get, post


@pytest.fixture
def connection(server):
    opened = Connection(server)
    yield opened
    opened.close()


def test_a_connection_carries_request_after_request(connection):
    for text in ("first", "second"):
        answer = connection.ask(post("/ok", {"q": text}))
        assert (answer.status, orjson.loads(answer.body), answer.keeps) == (200, {"q": text}, True)


def test_other_statuses_are_answers_too(connection):
    assert connection.ask(post("/busy", {})).status == 503


def test_chunks_are_put_together(connection):
    assert connection.ask(get("/pieces")).body == b"abcde"


def test_the_last_answer_of_a_connection_says_so(connection):
    assert not connection.ask(get("/last")).keeps


def test_a_closed_connection_is_an_error(connection):
    with pytest.raises(ConnectionResetError):
        connection.ask(get("/gone"))


def test_headers_are_sent(connection):
    request = post("/ok", {"q": 1}, {"x-request-timeout-ms": "250"})
    assert b"\r\nx-request-timeout-ms: 250\r\n" in request
    assert request.endswith(b'\r\n\r\n{"q":1}')
