"""Nearest vectors by inner product: the `VectorIndex` protocol and FAISS behind it.

Search parameters travel with the call, never on the shared index, so concurrent searches cannot disturb each
other. Which index suits is left to `indexer.recipes`, what it is made of to `indexer.parts`, grouping pictures
to products and rescoring to `indexer.ranking`.
"""

from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import faiss
import numpy as np
from faiss.contrib import factory_tools
from numpy.typing import NDArray

from indexer.asking import NO_ROW, Mask, Rows, Scores, check_among, checked_queries, finite_rows, nothing_found
from indexer.card_help import Moved, helped_adding, helped_training
from indexer.locality import admitted_rows, in_walking_order, moved_rows, on_large_pages
from indexer.parts import (
    IndexFileError,
    first_line,
    made_by,
    memory_of,
    parts_of,
    search_parameters,
    selector,
    selects,
    takes_width,
    whole,
)
from indexer.recipes import Recipe, resolve_recipe

# FAISS's own type stubs lack what is used of it here: untyped, so.
_faiss: Any = faiss
_factory_tools: Any = factory_tools

ADD_BLOCK = 65_536  # rows turned to float32 at a time while building
_KEPT_PARAMETERS = 256
BLAS_FROM_QUERIES = 4  # in one exact search
TRAIN_ROWS_PER_LIST = 64


@runtime_checkable
class SearchIndex(Protocol):
    """Rows of unit vectors that can be searched by inner product. Safe to search from many threads."""

    @property
    def d(self) -> int:
        """Dimensions of a vector."""
        ...

    @property
    def ntotal(self) -> int:
        """Rows held."""
        ...

    def search(self, xq: Scores, k: int, *, width: int | None = None, among: Mask | None = None) -> tuple[Scores, Rows]:
        """Return the k best rows of each query: `D (nq, k) float32` falling, `I (nq, k) int64`.

        Where fewer than k rows were found, the rest of I is -1 and of D is -inf. `width` is how much of
        the index to look at: lists probed (IVF) or candidates kept (HNSW); exact indexes ignore it, and as
        many as there are rows makes any index look at all of it. Only rows of `among`, `(ntotal,) bool`, are
        found; an index that is not exact wants a larger width then.

        Raises:
            ValueError: `xq` is not `(nq, d)` or not finite, k or width is not positive, or `among` is not `(ntotal,)`.
        """
        ...


@runtime_checkable
class VectorIndex(SearchIndex, Protocol):
    """A `SearchIndex` that is built by a recipe and kept in a file."""

    @property
    def recipe(self) -> str:
        """The factory string that builds the same kind of index again."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Memory the index takes, estimated within a tenth."""
        ...

    def save(self, path: Path) -> None:
        """Write the index to the file `path`."""
        ...


