"""What a report tells beside quality: which weight the model gives to entities here, and where categories contradict.

The gate lets a bundle through whatever these say; people read them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from indexer.bundle import Bundle
from indexer.categories import Categories
from indexer.evaluate import Agreement, Confusion, GatedGroup, GatedValue, Report, sample_rows
from indexer.product_encoding import entities_of
from indexer.products import fold_value
from models.encoder import Encoder, Entities
from models.vector_blocks import NO_CLASS

SAMPLE: Final = 2_000
MOST_TOLD: Final = 20  # values of a group, and contradictions
SURE: Final = 0.7  # what a search that does not say otherwise asks of a category before it leaves others out
_AT_ONCE: Final = 256

_Gates = Mapping[tuple[str, str], float]


def with_sections(
    report: Report, bundle: Bundle, encoder: Encoder, categories: Categories | None, *, seed: int = 0
) -> Report:
    """Return the report of `bundle` with what there is to tell of gates and of `categories`."""
    gates = gates_of(bundle, encoder, seed=seed)
    agreement = None if categories is None else agreement_of(categories)
    return report.model_copy(update={"gates": gates, "categories": agreement})


def gates_of(bundle: Bundle, encoder: Encoder, *, seed: int = 0, sample: int = SAMPLE) -> dict[str, GatedGroup] | None:
    """Return the gates of the entities that up to `sample` products state, by group; None: the model has none."""
    rows = sample_rows(np.random.default_rng(seed), len(bundle.products), sample)
    stated = entities_of((bundle.products[int(row)] for row in rows), encoder)
    counts = {group: Counter(said[group] for said in stated if group in said) for group in encoder.vocabularies}
    gates = _gates(encoder, {group: sorted(values) for group, values in counts.items()})
    found = {group: _group(group, values, gates, len(rows)) for group, values in counts.items()}
    return {group: told for group, told in found.items() if told is not None} or None


def _gates(encoder: Encoder, values: Mapping[str, Sequence[str]]) -> _Gates:
    """Return the gate of each value that the encoder knows, by group and value.

    A gate is of the value alone (`models.eiclip`): each is asked for once, without words, one of each group together.
    """
    most = max(map(len, values.values()), default=0)
    rows: list[Entities] = [
        {group: known[at] for group, known in values.items() if at < len(known)} for at in range(most)
    ]
    found: dict[tuple[str, str], float] = {}
    for start in range(0, most, _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        for said, terms in zip(some, encoder.text_terms([""] * len(some), some), strict=True):
            found |= {(group, said[group]): gate for group, gate in terms.gates.items()}
    return found


def _group(group: str, counts: Counter[str], gates: _Gates, products: int) -> GatedGroup | None:
    """Return what is told of a group; None: the model knows none of its values."""
    known = Counter({value: count for value, count in counts.items() if (group, value) in gates})
    if not known:
        return None
    spellings: dict[str, Counter[str]] = {}
    for value, count in known.items():
        spellings.setdefault(fold_value(value), Counter())[value] = count
    values = [_value(group, spelled, gates) for spelled in spellings.values()]
    return GatedGroup(
        mean=_mean(group, known, gates),
        stated=counts.total() / products,
        known=known.total() / products,
        values=tuple(sorted(values, key=lambda told: (-told.count, told.value))[:MOST_TOLD]),
    )


def _value(group: str, spelled: Counter[str], gates: _Gates) -> GatedValue:
    """Return what is told of a value, in the spelling that most products use."""
    value = min(spelled, key=lambda spelling: (-spelled[spelling], spelling))
    return GatedValue(value=value, count=spelled.total(), mean=_mean(group, spelled, gates))


def _mean(group: str, counts: Counter[str], gates: _Gates) -> float:
    return sum(count * gates[group, value] for value, count in counts.items()) / counts.total()


def agreement_of(categories: Categories, sure: float = SURE) -> Agreement | None:
    """Return how far the judges of all products agree with what these state; None: none states a category.

    What a judge says of a product comes from one that was fitted without it (`indexer.categories`).
    """
    stated = np.flatnonzero(categories.listed != NO_CLASS)
    if not len(stated):
        return None
    listed, judged = categories.listed[stated], categories.both.classes[stated]
    decided = (judged != NO_CLASS) & (categories.both.probability[stated] >= sure)
    other = decided & (judged != listed)
    return Agreement(
        products=len(stated),
        agreement=float((decided & ~other).mean()),
        abstained=float((~decided).mean()),
        confused=_confused(categories.names, zip(listed[other].tolist(), judged[other].tolist(), strict=True)),
    )


def _confused(names: Sequence[str], pairs: Iterable[tuple[int, int]]) -> tuple[Confusion, ...]:
    counts = sorted(Counter(pairs).items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(
        Confusion(stated=names[stated], classified=names[classified], count=count)
        for (stated, classified), count in counts[:MOST_TOLD]
    )
