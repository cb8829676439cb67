"""An index with another one standing by: where the first is away, slow or broken, the second answers.

The first is then left alone until it answers again, which a thread of its own keeps trying: no search waits for it.
"""

import copy
import logging
import threading
import weakref
from pathlib import Path
from typing import Final, Self

import numpy as np

from indexer.asking import IndexUnavailableError, Mask, Rows, Scores
from indexer.index import SearchIndex, VectorIndex
from indexer.pushdown import FilterIndex, Pushed

RETRY_S: Final = 5.0  # between two attempts to have an index answer again
_log = logging.getLogger("catalens.index")


class StandbyIndex:
    """A `VectorIndex`: `first` while it answers, else `second`, whose recipe and file it has.

    Args:
        first: asked as long as it answers.
        second: answers everything else; it holds the same rows.
        name: of the first one, for log lines.
    """

    def __init__(self, first: SearchIndex, second: VectorIndex, name: str) -> None:
        self._first = first
        self._second = second
        self._state = _State(first, name)

    @property
    def d(self) -> int:
        """Dimensions of a vector."""
        return self._second.d

    @property
    def ntotal(self) -> int:
        """Rows held."""
        return self._second.ntotal

    @property
    def recipe(self) -> str:
        """The factory string of the second."""
        return self._second.recipe

    @property
    def memory_bytes(self) -> int:
        """Memory the second takes."""
        return self._second.memory_bytes

    @property
    def available(self) -> bool:
        """Whether the first one answered when it was last asked."""
        return self._state.available

    def save(self, path: Path) -> None:
        """Write the second to the file `path`."""
        self._second.save(path)

    def under(self, pushed: Pushed) -> Self:
        """Return the same for searches under a filter, which the first is told of if it can be."""
        if not isinstance(self._first, FilterIndex):
            return self
        other = copy.copy(self)
        other._first = self._first.under(pushed)  # noqa: SLF001 - of its own kind
        return other

    def search(self, xq: Scores, k: int, *, width: int | None = None, among: Mask | None = None) -> tuple[Scores, Rows]:
        """Return the k best rows of each query; see `SearchIndex.search`."""
        if self._state.available:
            try:
                return self._first.search(xq, k, width=width, among=among)
            except IndexUnavailableError as error:
                self._state.lost(error)
        return self._second.search(xq, k, width=width, among=among)


class _State:
    """Whether an index answers, as all that share it see it."""

    def __init__(self, index: SearchIndex, name: str) -> None:
        self.available = True
        self.name = name
        self._index = index
        self._lock = threading.Lock()

    def lost(self, error: IndexUnavailableError) -> None:
        """Take note that the index does not answer, and have it tried again and again."""
        with self._lock:
            if not self.available:
                return
            self.available = False
        _log.warning("%s does not answer, the bundle's own index does instead: %s", self.name, str(error))
        threading.Thread(target=_mend, args=(weakref.ref(self),), name="index-mend", daemon=True).start()

    def try_again(self) -> bool:
        """Return whether the index answers again."""
        try:
            self._index.search(np.ones((1, self._index.d), np.float32), 1)
        except IndexUnavailableError:
            return False
        self.available = True
        _log.warning("%s answers again", self.name)
        return True


def _mend(lost: "weakref.ref[_State]") -> None:
    """Try an index until it answers, or until nobody wants it any more."""
    waiting = threading.Event()
    while (state := lost()) is not None:
        if state.try_again():
            return
        del state
        waiting.wait(RETRY_S)