class FaissIndex:
    """A `VectorIndex` on FAISS, on the CPU, with one thread per search."""

    def __init__(self, index: faiss.Index, recipe: str) -> None:
        self._index = index  # the owner: what follows are views that do not keep it alive
        on_large_pages(index)
        self._recipe = recipe
        self._d, self._ntotal = int(index.d), int(index.ntotal)  # asked for once: every call into FAISS costs
        self._searched, self._rows = moved_rows(index)
        self._whole = whole(self._searched)
        self._parameters: dict[tuple[int, int | None], Any] = {}

    @classmethod
    def build(
        cls, xb: NDArray[np.floating], recipe: str = Recipe.AUTO, seed: int = 0, moved: Moved | None = None
    ) -> Self:
        """Build an index of the rows of `xb`, `(n, d)`, float16 or float32, unit length, maybe memory-mapped.

        Deterministic for a given seed: one thread, seeded training. With `moved`, which copies an index to a GPU, an
        IVF is trained and filled with the GPU's help.

        Raises:
            ValueError: `xb` is not two-dimensional or holds a value that is not finite.
            IndexFileError: FAISS does not know the recipe, or cannot train it on so few rows.
        """
        if xb.ndim != 2:
            msg = f"vectors must be (n, d), not {xb.shape}"
            raise ValueError(msg)
        n, d = xb.shape
        _calm(d)
        factory = resolve_recipe(recipe, n, d)
        index = made_by(factory, d)
        try:
            if not index.is_trained:
                _seed(index, seed)
                with helped_training(index, moved):
                    index.train(_training_rows(xb, index, seed))
            with helped_adding(index, moved):
                for start in range(0, n, ADD_BLOCK):
                    index.add(finite_rows(xb[start : start + ADD_BLOCK]))
        except RuntimeError as error:
            msg = f"recipe {factory!r} cannot be built on {n} rows of {d} dimensions: {first_line(error)}"
            raise IndexFileError(msg) from error
        return cls(in_walking_order(index), factory)

    @classmethod
    def load(cls, path: Path, recipe: str | None = None) -> Self:
        """Read an index file; `recipe` is the factory string it is known by, else told from the index.

        FAISS accepts many damaged files: check the file's digest first, as `indexer.bundle` does.

        Raises:
            IndexFileError: the file is missing or no index.
        """
        try:
            index = faiss.read_index(str(path))
            return cls(index, recipe or _factory_of(moved_rows(index)[0]))
        except RuntimeError as error:
            msg = f"{path}: not a readable index: {first_line(error)}"
            raise IndexFileError(msg) from error

    @property
    def d(self) -> int:
        """Dimensions of a vector."""
        return self._d

    @property
    def ntotal(self) -> int:
        """Rows held."""
        return self._ntotal

    @property
    def recipe(self) -> str:
        """The factory string that builds the same kind of index again."""
        return self._recipe

    @property
    def memory_bytes(self) -> int:
        """Memory the index takes, estimated within a tenth."""
        return memory_of(self._index, self.ntotal)

    @property
    def inner(self) -> faiss.Index:
        """FAISS's own index, which this one keeps; not to be changed. Its rows may have been moved."""
        return self._searched

    @property
    def width_matters(self) -> bool:
        """Whether `search` looks at more of the index when `width` grows: false for an exact index."""
        return takes_width(self._index)

    def search(self, xq: Scores, k: int, *, width: int | None = None, among: Mask | None = None) -> tuple[Scores, Rows]:
        """Return the k best rows of each query; see `SearchIndex.search`."""
        xq = checked_queries(xq, self.d, k, width)
        check_among(among, self.ntotal)
        _calm(self.d)
        searched = self._whole if width is not None and width >= self._ntotal else self._searched
        if among is None:
            return self._found(searched, xq, k, self._usual(searched, k, width))
        return self._among(searched, xq, k, width, among)

    def _found(self, searched: faiss.Index, xq: Scores, k: int, parameters: Any) -> tuple[Scores, Rows]:  # noqa: ANN401 - see _faiss
        """Ask FAISS, past its Python layer, which takes as long as a small search; name rows as they were added."""
        scores, rows = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)
        asked: Any = searched
        asked.search_c(len(xq), faiss.swig_ptr(xq), k, faiss.swig_ptr(scores), faiss.swig_ptr(rows), parameters)
        missing = NO_ROW in rows[:, -1].tolist()  # what is missing comes last
        gone = rows == NO_ROW if missing else None
        if self._rows is not None:
            rows = self._rows.take(rows)
        if gone is not None:
            scores[gone], rows[gone] = -np.inf, NO_ROW
        return scores, rows

    def _among(self, searched: faiss.Index, xq: Scores, k: int, width: int | None, among: Mask) -> tuple[Scores, Rows]:
        """Search among some rows, where the index itself can; else among them in what it holds, or after the fact."""
        able = next((index for index in (searched, self._whole) if selects(index)), None)
        if able is None:
            return self._kept(searched, xq, k, width, among)
        admitted = selector(among)  # kept until the search is over
        return self._found(able, xq, k, search_parameters(able, k, width, admitted_rows(self._index, admitted)))

    def _kept(self, searched: faiss.Index, xq: Scores, k: int, width: int | None, among: Mask) -> tuple[Scores, Rows]:
        """Ask for more and more rows, until k of `among` are found for every query, or all have been seen."""
        wanted, asked = min(k, int(among.sum())), k
        while True:
            asked = min(asked, max(1, self.ntotal))
            scores, rows = self._found(searched, xq, asked, search_parameters(searched, asked, width, None))
            kept = (rows != NO_ROW) & among[rows]
            if asked >= self.ntotal or (kept.sum(axis=1) >= wanted).all():
                return _first(scores, rows, kept, k)
            asked *= 4

    def _usual(self, searched: faiss.Index, k: int, width: int | None) -> Any:  # noqa: ANN401 - see _faiss
        """Return the parameters of a search among all rows, made once: that takes as long as a small search."""
        asked = (k, width)
        if asked not in self._parameters:
            if len(self._parameters) >= _KEPT_PARAMETERS:
                self._parameters.clear()
            self._parameters[asked] = search_parameters(searched, k, width, None)
        return self._parameters[asked]

    def save(self, path: Path) -> None:
        """Write the index to the file `path`."""
        faiss.write_index(self._index, str(path))


def _factory_of(index: faiss.Index) -> str:
    """Return the factory string of an index, or its class where it has none."""
    try:
        return str(_factory_tools.reverse_index_factory(index))
    except NotImplementedError:
        return type(index).__name__


def _calm(d: int) -> None:
    """Set how FAISS works for vectors of d dimensions: the one place where that is done.

    One OpenMP thread in the calling thread, for two on a busy core pair are slower than one; the setting is per
    calling thread, hence before every search. And a matrix product instead of a loop for exact search of a few queries
    at once: FAISS's own bound, 128,000 scalars, leaves a batch of 64 queries eight times as slow as it can be.
    """
    faiss.omp_set_num_threads(1)
    _faiss.cvar.distance_compute_blas_threshold = BLAS_FROM_QUERIES * d


def _seed(index: faiss.Index, seed: int) -> None:
    for part in parts_of(index):
        if isinstance(part, faiss.IndexIVF):
            part.cp.seed = seed
            part.cp.min_points_per_centroid = 1  # what few rows are worth is measured, not warned of
        if isinstance(part, faiss.IndexIVFPQFastScan):
            part.pq.cp.min_points_per_centroid = 1


def _training_rows(xb: NDArray[np.floating], index: faiss.Index, seed: int) -> Scores:
    """Return a seeded sample of rows, enough for k-means on every list, as `(m, d) float32`."""
    lists = max((int(p.nlist) for p in parts_of(index) if isinstance(p, faiss.IndexIVF)), default=0)
    wanted = max(TRAIN_ROWS_PER_LIST * lists, ADD_BLOCK)
    if len(xb) <= wanted:
        return finite_rows(xb)
    chosen = np.sort(np.random.default_rng(seed).choice(len(xb), wanted, replace=False))
    return finite_rows(xb[chosen])


def _first(scores: Scores, rows: Rows, kept: Mask, k: int) -> tuple[Scores, Rows]:
    """Return the first k columns of what is kept of each row, `(nq, k)`; -1 where there are fewer."""
    out_scores, out_rows = nothing_found(len(rows), k)
    for at, mask in enumerate(kept):
        places = np.flatnonzero(mask)[:k]
        out_scores[at, : len(places)], out_rows[at, : len(places)] = scores[at, places], rows[at, places]
    return out_scores, out_rows
