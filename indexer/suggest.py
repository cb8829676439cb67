"""Completions of what is being typed, from a catalogue's own words and entities, with how many products each finds.

"red tommy hil" is completed to "red tommy hilfiger": the words before stand, misspelt ones put right, and the last
ones are the beginning of an entity's name (of any of its words), or of a word of titles, names and attributes.
Counts are exact: products that have all the words, or the words and the entity. Nobody's typing is remembered.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from bm25s.stopwords import STOPWORDS_EN

from indexer.bundle import Bundle
from indexer.fields import Mask
from models.pacing import unhurried
from models.product import SPLIT_ATTRIBUTE
from models.surfaces import value_words

_MOST_TRIED: Final = 40  # completions that are counted, those of most products first
_LAST: Final = "\U0010ffff"  # behind everything that begins with a prefix


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something to search for.

    Attributes:
        text: all of it, in lower case but for the name of an entity.
        group: of the entity it ends in, None: it ends in a word.
        value: the entity.
        count: products that have all of it.
    """

    text: str
    group: str | None
    value: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Completions, those that find most first, and the words before the last as they were meant, if not as typed."""

    items: tuple[Suggestion, ...]
    corrected: str | None


class Suggester:
    """Completes texts for one bundle. Safe to use from threads."""

    def __init__(self, bundle: Bundle) -> None:
        self._lexical = bundle.lexical
        self._columns = bundle.fields.keywords(set(bundle.statistics.vocabulary) - {SPLIT_ATTRIBUTE})
        self._entities = sorted(
            (" ".join(words[start:]), group, code)
            for group, column in self._columns.items()
            for code, value in enumerate(unhurried(column.values))
            for words in [value_words(value)]
            for start in range(len(words))
        )
        forms = enumerate(unhurried(self._lexical.forms))
        self._words = sorted((form, number) for number, form in forms if form and form not in STOPWORDS_EN)
        every = np.ones(self._lexical.n, np.bool_)
        self._counts = {group: column.counts(every) for group, column in self._columns.items()}

    def suggest(self, text: str, limit: int) -> Suggestions:
        """Return up to `limit` completions of `text`; of nothing, the entities most products state."""
        read = self._lexical.read(text)
        meant = [self._meant(*word) for word in read]
        found: dict[str, Suggestion] = {}
        for start in range(len(read)) if read else [0]:
            typed = " ".join(word for word, _, _ in read[start:])
            head, among = meant[:start], self._having(read[:start])
            said = set(head) - set(typed.split())
            for suggestion in self._completions(head, typed, among):
                if said & set(value_words(suggestion.text.removeprefix(" ".join(head)))):
                    continue  # "black bl" is not the beginning of "black black"
                known = found.get(suggestion.text.casefold())
                if known is None or (known.group is None and suggestion.group is not None):
                    found[suggestion.text.casefold()] = suggestion
        corrected, typed = " ".join(meant), " ".join(word for word, _, _ in read)
        if corrected == typed:
            return Suggestions(_most(found.values(), limit), None)
        if not found:  # the last word is no beginning of any: it may be a slip, too
            return Suggestions(self.suggest(corrected, limit).items, corrected)
        return Suggestions(_most(found.values(), limit), corrected)

    def _meant(self, word: str, known: int | None, slip_of: int | None) -> str:
        form = None if known is not None or slip_of is None else self._lexical.forms[slip_of]
        return form or word

    def _having(self, read: Sequence[tuple[str, int | None, int | None]]) -> Mask | None:
        """Return the products with all these words; None: all products."""
        among: Mask | None = None
        for _, known, slip_of in read:
            number = known if known is not None else slip_of
            mask = np.zeros(self._lexical.n, np.bool_)
            if number is not None:
                mask[self._lexical.rows(number)] = True
            among = mask if among is None else among & mask
        return among

    def _completions(self, head: Sequence[str], typed: str, among: Mask | None) -> Iterator[Suggestion]:
        for group, code in self._named(typed):
            column = self._columns[group]
            value = column.values[code]
            count = int(self._counts[group][code])
            if among is not None:
                count = int((column.having([value]) & among).sum())
            if count:
                yield Suggestion(" ".join([*head, value]), group, value, count)
        if typed and " " not in typed:
            for form, number in self._begun(typed):
                rows = self._lexical.rows(number)
                count = len(rows) if among is None else int(among[rows].sum())
                if count:
                    yield Suggestion(" ".join([*head, form]), None, None, count)

    def _named(self, typed: str) -> list[tuple[str, int]]:
        """Return group and code of the entities with a word that `typed` is the beginning of, most products first."""
        start = bisect_left(self._entities, (typed,))
        end = bisect_left(self._entities, (typed + _LAST,))
        named = {(group, code) for _, group, code in self._entities[start:end]}
        return sorted(named, key=lambda entity: (-self._counts[entity[0]][entity[1]], entity))[:_MOST_TRIED]

    def _begun(self, typed: str) -> list[tuple[str, int]]:
        """Return the words that `typed` is the beginning of, with the numbers of their terms, most products first."""
        start, end = bisect_left(self._words, (typed,)), bisect_left(self._words, (typed + _LAST,))
        words = self._words[start:end]
        return sorted(words, key=lambda word: (-len(self._lexical.rows(word[1])), word))[:_MOST_TRIED]


def _most(found: Iterable[Suggestion], limit: int) -> tuple[Suggestion, ...]:
    return tuple(sorted(found, key=lambda item: (-item.count, item.text))[:limit])
