"""Whole answers kept between requests: the same is the same, what matters makes another, and nothing stays stale."""

import asyncio
import base64
import contextlib
import json
import time

import pytest
import redis
from starlette.testclient import TestClient

from service.api.answering import Repeats
from service.api.schemas import FacetRequest, QueryPart, RerankRequest, SearchRequest
from service.app import create_app
from service.settings import Settings

JSON = {"content-type": "application/json"}
BASE = {"q": "red mug", "limit": 5}
DEFAULTS = {name: field.get_default(call_default_factory=True) for name, field in SearchRequest.model_fields.items()}

pytestmark = pytest.mark.usefixtures("no_long_waits")


@pytest.fixture(scope="module")
def asgi(support):
    return support("asgi")


@pytest.fixture(scope="module")
def uncached(shop, bundle):
    """A service that keeps nothing: what answers must be."""
    settings = Settings(data_dir=shop.data_dir, update_log="off", cache_bytes=0, result_cache_bytes=0)
    with TestClient(create_app(settings, (shop.encoder, bundle))) as client:
        yield client


@pytest.fixture(scope="module")
def keeping(shop, bundle):
    """A service that keeps answers, for tests that ask what no other asks, or do not care whether one has."""
    with TestClient(create_app(Settings(data_dir=shop.data_dir, update_log="off"), (shop.encoder, bundle))) as client:
        yield client


@pytest.fixture
def redis_server(tmp_path, support):
    server = support("redis_server").RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


def sent(client, body, path="/v1/search"):
    """Send a body as it is; return whether the answer was there already, and the answer without its timings."""
    answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert set(content.pop("timings_ms")) == {"total", "decode", "detect", "encode", "filter", "retrieve", "rank"}
    assert "total;dur=" in answer.headers["server-timing"]
    return answer.headers["x-cache"] == "hit", content


def asked(client, **asked):
    return sent(client, json.dumps(asked))


def lookups(client):
    """Return the lookups of answers by how they went."""
    lines = [
        line for line in client.get("/metrics").text.splitlines() if "catalens_result_cache_lookups_total{" in line
    ]
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines}


def picture(shop, name="images/p3-0.jpg"):
    return base64.b64encode(shop.picture(name)).decode()


# The same again


def test_the_same_request_again_is_answered_from_memory(open_service, uncached):
    client = open_service()
    first, again, third = (asked(client, **BASE) for _ in range(3))
    assert [found for found, _ in (first, again, third)] == [False, True, True]
    assert first[1] == again[1] == third[1] == asked(uncached, **BASE)[1]
    assert lookups(client) == {"miss": 1.0, "hit": 2.0}


@pytest.mark.parametrize(
    "body",
    [
        '{"limit": 5, "q": "red mug"}',
        '  {\n"q"\t:"red mug","limit":5 } \n',
        '{"q": "\\u0072ed mug", "limit": 5}',
        '{"q": "  red mug ", "limit": 5}',
        '{"query": [{"text": "red mug"}], "limit": 5}',
        '{"query": [{"text": "red mug", "weight": 1.0}], "limit": 5}',
        json.dumps(DEFAULTS | BASE),
    ],
)  # fmt: skip
def test_the_same_written_differently_is_the_same(keeping, body):
    _, known = asked(keeping, **BASE)
    for _ in range(2):
        assert sent(keeping, body) == (True, known)


def test_nested_parts_written_differently_are_the_same(keeping):
    first = {
        "q": "mug", "filter": {"price": {"gte": 11, "lt": 40}, "in_stock": True}, "facets": ["brand"],
        "entities": {"brand": "Ruby", "category": "mug"}, "rerank": {"action": "filter"},
    }  # fmt: skip
    other = {
        "rerank": {"min_confidence": 0.7, "category": "auto", "action": "filter"}, "q": "mug",
        "entities": {"category": "mug", "brand": "Ruby"}, "facets": [{"limit": 20, "field": "brand"}],
        "filter": {"in_stock": True, "price": {"lt": 40, "gte": 11}},
    }  # fmt: skip
    assert asked(keeping, **first)[0] is False
    assert asked(keeping, **other)[0] is True
    assert asked(keeping, **other)[1] == asked(keeping, **first)[1]


