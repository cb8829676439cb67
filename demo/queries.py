"""Queries with known answers: words, gold entity spans, and every product of the shop that is a right answer.

How queries are worded is left to `demo.ask`.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from demo import ask
from demo.brands import BRAND_BY_NAME, Trap
from demo.items import Item, generator, item, split_of
from demo.postings import Postings
from demo.text import description

MOST = 5.0
"""Queries grow with the shop up to this many times the numbers of a shop of 2,000."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of query.

    Attributes:
        name: as written to the file.
        count: how many a shop of 2,000 products gets.
        word: phrases a query about an item.
        fits: whether an item can be asked for this way.
    """

    name: str
    count: int
    word: Callable[[Item, random.Random], ask.Draft]
    fits: Callable[[Item], bool] = lambda _: True


def _plain_brand(one: Item) -> bool:
    return BRAND_BY_NAME[one.brand].trap is Trap.NONE


KINDS = (
    Kind("product", 400, ask.product),
    Kind("brand", 300, ask.brand, _plain_brand),
    Kind("ambiguous_brand", 200, ask.ambiguous_brand, lambda one: not _plain_brand(one)),
    Kind("plain_word", 150, ask.plain_word),
    Kind("category", 200, ask.category),
    Kind("attribute", 300, ask.attribute),
)
DESCRIPTIONS = 400


def product_id(seed: int, number: int) -> str:
    """Return the id of product `number`, as `demo.items` gives it."""
    return f"s{seed}-{number:06d}"


def _tidy(draft: ask.Draft) -> ask.Draft:
    """Pull commas and colons to the word before them and move the spans along."""
    text, spans = draft.text, draft.spans
    for mark in (" ,", " :"):
        while (place := text.find(mark)) >= 0:
            text = text[:place] + text[place + 1 :]
            spans = [(g, v, s - (s > place), e - (e > place)) for g, v, s, e in spans]
    return ask.Draft(text, spans, draft.wanted)


def _line(
    qid: str, kind: str, split: str, text: str, spans: list[tuple[str, str, int, int]], relevant: list[str]
) -> dict[str, object]:
    entities = [
        {"group": group, "value": value, "surface": text[start:end], "start": start, "end": end}
        for group, value, start, end in sorted(spans, key=lambda span: span[2])
    ]
    return {"qid": qid, "kind": kind, "split": split, "text": text, "entities": entities, "relevant": relevant}


def _of_kind(kind: Kind, seed: int, postings: Postings, count: int) -> Iterator[dict[str, object]]:
    rng = generator(seed, "queries", kind.name, postings.count)
    seen: set[str] = set()
    for _ in range(30 * count):
        if len(seen) == count:
            return
        one = item(seed, rng.randrange(postings.count))
        if not kind.fits(one):
            continue
        draft = _tidy(kind.word(one, rng))
        if draft.text.lower() in seen:
            continue
        seen.add(draft.text.lower())
        text = draft.text.lower() if rng.random() < 0.5 else draft.text
        relevant = [product_id(seed, number) for number in postings.matching(draft.wanted)]
        split = one.split if kind.name == "product" else split_of(f"{kind.name}:{draft.text.lower()}")
        yield _line(f"{kind.name}-{len(seen):05d}", kind.name, split, text, draft.spans, relevant)


def _descriptions(seed: int, count: int, products: int) -> Iterator[dict[str, object]]:
    numbers = generator(seed, "queries", "description", products).sample(range(products), min(count, products))
    for place, number in enumerate(numbers, start=1):
        one = item(seed, number)
        yield _line(f"description-{place:05d}", "description", one.split, description(one), [], [one.id])


def queries(seed: int, postings: Postings) -> Iterator[dict[str, object]]:
    """Yield the queries of the shop: `{qid, kind, split, text, entities, relevant}`.

    `entities` holds `{group, value, surface, start, end}` with `text[start:end] == surface`; `relevant` the
    ids of all products of the shop that satisfy everything the query names.
    """
    factor = min(MOST, max(postings.count / 2000, 0.05))
    for kind in KINDS:
        yield from _of_kind(kind, seed, postings, max(1, round(kind.count * factor)))
    yield from _descriptions(seed, max(1, round(DESCRIPTIONS * factor)), postings.count)
