"""A first look at a feed: what it was written as, which column is what, how its products come out, what is wrong.

Looks at the first records alone, twice: for the columns, then as the catalogue reads them. Guessing is left to
`indexer.feed_guess`, showing to `indexer.feed_show`.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from indexer.catalogue import CatalogueError, CatalogueRow, RejectedRow, find_feed, read_feed
from indexer.catalogue_formats import FeedFormat, RawFeed, RawRow
from indexer.catalogue_open import open_feed
from indexer.catalogue_values import is_merchant, merchant_row
from indexer.feed_guess import ColumnSample, Guess, guess, is_html
from indexer.feed_mapping import FeedMapping
from models.product import DEFAULT_ENTITY_GROUPS, Product

FIELDS = tuple(name for name in Product.model_fields if name != "attributes")
_SAMPLED = 1_000  # values of a column that are kept
_MOST_VALUES = 1_000  # different values of an entity group that are counted
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason for which records were refused, how many, and the first of them in words."""

    field: str
    reason: str
    records: int
    example: str


@dataclass(slots=True)
class Inspection:
    """What a look at a feed found.

    Attributes:
        mapping: the one that was stated, and what was guessed.
        guesses: where each field comes from.
        records: that were looked at; `more`: whether the feed goes on.
        coverage: share of the products that have a field, 0..1.
        attributes: the same of what else products have, the commonest first.
        groups: how often products have each value of an entity group.
        left_out: records that are no products to be found, by reason.
        notes: what else there is to know, a sentence each.
        preview: the first products.
    """

    format: FeedFormat
    mapping: FeedMapping
    guesses: list[Guess]
    columns: dict[str, float]
    records: int = 0
    more: bool = False
    products: int = 0
    problems: list[Problem] = field(default_factory=list)
    coverage: dict[str, float] = field(default_factory=dict)
    attributes: dict[str, float] = field(default_factory=dict)
    groups: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    preview: list[Product] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Return all of it as JSON has it."""
        return {
            "format": self.format.value,
            "mapping": self.mapping.model_dump(by_alias=True),
            "fields": [{"field": g.field, "column": g.column, "why": g.why} for g in self.guesses],
            "columns": self.columns,
            "records": self.records,
            "more": self.more,
            "products": self.products,
            "problems": [
                {"field": p.field, "reason": p.reason, "records": p.records, "example": p.example}
                for p in self.problems
            ],
            "coverage": self.coverage,
            "attributes": self.attributes,
            "groups": {group: dict(counts.most_common()) for group, counts in self.groups.items()},
            "left_out": dict(self.left_out),
            "notes": self.notes,
            "preview": [product.model_dump(mode="json", exclude_none=True) for product in self.preview],
        }


def inspect(feed: Path, stated: FeedMapping, *, rows: int = 1_000, shown: int = 5) -> Inspection:
    """Look at the first `rows` records of `feed`; fields that `stated` does not map are guessed.

    Raises:
        CatalogueError: it is no feed.
    """
    place = find_feed(feed)
    first = open_feed(place, variants=stated.variants)
    sample = _Sample(first, stated)
    with_problem = _until_broken(sample.read(itertools.islice(first.rows, rows)))
    mapping, guesses = sample.mapped()
    found = Inspection(first.format, mapping, guesses, sample.columns())
    found.notes += [with_problem] if with_problem else []
    second = open_feed(place, variants=mapping.variants)
    try:
        reader = read_feed(place, second, mapping.options())
    except CatalogueError as error:
        found.notes.append(str(error))
        return found
    tally = _Tally(found, shown)
    broken = _until_broken(tally.read(itertools.islice(reader, rows)))
    tally.close()
    found.left_out = second.left_out
    found.more = not broken and next(reader, None) is not None
    _remark(found, sample)
    return found


def _until_broken(steps: Iterator[None]) -> str | None:
    """Take all steps; return why a feed broke off, None if it did not."""
    try:
        for _ in steps:
            pass
    except CatalogueError as error:
        return str(error)
    return None


class _Sample:
    """The values of each column in the first records, and what the format itself makes of them."""

    def __init__(self, feed: RawFeed, stated: FeedMapping) -> None:
        self._feed = feed
        self._named = feed.named
        self._stated = stated
        self._rows = 0
        self._filled: Counter[str] = Counter()  # our names
        self.samples: dict[str, ColumnSample] = {name: ColumnSample() for name in feed.columns or ()}

    def read(self, rows: Iterator[RawRow | RejectedRow]) -> Iterator[None]:
        """Note the rows as they are read."""
        ignored = set(self._stated.ignore)
        for row in rows:
            if isinstance(row, RawRow):
                self._rows += 1
                for name, value in row.values.items():
                    if name and name not in ignored:
                        self.samples.setdefault(name, ColumnSample()).add(value, _SAMPLED)
                self._count(row.values)
            yield

    def _count(self, values: Mapping[str, object]) -> None:
        if self._rows == 1 and self._named is None and self._feed.columns is None and is_merchant(values):
            self._named = merchant_row  # as the catalogue takes such a row
        ours = self._named(values) if self._named is not None else values
        self._filled.update(name for name, value in ours.items() if value not in (None, "", [], ()))

    def columns(self) -> dict[str, float]:
        """Return the share of the rows that have a value in each column."""
        return {name: round(sample.filled / max(self._rows, 1), 4) for name, sample in self.samples.items()}

    def mapped(self) -> tuple[FeedMapping, list[Guess]]:
        """Return the mapping with what is guessed, and where each field comes from."""
        mapped = [Guess(name, column, "mapped") for name, column in self._stated.fields_.items()]
        known = {guess.field for guess in mapped}
        told = self._told() - known
        by_format = [Guess(name, self._source(name), "format") for name in FIELDS if name in told]
        taken = set(self._stated.fields_.values())
        free = {n: s for n, s in self.samples.items() if n not in taken and self._is_free(n, told)}
        wanted = set(FIELDS) - known - told - set(self._stated.defaults)
        guessed = guess(free, self._rows, wanted, by_values=self._named is None)
        fields = {g.field: g.column for g in guessed if g.why != "own name"}
        mapping = self._stated.with_flags({**fields, **self._stated.fields_}, (), variants=False)
        html = [*mapping.html, *(["description"] if self._is_html([*mapped, *guessed]) else [])]
        return mapping.model_copy(update={"html": list(dict.fromkeys(html))}), [*mapped, *by_format, *guessed]

    def _told(self) -> set[str]:
        """Return the fields that the format itself tells."""
        return {name for name in FIELDS if self._filled[name]} if self._named is not None else set()

    def _source(self, name: str) -> str:
        """Return the column that the format reads a field from; the format where it makes it of several."""
        for column in self._feed.columns or self.samples:
            values = self.samples[column].values
            if values and self._named is not None and self._named({column: values[0]}).get(name):
                return column
        return self._feed.format.value

    def _is_free(self, column: str, told: set[str]) -> bool:
        """Return whether a column is not what a field is already read from."""
        if self._named is None:
            return True
        return column not in told and column in self._filled

    def _is_html(self, guesses: list[Guess]) -> bool:
        column = next((g.column for g in guesses if g.field == "description"), None)
        sample = self.samples.get(column) if column is not None else None
        return "description" not in self._feed.html and sample is not None and is_html(sample)


class _Tally:
    """Counts what comes out of a feed."""

    def __init__(self, found: Inspection, shown: int) -> None:
        self._found = found
        self._shown = shown
        self._fields: Counter[str] = Counter()
        self._attributes: Counter[str] = Counter()
        self._refused: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}

    def read(self, rows: Iterator[CatalogueRow | RejectedRow]) -> Iterator[None]:
        """Count products and refused records as they come."""
        for row in rows:
            self._found.records += 1
            if isinstance(row, RejectedRow):
                self._refuse(row)
            else:
                self._add(row)
            yield

    def _refuse(self, row: RejectedRow) -> None:
        reason = (row.field, _kind_of(row.reason))
        self._refused[reason] += 1
        self._examples.setdefault(reason, str(row))

    def _add(self, row: CatalogueRow) -> None:
        found, product = self._found, row.product
        found.products += 1
        if len(found.preview) < self._shown:
            found.preview.append(product)
        self._fields.update(name for name in FIELDS if getattr(product, name) not in (None, "", ()))
        self._attributes.update(product.attributes.keys())
        for group, value in product.entities().items():
            counts = found.groups.setdefault(group, Counter())
            if value in counts or len(counts) < _MOST_VALUES:
                counts[value] += 1

    def close(self) -> None:
        """Turn counts into shares."""
        n = max(self._found.products, 1)
        self._found.coverage = {name: round(self._fields[name] / n, 4) for name in FIELDS}
        self._found.attributes = {name: round(count / n, 4) for name, count in self._attributes.most_common()}
        self._found.problems = [
            Problem(name, reason, count, self._examples[name, reason])
            for (name, reason), count in self._refused.most_common()
        ]


def _kind_of(reason: str) -> str:
    """Return a reason without the value that it is about, so that like ones are counted together."""
    general = _QUOTED.sub("…", reason)
    head, colon, _ = general.partition(": ")
    return head if colon else general


def _remark(found: Inspection, sample: _Sample) -> None:
    """Add what an owner of the feed should know before building."""
    absent = [f"{c!r} ({f})" for f, c in found.mapping.fields_.items() if c not in sample.samples]
    if absent:
        found.notes.append(f"mapped, but in none of these records: {', '.join(absent)}")
    covered = found.coverage
    if covered.get("price") and not covered.get("currency"):
        found.notes.append('prices have no currency: state it in the mapping file, under [defaults]: currency = "EUR"')
    if found.products and not covered.get("images"):
        found.notes.append("no product has a picture: they will be found by their texts alone")
    missing = [group for group in DEFAULT_ENTITY_GROUPS if not covered.get(group)]
    if found.products and missing:
        found.notes.append(f"no product states: {', '.join(missing)}")