def test_a_picture_is_the_same_by_its_bytes(keeping, shop):
    data = picture(shop)
    assert asked(keeping, image={"data": data})[0] is False
    assert asked(keeping, image={"data": data}, limit=20)[0] is True
    assert asked(keeping, query=[{"image": {"data": data}}])[0] is True
    assert asked(keeping, image={"data": picture(shop, "images/p4-0.jpg")})[0] is False
    files = {"image": ("p.jpg", shop.picture("images/p9-0.jpg"))}
    answers = [keeping.post("/v1/search/image", files=files) for _ in range(2)]
    assert [answer.headers["x-cache"] for answer in answers] == ["miss", "hit"]
    assert answers[0].json()["hits"] == answers[1].json()["hits"]


def test_similar_products_are_kept_too(keeping):
    answers = [keeping.get("/v1/products/p11/similar", params={"limit": limit}) for limit in (3, 3, 4)]
    assert [answer.headers["x-cache"] for answer in answers] == ["miss", "hit", "miss"]
    assert len(answers[2].json()["hits"]) == 4


# What matters

# For each field of a request, what makes another one of BASE. None: it names what answers, and not what is asked; or it
# is about pictures, see test_service_instances.py.
CHANGES = {
    "q": ["blue mug", "red mugs"],
    "image": [{"data": "PICTURE"}],
    "query": [[{"text": "bag"}], [{"text": "bag", "weight": 0.5}], [{"product": "p3"}], [{"product": "p4"}]],
    "entities": [{"brand": "Ruby"}, {"brand": "Northmost"}, {"category": None}],
    "entity_linking": ["off", "strict"],
    "mode": ["vector", "lexical"],
    "lexical_weight": [0.0, 0.9],
    "filter": [{"price": {"lt": 30}}, {"price": {"lt": 31}}, {"price": {"gt": 30}}, {"in_stock": True}, {"id": "p1"}],
    "facets": [["brand"], ["category"], [{"field": "brand", "limit": 2}]],
    "sort": [["price:asc"], ["price:desc"], ["price:asc", "brand:asc"]],
    "collapse": ["brand", "category"],
    "diversity": [0.3, 0.9],
    "rerank": [{}, {"action": "filter"}, {"category": "bag"}, {"min_confidence": 0.1}],
    "limit": [4, 6],
    "offset": [1, 5],
    "fields": [["id"], ["id", "title"]],
    "explain": [True],
    "instances": None,
    "bundle": None,
}  # fmt: skip


def test_every_field_of_a_request_is_tested():
    """A new field is to be listed above, or answers of another question may be given unnoticed."""
    assert CHANGES.keys() == SearchRequest.model_fields.keys()
    assert QueryPart.model_fields.keys() == {"text", "image", "product", "weight"}
    assert FacetRequest.model_fields.keys() == {"field", "limit"}
    assert RerankRequest.model_fields.keys() == {"category", "action", "min_confidence"}


@pytest.mark.parametrize("field", [field for field, changes in CHANGES.items() if changes is not None])
def test_what_matters_makes_another_answer(open_service, uncached, shop, field):
    client = open_service()
    asked(client, **BASE)
    for change in CHANGES[field]:
        to = {"data": picture(shop)} if field == "image" else change
        known, answer = asked(client, **{**BASE, field: to})
        assert not known
        assert answer == asked(uncached, **{**BASE, field: to})[1]
        assert asked(client, **{**BASE, field: to}) == (True, answer)


