"""Feed files to raw rows: Parquet, JSON lines, CSV and TSV, Google Merchant XML (RSS or Atom); gzip or not.

Streams in bounded memory. A row that cannot be read is a `RejectedRow` and reading goes on behind it; a file
that is no catalogue at all, or breaks off, is a `CatalogueError`. Telling formats apart is left to
`indexer.catalogue_open`, what shops export to modules of their own, what the values mean to `indexer.catalogue`.
"""

import csv
import gzip
import itertools
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, cast
from xml.etree.ElementTree import Element, ParseError

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

MAX_LINE_BYTES = 64 * 2**20  # a JSON line or CSV line may carry pictures as base64
MAX_LINES_PER_RECORD = 1_000  # of CSV; more means that a quotation mark was never closed
PARQUET_BATCH = 256
_WHOLE_BYTES = 2**20  # of a column, in a batch
DELIMITERS = ",;\t|"
_XML_ROWS = ("item", "entry")


class CatalogueError(ValueError):
    """A file that is no catalogue, or one that breaks off: nothing of it can be trusted to be complete."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was left out, and why.

    Attributes:
        row: 1-based number of the record; header and blank lines are not counted.
        field: the column or product field at fault; empty if the row as a whole is.
        reason: one clause a person understands.
        id: the product's id, where it could be read.
        line: 1-based line of a text file on which the record starts.
    """

    row: int
    field: str
    reason: str
    id: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        line = f" (line {self.line})" if self.line is not None else ""
        named = f" [{self.id}]" if self.id else ""
        field = f"{self.field}: " if self.field else ""
        return f"row {self.row}{line}{named}: {field}{self.reason}"


@dataclass(frozen=True, slots=True)
class RawRow:
    """The values of one record under the feed's own column names; `line` as in `RejectedRow`."""

    row: int
    values: Mapping[str, object]
    line: int | None = None


class FeedFormat(StrEnum):
    """What a feed was written as."""

    PARQUET = "Parquet"
    JSON = "JSON"
    TABLE = "CSV or TSV"
    MERCHANT = "Google Merchant"
    SHOPIFY = "Shopify product CSV"
    WOOCOMMERCE = "WooCommerce product CSV"
    JSON_LD = "schema.org JSON-LD"
    PAGES = "folder of HTML pages with JSON-LD"
    DATASETS = "Hugging Face datasets folder"


@dataclass(frozen=True, slots=True)
class RawFeed:
    """An open feed.

    Attributes:
        rows: its records, each once.
        columns: their names, where the format states them up front.
        format: what it was written as.
        named: turns the names of that format into ours; None: they are ours.
        more_columns: whether rows may have columns beside `columns`, such as the options of a product.
        html: product fields that hold HTML in that format.
        left_out: counts the records that are no products to be found, by reason; grows while rows are read.
    """

    rows: Iterator[RawRow | RejectedRow]
    columns: tuple[str, ...] | None
    format: FeedFormat
    named: Callable[[Mapping[str, object]], dict[str, object]] | None = None
    more_columns: bool = False
    html: frozenset[str] = frozenset()
    left_out: Counter[str] = field(default_factory=Counter)


