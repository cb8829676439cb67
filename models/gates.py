"""What the entities of a model are worth: their gates, their share of the score, and one sentence of advice each.

A score is the inner product of a picture with the terms that add up to its text (`models.encoder.TextTerms`), so
it splits exactly into words and entities. Gates say what a model trusts; withholding a group at query time says
what it is worth, with the interval of the paired difference. Only the Encoder protocol is used. Drawing is left
to `models.report`.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.compare import Comparison, compare, compare_values, hits
from models.encoder import Encoder, TextTerms, Vectors
from models.measured import Ranks

BOTH_WAYS = "both ways"

Counts = Mapping[str, Mapping[str, int]]
"""Group -> value -> how often training saw it."""

_DEPTHS = (1, 10)
_WAYS = ("pair/text_to_image", "pair/image_to_text")
_SET_ASIDE, _LOUD = 0.2, 0.5  # mean length of a group's summands, the words' being 1, that needs a word
_RARE = 0.2  # share of products that state a group, below which that is said


class ValueGate(BaseModel):
    """The gate of one entity value.

    Attributes:
        group: of the value.
        value: as training spelled it.
        count: how often training saw it; None where that is not known.
        gate: its weight w, in (0, 1).
        length: of its summand s * w * h, where the words' is 1 before the sum is normalised.
    """

    model_config = ConfigDict(frozen=True)

    group: str
    value: str
    count: int | None
    gate: float
    length: float


class GroupGates(BaseModel):
    """The gates of one group.

    Attributes:
        group: the group.
        values: how many values it knows.
        mean: gate of its values, each counted as often as training saw it, or once where that is not known.
        low: a tenth of the values have a lower gate.
        high: a tenth have a higher one.
        length: mean length of its summands, weighted like `mean`.
    """

    model_config = ConfigDict(frozen=True)

    group: str
    values: int
    mean: float
    low: float
    high: float
    length: float


def value_gates(encoder: Encoder, counts: Counts | None = None) -> list[ValueGate]:
    """Return the gate of every value `encoder` knows, group by group; empty for one without gates."""
    found: list[ValueGate] = []
    for group, values in encoder.vocabularies.items():
        terms = encoder.text_terms([""] * len(values), [{group: value} for value in values])
        known = (counts or {}).get(group, {})
        for value, parts in zip(values, terms, strict=True):
            if group in parts.gates:
                words, entity = (
                    np.linalg.norm(parts.terms[parts.names.index(name)]) for name in (parts.names[0], group)
                )
                length = float(entity / max(float(words), 1e-12))
                gate = parts.gates[group]
                found.append(ValueGate(group=group, value=value, count=known.get(value), gate=gate, length=length))
    return found


def group_gates(values: Sequence[ValueGate]) -> list[GroupGates]:
    """Return the summary of each group, in the order in which groups first come."""
    groups = dict.fromkeys(value.group for value in values)
    return [_summary(group, [value for value in values if value.group == group]) for group in groups]


def _summary(group: str, values: Sequence[ValueGate]) -> GroupGates:
    gates = np.array([value.gate for value in values])
    counted = all(value.count is not None for value in values)
    weights = np.array([value.count if counted else 1 for value in values], dtype=np.float64)
    if not weights.any():
        weights[:] = 1.0
    low, high = np.quantile(gates, (0.1, 0.9))
    return GroupGates(
        group=group,
        values=len(values),
        mean=float(np.average(gates, weights=weights)),
        low=float(low),
        high=float(high),
        length=float(np.average([value.length for value in values], weights=weights)),
    )


def score_parts(terms: TextTerms, image: Vectors) -> dict[str, float]:
    """Return what each term adds to the score of a text with `image (d,)`; the sum is the score."""
    return {
        name: float(term.astype(np.float64) @ image.astype(np.float64))
        for name, term in zip(terms.names, terms.terms, strict=True)
    }


class TermShare(BaseModel):
    """What one term adds to the scores of texts with their own pictures.

    Attributes:
        term: `words` or an entity group.
        stated: share of the texts that have it, in 0..1.
        mean: what it adds on average, 0 where a text lacks it.
        share: of the mean score; the shares of all terms add up to 1.
    """

    model_config = ConfigDict(frozen=True)

    term: str
    stated: float
    mean: float
    share: float


def term_shares(parts: Sequence[Mapping[str, float]]) -> list[TermShare]:
    """Return the share of each term in the scores of `parts`, one mapping per pair.

    A ratio of means, not a mean of ratios: one pair whose score is nearly 0 would outweigh all others.
    """
    names = dict.fromkeys(name for pair in parts for name in pair)
    total = float(np.mean([sum(pair.values()) for pair in parts])) if parts else 0.0
    means = {name: float(np.mean([pair.get(name, 0.0) for pair in parts])) for name in names}
    return [
        TermShare(
            term=name,
            stated=float(np.mean([name in pair for pair in parts])),
            mean=mean,
            share=mean / total if total else 0.0,
        )
        for name, mean in means.items()
    ]


class Contribution(BaseModel):
    """What a group is worth at query time: everything given, compared with all but this group.

    Attributes:
        group: the group.
        ways: R@1 and R@10 of each direction; side `a` has the group, side `b` lacks it.
        r1: R@1, the mean of both directions of each product.
        r10: R@10, likewise.
    """

    model_config = ConfigDict(frozen=True)

    group: str
    ways: tuple[Comparison, ...]
    r1: Comparison
    r10: Comparison


def contribution(group: str, given: Ranks, withheld: Ranks) -> Contribution:
    """Compare ranks with everything given and with `group` withheld, one picture per product."""
    ways = compare([{way: given[way] for way in _WAYS}], [{way: withheld[way] for way in _WAYS}], depths=_DEPTHS)
    r1, r10 = (
        compare_values(
            BOTH_WAYS, k, *(np.mean([hits([side], way, k) for way in _WAYS], axis=0) for side in (given, withheld))
        )
        for k in _DEPTHS
    )
    return Contribution(group=group, ways=tuple(ways), r1=r1, r10=r10)


class Verdict(StrEnum):
    """What the intervals say of a group."""

    EARNS = "earns"  # R@1 falls without it
    HELPS = "helps"  # R@10 falls without it, R@1 cannot be told
    NOTHING = "nothing"  # no interval excludes zero
    HARMS = "harms"  # R@1 rises without it, or R@10 does while R@1 cannot be told


def verdict(worth: Contribution) -> Verdict:
    """Return what the intervals of R@1, then of R@10, say."""
    for found, gain in ((worth.r1, Verdict.EARNS), (worth.r10, Verdict.HELPS)):
        if found.low > 0:
            return gain
        if found.high < 0:
            return Verdict.HARMS
    return Verdict.NOTHING


def advice(worth: Contribution, gates: GroupGates | None = None, stated: float = 1.0) -> str:
    """Return one sentence on whether to keep a group.

    Args:
        worth: of the group.
        gates: of the group; None for a model without gates.
        stated: share of the products that state a known value of it, in 0..1.
    """
    found = verdict(worth)
    deciding = worth.r10 if worth.r1.low <= 0 <= worth.r1.high and found is not Verdict.NOTHING else worth.r1
    remark = _gate_remark(found, gates) if stated >= _RARE else ""
    return f"{worth.group} {_JUDGED[found]} {_fall(deciding)}{remark}{_rare(stated)}."


_JUDGED = {
    Verdict.EARNS: "earns its place:",
    Verdict.HELPS: "helps among the first ten:",
    Verdict.NOTHING: "adds nothing here:",
    Verdict.HARMS: "harms here:",
}


def _fall(found: Comparison) -> str:
    """Say what withholding does, with the interval in the direction of the verb."""
    sign = 1 if found.difference >= 0 else -1
    points, low, high = (100 * sign * end for end in (found.difference, *(found.low, found.high)[::sign]))
    turn = f"{'falls' if sign > 0 else 'rises'} by {points:.1f} points" if round(points, 1) else "stays the same"
    return f"without it R@{found.k} {turn} (95% interval {low:.1f} to {high:.1f})"


def _gate_remark(found: Verdict, gates: GroupGates | None) -> str:
    if gates is None:
        return ""
    size = f"its mean gate is {gates.mean:.2f}, its term {gates.length:.2f} times as long as the words"
    if found in {Verdict.EARNS, Verdict.HELPS}:
        return f"; {size}"
    if gates.length < _SET_ASIDE:
        return f"; {size}: the model already sets it aside"
    if gates.length > _LOUD:
        return f", although {size}: train without it and compare"
    return f"; {size}"


def _rare(stated: float) -> str:
    return f"; only {100 * stated:.0f}% of the products state a value the model knows" if stated < _RARE else ""
