"""At the door of the API: a request states by when it wants its answer, and is refused at once where that cannot be.

Refusing is a small part of the cost of answering, so that under any load the service does about as much good as it
can. What is left out of answers before it comes to that is `service.pressure`'s.
"""

import math
import re
import time
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from service.errors import DeadlineError, InvalidRequestError, ServiceError
from service.pressure import Pressure

TIMEOUT_HEADER: Final = "X-Request-Timeout-Ms"
MOST_TIMEOUT_MS: Final = 3_600_000

_HEADER: Final = TIMEOUT_HEADER.lower().encode()
_NUMBER: Final = re.compile(rb"[0-9]{1,7}")
_METHODS: Final = ("GET", "POST")
_SEARCHES: Final = frozenset({"/v1/search", "/v1/search/image", "/v1/classify", "/v1/embeddings", "/v1/suggest"})
_SIMILAR: Final = ("/v1/products/", "/similar")


class Deadlines:
    """Gives each request of the API the time at which its answer is due.

    Args:
        app: What answers.
        timeout_ms: For a request that states no time of its own, and at most.
    """

    def __init__(self, app: ASGIApp, *, timeout_ms: int) -> None:
        self._app = app
        self._timeout_ms = timeout_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it for the time it states."""
        if is_of_api(scope):
            try:
                timeout_ms = stated_ms(scope)
            except InvalidRequestError as error:
                await _refuse(error, scope, receive, send)
                return
            scope["state"]["due"] = time.monotonic() + min(timeout_ms, self._timeout_ms) / 1000
        await self._app(scope, receive, send)


class Admission:
    """Refuses searches whose answers would come too late, once they have arrived and no answer is kept for them.

    Args:
        app: What answers.
        pressure: Forecasts.
    """

    def __init__(self, app: ASGIApp, *, pressure: Pressure) -> None:
        self._app = app
        self._pressure = pressure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if route_of_search(scope) is not None:
            try:
                self._expect(scope["state"]["due"])
            except ServiceError as error:
                await _refuse(error, scope, receive, send)
                return
            with self._pressure.arriving() as arrived:
                await self._app(scope, _telling(receive, arrived), send)
            return
        await self._app(scope, receive, send)

    def _expect(self, due: float) -> None:
        """Make sure that a search can be answered before `due`.

        Raises:
            DeadlineError: it is due already.
            OverloadedError: there is too much to do.
        """
        if time.monotonic() >= due:
            msg = "The time for an answer ran out while the request arrived."
            raise DeadlineError(msg)
        self._pressure.expect(due)


def _telling(receive: Receive, arrived: Callable[[], None]) -> Receive:
    """Return a `receive` that calls `arrived` with the end of the body."""

    async def told() -> Message:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            arrived()
        return message

    return told


def is_of_api(scope: Scope) -> bool:
    """Return whether a request is for the API, and no page, document or probe."""
    return scope["type"] == "http" and bool(scope["path"].startswith("/v1/"))


def route_of_search(scope: Scope) -> str | None:
    """Return the template of the path of a request that searches; None of any other."""
    if scope["type"] != "http" or scope["method"] not in _METHODS:
        return None
    path: str = scope["path"]
    if path in _SEARCHES:
        return path
    before, after = _SIMILAR
    return f"{before}{{id}}{after}" if path.startswith(before) and path.endswith(after) else None


def stated_ms(scope: Scope) -> float:
    """Return the time a request states for its answer, infinity where it states none.

    Raises:
        InvalidRequestError: it is no whole number of milliseconds in range.
    """
    for name, value in scope["headers"]:
        if name == _HEADER:
            if not _NUMBER.fullmatch(value) or not 0 < int(value) <= MOST_TIMEOUT_MS:
                msg = f"{TIMEOUT_HEADER}: must be a whole number of milliseconds, 1 to {MOST_TIMEOUT_MS:,}"
                raise InvalidRequestError(msg, path=TIMEOUT_HEADER)
            return int(value)
    return math.inf


async def _refuse(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    await problems.from_service_error(error).response(scope["state"]["request_id"])(scope, receive, send)
