"""What products can be filtered, counted and sorted by: a typed column for every field that suits.

Text for reading (title, description, url, pictures) is left out. A column's kind comes from the catalogue's own
values: an attribute that is a number in every product that states it is a number, one that is true or false a
boolean, everything else keywords. Expressions over columns are left to `service.filters`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Final, Protocol, Self

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from indexer.products import ProductTable
from models.pacing import unhurried
from models.product import AttributeValue

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

ATTRIBUTE_PREFIX: Final = "attributes."
_KEYWORDS: Final = ("brand", "category", "season", "composition", "currency", "group")
_STATED_FALSE, _STATED_TRUE, _ABSENT = 0, 1, -1


class UnknownFieldError(KeyError):
    """No product of the catalogue has such a field."""


@dataclass(frozen=True)
class KeywordColumn:
    """Words from an open set; a product may state several, or none.

    Spellings that differ in case alone are one value, shown in the spelling most products use.

    Attributes:
        n: products.
        values: `(v,)`, in the order of their folded spellings.
        rows: `(m,) int32`, ascending: product `rows[i]` states value `codes[i]`.
        codes: `(m,) int32`.
    """

    n: int
    values: Sequence[str]
    rows: NDArray[np.int32]
    codes: NDArray[np.int32]

    @classmethod
    def empty(cls, n: int) -> "KeywordColumn":
        """Return the column of n products that state none."""
        return KeywordColumn(n, (), np.zeros(0, np.int32), np.zeros(0, np.int32))

    @classmethod
    def of(cls, stated: Iterable[Sequence[str]]) -> "KeywordColumn":
        """Return the column of what each product states, in the order of rows."""
        rows: list[int] = []
        words: list[str] = []
        n = 0
        for row, said in enumerate(stated):
            n = row + 1
            words += said
            rows += [row] * len(said)
        return cls.of_words(n, np.array(rows, np.int64), pa.array(words, pa.large_string()))

    @classmethod
    def of_words(cls, n: int, rows: NDArray[np.int64], words: pa.Array) -> "KeywordColumn":
        """Return the column of n products of which product `rows[i]`, `(m,)` ascending, states `words[i]`, `(m,)`."""
        encoded = words.dictionary_encode()
        spelled: list[str] = encoded.dictionary.to_pylist()
        said, spellings = _distinct(rows, encoded.indices.to_numpy(zero_copy_only=False), len(spelled))
        often = np.bincount(spellings, minlength=len(spelled)).tolist()
        best: dict[str, tuple[int, str]] = {}
        for word, count in zip(spelled, often, strict=True):
            key = word.casefold()
            best[key] = max(best.get(key, (0, "")), (count, word))
        order = {key: code for code, key in enumerate(sorted(best))}
        to_code = np.array([order[word.casefold()] for word in spelled], np.int64)
        found, codes = _distinct(said, to_code[spellings], len(order))  # a product may spell one value in two ways
        return cls(n, [best[key][1] for key in order], found.astype(np.int32), codes.astype(np.int32))

    @cached_property
    def _codes(self) -> Mapping[str, int]:
        return {value.casefold(): code for code, value in enumerate(self.values)}

    @cached_property
    def _by_code(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Rows in the order of codes, and where each code begins."""
        order = np.argsort(self.codes, kind="stable")
        return self.rows[order], np.searchsorted(self.codes[order], np.arange(len(self.values) + 1))

    @property
    def stated(self) -> Mask:
        """Which products state any value, `(n,) bool`."""
        mask = np.zeros(self.n, np.bool_)
        mask[self.rows] = True
        return mask

    def having(self, values: Iterable[str]) -> Mask:
        """Return which products state any of `values`, `(n,) bool`; unknown values are nobody's."""
        rows, starts = self._by_code
        mask = np.zeros(self.n, np.bool_)
        for value in values:
            code = self._codes.get(value.casefold())
            if code is not None:
                mask[rows[starts[code] : starts[code + 1]]] = True
        return mask

    def counts(self, among: Mask) -> NDArray[np.int64]:
        """Return how many products of `among`, `(n,) bool`, state each value, `(v,) int64`."""
        return np.bincount(self.codes[among[self.rows]], minlength=len(self.values))

    @property
    def order(self) -> NDArray[np.float64]:
        """What to sort products by, `(n,) float64`: the place of their first value in the alphabet; NaN: none."""
        places = np.full(self.n, np.nan)
        np.fmin.at(places, self.rows, self.codes.astype(np.float64))
        return places


@dataclass(frozen=True)
class NumberColumn:
    """Numbers, `(n,) float64`; NaN where a product states none."""

    values: NDArray[np.float64]

    @classmethod
    def empty(cls, n: int) -> Self:
        """Return the column of n products that state none."""
        return cls(np.full(n, np.nan))

    def copied(self) -> Self:
        """Return the column with values of its own."""
        return type(self)(self.values.copy())

    @property
    def stated(self) -> Mask:
        """Which products state a number, `(n,) bool`."""
        return ~np.isnan(self.values)

    @property
    def order(self) -> NDArray[np.float64]:
        """What to sort products by, `(n,) float64`."""
        return self.values


