"""Which reader reads a feed: told from its name, its first bytes and the names of its columns.

Reading is left to `indexer.catalogue_formats` and to the modules for what shops and data sets are exported as.
"""

import gzip
from pathlib import Path

from indexer.catalogue_datasets import dataset_feed, datasets_folder, holds_dataset
from indexer.catalogue_formats import (
    DELIMITERS,
    CatalogueError,
    FeedFormat,
    RawFeed,
    delimited_feed,
    guarded,
    json_lines,
    xml_rows,
)
from indexer.catalogue_json import json_list
from indexer.catalogue_jsonld import document_feed, is_jsonld, jsonld_feed
from indexer.catalogue_pages import PAGE_SUFFIXES, holds_pages, page_feed, pages_folder
from indexer.catalogue_shopify import is_shopify, shopify_feed
from indexer.catalogue_values import is_merchant, merchant_row
from indexer.catalogue_woocommerce import is_woocommerce, woocommerce_feed

__all__ = ["find_feed", "open_feed"]

FEED_NAMES = tuple(f"catalogue.{suffix}" for suffix in ("parquet", "jsonl", "csv", "tsv", "xml"))
_HEAD_BYTES = 4096
_EXPECTED = "Parquet, JSON, CSV, TSV, Merchant XML, or HTML pages"


def find_feed(path: Path) -> Path:
    """Return the feed that `path` names: itself, or `catalogue.<suffix>` in a folder that is no data set or site.

    Raises:
        CatalogueError: there is no such file, or the folder holds none or several.
    """
    if not path.is_dir():
        return path
    found = [path / name for name in FEED_NAMES if (path / name).is_file()]
    if not found and (holds_dataset(path) or holds_pages(path)):
        return path
    if len(found) != 1:
        held = ", ".join(f.name for f in found) or "none, nor Parquet files of a data set, nor HTML pages"
        msg = f"{path}: a folder must hold exactly one of {', '.join(FEED_NAMES)}; it holds {held}"
        raise CatalogueError(msg)
    return found[0]


def open_feed(path: Path, *, variants: bool = False) -> RawFeed:
    """Open the feed at `path`, a file or folder as `find_feed` returns it; `variants`: each is a product of its own.

    Raises:
        CatalogueError: missing, empty, unreadable or of no known format. Also raised by the returned rows,
            when the file breaks off behind its beginning.
    """
    if path.is_dir():
        return datasets_folder(path) if holds_dataset(path) else pages_folder(path, variants=variants)
    head, suffix = _beginning(path)
    if head.startswith(b"PAR1") or suffix == ".parquet":
        return dataset_feed(path)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        msg = f"{path}: is UTF-16 text: save it as UTF-8"
        raise CatalogueError(msg)
    return _text_feed(path, suffix, head.removeprefix(b"\xef\xbb\xbf").lstrip(), variants=variants)


def _beginning(path: Path) -> tuple[bytes, str]:
    """Return the first bytes of a file and the suffix of its name, both without gzip."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise CatalogueError(msg) from error
    if not head:
        msg = f"{path}: is empty"
        raise CatalogueError(msg)
    suffixes = [s.lower() for s in path.suffixes]
    if head.startswith(b"\x1f\x8b"):
        with gzip.open(path) as unpacked:
            head = guarded(path, lambda: unpacked.read(_HEAD_BYTES))
        suffixes = suffixes[:-1] if suffixes[-1:] == [".gz"] else suffixes
    return head, suffixes[-1] if suffixes else ""


def _text_feed(path: Path, suffix: str, head: bytes, *, variants: bool) -> RawFeed:
    if suffix in {".json", ".jsonl", ".ndjson", ".jsonld"} or (not suffix and head.startswith(b"{")):
        return _json_feed(path, suffix, head, variants=variants)
    if suffix in PAGE_SUFFIXES or (not suffix and head[:15].lower().startswith((b"<!doctype html", b"<html"))):
        return page_feed(path, variants=variants)
    if suffix in {".csv", ".tsv", ".tab"}:
        return _table(path, "\t" if suffix in {".tsv", ".tab"} else None, variants=variants)
    if suffix in {".xml", ".rss", ".atom"} or head.startswith(b"<"):
        return RawFeed(xml_rows(path), None, FeedFormat.MERCHANT, merchant_row)
    if head.startswith(b"{"):
        return _json_feed(path, suffix, head, variants=variants)
    if b"\0" in head or not any(d in head for d in DELIMITERS.encode()):
        msg = f"{path}: is no catalogue: expected {_EXPECTED}"
        raise CatalogueError(msg)
    return _table(path, None, variants=variants)


def _json_feed(path: Path, suffix: str, head: bytes, *, variants: bool) -> RawFeed:
    """Open JSON: one object a line, a list of objects, or one JSON-LD document."""
    linked = suffix == ".jsonld" or is_jsonld(head)
    if head.startswith(b"["):
        rows = json_list(path)
    elif suffix in {".jsonl", ".ndjson"} or not linked:
        if suffix in {".json", ".jsonld"} and not head.startswith(b"{"):
            msg = f"{path}: is no catalogue: expected JSON objects"
            raise CatalogueError(msg)
        rows = json_lines(path)
    else:
        return document_feed(path, variants=variants)
    feed = RawFeed(rows, None, FeedFormat.JSON)
    return jsonld_feed(feed, path.parent, variants=variants) if linked else feed


def _table(path: Path, delimiter: str | None, *, variants: bool) -> RawFeed:
    """Open a table; the names of its columns tell which shop wrote it."""
    feed = delimited_feed(path, delimiter)
    columns = feed.columns or ()
    if is_shopify(columns):
        return shopify_feed(feed, variants=variants)
    if is_woocommerce(columns):
        return woocommerce_feed(lambda: delimited_feed(path, delimiter), variants=variants)
    if is_merchant(columns):
        return RawFeed(feed.rows, columns, FeedFormat.MERCHANT, merchant_row)
    return feed
