"""Bounded micro-batching: single requests in, batches to the encoder, each result or error to its waiter.

One worker thread per batcher, or the event loop's own for what is soon done. Whatever waits when the worker is free is
taken at once, up to a ceiling; nothing is delayed to fill a batch. An item that cannot be answered before it is due is
refused at once, and one whose caller has gone is never computed. What a batch computes is the caller's function, which
this knows nothing of.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Self, TypeVar

from service.errors import HungError, OverloadedError

Item = TypeVar("Item")
Result = TypeVar("Result")

_SMOOTHING = 0.2  # weight of the newest batch in the running mean of seconds per item
_TINY_S = 1e-9
_FORGOTTEN = 0.9  # of the longest time of an item, with every batch that takes less


BatchObserver = Callable[[str, int, float], None]
"""Told of every batch that ran: the batcher's name, the batch's size, and its seconds."""


def ignore(name: str, size: int, seconds: float) -> None:
    """Take no note."""


@dataclass(frozen=True, slots=True)
class Stay:
    """How an item was served: how many seconds it waited for its batch, took with it, and how many items it had."""

    name: str
    waited_s: float
    ran_s: float
    size: int


StayObserver = Callable[[Stay], None]
"""Told of every item that was answered, in the context of who submitted it."""


@dataclass(slots=True)
class _Waiter(Generic[Item, Result]):
    item: Item
    future: "asyncio.Future[Result]"
    since: float = field(default_factory=time.perf_counter)
    began: float = 0.0
    among: int = 0

    def fail(self, error: Exception) -> None:
        _on(self.future.get_loop(), lambda: None if self.future.done() else self.future.set_exception(error))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, None if none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _on(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Make `call` on `loop`: now in its own thread, soon in another, and not if it has closed."""
    if _running_loop() is loop:
        call()
        return
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


def _deliver(batch: Sequence[_Waiter[Item, Result]], results: Sequence[Result]) -> None:
    """Give each waiter its result, unless it has gone; waking each loop once, which is what costs."""
    settled = list(zip((waiter.future for waiter in batch), results, strict=True))

    def settle(loop: asyncio.AbstractEventLoop) -> None:
        for future, result in settled:
            if future.get_loop() is loop and not future.done():
                future.set_result(result)

    for loop in {waiter.future.get_loop() for waiter in batch}:
        _on(loop, partial(settle, loop))