@dataclass(frozen=True)
class BooleanColumn:
    """True or false, `(n,) int8`: 1, 0, and -1 where a product states neither."""

    values: NDArray[np.int8]

    @classmethod
    def empty(cls, n: int) -> Self:
        """Return the column of n products that state neither."""
        return cls(np.full(n, _ABSENT, np.int8))

    def copied(self) -> Self:
        """Return the column with values of its own."""
        return type(self)(self.values.copy())

    @property
    def stated(self) -> Mask:
        """Which products state either, `(n,) bool`."""
        return np.not_equal(self.values, _ABSENT)

    def having(self, *, value: bool) -> Mask:
        """Return which products state `value`, `(n,) bool`."""
        return np.equal(self.values, _STATED_TRUE if value else _STATED_FALSE)

    @property
    def order(self) -> NDArray[np.float64]:
        """What to sort products by, `(n,) float64`: false before true."""
        return np.where(self.stated, self.values, np.nan).astype(np.float64)


class Ids(Protocol):
    """Rows by the ids of products."""

    def __len__(self) -> int: ...

    def row_of(self, product_id: str) -> int | None:
        """Return the row of the product called `product_id`, None if there is none."""
        ...

    @property
    def id_order(self) -> NDArray[np.number]:
        """Numbers that order rows by their ids, `(n,)`."""
        ...


@dataclass(frozen=True)
class IdColumn:
    """The ids of products: every one is another's and means itself alone, case and all."""

    table: Ids

    @property
    def stated(self) -> Mask:
        """All products, `(n,) bool`."""
        return np.ones(len(self.table), np.bool_)

    def having(self, values: Iterable[str]) -> Mask:
        """Return which products have these ids, `(n,) bool`; unknown ids are nobody's."""
        mask = np.zeros(len(self.table), np.bool_)
        mask[[row for value in values if (row := self.table.row_of(value)) is not None]] = True
        return mask

    @property
    def order(self) -> NDArray[np.float64]:
        """What to sort products by, `(n,) float64`: the place of their id among all."""
        return self.table.id_order.astype(np.float64)


@dataclass(frozen=True)
class JoinedKeywords(KeywordColumn):
    """Keywords of products in several parts; what a part has worked out for its own rows is used as it is."""

    parts: Sequence[KeywordColumn]

    @classmethod
    def joining(cls, parts: Sequence[KeywordColumn]) -> "JoinedKeywords":
        """Return the column of the rows of `parts`, one part behind the other; the first one's spellings are shown."""
        spellings = dict(zip((value.casefold() for value in parts[0].values), parts[0].values, strict=True))
        known = len(spellings)
        for part in parts[1:]:
            for value in part.values:
                spellings.setdefault(value.casefold(), value)
        keys = list(spellings) if len(spellings) == known else sorted(spellings)
        places = {key: code for code, key in enumerate(keys)}
        codes = [np.array([places[v.casefold()] for v in part.values], np.int32)[part.codes] for part in parts]
        starts = np.cumsum([0, *(part.n for part in parts)])
        rows = [part.rows + np.int32(start) for part, start in zip(parts, starts, strict=False)]
        values = [spellings[key] for key in keys]
        return cls(int(starts[-1]), values, np.concatenate(rows), np.concatenate(codes), tuple(parts))

    def having(self, values: Iterable[str]) -> Mask:
        """Return which products state any of `values`, `(n,) bool`; unknown values are nobody's."""
        stated = list(values)
        return np.concatenate([part.having(stated) for part in self.parts])


CountedColumn = KeywordColumn | NumberColumn | BooleanColumn
Column = CountedColumn | IdColumn
_OWN: Final = ("id", *_KEYWORDS, "price", "in_stock")


class Columns(ABC):
    """Columns by name, each made when it is first asked for. Safe to use from threads.

    An attribute is known by its own name and by `attributes.NAME`, which it keeps where a field of the product has
    the same one.
    """

    def __init__(self) -> None:
        self._columns: dict[str, Column] = {}
        self._lock = Lock()

    @property
    @abstractmethod
    def n(self) -> int:
        """Products."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All fields, the product's own before the attributes."""
        attributes = sorted(self.attribute_names)
        return (*_OWN, *(name if name not in _OWN else f"{ATTRIBUTE_PREFIX}{name}" for name in attributes))

    @property
    @abstractmethod
    def attribute_names(self) -> AbstractSet[str]:
        """The attributes that any product states."""

    def prepare(self) -> None:
        """Make the columns of all fields now, so that no request waits for one."""
        for name in unhurried(self.names):
            self[name]

    def __getitem__(self, name: str) -> Column:
        """Return the column of the field `name`.

        Raises:
            UnknownFieldError: there is none.
        """
        with self._lock:
            if name not in self._columns:
                self._columns[name] = self._make(name)
            return self._columns[name]

    def keywords(self, names: Iterable[str]) -> dict[str, KeywordColumn]:
        """Return the columns of those `names` that are fields and hold keywords."""
        own = set(self.names)
        columns = {name: self[name] for name in names if name in own}
        return {name: column for name, column in columns.items() if isinstance(column, KeywordColumn)}

    @abstractmethod
    def _make(self, name: str) -> Column: ...


