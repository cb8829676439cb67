"""A bundle on disk, opened for searching: products, vectors, indexes, words, statistics, thumbnails, report.

Row r of `products` is row r of `vectors["text"]`; row i of `vectors["image"]` is a picture of product
`image_rows[i]`, a product's pictures standing together in their order. Building bundles is left to
`indexer.build`, ranking to `indexer.ranking`, choosing the current one to `indexer.publish`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from indexer.categories import FILE as CATEGORIES
from indexer.categories import Categories
from indexer.fields import Fields, Mask
from indexer.index import FaissIndex, VectorIndex
from indexer.lexical import FILES as LEXICAL_FILES
from indexer.lexical import LexicalIndex
from indexer.manifest import (
    MANIFEST,
    SPACES,
    BundleError,
    Manifest,
    Space,
    check_files,
    checked_path,
    read_manifest,
)
from indexer.parts import IndexFileError
from indexer.products import ProductTable
from models.entities import EntityStatistics

Scalar = TypeVar("Scalar", bound=np.generic)

__all__ = ["Bundle", "BundleError", "Manifest", "current_bundle"]

PRODUCTS: Final = "products.parquet"
IMAGE_ROWS: Final = "vectors/image_rows.npy"
STATISTICS: Final = "entities.json"
THUMBNAILS: Final = "thumbnails.bin"
THUMBNAIL_OFFSETS: Final = "thumbnails.npy"
REPORT: Final = "report.json"
CURRENT: Final = "current"
BUNDLES: Final = "bundles"
BUILDING: Final = ".building-"  # begins the name of a folder that is no bundle yet
FILES: Final = (
    PRODUCTS,
    "vectors/image.npy",
    "vectors/text.npy",
    IMAGE_ROWS,
    "image.faiss",
    "text.faiss",
    *LEXICAL_FILES,
    STATISTICS,
    THUMBNAILS,
    THUMBNAIL_OFFSETS,
    REPORT,
)


def vectors_file(space: Space) -> str:
    """Return the name of the vectors of `space` within a bundle."""
    return f"vectors/{space}.npy"


def index_file(space: Space) -> str:
    """Return the name of the index of `space` within a bundle."""
    return f"{space}.faiss"


def current_bundle(data_dir: Path) -> Path | None:
    """Return the folder of the published bundle of `data_dir`, None if nothing is published.

    Raises:
        BundleError: `current` does not lead to a bundle folder of `data_dir`.
    """
    link = data_dir / CURRENT
    if not link.is_symlink():
        if link.exists():
            msg = f"{link}: not a symbolic link"
            raise BundleError(msg)
        return None
    target = link.resolve()
    if target.parent != (data_dir / BUNDLES).resolve() or not target.is_dir():
        msg = f"{link}: leads to {target}, which is no bundle of {data_dir}"
        raise BundleError(msg)
    return target


class Bundle:
    """An open bundle. Read-only and safe to use from threads; a context manager.

    Attributes:
        path: its folder.
        manifest: what it says of itself.
        products: row -> Product and id -> row.
        fields: what products can be filtered, counted and sorted by.
        vectors: of each space `(n, d) float16`, rows unit length, memory-mapped.
        indexes: of each space a `VectorIndex` over those vectors.
        widths: of each space how much of its index a search looks at; None: all of it.
        lexical: BM25 over the products' words.
        image_rows: `(n_img,) int32`, the product row of each picture; never falling.
        image_starts: `(n + 1,) int64`: pictures of product r are `image_starts[r]` to `image_starts[r + 1]`.
        statistics: the catalogue's entity values and their counts.
        categories: judges of the category, and what they say of each product; None where there is none to tell.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.restate(manifest)
        self.products = ProductTable.open(checked_path(path, PRODUCTS))
        self.fields = Fields(self.products)
        self.vectors: Mapping[Space, NDArray[np.float16]] = {s: self._vectors(s) for s in SPACES}
        self.image_rows: NDArray[np.int32] = self._array(IMAGE_ROWS, np.int32)
        self.image_starts: NDArray[np.int64] = np.searchsorted(self.image_rows, np.arange(len(self.products) + 1))
        self._offsets: NDArray[np.int64] = self._array(THUMBNAIL_OFFSETS, np.int64)
        self._check_shapes()
        self.indexes: Mapping[Space, VectorIndex] = {s: self._index(s) for s in SPACES}
        self.lexical = LexicalIndex.open(path, len(self.products))
        self.categories = Categories.open(path, len(self.products)) if CATEGORIES in manifest.files else None
        self.statistics = self._statistics()
        self._thumbnails = np.memmap(checked_path(path, THUMBNAILS), np.uint8, "r") if self.image_rows.size else None

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> Self:
        """Open the bundle in the folder `path`.

        With `verify`, size and SHA-256 of every file are checked before anything in it is parsed; without,
        sizes only.

        Raises:
            BundleError: the folder is no bundle, or one of its files is missing, damaged or misfitting.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        missing = sorted(set(FILES) - set(manifest.files))
        if missing:
            msg = f"{folder / MANIFEST}: does not name {', '.join(missing)}"
            raise BundleError(msg)
        check_files(folder, manifest, digests=verify)
        return cls(folder, manifest)

    def restate(self, manifest: Manifest) -> None:
        """Let the bundle be searched as `manifest` states, while it is being built."""
        self.manifest = manifest
        self.widths: Mapping[Space, int | None] = {s: record.width for s, record in manifest.indexes.items()}

    @property
    def report(self) -> Mapping[str, object]:
        """What was measured of the bundle when it was built, as `report.json` has it.

        Raises:
            BundleError: the file holds something else.
        """
        path = checked_path(self.path, REPORT)
        try:
            return dict(json.loads(path.read_bytes()))
        except (ValueError, TypeError) as error:
            msg = f"{path}: not a readable report: {error}"
            raise BundleError(msg) from error

    @property
    def live(self) -> Mask | None:
        """None: every row is a product."""
        return None

    @property
    def count(self) -> int:
        """Products."""
        return len(self.products)

    def picture_count(self, row: int) -> int:
        """Return how many pictures the product of `row` has."""
        return int(self.image_starts[row + 1] - self.image_starts[row])

    def thumbnail(self, row: int, n: int) -> bytes | None:
        """Return picture `n` of the product of `row` as JPEG, longer side at most 256 pixels; None if none.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= row < len(self.products):
            msg = f"row {row} of {len(self.products)} products"
            raise IndexError(msg)
        if self._thumbnails is None or not 0 <= n < self.picture_count(row):
            return None
        picture = int(self.image_starts[row]) + n
        start, end = self._offsets[picture : picture + 2]
        return self._thumbnails[start:end].tobytes()

    def close(self) -> None:
        """Let go of the memory-mapped files; the bundle must not be used any more."""
        self.vectors = {}
        self.indexes = {}
        self._thumbnails = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _array(self, name: str, dtype: type[Scalar], *, mapped: bool = False) -> NDArray[Scalar]:
        path = checked_path(self.path, name)
        try:
            # A plain view of the map: slices of numpy's own kind of map cost ten times as much.
            array: NDArray[Scalar] = np.asarray(np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False))
        except (ValueError, OSError, EOFError) as error:
            msg = f"{path}: not a readable array: {error}"
            raise BundleError(msg) from error
        if array.dtype != np.dtype(dtype):
            msg = f"{path}: {array.dtype}, where a bundle has {dtype.__name__}"
            raise BundleError(msg)
        return array

    def _vectors(self, space: Space) -> NDArray[np.float16]:
        return self._array(vectors_file(space), np.float16, mapped=True)

    def _index(self, space: Space) -> VectorIndex:
        record = self.manifest.indexes[space]
        path = checked_path(self.path, index_file(space))
        try:
            index = FaissIndex.load(path, record.recipe)
        except IndexFileError as error:
            raise BundleError(str(error)) from error
        if (index.ntotal, index.d) != self.vectors[space].shape:
            msg = f"{path}: ({index.ntotal}, {index.d}) vectors, where there are {self.vectors[space].shape}"
            raise BundleError(msg)
        return index

    def _statistics(self) -> EntityStatistics:
        path = checked_path(self.path, STATISTICS)
        try:
            return EntityStatistics.from_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            msg = f"{path}: not readable entity statistics: {error}"
            raise BundleError(msg) from error

    def _check_shapes(self) -> None:
        """Refuse a bundle whose parts are undamaged but do not fit each other."""
        counts, dim = self.manifest.counts, self.manifest.encoder.dim
        rows = self.image_rows
        found = {
            "products.parquet": (len(self.products), counts.products),
            "vectors/text.npy": (self.vectors["text"].shape, (counts.products, dim)),
            "vectors/image.npy": (self.vectors["image"].shape, (counts.images, dim)),
            "vectors/image_rows.npy": (rows.shape, (counts.images,)),
            "thumbnails.npy": (self._offsets.shape, (counts.images + 1,)),
        }
        for name, (is_now, should_be) in found.items():
            if is_now != should_be:
                msg = f"{self.path / name}: holds {is_now}, where the manifest states {should_be}"
                raise BundleError(msg)
        held = checked_path(self.path, THUMBNAILS).stat().st_size
        if self._offsets[0] != 0 or self._offsets[-1] != held or (np.diff(self._offsets) < 0).any():
            msg = f"{self.path / THUMBNAIL_OFFSETS}: offsets do not fit the {held} bytes of {THUMBNAILS}"
            raise BundleError(msg)
        if rows.size and (rows[0] < 0 or rows[-1] >= counts.products or (np.diff(rows) < 0).any()):
            msg = f"{self.path / IMAGE_ROWS}: rows out of order or out of range"
            raise BundleError(msg)
