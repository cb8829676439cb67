"""In front of all else, while more is asked than can be answered: searches refused for a fraction of a look's cost.

`service.admission` refuses the same searches by the same forecast, further in, where a request has a line in the log,
and a caller whose rights and rate are known. All that costs several times the refusal: where five times as much is
asked as can be answered, it would take most of what is left for answers. So it is left out here. What is refused is
counted like all else, and told of in one line a second.

`Shedder` decides and words the refusal. A request that came whole is refused by the protocol that read it
(`service.heads`), before it is a task and a stack of middleware; any other, and every one under another server, by
`Shedding`.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from service.admission import route_of_search, stated_ms
from service.errors import InvalidRequestError, OverloadedError
from service.lifecycle import Lifecycle
from service.middleware import ANSWER_HEADERS, REQUEST_ID_HEADER, again, header, new_request_id
from service.pressure import Pressure
from service.telemetry import Metrics

Known = Callable[[Scope, bytes], bool]
"""Whether a request with this body would be answered with what is kept."""

_PATH: Final = "/v1/search"
_BODY_S: Final = 1.0  # for a body to come, of which it is then known whether its answer is kept
_LINE_S: Final = 1.0  # between two lines of the log
_REQUEST_ID_NAME: Final = REQUEST_ID_HEADER.encode()
_ALWAYS: Final = (*ANSWER_HEADERS, (b"content-type", problems.MEDIA_TYPE.encode()))

_log = structlog.stdlib.get_logger("catalens.shedding")


Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a search that is refused.

    Attributes:
        status: Of HTTP.
        stated: Its headers beside those that are the same in all refusals.
        body: The problem.
    """

    status: int
    stated: Headers
    body: bytes

    @property
    def headers(self) -> Headers:
        """All headers."""
        return [*_ALWAYS, *self.stated]

    def written(self, besides: Headers) -> bytes:
        """Return the answer after its status line as HTTP/1.1 has it, with the server's own headers."""
        return b"".join((_written(besides), _ALWAYS_WRITTEN, _written(self.stated), b"\r\n", self.body))


def _written(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


_ALWAYS_WRITTEN: Final = _written(_ALWAYS)


class Shedder:
    """Decides which searches are refused because their answers would come too late, and counts them.

    One from another site's page passes, and so do all while the service ends: they need headers of their own.

    Args:
        pressure: Forecasts.
        lifecycle: Of the process.
        known: Tells what was answered before.
        metrics: Told of refusals.
        timeout_ms: For a request that states no time of its own, and at most.
    """

    def __init__(
        self, *, pressure: Pressure, lifecycle: Lifecycle, known: Known, metrics: Metrics, timeout_ms: int
    ) -> None:
        self._pressure = pressure
        self._lifecycle = lifecycle
        self._known = known
        self._metrics = metrics
        self._timeout_ms = timeout_ms
        self._untold = 0

    def late(self, scope: Scope) -> OverloadedError | None:
        """Return why a search would be answered too late; None where it would not, and of all other requests."""
        if route_of_search(scope) is None or self._lifecycle.draining or header(scope, b"origin"):
            return None
        try:
            timeout_ms = min(stated_ms(scope), self._timeout_ms)
        except InvalidRequestError:
            return None  # told further in
        return self._pressure.too_late(time.monotonic() + timeout_ms / 1000)

    def knows(self, scope: Scope, body: bytes) -> bool:
        """Return whether a search was answered before, byte for byte, and passes for that."""
        return may_be_known(scope) and self._known(scope, body)

    def refuse(self, error: OverloadedError, scope: Scope) -> Refusal:
        """Return the answer to a search that is refused, and take note of it."""
        request_id = new_request_id(scope)
        problem = problems.from_service_error(error)
        body = problem.body(request_id)
        stated = (
            (b"content-length", b"%d" % len(body)),
            (b"retry-after", b"%d" % (error.retry_after_s or 1)),
            (_REQUEST_ID_NAME, request_id.encode("latin-1")),
        )
        self._metrics.shed(scope["method"], route_of_search(scope) or "", problem.status)
        if not self._untold:
            asyncio.get_running_loop().call_later(_LINE_S, self._told, error.detail)
        self._untold += 1
        return Refusal(problem.status, stated, body)

    def _told(self, latest: str) -> None:
        count, self._untold = self._untold, 0
        _log.warning("searches_refused", count=count, seconds=_LINE_S, reason=latest)


class Shedding:
    """Refuses what a `Shedder` says, as ASGI."""

    def __init__(self, app: ASGIApp, shedder: Shedder) -> None:
        self._app = app
        self._shedder = shedder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        error = self._shedder.late(scope)
        if error is None:
            await self._app(scope, receive, send)
            return
        if may_be_known(scope):
            message = await _first(receive)
            if message is not None and self._is_known(scope, message):
                await self._app(scope, again(message, receive), send)
                return
        refusal = self._shedder.refuse(error, scope)
        await send({"type": "http.response.start", "status": refusal.status, "headers": refusal.headers})
        await send({"type": "http.response.body", "body": refusal.body})

    def _is_known(self, scope: Scope, message: Message) -> bool:
        whole = message["type"] == "http.request" and not message.get("more_body")
        return whole and self._shedder.knows(scope, message.get("body", b""))


def may_be_known(scope: Scope) -> bool:
    """Return whether answers to such requests are kept by their bodies."""
    return bool(scope["path"] == _PATH and scope["method"] == "POST")


async def _first(receive: Receive) -> Message | None:
    """Return what comes first of a body; None if nothing does soon."""
    try:
        async with asyncio.timeout(_BODY_S):
            return await receive()
    except TimeoutError:
        return None
