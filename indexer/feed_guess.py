"""Which column of a feed is which product field, guessed from the names of the columns and a sample of their values.

A name proposes, the values decide: a `price` column that holds no prices is none. Where no name helps, ids, titles,
pictures and descriptions can be told by their values alone.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from indexer.catalogue_values import parse_pictures, parse_price, parse_stock
from indexer.feed_words import SYNONYMS, name_score

Why = Literal["mapped", "format", "own name", "name", "values"]

_MAX_TEXT = 2_000  # characters of a value that are looked at
_FIT = 0.9  # share of the values that must be what a field holds
_URL = re.compile(r"https?://\S+$", re.IGNORECASE)
_PICTURE = re.compile(r"\.(jpe?g|png|webp|gif|avif|bmp|tiff?)(\?\S*)?$|^data:image/", re.IGNORECASE)
_TAG = re.compile(
    r"</?(p|br|div|span|ul|ol|li|b|i|strong|em|a|h[1-6]|table|tr|td)\b[^<>]*>|&(#\d+|[a-z]+\d*);", re.IGNORECASE
)
_CURRENCY = re.compile(r"[A-Za-z]{3}")


@dataclass(slots=True)
class ColumnSample:
    """Values of one column: `filled` rows have one; `values` are the first of them, long texts cut."""

    filled: int = 0
    values: list[object] = field(default_factory=list)

    def add(self, value: object, keep: int) -> None:
        """Note the value of one more row, keeping at most `keep`."""
        if value in (None, "", [], ()):
            return
        self.filled += 1
        if len(self.values) < keep:
            self.values.append(value[:_MAX_TEXT] if isinstance(value, str | bytes) else _without_bytes(value))


@dataclass(frozen=True, slots=True)
class Guess:
    """A product field, the column it is read from, and how that was told."""

    field: str
    column: str
    why: Why


def guess(samples: Mapping[str, ColumnSample], rows: int, wanted: Iterable[str], *, by_values: bool) -> list[Guess]:
    """Return the columns that hold the `wanted` fields, each column once; `rows` were sampled.

    `by_values`: fields that no name tells may be told by values alone.
    """
    left = dict(samples)
    open_fields = [name for name in SYNONYMS if name in set(wanted)]
    found: list[Guess] = []
    named = sorted(
        (score, name, column)
        for name in open_fields
        for column, sample in left.items()
        if (score := name_score(name, column)) is not None and (score == 0 or _fits(name, sample, rows))
    )
    for score, name, column in named:
        if column in left and all(guess.field != name for guess in found):
            del left[column]
            found.append(Guess(name, column, "own name" if score == 0 else "name"))
    if by_values:
        for name, likely in _BY_VALUES.items():
            if name in open_fields and all(guess.field != name for guess in found):
                fitting = [c for c, s in left.items() if _fits(name, s, rows) and likely(s)]
                if fitting:
                    del left[fitting[0]]
                    found.append(Guess(name, fitting[0], "values"))
    return sorted(found, key=lambda guess: list(SYNONYMS).index(guess.field))


def is_html(sample: ColumnSample) -> bool:
    """Return whether texts of a column have tags or entities: one in twenty is enough."""
    texts = [value for value in sample.values if isinstance(value, str)]
    return bool(texts) and sum(_TAG.search(text) is not None for text in texts) >= max(1, len(texts) / 20)


def _fits(name: str, sample: ColumnSample, rows: int) -> bool:
    if not sample.filled:
        return False
    if name == "id" and (sample.filled < _FIT * rows or len(set(map(str, sample.values))) < len(sample.values)):
        return False
    return sum(map(_TESTS[name], sample.values)) >= _FIT * len(sample.values)


def _parses(parse: Callable[[object], object]) -> Callable[[object], bool]:
    def test(value: object) -> bool:
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return test


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and 0 < len(str(value)) <= 256


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not _URL.match(value) and len(value) <= 1_000


def _is_long_text(value: object) -> bool:
    return isinstance(value, str) and not _URL.match(value)


def _is_word(value: object) -> bool:
    """Return whether a value may be one of few, such as a brand or a season."""
    if isinstance(value, list | tuple):
        return len(value) == 1 and _is_word(value[0])
    return (
        isinstance(value, str | int) and not isinstance(value, bool) and _is_text(str(value)) and len(str(value)) <= 200
    )


def _is_page(value: object) -> bool:
    return isinstance(value, str) and _URL.match(value) is not None and not _PICTURE.search(value)


def _is_picture(value: object) -> bool:
    """Return whether a value is one or several pictures: bytes, or references of which the first looks like one."""
    if isinstance(value, bytes):
        return True
    if isinstance(value, dict):
        return {"bytes", "path"} >= value.keys()
    if isinstance(value, list | tuple) and value and not isinstance(value[0], str):
        return _is_picture(value[0])
    try:
        references = parse_pictures(value)
    except ValueError:
        return False
    return bool(references) and bool(_PICTURE.search(references[0]) or _URL.match(references[0]))


def _is_currency(value: object) -> bool:
    return isinstance(value, str) and _CURRENCY.fullmatch(value.strip()) is not None


_TESTS: dict[str, Callable[[object], bool]] = {
    "id": _is_id,
    "title": _is_text,
    "description": _is_long_text,
    "price": _parses(parse_price),
    "currency": _is_currency,
    "in_stock": _parses(parse_stock),
    "url": _is_page,
    "images": _is_picture,
    **dict.fromkeys(("brand", "category", "season", "composition", "group"), _is_word),
}


def _length(sample: ColumnSample) -> float:
    return sum(len(str(value)) for value in sample.values) / len(sample.values)


def _differ(sample: ColumnSample) -> bool:
    return len({str(value) for value in sample.values}) > 0.7 * len(sample.values)


# What tells a field by its values alone, once they are what it may hold.
_BY_VALUES: dict[str, Callable[[ColumnSample], bool]] = {
    "images": lambda s: not isinstance(s.values[0], str) or bool(_PICTURE.search(parse_pictures(s.values[0])[0])),
    "url": _differ,
    "id": lambda s: _length(s) <= 40 and not any(" " in str(value) for value in s.values),
    "title": lambda s: 8 <= _length(s) <= 150 and _differ(s) and any(" " in str(value) for value in s.values),
    "description": lambda s: _length(s) > 40 and _differ(s),
}


def _without_bytes(value: object) -> object:
    """Return a value without the pictures in it, which a sample need not hold."""
    if isinstance(value, dict):
        return {name: part[:16] if isinstance(part, bytes) else part for name, part in value.items()}
    return [_without_bytes(part) for part in value[:8]] if isinstance(value, list) else value
