"""A catalogue as it is now: a bundle and the layers above it, read as one `Searchable`.

Rows of the layers stand behind each other, dead ones too. A view never changes; a change makes another one, which
shares what it can. What is joined only when it is asked for is kept.
"""

import copy
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.asking import NO_ROW, Scores
from indexer.bundle import Bundle
from indexer.categories import Categories
from indexer.fields import (
    ATTRIBUTE_PREFIX,
    BooleanColumn,
    Column,
    Columns,
    CountedColumn,
    IdColumn,
    JoinedKeywords,
    KeywordColumn,
    Mask,
    NumberColumn,
    UnknownFieldError,
    as_keywords,
    kind_of,
)
from indexer.index import SearchIndex
from indexer.layers import Layer
from indexer.manifest import SPACES, Manifest, Space
from indexer.products import NO_ENTITY
from indexer.pushdown import FilterIndex, Pushed
from indexer.searchable import Products
from indexer.updates import EncodedProduct
from models.entities import EntityStatistics
from models.product import Product

Rows = NDArray[np.int64]

_FEW = 8  # living rows for each place asked for: where there are no more, each of them is looked at


class View:
    """The bundle with everything above it; a `Searchable`. Safe to use from threads.

    Args:
        bundle: the lowest layer's.
        layers: from the bundle upwards.
    """

    def __init__(self, bundle: Bundle, layers: Sequence[Layer]) -> None:
        self.bundle = bundle
        self.layers = tuple(layers)
        starts = np.cumsum([0, *(layer.n for layer in layers)])
        self.products = JoinedProducts(self.layers, starts)
        died = any(layer.died for layer in layers)
        self.live: Mask | None = ~np.concatenate([layer.dead for layer in layers]) if died else None
        self.count = sum(layer.n - layer.died for layer in layers)
        self.fields = JoinedColumns(self.layers, self.products)
        self.vectors: Mapping[Space, JoinedVectors] = {
            space: JoinedVectors([layer.part.vectors[space] for layer in layers]) for space in SPACES
        }
        self.indexes: Mapping[Space, SearchIndex] = {space: JoinedIndex(self.layers, space) for space in SPACES}
        self.widths: Mapping[Space, int | None] = bundle.widths
        self.lexical = JoinedWords(self.layers)
        pictures = np.cumsum([0, *(len(layer.part.image_rows) for layer in layers)])
        if len(layers) == 1:
            self.image_rows, self.image_starts = bundle.image_rows, bundle.image_starts
        else:
            self.image_rows = np.concatenate(
                [layer.part.image_rows + np.int32(start) for layer, start in zip(layers, starts, strict=False)]
            )
            begins = [layer.part.image_starts[:-1] + start for layer, start in zip(layers, pictures, strict=False)]
            self.image_starts = np.concatenate([*begins, pictures[-1:]])

    @property
    def manifest(self) -> Manifest:
        """The bundle's."""
        return self.bundle.manifest

    @property
    def statistics(self) -> EntityStatistics:
        """The bundle's: names that came later are known when the catalogue is next indexed."""
        return self.bundle.statistics

    @property
    def categories(self) -> Categories | None:
        """The bundle's."""
        return self.bundle.categories

    @property
    def path(self) -> Path:
        """The bundle's folder."""
        return self.bundle.path

    def encoded(self, product_id: str) -> EncodedProduct | None:
        """Return a product with its vectors and thumbnails, None if there is none of this id."""
        row = self.products.row_of(product_id)
        if row is None:
            return None
        layer, within = self.products.place(row)
        return layer.encoded(within, self.manifest.encoder.fingerprint)

    def picture_count(self, row: int) -> int:
        """Return how many pictures the product of `row` has."""
        return int(self.image_starts[row + 1] - self.image_starts[row])

    def thumbnail(self, row: int, n: int) -> bytes | None:
        """Return picture `n` of the product of `row` as JPEG, longer side at most 256 pixels; None if none."""
        layer, within = self.products.place(row)
        return layer.part.thumbnail(within, n)


