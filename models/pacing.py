"""Long work in Python that lets others at the interpreter: after each piece of it the thread rests.

One thread computes at a time. A thread that works on and on takes every second turn from the one that answers, which
gives its turn up at each call into numpy or a socket: answers take several times as long until the work is done. What
rests most of the time takes longer itself, and is hardly noticed.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

T = TypeVar("T")

_PIECE_S: Final = 0.001  # of work without a rest
_LONGEST_REST_S: Final = 0.1

_of_thread = threading.local()


@contextmanager
def standing_back() -> Iterator[None]:
    """Within the context, this thread rests wherever the code it runs says `rest` or goes through `unhurried`."""
    before = getattr(_of_thread, "since", None)
    _of_thread.since = time.perf_counter()
    try:
        yield
    finally:
        _of_thread.since = before


def rest(times: float = 4.0) -> None:
    """Rest so many times as long as this thread has worked since it rested last, if it stands back; else do nothing.

    Args:
        times: fewer for what computes without the interpreter, and only takes a core from others.
    """
    since = getattr(_of_thread, "since", None)
    if since is None:
        return
    worked = time.perf_counter() - since
    if worked >= _PIECE_S:
        time.sleep(min(times * worked, _LONGEST_REST_S))
        _of_thread.since = time.perf_counter()


def unhurried(items: Iterable[T]) -> Iterable[T]:
    """Return `items`, with a `rest` before each where this thread stands back."""
    return items if getattr(_of_thread, "since", None) is None else _rested(items)


def _rested(items: Iterable[T]) -> Iterator[T]:
    for item in items:
        rest()
        yield item
