"""In front of all else, while more is asked than can be answered: searches refused for a fraction of a look's cost.

`service.admission` refuses the same searches by the same forecast, further in, where a request has a line in the log,
and a caller whose rights and rate are known. All that costs several times the refusal: where five times as much is
asked as can be answered, it would take most of what is left for answers. So it is left out here. What is refused is
counted like all else, and told of in one line a second.
"""

import asyncio
import time
from collections.abc import Callable
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

_log = structlog.stdlib.get_logger("catalens.shedding")


class Shedding:
    """Refuses searches whose answers would come too late, unless they were answered before.

    One from another site's page passes, and so do all while the service ends: they need headers of their own.

    Args:
        app: What answers.
        pressure: Forecasts.
        lifecycle: Of the process.
        known: Tells what was answered before.
        metrics: Told of refusals.
        timeout_ms: For a request that states no time of its own, and at most.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        pressure: Pressure,
        lifecycle: Lifecycle,
        known: Known,
        metrics: Metrics,
        timeout_ms: int,
    ) -> None:
        self._app = app
        self._pressure = pressure
        self._lifecycle = lifecycle
        self._known = known
        self._metrics = metrics
        self._timeout_ms = timeout_ms
        self._untold = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        route = route_of_search(scope)
        refusal = self._refusal(scope) if route is not None else None
        if route is None or refusal is None:
            await self._app(scope, receive, send)
            return
        if route == _PATH and scope["method"] == "POST":
            message = await _first(receive)
            if message is not None and self._is_known(scope, message):
                await self._app(scope, again(message, receive), send)
                return
        await self._refuse(refusal, scope, route, send)

    def _refusal(self, scope: Scope) -> OverloadedError | None:
        if self._lifecycle.draining or header(scope, b"origin"):
            return None
        try:
            timeout_ms = min(stated_ms(scope), self._timeout_ms)
            self._pressure.expect(time.monotonic() + timeout_ms / 1000)
        except OverloadedError as error:
            return error
        except InvalidRequestError:
            return None  # told further in
        return None

    def _is_known(self, scope: Scope, message: Message) -> bool:
        whole = message["type"] == "http.request" and not message.get("more_body")
        return whole and self._known(scope, message.get("body", b""))

    async def _refuse(self, error: OverloadedError, scope: Scope, route: str, send: Send) -> None:
        request_id = new_request_id(scope)
        problem = problems.from_service_error(error)
        body = problem.body(request_id)
        headers = [
            *ANSWER_HEADERS,
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"retry-after", b"%d" % (error.retry_after_s or 1)),
            (REQUEST_ID_HEADER.encode(), request_id.encode("latin-1")),
        ]
        await send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._metrics.shed(scope["method"], route, problem.status)
        self._tell(error)

    def _tell(self, error: OverloadedError) -> None:
        if not self._untold:
            asyncio.get_running_loop().call_later(_LINE_S, self._told, error.detail)
        self._untold += 1

    def _told(self, latest: str) -> None:
        count, self._untold = self._untold, 0
        _log.warning("searches_refused", count=count, seconds=_LINE_S, reason=latest)


async def _first(receive: Receive) -> Message | None:
    """Return what comes first of a body; None if nothing does soon."""
    try:
        async with asyncio.timeout(_BODY_S):
            return await receive()
    except TimeoutError:
        return None
