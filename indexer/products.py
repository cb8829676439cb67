"""The products of a bundle as a Parquet table: written in batches, read back one row at a time.

Held in memory as Arrow columns, not as Python objects; a row becomes a `Product` in tens of microseconds.
Values were validated when the table was written and the bundle's digests guard them since, so reading does
not validate them again. Reading foreign feeds is left to `indexer.catalogue`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, overload

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from indexer.manifest import BundleError
from models.product import ENTITY_FIELDS, AttributeValue, Product
from models.surfaces import key_of, value_words

ROW_GROUP = 8_192
NO_ENTITY = -1
_KEPT: Final = 10_000  # products that were read last, about 2 KB each
_CODED = ENTITY_FIELDS | {"group"}
_REPEATED = ("brand", "category", "season", "composition", "currency")  # few distinct values: dictionaries

SCHEMA = pa.schema(
    [
        pa.field("id", pa.large_string(), nullable=False),
        pa.field("title", pa.large_string(), nullable=False),
        pa.field("description", pa.large_string(), nullable=False),
        *(pa.field(name, pa.dictionary(pa.int32(), pa.string())) for name in _REPEATED),
        pa.field("price", pa.float64()),
        pa.field("in_stock", pa.bool_()),
        pa.field("url", pa.large_string()),
        pa.field("group", pa.large_string()),
        pa.field("images", pa.large_list(pa.large_string()), nullable=False),
        pa.field("attributes", pa.large_string(), nullable=False),  # one JSON object per row
    ]
)


def product_row(product: Product) -> dict[str, object]:
    """Return the row of SCHEMA that holds `product`."""
    row = product.model_dump(exclude={"attributes"})
    row["images"] = list(product.images)
    row["attributes"] = orjson.dumps(dict(product.attributes), option=orjson.OPT_SORT_KEYS).decode()
    return row


class ProductWriter:
    """Writes products to a Parquet file, batch after batch; a context manager."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._waiting: list[dict[str, object]] = []
        self.written = 0

    def write(self, products: Iterable[Product]) -> None:
        """Append `products`; memory holds one row group at most."""
        for product in products:
            self._waiting.append(product_row(product))
            self.written += 1
            if len(self._waiting) >= ROW_GROUP:
                self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=SCHEMA), row_group_size=ROW_GROUP)
            self._waiting = []

    def close(self) -> None:
        """Write what is waiting and the file's footer."""
        self._flush()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ProductTable(Sequence[Product]):
    """`table[row]` is the product of a row; `table.row_of(id)` the row of a product. Safe to read from threads."""

    def __init__(self, table: pa.Table) -> None:
        if table.schema.names != SCHEMA.names:
            msg = f"columns {table.schema.names}, where a product table has {SCHEMA.names}"
            raise BundleError(msg)
        self._length = int(table.num_rows)
        self._columns: dict[str, Any] = {name: _one_array(table.column(name)) for name in SCHEMA.names}
        self._codes: dict[str, tuple[NDArray[np.int32], Mapping[str, int]]] = {}
        self._kept: dict[int, Product] = {}
        self._by_id = pc.sort_indices(self._columns["id"]).to_numpy().astype(np.int64)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the table written to `path`.

        Raises:
            BundleError: the file is missing, damaged or another table.
        """
        try:
            return cls(pq.read_table(path, use_threads=False, memory_map=False))
        except (OSError, pa.ArrowException, BundleError) as error:
            msg = f"{path}: not a readable product table: {error}"
            raise BundleError(msg) from error

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, row: int) -> Product: ...

    @overload
    def __getitem__(self, row: slice) -> list[Product]: ...

    def __getitem__(self, row: int | slice) -> Product | list[Product]:
        """Return the product of `row`; a slice gives a list.

        Raises:
            IndexError: there is no such row.
        """
        if isinstance(row, slice):
            return [self._read(r) for r in range(*row.indices(self._length))]
        at = row + self._length if row < 0 else row
        if not 0 <= at < self._length:
            msg = f"row {row} of {self._length} products"
            raise IndexError(msg)
        return self._product(at)

    def __iter__(self) -> Iterator[Product]:
        return (self._read(row) for row in range(self._length))

    def row_of(self, product_id: str) -> int | None:
        """Return the row of the product called `product_id`, None if there is none."""
        place = self.place_of(product_id)
        if place == self._length:
            return None
        row = int(self._by_id[place])
        return row if self.id_of(row) == product_id else None

    def place_of(self, product_id: str) -> int:
        """Return the place among all ids, in their order, where `product_id` stands or would stand."""
        ids = self._columns["id"]
        return bisect_left(self._by_id, product_id.encode(), key=lambda r: ids[int(r)].as_py().encode())

    def id_of(self, row: int) -> str:
        """Return the id of the product of `row`, cheaper than the product itself."""
        return str(self._columns["id"][row].as_py())

    @property
    def id_order(self) -> NDArray[np.int64]:
        """Return the place of each row's id among all ids in their order, `(n,)`."""
        places = np.empty(self._length, np.int64)
        places[self._by_id] = np.arange(self._length)
        return places

    def column(self, name: str) -> pa.Array:
        """Return the column `name` of SCHEMA as Arrow holds it, `(n,)`."""
        return self._columns[name]

    def entity_codes(self, group: str) -> tuple[NDArray[np.int32], Mapping[str, int]]:
        """Return the entity values of `group`: a code for each row, `(n,) int32`, and the code of each folded value.

        Spellings that fold to one key share a code; -1 is a row that states none. Computed once for each group.
        """
        if group not in self._codes:
            column = self._columns[group] if group in _CODED else self._attribute(group)
            encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            keys = [fold_value(value) for value in encoded.dictionary.to_pylist()]
            known: dict[str, int] = {}
            to_code = np.array([known.setdefault(key, len(known)) for key in keys] + [NO_ENTITY], np.int32)
            places = encoded.indices.fill_null(len(keys)).to_numpy(zero_copy_only=False)
            self._codes[group] = (to_code[places], known)
        return self._codes[group]

    def _attribute(self, group: str) -> pa.Array:
        stated = (_attributes(text).get(group) for text in self._columns["attributes"].to_pylist())
        return pa.array([value if isinstance(value, str) else None for value in stated], pa.string())

    def _product(self, row: int) -> Product:
        """Return the product of `row`, and keep it: those that are found once are found again."""
        product = self._kept.get(row)
        if product is None:
            product = self._read(row)
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[row] = product
        return product

    def _read(self, row: int) -> Product:
        values: dict[str, Any] = {name: column[row].as_py() for name, column in self._columns.items()}
        values["images"] = tuple(values["images"])
        values["attributes"] = _attributes(values["attributes"])
        return Product.model_construct(**values)


def fold_value(value: str) -> str:
    """Return what all spellings of an entity value share; one without a letter or digit is its own."""
    return key_of(value_words(value)) or value.casefold()


def _attributes(text: str) -> dict[str, AttributeValue]:
    if text == "{}":
        return {}
    stated = orjson.loads(text)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stated.items()}


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return the column as one array, so that reaching a row does not search through chunks."""
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.combine_chunks()