def feed_length(path: Path) -> int | None:
    """Return how many rows the feed states that it has; None where only reading it all would tell."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException):
        return None


# --- Parquet


def parquet_feed(path: Path) -> RawFeed:
    """Open a Parquet file.

    Raises:
        CatalogueError: it cannot be read.
    """
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        msg = f"{path}: not a readable Parquet file: {one_line(error)}"
        raise CatalogueError(msg) from error
    return RawFeed(_parquet_rows(path, file), tuple(file.schema_arrow.names), FeedFormat.PARQUET)


def _parquet_rows(path: Path, file: pq.ParquetFile) -> Iterator[RawRow | RejectedRow]:
    count = itertools.count(1)
    try:
        with file:
            for batch in file.iter_batches(PARQUET_BATCH, use_threads=False):
                columns = {n: _cells(column) for n, column in zip(batch.schema.names, batch.columns, strict=True)}
                for at, number in zip(range(batch.num_rows), count, strict=False):
                    yield _parquet_row(columns, at, number)
    except (OSError, pa.ArrowException) as error:
        msg = f"{path}: breaks off behind row {next(count) - 1}: {one_line(error)}"
        raise CatalogueError(msg) from error


def _cells(column: pa.Array) -> Sequence[object]:
    """Return a column's values: all at once, which is a tenth of the work, or yet to be read one by one.

    That is where one of them cannot be read, and where they are large: pictures, which are not to be there twice.
    """
    cells: Sequence[object] = column
    if column.nbytes <= _WHOLE_BYTES:
        with suppress(ValueError, OverflowError, pa.ArrowException):
            cells = column.to_pylist()
    return cells


def _parquet_row(columns: Mapping[str, Sequence[object]], at: int, number: int) -> RawRow | RejectedRow:
    values: dict[str, object] = {}
    for name, column in columns.items():
        try:
            cell = column[at]
            values[name] = cell.as_py() if isinstance(cell, pa.Scalar) else cell
        except UnicodeDecodeError:
            return RejectedRow(number, name, "not valid UTF-8", _text_or_none(values.get("id")))
        except (ValueError, OverflowError, pa.ArrowException) as error:
            return RejectedRow(number, name, f"unreadable value: {one_line(error)}")
    return RawRow(number, values)


# --- Lines


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    content: bytes
    cut: bool  # longer than MAX_LINE_BYTES: its rest was skipped


def _lines(path: Path) -> Iterator[_Line]:
    """Yield the lines of a file, gzipped or not, without its byte order mark."""
    with open_unpacked(path) as file:
        for number in itertools.count(1):
            content = guarded(path, lambda: file.readline(MAX_LINE_BYTES))
            if not content:
                return
            cut = len(content) == MAX_LINE_BYTES and not content.endswith(b"\n")
            rest = content
            while rest and not rest.endswith(b"\n") and len(rest) == MAX_LINE_BYTES:
                rest = guarded(path, lambda: file.readline(MAX_LINE_BYTES))
            yield _Line(number, content.removeprefix(b"\xef\xbb\xbf") if number == 1 else content, cut)


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file for reading its bytes, unpacked where it is gzipped."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(path)) if packed else path.open("rb")


def guarded(path: Path, read: Callable[[], bytes]) -> bytes:
    """Return what `read` returns.

    Raises:
        CatalogueError: the file breaks off.
    """
    try:
        return read()
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path}: breaks off: {one_line(error)}"
        raise CatalogueError(msg) from error


def json_lines(path: Path) -> Iterator[RawRow | RejectedRow]:
    """Yield the objects of a file that has one on each line."""
    count = itertools.count(1)
    for line in _lines(path):
        if not line.content.strip():
            continue
        number = next(count)
        if line.cut:
            yield RejectedRow(number, "", f"longer than {MAX_LINE_BYTES:,} bytes", line=line.number)
            continue
        try:
            values = orjson.loads(line.content)
        except orjson.JSONDecodeError as error:
            yield RejectedRow(number, "", f"not valid JSON: {one_line(error)}", line=line.number)
            continue
        if isinstance(values, dict):
            yield RawRow(number, values, line.number)
        else:
            yield RejectedRow(number, "", "not a JSON object", line=line.number)


# --- CSV, TSV


def delimited_feed(path: Path, delimiter: str | None) -> RawFeed:
    """Open a text file of columns; None: the delimiter that its first line uses most.

    Raises:
        CatalogueError: its first line names no columns.
    """
    lines = _lines(path)
    header = next(lines, None)
    try:
        text = header.content.decode() if header else ""
    except UnicodeDecodeError as error:
        msg = f"{path}: its first line is not UTF-8 text: no catalogue"
        raise CatalogueError(msg) from error
    csv.field_size_limit(MAX_LINE_BYTES)  # pictures as base64 are longer than the module's default
    chosen = delimiter or max(DELIMITERS, key=text.count)
    try:
        columns = tuple(name.strip() for name in next(csv.reader([text], delimiter=chosen, strict=True), []))
    except csv.Error as error:
        msg = f"{path}: its first line is no list of column names: {error}"
        raise CatalogueError(msg) from error
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated or "\0" in text:
        what = f"repeats {', '.join(map(repr, repeated))}" if repeated else "holds NUL bytes"
        msg = f"{path}: its first line {what}: column names must differ and be text"
        raise CatalogueError(msg)
    return RawFeed(_delimited_rows(lines, columns, chosen), columns, FeedFormat.TABLE)


def _delimited_rows(lines: Iterator[_Line], columns: tuple[str, ...], delimiter: str) -> Iterator[RawRow | RejectedRow]:
    count = itertools.count(1)
    waiting: deque[_Line] = deque()
    while True:
        taken: list[_Line] = []
        reader = csv.reader(_feed(lines, waiting, taken), delimiter=delimiter, strict=True)
        problem = ""
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # One stray quotation mark must not swallow the rows behind it: they are read again.
            waiting.extendleft(reversed(taken[1:]))
            fields = _text(taken[0].content).rstrip("\r\n").split(delimiter)
            if delimiter != "\t" or len(fields) != len(columns):  # TSV is often written without quoting
                problem = "quotation mark not closed" if "end of data" in str(error) else str(error)
        if fields:
            yield _delimited_row(fields, columns, next(count), taken[0], problem)


def _feed(lines: Iterator[_Line], waiting: deque[_Line], taken: list[_Line]) -> Iterator[str]:
    """Yield the text of lines for one record, noting in `taken` which."""
    while len(taken) < MAX_LINES_PER_RECORD:
        line = waiting.popleft() if waiting else next(lines, None)
        if line is None:
            return
        taken.append(line)
        yield _text(line.content)


def _text(content: bytes) -> str:
    """Decode UTF-8; bytes that are not become lone surrogates, which `_delimited_row` refuses."""
    return content.decode(errors="surrogateescape")


def _delimited_row(
    fields: list[str], columns: tuple[str, ...], number: int, line: _Line, problem: str
) -> RawRow | RejectedRow:
    if line.cut:
        return RejectedRow(number, "", f"longer than {MAX_LINE_BYTES:,} bytes", line=line.number)
    if problem:
        return RejectedRow(number, "", problem, line=line.number)
    if len(fields) != len(columns):
        reason = f"{len(fields)} columns, where the first line names {len(columns)}"
        return RejectedRow(number, "", reason, line=line.number)
    for name, value in zip(columns, fields, strict=True):
        if not value.isascii() and not _is_unicode(value):
            return RejectedRow(number, name, "not valid UTF-8", line=line.number)
    return RawRow(number, dict(zip(columns, fields, strict=True)), line.number)


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- Google Merchant XML


def xml_rows(path: Path) -> Iterator[RawRow | RejectedRow]:
    """Yield the `<item>` or `<entry>` elements of a Merchant feed.

    Raises:
        CatalogueError: it is not well-formed, or has none of them.
    """
    count = itertools.count(1)
    open_elements: list[Element] = []
    try:
        with open_unpacked(path) as file:
            for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
                if event == "start":
                    open_elements.append(element)
                    continue
                open_elements.pop()
                if local_name(element.tag) in _XML_ROWS:
                    yield RawRow(next(count), _xml_values(element))
                    open_elements[-1].clear() if open_elements else None
    except (ParseError, DefusedXmlException, OSError, EOFError, zlib.error) as error:
        msg = f"{path}: not well-formed XML behind product {next(count) - 1}: {one_line(error)}"
        raise CatalogueError(msg) from error
    if next(count) == 1:
        msg = f"{path}: is no catalogue: an XML file without <item> or <entry> elements"
        raise CatalogueError(msg)


def _xml_values(item: Element) -> dict[str, object]:
    """Return the item's leaf elements by local name; repeated ones as a list; the `g:` one wins over a plain."""
    found: dict[str, list[str]] = {}
    spaced: set[str] = set()
    for child in item:
        name = local_name(child.tag)
        text = (child.text or child.get("href") or "").strip()
        if len(child) or not text or (name in spaced and not child.tag.startswith("{http://base.google")):
            continue
        if child.tag.startswith("{http://base.google") and name not in spaced:
            spaced.add(name)
            found[name] = []
        found.setdefault(name, []).append(text)
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in found.items()}


def local_name(tag: str) -> str:
    """Return an element's name without its namespace."""
    return tag.rpartition("}")[2]


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def one_line(error: Exception) -> str:
    """Return the first line of an error's words."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