def test_the_bundle_that_answers_anyway_may_be_named(keeping, bundle):
    _, known = asked(keeping, **BASE)
    assert asked(keeping, **BASE, bundle=bundle.manifest.id) == (True, known)
    refused = keeping.post("/v1/search", json={**BASE, "bundle": "another"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == "bundle"


@pytest.mark.parametrize(
    "body", [b'{"q": ""}', b'{"q": "mug", "limit": 0}', b"{", b'{"q": "mug", "filter": {"no": 1}}']
)
def test_refusals_are_not_kept(keeping, body):
    answers = [keeping.post("/v1/search", content=body, headers=JSON) for _ in range(3)]
    assert len({answer.status_code for answer in answers}) == 1
    assert answers[0].status_code in {400, 422}
    assert all("x-cache" not in answer.headers for answer in answers)


def test_the_media_type_is_minded_each_time(keeping):
    body = json.dumps(BASE)
    assert sent(keeping, body)[1] == sent(keeping, body)[1]
    assert keeping.post("/v1/search", content=body, headers={"content-type": "text/plain"}).status_code == 415


@pytest.mark.parametrize(
    "stated", [{"price": {"lt": 10**30}}, {"brand": "\ud800"}, {"price": {"lt": float("nan")}}, {"\ud800": 1}]
)
def test_filters_that_hold_what_no_key_can_are_answered_as_ever(keeping, uncached, stated):
    body = json.dumps({**BASE, "filter": stated})
    answers = [client.post("/v1/search", content=body, headers=JSON) for client in (keeping, keeping, uncached)]
    assert len({answer.status_code for answer in answers}) == 1
    assert answers[0].status_code in {200, 422}


# What is not kept


def test_answers_that_lack_something_are_not_kept(open_service):
    client = open_service()
    pressure = client.app_state["engine"]._pressure
    with contextlib.ExitStack() as holding:
        for _ in range(9):
            pressure._most_wait_s = float("inf")
            holding.enter_context(pressure.answering(float("inf")))
        for _ in range(2):
            pressure._most_wait_s = pressure.wait_s / 0.35
            known, lacking = asked(client, **BASE, rerank={})
            assert (known, lacking["degraded"]) == (False, ["rerank"])
    known, whole = asked(client, **BASE, rerank={})
    assert (known, whole["degraded"]) == (False, [])
    assert asked(client, **BASE, rerank={})[0] is True


def test_with_no_memory_nothing_is_kept_anywhere(open_service, redis_server):
    client = open_service(result_cache_bytes=0, redis_url=redis_server.url)
    for _ in range(3):
        assert asked(client, **BASE)[0] is False
    assert lookups(client) == {}
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as direct:
        assert not direct.keys("catalens:answer:*")


def repeats_of(app):
    layer = app.middleware_stack
    while not isinstance(layer, Repeats):
        layer = getattr(layer, "_app", None) or layer.app
    return layer


def test_memory_is_bounded(open_service):
    client = open_service(result_cache_bytes=60_000)
    repeats, cache = repeats_of(client.app), client.app_state["results"]._cache
    for n in range(40):
        asked(client, q=f"red mug {n}", limit=10)
        assert repeats._kept.size <= 30_000
        assert cache.held_bytes <= 30_000
    assert repeats._kept.size > 10_000
    assert cache.held_bytes > 10_000
    assert asked(client, q="red mug 39", limit=10)[0] is True
    assert asked(client, q="red mug 0", limit=10)[0] is False


def test_long_bodies_are_not_remembered_byte_for_byte(open_service):
    client = open_service()
    body = json.dumps(BASE) + " " * (16 << 10)
    sent(client, body)
    assert sent(client, body)[0] is True
    assert repeats_of(client.app)._kept.size == 0


@pytest.mark.parametrize("spelling", ['{"q": "red mug"}', ' {"q": "red mug"}'])
def test_each_query_is_logged_whether_its_answer_was_kept_or_not(open_service, spelling, monkeypatch):
    client, lines = open_service(log_queries=True), []
    monkeypatch.setattr("service.search._log.info", lambda event, **said: lines.append((event, said["texts"])))
    for body in ('{"q": "red mug"}', spelling, spelling):
        sent(client, body)
    assert lines == [("query", ["red mug"])] * 3


# Updates


def test_an_update_is_seen_by_the_next_search(shop, bundle, tmp_path):
    with TestClient(create_app(Settings(data_dir=tmp_path), (shop.encoder, bundle))) as client:
        look = {"filter": {"id": ["p3", "lamp"]}, "sort": ["id:asc"]}
        assert [asked(client, **look)[0] for _ in range(2)] == [False, True]
        for price in (1.5, 2.5, 1.5):
            changed = client.put(
                "/v1/products?wait=true", json={"products": [{"id": "p3", "partial": True, "price": price}]}
            )
            assert changed.json()["stored"] == 1
            known, answer = asked(client, **look)
            assert not known
            assert [hit["product"]["price"] for hit in answer["hits"]] == [price]
            assert asked(client, **look) == (True, answer)
        client.put("/v1/products?wait=true", json={"products": [{"id": "lamp", "title": "Zebra lamp"}]})
        assert [hit["id"] for hit in asked(client, **look)[1]["hits"]] == ["lamp", "p3"]
        assert client.delete("/v1/products/p3?wait=true").status_code == 200
        assert [hit["id"] for hit in asked(client, **look)[1]["hits"]] == ["lamp"]


# Redis


def test_services_share_answers_in_redis_and_no_others_do(open_service, redis_server):
    settings = {"redis_url": redis_server.url, "cache_timeout_ms": 20_000}
    one, other = open_service(**settings), open_service(**settings)
    _, answer = asked(one, **BASE)
    time.sleep(0.05)
    assert asked(other, **BASE) == (True, answer)
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as direct:
        [key] = direct.keys("catalens:answer:*")
        assert 0 < direct.ttl(key) <= 86_400


def test_whatever_is_found_in_redis_is_the_answer_or_a_miss(open_service, redis_server, uncached):
    settings = {"redis_url": redis_server.url, "cache_timeout_ms": 20_000}
    asked(open_service(**settings), **BASE)
    time.sleep(0.05)
    expected = asked(uncached, **BASE)[1]
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as direct:
        [key] = direct.keys("catalens:answer:*")
        kept = direct.get(key)
        poisons = [
            kept[:-1], kept[:20], b"", kept[:-1] + bytes([kept[-1] ^ 1]), b"\x80\x04\x95" + kept, kept[8:],
            kept.replace(b'"p', b'"q'), b'{"hits": []}',
        ]  # fmt: skip
        client = open_service(**settings)
        for n, poison in enumerate(poisons):
            direct.set(key, poison)
            assert sent(client, json.dumps(BASE) + " " * n) == (False, expected)
            client.portal.call(client.app_state["results"]._cache.flush)
        direct.delete(key)
        direct.rpush(key, b"a list")
        assert asked(client, limit=5, q="red mug") == (False, expected)
    assert lookups(client) == {"corrupt": len(poisons), "miss": 1.0}


def test_the_answer_to_another_question_is_a_miss(open_service, redis_server, uncached):
    settings = {"redis_url": redis_server.url, "cache_timeout_ms": 20_000}
    first = open_service(**settings)
    asked(first, **BASE)
    time.sleep(0.05)
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as direct:
        [key] = direct.keys("catalens:answer:*")
        other = {"q": "blue dress", "limit": 5}
        asked(first, **other)
        time.sleep(0.05)
        [foreign] = set(direct.keys("catalens:answer:*")) - {key}
        direct.set(foreign, direct.get(key))
    assert asked(open_service(**settings), **other) == (False, asked(uncached, **other)[1])


def test_without_its_redis_a_service_answers_all_the_same_and_as_soon(open_service, redis_server, uncached):
    client = open_service(redis_url=redis_server.url, cache_timeout_ms=50)
    expected = asked(uncached, **BASE)[1]["hits"]
    for end in (redis_server.freeze, redis_server.kill):
        end()
        spent = []
        for n in range(12):
            began = time.perf_counter()
            _, answer = sent(client, json.dumps(BASE) + " " * n)
            spent.append(time.perf_counter() - began)
            assert answer["hits"] == expected
            assert answer["degraded"] == ["cache"]
        assert sorted(spent)[6] < 0.1
        assert sum(spent) < 12 * 0.3


# Once at a time


@pytest.fixture
def at_once(shop, bundle, asgi):
    """Run a scenario with a client and an encoder that can be held up."""

    def run(scenario, **settings):
        async def whole():
            given = {"data_dir": shop.data_dir, "update_log": "off", "cache_bytes": 0, **settings}
            encoder = asgi.Gated(shop.encoder)
            async with asgi.running(create_app(Settings.model_validate(given), (encoder, bundle))) as client:
                encoder.texts.clear()
                try:
                    await scenario(client, encoder)
                finally:
                    encoder.open.set()

        asyncio.run(whole())

    return run


def waiting(client):
    """Return how many requests wait for what another computes."""
    return sum(len(running._callbacks or ()) for running in client.state["results"]._running.values())


@pytest.mark.parametrize("kept_bytes", [64 << 20, 0])
def test_many_equal_requests_at_once_are_encoded_once(at_once, asgi, kept_bytes):
    async def scenario(client, encoder):
        encoder.shut()
        bodies = [json.dumps(BASE) + " " * (n % 3) for n in range(50)]
        tasks = [asyncio.ensure_future(client.post("/v1/search", content=body, headers=JSON)) for body in bodies]
        await asgi.until(lambda: waiting(client) == 49)
        encoder.open.set()
        answers = await asyncio.gather(*tasks)
        assert [answer.status_code for answer in answers] == [200] * 50
        assert len({json.dumps(answer.json()["hits"]) for answer in answers}) == 1
        assert sorted(answer.headers["x-cache"] for answer in answers) == ["hit"] * 49 + ["miss"]
        assert len(encoder.texts) == 1

    at_once(scenario, result_cache_bytes=kept_bytes)


def test_a_first_one_that_leaves_does_not_fail_the_others(at_once, asgi):
    async def scenario(client, encoder):
        encoder.shut()
        left = asyncio.Event()
        first = asyncio.ensure_future(asgi.ask_bare(client, "/v1/search", BASE, left=left))
        await asyncio.to_thread(encoder.entered.wait, 10)
        others = [asyncio.ensure_future(client.post("/v1/search", json=BASE)) for _ in range(5)]
        await asgi.until(lambda: waiting(client) == 5)
        left.set()
        assert (await first)[0] == 499
        encoder.open.set()
        assert {(await answer).status_code for answer in others} == {200}
        assert len(encoder.texts) <= 2

    at_once(scenario)


def test_a_first_one_that_runs_out_of_time_does_not_fail_the_others_nor_they_it(at_once):
    async def scenario(client, encoder):
        encoder.shut()

        def ask(timeout_ms):
            headers = {"X-Request-Timeout-Ms": str(timeout_ms)}
            return asyncio.ensure_future(client.post("/v1/search", json=BASE, headers=headers))

        hasty = ask(300)
        await asyncio.to_thread(encoder.entered.wait, 10)
        began = time.monotonic()
        patient, hastier = ask(9_000), ask(100)
        answer = await hastier
        assert answer.status_code == 504
        assert time.monotonic() - began < 1.1
        assert (await hasty).status_code == 504
        encoder.open.set()
        assert (await patient).status_code == 200

    at_once(scenario)


def test_a_first_one_that_fails_does_not_fail_the_others(at_once, asgi, monkeypatch):
    async def scenario(client, encoder):
        failures = [ValueError("bad")]
        whole = encoder.text_terms

        def once_bad(texts, entities=None):
            terms = whole(texts, entities)
            if failures:
                raise failures.pop()
            return terms

        monkeypatch.setattr(encoder, "text_terms", once_bad)
        encoder.shut()
        tasks = [asyncio.ensure_future(client.post("/v1/search", json=BASE)) for _ in range(6)]
        await asgi.until(lambda: waiting(client) == 5)
        encoder.open.set()
        statuses = sorted([(await answer).status_code for answer in tasks])
        assert statuses == [200] * 5 + [500]

    at_once(scenario)