class JoinedProducts:
    """The products of layers; `Products`."""

    def __init__(self, layers: Sequence[Layer], starts: Rows) -> None:
        self._layers = layers
        self._starts = starts.tolist()
        self._codes: dict[str, tuple[NDArray[np.int32], Mapping[str, int]]] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, row: int) -> Product:
        """Return the product of `row`, dead or not.

        Raises:
            IndexError: there is no such row.
        """
        layer, within = self.place(row)
        return layer.product(within)

    def place(self, row: int) -> tuple[Layer, int]:
        """Return the layer of a row, and its row there.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= row < len(self):
            msg = f"row {row} of {len(self)}"
            raise IndexError(msg)
        number = bisect_right(self._starts, row) - 1
        return self._layers[number], row - self._starts[number]

    def row_of(self, product_id: str) -> int | None:
        """Return the row of the product called `product_id`, None if there is none."""
        for layer, start in zip(reversed(self._layers), reversed(self._starts[:-1]), strict=True):
            row = layer.row_of(product_id)
            if row is not None:
                return int(start) + row
        return None

    def id_of(self, row: int) -> str:
        """Return the id of the product of `row`."""
        layer, within = self.place(row)
        return layer.part.products.id_of(within)

    @cached_property
    def id_order(self) -> NDArray[np.float64]:
        """Return numbers that order rows by their ids, `(n,)`: those of later layers lie between the bundle's."""
        base = self._layers[0].part.products
        if len(self._layers) == 1:
            return base.id_order.astype(np.float64)
        later = [layer.part.products.id_of(row) for layer in self._layers[1:] for row in range(layer.n)]
        rank = np.argsort(np.argsort([one.encode() for one in later], kind="stable"), kind="stable")
        places = np.array([base.place_of(one) for one in later], np.float64)
        between = places - 1 + (rank + 1) / (len(later) + 1)
        return np.concatenate([base.id_order.astype(np.float64), between])

    def entity_codes(self, group: str) -> tuple[NDArray[np.int32], Mapping[str, int]]:
        """Return a code for each row's value of `group`, -1 for none and for dead rows, and the codes of values."""
        if group not in self._codes:
            parts, known = [], dict[str, int]()
            for layer in self._layers:
                codes, names = layer.part.products.entity_codes(group)
                to_joined = np.full(len(names) + 1, NO_ENTITY, np.int32)  # the last is that of rows without one
                for name, code in names.items():
                    to_joined[code] = known.setdefault(name, len(known))
                joined = to_joined[codes]
                joined[layer.dead] = NO_ENTITY
                parts.append(joined)
            self._codes[group] = (np.concatenate(parts), known)
        return self._codes[group]


class JoinedColumns(Columns):
    """The columns of layers."""

    def __init__(self, layers: Sequence[Layer], products: Products) -> None:
        super().__init__()
        self._layers = layers
        self._products = products

    @property
    def n(self) -> int:
        """Rows, dead ones too."""
        return len(self._products)

    @property
    def attribute_names(self) -> AbstractSet[str]:
        """The attributes that any product states."""
        return set().union(*(layer.part.fields.attribute_names for layer in self._layers))

    def _make(self, name: str) -> Column:
        if name == "id":
            return IdColumn(self._products)
        attribute = name.removeprefix(ATTRIBUTE_PREFIX)
        known_as = attribute if name not in self.names and attribute in self.attribute_names else name
        columns = [layer.column(known_as) for layer in self._layers]
        first = next((column for column in columns if column is not None), None)
        if first is None:
            raise UnknownFieldError(name)
        kind = kind_of(first)
        if columns[0] is None and any(column is not None and kind_of(column) is not kind for column in columns):
            # Of a field that the bundle lacks, different kinds were stated: what comes next will be words, too.
            columns = [None if column is None else as_keywords(_counted(column)) for column in columns]
            kind = KeywordColumn
        parts = [
            column if column is not None and kind_of(column) is kind else kind.empty(layer.n)
            for column, layer in zip(columns, self._layers, strict=True)
        ]
        if len(parts) == 1:
            return parts[0]
        if kind is KeywordColumn:
            return JoinedKeywords.joining([part for part in parts if isinstance(part, KeywordColumn)])
        values = np.concatenate([part.values for part in parts if isinstance(part, NumberColumn | BooleanColumn)])
        return NumberColumn(values) if kind is NumberColumn else BooleanColumn(values)


def _counted(column: Column) -> CountedColumn:
    if isinstance(column, IdColumn):
        raise TypeError(column)
    return column


