"""Scores an entity linker on queries whose entities are known."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from models.linking import EntityLinker

ALL_KINDS = "all"


@dataclass(frozen=True, slots=True)
class KnownQuery:
    """A query and the entities it names.

    Attributes:
        kind: groups queries in the scores.
        text: the words typed.
        entities: `(group, value)` pairs the text names; empty where it names none.
        groups: the groups whose links are judged; None for all.
        about: the name or word the query was made to try; empty for none.
    """

    kind: str
    text: str
    entities: frozenset[tuple[str, str]]
    groups: frozenset[str] | None = None
    about: str = ""

    def judges(self, group: str) -> bool:
        """Tell whether links to values of `group` are judged."""
        return self.groups is None or group in self.groups


@dataclass(frozen=True, slots=True)
class LinkingScore:
    """Counts over `(group, value)` pairs of the queries of one kind, micro-averaged.

    Attributes:
        queries: how many.
        hits: linked pairs that are named.
        false: linked pairs that are not.
        missed: named pairs that were not linked.
        untouched: queries in which nothing was linked that is not named: plain words were left alone.
    """

    queries: int = 0
    hits: int = 0
    false: int = 0
    missed: int = 0
    untouched: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.queries + other.queries,
            self.hits + other.hits,
            self.false + other.false,
            self.missed + other.missed,
            self.untouched + other.untouched,
        )

    @property
    def precision(self) -> float:
        """Share of the linked pairs that are named; 1 when nothing was linked."""
        return _share(self.hits, self.hits + self.false)

    @property
    def recall(self) -> float:
        """Share of the named pairs that were linked; 1 when nothing is named."""
        return _share(self.hits, self.hits + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _share(2 * self.hits, 2 * self.hits + self.false + self.missed)

    @property
    def left_alone(self) -> float:
        """Share of the queries in which nothing was linked that is not named: the accuracy of NIL."""
        return _share(self.untouched, self.queries)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def score_of(query: KnownQuery, linked: Iterable[tuple[str, str]]) -> LinkingScore:
    """Return the counts of one query whose text was linked to the `(group, value)` pairs `linked`."""
    found = {pair for pair in linked if query.judges(pair[0])}
    named = {pair for pair in query.entities if query.judges(pair[0])}
    return LinkingScore(
        queries=1,
        hits=len(found & named),
        false=len(found - named),
        missed=len(named - found),
        untouched=int(found <= named),
    )


def linking_scores(linker: EntityLinker, queries: Iterable[KnownQuery]) -> Mapping[str, LinkingScore]:
    """Return the score of each kind of query, and of `all` together."""
    scores: defaultdict[str, LinkingScore] = defaultdict(LinkingScore)
    for query in queries:
        linked = ((link.group, link.value) for link in linker.link(query.text))
        score = score_of(query, linked)
        scores[query.kind] += score
        scores[ALL_KINDS] += score
    return dict(scores)
