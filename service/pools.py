"""Bounds on work beside the event loop: threads for decoding, fetching and ranking, and a budget of memory."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, ParamSpec, TypeVar

from service.errors import OverloadedError

P = ParamSpec("P")
R = TypeVar("R")

_KINDS: Final = 1_000
_FORGOTTEN: Final = 0.9  # of the longest time, with every call that takes less


class BoundedPool:
    """Threads with a ceiling on what may wait for them: a permit is taken before queueing, or refused."""

    def __init__(self, name: str, *, threads: int, max_waiting: int) -> None:
        self._name = name
        self._max_waiting = max_waiting
        self._admitted = 0
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    @property
    def depth(self) -> int:
        """Calls admitted and not yet answered."""
        return self._admitted

    async def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return `call(...)`, computed in a thread. Cancelling the caller skips a call that has not begun.

        Raises:
            OverloadedError: too much waits already.
            Exception: whatever the call raised.
        """
        if self._admitted >= self._max_waiting:
            msg = f"{self._admitted} requests wait for {self._name} already."
            raise OverloadedError(msg, retry_after_s=1)
        self._admitted += 1
        future = self._executor.submit(call, *args, **kwargs)
        future.add_done_callback(self._release_on(asyncio.get_running_loop()))
        try:
            return await asyncio.wrap_future(future)
        finally:
            del future  # with this frame in a traceback it would keep its result until a full garbage collection

    def _release_on(self, loop: asyncio.AbstractEventLoop) -> Callable[[object], None]:
        def done(_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._release)

        return done

    def _release(self) -> None:
        self._admitted -= 1

    def close(self) -> None:
        """Drop what has not begun and let the threads end."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class InPlace:
    """Runs what has taken little time of late in the event loop's own thread, and all else in a pool.

    To begin a call in a thread and to be told of its end costs as much as a millisecond of work where the interpreter
    lets one thread compute at a time; to have the loop wait longer than that keeps other requests from being read.

    Args:
        pool: Runs what takes long, or may.
        most_s: Processor seconds that a call in the loop's thread may take.
    """

    def __init__(self, pool: BoundedPool, most_s: float) -> None:
        self._pool = pool
        self._most_s = most_s
        self._longest: dict[Hashable, float] = {}

    async def run(self, kind: Hashable, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return `call(...)`. Calls of one `kind` take about the same time.

        Raises:
            OverloadedError: too much waits for the pool already.
            Exception: whatever the call raised.
        """
        job = partial(call, *args, **kwargs)
        if self._longest.get(kind, math.inf) <= self._most_s:
            return self._timed(kind, job)
        return await self._pool.run(self._timed, kind, job)

    def _timed(self, kind: Hashable, job: Callable[[], R]) -> R:
        began = time.thread_time()
        try:
            return job()
        finally:
            took_s = time.thread_time() - began
            if len(self._longest) >= _KINDS:
                self._longest.clear()
            self._longest[kind] = max(took_s, _FORGOTTEN * self._longest.get(kind, 0.0))


class Budget:
    """So much of something may be held at a time; who asks for more than is left waits, in order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def held(self) -> int:
        """What is held now."""
        return self._held

    @asynccontextmanager
    async def hold(self, amount: int) -> AsyncIterator[None]:
        """Hold `amount` within the context; one that exceeds the budget by itself counts as all of it."""
        counted = min(amount, self._most)
        await self._take(counted)
        try:
            yield
        finally:
            self._give(counted)

    async def _take(self, amount: int) -> None:
        if not self._waiting and self._held + amount <= self._most:
            self._held += amount
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(amount)  # its turn had come in the same moment
            raise

    def _give(self, amount: int) -> None:
        self._held -= amount
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.cancelled() and self._held + wanted > self._most:
                return
            self._waiting.popleft()
            if not turn.cancelled():
                self._held += wanted
                turn.set_result(None)
