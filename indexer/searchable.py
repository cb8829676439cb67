"""What ranking and serving read: a bundle as it is on disk (`indexer.bundle`), or as it is now (`indexer.view`)."""

import copy
from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.categories import Categories
from indexer.fields import Columns, Mask
from indexer.index import SearchIndex
from indexer.manifest import Manifest, Space
from models.entities import EntityStatistics
from models.product import Product

NARROWED: Final = 0.5
_LEAST_WIDTH: Final = 8


class Products(Protocol):
    """Products by row, and rows by id."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Product: ...

    def row_of(self, product_id: str) -> int | None:
        """Return the row of the product called `product_id`, None if there is none."""
        ...

    def id_of(self, row: int) -> str:
        """Return the id of the product of `row`, cheaper than the product itself."""
        ...

    @property
    def id_order(self) -> NDArray[np.number]:
        """Numbers that order rows by their ids, `(n,)`."""
        ...

    def entity_codes(self, group: str) -> tuple[NDArray[np.int32], Mapping[str, int]]:
        """Return the code of each row's value of `group`, `(n,) int32`, -1: none, and the code of each folded value."""
        ...


class VectorRows(Protocol):
    """Unit vectors, `(n, d) float16`, read by row, slice or array of rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and dimensions."""
        ...

    def __getitem__(self, rows: Any, /) -> Any: ...  # noqa: ANN401 - as numpy's own


class Words(Protocol):
    """BM25 over the words of products."""

    def scores(self, text: str) -> NDArray[np.float32]:
        """Return BM25 of every product for the words of `text`, `(n,) float32`; 0: it has none of them."""
        ...


class Searchable(Protocol):
    """Products with their vectors, indexes, words and fields; all rows are those of `products`.

    Attributes:
        widths: Of each space how much of its index a search looks at; None: all of it.
    """

    widths: Mapping[Space, int | None]

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        ...

    @property
    def products(self) -> Products:
        """Row -> product and id -> row."""
        ...

    @property
    def fields(self) -> Columns:
        """What products can be filtered, counted and sorted by."""
        ...

    @property
    def vectors(self) -> Mapping[Space, VectorRows]:
        """Of each space `(n, d) float16`."""
        ...

    @property
    def indexes(self) -> Mapping[Space, SearchIndex]:
        """Of each space, over those vectors."""
        ...

    @property
    def lexical(self) -> Words:
        """BM25 over the products' words."""
        ...

    @property
    def image_rows(self) -> NDArray[np.int32]:
        """`(n_img,) int32`, the product row of each picture; never falling."""
        ...

    @property
    def image_starts(self) -> NDArray[np.int64]:
        """`(n + 1,) int64`: pictures of product r are `image_starts[r]` to `image_starts[r + 1]`."""
        ...

    @property
    def statistics(self) -> EntityStatistics:
        """The catalogue's entity values and their counts."""
        ...

    @property
    def categories(self) -> Categories | None:
        """Judges of the category, and what they say of the products of the bundle, which come first."""
        ...

    @property
    def live(self) -> Mask | None:
        """`(n,) bool`, the rows that are products; the others were replaced or deleted. None: all are."""
        ...

    @property
    def count(self) -> int:
        """Products."""
        ...

    def picture_count(self, row: int) -> int:
        """Return how many pictures the product of `row` has."""
        ...

    def thumbnail(self, row: int, n: int) -> bytes | None:
        """Return picture `n` of the product of `row` as JPEG, longer side at most 256 pixels; None if none."""
        ...


def narrowed(view: Searchable) -> Searchable:
    """Return the same catalogue, whose searches look at half as much of its indexes: a bit less found, much sooner."""
    other = copy.copy(view)
    other.widths = {space: width and max(_LEAST_WIDTH, int(width * NARROWED)) for space, width in view.widths.items()}
    return other
