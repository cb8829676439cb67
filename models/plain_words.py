"""Tells from the words of a query that no title of the catalogue uses whether a name is meant as a plain word.

Who asks for a product uses the words of its title: what it is, its colour, for whom. Who writes "lucky guess" or
"bruce lee" uses a word that names no product at all. So a content word beside a name that is also an ordinary word,
or beside a noun, speaks against the value as much as titles avoid it. Names that are no ordinary words ("Adidas")
are left alone here: an unknown word beside them is a model or a print. The lists are those of
`models.english_words`; what the catalogue has beside one surface is left to `models.neighbours`.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from models.english_words import FAMILY_NAMES, GIVEN_NAMES, ORDINARY_WORDS
from models.lexicon import Span, is_name
from models.linking_frames import is_joint
from models.neighbours import FUNCTION_WORDS, NeighbourKinds, Side
from models.surfaces import Gap, Token, number_forms

_PLAIN_RATE = 2e-3  # share of one word among those beside a plain word, which has few companions
_IN_TEXT = 0.03  # what a description that uses a word counts beside a title that does
_PRESUMED = 0.5  # titles
_MOST = 7.0
_BEFORE_NOUN = 0.8  # of any open word behind a noun, which would be its head
_BEFORE_HEAD = 2.5  # of another such value there: "top hat"
_RARE = 0.5  # weight of words that are no ordinary ones: models, prints, new fashions
_BEHIND_NAME = 0.3  # the share again: models stand behind a name
_LEFT_OF_NOUN = 0.5
_ACROSS = 0.8  # weight of a word behind a function word: "wheel of fortune"
_BESIDE_VALUE = 0.6  # weight where a value stands on the other side: "vintage lee jacket"
_BEFORE_VALUE = 0.4  # of an open word behind a name, where a value follows: "lee riders jeans"
_ALONE = 2.0  # of an open word where no value stands beside the name

_CUES = frozenset({"by", "from", "brand", "label", "designer"})
_CROSSED: Mapping[Side, frozenset[str]] = {
    "left": frozenset({"of", "on", "in", "the", "a", "an", "as", "is"}),
    "right": frozenset({"and", "or"}),
}
_CROSSED_BY_NOUNS = frozenset({"of", "to"})  # "ring of fire"
_ARTICLES = frozenset({"the", "a", "an"})
_PRAISE = frozenset({"best", "latest", "original"})  # edges of a query, unless a name ends it
_OF_GOODS = (
    "size set combo pack pair gift design style collection print logo label range store shop signature brand branding"
)
_SAID_OF_GOODS = frozenset(_OF_GOODS.split())
_SAID_OF_NAMES = _SAID_OF_GOODS | {word + "s" for word in _SAID_OF_GOODS}
_ADJECTIVE_LETTERS = 7  # not "table", "speed"
_ADJECTIVES = ("able", "ed", "ful", "ic", "ish", "less", "proof")  # may stand behind their noun in a query


@lru_cache(maxsize=50_000)
def is_ordinary(word: str) -> bool:
    """Tell whether a word means something where it is no name: an English word or a person's name."""
    if word in ORDINARY_WORDS or word in FAMILY_NAMES or word in GIVEN_NAMES:
        return True
    return not number_forms(word).isdisjoint(ORDINARY_WORDS)


