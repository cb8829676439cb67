"""Where an index lies in memory: rows near the rows they are linked to, and all of it on large pages.

A search of a graph goes from row to row, and most of its time is waiting for memory: for a row that is in no cache, and
for the page table's entry of its page, of which a processor keeps a few thousand. Rows that are visited one after the
other are therefore put one after the other, and pages are of 2 MiB instead of 4 KiB where the system has them (Coleman
et al., "Graph Reordering for Cache-Efficient Near Neighbor Search", NeurIPS 2022). Neither changes what is found.
"""

import ctypes
import sys
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

_faiss: Any = faiss

_LARGE_PAGE: Final = 2 << 20
# Linux' MADV_HUGEPAGE, for what is yet to be touched, and MADV_COLLAPSE, for what was (Linux 6.1; others know it not).
_ADVICE: Final = (14, 25)
_LINK_BYTES: Final = 4


def in_walking_order(index: faiss.Index) -> faiss.Index:
    """Return an index of the same rows in which those of a graph lie in the order of a walk through it.

    A walk goes breadth first over the lowest layer, from the row where searches enter. What is returned gives each row
    its number back (`IndexIDMap`) and keeps the index it is given, whose rows have moved. An index without a graph, or
    of a kind that cannot be moved, is returned as it is.
    """
    graph: Any = faiss.downcast_index(index)
    if not isinstance(graph, faiss.IndexHNSW) or not graph.ntotal:
        return index
    order = _walk(graph)
    try:
        graph.permute_entries(order)
    except RuntimeError:  # its rows are of a kind that FAISS cannot move
        return index
    named = _faiss.IndexIDMap(faiss.IndexFlat(graph.d, graph.metric_type))  # which takes an empty one only
    named.index, named.referenced_objects = index, [index]
    named.ntotal = graph.ntotal
    faiss.copy_array_to_vector(order, named.id_map)
    return named  # type: ignore[no-any-return]  # see _faiss


def moved_rows(index: faiss.Index) -> tuple[faiss.Index, NDArray[np.int64] | None]:
    """Return the index that is searched, and which row each of its rows is, `(n,) int64`; None: itself.

    Views: the caller keeps `index` while it uses them.
    """
    part: Any = faiss.downcast_index(index)
    if not isinstance(part, _faiss.IndexIDMap):
        return index, None
    return faiss.downcast_index(part.index), _view(part.id_map)


def admitted_rows(index: faiss.Index, selector: Any) -> Any:  # noqa: ANN401 - see _faiss
    """Return a selector of rows as one of an index whose rows were moved; the caller keeps both while it uses it."""
    part: Any = faiss.downcast_index(index)
    return _faiss.IDSelectorTranslated(part.id_map, selector) if isinstance(part, _faiss.IndexIDMap) else selector


def on_large_pages(index: faiss.Index) -> None:
    """Move the rows and links of an index to large pages, where the system grants any; about 1 s a GiB."""
    if sys.platform != "linux":
        return
    for address, size in _extents(index):
        first, last = -(-address // _LARGE_PAGE), (address + size) // _LARGE_PAGE
        if first < last:
            for advice in _ADVICE:  # what the system does not grant stays as it is
                _libc().madvise(
                    ctypes.c_void_p(first * _LARGE_PAGE), ctypes.c_size_t((last - first) * _LARGE_PAGE), advice
                )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _extents(index: faiss.Index) -> list[tuple[int, int]]:
    """Return address and bytes of what an index keeps in one piece each."""
    part: Any = faiss.downcast_index(index)
    if isinstance(part, _faiss.IndexIDMap | faiss.IndexPreTransform):
        return _extents(part.index)
    if isinstance(part, faiss.IndexRefine):
        return [*_extents(part.base_index), *_extents(part.refine_index)]
    if isinstance(part, faiss.IndexHNSW):
        hnsw: Any = part.hnsw
        return [_extent(hnsw.neighbors, _LINK_BYTES), *_extents(part.storage)]
    return [_extent(part.codes, 1)] if isinstance(part, faiss.IndexFlatCodes) else []


def _extent(vector: Any, item_bytes: int) -> tuple[int, int]:  # noqa: ANN401 - see _faiss
    size = int(vector.size()) * item_bytes
    return (int(vector.data()), size) if size else (0, 0)


def _view(vector: Any) -> NDArray[np.int64]:  # noqa: ANN401 - see _faiss
    return np.asarray(_faiss.rev_swig_ptr(vector.data(), vector.size()), dtype=np.int64)


def _walk(graph: Any) -> NDArray[np.int64]:  # noqa: ANN401 - see _faiss
    """Return all rows, breadth first over the lowest layer; those that no walk reaches come last."""
    n, hnsw = int(graph.ntotal), graph.hnsw
    links = _faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    begins = faiss.vector_to_array(hnsw.offsets)[:n].astype(np.int64)
    of_lowest = np.arange(int(hnsw.cum_nb_neighbors(1)))
    order, seen, count = np.empty(n, np.int64), np.zeros(n, bool), 0
    ring = np.array([int(hnsw.entry_point)])
    while len(ring):
        seen[ring] = True
        order[count : count + len(ring)] = ring
        count += len(ring)
        linked = links[begins[ring][:, None] + of_lowest].ravel()
        linked = linked[linked >= 0]
        linked = linked[~seen[linked]]
        _, firsts = np.unique(linked, return_index=True)
        ring = linked[np.sort(firsts)].astype(np.int64)
    order[count:] = np.flatnonzero(~seen)
    return order
