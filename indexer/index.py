"""Nearest vectors by inner product: the `VectorIndex` protocol and FAISS behind it.

FAISS is imported here and nowhere else. A recipe is a friendly name (`exact`, `hnsw`, `ivf`, `auto`) or any
FAISS factory string, and resolves to the factory string an index is built from and recorded with. Search
parameters travel with the call, never on the shared index, so concurrent searches cannot disturb each
other. Grouping pictures to products and rescoring is left to `indexer.ranking`.
"""

import math
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import faiss
import numpy as np
from faiss.contrib import factory_tools
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

# FAISS's own type stubs lack half of what is used here (search parameters, graph statistics): untyped, so.
_faiss: Any = faiss
_factory_tools: Any = factory_tools

NO_ROW = -1
ADD_BLOCK = 65_536  # rows turned to float32 at a time while building
EXACT_UP_TO_SCALARS = 10_000_000  # rows * d: an exact scan of 52k x 192 or 20k x 512 takes about 1.5 ms
HNSW_UP_TO_ROWS = 1_500_000  # beyond, the graph takes ten minutes of CPU and 700 bytes more per row
DEFAULT_EF_SEARCH = 64
_KEPT_PARAMETERS = 256
REFINE_FACTOR = 10.0  # refined indexes re-rank this many times k candidates
BLAS_FROM_QUERIES = 4  # in one exact search
TRAIN_ROWS_PER_LIST = 64
MIN_ROWS_PER_LIST = 39  # FAISS's own minimum for k-means


class Recipe(StrEnum):
    """The recipes with a name; any FAISS factory string is one too."""

    AUTO = "auto"
    EXACT = "exact"
    HNSW = "hnsw"
    IVF = "ivf"


class IndexFileError(ValueError):
    """An index file that cannot be read, or a recipe that FAISS does not know."""


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


def resolve_recipe(recipe: str, n: int, d: int) -> str:
    """Return the FAISS factory string of `recipe` for n rows of d dimensions.

    Stored vectors are float16, so `SQfp16` keeps them exactly at half the memory of `Flat`, and scans
    faster. `auto` is exact while a scan stays near a millisecond, then HNSW, then IVF with RaBitQ codes
    re-ranked from float16.
    """
    if n == 0:
        return "SQfp16"
    named: dict[str, str] = {
        Recipe.EXACT: "SQfp16",
        Recipe.HNSW: "HNSW32,SQfp16",
        Recipe.IVF: f"IVF{_lists(n)},SQfp16",
        Recipe.AUTO: _automatic(n, d),
    }
    return named.get(recipe, recipe)


def estimate_memory(recipe: str, n: int, d: int) -> int:
    """Return the bytes that an index of n rows of d dimensions will take, before building it.

    Raises:
        IndexFileError: FAISS does not know the recipe.
    """
    return _memory(_factory(resolve_recipe(recipe, n, d), d), n)


