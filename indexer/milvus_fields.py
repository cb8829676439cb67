"""What Milvus keeps of a product to filter by, and how it is called there.

The product's own words are strings, folded, empty where it states none; price and stock are a number and a truth value;
attributes are one JSON object: a number, true or false, or a list of folded words. What a product states is listed
beside them, so that no expression needs to know what is null.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from indexer.fields import ATTRIBUTE_PREFIX, BooleanColumn, Columns, CountedColumn, IdColumn, KeywordColumn

WORDS: Final = ("brand", "category", "season", "composition", "currency", "group")
NUMBER: Final = "price"
TRUTH: Final = "in_stock"
ATTRIBUTES: Final = "attributes"
STATED: Final = "stated"
LONGEST_WORD: Final = 1_000  # bytes; a longer one is kept as if it were empty

Fields = dict[str, object]


def product_fields(columns: Columns, start: int, stop: int) -> list[Fields]:
    """Return the fields of the products of rows `start` to `stop`."""
    fields = [empty_fields() for _ in range(start, stop)]
    for name in columns.names:
        column = columns[name]
        if isinstance(column, IdColumn):
            continue
        attribute = None if name in {*WORDS, NUMBER, TRUTH} else name.removeprefix(ATTRIBUTE_PREFIX)
        for row, value in _values(column, start, stop):
            _state(fields[row - start], name, attribute, value)
    return fields


def stated_name(name: str) -> str:
    """Return how the list of stated fields calls the field `name` of a catalogue."""
    return name if name in {*WORDS, NUMBER, TRUTH} else ATTRIBUTE_PREFIX + name.removeprefix(ATTRIBUTE_PREFIX)


def empty_fields() -> Fields:
    """Return the fields of a product that states none."""
    attributes: dict[str, object] = {}
    stated: list[str] = []
    return {**dict.fromkeys(WORDS, ""), NUMBER: 0.0, TRUTH: False, ATTRIBUTES: attributes, STATED: stated}


def _state(fields: Fields, name: str, attribute: str | None, value: object) -> None:
    stated, attributes = fields[STATED], fields[ATTRIBUTES]
    if isinstance(stated, list):
        stated.append(stated_name(name))
    if attribute is None:
        fields[name] = value[0] if isinstance(value, list) else value
    elif isinstance(attributes, dict):
        attributes[attribute] = value


def _values(column: CountedColumn, start: int, stop: int) -> Iterator[tuple[int, object]]:
    """Return row and value of each product, of rows `start` to `stop`, that states one; words as a list."""
    if isinstance(column, KeywordColumn):
        yield from _words(column, start, stop).items()
        return
    truths = isinstance(column, BooleanColumn)
    values = column.values[start:stop]
    for place in np.flatnonzero(column.stated[start:stop]).tolist():
        yield start + place, bool(values[place]) if truths else float(values[place])


def _words(column: KeywordColumn, start: int, stop: int) -> Mapping[int, list[str]]:
    first, last = np.searchsorted(column.rows, [start, stop])
    words: dict[int, list[str]] = {}
    for row, code in zip(column.rows[first:last].tolist(), column.codes[first:last].tolist(), strict=True):
        folded = column.values[code].casefold()
        words.setdefault(row, []).append(folded if len(folded.encode()) <= LONGEST_WORD else "")
    return words
