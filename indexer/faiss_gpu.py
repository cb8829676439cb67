"""FAISS on a GPU, where its wheel is installed and a card is there: building indexes, and searching lists unfiltered.

Told at run time: the same program runs where neither is. What is built ends on the CPU with the factory string it has
there, so that a bundle knows no device: the card finds centroids and the list of each row (IVF of any codes), or with
cuVS the graph (HNSW, by CAGRA). Searching through filters is left to `indexer.exact_torch`: FAISS's classic GPU indexes
ignore selectors without a word. One thread owns what lies on the card (`indexer.owner`).
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from indexer.asking import NO_ROW, IndexUnavailableError, Rows, Scores, finite_rows
from indexer.exact_torch import Ask
from indexer.index import FaissIndex
from indexer.locality import in_walking_order
from indexer.owner import Owner
from indexer.parts import IndexFileError, first_line, made_by, parts_of, search_parameters
from indexer.recipes import Recipe, resolve_recipe

_faiss: Any = faiss  # the GPU half is in other wheels than the one that is type-checked

Moved = Callable[[Any], Any]
_log = logging.getLogger("catalens.index")

MOST_ASKS: Final = 256
_BLOCK: Final = 65_536  # rows at a time
# Those of FAISS's lists that have a form on the GPU; fast-scan and RaBitQ codes have none.
_CLONED: Final = (faiss.IndexIVFFlat, faiss.IndexIVFScalarQuantizer)


def cards() -> int:
    """Return how many GPUs the installed FAISS can use; 0 with the wheel for CPUs."""
    return int(_faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def has_cagra() -> bool:
    """Return whether the installed FAISS builds graphs on a GPU: a wheel with cuVS, and a card."""
    return cards() > 0 and hasattr(faiss, "GpuIndexCagra")


def on_card(index: faiss.Index) -> Any:  # noqa: ANN401 - see _faiss
    """Return a copy of an index on the first card."""
    return _faiss.index_cpu_to_gpu(_resources(), 0, index)


@cache
def _resources() -> Any:  # noqa: ANN401 - see _faiss
    """Return the working memory on the card, made once."""
    return _faiss.StandardGpuResources()


def build(xb: NDArray[np.floating], recipe: str, seed: int = 0, device: str = "auto") -> FaissIndex:
    """Build an index as `FaissIndex.build` does; with the help of a card, where `device` allows and one is there.

    Raises:
        ValueError: `xb` is not two-dimensional or holds a value that is not finite.
        IndexFileError: FAISS does not know the recipe, or cannot train it on so few rows.
    """
    if device == "cpu" or not cards() or xb.ndim != 2 or not len(xb):
        return FaissIndex.build(xb, recipe, seed)
    factory = resolve_recipe(recipe, *xb.shape)
    try:
        if factory == resolve_recipe(Recipe.HNSW, *xb.shape) and has_cagra():
            return FaissIndex(in_walking_order(with_graph(_cagra(finite_rows(xb)), xb, factory)), factory)
        return FaissIndex.build(xb, factory, seed, moved=on_card)
    except (RuntimeError, IndexFileError) as error:  # if it is the recipe's fault, the CPU will say so, too
        _log.warning("%s is built on the CPU, for the card failed: %s", factory, first_line(error))
        return FaissIndex.build(xb, factory, seed)


def _cagra(xb: Scores) -> Any:  # noqa: ANN401 - see _faiss
    """Return an HNSW index on the CPU whose lowest layer was made on the card (CAGRA, Ootomo et al., ICDE 2024)."""
    config = _faiss.GpuIndexCagraConfig()
    config.graph_degree, config.intermediate_graph_degree = 64, 128  # HNSW32 has 64 links in the lowest layer
    on_gpu = _faiss.GpuIndexCagra(_resources(), xb.shape[1], faiss.METRIC_INNER_PRODUCT, config)
    on_gpu.train(xb)
    graph = _faiss.IndexHNSWCagra(xb.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    graph.base_level_only = False  # the layers above it are made here
    on_gpu.copyTo(graph)
    return graph


def with_graph(graph: Any, xb: NDArray[np.floating], factory: str) -> faiss.Index:  # noqa: ANN401 - see _faiss
    """Return the HNSW index of a factory string over the rows of `xb`, with the links of another over the same rows."""
    made = made_by(factory, xb.shape[1])
    index: Any = made
    storage = faiss.downcast_index(index.storage)
    if not storage.is_trained:
        storage.train(finite_rows(xb[:_BLOCK]))
    for start in range(0, len(xb), _BLOCK):
        storage.add(finite_rows(xb[start : start + _BLOCK]))
    index.hnsw = graph.hnsw
    index.ntotal, index.is_trained = len(xb), True
    return made


def cloneable(index: FaissIndex) -> bool:
    """Return whether FAISS can search a copy of an index on a card: plain lists, no transform, no refinement."""
    parts = parts_of(index.inner)
    return len(parts) == 1 and isinstance(parts[0], _CLONED)


class CardIndex:
    """Lists copied to a card, searched there among all rows. Safe to search from many threads.

    Args:
        index: what is copied.
        moved: copies a FAISS index to the card.

    Raises:
        IndexUnavailableError: the card has no room for it.
    """

    def __init__(self, index: FaissIndex, moved: Moved = on_card) -> None:
        self._d, self._ntotal = index.d, index.ntotal
        original = parts_of(index.inner)[0]
        try:
            copied = moved(original)
        except RuntimeError as error:
            msg = f"the card has no room for {index.recipe} of {index.ntotal} rows: {first_line(error)}"
            raise IndexUnavailableError(msg) from error
        self._owner: Owner[tuple[Ask, int | None], tuple[Scores, Rows]] = Owner(
            lambda asks: _answered(copied, index, asks), MOST_ASKS, "card-index"
        )

    def search(self, xq: Scores, k: int, width: int | None) -> tuple[Scores, Rows]:
        """Return the k best of all rows for each query; see `SearchIndex.search`. The questions are checked already.

        Raises:
            IndexUnavailableError: the card failed.
        """
        return self._owner.ask((Ask(xq, k, None), width))

    def close(self) -> None:
        """End the thread; searches fail from now on."""
        self._owner.close()


def _answered(
    copied: Any,  # noqa: ANN401 - see _faiss
    index: FaissIndex,
    asks: Sequence[tuple[Ask, int | None]],
) -> list[tuple[Scores, Rows]]:
    """Answer questions together that look at equally much of the index."""
    answers: dict[int, tuple[Scores, Rows]] = {}
    for width in dict.fromkeys(width for _, width in asks):
        mine = [number for number, (_, other) in enumerate(asks) if other == width]
        k = max(asks[number][0].k for number in mine)
        xq = np.concatenate([asks[number][0].xq for number in mine])
        try:
            scores, rows = copied.search(xq, k, params=search_parameters(index.inner, k, width, None))
        except RuntimeError as error:
            msg = f"search on the card failed: {first_line(error)}"
            raise IndexUnavailableError(msg) from error
        scores[rows == NO_ROW] = -np.inf
        start = 0
        for number in mine:
            ask = asks[number][0]
            stop = start + len(ask.xq)
            answers[number] = (scores[start:stop, : ask.k].copy(), rows[start:stop, : ask.k].copy())
            start = stop
    return [answers[number] for number in range(len(asks))]
