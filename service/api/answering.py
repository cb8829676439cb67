"""A search's answer as bytes: kept and shared where it may be, else computed; and repeated without being read again.

`Repeats` stands before the routes: a body that was answered a moment ago, byte for byte, from the bundle that is
being served, in the state it is in, gets the same answer without being parsed.
"""

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Final

import orjson
from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service import problems, tracing
from service.api.connection import while_connected
from service.api.present import search_view
from service.api.schemas import ProductField
from service.api.state import LONGEST_VISITOR, VISITOR_HEADER, AppState, app_state
from service.api.views import SearchResponse
from service.cache import SizedLru
from service.middleware import again, header
from service.query import Query
from service.results import Computed, key_of
from service.telemetry import SERVER_TIMING, Metrics, server_timing
from service.versions import Version

KEPT_HEADER: Final = "x-cache"
_PATH: Final = "/v1/search"
_VISITOR: Final = VISITOR_HEADER.lower().encode()
_LARGEST_BODY: Final = 16 << 10
_STAGES: Final = ("decode", "detect", "encode", "filter", "retrieve", "rank")
_NO_STAGES: Final = orjson.dumps(dict.fromkeys(_STAGES, 0.0))[1:]

_Key = tuple[bytes, bytes]
_Kept = tuple[str, bytes]


class Kept(SizedLru[_Key, _Kept]):
    """Answers by request.

    Args:
        max_bytes: Of all.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, lambda key, kept: sum(map(len, (*key, *kept))))

    def has(self, scope: Scope, body: bytes) -> bool:
        """Return whether there is an answer to this request, of whatever bundle."""
        return _key(scope, body) in self


def _key(scope: Scope, body: bytes) -> _Key:
    return header(scope, b"content-type"), body


async def answered(
    request: Request, query: Query, version: Version, due: float, fields: Sequence[ProductField] | None = None
) -> Response:
    """Return the answer of `version` to `query`, its products restricted to `fields`."""
    state = app_state(request)
    began = time.perf_counter()
    timings: dict[str, float] = {}

    async def compute() -> Computed:
        try:
            answer = await state["engine"].search(query, due, version)
            head = head_of(search_view(answer, fields))
        except Exception as error:
            state["signals"].failed(version.id, error)
            raise
        state["signals"].answered(version.id, answer)
        timings.update(answer.timings.by_stage())
        return Computed(head, keep=not answer.degraded and answer.served.state == served.state)

    served = version.served
    key = key_of(served, query, fields, state["engine"].finder) if not version.lacking else None
    if key is None:
        computed, known = await while_connected(request, compute()), False
    else:
        computed, known = await while_connected(request, state["results"].answer(key, compute, due))
    remember = request.scope["state"].get("remember")
    if remember is not None and computed.keep:
        remember(version, served.state, computed.head)
    tracing.note(result_cache="hit" if known else "miss")
    if known:
        state["engine"].note_repeated(query)
        timings = dict.fromkeys(_STAGES, 0.0) | {"total": round((time.perf_counter() - began) * 1000, 3)}
    headers = {SERVER_TIMING: server_timing(timings), KEPT_HEADER: "hit" if known else "miss"}
    return Response(computed.head + orjson.dumps(timings) + b"}", headers=headers, media_type="application/json")


def head_of(view: SearchResponse) -> bytes:
    """Return an answer as JSON up to its timings, which come last."""
    whole = {name: value for name, value in view.items() if name != "timings_ms"}
    return orjson.dumps(whole)[:-1] + b',"timings_ms":'


class Repeats:
    """Answers again what was asked before, byte for byte.

    Args:
        app: Answers everything else.
        metrics: Told of lookups.
        kept: Holds what was answered.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, kept: Kept) -> None:
        self._app = app
        self._metrics = metrics
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on with its body read."""
        if scope["type"] != "http" or scope["path"] != _PATH or scope["method"] != "POST" or not self._kept.max_size:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        try:
            message = await receive()
        except HTTPException as error:  # the body is too large, or took too long
            refusal = problems.from_http_exception(error).response(scope["state"]["request_id"], error.headers)
            await refusal(scope, receive, send)
            return
        body = message.get("body", b"")
        state: AppState = scope["state"]
        versions = state["versions"]
        whole = message["type"] == "http.request" and not message.get("more_body") and len(body) <= _LARGEST_BODY
        whole = whole and len(header(scope, _VISITOR)) <= LONGEST_VISITOR  # a longer one is to be refused
        if not whole or versions.splits or state["settings"].log_queries:
            await self._app(scope, again(message, receive), send)
            return
        key = _key(scope, body)
        kept = self._kept.get(key)
        if kept is not None and kept[0] == versions.primary.served.state and not versions.primary.lacking:
            self._metrics.result("hit")
            tracing.note(result_cache="hit")
            scope["route"] = SimpleNamespace(path=_PATH)
            await _send(kept[1], (time.perf_counter() - began) * 1000, send)
            return
        scope["state"]["remember"] = self._remember(key, versions.primary)
        await self._app(scope, again(message, receive), send)

    def _remember(self, key: _Key, primary: Version) -> Callable[[Version, str, bytes], None]:
        def remember(version: Version, state: str, head: bytes) -> None:
            if version is primary:
                self._kept.put(key, (state, head))

        return remember


async def _send(head: bytes, total_ms: float, send: Send) -> None:
    body = b'%b{"total":%.3f,%b}' % (head, total_ms, _NO_STAGES)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"server-timing", b"total;dur=%.3f" % total_ms),
        (KEPT_HEADER.encode(), b"hit"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
