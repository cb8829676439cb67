"""A bundle as files that anything reads: products as Parquet, vectors as `.npy`, and a page that says what is what.

`products.parquet` is a feed again: each attribute is a column of its own, as `indexer.catalogue` reads them. Built from
it with the pictures it names at hand, a bundle has the digest it had; with thumbnails in their place (`pictures`),
texts and fields are the same and the vectors of pictures almost. An attribute called like a field, or of values of
several kinds, cannot be told in a column: the first is called `attributes.NAME`, the second is JSON. Memory holds one
group of rows at a time.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from indexer.bundle import IMAGE_ROWS, Bundle
from indexer.fields import ATTRIBUTE_PREFIX
from indexer.manifest import SPACES, EncoderRecord, Space
from indexer.products import ROW_GROUP
from models.product import Product

FILE: Final = "export.json"
_BLOCK: Final = 65_536  # vectors
_WITH_PICTURES: Final = 512  # products written together: thumbnails are some tens of kilobytes each
_FIELDS: Final = pa.schema(
    [
        *((name, pa.large_string()) for name in ("id", "title", "description", "brand", "category", "season")),
        *((name, pa.large_string()) for name in ("composition", "currency", "url", "group")),
        ("price", pa.float64()),
        ("in_stock", pa.bool_()),
        ("images", pa.list_(pa.string())),
    ]
)


class ExportError(RuntimeError):
    """A bundle that is not exported."""


class Exported(BaseModel):
    """What was written, as `export.json` has it.

    Attributes:
        files: name to what is in it.
        as_text: attributes whose values are of several kinds, written as JSON: built again, they are texts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: str
    digest: str
    encoder: EncoderRecord
    products: int
    images: int
    vectors: Literal["float16", "float32"]
    pictures: bool
    as_text: tuple[str, ...]
    files: dict[str, str]


def export(bundle: Bundle, out: Path, *, float32: bool = False, pictures: bool = False) -> Exported:
    """Write an open bundle into the folder `out`, which appears when it is complete.

    With `pictures`, each product has its thumbnails in the column `image_bytes`.

    Raises:
        ExportError: there is something at `out` already.
    """
    if out.exists():
        msg = f"{out}: is there already: name a folder that is not"
        raise ExportError(msg)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        kinds, mixed = _kinds(bundle)
        _write_products(bundle, partial / "products.parquet", kinds, mixed, pictures=pictures)
        for space in SPACES:
            _write_vectors(bundle.vectors[space], partial / f"{space}.npy", np.float32 if float32 else np.float16)
        shutil.copyfile(bundle.path / IMAGE_ROWS, partial / "image_rows.npy")
        done = _described(bundle, mixed, float32=float32, pictures=pictures)
        (partial / FILE).write_bytes(orjson.dumps(done.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
        (partial / "README.md").write_text(_page(done), encoding="utf-8")
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return done


def _kinds(bundle: Bundle) -> tuple[dict[str, pa.DataType], set[str]]:
    """Return the type of each attribute's column, and the names of those whose values are of several kinds."""
    kinds: dict[str, pa.DataType] = {}
    mixed: set[str] = set()
    for product in bundle.products:
        for name, value in product.attributes.items():
            kind = _kind(value)
            if kinds.setdefault(name, kind) != kind:
                mixed.add(name)
    return {column_of(name): pa.string() if name in mixed else kinds[name] for name in sorted(kinds)}, mixed


def column_of(attribute: str) -> str:
    """Return the column of an attribute."""
    taken = {*_FIELDS.names, "image_bytes"}
    return f"{ATTRIBUTE_PREFIX}{attribute}" if attribute in taken else attribute


def _kind(value: object) -> pa.DataType:
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, float | int):
        return pa.float64()
    return pa.list_(pa.string()) if isinstance(value, tuple) else pa.string()


def _write_products(
    bundle: Bundle, path: Path, kinds: dict[str, pa.DataType], mixed: set[str], *, pictures: bool
) -> None:
    schema = pa.schema([*_FIELDS, *([("image_bytes", pa.list_(pa.binary()))] if pictures else []), *kinds.items()])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _groups(len(bundle.products), _WITH_PICTURES if pictures else ROW_GROUP):
            records = [_record(bundle, row, mixed, pictures=pictures) for row in rows]
            writer.write_table(pa.Table.from_pylist(records, schema=schema))


def _groups(n: int, size: int) -> Iterator[range]:
    for start in range(0, n, size):
        yield range(start, min(n, start + size))


def _record(bundle: Bundle, row: int, mixed: set[str], *, pictures: bool) -> dict[str, Any]:
    product: Product = bundle.products[row : row + 1][0]
    record: dict[str, Any] = product.model_dump(exclude={"attributes"})
    for name, value in product.attributes.items():
        record[column_of(name)] = orjson.dumps(value).decode() if name in mixed else value
    if pictures:
        record["image_bytes"] = [bundle.thumbnail(row, n) for n in range(bundle.picture_count(row))]
    return record


def _write_vectors(vectors: NDArray[np.float16], path: Path, dtype: type[np.floating[Any]]) -> None:
    """Write vectors block by block."""
    if not len(vectors):
        np.save(path, np.zeros(vectors.shape, dtype))
        return
    written = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=vectors.shape)
    for start in range(0, len(vectors), _BLOCK):
        written[start : start + _BLOCK] = vectors[start : start + _BLOCK]
    written.flush()


def _described(bundle: Bundle, mixed: set[str], *, float32: bool, pictures: bool) -> Exported:
    manifest = bundle.manifest
    kind: Literal["float16", "float32"] = "float32" if float32 else "float16"
    shapes: dict[Space, str] = {space: f"{bundle.vectors[space].shape} {kind}, unit rows" for space in SPACES}
    return Exported(
        bundle=manifest.id,
        digest=manifest.digest,
        encoder=manifest.encoder,
        products=manifest.counts.products,
        images=manifest.counts.images,
        vectors=kind,
        pictures=pictures,
        as_text=tuple(sorted(mixed)),
        files={
            "products.parquet": "one row for each product, one column for each field and attribute",
            "text.npy": f"{shapes['text']}: row r is of row r of products.parquet",
            "image.npy": f"{shapes['image']}: a product's pictures stand together, in order",
            "image_rows.npy": f"({manifest.counts.images},) int32: the row of products.parquet of each picture",
        },
    )


def _page(done: Exported) -> str:
    files = "\n".join(f"- `{name}`: {what}" for name, what in done.files.items())
    pictures = (
        "Its column `image_bytes` holds thumbnails, 256 pixels at most: built from it, texts and fields are the same, "
        "and vectors of pictures almost."
        if done.pictures
        else "With the pictures it names (`--image-root`) and the same encoder, a bundle built from it has the same "
        "digest."
    )
    said = ", ".join(done.as_text)
    mixed = f"\n\nWritten as JSON, for their values are of several kinds: {said}." if said else ""
    return (
        f"# {done.bundle}\n\n{done.products:,} products and {done.images:,} pictures, vectors of {done.encoder.name} "
        f"(fingerprint {done.encoder.fingerprint}).\n\n{files}\n\n"
        f"`products.parquet` is a feed that `python -m indexer build --catalogue` reads. {pictures}{mixed}\n"
    )
