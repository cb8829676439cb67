"""A catalogue feed as a stream of products: fields mapped, values read, pictures located, duplicates refused.

`read_catalogue` yields a `CatalogueRow` for every good row and a `RejectedRow` for every bad one, in order
and in bounded memory. Decoding and fetching the pictures is left to `indexer.encode`.
"""

import base64
import binascii
import hashlib
import os
import stat
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from indexer.catalogue_formats import CatalogueError, RawFeed, RawRow, RejectedRow
from indexer.catalogue_open import find_feed, open_feed
from indexer.catalogue_values import (
    CellError,
    apart_pictures,
    is_merchant,
    merchant_row,
    parse_pictures,
    plain_row,
)
from indexer.plain_html import plain_text
from models.product import Product, product_from_row

__all__ = [
    "BytesImage",
    "CatalogueError",
    "CatalogueOptions",
    "CatalogueRow",
    "ImageSource",
    "PathImage",
    "RejectedRow",
    "UrlImage",
    "find_feed",
    "read_catalogue",
    "read_feed",
]

_FOLDERS: Final = 1_024  # of pictures, whose true places are remembered


@dataclass(frozen=True, slots=True)
class PathImage:
    """A picture in a file; `reference` is how the feed names it."""

    reference: str
    path: Path


@dataclass(frozen=True, slots=True)
class UrlImage:
    """A picture to be fetched over http or https."""

    reference: str


@dataclass(frozen=True, slots=True)
class BytesImage:
    """A picture that came with the feed; `reference` is `sha256:<hex>` unless the feed names it."""

    reference: str
    content: bytes


ImageSource = PathImage | UrlImage | BytesImage


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """One product of a feed with its 1-based row number; `images[i]` is what `product.images[i]` refers to."""

    row: int
    product: Product
    images: tuple[ImageSource, ...]


@dataclass(frozen=True, slots=True)
class CatalogueOptions:
    """How a feed is to be read.

    Attributes:
        mapping: product field -> the feed's column for it, where the names differ.
        ignore: columns to leave out.
        image_root: folder that picture paths are relative to; None: the feed's own.
        allow_outside: whether picture paths may lead out of `image_root`.
        keep_without_images: whether a product keeps its place when a picture of it is missing or unusable.
        defaults: product field -> what it is where a row states nothing for it.
        html: product fields whose text is HTML, and becomes plain; those that a format always has so are known.
        variants: whether each variant of a product is a product of its own, where the format tells them apart.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    ignore: frozenset[str] = frozenset()
    image_root: Path | None = None
    allow_outside: bool = False
    keep_without_images: bool = False
    defaults: Mapping[str, str | float | bool] = field(default_factory=dict)
    html: frozenset[str] = frozenset()
    variants: bool = False


def read_catalogue(path: Path, options: CatalogueOptions | None = None) -> Iterator[CatalogueRow | RejectedRow]:
    """Yield the products of the feed at `path`, and a `RejectedRow` for each row that is none.

    The first of several rows with one id is kept. Memory: one row (Parquet: 256 rows) and 9 bytes per id.

    Raises:
        CatalogueError: at once if the file is no catalogue; while reading if it breaks off.
    """
    chosen = options or CatalogueOptions()
    place = find_feed(path)
    return read_feed(place, open_feed(place, variants=chosen.variants), chosen)


def read_feed(path: Path, feed: RawFeed, options: CatalogueOptions) -> Iterator[CatalogueRow | RejectedRow]:
    """Yield what `read_catalogue` does of a feed that is open; `path` is where it lies.

    Raises:
        CatalogueError: at once if a column that is needed is not there; while reading if the feed breaks off.
    """
    _check_columns(path, feed, options)
    return _read(feed, _RowReader(path, feed, options))


def _check_columns(path: Path, feed: RawFeed, options: CatalogueOptions) -> None:
    unknown = sorted(set(options.mapping) - (set(Product.model_fields) | {"image_bytes"}))
    if unknown:
        msg = f"no product field is called {', '.join(unknown)}; fields: {', '.join(Product.model_fields)}"
        raise CatalogueError(msg)
    if feed.columns is None:
        return
    columns = set(feed.columns)
    absent = [] if feed.more_columns else sorted(set(options.mapping.values()) - columns)
    renamed = {name.strip().casefold().removeprefix("g:") for name in columns} | columns
    if feed.named is not None:
        renamed |= feed.named(dict.fromkeys(feed.columns, "")).keys()
    required = [f for f in ("id", "title") if options.mapping.get(f, f) not in columns | renamed]
    if absent or required:
        shown = ", ".join(repr(c)[:40] for c in feed.columns[:30])
        msg = f"{path}: no column {', '.join(map(repr, absent or required))}; its columns: {shown}"
        raise CatalogueError(msg)


def _read(feed: RawFeed, reader: "_RowReader") -> Iterator[CatalogueRow | RejectedRow]:
    for raw in feed.rows:
        yield raw if isinstance(raw, RejectedRow) else reader.read(raw)


class _RowReader:
    """Turns raw rows into catalogue rows, remembering the ids it has seen."""

    def __init__(self, path: Path, feed: RawFeed, options: CatalogueOptions) -> None:
        self._options = options
        self._root = Path(os.path.realpath(options.image_root or (path if path.is_dir() else path.parent)))
        self._feed = feed
        self._html = feed.html | options.html
        self._defaults = plain_row(options.defaults)
        self._seen = _SeenIds()
        self._folder = lru_cache(_FOLDERS)(os.path.realpath)

    def read(self, raw: RawRow) -> CatalogueRow | RejectedRow:
        """Return the product of a raw row, or why there is none."""
        stated_id: str | None = None
        try:
            row = apart_pictures(self._named(raw.values))
            stated_id = str(row["id"])[:256] if row.get("id") not in (None, "") else None
            pictures = row.pop("image_bytes", None)
            row = {**self._defaults, **plain_row(row)}
            images = self._images(row, pictures)
            row["images"] = tuple(image.reference for image in images)
            product = product_from_row(row)
            if not self._seen.add(product.id):
                raise CellError("id", "used by an earlier row")
        except CellError as problem:
            return RejectedRow(raw.row, problem.field, str(problem), stated_id, raw.line)
        except ValidationError as error:
            where, reason = _first_problem(error)
            return RejectedRow(raw.row, where, reason, stated_id, raw.line)
        return CatalogueRow(raw.row, product, images)

    def _named(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return the row under product field names: those of its format, then the mapping of the options."""
        wanted = self._options.mapping
        kept = {n: v for n, v in values.items() if n and n not in self._options.ignore}
        mapped = {f: kept.pop(column) for f, column in wanted.items() if column in kept}
        if self._feed.named is not None:
            kept = self._feed.named(kept)
        elif self._feed.columns is None and is_merchant(kept):
            kept = merchant_row(kept)
        row = {**kept, **mapped}
        for name in self._html.intersection(row):
            text = row[name]
            row[name] = plain_text(text) if isinstance(text, str) else text
        return row

    def _images(self, row: dict[str, object], pictures: object) -> tuple[ImageSource, ...]:
        try:
            references = parse_pictures(row.get("images", ()))
        except ValueError as error:
            raise CellError("images", str(error)) from error
        if pictures:
            return _embedded(pictures, references)
        found: list[ImageSource] = []
        for reference in references:
            try:
                found.append(self._image(reference))
            except CellError:
                if not self._options.keep_without_images:
                    raise
        return tuple(found)

    def _image(self, reference: str) -> ImageSource:
        if reference.startswith(("http://", "https://")):
            return UrlImage(reference)
        if reference.startswith("data:"):
            return _from_bytes(_data_uri(reference))
        if "://" in reference:
            raise CellError("images", f"only http and https URLs are fetched: {reference[:80]}")
        if "\0" in reference:
            raise CellError("images", "holds a NUL byte")
        path, there = self._place(reference)
        if not self._options.allow_outside and not path.is_relative_to(self._root):
            raise CellError("images", f"leads out of the feed's folder: {reference[:80]}")
        if not there:
            raise CellError("images", f"no such file: {reference[:80]}")
        return PathImage(reference, path)

    def _place(self, reference: str) -> tuple[Path, bool]:
        """Return where a picture lies in truth, and whether it is a file.

        Files may be far away, where each look takes a millisecond: the way to a folder is followed once, and a file
        that is no link is looked at once.
        """
        folder, name = os.path.split(self._root / reference)
        path = os.path.join(self._folder(folder), name)  # noqa: PTH118 - a Path would cost more than all else here
        with suppress(OSError):  # a name may be too long
            if stat.S_ISREG(os.lstat(path).st_mode):
                return Path(path), True
        path = os.path.realpath(path)
        return Path(path), os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises on names that are too long


