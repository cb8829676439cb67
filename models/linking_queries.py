"""Queries with known answers, made from any catalogue: names, slips, ambiguous words, plain words, unknown names.

What products say (brand, category, colour, descriptions) comes from the products given, which names and words are
ambiguous from the statistics of another split, so that nothing asked was counted. The wording is in
`models.linking_words`, spelling in `models.linking_slips`, judging in `models.linking_scores`.

Queries about a brand are judged by their links to brands alone: the easy category beside it must not flatter.
"""

import hashlib
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from models.entity_statistics import EntityStatistics
from models.lexicon import NAME_GROUPS, PLAIN, Form, Lexicon, Reading, reading_name
from models.linking_scores import KnownQuery
from models.linking_slips import misspell, writings
from models.linking_words import (
    BRAND_FORMS,
    CATEGORY_FORMS,
    COMMON_WORDS,
    COMPOSITION_FORMS,
    CUED_FORMS,
    MORE_PHRASES,
    OTHER_NAMES,
    PLACEHOLDERS,
    PLAIN_PHRASES,
    SEASON_FORMS,
)
from models.neighbours import FUNCTION_WORDS
from models.product import Product
from models.surfaces import Token, key_of, number_forms, tokenize, value_words

Half = Literal["all", "tune", "report"]
"""Which brands and phrases are asked for: one half was looked at while the linker was tuned, the other not."""

_LITTLE = FUNCTION_WORDS | {"only", "just", "new", "best", "id", "test"}
_NAMING = frozenset({"by", "from", "brand", "at", "this"})
_TRIES = 20  # drafts per query wanted, before a kind is left smaller
_PLAIN_USES = 3  # products of other brands that use a name in plain words, from which it is ambiguous
_WORD_USES = 30  # the same for one word of a longer name
_AHEAD = 10  # a short form belongs to the brand that has this many times the products of all others with it
_PHRASE = 4  # words of a description taken on either side of a plain word


class Kind(StrEnum):
    """What a query tries."""

    BRAND = "brand"
    MULTIWORD = "multiword"
    AMBIGUOUS = "ambiguous"
    MISSPELT = "misspelt"
    PLAIN = "plain"
    PHRASE = "phrase"
    CATEGORY = "category"
    SEASON = "season"
    COMPOSITION = "composition"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Name:
    """A value of a name group and how people may read it.

    Attributes:
        value: as the statistics spell it.
        words: normalised.
        ambiguous: it, or a word of it, means something else too.
        cued: alone it would be read as that: a colour, a material, a function word, a number.
        short: the spellings by which people shorten it, when they mean no other.
    """

    value: str
    words: tuple[str, ...]
    ambiguous: bool
    cued: bool
    short: tuple[str, ...]


def half_of(value: str) -> Half:
    """Return which half a name belongs to, by its words: the same in every catalogue and run."""
    digest = hashlib.sha256(key_of(value_words(value)).encode()).digest()
    return "tune" if digest[0] % 2 else "report"


def names_of(statistics: EntityStatistics, group: str) -> dict[str, Name]:
    """Return the values of a name group that have words, by their canonical spelling."""
    lexicon = Lexicon(statistics.vocabulary)
    values = statistics.vocabulary.get(group, {})
    canonical = sorted({v for value in values if (v := lexicon.canonical(group, value)) is not None})
    canonical = [value for value in canonical if value.casefold() not in PLACEHOLDERS]
    totals: Counter[tuple[str, ...]] = Counter()
    for value in canonical:
        for part in set(_parts(value)):
            totals[part] += lexicon.total(group, value)
    return {value: _name(statistics, lexicon, group, value, totals) for value in canonical}


def _name(
    statistics: EntityStatistics, lexicon: Lexicon, group: str, value: str, totals: Counter[tuple[str, ...]]
) -> Name:
    words = value_words(value)
    total = lexicon.total(group, value)
    own = [part for part in _parts(value) if totals[part] - total <= total / _AHEAD]
    own = [part for part in own if not any(r.form is not Form.PARTIAL for r in _readings(lexicon, part))]
    short = tuple(" ".join(part) for part in own if not _is_ordinary(statistics, part, total))
    cued = _has_other_reading(lexicon, group, words) or _says_little(words)
    ordinary = any(word in COMMON_WORDS for word in words) or _is_used_plainly(statistics, group, value)
    shared = len(words) > 1 and any(statistics.words.get(w, 0) - total >= _WORD_USES for w in words if len(w) > 2)
    return Name(value, words, cued or ordinary or shared, cued, short)


