"""An app on a real socket, in a thread: for what a test client passes over, such as connections and half bodies."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

_START_S = 180


@contextmanager
def serving(app: ASGIApp) -> Iterator[tuple[str, int]]:
    """Serve `app` as the service does, and give its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, http="httptools", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + _START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise AssertionError("the app did not start")
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join(_START_S)
