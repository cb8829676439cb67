"""Filters for Milvus: from the JSON of a request to an expression over the fields that it keeps of a product.

Only what means the same there is translated; a search under any other filter tells Milvus the rows. Every condition
first asks whether the product states the field, so `not` means what it means here: a product without a field meets it.
What the words of a filter mean, and what is wrong with one, is left to `service.filters`.
"""

import json
import math
import re
from typing import Final

from pydantic import JsonValue

from indexer.fields import ATTRIBUTE_PREFIX, BooleanColumn, Column, Columns, IdColumn, KeywordColumn, NumberColumn
from indexer.fields import UnknownFieldError as NoSuchFieldError
from indexer.milvus_fields import ATTRIBUTES, LONGEST_WORD, NUMBER, STATED, TRUTH, WORDS, stated_name
from indexer.searchable import Products
from service.query import Filter

MOST_VALUES: Final = 1_000
LONGEST: Final = 65_536  # characters
_ALL: Final = "row >= 0"
_NAME: Final = re.compile(r"[\w .-]{1,200}")
_COMPARISONS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class _NoWordsError(Exception):
    """Milvus cannot be told."""


def expression(stated: Filter, fields: Columns, products: Products) -> str | None:
    """Return what tells Milvus which of `products` a filter admits; None where it cannot be told.

    `fields` are those of the products that were copied there; the filter has been checked.
    """
    try:
        text = _Translation(fields, products).all_of(dict(stated))
    except (_NoWordsError, NoSuchFieldError, RecursionError):
        return None
    return text if len(text) <= LONGEST else None


class _Translation:
    def __init__(self, fields: Columns, products: Products) -> None:
        self._fields = fields
        self._products = products

    def all_of(self, stated: JsonValue) -> str:
        if not isinstance(stated, dict):
            raise _NoWordsError
        return _joined("and", [self._member(name, value) for name, value in stated.items()])

    def _member(self, name: str, value: JsonValue) -> str:
        if name == "not":
            return f"not ({self.all_of(value)})"
        if name in {"and", "or"}:
            if not isinstance(value, list):
                raise _NoWordsError
            return _joined(name, [self.all_of(part) for part in value])
        return self._condition(name, self._fields[name], value)

    def _condition(self, name: str, column: Column, value: JsonValue) -> str:
        if not isinstance(value, dict):
            return self._any_of(name, column, value if isinstance(value, list) else [value])
        return _joined("and", [self._operation(name, column, *member) for member in value.items()])

    def _operation(self, name: str, column: Column, operator: str, operand: JsonValue) -> str:
        if operator == "not":
            return f"not ({self._condition(name, column, operand)})"
        if operator == "exists":
            known = _ALL if isinstance(column, IdColumn) else _states(name)
            return known if operand else f"not ({known})"
        if operator in {"eq", "in"}:
            return self._any_of(name, column, operand if isinstance(operand, list) else [operand])
        if operator not in _COMPARISONS or not isinstance(column, NumberColumn):
            raise _NoWordsError
        return f"({_states(name)} and {_place(name)} {_COMPARISONS[operator]} {_number(operand)})"

    def _any_of(self, name: str, column: Column, values: list[JsonValue]) -> str:
        if not values or len(values) > MOST_VALUES:
            raise _NoWordsError
        if isinstance(column, IdColumn):
            rows = [row for value in values if (row := self._products.row_of(str(value))) is not None]
            return f"product in {json.dumps(rows)}" if rows else f"not ({_ALL})"
        if isinstance(column, KeywordColumn):
            words = f"[{', '.join(_word(value) for value in values)}]"
            if name in WORDS:
                return f"{name} in {words}"
            return f"({_states(name)} and json_contains_any({_place(name)}, {words}))"
        say = _truth if isinstance(column, BooleanColumn) else _number
        return f"({_states(name)} and {_joined('or', [f'{_place(name)} == {say(value)}' for value in values])})"


def _states(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise _NoWordsError
    return f'array_contains({STATED}, "{stated_name(name)}")'


def _place(name: str) -> str:
    return name if name in {NUMBER, TRUTH} else f'{ATTRIBUTES}["{name.removeprefix(ATTRIBUTE_PREFIX)}"]'


def _joined(word: str, parts: list[str]) -> str:
    if len(parts) > 1:
        return "(" + f" {word} ".join(parts) + ")"
    return parts[0] if parts else _ALL


def _word(value: JsonValue) -> str:
    """Return a keyword as a string of Milvus's language, which knows a backslash before itself and a quote only."""
    if not isinstance(value, str):
        raise _NoWordsError
    folded = value.casefold()
    if not folded or not folded.isprintable() or len(folded.encode("utf-8", "replace")) > LONGEST_WORD:
        raise _NoWordsError
    escaped = folded.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _truth(value: JsonValue) -> str:
    return "true" if value else "false"


def _number(value: JsonValue) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _NoWordsError
    return repr(float(value))