class _SeenIds:
    """Set of ids in about 9 bytes each: sorted 64-bit digests in buckets.

    Two of a million ids share a digest with a probability of 3e-8; the later one would then be refused.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, array[int]] = {}

    def add(self, product_id: str) -> bool:
        """Note an id; return whether it is new."""
        digest = int.from_bytes(hashlib.blake2b(product_id.encode(), digest_size=8).digest(), "big")
        bucket = self._buckets.setdefault(digest >> 48, array("Q"))
        place = bisect_left(bucket, digest)
        if place < len(bucket) and bucket[place] == digest:
            return False
        bucket.insert(place, digest)
        return True


def _embedded(pictures: object, references: list[str]) -> tuple[ImageSource, ...]:
    """Return the pictures of an `image_bytes` cell: one or a list of bytes or base64 texts."""
    cells = pictures if isinstance(pictures, list | tuple) else [pictures]
    contents = [_as_bytes(cell) for cell in cells if cell]
    if len(references) == len(contents):
        return tuple(BytesImage(r, c) for r, c in zip(references, contents, strict=True))
    if references:
        reason = f"{len(contents)} pictures in image_bytes, {len(references)} in images"
        raise CellError("images", reason)
    return tuple(_from_bytes(content) for content in contents)


def _as_bytes(cell: object) -> bytes:
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, str):
        return _data_uri(cell) if cell.startswith("data:") else _base64("image_bytes", cell)
    raise CellError("image_bytes", f"neither bytes nor base64 text: {type(cell).__name__}")


def _data_uri(uri: str) -> bytes:
    head, comma, body = uri.partition(",")
    if not comma or not head.endswith(";base64"):
        raise CellError("images", f"a data URI must be base64: {uri[:40]}")
    return _base64("images", body)


def _base64(field_name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CellError(field_name, "not valid base64") from error


def _from_bytes(content: bytes) -> BytesImage:
    return BytesImage(f"sha256:{hashlib.sha256(content).hexdigest()}", content)


def _first_problem(error: ValidationError) -> tuple[str, str]:
    """Return field and reason of the first problem pydantic found."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"][: 2 if first["loc"][0] == "attributes" else 1])
    reason = "missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
    return where, reason[:1].lower() + reason[1:]
