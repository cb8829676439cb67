"""WooCommerce's product CSV: a line a product, and a line for each variation, somewhere behind its product.

The table is read twice: variations wait in a temporary database on disk, so memory stays bounded, and join their
product when its line comes. Products that are not published, or kept out of searches, are left out.
"""

import itertools
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing

import orjson

from indexer.catalogue_formats import FeedFormat, RawFeed, RawRow, RejectedRow
from indexer.catalogue_values import category_leaf, parse_price, parse_stock
from indexer.catalogue_variants import OPTION_FIELDS, UNPUBLISHED, VARIANT_FIELDS, Variant, apart, merged, put

HIDDEN = "kept out of searches by its shop"
_NAMES = {"id": "id", "name": "title", "brands": "brand", "sku": "sku", "external url": "url"}
_OFFICE = ("attribute ", "meta: _", "download ", "date sale price ", "weight (", "length (", "width (", "height (")
_OFFICE_COLUMNS = frozenset(
    {"type", "published", "visibility in catalog", "visibility in catalogue", "is featured?", "tax status", "tax class"}
    | {"stock", "low stock amount", "backorders allowed?", "sold individually?", "allow customer reviews?"}
    | {"purchase note", "shipping class", "parent", "grouped products", "upsells", "cross-sells", "button text"}
    | {"position", "sale price", "regular price", "in stock?", "images", "short description", "description"}
)
_COMMA = re.compile(r"(?<!\\),\s*")
_MOST_ATTRIBUTES = 100


def is_woocommerce(columns: Iterable[str]) -> bool:
    """Return whether these are columns of a WooCommerce product CSV, in English."""
    names = {column.casefold() for column in columns}
    return {"name", "regular price"} <= names and not names.isdisjoint({"id", "sku"}) and "type" in names


def woocommerce_feed(open_table: Callable[[], RawFeed], *, variants: bool) -> RawFeed:
    """Return the products of a table whose columns are WooCommerce's; `variants`: each variation is one.

    `open_table` opens the table from its beginning each time.
    """
    columns = open_table().columns or ()
    left_out: Counter[str] = Counter()
    return RawFeed(
        _products(open_table, left_out, variants=variants),
        columns,
        FeedFormat.WOOCOMMERCE,
        _named,
        more_columns=True,
        html=frozenset({"title", "description"}),
        left_out=left_out,
    )


def _products(
    open_table: Callable[[], RawFeed], left_out: Counter[str], *, variants: bool
) -> Iterator[RawRow | RejectedRow]:
    # A temporary file of its own, gone when it is closed; who reads the rows may do so from any thread.
    with closing(sqlite3.connect("", check_same_thread=False)) as database:
        waiting = _Waiting(database, open_table().rows)
        for row in open_table().rows:
            if isinstance(row, RejectedRow):
                yield row
                continue
            cells = _Cells(row.values)
            try:
                if cells.is_variation:
                    found = _variation(row, cells, waiting, left_out) if variants else _orphan(row, cells, waiting)
                else:
                    found = _product(row, cells, waiting, left_out, variants=variants)
            except _PriceError as error:
                found = RejectedRow(row.row, error.column, str(error), cells["id"] or cells["sku"] or None, row.line)
            if found is not None:
                yield found


class _PriceError(ValueError):
    """A price that is none; `column` names it."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


class _Cells:
    """The cells of a line, by the names of their columns in small letters."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values
        self._folded = {name.casefold(): str(value or "").strip() for name, value in values.items()}

    def __getitem__(self, name: str) -> str:
        return self._folded.get(name, "")

    @property
    def is_variation(self) -> bool:
        """Whether the line is one of several ways to have a product."""
        return "variation" in self["type"].casefold()

    @property
    def keys(self) -> list[str]:
        """What variations may call this product."""
        return [key for key in (f"id:{self['id']}" if self["id"] else "", self["sku"]) if key]

    @property
    def reason_to_leave_out(self) -> str | None:
        """Why shoppers do not find this product in its shop; None if they do."""
        if self["published"].casefold() in {"0", "-1", "false", "no"}:
            return UNPUBLISHED
        seen = self["visibility in catalog"] or self["visibility in catalogue"]
        return HIDDEN if seen.casefold() in {"hidden", "catalog"} else None

    def price(self) -> float | None:
        """Return the price that is asked, the reduced one where there is one.

        Raises:
            _PriceError: it is none.
        """
        column = "sale price" if self["sale price"] else "regular price"
        try:
            return parse_price(self[column])[0] if self[column] else None
        except ValueError as error:
            raise _PriceError(column.capitalize(), str(error)) from error

    def in_stock(self) -> bool | None:
        """Return whether it can be had; None where the line does not tell."""
        try:
            return parse_stock(self["in stock?"]) if self["in stock?"] else None
        except ValueError:
            return None

    def images(self) -> tuple[str, ...]:
        """Return the pictures in their order."""
        return tuple(_list(self["images"]))

    def attributes(self) -> dict[str, list[str]]:
        """Return the values of each attribute; a variation has one."""
        found: dict[str, list[str]] = {}
        for number in range(1, _MOST_ATTRIBUTES):
            if f"attribute {number} name" not in self._folded:
                break
            name, values = self[f"attribute {number} name"], _list(self[f"attribute {number} value(s)"])
            if name and values:
                found[name] = values
        return found

    def variant(self) -> Variant:
        """Return this line as a variant.

        Raises:
            _PriceError: its price is none.
        """
        options = {name: ", ".join(values) for name, values in self.attributes().items()}
        key = self["id"] or self["sku"]
        return Variant(key, self.price(), None, self.in_stock(), options, self.images())