class FaissIndex:
    """A `VectorIndex` on FAISS, on the CPU, with one thread per search."""

    def __init__(self, index: faiss.Index, recipe: str) -> None:
        self._index = index  # the owner: downcast_index gives views that do not keep it alive
        self._recipe = recipe
        self._d, self._ntotal = int(index.d), int(index.ntotal)  # asked for once: every call into FAISS costs
        self._whole = _flat(index)
        self._parameters: dict[tuple[int, int | None], Any] = {}

    @classmethod
    def build(cls, xb: NDArray[np.floating], recipe: str = Recipe.AUTO, seed: int = 0) -> Self:
        """Build an index of the rows of `xb`, `(n, d)`, float16 or float32, unit length, maybe memory-mapped.

        Deterministic for a given seed: one thread, seeded training.

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
        index = _factory(factory, d)
        try:
            if not index.is_trained:
                _seed(index, seed)
                index.train(_training_rows(xb, index, seed))
            for start in range(0, n, ADD_BLOCK):
                index.add(_finite_rows(xb[start : start + ADD_BLOCK]))
        except RuntimeError as error:
            msg = f"recipe {factory!r} cannot be built on {n} rows of {d} dimensions: {_first_line(error)}"
            raise IndexFileError(msg) from error
        return cls(index, factory)

    @classmethod
    def load(cls, path: Path, recipe: str | None = None) -> Self:
        """Read an index file; `recipe` is the factory string it is known by, else told from the index.

        FAISS accepts many damaged files: check the file's digest first, as `indexer.bundle` does.

        Raises:
            IndexFileError: the file is missing or no index.
        """
        try:
            index = faiss.read_index(str(path))
            return cls(index, recipe or str(_factory_tools.reverse_index_factory(index)))
        except NotImplementedError:
            return cls(index, type(index).__name__)
        except RuntimeError as error:
            msg = f"{path}: not a readable index: {_first_line(error)}"
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
        return _memory(self._index, self.ntotal)

    @property
    def width_matters(self) -> bool:
        """Whether `search` looks at more of the index when `width` grows: false for an exact index."""
        return _takes_width(self._index)

    def search(self, xq: Scores, k: int, *, width: int | None = None, among: Mask | None = None) -> tuple[Scores, Rows]:
        """Return the k best rows of each query; see `SearchIndex.search`."""
        xq = self._checked(xq, k, width)
        if among is not None and among.shape != (self.ntotal,):
            msg = f"rows to search among must be ({self.ntotal},), not {among.shape}"
            raise ValueError(msg)
        _calm(self.d)
        searched = self._whole if width is not None and width >= self.ntotal else self._index
        if among is None:
            parameters = self._usual(searched, k, width)
        else:
            selector = _faiss.IDSelectorBitmap(np.packbits(among, bitorder="little"))
            parameters = _parameters(searched, k, width, selector)
        scores, rows = searched.search(xq, k, params=parameters)
        if NO_ROW in rows[:, -1].tolist():  # what is missing comes last
            scores[rows == NO_ROW] = -np.inf
        return scores, rows

    def _usual(self, searched: faiss.Index, k: int, width: int | None) -> Any:  # noqa: ANN401 - see _faiss
        """Return the parameters of a search among all rows, made once: that takes as long as a small search."""
        asked = (k, width)
        if asked not in self._parameters:
            if len(self._parameters) >= _KEPT_PARAMETERS:
                self._parameters.clear()
            self._parameters[asked] = _parameters(searched, k, width, None)
        return self._parameters[asked]

    def save(self, path: Path) -> None:
        """Write the index to the file `path`."""
        faiss.write_index(self._index, str(path))

    def _checked(self, xq: Scores, k: int, width: int | None) -> Scores:
        if xq.ndim != 2 or xq.shape[1] != self.d:
            msg = f"queries must be (nq, {self.d}), not {xq.shape}"
            raise ValueError(msg)
        if k < 1 or (width is not None and width < 1):
            msg = f"k and width must be positive, not {k} and {width}"
            raise ValueError(msg)
        # The product is finite but for huge numbers, and found in a tenth of the time.
        if not math.isfinite(np.vdot(xq, xq)) and not np.isfinite(xq).all():
            msg = "queries must be finite: found NaN or infinity"
            raise ValueError(msg)
        return np.ascontiguousarray(xq, dtype=np.float32)


def default_width(index: faiss.Index) -> int:
    """Return the width that suits an index when the caller names none."""
    if isinstance(index, faiss.IndexIVF):
        return max(8, int(index.nlist) // 16)
    return DEFAULT_EF_SEARCH


def _calm(d: int) -> None:
    """Set how FAISS works for vectors of d dimensions: the one place where that is done.

    One OpenMP thread in the calling thread, for two on a busy core pair are slower than one; the setting is per
    calling thread, hence before every search. And a matrix product instead of a loop for exact search of a few queries
    at once: FAISS's own bound, 128,000 scalars, leaves a batch of 64 queries eight times as slow as it can be.
    """
    faiss.omp_set_num_threads(1)
    _faiss.cvar.distance_compute_blas_threshold = BLAS_FROM_QUERIES * d


def _factory(factory: str, d: int) -> faiss.Index:
    try:
        return faiss.index_factory(d, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        msg = f"unknown index recipe {factory!r} for {d} dimensions: {_first_line(error)}"
        raise IndexFileError(msg) from error


def _parts(index: faiss.Index) -> list[faiss.Index]:
    """Return the index and the ones it wraps, outermost first: pre-transforms and refinement.

    They are views: the caller keeps `index` while it uses them.
    """
    part = faiss.downcast_index(index)
    if isinstance(part, faiss.IndexPreTransform):
        return [part, *_parts(part.index)]
    if isinstance(part, faiss.IndexRefine):
        return [part, *_parts(part.base_index)]
    return [part]


def _takes_width(index: faiss.Index) -> bool:
    return isinstance(_parts(index)[-1], faiss.IndexIVF | faiss.IndexHNSW)


def _flat(index: faiss.Index) -> faiss.Index:
    """Return the part of `index` that holds every vector in a row, to look at all of them; itself if there is none.

    A view, like those of `_parts`.
    """
    part = faiss.downcast_index(index)
    if isinstance(part, faiss.IndexRefine):
        return faiss.downcast_index(part.refine_index)
    if isinstance(part, faiss.IndexHNSW):
        return faiss.downcast_index(part.storage)
    return part


def _parameters(index: faiss.Index, k: int, width: int | None, selector: faiss.IDSelector | None) -> Any:  # noqa: ANN401 - see _faiss
    """Return the parameters of one search, shaped as the index is nested; None for an exact one among all rows."""
    part = faiss.downcast_index(index)
    if isinstance(part, faiss.IndexPreTransform):
        inner = _parameters(part.index, k, width, selector)
        return None if inner is None else _faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(part, faiss.IndexRefine):
        inner = _parameters(part.base_index, int(k * REFINE_FACTOR), width, selector)
        return _faiss.IndexRefineSearchParameters(k_factor=REFINE_FACTOR, base_index_params=inner)
    chosen = width or default_width(part)
    if isinstance(part, faiss.IndexIVF):
        return _faiss.SearchParametersIVF(nprobe=min(chosen, int(part.nlist)), sel=selector)
    if isinstance(part, faiss.IndexHNSW):
        return _faiss.SearchParametersHNSW(efSearch=max(chosen, k), sel=selector)
    return None if selector is None else _faiss.SearchParameters(sel=selector)


def _automatic(n: int, d: int) -> str:
    if n * d <= EXACT_UP_TO_SCALARS:
        return "SQfp16"
    if n <= HNSW_UP_TO_ROWS:
        return "HNSW32,SQfp16"
    return f"RR{d},IVF{_lists(n)},RaBitQfs,Refine(SQfp16)"


def _lists(n: int) -> int:
    """Return how many lists an IVF of n rows has: a power of two near 4 sqrt(n), enough rows in each."""
    wanted = 1 << round(math.log2(4 * math.sqrt(n)))
    return max(1, min(wanted, n // MIN_ROWS_PER_LIST))


def _seed(index: faiss.Index, seed: int) -> None:
    for part in _parts(index):
        if isinstance(part, faiss.IndexIVF):
            part.cp.seed = seed


def _training_rows(xb: NDArray[np.floating], index: faiss.Index, seed: int) -> Scores:
    """Return a seeded sample of rows, enough for k-means on every list, as `(m, d) float32`."""
    lists = max((int(p.nlist) for p in _parts(index) if isinstance(p, faiss.IndexIVF)), default=0)
    wanted = max(TRAIN_ROWS_PER_LIST * lists, ADD_BLOCK)
    if len(xb) <= wanted:
        return _finite_rows(xb)
    chosen = np.sort(np.random.default_rng(seed).choice(len(xb), wanted, replace=False))
    return _finite_rows(xb[chosen])


def _finite_rows(rows: NDArray[np.floating]) -> Scores:
    block = np.ascontiguousarray(rows, dtype=np.float32)
    if not np.isfinite(block).all():
        msg = "vectors must be finite: found NaN or infinity"
        raise ValueError(msg)
    return block


def _memory(index: faiss.Index, n: int) -> int:
    """Return the bytes of n rows in `index` with all it wraps. The caller keeps `index`: parts are views of it."""
    part = faiss.downcast_index(index)
    if isinstance(part, faiss.IndexPreTransform):
        return _memory(part.index, n) + 4 * int(part.d) * int(part.index.d)
    if isinstance(part, faiss.IndexRefine):
        return _memory(part.base_index, n) + _memory(part.refine_index, n)
    if isinstance(part, faiss.IndexIVF):
        return n * (int(part.code_size) + 8) + 4 * int(part.nlist) * int(part.d)
    if isinstance(part, faiss.IndexHNSW):
        graph: Any = part.hnsw
        links = 4 * int(graph.nb_neighbors(0)) + 4 * int(graph.nb_neighbors(1)) // 16 + 12
        return n * links + _memory(part.storage, n)
    return n * int(part.sa_code_size())


def _first_line(error: Exception) -> str:
    """Return what FAISS says without the source lines it puts around it."""
    text = str(error).split("Error:")[-1].strip()
    return text.splitlines()[0] if text else type(error).__name__
