"""The layers of a catalogue that changes: the bundle at the bottom, above it segments of products changed since.

A segment is made once and never changes; a layer is a segment with what happened to its rows later: which are dead,
and which numbers and booleans (price, stock) were changed where they stand, without a row of their own. Layers are
values: a change gives a new one. Joining layers is left to `indexer.view`, deciding on them to `indexer.live`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from indexer.bundle import Bundle
from indexer.fields import ATTRIBUTE_PREFIX, BooleanColumn, Column, Columns, Fields, Mask, NumberColumn
from indexer.index import FaissIndex, VectorIndex
from indexer.lexical_updates import index_products
from indexer.manifest import Space
from indexer.products import SCHEMA, ProductTable, product_row
from indexer.recipes import Recipe
from indexer.updates import EncodedProduct
from indexer.updates import Fields as Patch
from models.product import AttributeValue, Product

Rows = NDArray[np.int64]
ValueColumn = NumberColumn | BooleanColumn

_OWN_VALUES: Final = ("price", "in_stock")


class Segment:
    """Products changed since a bundle was built, in memory and searched exactly; read like a bundle."""

    def __init__(self, encoded: Sequence[EncodedProduct], bundle: Bundle) -> None:
        dim = bundle.manifest.encoder.dim
        table = pa.Table.from_pylist([product_row(one.product) for one in encoded], schema=SCHEMA)
        self.products = ProductTable(table)
        self.fields = Fields(self.products, like=bundle.fields)
        self.vectors: Mapping[Space, NDArray[np.float16]] = {
            "image": np.concatenate([one.images.reshape(-1, dim) for one in encoded]),
            "text": np.stack([one.text for one in encoded]),
        }
        self.indexes: Mapping[Space, VectorIndex] = {
            space: FaissIndex.build(vectors, Recipe.EXACT) for space, vectors in self.vectors.items()
        }
        self.lexical = index_products(bundle.lexical, [one.product for one in encoded])
        counts = [len(one.images) for one in encoded]
        self.image_starts: NDArray[np.int64] = np.cumsum([0, *counts])
        self.image_rows = np.repeat(np.arange(len(encoded), dtype=np.int32), counts)
        self._thumbnails = tuple(one.thumbnails for one in encoded)

    def thumbnail(self, row: int, n: int) -> bytes | None:
        """Return picture `n` of the product of `row` as JPEG; None if there is none."""
        thumbnails = self._thumbnails[row]
        return thumbnails[n] if 0 <= n < len(thumbnails) else None


Part = Bundle | Segment


@dataclass(frozen=True)
class Values:
    """A column some of whose values were changed; `changed`, `(n,) bool`, tells which."""

    column: ValueColumn
    changed: Mask


@dataclass(frozen=True)
class Layer:
    """A part, and what happened to its rows since.

    Attributes:
        part: bundle or segment.
        dead: `(n,) bool`, rows that were replaced or deleted.
        values: columns that were changed, by the name of their field.
    """

    part: Part
    dead: Mask
    values: Mapping[str, Values] = field(default_factory=dict)

    @classmethod
    def of(cls, part: Part) -> "Layer":
        """Return the layer of a part to which nothing has happened."""
        return cls(part, np.zeros(len(part.products), np.bool_))

    @cached_property
    def n(self) -> int:
        """Rows, dead ones too."""
        return len(self.part.products)

    @cached_property
    def died(self) -> int:
        """Rows that are dead."""
        return int(self.dead.sum())

    @cached_property
    def dead_pictures(self) -> Mask:
        """Which rows of the image vectors belong to dead products, `(n_img,) bool`."""
        return self.dead[self.part.image_rows]

    def row_of(self, product_id: str) -> int | None:
        """Return the row of the product called `product_id`, None if it is not here or dead."""
        row = self.part.products.row_of(product_id)
        return None if row is None or self.dead[row] else row

    def without(self, rows: Iterable[int]) -> "Layer":
        """Return the layer with `rows` dead."""
        dead = self.dead.copy()
        dead[list(rows)] = True
        return replace(self, dead=dead)

    def with_values(self, changes: Sequence[tuple[int, Mapping[str, AttributeValue | None]]], like: Columns) -> "Layer":
        """Return the layer with the values of rows changed: row, and value of each field, None: no longer stated.

        `like` has columns of the fields' kinds.
        """
        touched = {name for _, stated in changes for name in stated}
        values = {name: self._copied(name, like) for name in touched}
        for row, stated in changes:
            for name, value in stated.items():
                values[name].changed[row] = True
                values[name].column.values[row] = _number(value, values[name].column)
        return replace(self, values={**self.values, **values})

    def column(self, name: str) -> Column | None:
        """Return the column of the field `name`, None if no product here states it."""
        if name in self.values:
            return self.values[name].column
        return self.part.fields[name] if name in self.part.fields.names else None

    def product(self, row: int) -> Product:
        """Return the product of `row` as it is now."""
        product = self.part.products[row]
        stated = {name: _value(v.column, row) for name, v in self.values.items() if v.changed[row]}
        if not stated:
            return product
        update: dict[str, object] = {name: stated.pop(name) for name in _OWN_VALUES if name in stated}
        names = {name.removeprefix(ATTRIBUTE_PREFIX): value for name, value in stated.items()}
        update["attributes"] = {k: v for k, v in {**product.attributes, **names}.items() if v is not None}
        return product.model_copy(update=update)

    def encoded(self, row: int, fingerprint: str) -> EncodedProduct:
        """Return the product of `row` with its vectors and thumbnails."""
        pictures = slice(*self.part.image_starts[row : row + 2].tolist())
        thumbnails = (self.part.thumbnail(row, n) for n in range(pictures.stop - pictures.start))
        return EncodedProduct(
            product=self.product(row),
            text=np.array(self.part.vectors["text"][row]),
            images=np.array(self.part.vectors["image"][pictures]),
            thumbnails=tuple(thumbnail or b"" for thumbnail in thumbnails),
            fingerprint=fingerprint,
        )

    def _copied(self, name: str, like: Columns) -> Values:
        """Return values of the field `name` that may be written to."""
        if name in self.values:
            return Values(self.values[name].column.copied(), self.values[name].changed.copy())
        column, untouched = self.column(name), np.zeros(self.n, np.bool_)
        if isinstance(column, NumberColumn | BooleanColumn):
            return Values(column.copied(), untouched)
        kind = NumberColumn if isinstance(like[name], NumberColumn) else BooleanColumn
        return Values(kind.empty(self.n), untouched)


def values_of(patch: Patch, like: Columns) -> dict[str, AttributeValue | None] | None:
    """Return the values that a patch changes by field, if all are numbers and booleans that `like` has columns for.

    None: it changes more, and its product needs a row of its own.
    """
    attributes = patch.get("attributes") or {}
    if not isinstance(attributes, dict) or not set(patch) <= {*_OWN_VALUES, "attributes"}:
        return None
    stated: dict[str, AttributeValue | None] = {name: patch[name] for name in _OWN_VALUES if name in patch}  # type: ignore[misc]  # checked before stored
    for name, value in attributes.items():
        field_name = f"{ATTRIBUTE_PREFIX}{name}" if f"{ATTRIBUTE_PREFIX}{name}" in like.names else name
        kind = type(like[field_name]) if name in like.attribute_names else None
        suits = value is None or isinstance(value, bool) == (kind is BooleanColumn)
        if kind not in {NumberColumn, BooleanColumn} or not suits or not isinstance(value, bool | float | int | None):
            return None
        stated[field_name] = value
    return stated


def _number(value: AttributeValue | None, column: ValueColumn) -> float:
    """Return how a column holds a value."""
    if value is None:
        return -1 if isinstance(column, BooleanColumn) else float("nan")
    return float(value)  # type: ignore[arg-type]  # `values_of` lets numbers and booleans pass


def _value(column: ValueColumn, row: int) -> AttributeValue | None:
    value = column.values[row]
    if isinstance(column, BooleanColumn):
        return None if value < 0 else bool(value)
    return None if np.isnan(value) else float(value)
