"""A service under load: batches, refusals, deadlines, callers that leave, and pictures that cost memory."""

import asyncio
import io
import threading
import time
from contextlib import asynccontextmanager

import httpx
import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings

UNHURRIED = {"request_timeout_ms": 300_000, "most_wait_ms": 300_000}  # however busy the machine is


class Gated:
    """The shop's encoder, which can be held up."""

    def __init__(self, encoder):
        self._encoder = encoder
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.text_batches = []
        self.image_batches = []

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def shut(self):
        self.open.clear()
        self.entered.clear()

    def text_terms(self, texts, entities=None):
        self.entered.set()
        assert self.open.wait(100)
        self.text_batches.append(len(texts))
        return self._encoder.text_terms(texts, entities)

    def encode_images(self, images):
        self.entered.set()
        assert self.open.wait(100)
        self.image_batches.append(len(images))
        return self._encoder.encode_images(images)


@asynccontextmanager
async def running(shop, bundle, encoder, **settings):
    """Run the app's lifespan and give an async client; the state reaches requests as a server would pass it."""
    given = Settings.model_validate({"data_dir": shop.data_dir, "update_log": "off", "cache_bytes": 0, **settings})
    app = create_app(given, (encoder, bundle))
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope, receive, send):
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            client.state = state
            client.app = with_state
            yield client


def picture(seed, size=(120, 120)):
    buffer = io.BytesIO()
    Image.effect_noise(size, 50 + seed).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


async def until(condition):
    for _ in range(12_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")


def test_sixty_clients_with_words_and_pictures_are_all_answered_rightly(shop, bundle):
    async def scenario():
        encoder = Gated(shop.encoder)
        async with running(shop, bundle, encoder, **UNHURRIED, result_cache_bytes=0) as client:
            alone = [(await client.post("/v1/search", json={"q": f"red mug {n}"})).json()["hits"] for n in range(10)]

            async def words(n):
                return (await client.post("/v1/search", json={"q": f"red mug {n % 10}"})).json()["hits"] == alone[
                    n % 10
                ]

            async def pictures(n):
                data = shop.picture(f"images/p{10 + n % 5}-0.jpg")
                found = await client.post("/v1/search/image", files={"image": data})
                return found.json()["hits"][0]["id"] == f"p{10 + n % 5}"

            async def unheard(n):  # the others' vectors are known by now
                return (await client.post("/v1/search", json={"q": f"blue top {n}"})).status_code == 200

            asked = [words, pictures, unheard]
            outcomes = await asyncio.gather(*(asked[n % 3](n) for n in range(240)))
        assert all(outcomes)
        assert max(encoder.text_batches) > 1
        assert max(encoder.image_batches) > 1
        assert max(encoder.image_batches) <= 16

    asyncio.run(scenario())


def test_more_than_may_wait_is_503_with_retry_after_at_once_and_then_all_is_well(shop, bundle):
    async def scenario():
        encoder = Gated(shop.encoder)
        async with running(shop, bundle, encoder, max_waiting=4) as client:
            encoder.shut()
            admitted = [asyncio.ensure_future(client.post("/v1/search", json={"q": f"a{n}"})) for n in range(4)]
            embedder = client.state["engine"]
            await until(lambda: embedder._embedder._texts.depth == 4)
            began = time.perf_counter()
            refused = await client.post("/v1/search", json={"q": "one more"})
            assert time.perf_counter() - began < 5
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json()["type"] == "urn:catalens:problem:overloaded"
            encoder.open.set()
            assert [(await answer).status_code for answer in admitted] == [200] * 4
            assert (await client.post("/v1/search", json={"q": "one more"})).status_code == 200

    asyncio.run(scenario())


def test_an_answer_that_takes_too_long_is_504_and_its_work_is_not_done(shop, bundle):
    async def scenario():
        encoder = Gated(shop.encoder)
        async with running(shop, bundle, encoder, request_timeout_ms=1_500) as client:
            encoder.shut()
            texts = client.state["engine"]._embedder._texts
            first = asyncio.ensure_future(client.post("/v1/search", json={"q": "first"}))
            await until(lambda: texts.depth == 1)
            await until(encoder.entered.is_set)
            late = await asyncio.gather(*(client.post("/v1/search", json={"q": f"late {n}"}) for n in range(5)))
            assert [answer.status_code for answer in (await first, *late)] == [504] * 6
            assert late[0].json()["type"] == "urn:catalens:problem:deadline-exceeded"
            done = len(encoder.text_batches)
            encoder.open.set()
            assert (await client.post("/v1/search", json={"q": "in time"})).status_code == 200
            assert encoder.text_batches[done:] == [1, 1]

    asyncio.run(scenario())


def test_not_ready_while_the_encoder_hangs(shop, bundle):
    async def scenario():
        encoder = Gated(shop.encoder)
        async with running(shop, bundle, encoder, request_timeout_ms=1_500, ready_cache_ms=0) as client:
            encoder.shut()
            answer = await client.get("/readyz")
            assert answer.status_code == 503
            said = {check["name"]: check["detail"] for check in answer.json()["checks"]}
            assert said == {"text": "timed out", "image": "timed out", "retrieval": ""}
            encoder.open.set()
            assert (await client.get("/readyz")).status_code == 200

    asyncio.run(scenario())


def test_one_run_of_the_checks_serves_all_who_ask_meanwhile(shop, bundle):
    async def scenario():
        encoder = Gated(shop.encoder)
        async with running(shop, bundle, encoder, ready_cache_ms=60_000) as client:
            before = len(encoder.text_batches)
            answers = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
            assert len(encoder.text_batches) - before <= 1

    asyncio.run(scenario())


async def request_and_leave(client, path, body, left):
    """Send one request through bare ASGI and disconnect when `left` is set; return the status, if any came."""
    statuses = []
    sent = False

    async def receive():
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "server": ("test", 80), "client": ("test", 1),
    }  # fmt: skip
    await client.app(scope, receive, send)
    return statuses


