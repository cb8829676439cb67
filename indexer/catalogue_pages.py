"""HTML pages as a feed: the JSON-LD that they carry for search engines; one page, or a folder of them."""

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson

from indexer.catalogue_formats import CatalogueError, FeedFormat, RawFeed, RawRow, RejectedRow, guarded, open_unpacked
from indexer.catalogue_jsonld import HTML_FIELDS, document_rows, linked_feed

PAGE_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
MAX_PAGE_BYTES = 16 * 2**20
NO_PRODUCT = "a page without a product"
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w-]{1,40})", re.IGNORECASE)
_WRAPPING = re.compile(
    r"^(?:<!--|(?://|/\*)?\s{0,9}<!\[CDATA\[(?:\s{0,9}\*/)?)|(?:-->|(?://|/\*)?\s{0,9}\]\]>(?:\s{0,9}\*/)?)$"
)
_SCRIPT = re.compile(r"<script\b([^<>]{0,1000})>", re.IGNORECASE)
_LINKED = re.compile(r"\btype\s{0,9}=\s{0,9}[\"']?\s{0,9}application/ld\+json", re.IGNORECASE)
_CLOSED = re.compile(r"</script", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f]")


def holds_pages(folder: Path) -> bool:
    """Return whether `folder` holds HTML pages, at any depth."""
    return next(_pages(folder), None) is not None


def page_feed(path: Path, *, variants: bool) -> RawFeed:
    """Return the products of one page.

    Raises:
        CatalogueError: while its rows are read, if it has none.
    """

    def rows() -> Iterator[RawRow | RejectedRow]:
        found = False
        for row in _rows([path], path.parent, Counter(), variants=variants):
            found = True
            yield row
        if not found:
            msg = f"{path}: is no catalogue: a page without a product in JSON-LD"
            raise CatalogueError(msg)

    return linked_feed(rows(), FeedFormat.PAGES)


def pages_folder(folder: Path, *, variants: bool) -> RawFeed:
    """Return the products of all pages in a folder; pages without one are left out."""
    left_out: Counter[str] = Counter()
    rows = _rows(_pages(folder), folder, left_out, variants=variants)
    feed = linked_feed(rows, FeedFormat.PAGES)
    return RawFeed(feed.rows, None, feed.format, feed.named, more_columns=True, html=HTML_FIELDS, left_out=left_out)


def _pages(folder: Path) -> Iterator[Path]:
    """Yield the pages in a folder and those below it, in the order of their names; hidden ones are not looked at."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if path.suffix.lower() in PAGE_SUFFIXES and not name.startswith("."):
                yield path


def _rows(
    pages: Iterator[Path] | list[Path], folder: Path, left_out: Counter[str], *, variants: bool
) -> Iterator[RawRow | RejectedRow]:
    count = itertools.count(1)
    for page in pages:
        name = page.relative_to(folder).as_posix()
        found = 0
        try:
            for document, line in _documents(page):
                for values in document_rows(document, folder, variants=variants):
                    found += 1
                    yield RawRow(next(count), values, line)
        except _PageError as error:
            found += 1
            yield RejectedRow(next(count), "", f"{name}: {error}", line=error.line)
        left_out[NO_PRODUCT] += found == 0


class _PageError(ValueError):
    """A page that cannot be read, from `line` on."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def _documents(page: Path) -> Iterator[tuple[object, int]]:
    """Yield the JSON-LD documents of a page with the lines they stand on.

    Raises:
        _PageError: the page, or one of them, cannot be read.
    """
    text = _decoded(page)
    at, line, counted = 0, 1, 0
    while script := _SCRIPT.search(text, at):
        closed = _CLOSED.search(text, script.end())
        end, at = closed.span() if closed is not None else (len(text), len(text))
        bare = _bare(text[script.end() : end]) if _LINKED.search(script[1]) else ""
        if bare:
            line += text.count("\n", counted, script.start())
            counted = script.start()
            try:
                yield orjson.loads(bare), line
            except orjson.JSONDecodeError as error:
                raise _PageError(f"JSON-LD that is not valid: {error}", line) from error


def _bare(script: str) -> str:
    """Return the JSON of a script, out of the comment it may be wrapped in."""
    bare = _WRAPPING.sub("", _WRAPPING.sub("", script.strip()).strip()).strip().removesuffix(";")
    # Themes write line breaks into texts, which JSON does not have: a space stands for each.
    return _CONTROL.sub(" ", bare)


def _decoded(page: Path) -> str:
    with open_unpacked(page) as file:
        content = guarded(page, lambda: file.read(MAX_PAGE_BYTES + 1))
    if len(content) > MAX_PAGE_BYTES:
        raise _PageError(f"larger than {MAX_PAGE_BYTES:,} bytes")
    stated = _CHARSET.search(content[:4096])
    charset = stated[1].decode() if stated else "utf-8"
    try:
        return content.removeprefix(b"\xef\xbb\xbf").decode(charset)
    except (ValueError, LookupError) as error:
        raise _PageError(f"not valid {charset} text") from error
