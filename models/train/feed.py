"""A catalogue's Parquet feed as products with the bytes of their pictures, one split at a time.

Made for training and measuring: strict where `indexer.catalogue` is forgiving, since a silently dropped
product would change every figure. Decoding is left to `models.picture`, pixels to `pixels`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue, TypeAdapter, ValidationError

from models.product import SPLIT_ATTRIBUTE, Product, product_from_row

CATALOGUE_FILE = "catalogue.parquet"
ORIGIN_FILE = "shop.json"
BYTES_COLUMN = "image_bytes"

_ROWS_AT_ONCE = 256
_ORIGIN: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


class DataError(ValueError):
    """A catalogue that cannot be trained on or measured with; the message names the row and field."""


@dataclass(frozen=True, slots=True)
class Item:
    """One product and the encoded bytes of its pictures, in display order."""

    product: Product
    pictures: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    """A Parquet file in the catalogue format whose `split` column says train, val or test.

    Attributes:
        path: of the Parquet file; relative picture paths start at its folder.
    """

    path: Path

    @classmethod
    def open(cls, catalogue: Path) -> "Feed":
        """Return the feed at `catalogue`, a Parquet file or a folder with `catalogue.parquet`.

        Raises:
            DataError: there is none, or it has no `split` column.
        """
        path = catalogue / CATALOGUE_FILE if catalogue.is_dir() else catalogue
        try:
            columns = pq.read_schema(path).names
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
        if SPLIT_ATTRIBUTE not in columns:
            raise DataError(f"{path} has no column {SPLIT_ATTRIBUTE!r} with the values train, val and test")
        return cls(path)

    @property
    def name(self) -> str:
        """What a person calls it: its folder's name, or the file's own."""
        return self.path.resolve().parent.name if self.path.name == CATALOGUE_FILE else self.path.stem

    def origin(self) -> dict[str, JsonValue]:
        """Return what a generated catalogue says of itself, empty for any other."""
        path = self.path.parent / ORIGIN_FILE
        try:
            return _ORIGIN.validate_json(path.read_bytes()) if path.is_file() else {}
        except ValidationError as error:
            raise DataError(f"{path} is not a JSON object") from error

    def items(self, split: str, *, pictures: int | None = None, limit: int | None = None) -> Iterator[Item]:
        """Yield the products of `split` that have a picture, in the order of the file.

        Args:
            split: value of the `split` column.
            pictures: how many pictures of each are read, at most; None for all.
            limit: how many products are read, at most; None for all.

        Raises:
            DataError: a row or picture cannot be read, or the split holds no product with a picture.
        """
        found = 0
        for number, row in self._rows():
            if row.get(SPLIT_ATTRIBUTE) != split:
                continue
            item = self._item(number, row, pictures)
            if item.pictures:
                found += 1
                yield item
            if found == limit:
                return
        if not found:
            raise DataError(f"{self.path} has no product with a picture in the split {split!r}")

    def products(self, split: str) -> Iterator[Product]:
        """Yield the products of `split`, with pictures or without, in the order of the file; pictures are not read.

        Raises:
            DataError: a row cannot be read, or the split is empty.
        """
        found = False
        for number, row in self._rows(leaving_out=BYTES_COLUMN):
            if row.get(SPLIT_ATTRIBUTE) == split:
                found = True
                yield self._product(number, row)
        if not found:
            raise DataError(f"{self.path} has no product in the split {split!r}")

    def _rows(self, leaving_out: str | None = None) -> Iterator[tuple[int, dict[str, object]]]:
        number = 0
        try:
            with pq.ParquetFile(self.path) as file:
                columns = [name for name in file.schema_arrow.names if name != leaving_out]
                for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"cannot read {self.path}: {str(error).splitlines()[0]}") from error

    def _item(self, number: int, row: dict[str, object], pictures: int | None) -> Item:
        stored = row.pop(BYTES_COLUMN, None)
        product = self._product(number, row)
        if isinstance(stored, list) and stored:
            return Item(product, tuple(stored[:pictures]))
        return Item(product, tuple(self._picture(product, image) for image in product.images[:pictures]))

    def _product(self, number: int, row: dict[str, object]) -> Product:
        try:
            return product_from_row(row)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise DataError(f"{self.path}: row {number}: {field}: {first['msg']}") from error

    def _picture(self, product: Product, image: str) -> bytes:
        if "://" in image:
            raise DataError(f"product {product.id}: {image}: pictures must be files or bytes here, not URLs")
        try:
            return (self.path.parent / image).read_bytes()
        except OSError as error:
            raise DataError(f"product {product.id}: cannot read {image}: {error.strerror}") from error


def fingerprint(items: Mapping[str, Sequence[tuple[Product, Sequence[str]]]]) -> str:
    """Return the digest of what was read: split -> products, each with the digests of its pictures."""
    digest = hashlib.sha256()
    for split, rows in items.items():
        for product, pictures in rows:
            head = json.dumps([split, product.model_dump(mode="json"), list(pictures)], sort_keys=True)
            digest.update(head.encode())
    return digest.hexdigest()
