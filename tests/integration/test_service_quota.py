"""Rates counted in a real Redis: shared by processes, and never in the way when it is dead, slow or full."""

import asyncio
import time

import pytest
import redis
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from service.quota import Quota, SharedCounts


@pytest.fixture
def redis_server(tmp_path_factory, support):
    server = support("redis_server").RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


class Counting:
    """A quota of one process, and where it counted."""

    def __init__(self, url, *, timeout_ms=20_000, name="shop"):
        self.registry = CollectorRegistry()
        self.quota = Quota(self.registry, SharedCounts(url, timeout_ms=timeout_ms, name=name))

    async def take(self, caller="a", rate="3/hour", times=1):
        return [await self.quota.take(caller, rate) for _ in range(times)]

    def counted_in(self, place):
        return self.registry.get_sample_value("catalens_quota_checks_total", {"counted_in": place}) or 0

    async def close(self):
        await self.quota.close()


def run(scenario):
    """Run an async test and fail on whatever it leaves unhandled in the loop."""

    async def guarded():
        unhandled = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        await scenario()
        assert unhandled == []

    asyncio.run(guarded())


def test_processes_share_a_count_and_shops_do_not(redis_server):
    async def scenario():
        one, two, other = Counting(redis_server.url), Counting(redis_server.url), Counting(redis_server.url, name="b")
        assert await one.take(times=2) == [0.0, 0.0]
        assert await two.take() == [0.0]
        for refused in (await one.take(), await two.take()):
            assert 3_590 < refused[0] <= 3_600
        assert await other.take() == [0.0]
        assert await one.take("somebody else") == [0.0]
        assert (one.counted_in("redis"), one.counted_in("process")) == (4, 0)
        with redis.Redis(unix_socket_path=str(redis_server.socket)) as direct:
            kept = direct.keys("catalens:quota:*")
            assert len(kept) == 3
            assert all(0 < direct.ttl(key) <= 3_600 for key in kept)
        for counting in (one, two, other):
            await counting.close()

    run(scenario)


def test_who_waits_as_told_is_answered_and_nobody_is_told_to_wait_longer_than_a_window(redis_server):
    async def scenario():
        counting = Counting(redis_server.url)
        assert await counting.take(rate="2/second", times=2) == [0.0, 0.0]
        [wait_s] = await counting.take(rate="2/second")
        assert 0 < wait_s <= 1
        await asyncio.sleep(1.05)
        assert await counting.take(rate="2/second") == [0.0]
        await counting.close()

    run(scenario)


def test_a_flood_stays_in_the_process_it_comes_to(redis_server):
    async def scenario():
        counting = Counting(redis_server.url)
        await counting.take(times=4)
        with redis.Redis(unix_socket_path=str(redis_server.socket)) as direct:
            before = direct.info("stats")["total_commands_processed"]
            began = time.monotonic()
            refused = await counting.take(times=500)
            asked = direct.info("stats")["total_commands_processed"] - before
        assert all(3_000 < wait_s <= 3_600 for wait_s in refused)
        assert asked <= 10 * (1 + time.monotonic() - began)
        await counting.close()

    run(scenario)


def test_a_killed_redis_leaves_the_count_to_the_process_and_comes_back(redis_server):
    async def scenario():
        counting = Counting(redis_server.url)
        await counting.take(times=3)
        redis_server.kill()
        with capture_logs() as logs:
            began = time.perf_counter()
            assert await counting.take(times=3) == [0.0] * 3
            assert all(await counting.take(times=200))
            assert time.perf_counter() - began < 5
        assert [line["event"] for line in logs] == ["shared_counts_unavailable"]
        assert (counting.counted_in("redis"), counting.counted_in("process")) == (3, 203)
        redis_server.start()
        await asyncio.sleep(1.1)
        assert await counting.take("new") == [0.0]
        assert counting.counted_in("redis") == 4
        await counting.close()

    run(scenario)


def test_a_frozen_redis_costs_its_time_limit_a_few_times(redis_server):
    async def scenario():
        counting = Counting(redis_server.url, timeout_ms=50)
        redis_server.freeze()
        began = time.perf_counter()
        waits = await counting.take(times=300)
        took_s = time.perf_counter() - began
        redis_server.thaw()
        assert waits[:3] == [0.0] * 3
        assert all(waits[3:])
        assert took_s < 5
        assert counting.counted_in("process") == 300
        await counting.close()

    run(scenario)


def test_a_full_redis_or_one_that_forbids_is_as_good_as_none(redis_server):
    async def scenario():
        with redis.Redis(unix_socket_path=str(redis_server.socket)) as direct:
            full, forbidden = Counting(redis_server.url), Counting(redis_server.url)
            direct.config_set("maxmemory", 1)
            assert [wait_s > 0 for wait_s in await full.take(times=4)] == [False, False, False, True]
            direct.config_set("maxmemory", 0)
            direct.execute_command("ACL", "SETUSER", "default", "-evalsha")
            assert [wait_s > 0 for wait_s in await forbidden.take(times=4)] == [False, False, False, True]
            for counting in (full, forbidden):
                assert (counting.counted_in("redis"), counting.counted_in("process")) == (0, 4)
                await counting.close()

    run(scenario)


def test_what_somebody_else_put_there_is_as_good_as_none(redis_server):
    async def scenario():
        counting = Counting(redis_server.url)
        await counting.take()
        with redis.Redis(unix_socket_path=str(redis_server.socket)) as direct:
            [key] = direct.keys("catalens:quota:*")
            direct.set(key, "not a number")
        assert await counting.take() == [0.0]
        assert counting.counted_in("process") == 1
        await counting.close()

    run(scenario)


def test_a_service_refuses_and_answers_whatever_becomes_of_its_redis(open_service, redis_server, tmp_path):
    client = open_service(redis_url=redis_server.url, cache_timeout_ms=20_000, anonymous_rate="2/hour")

    def statuses(times):
        return [client.get("/v1/products/p1").status_code for _ in range(times)]

    assert statuses(4) == [200, 200, 429, 429]
    assert 'catalens_quota_checks_total{counted_in="redis"} 4.0' in client.get("/metrics").text
    redis_server.kill()
    time.sleep(1.05)  # as long as the last refusal is repeated
    assert statuses(4) == [200, 200, 429, 429]
    assert 'catalens_quota_checks_total{counted_in="process"} 4.0' in client.get("/metrics").text
