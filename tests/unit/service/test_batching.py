"""The micro-batcher: what is batched, who gets what, who is skipped, refused or told of an error."""

import asyncio
import threading
import time

import pytest

from service.batching import MicroBatcher
from service.errors import HungError, OverloadedError

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


async def until(condition):
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came")


async def measured(one, gate, seconds):
    """Let one item take `seconds`, so that the batcher knows what one takes; then hold the next one up."""
    gate.shut()
    slow = asyncio.ensure_future(one.submit(0))
    await entered(gate)
    await asyncio.sleep(seconds)
    gate.open.set()
    await slow
    gate.shut()
    running = asyncio.ensure_future(one.submit(1))
    await entered(gate)
    return running


async def test_an_item_that_cannot_be_done_before_it_is_due_is_refused_at_once():
    gate = Gate()
    one = batcher(gate)
    running = await measured(one, gate, 0.1)
    wait_s = one.predicted_wait_s
    assert wait_s >= 0.2  # the one that runs, and the new one
    with pytest.raises(OverloadedError, match="1 requests wait") as refused:
        await one.submit(2, due=time.monotonic() + wait_s / 2)
    assert refused.value.retry_after_s == 1
    assert one.depth == 1
    in_time = asyncio.ensure_future(one.submit(3, due=time.monotonic() + wait_s + 60))
    await asyncio.sleep(0)
    assert one.depth == 2
    gate.open.set()
    assert await asyncio.gather(running, in_time) == [2, 6]
    await one.close()
    assert gate.batches == [[0], [1], [3]]


async def test_refusals_say_when_there_will_be_room():
    gate = Gate()
    one = batcher(gate, max_batch=1)
    running = await measured(one, gate, 0.3)
    waiting = [asyncio.ensure_future(one.submit(n)) for n in range(9)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError) as refused:
        await one.submit(9, due=time.monotonic() + 0.1)
    assert refused.value.retry_after_s >= 3
    gate.open.set()
    await asyncio.gather(running, *waiting)
    await one.close()


async def test_an_idle_batcher_takes_every_item_however_little_time_it_has():
    gate = Gate()
    one = batcher(gate)
    running = await measured(one, gate, 0.05)
    gate.open.set()
    await running
    assert await one.submit(2, due=time.monotonic() - 1) == 4
    await one.close()


@pytest.mark.clock
async def test_while_a_batch_hangs_everything_is_refused_at_once_and_then_all_is_well():
    gate = Gate()
    one = batcher(gate, hung_s=0.2)
    gate.shut()
    hanging = asyncio.ensure_future(one.submit(1))
    await entered(gate)
    assert one.hung_for_s == 0
    early = asyncio.ensure_future(one.submit(2))
    await until(lambda: one.hung_for_s)
    assert one.hung_for_s > 0.2
    began = time.perf_counter()
    with pytest.raises(HungError, match="has not ended for") as refused:
        await one.submit(3)
    assert time.perf_counter() - began < 0.1
    assert refused.value.retry_after_s == 1
    assert isinstance(refused.value, OverloadedError)
    for left in (hanging, early):  # nor does anyone wait for it any longer, in the batch or behind it
        with pytest.raises(HungError):
            await asyncio.wait_for(left, 5)
    gate.open.set()
    await until(lambda: one.depth == 0)
    assert one.hung_for_s == 0
    assert await one.submit(4) == 8
    await one.close()
    assert gate.batches == [[1], [4]]


async def test_without_a_time_nothing_counts_as_hung():
    gate = Gate()
    one = batcher(gate)
    gate.shut()
    running = asyncio.ensure_future(one.submit(1))
    await entered(gate)
    assert one.hung_for_s == 0
    gate.open.set()
    await running
    await one.close()


async def test_each_item_of_a_failed_batch_has_its_own_time_before_it_counts_as_hung():
    """Singly they take longer than a batch may; none of them by itself does."""

    def run(items):
        time.sleep(0.1)
        if len(items) > 1:
            raise ValueError(items)
        return items

    gate = Gate()
    gate.shut()
    one = batcher(lambda items: run(gate(items)), hung_s=0.3)
    first = asyncio.ensure_future(one.submit(0))
    await entered(gate)
    rest = [asyncio.ensure_future(one.submit(n)) for n in range(1, 7)]
    await asyncio.sleep(0.01)
    gate.open.set()
    seen = []
    while not all(task.done() for task in rest):
        seen.append(one.hung_for_s)
        await asyncio.sleep(0.01)
    assert not any(seen)
    assert await asyncio.gather(first, *rest) == [2 * n for n in range(7)]
    await one.close()


async def test_a_caller_that_leaves_while_a_batch_fails_is_not_run_singly():
    alone, failing, fail = [], threading.Event(), threading.Event()

    def run(items):
        if len(items) > 1:
            failing.set()
            assert fail.wait(10)
            raise ValueError(items)
        alone.append(items[0])
        return items

    gate = Gate()
    gate.shut()
    one = batcher(lambda items: run(gate(items)))
    first = asyncio.ensure_future(one.submit(0))
    await entered(gate)
    rest = [asyncio.ensure_future(one.submit(n)) for n in (1, 2, 3)]
    await asyncio.sleep(0.01)
    gate.open.set()
    assert await asyncio.to_thread(failing.wait, 10)
    rest[1].cancel()
    await asyncio.sleep(0)
    fail.set()
    answers = await asyncio.gather(first, *rest, return_exceptions=True)
    assert [answers[0], answers[1], answers[3]] == [0, 2, 6]
    await one.close()
    assert alone == [0, 2, 6]
    assert one.depth == 0


