"""The dictionary of entity surfaces: which words of a text may name which values.

Built from the values a catalogue states, for its entity groups and for the attributes that give the same
words another reading (the colour ruby beside a brand Ruby). Matching is leftmost-longest on word boundaries.
Which reading holds in a text is left to `models.linking`; how words are compared to `models.surfaces`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from models.pacing import unhurried
from models.surfaces import Gap, Token, key_of, spellings, value_words

NAME_GROUPS = frozenset({"brand", "designer", "label", "maker", "manufacturer"})
"""Groups whose values are proper names: no plurals, and known by one of their words ("Benetton")."""

_MAX_WORDS = 10
_FREE_SPLIT = 5  # letters from which "tshirt" and "t shirt" are the same; shorter keys keep their spaces
_PARTIAL_LETTERS = 4

PLAIN = "plain"
"""The reading of a word that names no value: NIL."""

Vocabulary = Mapping[str, Mapping[str, int]]
"""Group -> value -> number of products."""


class Form(StrEnum):
    """How a surface spells a value."""

    EXACT = "exact"
    VARIANT = "variant"
    PARTIAL = "partial"


class Reading(NamedTuple):
    """One thing a surface may mean."""

    group: str
    value: str
    form: Form

    @property
    def name(self) -> str:
        """The reading's name in statistics, whatever the form."""
        return reading_name(self.group, self.value)


class Span(NamedTuple):
    """The words `start` to `end` (exclusive) of a text and the key they match."""

    start: int
    end: int
    key: str


def reading_name(group: str, value: str) -> str:
    """Return the name of the reading `value` of `group`."""
    return f"{group}={value}"


def is_name(group: str) -> bool:
    """Tell whether the values of `group` are proper names."""
    return group.casefold() in NAME_GROUPS


@lru_cache(maxsize=10_000)
def part_keys(value: str) -> frozenset[str]:
    """Return the keys of all stretches of words of `value`."""
    words = value_words(value)
    ends = range(1, len(words) + 1)
    return frozenset(key_of(words[start:end]) for end in ends for start in range(end))


@dataclass(frozen=True, slots=True)
class _Surface:
    readings: tuple[Reading, ...]
    splits: frozenset[tuple[str, ...]]


class Lexicon:
    """Finds the surfaces of entity and attribute values in tokenised text. Immutable; safe in threads.

    Values of one group that differ only in spelling ("NIKE", "Nike") are one value: the most frequent.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._canonical: dict[tuple[str, str], str] = {}
        self._totals: Counter[tuple[str, str]] = Counter()
        drafts: defaultdict[str, dict[tuple[str, str], Form]] = defaultdict(dict)
        splits: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
        words = {group: self._unite(group, values) for group, values in vocabulary.items()}
        for form in Form:
            for group, values in words.items():
                for value, forms in _spelled(group, values, form):
                    key = key_of(forms)
                    splits[key].add(forms)
                    if _is_welcome(form, group, drafts[key]):
                        drafts[key].setdefault((group, value), form)
        self._surfaces = {
            key: _Surface(
                tuple(Reading(group, value, form) for (group, value), form in sorted(readings.items())),
                frozenset(splits[key]),
            )
            for key, readings in unhurried(drafts.items())
        }
        self._prefixes = {key[:length] for key in unhurried(self._surfaces) for length in range(1, len(key) + 1)}

    def _unite(self, group: str, values: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
        """Return the words of each distinct value, remembering which spelling stands for it."""
        chosen: dict[str, str] = {}
        words: dict[str, tuple[str, ...]] = {}
        for value in unhurried(sorted(values, key=lambda v: (-values[v], v))):
            spelled = value_words(value)
            if not spelled or len(spelled) > _MAX_WORDS:
                continue
            first = chosen.setdefault(key_of(spelled), value)
            self._canonical[group, value] = first
            self._totals[group, first] += values[value]
            if first == value:
                words[value] = spelled
        return words

    @property
    def keys(self) -> Iterable[str]:
        """All surfaces, as keys."""
        return self._surfaces.keys()

    def __contains__(self, key: str) -> bool:
        """Tell whether some value is spelled so, as a key."""
        return key in self._surfaces

    def readings(self, key: str) -> tuple[Reading, ...]:
        """Return what the surface `key` may mean, sorted; at least one."""
        return self._surfaces[key].readings

    def canonical(self, group: str, value: str) -> str | None:
        """Return the spelling that stands for `value`; None for a value without words or not in the lexicon."""
        return self._canonical.get((group, value))

    def total(self, group: str, value: str) -> int:
        """Return how many products have the canonical `value`, in any of its spellings."""
        return self._totals[group, value]

    def find(self, tokens: Sequence[Token]) -> list[Span]:
        """Return the leftmost-longest matches, in order and without overlap."""
        spans: list[Span] = []
        at = 0
        while at < len(tokens):
            span = self._longest(tokens, at) if tokens[at].norm in self._prefixes else None
            if span is None:
                at += 1
            else:
                spans.append(span)
                at = span.end
        return spans

    def _longest(self, tokens: Sequence[Token], start: int) -> Span | None:
        joined, best, end = "", None, start
        while end < len(tokens) and (end == start or tokens[end].gap is not Gap.STOP):
            if tokens[end].possessive and joined + tokens[end].norm + "s" in self._surfaces:
                best = Span(start, end + 1, joined + tokens[end].norm + "s")
            joined += tokens[end].norm
            if joined not in self._prefixes:
                break
            end += 1
            surface = self._surfaces.get(joined)
            if surface is not None and (
                len(joined) >= _FREE_SPLIT or tuple(t.norm for t in tokens[start:end]) in surface.splits
            ):
                best = Span(start, end, joined)
        return best


def _is_welcome(form: Form, group: str, taken: Mapping[tuple[str, str], Form]) -> bool:
    """Tell whether a surface may also mean a value of `group`: a better form of the same keeps others out."""
    if form is Form.EXACT:
        return True
    if form is Form.VARIANT:
        return all(other != group for other, _ in taken)
    return set(taken.values()) <= {Form.PARTIAL}


def _spelled(group: str, values: Mapping[str, tuple[str, ...]], form: Form) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Yield each value with its spellings of one form, as words."""
    name = group.casefold() in NAME_GROUPS
    for value, words in unhurried(values.items()):
        if form is Form.EXACT:
            yield value, words
        elif form is Form.VARIANT:
            yield from ((value, other) for other in spellings(value, name=name))
        elif name:
            yield from ((value, part) for part in _parts(words))


def _parts(words: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """Yield how a name of several words is shortened: to its first words, or to one that stands out."""
    for length in range(2, len(words)):
        if words[length - 1] != "and":
            yield words[:length]
    if len(words) > 1:
        yield from ((word,) for word in words if len(word) >= _PARTIAL_LETTERS and word.isalpha())
