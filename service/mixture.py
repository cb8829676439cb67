"""One query vector from weighted parts, and scores taken apart into what each part added to them.

Everything here is linear: q = sum_i w_i v_i / |sum_i w_i v_i| with v_i = sum_j t_ij, and a product's score is
q . (w_image * best picture + w_text * text), so it is the sum of one number for each term t_ij; what an entity
in common adds belongs to the entity's own term, and what its words add as words is a term of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.manifest import FusionWeights
from indexer.ranking import Scored
from indexer.searchable import Searchable
from models.encoder import TextTerms, Vectors

_NOTHING = 1e-6  # below this length the parts cancel out and no direction is left


@dataclass(frozen=True, slots=True)
class EncodedPart:
    """A part of a query as vectors.

    Attributes:
        number: Its place in the query.
        weight: As asked for.
        terms: What its vector is made of.
        values: Entity group or `product` to the value that stands behind the term.
    """

    number: int
    weight: float
    terms: TextTerms
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a score."""

    query: int
    name: str
    value: str | None
    gate: float | None
    score: float


@dataclass(frozen=True, slots=True)
class Mixture:
    """The query vector `(d,) float32` of unit length and its terms `(n, d) float32`, which add up to it."""

    vector: Vectors
    terms: Vectors
    labels: tuple[tuple[int, str, str | None, float | None], ...]


def mix(parts: Sequence[EncodedPart]) -> Mixture | None:
    """Return the mixture of `parts`; None when they cancel each other out."""
    weighted = np.concatenate([np.float32(part.weight) * part.terms.terms for part in parts])
    length = float(np.linalg.norm(weighted.sum(axis=0)))
    if length <= _NOTHING * max(abs(part.weight) for part in parts):
        return None
    terms = np.divide(weighted, length, dtype=np.float32)
    vector: Vectors = terms.sum(axis=0, dtype=np.float32)
    labels = tuple(
        (part.number, name, part.values.get(name), part.terms.gates.get(name))
        for part in parts
        for name in part.terms.names
    )
    return Mixture(vector, terms, labels)


def explain(
    mixture: Mixture | None,
    targets: NDArray[np.float32],
    extras: Sequence[tuple[tuple[int, str, str | None], NDArray[np.float32]]] = (),
) -> list[tuple[Term, ...]]:
    """Return the terms of the score of each target: they add up to it.

    Args:
        mixture: the query; None where only words were matched.
        targets: `(m, d) float32`; the vectors' part of the scores is `targets @ vector`.
        extras: what else adds to scores: the number of its part, its name and the value that stands behind it, with
            what it adds to each score, `(m,) float32`. It joins the term of its part and name.
    """
    labels = [] if mixture is None else list(mixture.labels)
    columns = [] if mixture is None else list(mixture.terms @ targets.T)
    places = {label[:2]: place for place, label in enumerate(labels)}
    for label, added in extras:
        place = places.get(label[:2])
        if place is None:
            labels.append((*label, None))
            columns.append(added)
        else:
            columns[place] = columns[place] + added
    rows = np.array(columns).reshape(len(columns), len(targets)).T
    return [tuple(Term(*label, float(score)) for label, score in zip(labels, row, strict=True)) for row in rows]


def targets_of(bundle: Searchable, ranked: Scored, weights: FusionWeights) -> NDArray[np.float32]:
    """Return what each ranked product's score is an inner product with, `(m, d) float32`."""
    vectors = 1.0 - weights.lexical
    texts: NDArray[np.float16] = bundle.vectors["text"][ranked.rows]
    targets = np.float32(vectors * weights.text) * texts.astype(np.float32)
    having = np.flatnonzero(ranked.pictures >= 0)
    pictures = bundle.image_starts[ranked.rows[having]] + ranked.pictures[having]
    targets[having] += np.float32(vectors * weights.image) * bundle.vectors["image"][pictures].astype(np.float32)
    return targets
