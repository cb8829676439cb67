"""HTTP requests as they are read: heads within bounds, and searches refused before they are anything else.

uvicorn's fast protocol reads heads however long they are, and however slowly; and whatever it has read becomes a task.
"""

import asyncio
import http
from typing import Any, Final, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.errors import OverloadedError
from service.shedding import Shedder

LARGEST_HEAD: Final = 64 << 10
"""Bytes of request line and headers; browsers and proxies stay far below."""

SLOWEST_HEAD_S: Final = 30.0
"""From the connection, or from its first byte on a connection that was used before."""

_FRAMING_TIMES: Final = 9  # of a body: as much as chunks of a byte have around it, and the byte itself


class BoundedHeads(HttpToolsProtocol):
    """Refuses a head that is too long (431) or too slow (408), and closes its connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Expect the first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect no more."""
        self._late.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, while the head is not too long."""
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > LARGEST_HEAD:
            self._refuse(431, f"The head of the request is longer than {LARGEST_HEAD:,} bytes.")
        if not self._in_head and self._framing_bytes > LARGEST_HEAD:
            self._refuse(431, f"What surrounds the body of the request is longer than {LARGEST_HEAD:,} bytes.")

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, which may come in chunks as small as a byte."""
        self._framing_bytes -= _FRAMING_TIMES * len(body)
        super().on_body(body)

    def on_message_begin(self) -> None:
        """Expect another head, on a connection that was used before."""
        super().on_message_begin()
        if not self._in_head:
            self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer, if there are not too many."""
        self._headers_bytes += len(name) + len(value)
        if self._headers_bytes > LARGEST_HEAD:
            msg = "too many headers"
            raise ValueError(msg)  # which the parser makes a 400 of
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the request be answered."""
        self._in_head, self._framing_bytes = False, 0
        self._late.cancel()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._in_head, self._head_bytes, self._headers_bytes, self._framing_bytes = True, 0, 0, 0
        self._late = self.loop.call_later(SLOWEST_HEAD_S, self._give_up)

    def _give_up(self) -> None:
        self._refuse(408, f"The head of the request did not arrive within {SLOWEST_HEAD_S:g} s.")

    def _refuse(self, status: int, detail: str) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        phrase = http.HTTPStatus(status).phrase
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(detail)}\r\n\r\n{detail}".encode("ascii"))
        self.transport.close()


class SheddingHeads(BoundedHeads):
    """Refuses a search that has come whole, and whose answer would come too late, in the very call that read it.

    What this can't tell at once becomes a task like any other, and `service.shedding.Shedding` sees to it there: a
    search whose body is still on its way, and one that waits for the answer before it on its connection.

    Args:
        shedder: Decides.
        stated: What uvicorn's protocol is made of.
    """

    def __init__(self, shedder: Shedder, **stated: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**stated)
        self._shedder = shedder
        self._reading = False
        self._held: tuple[RequestResponseCycle, Any, OverloadedError] | None = None

    def data_received(self, data: bytes) -> None:
        """Read on; then refuse the search that was read, or let it be answered."""
        self._reading = True
        try:
            super().data_received(data)
        finally:
            self._reading = False
            self._decide()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401 - uvicorn's own
        error = self._shedder.late(_scope(cycle)) if self._reading else None
        if error is None:
            super()._start_asgi_task(cycle, app)
        else:
            self._held = cycle, app, error

    def _decide(self) -> None:
        if self._held is None:
            return
        (cycle, app, error), self._held = self._held, None
        passes = cycle.more_body or self.transport.is_closing()
        if passes or self._shedder.knows(_scope(cycle), bytes(cycle.body)):
            super()._start_asgi_task(cycle, app)
            return
        refusal = self._shedder.refuse(error, _scope(cycle))
        besides = self.server_state.default_headers + ([] if cycle.keep_alive else [(b"connection", b"close")])
        cycle.response_started = cycle.response_complete = True
        self.transport.write(STATUS_LINE[refusal.status] + refusal.written(besides))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()


def _scope(cycle: RequestResponseCycle) -> Scope:
    return cast("Scope", cycle.scope)  # uvicorn's type is a narrower one