class JoinedVectors:
    """The vectors of layers; `VectorRows`."""

    def __init__(self, parts: Sequence[NDArray[np.float16]]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and dimensions."""
        return int(self._starts[-1]), self._parts[0].shape[1]

    def __getitem__(self, rows: Any) -> Any:  # noqa: ANN401 - as numpy's own
        """Return the vectors of a row, a slice, or an array of rows."""
        if isinstance(rows, slice):
            return self[np.arange(*rows.indices(self.shape[0]))]
        if np.ndim(rows) == 0:
            number = bisect_right(self._starts.tolist(), int(rows)) - 1
            return self._parts[number][int(rows) - self._starts[number]]
        if len(rows) == 0 or rows.max() < len(self._parts[0]):
            return self._parts[0][rows]
        found = np.empty((len(rows), self.shape[1]), np.float16)
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(numbers):
            here = numbers == number
            found[here] = self._parts[number][rows[here] - self._starts[number]]
        return found


class JoinedIndex:
    """The indexes of a space, dead rows never found; a `SearchIndex`.

    The width is for the bundle's own index, the others are exact.
    """

    def __init__(self, layers: Sequence[Layer], space: Space) -> None:
        self._parts: list[SearchIndex] = [layer.part.indexes[space] for layer in layers]
        self._layers = layers
        self._space = space
        self._starts = np.cumsum([0, *(part.ntotal for part in self._parts)])

    @property
    def d(self) -> int:
        """Dimensions of a vector."""
        return self._parts[0].d

    @property
    def ntotal(self) -> int:
        """Rows held, dead ones too."""
        return int(self._starts[-1])

    def search(self, xq: Scores, k: int, *, width: int | None = None, among: Mask | None = None) -> tuple[Scores, Rows]:
        """Return the k best rows of each query; see `SearchIndex.search`."""
        if among is not None and among.shape != (self.ntotal,):
            msg = f"rows to search among must be ({self.ntotal},), not {among.shape}"
            raise ValueError(msg)
        found = [self._search(number, xq, k, width, among) for number, part in enumerate(self._parts) if part.ntotal]
        if len(found) == 1:
            return found[0]
        scores = np.concatenate([part for part, _ in found], axis=1)
        rows = np.concatenate([part for _, part in found], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)

    def under(self, pushed: Pushed) -> "JoinedIndex":
        """Return the same for searches under a filter, which the bundle's index is told of if it can be."""
        first = self._parts[0]
        if not isinstance(first, FilterIndex):
            return self
        other = copy.copy(self)
        other._parts = [first.under(pushed), *self._parts[1:]]  # noqa: SLF001 - of its own kind
        return other

    def _search(self, number: int, xq: Scores, k: int, width: int | None, among: Mask | None) -> tuple[Scores, Rows]:
        part, layer, start = self._parts[number], self._layers[number], self._starts[number]
        dead = (layer.dead if self._space == "text" else layer.dead_pictures) if layer.died else None
        asked = k
        admitted = None if among is None else among[start : start + part.ntotal]
        if dead is not None and (admitted is not None or number):
            admitted, dead = (~dead if admitted is None else admitted & ~dead), None
        gone = 0 if dead is None else int(dead.sum())
        while True:
            if dead is not None and part.ntotal - gone <= _FEW * asked:
                admitted, dead, width = ~dead, None, part.ntotal
            scores, rows = part.search(xq, min(asked, part.ntotal), width=_wide(width, asked, k), among=admitted)
            if dead is None:
                break
            scores, rows, fewest = _without(scores, rows, dead)
            if fewest >= k or asked >= min(part.ntotal, k + gone):
                break
            asked = min(2 * asked, k + gone)  # the dead took places of the living
        rows = np.where(rows == NO_ROW, NO_ROW, rows + start)
        return _of_width(scores, -np.inf, k), _of_width(rows, NO_ROW, k)


def _wide(width: int | None, asked: int, k: int) -> int | None:
    """Return how much of an index to look at for `asked` rows, where `width` suits k."""
    return None if width is None else width * max(asked, 1) // max(k, 1)


def _without(scores: Scores, rows: Rows, dead: Mask) -> tuple[Scores, Rows, int]:
    """Return what was found without the dead, and how many were found for the query with the fewest."""
    gone = (rows != NO_ROW) & dead[rows]
    scores, rows = np.where(gone, -np.inf, scores).astype(np.float32), np.where(gone, NO_ROW, rows)
    order = np.argsort(-scores, axis=1, kind="stable")
    fewest = int((rows != NO_ROW).sum(axis=1).min())
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1), fewest


def _of_width(found: NDArray[Any], nothing: float, k: int) -> NDArray[Any]:
    """Return `found` with k columns, those it lacks filled with `nothing`."""
    missing = k - found.shape[1]
    return found[:, :k] if missing <= 0 else np.pad(found, ((0, 0), (0, missing)), constant_values=nothing)


class JoinedWords:
    """BM25 of layers; `Words`. Dead rows have none of any words."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers

    def scores(self, text: str) -> Scores:
        """Return BM25 of every product for the words of `text`, `(n,) float32`; 0: it has none of them."""
        first, *later = (layer.part.lexical for layer in self._layers)
        meant = first.meant(text, later)
        return np.concatenate([_scores_of(layer, meant) for layer in self._layers])


def _scores_of(layer: Layer, meant: Mapping[str, float]) -> Scores:
    scores = layer.part.lexical.scores_of(meant)
    if layer.died:
        scores[layer.dead] = 0
    return scores
