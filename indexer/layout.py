"""A map of a bundle's products in two dimensions: neighbours in the embedding are, mostly, neighbours on it.

A product stands where its text and its pictures are in the embedding. The two kinds of vectors lie apart as wholes,
whatever they show, so each is taken from the mean of its kind. Reads what it needs of the bundle's files and no more,
a part at a time. t-SNE is scikit-learn's, where that is installed (`indexer.neighbourly`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from indexer.manifest import BundleError, checked_path

Method = Literal["t-SNE", "PCA"]
Points = NDArray[np.float64]

# As `indexer.bundle` calls them; with it would come torch, and seconds of waiting.
PRODUCTS: Final = "products.parquet"
TEXTS: Final = "vectors/text.npy"
IMAGES: Final = "vectors/image.npy"
IMAGE_ROWS: Final = "vectors/image_rows.npy"

MOST: Final = 5_000
_FEWEST: Final = 100  # products: fewer are all in sight, and no more than t-SNE takes for one neighbourhood
_COLUMNS: Final = ("id", "title", "category", "price")
_DECIMALS: Final = 5


@dataclass(frozen=True)
class Layout:
    """Where products are on a map.

    Attributes:
        method: how they were laid out.
        of: products of the bundle.
        columns: of the products on the map, in an order drawn at random: `id`, `title`, `category`, `price`, and `x`
            and `y`, 0 to 1.
    """

    method: Method
    of: int
    columns: Mapping[str, list[Any]]


def method_here() -> Method:
    """Return how maps are made here: t-SNE where scikit-learn is installed (the extra `ops`), else PCA."""
    return "PCA" if find_spec("sklearn") is None else "t-SNE"


def lay_out(folder: Path, most: int, method: Method, *, seed: int = 0) -> Layout:
    """Return a map of `most` products of the bundle in `folder`, drawn at random; of all if there are no more.

    The products of a smaller map of the same seed are the first of a larger one.

    Raises:
        BundleError: a file of the bundle is missing or damaged.
    """
    try:
        table = pq.ParquetFile(checked_path(folder, PRODUCTS), memory_map=True)
        n = table.metadata.num_rows
        rows = np.random.default_rng(seed).permutation(n)[:most]
        columns = _columns(table, rows)
        vectors = embedding(folder, rows)
    except BundleError:
        raise
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        msg = f"{folder}: cannot be read: {error}"
        raise BundleError(msg) from error
    method = method if len(rows) >= _FEWEST else "PCA"
    points = _nearby(vectors, seed) if method == "t-SNE" else principal(vectors)
    x, y = scaled(points).T.round(_DECIMALS).tolist()
    return Layout(method, n, {**columns, "x": x, "y": y})


def _nearby(vectors: Points, seed: int) -> Points:
    from indexer.neighbourly import nearby  # noqa: PLC0415 - scikit-learn need not be installed

    return nearby(vectors, principal(vectors), seed)


def _columns(table: pq.ParquetFile, rows: NDArray[np.int64]) -> dict[str, list[Any]]:
    """Return what is told of the products of `rows`, in their order, reading one group of rows at a time."""
    found: dict[str, list[Any]] = {name: [None] * len(rows) for name in _COLUMNS}
    start = 0
    for group in range(table.num_row_groups):
        end = start + table.metadata.row_group(group).num_rows
        places = np.flatnonzero((rows >= start) & (rows < end))
        if len(places):
            part = table.read_row_group(group, columns=list(_COLUMNS), use_threads=False).take(rows[places] - start)
            for name in _COLUMNS:
                for place, value in zip(places.tolist(), part.column(name).to_pylist(), strict=True):
                    found[name][place] = value
        start = end
    return found


def embedding(folder: Path, rows: NDArray[np.int64]) -> Points:
    """Return where the products of `rows`, `(m,)`, are in the embedding, `(m, d)`, rows unit length or 0."""
    texts, owners = _array(folder, TEXTS), _array(folder, IMAGE_ROWS)
    found = _centred(texts[rows].astype(np.float64))
    starts, ends = np.searchsorted(owners, rows), np.searchsorted(owners, rows, side="right")
    pictured = np.flatnonzero(ends > starts)
    if len(pictured):
        vectors = _array(folder, IMAGES)
        means = [vectors[starts[at] : ends[at]].mean(axis=0, dtype=np.float64) for at in pictured]
        found[pictured] += _centred(np.stack(means))
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.where(lengths > 0, lengths, 1.0), np.float64)


def _array(folder: Path, name: str) -> NDArray[Any]:
    # A plain view of the map: slices of numpy's own kind of map cost ten times as much.
    return np.asarray(np.load(checked_path(folder, name), mmap_mode="r", allow_pickle=False))


def _centred(vectors: Points) -> Points:
    return np.asarray(vectors - vectors.mean(axis=0), np.float64)


def principal(vectors: Points) -> Points:
    """Return the two principal components of `vectors (n, d)`, `(n, 2)`; each points to where its longest part does."""
    centred = _centred(vectors)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    points = centred @ axes
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))


def scaled(points: Points) -> Points:
    """Return `points (n, 2)` moved and shrunk alike in both directions to fit 0 to 1, in the middle of it."""
    low, high = points.min(axis=0), points.max(axis=0)
    span = float((high - low).max())
    return np.asarray((points - (low + high) / 2) / (span or 1.0) + 0.5, np.float64)
