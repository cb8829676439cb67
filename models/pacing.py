"""Long work in Python that lets others at the interpreter: after each piece of it the thread rests while others work.

One thread computes at a time. A thread that works on and on takes every second turn from the one that answers, which
gives its turn up at each call into numpy or a socket: answers take several times as long until the work is done. What
stands back is hardly noticed, and takes no longer than otherwise where nobody else has anything to do.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")

_PIECE_S: Final = 0.001  # of work without a rest
_LOOK_S: Final = 0.003  # between two looks whether others still work: each look takes a turn
_LONGEST_REST_S: Final = 0.1


@dataclass(slots=True)
class _Pace:
    """How a thread stands back.

    Attributes:
        busy: whether others have work to do.
        since: when the thread rested last.
    """

    busy: Callable[[], bool]
    since: float


_of_thread = threading.local()


def _pace() -> _Pace | None:
    return getattr(_of_thread, "pace", None)


@contextmanager
def standing_back(busy: Callable[[], bool]) -> Iterator[None]:
    """Within the context, this thread rests wherever the code it runs says `rest` or goes through `unhurried`.

    Args:
        busy: whether others have work to do; while they have not, there is no rest.
    """
    before = _pace()
    _of_thread.pace = _Pace(busy, time.perf_counter())
    try:
        yield
    finally:
        _of_thread.pace = before


def rest(times: float = 9.0) -> None:
    """Rest while others are busy, but for a tenth of a second at most; only if this thread stands back.

    Args:
        times: as long as it has worked since it rested last, at most: fewer for what computes without the interpreter,
            and only takes a core from others.
    """
    pace = _pace()
    if pace is None:
        return
    now = time.perf_counter()
    worked = now - pace.since
    if worked >= _PIECE_S:
        until = now + min(times * worked, _LONGEST_REST_S)
        while (left := until - time.perf_counter()) > 0 and pace.busy():
            time.sleep(min(left, _LOOK_S))
        pace.since = time.perf_counter()


def unhurried(items: Iterable[T]) -> Iterable[T]:
    """Return `items`, with a `rest` before each where this thread stands back."""
    return items if _pace() is None else _rested(items)


def _rested(items: Iterable[T]) -> Iterator[T]:
    for item in items:
        rest()
        yield item