class PlainWords:
    """Weighs the open words beside a surface. Says nothing for a catalogue whose titles were not counted."""

    def __init__(self, titles: Mapping[str, int], words: Mapping[str, int]) -> None:
        """See the class.

        Args:
            titles: word -> products whose title has it.
            words: word -> products whose texts have it.
        """
        self._titles = titles
        self._words = words
        self._usual = _PLAIN_RATE * sum(titles.values())

    def of_name(self, tokens: Sequence[Token], span: Span, kinds: NeighbourKinds, shown: Collection[Side]) -> float:
        """Return the log likelihood ratio of the open words around `span` if it is a proper name, at most 0.

        Args:
            tokens: of the query.
            span: a surface; unless it is one ordinary word, this says nothing.
            kinds: of the neighbours.
            shown: sides on which the catalogue has this name beside the very word that stands there.
        """
        if not self.speaks_of(tokens, span):
            return 0.0
        left, right = _left(tokens, span, kinds), _right(tokens, span, kinds)
        logs = [
            0.0 if "left" in shown else self._log(left),
            0.0 if "right" in shown else self._log(right, _BEHIND_NAME),
        ]
        if tokens[span.start].norm in FAMILY_NAMES and left.word in GIVEN_NAMES:
            return sum(logs) - _ALONE
        if left.is_value or right.is_value:
            return _BESIDE_VALUE * sum(logs)
        alone = any(log < -1 and is_ordinary(one.word) for log, one in zip(logs, (left, right), strict=True))
        return sum(logs) - (_ALONE if alone else 0.0)

    def of_noun(self, tokens: Sequence[Token], span: Span, kinds: NeighbourKinds, shown: Collection[Side]) -> float:
        """Return the same if `span` is what a product is: a noun before another noun only describes that.

        "top speed", but "tops"; on the left, "roof top" says less than "crochet top" is likely.
        """
        if not self._usual or span.end - span.start > 1 or tokens[span.start].norm.endswith("s"):
            return 0.0
        left = _left(tokens, span, kinds)
        right = _beside(tokens, span.end, kinds.right(span), "right", noun=True)
        before = _LEFT_OF_NOUN * self._log(left) if left.weight == 1 and is_ordinary(left.word) else 0.0
        behind = (
            0.0
            if not right.word or is_joint("right", tokens, span) or _is_adjective(right.word)
            else self._log(right, in_text=0.0) - _BEFORE_NOUN
        )
        if kinds.right(span) == "@category":
            behind = -_BEFORE_HEAD
        return (0.0 if "left" in shown else before) + (0.0 if "right" in shown else behind)

    def speaks_of(self, tokens: Sequence[Token], span: Span) -> bool:
        """Tell whether a name would be one ordinary word."""
        return self._usual > 0 and span.end - span.start == 1 and is_ordinary(tokens[span.start].norm)

    def sells(self, word: str | None) -> bool:
        """Tell whether titles use a word about as often as people use one beside a plain word."""
        return word is not None and self._titles.get(word, 0) > self._usual / 3

    def _log(self, beside: "_Beside", rate: float = 1.0, in_text: float = _IN_TEXT) -> float:
        """Return log P(word | a product is asked for) / P(word | beside a plain word), at most 0."""
        word = beside.word
        if not word:
            return 0.0
        seen = self._titles.get(word, 0) + in_text * self._words.get(word, 0)
        log = math.log((seen + _PRESUMED) / (rate * self._usual + _PRESUMED))
        return beside.weight * (1.0 if is_ordinary(word) else _RARE) * min(0.0, max(-_MOST, log))


def _is_adjective(word: str) -> bool:
    return len(word) >= _ADJECTIVE_LETTERS and word.endswith(_ADJECTIVES)


class _Beside(NamedTuple):
    """What stands on one side: an open word and its weight, or a value or a cue for a name."""

    word: str = ""
    weight: float = 0.0
    is_value: bool = False


def _left(tokens: Sequence[Token], span: Span, kinds: NeighbourKinds) -> _Beside:
    at, kind = span.start - 1, kinds.left(span)
    if at >= 0 and tokens[at].norm in _PRAISE and kinds.right(span) == "$":
        return _Beside(tokens[at].norm, 1.0)
    return _beside(tokens, at, kind, "left")


def _right(tokens: Sequence[Token], span: Span, kinds: NeighbourKinds) -> _Beside:
    found = _beside(tokens, span.end, kinds.right(span), "right")
    after = Span(span.start, span.end + 1, "")
    if found.weight == 1 and not found.is_value and after.end < len(tokens) and _is_value(kinds.right(after)):
        return found._replace(is_value=True, weight=_BEFORE_VALUE)
    return found


def _is_value(kind: str) -> bool:
    return "@" in kind and not is_name(kind.lstrip("-@"))


def _beside(tokens: Sequence[Token], at: int, kind: str, side: Side, *, noun: bool = False) -> _Beside:
    if kind in "^$":
        return _Beside()
    word = tokens[at].norm
    if _is_value(kind) or (side == "left" and word in _CUES) or word == "brand":
        return _Beside(is_value=True)
    said = _SAID_OF_GOODS if noun else _SAID_OF_NAMES
    crosses = word in _CROSSED[side] or (noun and word in _CROSSED_BY_NOUNS) or word in said or len(word) == 1
    if not crosses:
        return _Beside(word, 1.0) if kind in {"w", "-w"} or "@" in kind else _Beside()
    beyond = at - 1 if side == "left" else at + 1
    if not 0 <= beyond < len(tokens) or tokens[max(at, beyond)].gap is Gap.STOP:
        return _Beside()
    if noun and tokens[beyond].norm in _ARTICLES and beyond + 1 < len(tokens):
        beyond += 1
    further = tokens[beyond].norm
    return _Beside() if further in FUNCTION_WORDS or not further.isalpha() else _Beside(further, _ACROSS)
