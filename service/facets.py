"""Facets: how often the products found state each value of a field, or what numbers they state."""

from dataclasses import dataclass

import numpy as np

from indexer.fields import BooleanColumn, CountedColumn, KeywordColumn, Mask, NumberColumn


@dataclass(frozen=True, slots=True)
class NumberStatistics:
    """Of the products that state a number."""

    count: int
    min: float
    max: float
    mean: float


@dataclass(frozen=True, slots=True)
class Facet:
    """One field among the products found.

    Attributes:
        field: Its name.
        values: Value and how many of the products state it, most first, then by value; none of a number's.
        distinct: How many values there are, of which `values` may be a part.
        statistics: Of a number, unless no product states it.
        exact: Whether every product that the filter admits was counted; otherwise these are the nearest ones, and
            the counts estimates.
    """

    field: str
    values: tuple[tuple[str | bool, int], ...]
    distinct: int
    statistics: NumberStatistics | None
    exact: bool


def count(field: str, column: CountedColumn, among: Mask, limit: int, *, exact: bool) -> Facet:
    """Return the facet of `field` over the products of `among`, `(n,) bool`, with `limit` values at most."""
    if isinstance(column, NumberColumn):
        return Facet(field, (), 0, _statistics(column, among), exact)
    counts = _keywords(column, among) if isinstance(column, KeywordColumn) else _booleans(column, among)
    stated = [(value, n) for value, n in counts if n]
    stated.sort(key=lambda pair: (-pair[1], pair[0]))
    return Facet(field, tuple(stated[:limit]), len(stated), None, exact)


def _keywords(column: KeywordColumn, among: Mask) -> list[tuple[str | bool, int]]:
    return list(zip(column.values, column.counts(among).tolist(), strict=True))


def _booleans(column: BooleanColumn, among: Mask) -> list[tuple[str | bool, int]]:
    return [(value, int(column.having(value=value)[among].sum())) for value in (True, False)]


def _statistics(column: NumberColumn, among: Mask) -> NumberStatistics | None:
    numbers = column.values[among & column.stated]
    if not len(numbers):
        return None
    return NumberStatistics(len(numbers), float(numbers.min()), float(numbers.max()), float(np.mean(numbers)))
