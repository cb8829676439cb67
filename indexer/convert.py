"""Any feed the indexer reads, to one self-contained Parquet feed in the catalogue format.

Training reads that format, and a catalogue whose pictures lie in a table of their own becomes one file here.
Reading feeds and refusing bad rows is left to `indexer.catalogue`.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from indexer.catalogue import (
    BytesImage,
    CatalogueError,
    CatalogueOptions,
    CatalogueRow,
    PathImage,
    RejectedRow,
    UrlImage,
    read_catalogue,
)
from indexer.rejects import BadRowLimit, BuildError
from models.product import Product

ROWS_AT_ONCE = 256
_STRING_FIELDS = (
    "id",
    "title",
    "description",
    "brand",
    "category",
    "season",
    "composition",
    "currency",
    "url",
    "group",
)
_FIELDS = pa.schema(
    [
        *((name, pa.string()) for name in _STRING_FIELDS),
        ("price", pa.float64()),
        ("in_stock", pa.bool_()),
        ("images", pa.list_(pa.string())),
        ("image_bytes", pa.list_(pa.binary())),
    ]
)


@dataclass(frozen=True, slots=True)
class PictureTable:
    """Pictures in a Parquet table of their own: at most one row for each product.

    Attributes:
        path: the table.
        column: its column of file bytes.
        id_column: its column of product ids.
    """

    path: Path
    column: str
    id_column: str = "id"


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion wrote: products, those of them with pictures, and refused rows."""

    products: int
    with_pictures: int
    rejected: int


def convert(
    feed: Path,
    out: Path,
    options: CatalogueOptions,
    *,
    pictures: PictureTable | None = None,
    only_with_pictures: bool = False,
    limit: BadRowLimit | None = None,
    on_reject: Callable[[RejectedRow], None] | None = None,
) -> Converted:
    """Write the products of `feed` to the Parquet file `out`, pictures by path as bytes, URLs as they are.

    The feed is read twice: for the types of its attributes, then for its rows. `out` appears when complete.

    Raises:
        CatalogueError: the feed or the table of pictures cannot be read.
        BuildError: more rows are bad than `limit` allows; nothing is written.
    """
    found = _pictures(pictures) if pictures else None
    schema = _schema_of(feed, options)
    partial = out.with_name(f".{out.name}.partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    counts = _Counts(limit or BadRowLimit(), on_reject)
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for batch in _batches(_records(feed, options, found, counts, only_with_pictures=only_with_pictures)):
                writer.write_table(pa.Table.from_pylist([_typed(record, schema) for record in batch], schema=schema))
        counts.check_share()
        os.replace(partial, out)  # noqa: PTH105 - the same call the bundles are published with
    finally:
        partial.unlink(missing_ok=True)
    return Converted(counts.products, counts.with_pictures, counts.rejected)


class _Counts:
    """Counts rows as they pass and raises when too many are bad."""

    def __init__(self, limit: BadRowLimit, on_reject: Callable[[RejectedRow], None] | None) -> None:
        self._limit = limit
        self._on_reject = on_reject
        self.products = self.with_pictures = self.rejected = 0

    def reject(self, row: RejectedRow) -> None:
        self.rejected += 1
        if self._on_reject:
            self._on_reject(row)
        problem = self._limit.problem(self.rejected, self.products + self.rejected, at_end=False)
        if problem:
            raise BuildError(f"{problem}; the last: {row}")

    def check_share(self) -> None:
        problem = self._limit.problem(self.rejected, self.products + self.rejected, at_end=True)
        if problem:
            raise BuildError(problem)


def _schema_of(feed: Path, options: CatalogueOptions) -> pa.Schema:
    """Return the catalogue format's columns and one for each attribute: text where the types of rows differ."""
    kinds: dict[str, pa.DataType] = {}
    for row in read_catalogue(feed, options):
        if isinstance(row, CatalogueRow):
            for name, value in row.product.attributes.items():
                kind = _kind(value)
                kinds[name] = kind if kinds.setdefault(name, kind) == kind else pa.string()
    return pa.schema([*_FIELDS, *((name, kinds[name]) for name in sorted(kinds))])


def _kind(value: object) -> pa.DataType:
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, float):
        return pa.float64()
    return pa.list_(pa.string()) if isinstance(value, tuple) else pa.string()


def _records(
    feed: Path,
    options: CatalogueOptions,
    pictures: Mapping[str, bytes] | None,
    counts: _Counts,
    *,
    only_with_pictures: bool,
) -> Iterator[dict[str, object]]:
    for row in read_catalogue(feed, options):
        if isinstance(row, RejectedRow):
            counts.reject(row)
            continue
        record = _record(row, pictures)
        has_pictures = bool(record["images"] or record["image_bytes"])
        if only_with_pictures and not has_pictures:
            continue
        counts.products += 1
        counts.with_pictures += has_pictures
        yield record


def _record(row: CatalogueRow, pictures: Mapping[str, bytes] | None) -> dict[str, object]:
    product: Product = row.product
    contents = [_content(image) for image in row.images if not isinstance(image, UrlImage)]
    urls = [image.reference for image in row.images if isinstance(image, UrlImage)]
    if pictures is not None and product.id in pictures:
        contents, urls = [pictures[product.id]], []
    if contents and urls:
        msg = f"row {row.row}: product {product.id} mixes pictures by URL with others; a feed holds either"
        raise CatalogueError(msg)
    fields = product.model_dump(exclude={"attributes", "images"})
    return {**product.attributes, **fields, "images": urls, "image_bytes": contents}


def _content(image: PathImage | BytesImage) -> bytes:
    return image.content if isinstance(image, BytesImage) else image.path.read_bytes()


def _typed(record: Mapping[str, object], schema: pa.Schema) -> dict[str, object]:
    """Return `record` with text where its columns hold text because the types of rows differ."""
    texts = {field.name for field in schema if pa.types.is_string(field.type)}
    return {name: _as_text(value) if name in texts else value for name, value in record.items()}


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def _batches(records: Iterator[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    batch: list[dict[str, object]] = []
    for record in records:
        batch.append(record)
        if len(batch) == ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _pictures(table: PictureTable) -> Mapping[str, bytes]:
    """Return picture bytes by product id; the whole table is held in memory."""
    try:
        columns = pq.read_table(table.path, columns=[table.id_column, table.column])
    except (OSError, pa.ArrowException) as error:
        raise CatalogueError(f"{table.path}: {str(error).splitlines()[0]}") from error
    missing = [name for name in (table.id_column, table.column) if name not in columns.column_names]
    if missing:
        raise CatalogueError(f"{table.path}: no column {', '.join(missing)}")
    ids = (str(value) for value in columns[table.id_column].to_pylist())
    return dict(zip(ids, columns[table.column].to_pylist(), strict=True))
