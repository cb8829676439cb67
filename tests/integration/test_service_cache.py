"""Every cache through one set of tests, on a real Redis; and what happens when that Redis dies."""

import asyncio
import contextlib
import time

import pytest
import redis

from service.cache import Cache, CacheUnavailableError, CircuitBreaker, InProcessCache, NoCache, RedisCache


@pytest.fixture
def redis_server(tmp_path_factory, support):
    server = support("redis_server").RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


def redis_cache(server, **options):
    given = {"timeout_ms": 20_000, "ttl_s": 60, "retry_s": 0.2, "failures": 3, **options}
    return RedisCache(server.url, **given)


@pytest.fixture(params=["none", "in-process", "redis"])
def make_cache(request):
    """Return a function that makes the cache under test, within a running event loop."""
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        return lambda: redis_cache(server)
    return {"none": NoCache, "in-process": lambda: InProcessCache(1 << 20)}[request.param]


def run(scenario):
    """Run an async test and fail on whatever it leaves unhandled in the loop."""

    async def guarded():
        unhandled = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        await scenario()
        assert unhandled == []

    asyncio.run(guarded())


def remembers(cache):
    return not isinstance(cache, NoCache)


def test_what_was_put_is_got_back_unless_nothing_is_kept(make_cache):
    async def scenario():
        cache = make_cache()
        assert isinstance(cache, Cache)
        assert cache.available
        assert await cache.get("a") is None
        values = {"a": b"1", "b": bytes(range(256)), "ключ": b""}
        for key, value in values.items():
            cache.put(key, value)
        await cache.flush()
        got = {key: await cache.get(key) for key in values}
        assert got == (values if remembers(cache) else dict.fromkeys(values))
        await cache.close()

    run(scenario)


def test_the_latest_value_counts(make_cache):
    async def scenario():
        cache = make_cache()
        for value in (b"old", b"newer and longer"):
            cache.put("a", value)
            await cache.flush()
        assert await cache.get("a") == (b"newer and longer" if remembers(cache) else None)
        await cache.close()

    run(scenario)


def test_many_at_once(make_cache):
    async def scenario():
        cache = make_cache()
        for n in range(100):
            cache.put(f"k{n}", str(n).encode())
        await cache.flush()
        got = await asyncio.gather(*(cache.get(f"k{n}") for n in range(100)))
        assert got == ([str(n).encode() for n in range(100)] if remembers(cache) else [None] * 100)
        await cache.close()

    run(scenario)


def test_in_process_memory_is_bounded_and_the_longest_unused_goes_first():
    async def scenario():
        cache = InProcessCache(1_000)
        for n in range(10):
            cache.put(f"k{n}", b"x" * 98)
        assert cache.held_bytes == 1_000
        assert await cache.get("k0") is not None
        cache.put("new", b"x" * 97)
        assert cache.held_bytes == 1_000
        assert await cache.get("k1") is None
        assert await cache.get("k0") is not None
        cache.put("huge", b"x" * 2_000)
        assert await cache.get("huge") is None
        assert cache.held_bytes == 1_000
        cache.put("k0", b"x" * 2_000)
        assert await cache.get("k0") is None
        await cache.close()
        assert cache.held_bytes == 0

    run(scenario)


def test_values_in_redis_expire(redis_server):
    async def scenario():
        cache = redis_cache(redis_server, ttl_s=300)
        cache.put("a", b"1")
        await cache.flush()
        with redis.Redis(unix_socket_path=str(redis_server.socket)) as direct:
            assert 0 < direct.ttl("a") <= 300
        await cache.close()

    run(scenario)


def test_a_killed_redis_costs_nothing_after_a_few_calls_and_comes_back(redis_server):
    async def scenario():
        cache = redis_cache(redis_server)
        cache.put("a", b"1")
        await cache.flush()
        assert await cache.get("a") == b"1"

        redis_server.kill()
        for _ in range(3):
            with pytest.raises(CacheUnavailableError):
                await cache.get("a")
        assert not cache.available
        began = time.perf_counter()
        for _ in range(100):
            with contextlib.suppress(CacheUnavailableError):
                await cache.get("a")
            cache.put("a", b"2")
        await cache.flush()
        assert time.perf_counter() - began < 5

        redis_server.start()
        await asyncio.sleep(0.25)
        assert await cache.get("a") is None
        assert cache.available
        cache.put("a", b"3")
        await cache.flush()
        assert await cache.get("a") == b"3"
        await cache.close()

    run(scenario)


