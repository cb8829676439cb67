"""The end of a process: on SIGTERM not ready at once, connections let go, and only then closed.

A load balancer needs a moment to hear that a service is going; requests that arrive meanwhile are answered,
each with `connection: close`, so that none is cut off when the sockets close.
"""

import asyncio
import gc
import signal
import socket
import time
from dataclasses import dataclass
from types import FrameType

import uvicorn

_LAST_WORDS_S = 0.2  # for a request to follow its connection


@dataclass(slots=True)
class Lifecycle:
    """Whether the process is on its way out. Written by the server, read by every request."""

    draining: bool = False


class DrainingServer(uvicorn.Server):
    """A uvicorn server that goes on answering for `drain_s` seconds after the first SIGTERM; a second ends it."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, *, drain_s: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_s = drain_s
        self._drained_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, and have the garbage collector look at nothing of what there is by then.

        Half a million objects live as long as the process, most of them the libraries'; each full collection would
        look at all of them, 0.3 s in which nobody is answered, and opening a bundle brings several about.
        """
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain on the first SIGTERM; leave every other signal to uvicorn."""
        self._lifecycle.draining = True
        if sig == signal.SIGTERM and self._drained_at is None:
            self._drained_at = time.monotonic() + self._drain_s
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Say whether to stop, asked ten times a second."""
        if self._drained_at is not None and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connection, hear out those just taken, then close as uvicorn does."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LAST_WORDS_S)
        await super().shutdown(sockets)
