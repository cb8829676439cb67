"""What a FAISS index is made of: its parts, the memory they take, and the parameters that a search gives them.

An index is nested: transforms and refinement wrap lists, a graph or plain rows. FAISS is imported here and in
`indexer.index`, and nowhere else on the CPU. Which parts to choose is left to `indexer.recipes`.
"""

import math
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

# FAISS's own type stubs lack half of what is used here (search parameters, graph statistics): untyped, so.
_faiss: Any = faiss

DEFAULT_EF_SEARCH = 64
LEAST_REFINE_FACTOR = 2.0
_GRAPH_BYTES = 20  # of a row in a graph beside its links: where they are, its level, and its number once it was moved
REFINE_SPREAD = 32.0  # over the root of k: ten answers are chosen from 100 candidates, 256 from 512

# Those that look at admitted rows only. The others throw, or (IndexPQ) end the process.
_SELECTING = (
    faiss.IndexFlat,
    faiss.IndexHNSW,
    faiss.IndexIVFFlat,
    faiss.IndexIVFPQ,
    faiss.IndexIVFPQFastScan,
    faiss.IndexIVFScalarQuantizer,
    _faiss.IndexIVFRaBitQ,
    _faiss.IndexIVFRaBitQFastScan,
    _faiss.IndexRaBitQ,
    faiss.IndexScalarQuantizer,
)


class IndexFileError(ValueError):
    """An index file that cannot be read, or a recipe that FAISS does not know."""


def made_by(factory: str, d: int) -> faiss.Index:
    """Return an empty index of `d` dimensions by its factory string.

    Raises:
        IndexFileError: FAISS does not know it, or does not let it be searched as we do.
    """
    try:
        index = faiss.index_factory(d, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        msg = f"unknown index recipe {factory!r} for {d} dimensions: {first_line(error)}"
        raise IndexFileError(msg) from error
    if isinstance(parts_of(index)[-1], _faiss.IndexIVFAdditiveQuantizerFastScan):
        msg = f"index recipe {factory!r} cannot be searched: FAISS lets nobody say how many of its lists to look at"
        raise IndexFileError(msg)
    return index


def parts_of(index: faiss.Index) -> list[faiss.Index]:
    """Return the index and the ones it wraps, outermost first: names of rows, pre-transforms and refinement.

    They are views: the caller keeps `index` while it uses them.
    """
    part = faiss.downcast_index(index)
    if isinstance(part, faiss.IndexPreTransform | _faiss.IndexIDMap):
        return [part, *parts_of(part.index)]
    if isinstance(part, faiss.IndexRefine):
        return [part, *parts_of(part.base_index)]
    return [part]


def takes_width(index: faiss.Index) -> bool:
    """Return whether a search looks at more of the index when it is told to."""
    return isinstance(parts_of(index)[-1], faiss.IndexIVF | faiss.IndexHNSW)


def selects(index: faiss.Index) -> bool:
    """Return whether the index can be searched among some of its rows."""
    return isinstance(parts_of(index)[-1], _SELECTING)


def whole(index: faiss.Index) -> faiss.Index:
    """Return the part of `index` that holds every vector in a row, to look at all of them; itself if there is none.

    A view, like those of `parts_of`.
    """
    part = faiss.downcast_index(index)
    if isinstance(part, faiss.IndexRefine):
        return faiss.downcast_index(part.refine_index)
    if isinstance(part, faiss.IndexHNSW | _faiss.IndexNSG):
        return faiss.downcast_index(part.storage)
    return part


def selector(among: NDArray[np.bool_]) -> Any:  # noqa: ANN401 - see _faiss
    """Return what admits the rows of `among`, `(n,) bool`, to a search; it holds their bits."""
    return _faiss.IDSelectorBitmap(np.packbits(among, bitorder="little"))


def search_parameters(index: faiss.Index, k: int, width: int | None, admitted: Any) -> Any:  # noqa: ANN401 - see _faiss
    """Return the parameters of one search, shaped as the index is nested; None for an exact one among all rows.

    `admitted` is a `selector`, or None.
    """
    part = faiss.downcast_index(index)
    if isinstance(part, faiss.IndexPreTransform):
        inner = search_parameters(part.index, k, width, admitted)
        return None if inner is None else _faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(part, faiss.IndexRefine):
        factor = max(LEAST_REFINE_FACTOR, REFINE_SPREAD / math.sqrt(k))
        inner = search_parameters(part.base_index, int(k * factor), width, admitted)
        return _faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=inner)
    chosen = width or default_width(part)
    if isinstance(part, faiss.IndexIVF):
        return _faiss.SearchParametersIVF(nprobe=min(chosen, int(part.nlist)), sel=admitted)
    if isinstance(part, faiss.IndexHNSW):
        return _faiss.SearchParametersHNSW(efSearch=max(chosen, k), sel=admitted)
    return None if admitted is None else _faiss.SearchParameters(sel=admitted)


def default_width(index: faiss.Index) -> int:
    """Return the width that suits an index when the caller names none."""
    if isinstance(index, faiss.IndexIVF):
        return max(8, int(index.nlist) // 16)
    return DEFAULT_EF_SEARCH


def memory_of(index: faiss.Index, n: int) -> int:
    """Return the bytes of n rows in `index` with all it wraps. The caller keeps `index`: parts are views of it."""
    part = faiss.downcast_index(index)
    if isinstance(part, _faiss.IndexIDMap):
        return memory_of(part.index, n)
    if isinstance(part, faiss.IndexPreTransform):
        return memory_of(part.index, n) + 4 * int(part.d) * int(part.index.d)
    if isinstance(part, faiss.IndexRefine):
        return memory_of(part.base_index, n) + memory_of(part.refine_index, n)
    if isinstance(part, faiss.IndexIVF):
        return n * (int(part.code_size) + 8) + 4 * int(part.nlist) * int(part.d)
    if isinstance(part, faiss.IndexHNSW):
        graph: Any = part.hnsw
        links = 4 * int(graph.nb_neighbors(0)) + 4 * int(graph.nb_neighbors(1)) // 16 + _GRAPH_BYTES
        return n * links + memory_of(part.storage, n)
    return n * int(part.sa_code_size())


def first_line(error: Exception) -> str:
    """Return what FAISS says without the source lines it puts around it."""
    text = str(error).split("Error:")[-1].strip()
    return text.splitlines()[0] if text else type(error).__name__
