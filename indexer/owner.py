"""One thread that owns what is not safe to use from several: questions queue for it, and it takes what waits as one.

A GPU works through a batch in hardly more time than through a single question, so whatever came while it was busy is
answered together. Exceptions reach the one who asked.
"""

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from indexer.asking import IndexUnavailableError

Q = TypeVar("Q")
A = TypeVar("A")

_Waiting = SimpleQueue[tuple[Q, Future[A]] | None]


class Owner(Generic[Q, A]):
    """Answers questions in a thread of its own, which ends when the owner is closed or nobody holds it any more.

    Args:
        answer: Answers several questions at once, in their order; only ever called in the thread.
        most: Questions answered at once, at most.
        name: Of the thread.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Sequence[A]], most: int, name: str) -> None:
        self._waiting: _Waiting[Q, A] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        # The thread holds the queue and what answers, not the owner: so the owner can be let go of, and that ends it.
        self._thread = threading.Thread(target=_serve, args=(self._waiting, answer, most), name=name, daemon=True)
        self._thread.start()
        self._end = weakref.finalize(self, self._waiting.put, None)

    def ask(self, question: Q) -> A:
        """Return the answer to `question`.

        Raises:
            IndexUnavailableError: the owner is closed.
            Exception: whatever answering raised.
        """
        answer: Future[A] = Future()
        with self._lock:
            if self._closed:
                msg = "the index is closed"
                raise IndexUnavailableError(msg)
            self._waiting.put((question, answer))
        return answer.result()

    def close(self) -> None:
        """Answer what waits, and end the thread."""
        with self._lock:
            self._closed = True
            self._end()
        self._thread.join()


def _serve(waiting: _Waiting[Q, A], answer: Callable[[Sequence[Q]], Sequence[A]], most: int) -> None:
    ending = False
    while not ending:
        batch, ending = _batch(waiting, most)
        if batch:
            _answer_all(batch, answer)
        del batch  # while it waits for more, it keeps nobody's question


def _batch(waiting: _Waiting[Q, A], most: int) -> tuple[list[tuple[Q, Future[A]]], bool]:
    """Return what waits, at least one where it is not to end, and whether nothing more will come."""
    batch: list[tuple[Q, Future[A]]] = []
    try:
        while len(batch) < most:
            one = waiting.get(block=not batch)
            if one is None:
                return batch, True
            batch.append(one)
    except Empty:
        pass
    return batch, False


def _answer_all(batch: Sequence[tuple[Q, Future[A]]], answer: Callable[[Sequence[Q]], Sequence[A]]) -> None:
    """Answer a batch; one that fails is answered one by one, so that each gets its own exception only."""
    try:
        answers = answer([question for question, _ in batch])
    except Exception as error:  # noqa: BLE001 - the thread's boundary: the one who asked gets it
        if len(batch) == 1:
            batch[0][1].set_exception(error)
            return
        for one in batch:
            _answer_all([one], answer)
        return
    for (_, future), given in zip(batch, answers, strict=True):
        future.set_result(given)
