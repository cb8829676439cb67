"""Rows of a feed and encodings from the store, put together to the files of a bundle that grow row by row.

`RowWriter` is fed block by block; whether that happens in a thread of its own is its caller's choice.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from indexer.bundle import IMAGE_ROWS, PRODUCTS, THUMBNAIL_OFFSETS, THUMBNAILS, vectors_file
from indexer.catalogue import CatalogueRow, RejectedRow
from indexer.categories import GROUP
from indexer.manifest import Counts
from indexer.products import ProductWriter
from indexer.rejects import BuildError, RejectWriter
from indexer.store import Encoding, Store
from indexer.work import Block
from indexer.writing import ThumbnailWriter, VectorWriter
from models.encoder import Encoder
from models.product import Product

BARE: Final = "vectors/bare.npy"  # only while a bundle is built
_AT_ONCE: Final = 256  # products written together


class RowWriter:
    """Writes blocks into the store, and their rows into a bundle's folder; a context manager.

    Args:
        folder: of the bundle, with `vectors/` in it.
        encoder: whose vectors these are.
        store: where encodings are kept.
        rejects: where bad rows go.
        keep: whether products keep their place without pictures that cannot be used.
    """

    def __init__(self, folder: Path, encoder: Encoder, store: Store, rejects: RejectWriter, *, keep: bool) -> None:
        self._folder = folder
        self._store = store
        self._rejects = rejects
        self._keep = keep
        self._image_rows: list[NDArray[np.int32]] = []
        with ExitStack() as opened:
            self._products = opened.enter_context(ProductWriter(folder / PRODUCTS))
            self._texts = opened.enter_context(VectorWriter(folder / vectors_file("text"), encoder.dim))
            self._images = opened.enter_context(VectorWriter(folder / vectors_file("image"), encoder.dim))
            self._thumbnails = opened.enter_context(ThumbnailWriter(folder / THUMBNAILS, folder / THUMBNAIL_OFFSETS))
            self._bare = (
                opened.enter_context(VectorWriter(folder / BARE, encoder.dim))
                if GROUP in encoder.vocabularies
                else None
            )
            self._opened = opened.pop_all()

    def write(self, block: Block) -> None:
        """Keep what was encoded of a block, and write its rows.

        Raises:
            BuildError: there are too many bad rows.
        """
        self._store.add(block.encoded)
        waiting: list[tuple[Product, Encoding]] = []
        for item in self._items(block):
            if isinstance(item, RejectedRow):
                self._rejects.add(item, self._products.written + len(waiting))
                continue
            waiting.append(item)
            if len(waiting) == _AT_ONCE:
                self._append(waiting)
                waiting = []
        if waiting:
            self._append(waiting)

    def finish(self, feed: str) -> Counts:
        """Judge the whole catalogue, read from `feed`, and return how much of it was written.

        Raises:
            BuildError: too large a share of its rows is bad, or there is no product.
        """
        self._rejects.check_share(self._products.written)
        if not self._products.written:
            msg = f"{feed}: no product could be read ({self._rejects.count} bad rows)"
            raise BuildError(msg)
        np.save(self._folder / IMAGE_ROWS, np.concatenate(self._image_rows))
        return Counts(products=self._products.written, images=self._images.written, rejected=self._rejects.count)

    def _items(self, block: Block) -> Iterator[RejectedRow | tuple[Product, Encoding]]:
        for row in block.rows:
            made = None if row.key is None or block.abandoned else self._store.get(row.key)
            problems = row.problems if made is None or not made.problems else {**row.problems, **made.problems}
            refused = row.refused(problems, keep=self._keep)
            if refused is not None:
                yield refused
            elif made is not None and isinstance(row.found, CatalogueRow):
                yield _without(row.found.product, problems), made

    def _append(self, made: list[tuple[Product, Encoding]]) -> None:
        counts = [len(encoding.images) for _, encoding in made]
        rows = np.arange(self._products.written, self._products.written + len(made), dtype=np.int32)
        self._image_rows.append(np.repeat(rows, counts))
        self._products.write(product for product, _ in made)
        self._texts.write(np.stack([encoding.text for _, encoding in made]))
        self._images.write(np.concatenate([encoding.images for _, encoding in made]))
        self._thumbnails.write(small for _, encoding in made for small in encoding.thumbnails)
        if self._bare is not None:
            bare = [encoding.bare for _, encoding in made if encoding.bare is not None]
            self._bare.write(np.stack(bare))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()


def _without(product: Product, problems: Mapping[int, str]) -> Product:
    """Return `product` without the pictures that could not be used."""
    if not problems:
        return product
    kept = tuple(name for number, name in enumerate(product.images) if number not in problems)
    return product.model_copy(update={"images": kept})