async def test_whoever_is_told_of_stays_hears_of_each_answered_item():
    gate, stays = Gate(), []
    one = batcher(gate, tell=stays.append)
    gate.shut()
    first = asyncio.ensure_future(one.submit(0))
    await entered(gate)
    rest = [asyncio.ensure_future(one.submit(n)) for n in (1, 2)]
    await asyncio.sleep(0.05)
    gate.open.set()
    await asyncio.gather(first, *rest)
    await one.close()
    assert [stay.name for stay in stays] == ["test"] * 3
    assert sorted(stay.size for stay in stays) == [1, 2, 2]
    alone = next(stay for stay in stays if stay.size == 1)
    assert alone.ran_s >= 0.05
    assert all(stay.waited_s >= 0.04 for stay in stays if stay.size == 2)


# --- in the event loop's own thread ---


def busy(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def in_place(run, most_s=0.05, **limits):
    return MicroBatcher(run, name="text", **{"max_batch": 64, "max_waiting": 1_000, **limits}).in_place(most_s)


async def test_what_is_soon_done_is_run_in_the_loops_thread_once_that_is_known():
    ran = []

    def run(items):
        ran.append((threading.current_thread(), len(items)))
        return [item + 1 for item in items]

    batcher = in_place(run)
    assert await batcher.submit(1) == 2
    assert await asyncio.gather(*(batcher.submit(n) for n in range(20))) == list(range(1, 21))
    assert ran[0][0] is not threading.current_thread()
    assert ran[1:] == [(threading.current_thread(), 20)]  # all that came in one turn
    assert batcher.depth == 0
    await batcher.close()


async def test_the_thread_takes_nothing_that_the_loop_is_going_to_run():
    for _ in range(100):  # as many chances to come for more just when the loop has something
        threads = []

        def run(items, threads=threads):
            threads.append(threading.current_thread())
            return items

        one = in_place(run, max_batch=1)
        await one.submit(0)
        await asyncio.gather(*(one.submit(n) for n in range(50)))
        assert set(threads[1:]) == {threading.current_thread()}
        await one.close()


async def test_what_takes_long_goes_back_to_the_thread():
    ran = []

    def run(items):
        ran.append(threading.current_thread() is threading.main_thread())
        busy(sum(items))
        return items

    batcher = in_place(run, most_s=0.02)
    for seconds in (0.0, 0.03, 0.03, 0.0):
        assert await batcher.submit(seconds) == seconds
    assert ran == [False, True, False, False]  # the first is unknown, the second a surprise
    for _ in range(20):
        await batcher.submit(0.0)
    assert ran[-1]
    await batcher.close()


async def test_what_still_waits_when_it_turns_out_long_goes_to_the_thread():
    ran = []

    def run(items):
        ran.append(threading.current_thread() is threading.main_thread())
        busy(sum(items))
        return items

    batcher = in_place(run, most_s=0.02, max_batch=1)
    await batcher.submit(0.0)
    assert await asyncio.gather(*(batcher.submit(seconds) for seconds in (0.03, 0.0, 0.0))) == [0.03, 0.0, 0.0]
    assert ran == [False, True, False, False]
    await batcher.close()


async def test_no_more_is_run_in_one_turn_than_is_soon_done():
    sizes, turns = [], 0

    def run(items):
        sizes.append(len(items))
        busy(0.004 * len(items))
        return items

    async def turning():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    batcher = in_place(run, most_s=0.02)
    await batcher.submit(0)
    other = asyncio.ensure_future(turning())
    await asyncio.gather(*(batcher.submit(n) for n in range(20)))
    assert max(sizes[1:]) <= 5
    assert turns >= len(sizes) - 1  # others had their turns between
    other.cancel()
    await batcher.close()


async def test_who_left_is_not_computed_and_a_bad_one_fails_alone_in_place():
    seen = []

    def run(items):
        seen.extend(items)
        if "bad" in items:
            raise ValueError("bad")
        return items

    batcher = in_place(run)
    await batcher.submit("first")
    waiting = {item: asyncio.ensure_future(batcher.submit(item)) for item in ("left", "bad", "good")}
    await asyncio.sleep(0)
    waiting["left"].cancel()
    found = await asyncio.gather(*waiting.values(), return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert isinstance(found[1], ValueError)
    assert found[2] == "good"
    assert "left" not in seen
    assert batcher.depth == 0
    await batcher.close()


async def test_what_waits_when_it_closes_is_answered_in_place_or_not():
    batcher = in_place(lambda items: items)
    await batcher.submit(0)
    waiting = [asyncio.ensure_future(batcher.submit(n)) for n in range(5)]
    await asyncio.sleep(0)
    await batcher.close()
    assert await asyncio.gather(*waiting) == list(range(5))


async def test_what_a_loop_that_ended_left_waiting_keeps_no_other_loop_waiting():
    batcher = in_place(lambda items: items)
    await batcher.submit(0)
    ended = asyncio.new_event_loop()

    def run_and_end():
        task = ended.create_task(batcher.submit("left"))
        ended.call_soon(ended.stop)
        ended.run_forever()  # one turn: it is submitted, and does not run
        assert not task.done()
        ended.close()

    await asyncio.to_thread(run_and_end)
    assert await asyncio.wait_for(batcher.submit("mine"), 5) == "mine"
    await batcher.close()
