"""Bounded threads and budgets: what is admitted, refused, skipped and given back."""

import asyncio
import threading
import time

import pytest

from service.errors import OverloadedError
from service.pools import BoundedPool, Budget, InPlace

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_a_pool_runs_calls_off_the_event_loop():
    pool = BoundedPool("test", threads=2, max_waiting=10)
    here = threading.current_thread().name
    names = await asyncio.gather(*(pool.run(lambda: threading.current_thread().name) for _ in range(5)))
    assert here not in names
    assert all(name.startswith("test") for name in names)
    assert await pool.run(pow, 2, 5) == 32
    assert await pool.run(int, "ff", base=16) == 255
    pool.close()


async def test_a_pool_refuses_what_exceeds_its_queue_and_recovers():
    pool = BoundedPool("test", threads=1, max_waiting=2)
    release = threading.Event()
    running = asyncio.ensure_future(pool.run(release.wait, 10))
    queued = asyncio.ensure_future(pool.run(str, 1))
    await asyncio.sleep(0)
    assert pool.depth == 2
    with pytest.raises(OverloadedError) as refused:
        await pool.run(str, 2)
    assert refused.value.retry_after_s == 1
    release.set()
    assert await running
    assert await queued == "1"
    await asyncio.sleep(0.01)
    assert pool.depth == 0
    assert await pool.run(str, 3) == "3"
    pool.close()


async def test_a_cancelled_call_that_has_not_begun_is_skipped():
    pool = BoundedPool("test", threads=1, max_waiting=10)
    release = threading.Event()
    calls = []
    running = asyncio.ensure_future(pool.run(release.wait, 10))
    leaving = asyncio.ensure_future(pool.run(calls.append, "left"))
    staying = asyncio.ensure_future(pool.run(calls.append, "stayed"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(running, staying)
    assert calls == ["stayed"]
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await asyncio.sleep(0.01)
    assert pool.depth == 0
    pool.close()


async def test_a_pool_hands_on_exceptions():
    pool = BoundedPool("test", threads=1, max_waiting=2)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 / 0)
    assert await pool.run(str, 1) == "1"
    pool.close()


def test_a_call_that_outlives_its_loop_harms_nobody():
    pool = BoundedPool("test", threads=1, max_waiting=2)
    release = threading.Event()
    done = threading.Event()

    async def leave():
        task = asyncio.ensure_future(pool.run(lambda: (release.wait(10), done.set())))
        await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(leave())
    release.set()
    assert done.wait(5)
    pool.close()


async def hold(budget, amount, log, name, leave):
    async with budget.hold(amount):
        log.append(name)
        await leave.wait()


async def test_a_budget_is_given_in_order_and_never_exceeded():
    budget = Budget(10)
    log, leave = [], [asyncio.Event() for _ in range(4)]
    tasks = [asyncio.ensure_future(hold(budget, amount, log, n, leave[n])) for n, amount in enumerate((6, 3, 5, 1))]
    await asyncio.sleep(0)
    assert log == [0, 1]
    assert budget.held == 9
    leave[1].set()
    await asyncio.sleep(0.01)
    assert log == [0, 1]
    leave[0].set()
    await asyncio.sleep(0.01)
    assert log == [0, 1, 2, 3]
    assert budget.held == 6
    for event in leave:
        event.set()
    await asyncio.gather(*tasks)
    assert budget.held == 0


async def test_more_than_the_whole_budget_counts_as_all_of_it():
    budget = Budget(10)
    async with budget.hold(99):
        assert budget.held == 10
    assert budget.held == 0


async def test_one_who_stops_waiting_gives_way():
    budget = Budget(10)
    log, leave = [], [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.ensure_future(hold(budget, 8, log, n, leave[n])) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    leave[0].set()
    await asyncio.sleep(0.01)
    assert log == [0, 2]
    leave[2].set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert budget.held == 0


async def test_one_who_leaves_as_his_turn_comes_gives_it_back():
    budget = Budget(10)
    async with budget.hold(10):
        second = asyncio.ensure_future(hold(budget, 10, [], 1, asyncio.Event()))
        await asyncio.sleep(0)
    assert budget.held == 10
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert budget.held == 0


async def test_an_error_inside_gives_the_budget_back():
    budget = Budget(10)
    with pytest.raises(ValueError, match="inside"):
        async with budget.hold(5):
            raise ValueError("inside")
    assert budget.held == 0


async def test_what_takes_little_time_runs_in_the_event_loops_own_thread_once_that_is_known():
    pool = BoundedPool("test", threads=1, max_waiting=10)
    in_place = InPlace(pool, most_s=0.05)

    def thread_name() -> str:
        return threading.current_thread().name

    here = threading.current_thread().name
    assert await in_place.run("quick", thread_name) == "test_0"  # nothing is known of it yet
    assert [await in_place.run("quick", thread_name) for _ in range(3)] == [here] * 3
    assert await in_place.run("another kind", thread_name) == "test_0"
    pool.close()


async def test_what_has_taken_long_runs_in_a_thread_until_that_is_long_ago():
    pool = BoundedPool("test", threads=1, max_waiting=10)
    in_place = InPlace(pool, most_s=0.02)
    here = threading.current_thread().name

    def busy(seconds: float) -> str:
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass
        return threading.current_thread().name

    await in_place.run("kind", busy, 0.0)
    assert await in_place.run("kind", busy, 0.03) == here  # the surprise
    ran = [await in_place.run("kind", busy, 0.0) for _ in range(30)]
    assert ran[0] == "test_0"
    assert ran[-1] == here
    assert ran == sorted(ran, reverse=True)  # in threads, then in place, and no more back
    pool.close()


async def test_a_call_that_fails_in_place_fails_for_its_caller_alone():
    pool = BoundedPool("test", threads=1, max_waiting=10)
    in_place = InPlace(pool, most_s=0.05)
    for _ in range(2):  # in a thread, then in place
        with pytest.raises(ValueError, match="invalid literal"):
            await in_place.run("kind", int, "x")
    assert await in_place.run("kind", int, "7") == 7
    pool.close()


async def test_kinds_are_not_kept_for_ever():
    pool = BoundedPool("test", threads=1, max_waiting=10)
    in_place = InPlace(pool, most_s=0.05)
    for kind in range(1_100):
        assert await in_place.run(kind, abs, -kind) == kind
    assert len(in_place._longest) <= 1_000
    pool.close()
