"""Finds the surface a misspelt word was meant to be.

Only words the catalogue does not use are taken for misspellings, only of surfaces of five letters or more;
the first letter must be right or the second, and one slip is allowed, two from eight letters on. A slip is a
letter left out, added, changed or swapped with its neighbour. Exact matching is left to `models.lexicon`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import OSA

from models.lexicon import Form, Lexicon, Span
from models.pacing import unhurried
from models.surfaces import Gap, Token, value_words

_MIN_LETTERS = 5
_TWO_SLIPS = 8
_MAX_WORDS = 4
_MAX_TRIED = 24  # words of one text that are looked up: bounds the time a text of nonsense takes
_KNOWN_PRODUCTS = 3  # products using a word from which it is no slip
_CONFIDENCE = {1: 0.96, 2: 0.9}


class Guess(NamedTuple):
    """A span matched in spite of slips, and how sure that is on its own."""

    span: Span
    confidence: float


class Misspellings:
    """Looks up words of a text among the surfaces of a lexicon's entity groups. Immutable."""

    def __init__(self, lexicon: Lexicon, words: Mapping[str, int], groups: AbstractSet[str]) -> None:
        self._lexicon = lexicon
        self._words = words
        shelves: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        for key in unhurried(sorted(lexicon.keys)):
            if len(key) >= _MIN_LETTERS and any(
                r.group in groups and r.form is not Form.PARTIAL for r in lexicon.readings(key)
            ):
                shelves[key[0], len(key)].append(key)
        self._shelves = dict(shelves)

    def find(self, tokens: Sequence[Token], spans: Sequence[Span]) -> list[Guess]:
        """Return guesses, in order and without overlap, beside `spans` or in their place.

        A guess takes the place of exact matches that are words of the name guessed ("lee coper").
        """
        taken = {at for span in spans if not self._is_partial(span) for at in range(span.start, span.end)}
        guesses: list[Guess] = []
        start = tried = 0
        while start < len(tokens) and tried < _MAX_TRIED:
            guess = None
            for end in self._ends(tokens, taken, start):
                tried += 1
                guess = self._guess(tokens, start, end)
                if guess is not None and not self._keeps(guess, tokens, taken):
                    guess = None
                if guess is not None:
                    guesses.append(guess)
                    break
            start = start + 1 if guess is None else guess.span.end
        return guesses

    def _is_partial(self, span: Span) -> bool:
        return self._lexicon.readings(span.key)[0].form is Form.PARTIAL

    def _ends(self, tokens: Sequence[Token], taken: AbstractSet[int], start: int) -> Iterator[int]:
        """Yield the ends of the stretches from `start` that hold an unknown word, the longest first."""
        ends: list[int] = []
        unknown = False
        for at in range(start, min(start + _MAX_WORDS, len(tokens))):
            if at > start and tokens[at].gap is Gap.STOP:
                break
            unknown = unknown or (at not in taken and self._is_unknown(tokens[at].norm))
            if unknown:
                ends.append(at + 1)
        yield from reversed(ends)

    def _keeps(self, guess: Guess, tokens: Sequence[Token], taken: AbstractSet[int]) -> bool:
        """Tell whether words that match something as they stand are some of the words of what was guessed."""
        right = {tokens[at].norm for at in range(guess.span.start, guess.span.end) if at in taken}
        if not right:
            return True
        return any(right < set(value_words(r.value)) for r in self._lexicon.readings(guess.span.key))

    def _is_unknown(self, word: str) -> bool:
        return word.isalpha() and self._words.get(word, 0) < _KNOWN_PRODUCTS

    def _guess(self, tokens: Sequence[Token], start: int, end: int) -> Guess | None:
        typed = "".join(token.norm for token in tokens[start:end])
        if len(typed) < _MIN_LETTERS - 1:
            return None
        slips = 2 if len(typed) >= _TWO_SLIPS - 2 else 1  # two letters may have been left out
        best: list[tuple[str, int]] = []
        for length in range(max(_MIN_LETTERS, len(typed) - slips), len(typed) + slips + 1):
            allowed = slips if length >= _TWO_SLIPS else 1
            for first in dict.fromkeys(typed[:2]):
                shelf = self._shelves.get((first, length), ())
                found = process.extract(typed, shelf, scorer=OSA.distance, score_cutoff=allowed, limit=2)
                best.extend((key, int(distance)) for key, distance, _ in found if distance)
        if not best:
            return None
        best.sort(key=lambda item: (item[1], item[0]))
        (key, distance), *others = best
        if others and others[0][1] == distance and not self._same(key, others[0][0]):
            return None
        return Guess(Span(start, end, key), _CONFIDENCE[distance])

    def _same(self, key: str, other: str) -> bool:
        names = {reading.name for reading in self._lexicon.readings(key)}
        return names == {reading.name for reading in self._lexicon.readings(other)}
