"""Where an index is searched: on the CPU as the bundle has it, or on a GPU, decided when a bundle is opened.

On a GPU every search is exact (`indexer.exact_torch`), filtered or not, as long as the vectors fit; where FAISS can
search lists there and both fit, it takes those without a filter. What does not fit stays on the CPU. Whatever is on a
GPU has the CPU's index standing by (`indexer.standby`). No decision here asks for a GPU itself.
"""

import logging
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexer.asking import IndexUnavailableError, Mask, Rows, Scores, checked_queries, nothing_found
from indexer.exact_torch import SCRATCH_BYTES, TorchIndex
from indexer.faiss_gpu import CardIndex, Moved, cards, cloneable, on_card
from indexer.index import FaissIndex
from indexer.standby import StandbyIndex

USED: Final = 0.9  # of the free memory of a card, at most
GPU: Final = "gpu"
_log = logging.getLogger("catalens.index")


class Way(StrEnum):
    """How an index is searched."""

    CPU = "cpu"  # as the bundle has it
    EXACT = "exact"  # all vectors, on the device
    LISTS = "lists"  # FAISS's lists on the device without a filter, all vectors with one


def way(needed_bytes: int, free_bytes: int | None, *, lists_bytes: int | None) -> Way:
    """Return how an index is searched.

    Args:
        needed_bytes: of the vectors and the working memory.
        free_bytes: of the device; None: there is none.
        lists_bytes: of a copy of the lists on it; None where FAISS cannot search one there.
    """
    if free_bytes is None or needed_bytes > USED * free_bytes:
        return Way.CPU
    fits = lists_bytes is not None and needed_bytes + lists_bytes <= USED * free_bytes
    return Way.LISTS if fits else Way.EXACT


def place(
    index: FaissIndex,
    vectors: NDArray[np.float16],
    device: str,
    free_bytes: int | None,
    moved: Moved | None = None,
) -> FaissIndex | StandbyIndex:
    """Return `index` as it is searched on `device`, `cuda` or another of torch's, that has so much memory free.

    `moved` copies a FAISS index there; None: as FAISS does, where its wheel can.
    """
    moved = on_card if moved is None and cards() else moved
    n, needed = index.ntotal, vectors.nbytes + SCRATCH_BYTES
    lists = index.memory_bytes if moved is not None and cloneable(index) else None
    chosen = way(needed, free_bytes, lists_bytes=lists)
    if not n or free_bytes is None:
        return index
    if chosen is Way.CPU:
        _log.warning(
            "%d vectors need %d bytes of the %d free on %s: searched on the CPU", n, needed, free_bytes, device
        )
        return index
    try:
        first = DeviceIndex(index, vectors, device, moved if chosen is Way.LISTS else None)
    except IndexUnavailableError as error:
        _log.warning("%s: searched on the CPU", error)
        return index
    _log.info("%d vectors are searched on %s: %s", n, device, chosen)
    return StandbyIndex(first, index, GPU)


class DeviceIndex:
    """An index on a device: a `SearchIndex`. Every search is exact but, with `moved`, those of an IVF without a filter.

    Args:
        index: what the bundle has.
        vectors: `(n, d) float16`, which it was built of.
        device: one of torch's.
        moved: copies a FAISS index to it; None: all is exact.

    Raises:
        IndexUnavailableError: the device has no room.
    """

    def __init__(
        self, index: FaissIndex, vectors: NDArray[np.float16], device: str, moved: Moved | None = None
    ) -> None:
        self._exact = TorchIndex.build(vectors, device)
        self._lists = None if moved is None else CardIndex(index, moved)

    @property
    def d(self) -> int:
        """Dimensions of a vector."""
        return self._exact.d

    @property
    def ntotal(self) -> int:
        """Rows held."""
        return self._exact.ntotal

    def search(self, xq: Scores, k: int, *, width: int | None = None, among: Mask | None = None) -> tuple[Scores, Rows]:
        """Return the k best rows of each query; see `SearchIndex.search`.

        Raises:
            IndexUnavailableError: the device failed, or has too little memory left.
        """
        if self._lists is None or among is not None or (width is not None and width >= self.ntotal):
            return self._exact.search(xq, k, width=width, among=among)
        xq = checked_queries(xq, self.d, k, width)
        return self._lists.search(xq, k, width) if len(xq) else nothing_found(0, k)
