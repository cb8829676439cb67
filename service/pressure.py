"""How busy the service is, told from the requests it is answering and how fast it has answered the latest.

A request that comes now waits about as long as those before it take (Little's law). The longer that is, the less is
done for each answer: first no reranking, then a narrower look at the indexes, at last no answer at all. What is done
about it is left to `service.admission` and `service.search`.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

from service.errors import OverloadedError

_KEPT: Final = 0.98  # of what is remembered of earlier answers, at each new one
_LAG_KEPT: Final = 0.8  # of the event loop's lateness, from one note of it to the next
_SURELY_ADMITTED: Final = 8  # requests that are answered whatever the forecast says: it is made of their answers


class Level(IntEnum):
    """What is left out of answers; each level includes those before it."""

    CALM = 0
    NO_RERANK = 1
    NARROW = 2


RERANK: Final = "rerank"  # what `degraded` names
WIDTH: Final = "search_width"


class Pressure:
    """Forecasts the wait of a request. All on one event loop.

    Args:
        most_wait_s: The longest wait that is forecast to a request which is yet begun.
        now: The time in seconds.
    """

    def __init__(self, most_wait_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._most_wait_s = most_wait_s
        self._now = now
        self._running = 0
        self._arrived = 0
        self._busy_s = 0.0
        self._answers = 0.0
        self._since = 0.0
        self._lag_s = 0.0

    def late(self, seconds: float) -> None:
        """Take note of how late the event loop came to what waited for it; to be told some times a second."""
        self._lag_s = max(seconds, self._lag_s * _LAG_KEPT)

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return self._running

    @property
    def busy(self) -> bool:
        """Whether anyone waits for an answer. May be asked from other threads."""
        return self._ahead > 0

    @property
    def wait_s(self) -> float:
        """Seconds that a request which comes now is going to take: before it is read, in its turn, and to leave."""
        return self._wait_s(self._ahead)

    @property
    def _ahead(self) -> int:
        """Requests that one which comes now would wait for: all that have arrived, begun or not."""
        return max(self._arrived, self._running)

    def _wait_s(self, ahead: int) -> float:
        turn_s = (ahead + 1) * self._busy_s / self._answers if self._answers else 0.0
        return 2 * self._lag_s + turn_s

    @property
    def level(self) -> Level:
        """What is to be left out of answers now."""
        if self._running <= _SURELY_ADMITTED:
            return Level.CALM
        share = self.wait_s / self._most_wait_s
        return Level.NARROW if share >= 0.5 else Level.NO_RERANK if share >= 0.25 else Level.CALM

    def expect(self, due: float) -> None:
        """Make sure that a request can be answered before `due`.

        Raises:
            OverloadedError: it would take too long.
        """
        self._expect(due, self._ahead)

    def too_late(self, due: float) -> OverloadedError | None:
        """Return why a request is not likely to be answered before `due`; None where it is.

        A forecast may be wrong by half: what is not likely to be done in half its time is not begun, for an answer
        that comes too late costs as much as one in time.
        """
        return self._too_late(due, self._ahead)

    def _expect(self, due: float, ahead: int) -> None:
        error = self._too_late(due, ahead)
        if error is not None:
            raise error

    def _too_late(self, due: float, ahead: int) -> OverloadedError | None:
        if ahead < _SURELY_ADMITTED:
            return None
        wait_s = self._wait_s(ahead)
        if wait_s <= min(self._most_wait_s, (due - self._now()) / 2):
            return None
        msg = f"{ahead} searches are being answered; one more would take {wait_s:.1f} s."
        return OverloadedError(msg, retry_after_s=max(1, math.ceil(wait_s)))

    @contextmanager
    def arriving(self) -> Iterator[Callable[[], None]]:
        """Give what is to be called once a request has arrived whole; within the context, others then wait for it.

        Those that come in one go, between two of which nothing else runs, are so told of each other before any of
        them is begun. One whose body is yet to come keeps nobody waiting.
        """
        counted = 0

        def arrived() -> None:
            nonlocal counted
            self._arrived += 1 - counted
            counted = 1

        try:
            yield arrived
        finally:
            self._arrived -= counted

    @contextmanager
    def answering(self, due: float) -> Iterator[None]:
        """Count a request from now until it is answered.

        Raises:
            OverloadedError: it would take too long.
        """
        self._expect(due, max(self._arrived - 1, self._running))  # it has itself arrived
        if not self._running:
            self._since = self._now()
        self._running += 1
        try:
            yield
        finally:
            now = self._now()
            self._busy_s = self._busy_s * _KEPT + now - self._since
            self._answers = self._answers * _KEPT + 1
            self._since = now
            self._running -= 1
