"""What surrounds every request, as plain ASGI: its id, log line and metrics; its body's limits; safe headers."""

import asyncio
import os
import re
import time
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems, tracing
from service.errors import ProblemType
from service.lifecycle import Lifecycle
from service.telemetry import SERVER_TIMING, Metrics, server_timing
from service.tracing import Traces

REQUEST_ID_HEADER = "x-request-id"

_REQUEST_ID = re.compile(r"^[A-Za-z0-9._:/+=@-]{1,128}$")
_UNROUTED = "unrouted"
_PRODUCT_PATHS = "/v1/products/"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_DOCS_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    "style-src 'unsafe-inline' https://cdn.jsdelivr.net; img-src data: https://fastapi.tiangolo.com; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Every value of a JSON body costs the event loop up to 10 us, whoever else waits; these begin or part values.
_MARKS = (b",", b"{", b"[")
_MOST_MARKS = 120_000
_MOST_MARKS_OF_CHANGES = 1_000_000
_CHANGES_PATH = "/v1/products"
CLOSE = {"connection": "close"}
"""Sent with the last answer of a connection: to a body that was not read, or while the service drains."""

DEFAULT_HEADERS = {
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
}


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


ANSWER_HEADERS = _encoded({"content-security-policy": _POLICY, **DEFAULT_HEADERS})
"""Of every answer that does not state others, as ASGI has them."""
_NO_CAMERA = {"permissions-policy": "camera=(), geolocation=(), microphone=()"}  # scripts from elsewhere run there
_DOCS_DEFAULTS = _encoded({"content-security-policy": _DOCS_POLICY, **DEFAULT_HEADERS, **_NO_CAMERA})
_REQUEST_ID_NAME = REQUEST_ID_HEADER.encode()
_SERVER_TIMING_NAME = SERVER_TIMING.lower().encode()

_log = structlog.stdlib.get_logger("catalens.access")


class RequestContext:
    """Gives the request an id, answers what nobody foresaw, and accounts for the answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics, lifecycle: Lifecycle, traces: Traces | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and account for what comes back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = new_request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, scope, self._lifecycle, began)
        with (
            self._metrics.answering(),
            tracing.below_request(self._traces, request_id) as trace,
            structlog.contextvars.bound_contextvars(request_id=request_id, **trace),
        ):
            try:
                await self._app(scope, receive, answer.send)
            except Exception:
                _log.exception("unexpected_error", path=scope["path"])
                if answer.status:
                    raise  # an answer has begun: only a broken connection can tell the caller
                await problems.unexpected(request_id)(scope, receive, answer.send)
            self._account(scope, answer, time.perf_counter() - began)

    def _account(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _UNROUTED)
        self._metrics.request(scope["method"], route, answer.status, seconds)
        if answer.problem is not None:
            self._metrics.problem(answer.problem)
        _log.info(
            "request",
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=answer.status,
            sent_bytes=answer.sent_bytes,
            duration_ms=round(seconds * 1000, 3),
        )


class _Answer:
    """The answer on its way out: gets its headers, and is remembered for the log."""

    def __init__(self, send: Send, scope: Scope, lifecycle: Lifecycle, began: float) -> None:
        self._send = send
        self._scope = scope
        self._defaults = _DOCS_DEFAULTS if scope["path"] == "/docs" else ANSWER_HEADERS
        self._lifecycle = lifecycle
        self._began = began
        self.problem: ProblemType | None = None
        self.status = 0
        self.sent_bytes = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._headers(message.get("headers", ()))
            self._tell_trace()
        elif message["type"] == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)

    def _headers(self, stated: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return an answer's headers with those that it does not state itself."""
        headers = list(stated)
        names = {name for name, _ in headers}
        headers += [header for header in self._defaults if header[0] not in names]
        headers.append((_REQUEST_ID_NAME, self._scope["state"]["request_id"].encode()))
        if _SERVER_TIMING_NAME not in names:
            total_ms = (time.perf_counter() - self._began) * 1000
            headers.append((_SERVER_TIMING_NAME, server_timing({"total": total_ms}).encode()))
        if self._lifecycle.draining:
            headers = [header for header in headers if header[0] != b"connection"]
            headers += _encoded(CLOSE)
        return headers

    def _tell_trace(self) -> None:
        self.problem = self._scope["state"].get("problem")
        if self.problem is not None:
            tracing.note(problem=self.problem.value)
        tracing.answer(self.status, self._scope["method"], getattr(self._scope.get("route"), "path", None))


def new_request_id(scope: Scope) -> str:
    """Return the id that a request states, or another that nobody else has."""
    given = header(scope, _REQUEST_ID_NAME).decode("latin-1")
    return given if _REQUEST_ID.match(given) else os.urandom(16).hex()


def header(scope: Scope, name: bytes) -> bytes:
    """Return a header of a request by its name in lower case, the first of several; empty where there is none."""
    for stated, value in scope["headers"]:
        if stated == name:
            return bytes(value)
    return b""


def again(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that gives `message` first."""
    waiting = [message]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


class BodyLimit:
    """Refuses bodies over `max_bytes`, stated or streamed, and bodies that take longer than `timeout_s`."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a body that is cut off at its limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most_marks = _MOST_MARKS_OF_CHANGES if scope["path"] == _CHANGES_PATH else _MOST_MARKS
        body = _LimitedBody(receive, self._max_bytes, most_marks if _is_json(scope) else None, self._timeout_s)
        if _stated_length(scope) > self._max_bytes:
            refusal = problems.from_http_exception(body.too_large())
            await refusal.response(scope["state"]["request_id"], CLOSE)(scope, receive, send)
            return
        await self._app(scope, body.receive, send)


def _is_json(scope: Scope) -> bool:
    return not header(scope, b"content-type").startswith(b"multipart/")


def _stated_length(scope: Scope) -> int:
    stated = header(scope, b"content-length")
    return int(stated) if stated.isdigit() else 0


class _LimitedBody:
    """Counts and times the body as it arrives. Its errors are HTTPExceptions: the framework hides others."""

    def __init__(self, receive: Receive, max_bytes: int, most_marks: int | None, timeout_s: float) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._marks_left = most_marks
        self._timeout_s = timeout_s
        self._due = asyncio.get_running_loop().time() + timeout_s
        self._got_bytes = 0
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._due):
                message = await self._receive()
        except TimeoutError as error:
            detail = f"The body did not arrive within {self._timeout_s:g} s."
            raise HTTPException(408, detail, CLOSE) from error
        data = message.get("body", b"")
        self._got_bytes += len(data)
        if self._marks_left is not None:
            self._marks_left -= sum(map(data.count, _MARKS))
            if self._marks_left < 0:
                raise HTTPException(413, "The body holds too many values.", CLOSE)
        self._complete = not message.get("more_body", False)
        if self._got_bytes > self._max_bytes:
            raise self.too_large()
        return message

    def too_large(self) -> HTTPException:
        return HTTPException(413, f"The body is larger than {self._max_bytes:,} bytes.", CLOSE)


class RawProductPaths:
    """Routes product paths by their percent-encoded form, so that an id may hold `/`, `%2F` or anything else.

    `/v1/products/a%2Fb/similar` reaches the route as it was sent; the route decodes the id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under its encoded path."""
        if scope["type"] == "http" and scope["path"].startswith(_PRODUCT_PATHS):
            raw = scope.get("raw_path") or scope["path"].encode()
            scope = {**scope, "path": quote(raw.partition(b"?")[0], safe="/%")}
        await self._app(scope, receive, send)