class Fields(Columns):
    """The columns of a table of products.

    Args:
        table: the products.
        like: columns of other products whose kinds attributes of the same name have here too; a value that does not
            suit its column is not stated in it.
    """

    def __init__(self, table: ProductTable, like: Columns | None = None) -> None:
        super().__init__()
        self._table = table
        self._like = like

    @property
    def n(self) -> int:
        """Products."""
        return len(self._table)

    @property
    def attribute_names(self) -> AbstractSet[str]:
        """The attributes that any product states."""
        return self._attributes.keys()

    def _make(self, name: str) -> Column:
        if name == "id":
            return IdColumn(self._table)
        if name in _KEYWORDS:
            words = self._table.column(name)
            rows = np.flatnonzero(words.is_valid().to_numpy(zero_copy_only=False))
            return KeywordColumn.of_words(self.n, rows, words.drop_null().cast(pa.large_string()))
        if name == "price":
            return NumberColumn(_floats(self._table.column(name).to_pylist()))
        if name == "in_stock":
            return _booleans(self._table.column(name).to_pylist())
        attribute = name if name in self._attributes else name.removeprefix(ATTRIBUTE_PREFIX)
        if attribute not in self._attributes:
            raise UnknownFieldError(name)
        stated = self._attributes[attribute]
        like = self._like[name] if self._like is not None and attribute in self._like.attribute_names else None
        kind = _kind(stated.values()) if like is None else kind_of(like)
        if kind is KeywordColumn and all(type(value) is str for value in stated.values()):
            rows = np.fromiter(stated, np.int64, len(stated))
            return KeywordColumn.of_words(self.n, rows, pa.array(stated.values(), pa.large_string()))
        return column_of(kind, [stated.get(row) for row in range(self.n)])

    @cached_property
    def _attributes(self) -> Mapping[str, Mapping[int, AttributeValue]]:
        """Attribute -> row -> value."""
        found: dict[str, dict[int, AttributeValue]] = {}
        for row, text in enumerate(unhurried(self._table.column("attributes").to_pylist())):
            if text != "{}":
                for name, value in orjson.loads(text).items():
                    found.setdefault(name, {})[row] = value
        return found


def _distinct(
    rows: NDArray[np.int64], codes: NDArray[np.integer], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct pairs of row and code, in the order of rows; codes are below `width`."""
    found, kept = np.divmod(np.unique(rows * max(1, width) + codes), max(1, width))
    return found, kept


def as_keywords(column: CountedColumn) -> KeywordColumn:
    """Return a column as one of keywords: numbers and booleans as JSON writes them."""
    if isinstance(column, KeywordColumn):
        return column
    stated = column.stated.tolist()
    values = column.values.tolist() if isinstance(column, NumberColumn) else (column.values > 0).tolist()
    return KeywordColumn.of(_words(value) if known else () for value, known in zip(values, stated, strict=True))


def kind_of(column: Column) -> type[CountedColumn]:
    """Return what kind of column it is."""
    if isinstance(column, NumberColumn | BooleanColumn):
        return type(column)
    return KeywordColumn


def column_of(kind: type[CountedColumn], values: Sequence[AttributeValue | None]) -> CountedColumn:
    """Return the column of what each product states; a value that does not suit it is not stated."""
    if kind is BooleanColumn:
        return _booleans([value if isinstance(value, bool) else None for value in values])
    if kind is NumberColumn:
        return NumberColumn(_floats([value if _is_number(value) else None for value in values]))
    return KeywordColumn.of(_words(value) for value in values)


def _kind(stated: Iterable[AttributeValue]) -> type[CountedColumn]:
    kinds = {type(value) for value in stated}
    if kinds == {bool}:
        return BooleanColumn
    return NumberColumn if kinds <= {int, float} else KeywordColumn


def _is_number(value: AttributeValue | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(value: AttributeValue | None) -> Sequence[str]:
    """Return a value as keywords: numbers and booleans, among words, as JSON writes them."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bool | float | int):
        return (orjson.dumps(value).decode().removesuffix(".0"),)
    return tuple(value)


def _floats(values: Sequence[object]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _booleans(values: Sequence[object]) -> BooleanColumn:
    return BooleanColumn(np.array([_ABSENT if value is None else int(bool(value)) for value in values], np.int8))
