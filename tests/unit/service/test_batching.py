"""The micro-batcher: what is batched, who gets what, who is skipped, refused or told of an error."""

import asyncio
import threading
import time

import pytest

from service.batching import MicroBatcher
from service.errors import OverloadedError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Gate:
    """A batch function that doubles, records its batches, and waits while it is shut."""

    def __init__(self):
        self.batches = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def __call__(self, items):
        self.entered.set()
        assert self.open.wait(10)
        self.batches.append(list(items))
        return [2 * item for item in items]

    def shut(self):
        self.open.clear()
        self.entered.clear()


def batcher(run, *, max_batch=8, max_waiting=100, **more):
    return MicroBatcher(run, name="test", max_batch=max_batch, max_waiting=max_waiting, **more)


async def entered(gate):
    assert await asyncio.to_thread(gate.entered.wait, 10)


async def test_each_caller_gets_its_own_result():
    gate = Gate()
    one = batcher(gate)
    assert await asyncio.gather(*(one.submit(n) for n in range(50))) == [2 * n for n in range(50)]
    await one.close()
    assert sorted(n for batch in gate.batches for n in batch) == list(range(50))


async def test_whatever_waits_is_taken_at_once_up_to_the_ceiling():
    gate = Gate()
    gate.shut()
    one = batcher(gate, max_batch=8)
    first = asyncio.ensure_future(one.submit(0))
    await entered(gate)
    rest = [asyncio.ensure_future(one.submit(n)) for n in range(1, 13)]
    await asyncio.sleep(0.01)
    gate.open.set()
    await asyncio.gather(first, *rest)
    await one.close()
    assert gate.batches == [[0], list(range(1, 9)), list(range(9, 13))]


async def test_a_single_item_does_not_wait_for_company():
    one = batcher(Gate())
    began = time.perf_counter()
    await one.submit(1)
    assert time.perf_counter() - began < 5
    await one.close()


async def test_whoever_has_an_answer_finds_a_place_free():
    one = batcher(Gate(), max_waiting=1)
    for n in range(300):
        assert await one.submit(n) == 2 * n
    await one.close()


async def test_whoever_has_an_error_finds_a_place_free():
    one = batcher(lambda _: 1 / 0, max_waiting=1)
    for _ in range(300):
        with pytest.raises(ZeroDivisionError):
            await one.submit(1)
    await one.close()


async def test_more_than_may_wait_is_refused_and_the_admitted_are_answered():
    gate = Gate()
    gate.shut()
    one = batcher(gate, max_waiting=3)
    admitted = [asyncio.ensure_future(one.submit(n)) for n in range(3)]
    await entered(gate)
    with pytest.raises(OverloadedError) as refused:
        await one.submit(3)
    assert refused.value.retry_after_s >= 1
    assert one.depth == 3
    gate.open.set()
    assert await asyncio.gather(*admitted) == [0, 2, 4]
    assert await one.submit(5) == 10
    await one.close()


async def test_a_caller_that_left_is_never_run_and_gives_its_place_back():
    gate = Gate()
    gate.shut()
    one = batcher(gate, max_waiting=3)
    first = asyncio.ensure_future(one.submit(0))
    await entered(gate)
    leaving = asyncio.ensure_future(one.submit(1))
    staying = asyncio.ensure_future(one.submit(2))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.open.set()
    assert await first == 0
    assert await staying == 4
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await one.close()
    assert gate.batches == [[0], [2]]
    assert one.depth == 0


async def test_one_bad_item_fails_alone():
    def run(items):
        if 3 in items:
            raise ValueError("three")
        return [2 * item for item in items]

    gate = Gate()
    gate.shut()

    def guarded(items):
        gate(items)
        return run(items)

    one = batcher(guarded)
    first = asyncio.ensure_future(one.submit(0))
    await entered(gate)
    batch = [asyncio.ensure_future(one.submit(n)) for n in range(1, 6)]
    await asyncio.sleep(0.01)
    gate.open.set()
    results = await asyncio.gather(first, *batch, return_exceptions=True)
    assert [r for r in results if not isinstance(r, Exception)] == [0, 2, 4, 8, 10]
    assert isinstance(results[3], ValueError)
    assert str(results[3]) == "three"
    assert await one.submit(7) == 14
    await one.close()


async def test_a_batch_of_the_wrong_length_is_an_error_and_never_a_mix_up():
    one = batcher(lambda items: [1] * (len(items) + 1))
    with pytest.raises(RuntimeError, match="2 results for 1 items"):
        await one.submit(1)
    await one.close()


async def test_closing_answers_what_was_admitted_and_refuses_the_rest():
    gate = Gate()
    gate.shut()
    one = batcher(gate, max_batch=1)
    admitted = [asyncio.ensure_future(one.submit(n)) for n in range(4)]
    await entered(gate)
    closing = asyncio.ensure_future(one.close())
    await asyncio.sleep(0.01)
    with pytest.raises(OverloadedError):
        await one.submit(9)
    gate.open.set()
    assert await asyncio.gather(*admitted) == [0, 2, 4, 6]
    await closing


async def test_closing_leaves_a_hung_worker_behind():
    gate = Gate()
    gate.shut()
    one = batcher(gate)
    waiting = asyncio.ensure_future(one.submit(1))
    await entered(gate)
    began = time.perf_counter()
    await one.close(timeout_s=0.1)
    assert time.perf_counter() - began < 9
    assert not waiting.done()
    gate.open.set()
    assert await waiting == 2


async def test_an_observer_hears_of_every_batch():
    heard = []
    one = batcher(Gate(), observe=lambda name, size, seconds: heard.append((name, size, seconds)))
    await one.submit(1)
    await one.close()
    [(name, size, seconds)] = heard
    assert (name, size) == ("test", 1)
    assert seconds >= 0


async def test_the_predicted_wait_grows_with_the_queue():
    gate = Gate()
    one = batcher(lambda items: (time.sleep(0.02), gate(items))[1], max_batch=1)
    await one.submit(0)
    idle = one.predicted_wait_s
    gate.shut()
    waiting = [asyncio.ensure_future(one.submit(n)) for n in range(5)]
    await entered(gate)
    assert idle >= 0.02
    assert one.predicted_wait_s == pytest.approx(6 * idle, rel=0.01)
    gate.open.set()
    await asyncio.gather(*waiting)
    await one.close()


def test_callers_on_several_event_loops_share_one_batcher():
    one = batcher(Gate(), max_batch=4, max_waiting=1000)
    results = {}

    def caller(start):
        async def submit_all():
            return await asyncio.gather(*(one.submit(n) for n in range(start, start + 100)))

        results[start] = asyncio.run(submit_all())

    threads = [threading.Thread(target=caller, args=(1000 * t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {1000 * t: [2 * n for n in range(1000 * t, 1000 * t + 100)] for t in range(4)}
    asyncio.run(one.close())


def test_a_waiter_whose_loop_has_closed_harms_nobody():
    gate = Gate()
    gate.shut()
    one = batcher(gate)

    async def submit_and_leave():
        task = asyncio.ensure_future(one.submit(1))
        await entered(gate)
        return task

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(submit_and_leave())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    gate.open.set()
    assert asyncio.run(one.submit(4)) == 8
    asyncio.run(one.close())