def _parts(value: str) -> list[tuple[str, ...]]:
    """Return how a name of several words may be shortened: to its first words, or to one of them."""
    words = value_words(value)
    firsts = [words[:length] for length in range(2, len(words)) if words[length - 1] not in FUNCTION_WORDS]
    return firsts + [(word,) for word in words if len(words) > 1 and len(word) > 3 and word.isalpha()]


def _readings(lexicon: Lexicon, words: tuple[str, ...]) -> tuple[Reading, ...]:
    key = key_of(words)
    return lexicon.readings(key) if key in lexicon else ()


def _is_ordinary(statistics: EntityStatistics, part: tuple[str, ...], total: int) -> bool:
    """Tell whether a single word says too little to stand for a name: texts of other products use it."""
    if len(part) > 1:
        return False
    evidence = statistics.evidence.get(part[0])
    plain = evidence.title.get(PLAIN, 0) + evidence.description.get(PLAIN, 0) if evidence else 0
    others = statistics.words.get(part[0], 0) - total
    return part[0] in COMMON_WORDS or plain >= _PLAIN_USES or others >= _WORD_USES


def _has_other_reading(lexicon: Lexicon, group: str, words: tuple[str, ...]) -> bool:
    return any(reading.group != group for reading in _readings(lexicon, words))


def _says_little(words: tuple[str, ...]) -> bool:
    return len(words) == 1 and (words[0] in _LITTLE or len(words[0]) == 1 or words[0].isdigit())