def test_a_frozen_redis_is_a_miss_within_the_time_limit(redis_server):
    async def scenario():
        cache = redis_cache(redis_server, timeout_ms=1_000)
        cache.put("a", b"1")
        await cache.flush()
        redis_server.freeze()
        began = time.perf_counter()
        with pytest.raises(CacheUnavailableError):
            await cache.get("a")
        cache.put("a", b"2")
        await cache.flush()
        assert time.perf_counter() - began < 10
        redis_server.thaw()
        await asyncio.sleep(0.25)
        assert await cache.get("a") in {b"1", b"2"}
        await cache.close()

    run(scenario)


def test_a_redis_that_was_never_there(tmp_path):
    async def scenario():
        cache = RedisCache(f"unix://{tmp_path}/none.sock", timeout_ms=50, ttl_s=1)
        cache.put("a", b"1")
        await cache.flush()
        with pytest.raises(CacheUnavailableError):
            await cache.get("a")
        await cache.close()

    run(scenario)


def test_writes_beyond_what_may_be_under_way_are_dropped(redis_server):
    async def scenario():
        cache = redis_cache(redis_server)
        for n in range(600):
            cache.put(f"k{n}", b"x")
        await cache.flush()
        got = await asyncio.gather(*(cache.get(f"k{n}") for n in range(600)))
        assert 0 < sum(value is not None for value in got) < 600
        assert cache.available
        await cache.close()

    run(scenario)


def test_the_breaker_opens_after_failures_in_a_row_and_tries_once_in_a_while():
    breaker = CircuitBreaker(failures=2, retry_s=0.05)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.admits()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.admits()
    time.sleep(0.06)
    assert breaker.admits()
    assert not breaker.admits()
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.admits()


def searched(client, q):
    answer = client.post("/v1/search", json={"q": q})
    assert answer.status_code == 200
    return answer.json()


def test_a_service_goes_on_without_its_redis_and_says_so(open_service, redis_server):
    client = open_service(redis_url=redis_server.url, cache_timeout_ms=20_000, result_cache_bytes=0)
    first = searched(client, "red mug")
    assert first["degraded"] == []
    assert searched(client, "red mug")["hits"] == first["hits"]
    assert 'catalens_cache_lookups_total{result="hit"} 1.0' in client.get("/metrics").text

    redis_server.kill()
    for _ in range(6):
        down = searched(client, "red mug")
        assert down["degraded"] == ["cache"]
        assert down["hits"] == first["hits"]
    assert client.get("/readyz").json()["degraded"] == ["cache"]
    assert client.get("/readyz").status_code == 200
    assert 'catalens_degraded_answers_total{part="cache"} 6.0' in client.get("/metrics").text

    redis_server.start()
    time.sleep(1.2)
    assert searched(client, "red mug")["degraded"] == []


def test_poisoned_entries_are_misses(open_service, redis_server):
    client = open_service(redis_url=redis_server.url, cache_timeout_ms=20_000, result_cache_bytes=0)
    first = searched(client, "red mug")

    def poison(change):
        with redis.Redis(unix_socket_path=str(redis_server.socket)) as direct:
            keys = direct.keys("catalens:*")
            assert keys
            for key in keys:
                value = direct.get(key)
                direct.delete(key)
                direct.rpush(key, b"a list") if change is None else direct.set(key, change(value))

    changes = [
        lambda value: value[:-1],
        lambda value: value[:-1] + bytes([value[-1] ^ 1]),
        lambda value: value[:0],
        lambda value: b"\x80\x04\x95" + value,
        None,
    ]
    for change in changes:
        poison(change)
        found = searched(client, "red mug")
        assert found["hits"] == first["hits"]
        assert found["degraded"] == []
        time.sleep(0.05)
    assert 'catalens_cache_lookups_total{result="corrupt"} 4.0' in client.get("/metrics").text


def test_an_error_of_redis_itself_is_no_miss(redis_server):
    async def scenario():
        cache = redis_cache(redis_server)
        with redis.Redis(unix_socket_path=str(redis_server.socket)) as direct:
            direct.execute_command("ACL", "SETUSER", "default", "-get")
        with pytest.raises(CacheUnavailableError, match="NoPermission"):
            await cache.get("a")
        await cache.close()

    run(scenario)
