"""Queries made of a catalogue's own entities, with known answers: what weights are chosen on, and search is judged by.

A product is drawn, and some of what it states ("Ember", "dress", "winter") becomes the query; every product that
states all of it is an answer. Some are typed with a slip. Real shoppers' queries, where there are any, are better:
`indexer.judged` reads them.
"""

import random
from collections.abc import Mapping, Sequence

import numpy as np

from indexer.bundle import Bundle
from indexer.fields import KeywordColumn, Mask
from indexer.judged import GoldEntity, JudgedQuery
from models.linking_slips import misspell
from models.product import SPLIT_ATTRIBUTE

MOST_RELEVANT = 100  # products that may answer one query: more say little about their order
_MISSPELT = 0.2  # of the queries
_TRIES = 20  # products drawn for each query wanted, at most


def make_queries(bundle: Bundle, count: int, seed: int = 0) -> list[JudgedQuery]:
    """Return up to `count` queries, different ones, in the order they were made.

    Their kinds are how many entities they name, `one` to `four`, and `misspelt`. A catalogue that states too little
    gives fewer, or none.
    """
    rng = random.Random(seed)  # noqa: S311 - a seeded sample is the point
    stated = bundle.fields.keywords(sorted(set(bundle.statistics.vocabulary) - {SPLIT_ATTRIBUTE}))
    columns = {group: column for group, column in stated.items() if len(column.values) > 1}
    made: dict[str, JudgedQuery] = {}
    for _ in range(_TRIES * count):
        if len(made) == count:
            break
        query = _query(bundle, columns, rng.randrange(len(bundle.products)), rng)
        if query is not None:
            made.setdefault(query.text, query.model_copy(update={"qid": f"made-{len(made)}"}))
    return list(made.values())


def _query(bundle: Bundle, columns: Mapping[str, KeywordColumn], row: int, rng: random.Random) -> JudgedQuery | None:
    """Return a query for the product of `row`: as many of its entities as leave few answers."""
    stated = list(bundle.products[row].entities(columns).items())
    rng.shuffle(stated)
    relevant: Mask = np.ones(len(bundle.products), np.bool_)
    for number, (group, value) in enumerate(stated, 1):
        relevant = relevant & columns[group].having([value])
        if relevant.sum() <= MOST_RELEVANT:
            return _judged(bundle, stated[:number], relevant, rng)
    return None


def _judged(bundle: Bundle, stated: Sequence[tuple[str, str]], relevant: Mask, rng: random.Random) -> JudgedQuery:
    words = [value for _, value in stated]
    kind = ("one", "two", "three", "four")[min(len(words), 4) - 1]
    if rng.random() < _MISSPELT:
        at = rng.randrange(len(words))
        typed = misspell(words[at], rng)
        if typed is not None:
            words[at], kind = typed, "misspelt"
    return JudgedQuery(
        qid="",
        kind=kind,
        text=" ".join(words).lower(),
        relevant=tuple(bundle.products.id_of(int(row)) for row in np.flatnonzero(relevant)),
        entities=tuple(GoldEntity(group=group, value=value) for group, value in stated),
    )
