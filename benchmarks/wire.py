"""HTTP/1.1 as cheaply as Python can speak it: whole requests as bytes, one socket each, answers told by epoll.

A client library takes milliseconds of the cores that the service needs; this takes some tens of microseconds.
"""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httptools
import orjson

RECEIVE_BYTES = 1 << 18
DEADLINE_HEADER = "x-request-timeout-ms"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The last answer of a connection.

    Attributes:
        status: of HTTP.
        body: as it came.
        at: when its last byte was read, by `time.perf_counter`.
        keeps: whether the connection takes another request.
    """

    status: int
    body: bytes
    at: float
    keeps: bool


def get(path: str) -> bytes:
    """Return a GET request."""
    return _request("GET", path, {}, b"")


def post(path: str, body: object, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a POST request with `body` as JSON."""
    return _request("POST", path, {"content-type": "application/json", **(headers or {})}, orjson.dumps(body))


def _request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    stated = {"host": "localhost", "content-length": str(len(body)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in stated.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    """A kept-alive connection with one request under way at a time."""

    def __init__(self, address: Address, timeout_s: float = 5.0) -> None:
        self._socket = socket.create_connection((address.host, address.port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._answered = self._keeps = False

    def fileno(self) -> int:
        """Return the socket's number, for epoll."""
        return self._socket.fileno()

    def send(self, request: bytes) -> None:
        """Send a request.

        Raises:
            OSError: the server has closed the connection.
        """
        self._socket.sendall(request)

    def receive(self) -> Answer | None:
        """Read what has come, once epoll says that something has; return the answer if it is complete.

        Raises:
            OSError: the server closed the connection, or does not speak HTTP.
        """
        data = self._socket.recv(RECEIVE_BYTES)
        at = time.perf_counter()
        if not data:
            msg = "the server closed the connection"
            raise ConnectionResetError(msg)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ConnectionAbortedError(str(error)) from error
        if not self._answered:
            return None
        answer = Answer(self._parser.get_status_code(), b"".join(self._body), at, self._keeps)
        self._parser, self._body, self._answered = httptools.HttpResponseParser(self), [], False
        return answer

    def ask(self, request: bytes) -> Answer:
        """Send a request and wait for its answer."""
        self.send(request)
        while (answer := self.receive()) is None:
            pass
        return answer

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body; called by the parser."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Note that the answer is complete; called by the parser, which tells only now whether the connection lasts."""
        self._answered, self._keeps = True, self._parser.should_keep_alive()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
