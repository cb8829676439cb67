"""A service without a server: the app's lifespan in the test's own event loop, asked through ASGI; and its encoder."""

import asyncio
import json
import threading
import time
from contextlib import asynccontextmanager

import httpx


class Gated:
    """An encoder that counts what it encodes, can be held up, and can be slow.

    Attributes:
        open: Whether it goes on; `shut` clears it.
        entered: Set when it was called since it was shut.
        texts: Every text it was given, in order.
        delay_s: How long each batch takes at least.
    """

    def __init__(self, encoder):
        self._encoder = encoder
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.texts = []
        self.pictures = 0
        self.delay_s = 0.0

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def shut(self):
        self.open.clear()
        self.entered.clear()

    def _pass(self):
        self.entered.set()
        assert self.open.wait(100)
        time.sleep(self.delay_s)

    def text_terms(self, texts, entities=None):
        self._pass()
        self.texts += texts
        return self._encoder.text_terms(texts, entities)

    def encode_images(self, images):
        self._pass()
        self.pictures += len(images)
        return self._encoder.encode_images(images)


@asynccontextmanager
async def running(app):
    """Run the lifespan of `app` and give a client: `client.state` is what it holds, `client.app` takes bare ASGI."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope, receive, send):
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            client.state = state
            client.app = with_state
            yield client


def scope_of(path, method="POST", headers=()):
    """Return the scope of a request, its headers given as text."""
    stated = [(b"content-type", b"application/json"), *((n.lower().encode(), v.encode()) for n, v in headers)]
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": stated,
        "server": ("test", 80), "client": ("test", 1),
    }  # fmt: skip


async def ask_bare(client, path, body, *, left=None, headers=()):
    """Ask through bare ASGI; the caller leaves when the event `left` is set. Return the status and the JSON."""
    sent, told = [], []

    async def receive():
        if not told:
            told.append(True)
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}
        await (left or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await client.app(scope_of(path, headers=headers), receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def until(condition):
    """Wait until `condition()` holds, a minute at most."""
    for _ in range(12_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")
