"""Words of a text as entities are compared: normalised, with offsets, and the ways to write a value.

What two spellings have in common is their *key*: the normalised words run together, so that "T-shirt",
"t shirt" and "TSHIRT" agree, as do "U.S. Polo" and "us polo", "Denim & Co" and "denim and co". Counting
surfaces in a catalogue is left to `models.entity_statistics`, choosing between readings to `models.linking`.
"""

import re
import unicodedata
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

# Letters and digits of any script with the marks that may follow them, which \w leaves out.
_MARKS = "\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e"
_WORD = rf"[^\W_](?:[^\W_]|[{_MARKS}])*"
_TOKEN = re.compile(rf"{_WORD}(?:['\u2019\u02bc]{_WORD})*|[&\uff06]")
_ACCENTS = re.compile("[\u0300-\u036f]")
_APOSTROPHE = re.compile(r"['\u2019\u02bc]")
_POSSESSIVE = re.compile(r"['\u2019\u02bc][sS]$")
_OR = re.compile(r"(arm|col|fav|flav|glam|harb|hon|hum|lab|neighb|sav|vap|vig)(ou?)r(s?)")
_STOP = re.compile(r"[,;:!?()\[\]{}|/\\\n\"\u201c\u201d\u00ab\u00bb\u2022\u00b7]|\.\s")
_HYPHENS = "-\u2010\u2011"
_ABBREVIATION = 4  # letters; a full stop after a longer word ends a sentence

_SIBILANTS = ("s", "x", "z", "ch", "sh")
_IRREGULAR = {"man": "men", "woman": "women", "child": "children", "foot": "feet", "person": "people"}
_REGULAR = {plural: single for single, plural in _IRREGULAR.items()}


class Gap(IntEnum):
    """What stands between a word and the one before it."""

    SPACE = 0
    HYPHEN = 1
    STOP = 2


class Token(NamedTuple):
    """A word of a text.

    Attributes:
        norm: the word without case, diacritics, apostrophes or possessive; never empty.
        start: offset of its first character in the original text.
        end: offset after its last character.
        gap: what stands before it; `Gap.STOP` at the start of the text.
        possessive: whether an "'s" was taken off: "levi's" may mean Levis.
    """

    norm: str
    start: int
    end: int
    gap: Gap
    possessive: bool = False


def tokenize(text: str) -> list[Token]:
    """Return the words of `text` in order, `&` as "and"."""
    tokens: list[Token] = []
    before, gap = -1, Gap.STOP
    for match in _TOKEN.finditer(text):
        norm = normal_word(match.group())
        if not norm:
            continue
        start, end = match.span()
        if before >= 0:
            between = text[before:start]
            gap = Gap.SPACE if between == " " else _gap(between, tokens[-1].norm)
        tokens.append(Token(norm, start, end, gap, _POSSESSIVE.search(match.group()) is not None))
        before = end
    return tokens


def _gap(between: str, previous: str) -> Gap:
    if len(between) == 1 and between in _HYPHENS:
        return Gap.HYPHEN
    found = _STOP.search(between)
    if found is None or (found.group()[0] == "." and len(previous) <= _ABBREVIATION):
        return Gap.SPACE
    return Gap.STOP


@lru_cache(maxsize=200_000)
def normal_word(word: str) -> str:
    """Return one word in NFKC, casefolded, without diacritics, possessive or apostrophes; maybe empty."""
    if word in {"&", "\uff06"}:
        return "and"
    folded = unicodedata.normalize("NFKC", word).casefold()
    if not folded.isascii():
        split = unicodedata.normalize("NFKD", folded)
        folded = unicodedata.normalize("NFKC", _ACCENTS.sub("", split))
    head, *rest = _APOSTROPHE.split(folded)
    if rest and rest[-1] == "s":
        rest.pop()
    # Marks that are not accents spell vowels in other scripts: they stay.
    return "".join(c for c in "".join((head, *rest)) if c.isalnum() or unicodedata.category(c)[0] == "M")


def key_of(words: tuple[str, ...]) -> str:
    """Return what all spellings of these normalised words have in common."""
    return "".join(words)


def value_words(value: str) -> tuple[str, ...]:
    """Return the normalised words of an entity value."""
    return tuple(token.norm for token in tokenize(value))


def spellings(value: str, *, name: bool) -> Iterator[tuple[str, ...]]:
    """Yield other ways to write `value` than its own words, as normalised words.

    Args:
        value: of an entity; it has at least one word.
        name: a proper name: it has no plural.
    """
    words = value_words(value)
    whole = value_words(_APOSTROPHE.sub("", value))
    if whole != words:
        yield whole
    if "and" in words[1:-1]:
        yield tuple(word for word in words if word != "and")
    other = tuple(_OR.sub(_other_or, word) if _OR.fullmatch(word) else word for word in words)
    if other != words:
        yield other
    if not name:
        for last in number_forms(words[-1]):
            yield (*words[:-1], last)


def _other_or(match: re.Match[str]) -> str:
    """Return "color" for "colour", and the other way round."""
    return f"{match[1]}{'o' if match[2] == 'ou' else 'ou'}r{match[3]}"


def number_forms(word: str) -> set[str]:
    """Return what a noun may be in the other number: "dresses" for "dress", "scarf" for "scarves"."""
    if len(word) < 3 or not word.isalpha():
        return set()
    forms = {_IRREGULAR.get(word, ""), _REGULAR.get(word, "")}
    if not word.endswith("s") or word.endswith("ss"):
        forms.add(_plural(word))
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        forms |= _singulars(word)
    return {form for form in forms if len(form) >= 2 and form != word}


def _plural(word: str) -> str:
    if word.endswith(_SIBILANTS):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    if word.endswith(("lf", "arf", "af")):
        return word[:-1] + "ves"
    if word.endswith("ife"):
        return word[:-2] + "ves"
    return word + "s"


def _singulars(word: str) -> set[str]:
    forms = {word[:-1]}
    if word.endswith("es") and word[:-2].endswith(_SIBILANTS):
        forms.add(word[:-2])
    if word.endswith("ies") and len(word) > 4:
        forms.add(word[:-3] + "y")
    if word.endswith("ves"):
        forms |= {word[:-3] + "f", word[:-3] + "fe"}
    return forms
