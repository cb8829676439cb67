"""What stands beside a surface, and what that says about its reading.

Neighbours are seen in two ways: as kinds (a value of some group, a function word, a number, any word), whose
likelihoods are shared by all surfaces, and as the words themselves, counted for each open surface. As
kinds, the edge of a text says nothing, for a query begins and ends where it likes.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

from models.lexicon import NAME_GROUPS, PLAIN, Lexicon, Span
from models.pacing import unhurried
from models.surfaces import Gap, Token

TextSource = Literal["title", "description"]
Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = ("left", "right")

_SILENT = frozenset({"^", "$"})
_MOST_FOLLOWING = 5.5
_SEEN = 0.3  # occurrences presumed of a word behind a name
_SMOOTHING = 20.0  # occurrences presumed of each reading before any catalogue is read
_MOST = 1.0  # one kind of neighbour never says more: catalogues are not worded like queries
_SOURCE_WEIGHTS: Mapping[TextSource, float] = {"title": 1.0, "description": 0.3}

_FUNCTION_WORDS = (
    "a an the in of with by from for and or to on at as is are it its this that your our their my no not"
    " all any under over like into per than very so too more most brand label designer maker"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())

# What a shopper says of any product.
_SHOPPING_WORDS = "buy new latest best cheap online shop sale discount offer offers price original"
_SHOPPING = frozenset(_SHOPPING_WORDS.split())


class NeighbourKinds:
    """Names what stands beside a word: a linkable group, a function word, a number or any word."""

    def __init__(
        self, lexicon: Lexicon, tokens: Sequence[Token], spans: Sequence[Span], *, shopping: bool = False
    ) -> None:
        """See the class.

        Args:
            lexicon: of the spans.
            tokens: of the text.
            spans: found in them.
            shopping: the text is a query, in which "buy" and "online" say as little as its edge.
        """
        self._tokens = tokens
        self._shopping = shopping
        self._groups = {at: lexicon.readings(span.key)[0].group for span in spans for at in range(span.start, span.end)}

    def left(self, span: Span) -> str:
        """Return the kind of what stands before `span`; `^` for nothing."""
        gap = self._tokens[span.start].gap
        return "^" if gap is Gap.STOP or self._is_edge(span.start - 1) else self._kind(span.start - 1, gap)

    def right(self, span: Span) -> str:
        """Return the kind of what stands after `span`; `$` for nothing."""
        if span.end == len(self._tokens) or self._tokens[span.end].gap is Gap.STOP or self._is_edge(span.end):
            return "$"
        return self._kind(span.end, self._tokens[span.end].gap)

    def _is_edge(self, at: int) -> bool:
        return self._shopping and self._tokens[at].norm in _SHOPPING

    def _kind(self, at: int, gap: Gap) -> str:
        word = self._tokens[at].norm
        if at in self._groups:
            kind = f"@{self._groups[at]}"
        elif word in FUNCTION_WORDS:
            kind = word
        else:
            kind = "#" if word.isdigit() else "w"
        return f"-{kind}" if gap is Gap.HYPHEN else kind


def left_word(tokens: Sequence[Token], span: Span) -> str | None:
    """Return the word before `span`, with the hyphen between if there is one; None at a stop."""
    gap = tokens[span.start].gap
    return None if gap is Gap.STOP else _with_hyphen(tokens[span.start - 1].norm, gap)


def right_word(tokens: Sequence[Token], span: Span) -> str | None:
    """Return the word after `span`, with the hyphen between if there is one; None at a stop."""
    if span.end == len(tokens) or tokens[span.end].gap is Gap.STOP:
        return None
    return _with_hyphen(tokens[span.end].norm, tokens[span.end].gap)


def _with_hyphen(word: str, gap: Gap) -> str:
    return f"-{word}" if gap is Gap.HYPHEN else word


# How much likelier than usual a kind of neighbour is beside a proper name, another value and a plain word,
# before any catalogue is read; it matters where a catalogue's texts never show the reading.
_CUES: Mapping[tuple[Side, str], tuple[float, float, float]] = {
    ("left", "brand"): (4.0, 0.2, 0.5),
    ("left", "label"): (3.0, 0.3, 0.7),
    ("left", "designer"): (3.0, 0.5, 0.7),
    ("left", "by"): (3.0, 0.3, 0.7),
    ("left", "from"): (3.0, 0.4, 0.7),
    ("left", "in"): (0.3, 1.2, 1.2),
    ("left", "with"): (0.3, 1.0, 1.3),
    ("left", "of"): (0.5, 1.0, 1.3),
    ("left", "a"): (0.5, 1.0, 1.3),
    ("left", "an"): (0.5, 1.0, 1.3),
    ("left", "the"): (0.7, 0.7, 1.3),
    ("left", "as"): (0.5, 0.4, 1.5),
    ("left", "to"): (0.5, 0.4, 1.5),
    ("left", "w"): (0.6, 0.9, 1.3),
    ("left", "-w"): (0.3, 0.7, 1.5),
    ("right", "brand"): (4.0, 0.2, 0.5),
    ("right", "of"): (0.4, 0.8, 1.3),
    ("right", "w"): (0.6, 0.9, 1.3),
    ("right", "-w"): (0.1, 0.5, 1.5),
}


class _Beside(Protocol):
    """What is needed of `models.entity_statistics.Evidence`."""

    @property
    def right(self) -> Mapping[str, Mapping[str, int]]:
        """The word after -> group or `plain` -> occurrences."""
        ...


class FollowingWords:
    """Words that the catalogue uses often, but never behind a name of some group: "side" in "lee side"."""

    def __init__(self, evidence: Iterable[_Beside], words: Mapping[str, int]) -> None:
        self._words = words
        self._total = max(1, sum(words.values()))
        self._after: dict[str, Counter[str]] = {}
        for one in unhurried(evidence):
            for word, counts in one.right.items():
                for group, count in counts.items():
                    self._after.setdefault(group, Counter())[word] += count
        self._totals = {group: counts.total() for group, counts in self._after.items()}

    def log_likelihood(self, group: str, span: Span, tokens: Sequence[Token], kind: str) -> float:
        """Return log P(word after | a name of `group`) / P(word), at most 0; of ordinary words only."""
        word = right_word(tokens, span)
        if kind != "w" or word is None or group not in self._totals:
            return 0.0
        usual = self._words.get(word, 0) / self._total * self._totals[group]
        seen = self._after[group][word]
        return min(0.0, max(-_MOST_FOLLOWING, math.log((seen + _SEEN) / (usual + _SEEN))))


class NeighbourCues:
    """Likelihoods of kinds of neighbours given what a word means, learnt from a catalogue's own uses.

    Titles and descriptions are compared with themselves only: that function words abound in prose, where a
    brand is seldom named, must not make a brand after "from" unlikely.
    """

    def __init__(self, contexts: Mapping[TextSource, Mapping[Side, Mapping[str, Mapping[str, int]]]]) -> None:
        self._counts: dict[tuple[TextSource, Side, str], Counter[str]] = {}
        self._usual: dict[tuple[TextSource, Side], Counter[str]] = {}
        for source, sides in contexts.items():
            for side, readings in sides.items():
                usual = self._usual[source, side] = Counter()
                for reading, kinds in readings.items():
                    spoken = Counter({kind: n for kind, n in kinds.items() if kind not in _SILENT})
                    self._counts[source, side, reading] = spoken
                    usual.update(spoken)
        self._known: dict[tuple[Side, str, str], float] = {}

    def log_likelihood(self, side: Side, kind: str, reading: str) -> float:
        """Return log P(kind | reading) / P(kind); 0 where the kind says nothing.

        Args:
            side: where the neighbour stands.
            kind: of the neighbour, as `NeighbourKinds` names it.
            reading: a group, or `plain`.
        """
        if kind in _SILENT:
            return 0.0
        known = self._known.get((side, kind, reading))
        if known is None:
            known = self._known[side, kind, reading] = self._estimate(side, kind, reading)
        return known

    def _estimate(self, side: Side, kind: str, reading: str) -> float:
        role = 2 if reading == PLAIN else 0 if reading.casefold() in NAME_GROUPS else 1
        log = math.log(_CUES.get((side, kind), (1.0, 1.0, 1.0))[role])
        for source, weight in _SOURCE_WEIGHTS.items():
            usual = self._usual.get((source, side), Counter())
            if not usual[kind]:
                continue
            share = usual[kind] / usual.total()
            counts = self._counts.get((source, side, reading), Counter())
            seen = (counts[kind] + _SMOOTHING * share) / (counts.total() + _SMOOTHING)
            log += weight * math.log(seen / share)
        return min(max(log, -_MOST), _MOST)