def _is_used_plainly(statistics: EntityStatistics, group: str, value: str) -> bool:
    evidence = statistics.evidence.get(key_of(value_words(value)))
    if evidence is None:
        return False
    return evidence.title.get(PLAIN, 0) + evidence.description.get(PLAIN, 0) >= _PLAIN_USES or any(
        not name.startswith(f"{group}=") and name != PLAIN
        for name in evidence.held
        if name != reading_name(group, value)
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one query is about: a product of the split, and the name of its brand."""

    product: Product
    name: Name


class _Writer:
    """Phrases queries about products, with one random generator."""

    def __init__(
        self, statistics: EntityStatistics, products: Sequence[Product], rng: random.Random, half: Half, group: str
    ) -> None:
        self._lexicon = Lexicon(statistics.vocabulary)
        self._rng = rng
        self._group = group
        self._categories = [value for p in products if (value := self._canonical("category", p.category)) is not None]
        names = names_of(statistics, group)
        self._by_name: defaultdict[str, list[Product]] = defaultdict(list)
        for product in products:
            stated = self._canonical(group, product.entities((group,)).get(group))
            if stated in names:
                self._by_name[stated].append(product)
        self.names = [names[v] for v in sorted(self._by_name) if half in ("all", half_of(v))]
        self.products = products
        self._words = statistics.words

    def _canonical(self, group: str, value: str | None) -> str | None:
        return None if value is None else self._lexicon.canonical(group, value)

    def _fill(self, form: str, **slots: str) -> str:
        text = form.format(**slots)
        if self._rng.random() < 0.3:
            text = text.title() if self._rng.random() < 0.5 else text.upper()
        return text

    def _colour(self, product: Product) -> str:
        stated = [v for k, v in product.attributes.items() if "colo" in k.casefold() and isinstance(v, str)]
        return stated[0].lower() if stated else self._rng.choice(("red", "black", "blue"))

    def _category(self, value: str) -> str:
        """Return a category as people type it, in either number."""
        *head, last = value.lower().split()
        others = sorted(form for form in number_forms(last) if form in self._words)
        typed = " ".join((*head, self._rng.choice((last, *others))))
        same = [r for r in self._readings(typed) if r.group == "category"]
        return typed if {r.value for r in same} <= {value} else value.lower()

    def _readings(self, text: str) -> tuple[Reading, ...]:
        return _readings(self._lexicon, value_words(text))

    def about(self, names: Sequence[Name]) -> _Asked | None:
        """Draw a name, then a product of it; every name is as likely as any other."""
        if not names:
            return None
        name = self._rng.choice(names)
        return _Asked(self._rng.choice(self._by_name[name.value]), name)

    def brand(self, kind: Kind, asked: _Asked, typed: str) -> KnownQuery:
        """Ask for a brand as `typed`."""
        forms = CUED_FORMS if asked.name.cued else BRAND_FORMS
        category = asked.product.category or self._rng.choice(self._categories)
        text = self._fill(
            self._rng.choice(forms),
            brand=typed,
            category=self._category(category),
            colour=self._colour(asked.product),
        )
        gold = frozenset({(self._group, asked.name.value)})
        return KnownQuery(kind, text, gold, frozenset({self._group}), asked.name.value)

    def multiword(self, asked: _Asked) -> KnownQuery:
        """Ask for a name in one of the ways people write or shorten it."""
        short = self._rng.random() < 0.4 and asked.name.short
        typed = self._rng.choice(asked.name.short if short else writings(asked.name.value))
        return self.brand(Kind.MULTIWORD, asked, typed)

    def misspelt(self, asked: _Asked) -> KnownQuery | None:
        """Ask for a name with slips, unless they made another word of it."""
        typed = misspell(asked.name.value, self._rng)
        words = value_words(typed or "")
        if typed is None or key_of(words) in self._lexicon or (len(words) == 1 and self._words.get(words[0], 0) > 1):
            return None
        return self.brand(Kind.MISSPELT, asked, typed)

    def unknown(self) -> KnownQuery:
        """Ask for a brand the shop does not carry."""
        name = self._rng.choice([name for name in OTHER_NAMES if key_of(value_words(name)) not in self._lexicon])
        product = self._rng.choice(self.products)
        category = product.category or self._rng.choice(self._categories)
        form = self._rng.choice(BRAND_FORMS)
        text = self._fill(form, brand=name.lower(), category=self._category(category), colour=self._colour(product))
        return KnownQuery(Kind.UNKNOWN, text, frozenset(), frozenset({self._group}), name)

    def stated(self, kind: Kind, group: str, forms: Sequence[str]) -> KnownQuery | None:
        """Ask for a product by its category, or by another stated value and its category."""
        product = self._rng.choice(self.products)
        category = self._canonical("category", product.category)
        value = self._canonical(group, product.entities((group,)).get(group))
        if category is None or value is None or {category.casefold(), value.casefold()} & PLACEHOLDERS:
            return None
        form = self._rng.choice(forms)
        slots = {"category": self._category(category), "colour": self._colour(product), "value": value.lower()}
        gold = {("category", category)} if "{category}" in form else set()
        gold |= {(group, value)} if "{value}" in form else set()
        return KnownQuery(kind, self._fill(form, **slots), frozenset(gold), frozenset({group, "category"}), value)

    def phrase(self, word: str, form: str) -> KnownQuery:
        """Use one of the five words in its everyday sense."""
        category = self._rng.choice(self._categories)
        text = form.format(category=self._category(category))
        gold = frozenset({("category", category)}) if "{category}" in form else frozenset()
        return KnownQuery(Kind.PHRASE, text, gold, None, word)


def plain_uses(products: Sequence[Product], names: Sequence[Name], group: str) -> Iterator[tuple[str, str]]:
    """Yield ambiguous names and phrases of descriptions that use them as plain words.

    Taken are lower-case uses of ordinary words on products of another brand, in phrases that hold no word of the
    product's own brand; a capital, or "from" before it, would make it a name.
    """
    wanted = {n.words: n.value for n in names if n.words and (n.cued or COMMON_WORDS.intersection(n.words))}
    longest = max((len(words) for words in wanted), default=0)
    for product in products:
        own = set(value_words(product.entities((group,)).get(group, "")))
        for sentence in re.split(r"(?<=[.!?])\s+|\n", product.description):
            tokens = tokenize(sentence)
            for start, end in _stretches(len(tokens), longest):
                value = wanted.get(tuple(token.norm for token in tokens[start:end]))
                if value is None or not sentence[tokens[start].start : tokens[end - 1].end].islower():
                    continue
                if start and tokens[start - 1].norm in _NAMING:
                    continue
                phrase = _around(sentence, tokens, start, end)
                if not own & set(value_words(phrase)):
                    yield value, phrase


def _stretches(length: int, longest: int) -> Iterator[tuple[int, int]]:
    for start in range(length):
        yield from ((start, end) for end in range(start + 1, min(start + longest, length) + 1))


def _around(sentence: str, tokens: Sequence[Token], start: int, end: int) -> str:
    inside = tokens[max(0, start - _PHRASE) : end + _PHRASE]
    return sentence[inside[0].start : inside[-1].end]


def linking_queries(
    statistics: EntityStatistics,
    products: Sequence[Product],
    *,
    seed: int = 0,
    count: int = 400,
    half: Half = "all",
) -> list[KnownQuery]:
    """Return up to `count` distinct queries of each kind; the same for the same arguments.

    Args:
        statistics: of the linker to be tried; names it does not know are not asked for.
        products: of another split; queries are worded after them.
        seed: of all that is drawn.
        count: of each kind, at most; the phrases of kind `phrase` are fixed.
        half: the brands asked for, and the phrases of plain words.
    """
    group = next((g for g in statistics.groups if g.casefold() in NAME_GROUPS), "brand")
    rng = random.Random(f"{seed}/{half}")  # noqa: S311 - test data
    writer = _Writer(statistics, products, rng, half, group)
    names = writer.names
    plainest = [name for name in names if not name.ambiguous]
    several = [name for name in names if len(name.words) > 1 or len(writings(name.value)) > 1]
    ambiguous = [name for name in names if name.ambiguous]

    def ask(kind: Kind, of: Sequence[Name]) -> Callable[[], KnownQuery | None]:
        def one() -> KnownQuery | None:
            asked = writer.about(of)
            if asked is None:
                return None
            if kind is Kind.MULTIWORD:
                return writer.multiword(asked)
            return (
                writer.misspelt(asked) if kind is Kind.MISSPELT else writer.brand(kind, asked, asked.name.value.lower())
            )

        return one

    drafts: dict[Kind, Callable[[], KnownQuery | None]] = {
        Kind.BRAND: ask(Kind.BRAND, plainest),
        Kind.MULTIWORD: ask(Kind.MULTIWORD, several),
        Kind.AMBIGUOUS: ask(Kind.AMBIGUOUS, ambiguous),
        Kind.MISSPELT: ask(Kind.MISSPELT, names),
        Kind.CATEGORY: lambda: writer.stated(Kind.CATEGORY, "category", CATEGORY_FORMS),
        Kind.SEASON: lambda: writer.stated(Kind.SEASON, "season", SEASON_FORMS),
        Kind.COMPOSITION: lambda: writer.stated(Kind.COMPOSITION, "composition", COMPOSITION_FORMS),
        Kind.UNKNOWN: writer.unknown,
    }
    queries = [query for draft in drafts.values() for query in _distinct(draft, count)]
    uses = list(plain_uses(products, ambiguous, group))
    judged = frozenset({group})
    queries += _distinct(lambda: _plain(rng, uses, judged), count)
    phrases = {"tune": (PLAIN_PHRASES,), "report": (MORE_PHRASES,), "all": (PLAIN_PHRASES, MORE_PHRASES)}[half]
    queries += [writer.phrase(w, form) for of in phrases for w, forms in of.items() for form in forms]
    return queries


def _plain(rng: random.Random, uses: Sequence[tuple[str, str]], judged: frozenset[str]) -> KnownQuery | None:
    if not uses:
        return None
    value, phrase = rng.choice(uses)
    return KnownQuery(Kind.PLAIN, phrase, frozenset(), judged, value)


def _distinct(draft: Callable[[], KnownQuery | None], count: int) -> Iterator[KnownQuery]:
    seen: set[str] = set()
    for _ in range(_TRIES * count):
        if len(seen) == count:
            return
        query = draft()
        if query is not None and query.text.casefold() not in seen:
            seen.add(query.text.casefold())
            yield query