class _Waiting:
    """All lines of the table by the product they belong to, on disk."""

    def __init__(self, database: sqlite3.Connection, rows: Iterable[RawRow | RejectedRow]) -> None:
        self._database = database
        database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE product (key TEXT PRIMARY KEY, cells BLOB) WITHOUT ROWID;"
            "CREATE TABLE variation (parent TEXT, row INTEGER, cells BLOB);"
            "CREATE INDEX of_parent ON variation (parent, row);"
        )
        for batch in _batches(row for row in rows if isinstance(row, RawRow)):
            parents: list[tuple[str, bytes]] = []
            variations: list[tuple[str, int, bytes]] = []
            for row in batch:
                cells = _Cells(row.values)
                packed = orjson.dumps(row.values)
                if cells.is_variation:
                    variations.append((cells["parent"], row.row, packed))
                else:
                    parents += [(key, packed) for key in cells.keys]
            database.executemany("INSERT OR IGNORE INTO product VALUES (?, ?)", parents)
            database.executemany("INSERT INTO variation VALUES (?, ?, ?)", variations)

    def product(self, key: str) -> _Cells | None:
        """Return the product that a variation calls so."""
        found = self._database.execute("SELECT cells FROM product WHERE key = ?", (key,)).fetchone()
        return None if found is None else _Cells(orjson.loads(found[0]))

    def variations(self, product: _Cells) -> Iterator[_Cells]:
        """Yield the published variations of a product, in the order of their lines."""
        keys = product.keys
        marks = ", ".join("?" * len(keys))
        query = f"SELECT cells FROM variation WHERE parent IN ({marks}) ORDER BY row"  # noqa: S608 - marks alone
        for (cells,) in self._database.execute(query, keys):
            variation = _Cells(orjson.loads(cells))
            if variation.reason_to_leave_out != UNPUBLISHED:
                yield variation


def _batches(rows: Iterator[RawRow]) -> Iterator[list[RawRow]]:
    while batch := list(itertools.islice(rows, 256)):
        yield batch


def _product(row: RawRow, cells: _Cells, waiting: _Waiting, left_out: Counter[str], *, variants: bool) -> RawRow | None:
    reason = cells.reason_to_leave_out
    if reason is not None:
        left_out[reason] += 1
        return None
    variations: list[Variant] = []
    for variation in waiting.variations(cells):
        try:
            variations.append(variation.variant())
        except _PriceError:
            continue  # its own line says so
    if variants and variations:
        return None  # they are the products
    shared = _shared(cells)
    if not variations:
        own = Variant("", cells.price(), None, cells.in_stock())
        return RawRow(row.row, merged(shared, [own], cells.images()), row.line)
    return RawRow(row.row, merged(shared, variations, cells.images()), row.line)


def _orphan(row: RawRow, cells: _Cells, waiting: _Waiting) -> RejectedRow | None:
    """Return why a variation belongs to no product, or has no price that can be read; None if all is well."""
    cells.price()
    if waiting.product(cells["parent"]) is None:
        reason = f"no product is called {cells['parent'][:80]!r}"
        return RejectedRow(row.row, "Parent", reason, cells["id"] or cells["sku"] or None, row.line)
    return None


def _variation(row: RawRow, cells: _Cells, waiting: _Waiting, left_out: Counter[str]) -> RawRow | RejectedRow | None:
    product = waiting.product(cells["parent"])
    if product is None:
        return _orphan(row, cells, waiting)
    reason = product.reason_to_leave_out or cells.reason_to_leave_out
    if reason is not None:
        left_out[reason] += 1
        return None
    group = product["id"] or product["sku"]
    values = apart(_shared(product), cells.variant(), product.images(), group=group, title=product["name"])
    if cells["sku"]:
        values["sku"] = cells["sku"]
    return RawRow(row.row, values, row.line)


def _shared(cells: _Cells) -> dict[str, object]:
    """Return what a product's line says of all its variations."""
    shared = dict(cells.values)
    for name, values in cells.attributes().items():
        known = OPTION_FIELDS.get(name.casefold())
        if known is None:
            put(shared, name, values)
        elif not shared.get(known):
            shared[known] = ", ".join(values)
    return shared


def _named(values: Mapping[str, object]) -> dict[str, object]:
    """Return a row under our names, without what only WooCommerce's own books need."""
    cells = _Cells(values)
    row: dict[str, object] = {"description": _description(cells)}
    for column, value in values.items():
        name = column.casefold()
        if column in VARIANT_FIELDS or (name not in _OFFICE_COLUMNS and not name.startswith(_OFFICE)):
            row[column if column in VARIANT_FIELDS else _NAMES.get(name, column)] = value
    row.pop("Categories", None)
    row.pop("Tags", None)
    paths = _list(cells["categories"])
    put(row, "categories", paths)
    put(row, "tags", _list(cells["tags"]))
    if paths and not row.get("category"):
        row["category"] = category_leaf(max(paths, key=lambda path: path.count(">")))
    if not row.get("id"):
        row["id"] = cells["sku"]
    return row


def _description(cells: _Cells) -> str:
    """Return the short and the long description; the exporter writes line breaks as a backslash and an n."""
    return "\n".join(cells[name] for name in ("short description", "description")).replace("\\n", "\n").strip()


def _list(text: str) -> list[str]:
    """Return the parts of a list with commas; one behind a backslash is part of a part."""
    return [part.strip().replace("\\,", ",") for part in _COMMA.split(text) if part.strip()]