class MicroBatcher(Generic[Item, Result]):
    """Runs `run(items) -> results` on whatever waits. `submit` may be called from any event loop.

    Args:
        run: Called in the worker thread with 1 to `max_batch` items; returns one result for each.
        name: For metrics and messages.
        max_batch: Most items in one call of `run`.
        max_waiting: Most items admitted at a time, waiting or running; more are refused.
        hung_s: Seconds after which a batch that still runs is taken for hung: until it ends, nothing is admitted.
        observe: Told of every batch that ran.
        tell: Told of every item that was answered.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        name: str,
        max_batch: int,
        max_waiting: int,
        hung_s: float = math.inf,
        observe: BatchObserver = ignore,
        tell: StayObserver | None = None,
    ) -> None:
        self._run = run
        self._name = name
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._hung_s = hung_s
        self._quick_s = 0.0
        self._longest_s = math.inf  # of late, processor time of an item
        self._coming: asyncio.AbstractEventLoop | None = None  # the loop that is going to run what waits
        self._observe = observe
        self._tell = tell
        self._began: float | None = None
        self._queue: deque[_Waiter[Item, Result]] = deque()
        self._changed = threading.Condition()
        self._admitted = 0
        self._closing = False
        self._seconds_per_item = 0.0
        self._thread = threading.Thread(target=self._work, name=f"batch-{name}", daemon=True)
        self._thread.start()

    def in_place(self, most_s: float) -> Self:
        """Run batches of up to `most_s` processor seconds in the event loop's own thread from now on; return this.

        Whatever comes in one turn of the loop is then run together. Two threads that compute at once take the
        interpreter's lock from each other at every call that gives it up, which costs more than a small batch. Only
        for what computes in the thread that calls it: nothing else would notice if it hung.
        """
        self._quick_s = most_s
        return self

    @property
    def depth(self) -> int:
        """Items admitted and not yet answered, those of the running batch included."""
        return self._admitted

    @property
    def predicted_wait_s(self) -> float:
        """Seconds until an item submitted now would be answered, by the running mean of recent batches."""
        return (self._admitted + 1) * self._seconds_per_item

    @property
    def hung_for_s(self) -> float:
        """Seconds that the running batch has taken, once they are too many; else 0."""
        began = self._began
        ran_s = 0.0 if began is None else time.monotonic() - began
        return ran_s if ran_s > self._hung_s else 0.0

    async def submit(self, item: Item, due: float = math.inf) -> Result:
        """Return the result for `item`, computed together with whatever else waits.

        Cancelling the caller takes the item back if its batch has not begun.

        Args:
            item: To be computed.
            due: The time, as `time.monotonic` counts it, after which the result is of no use.

        Raises:
            OverloadedError: too much waits already, more than can be done before `due`; or the batcher is closing.
            HungError: the running batch does not end.
            Exception: whatever `run` raised for this item.
        """
        waiter: _Waiter[Item, Result] = _Waiter(item, asyncio.get_running_loop().create_future())
        self._admit(waiter, due)
        result = await self._answer(waiter)
        if self._tell is not None:
            ended = time.perf_counter()
            self._tell(Stay(self._name, waiter.began - waiter.since, ended - waiter.began, waiter.among))
        return result

    async def _answer(self, waiter: _Waiter[Item, Result]) -> Result:
        """Wait for a result, but not for that of a batch that has hung, nor behind one."""
        if math.isinf(self._hung_s):
            return await waiter.future
        watch = asyncio.get_running_loop().call_later(self._hung_s, self._look, waiter)
        try:
            return await waiter.future
        finally:
            watch.cancel()

    def _look(self, waiter: _Waiter[Item, Result]) -> None:
        """Give up what waits for a batch that has hung; look again in a while where none has."""
        if waiter.future.done():
            return
        if self.hung_for_s:
            waiter.future.set_exception(self._hung())
        else:
            waiter.future.get_loop().call_later(self._hung_s / 4, self._look, waiter)

    def _hung(self) -> HungError:
        msg = f"What is being encoded ({self._name}) has not ended for {self.hung_for_s:.1f} s."
        return HungError(msg, retry_after_s=math.ceil(self._hung_s))

    def _admit(self, waiter: _Waiter[Item, Result], due: float) -> None:
        with self._changed:
            if self._closing:
                msg = "The service is shutting down."
                raise OverloadedError(msg, retry_after_s=1)
            if self.hung_for_s:
                raise self._hung()
            late = self._admitted and time.monotonic() + self.predicted_wait_s > due
            if late or self._admitted >= self._max_waiting:
                msg = f"{self._admitted} requests wait to be encoded ({self._name}) already."
                raise OverloadedError(msg, retry_after_s=max(1, math.ceil(self.predicted_wait_s)))
            self._admitted += 1
            self._queue.append(waiter)
            here = self._longest_s <= self._quick_s
            if not here:
                self._changed.notify()
            elif self._coming is not (loop := waiter.future.get_loop()):
                self._coming = loop
                loop.call_soon(self._work_here)

    async def close(self, timeout_s: float = 10.0) -> None:
        """Refuse new items, answer those admitted, and end the worker; a hung one is left behind."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join, timeout_s)

    def _work(self) -> None:
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        """Run what waits; False when there will be no more. Nothing of a batch is held until the next one comes."""
        batch = self._take()
        self._run_present(batch)
        return bool(batch)

    def _work_here(self) -> None:
        """Run what waits, in the event loop's thread, as much of it as is soon done; the rest in its next turns."""
        with self._changed:
            most = min(self._max_batch, int(self._quick_s / max(self._longest_s, _TINY_S)))
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), most))]
            loop = asyncio.get_running_loop()
            self._coming = loop if self._queue and most else None
            if not most:
                self._changed.notify()  # the worker: what waits is no longer soon done
        if self._coming is loop:
            loop.call_soon(self._work_here)
        self._run_present(batch)

    def _run_present(self, batch: Sequence[_Waiter[Item, Result]]) -> None:
        """Run those of a batch whose callers are still there."""
        present = [waiter for waiter in batch if not waiter.future.done()]
        self._leave(len(batch) - len(present))
        if present:
            self._run_batch(present)

    def _leave(self, count: int) -> None:
        """Give places back. Before their answers are out, so that whoever has one finds a place free."""
        with self._changed:
            self._admitted -= count

    def _take(self) -> list[_Waiter[Item, Result]]:
        """Return what waits and no loop is going to run, at least one; nothing only when closing and drained."""
        with self._changed:
            self._changed.wait_for(lambda: (self._queue and self._coming is None) or self._closing)
            return [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch))]

    def _run_batch(self, batch: Sequence[_Waiter[Item, Result]]) -> None:
        """Run one batch; if it fails, run its items one by one so that a bad one fails alone."""
        began = time.perf_counter()
        for waiter in batch:
            waiter.began, waiter.among = began, len(batch)
        self._began, cpu_began = time.monotonic(), time.thread_time()
        try:
            results = self._checked([waiter.item for waiter in batch])
        except Exception as error:  # noqa: BLE001 - the thread's boundary: whoever waits gets the exception
            if len(batch) == 1:
                self._leave(1)
                batch[0].fail(error)
                return
            for waiter in batch:
                self._run_present([waiter])
            return
        finally:
            self._began = None
        self._note(len(batch), time.perf_counter() - began, time.thread_time() - cpu_began)
        self._leave(len(batch))
        _deliver(batch, results)

    def _checked(self, items: Sequence[Item]) -> Sequence[Result]:
        results = self._run(items)
        if len(results) != len(items):
            msg = f"{self._name}: {len(results)} results for {len(items)} items"
            raise RuntimeError(msg)
        return results

    def _note(self, size: int, seconds: float, cpu_s: float) -> None:
        known_s = 0.0 if math.isinf(self._longest_s) else self._longest_s
        self._longest_s = max(cpu_s / size, _FORGOTTEN * known_s)
        latest = seconds / size
        mean = self._seconds_per_item
        self._seconds_per_item = latest if mean == 0 else mean + _SMOOTHING * (latest - mean)
        self._observe(self._name, size, seconds)