def test_a_caller_that_left_is_never_encoded(shop, bundle):
    async def scenario():
        encoder = Gated(shop.encoder)
        async with running(shop, bundle, encoder) as client:
            encoder.shut()
            busy = asyncio.ensure_future(client.post("/v1/search", json={"q": "first"}))
            texts = client.state["engine"]._embedder._texts
            await until(lambda: texts.depth == 1)
            await until(encoder.entered.is_set)
            left = asyncio.Event()
            leaving = asyncio.ensure_future(request_and_leave(client, "/v1/search", b'{"q": "gone"}', left))
            await until(lambda: texts.depth == 2)
            done = len(encoder.text_batches)
            left.set()
            assert await leaving == [499]
            encoder.open.set()
            assert (await busy).status_code == 200
            await until(lambda: texts.depth == 0)
            assert encoder.text_batches[done:] == [1]
            seen = (await client.get("/metrics")).text
            assert 'route="/v1/search",status="499"} 1.0' in seen

    asyncio.run(scenario())


def test_large_pictures_wait_for_memory_before_they_are_decoded(shop, bundle):
    async def scenario():
        encoder = Gated(shop.encoder)
        settings = {"max_image_px": 20_000, "request_timeout_ms": 300_000, "decode_threads": 4}
        async with running(shop, bundle, encoder, **settings) as client:
            encoder.shut()
            asked = [
                asyncio.ensure_future(client.post("/v1/search/image", files={"image": picture(n)})) for n in range(12)
            ]
            embedder = client.state["engine"]._embedder
            held = embedder._pictures._held_px
            await until(lambda: len(held._waiting) == 7)
            assert held.held == 5 * 120 * 120 <= 4 * 20_000
            assert embedder._images.depth <= 5
            encoder.open.set()
            assert {(await answer).status_code for answer in asked} == {200}
            assert held.held == 0

    asyncio.run(scenario())


def test_a_bad_part_ends_the_others_of_its_query(shop, bundle):
    async def scenario():
        encoder = Gated(shop.encoder)
        async with running(shop, bundle, encoder) as client:
            encoder.shut()
            asked = {"query": [{"text": "slow"}, {"image": {"data": "AAAA"}}]}
            answer = await client.post("/v1/search", json=asked)
            assert answer.status_code == 415
            assert answer.json()["errors"][0]["path"] == "query[1].image.data"
            encoder.open.set()

    asyncio.run(scenario())


def test_closing_the_app_answers_what_is_running(shop, bundle):
    async def scenario():
        encoder = Gated(shop.encoder)
        async with running(shop, bundle, encoder) as client:
            encoder.shut()
            asked = asyncio.ensure_future(client.post("/v1/search/image", files={"image": picture(1)}))
            await until(lambda: client.state["engine"]._embedder._images.depth == 1)
            threading.Timer(0.1, encoder.open.set).start()
            answer = await asked
        assert answer.status_code == 200

    asyncio.run(scenario())


def test_starting_and_stopping_leaves_no_threads_behind(shop, bundle):
    def threads():
        ours = ("batch-", "decode", "fetch", "rank")
        return {thread for thread in threading.enumerate() if thread.name.startswith(ours)}

    before = threads()
    with TestClient(create_app(Settings(data_dir=shop.data_dir), (shop.encoder, bundle))) as client:
        client.post("/v1/search", json={"q": "red"})
        assert threads() > before
    deadline = time.monotonic() + 5
    while threads() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not threads() - before


@pytest.mark.parametrize("error", [ValueError("bad"), MemoryError()])
def test_an_encoder_that_fails_fails_its_caller_alone(shop, bundle, error):
    class Picky(Gated):
        def text_terms(self, texts, entities=None):
            if any("poison" in text for text in texts):
                raise error
            return super().text_terms(texts, entities)

    async def scenario():
        encoder = Picky(shop.encoder)
        async with running(shop, bundle, encoder) as client:
            encoder.shut()
            first = asyncio.ensure_future(client.post("/v1/search", json={"q": "first"}))
            texts = client.state["engine"]._embedder._texts
            await until(lambda: texts.depth == 1)
            await until(encoder.entered.is_set)
            asked = [
                asyncio.ensure_future(client.post("/v1/search", json={"q": q})) for q in ("good", "poison", "fine")
            ]
            await until(lambda: texts.depth == 4)
            encoder.open.set()
            statuses = [(await answer).status_code for answer in (first, *asked)]
            assert statuses == [200, 200, 500, 200]

    asyncio.run(scenario())
