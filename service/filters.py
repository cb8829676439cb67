"""Filters: from the JSON of a request to the rows it admits, checked against the catalogue's own fields.

    {"brand": ["Nike", "Puma"], "price": {"gte": 10, "lt": 50}, "in_stock": true, "not": {"season": "Winter"}}

All members of an object must hold; a list of values is any of them. `and` and `or` take lists of such objects,
`not` takes one. A condition is a value, a list of values, or an object of operators: `eq`, `in`, `gt`, `gte`, `lt`,
`lte`, `exists`, `not`. A product that does not state a field meets no condition on it but `exists: false`, and so
meets every `not`. Which rows are then searched, and how, is left to `indexer.ranking`.
"""

import functools
import json
import math
import operator
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Final

import numpy as np
from pydantic import JsonValue

from indexer.fields import ATTRIBUTE_PREFIX, BooleanColumn, Column, Columns, Mask, NumberColumn
from indexer.fields import UnknownFieldError as NoSuchFieldError
from service.errors import InvalidRequestError
from service.query import Filter

MOST_CONDITIONS: Final = 256
MOST_VALUES: Final = 10_000
DEEPEST: Final = 16
_KEPT_BYTES: Final = 64 << 20
_LONGEST_KEPT: Final = 16_384  # characters of a filter whose mask is kept: the text is kept, too
_MOST_KEPT: Final = 4_096
_LONGEST_NAME: Final = 200
_COMPARISONS: Final[Mapping[str, Callable[..., Mask]]] = {
    "gt": np.greater,
    "gte": np.greater_equal,
    "lt": np.less,
    "lte": np.less_equal,
}
_OPERATORS: Final = ("eq", "in", *_COMPARISONS, "exists", "not")


class Filters:
    """The filters of one bundle. Distinct ones are worked out once and kept, the latest used, within 64 MiB."""

    def __init__(self, fields: Columns) -> None:
        self._fields = fields
        kept = min(_MOST_KEPT, max(16, _KEPT_BYTES // max(1, fields.n)))
        self._kept = functools.lru_cache(maxsize=kept)(lambda text: _Compiler(fields).whole(json.loads(text)))

    def mask(self, stated: Filter) -> Mask:
        """Return which products `stated` admits, `(n,) bool`; not to be written to.

        Raises:
            InvalidRequestError: a field nobody states, a value of the wrong type, or too much; it names the path.
        """
        try:
            text = json.dumps(stated, sort_keys=True)
            return self._kept(text) if len(text) <= _LONGEST_KEPT else _Compiler(self._fields).whole(json.loads(text))
        except RecursionError:
            raise _fault("filter", f"nests deeper than {DEEPEST}") from None


class _Compiler:
    """One walk through a filter; every part is checked, whatever the others hold."""

    def __init__(self, fields: Columns) -> None:
        self._fields = fields
        self._conditions = 0
        self._values = 0

    def whole(self, stated: Filter) -> Mask:
        mask = self._all_of(dict(stated), "filter", 0)
        mask.flags.writeable = False
        return mask

    def _all_of(self, stated: JsonValue, path: str, depth: int) -> Mask:
        if not isinstance(stated, dict):
            raise _fault(path, "must be an object of conditions")
        self._count(path, depth)
        mask = np.ones(self._fields.n, np.bool_)
        for name, value in stated.items():
            mask &= self._member(name, value, f"{path}.{name}", depth)
        return mask

    def _count(self, path: str, depth: int) -> None:
        """Refuse what would take long: every object and every operator costs a pass over all products."""
        if depth > DEEPEST:
            raise _fault(path, f"nests deeper than {DEEPEST}")
        self._conditions += 1
        if self._conditions > MOST_CONDITIONS:
            raise _fault("filter", f"holds more than {MOST_CONDITIONS} conditions")

    def _member(self, name: str, value: JsonValue, path: str, depth: int) -> Mask:
        if name == "not":
            return ~self._all_of(value, path, depth + 1)
        if name in {"and", "or"}:
            if not isinstance(value, list) or not value:
                raise _fault(path, "must be a list of objects of conditions")
            both = operator.iand if name == "and" else operator.ior
            parts = (self._all_of(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(value))
            return functools.reduce(both, parts)  # in place: one mask more than the result at a time
        return self._condition(column(self._fields, name, path), value, path, depth)

    def _condition(self, column: Column, value: JsonValue, path: str, depth: int) -> Mask:
        if not isinstance(value, dict):
            return self._any_of(column, value if isinstance(value, list) else [value], path)
        if not value:
            raise _fault(path, f"must hold an operator: {', '.join(_OPERATORS)}")
        mask = np.ones(self._fields.n, np.bool_)
        for name, operand in value.items():
            mask &= self._operation(column, name, operand, f"{path}.{name}", depth)
        return mask

    def _operation(self, column: Column, name: str, operand: JsonValue, path: str, depth: int) -> Mask:
        self._count(path, depth)
        if name == "not":
            return ~self._condition(column, operand, path, depth + 1)
        if name == "exists":
            if not isinstance(operand, bool):
                raise _fault(path, "must be true or false")
            return column.stated if operand else ~column.stated
        if name == "eq":
            return self._any_of(column, [operand], path)
        if name == "in":
            if not isinstance(operand, list):
                raise _fault(path, "must be a list of values")
            return self._any_of(column, operand, path)
        if name in _COMPARISONS:
            if not isinstance(column, NumberColumn):
                raise _fault(path, "compares numbers, and this field holds none")
            return _COMPARISONS[name](column.values, _number(operand, path))  # NaN compares as false
        raise _fault(path, f"is no operator: these are {', '.join(_OPERATORS)}")

    def _any_of(self, column: Column, values: list[JsonValue], path: str) -> Mask:
        """Return which products state any of `values`; none do if there are none."""
        self._values += len(values)
        if self._values > MOST_VALUES:
            raise _fault(path, f"is one too many: a filter lists {MOST_VALUES} values at most")
        if isinstance(column, NumberColumn):
            numbers = [_number(value, path) for value in values]
            return np.isin(column.values, np.array(numbers, np.float64))
        if isinstance(column, BooleanColumn):
            if not all(isinstance(value, bool) for value in values):
                raise _fault(path, "must be true or false")
            wanted = [column.having(value=value) for value in (True, False) if value in values]
            return functools.reduce(operator.ior, wanted, np.zeros(len(column.values), np.bool_))
        return column.having(_keywords(values, path))


def column(fields: Columns, name: str, path: str) -> Column:
    """Return the column of the field `name`.

    Raises:
        InvalidRequestError: no product states such a field.
    """
    try:
        return fields[name]
    except NoSuchFieldError:
        if len(name) > _LONGEST_NAME:
            raise _fault(path, "no product has a field of so long a name") from None
        near = get_close_matches(name, (n.removeprefix(ATTRIBUTE_PREFIX) for n in fields.names), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise _fault(path, f"no product has a field {name!r}{hint}") from None


def _keywords(values: list[JsonValue], path: str) -> list[str]:
    if not all(isinstance(value, str) for value in values):
        raise _fault(path, 'must be text; use {"exists": false} for products without one')
    return [str(value) for value in values]


def _number(value: JsonValue, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _fault(path, 'must be a number; use {"exists": false} for products without one')
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _fault(path, "must be a finite number")
    return number


def _fault(path: str, message: str) -> InvalidRequestError:
    return InvalidRequestError(f"{path} {message}.", path=path)
