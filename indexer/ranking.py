"""From a query vector to ranked products: the one scoring that evaluation and serving share.

score(product) = image weight * (best inner product over its pictures) + text weight * (inner product with
its text vector) + entities weight * (the entities the query names that the product has). A product without
pictures earns nothing for the image part. The indexes only propose candidates; every candidate's score is
computed anew from the stored float16 vectors, so scores do not depend on the recipe. Turning words and
pictures into a query vector is left to the encoders, turning rows into answers to the service.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.bundle import Bundle
from indexer.halves import widened
from indexer.index import NO_ROW
from indexer.manifest import FusionWeights, Space
from indexer.products import fold_value

MIN_CANDIDATES = 256
OVERSAMPLE = 4  # candidates fetched per place in the answer, from each index
_QUERY_WORDS = 12  # a longer text is prose; few queries of shoppers are
MOST_NAMED = 20_000  # products with the named entities that are scored besides; more are left to the indexes

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NamedEntity:
    """An entity that a query names. `weight` in 0..1 is how sure and how large a part of the query it is."""

    group: str
    value: str
    weight: float


def part_of_text(text: str) -> float:
    """Return how large a part of `text` a name read from its words is, in 0..1: all of a query, little of prose.

    A shopper names what is wanted; in a description most names are only mentioned ("smells like autumn").
    """
    return min(1.0, _QUERY_WORDS / max(1, len(text.split())))


@dataclass(frozen=True, slots=True)
class Ranked:
    """Products in falling order of score, ties by row.

    Attributes:
        rows: `(m,) int64`, product rows; m <= limit.
        scores: `(m,) float32`.
        pictures: `(m,) int32`, which of the product's pictures was its best; -1 for a product without any.
        named: `(m, K) float32`, what each named entity added to the score.
        candidates: how many products were scored: pages beyond it are empty.
    """

    rows: Rows
    scores: Floats
    pictures: NDArray[np.int32]
    named: Floats
    candidates: int


def rank(
    bundle: Bundle,
    q: Floats,
    weights: FusionWeights,
    limit: int,
    offset: int = 0,
    exclude_rows: Collection[int] = (),
    named: Sequence[NamedEntity] = (),
) -> Ranked:
    """Return places offset to offset + limit of the products nearest to `q`, `(d,) float32`.

    `exclude_rows` are product rows left out of the answer: their places go to the next ones. Products with
    the entities `named` are candidates wherever their vectors lie.

    Raises:
        ValueError: `q` is not `(d,)` or not finite, limit is not positive or offset negative.
    """
    if limit < 1 or offset < 0:
        msg = f"limit must be positive and offset not negative, not {limit} and {offset}"
        raise ValueError(msg)
    rows = candidate_rows(bundle, q, weights, limit + offset + len(exclude_rows))
    having = has_named(bundle, named)  # (n, K)
    if named:
        rows = np.union1d(rows, _named_rows(having))
    if exclude_rows:
        rows = rows[~np.isin(rows, np.fromiter(exclude_rows, np.int64))]
    scores, pictures = score_rows(bundle, q, weights, rows)
    worth = np.array([weights.entities * entity.weight for entity in named], np.float32)
    added: Floats = np.multiply(having[rows], worth, dtype=np.float32)
    scores += added.sum(axis=1, dtype=np.float32)
    order = np.lexsort((rows, -scores))[offset : offset + limit]
    return Ranked(rows[order], scores[order], pictures[order], added[order], len(rows))


def candidate_rows(bundle: Bundle, q: Floats, weights: FusionWeights, wanted: int) -> Rows:
    """Return product rows, ascending and distinct, that the indexes hold for the best `wanted` places.

    A space of weight zero is not asked. Several pictures of a product can take several places of the image
    index, so it is asked for as many more.
    """
    depth = max(MIN_CANDIDATES, OVERSAMPLE * wanted)
    found = []
    if weights.text > 0:
        found.append(_nearest(bundle, "text", q, depth))
    if weights.image > 0 and len(bundle.image_rows):
        per_product = -(-len(bundle.image_rows) // len(bundle.products))
        pictures = _nearest(bundle, "image", q, depth * per_product)
        found.append(bundle.image_rows[pictures].astype(np.int64))
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)


def has_named(bundle: Bundle, named: Sequence[NamedEntity]) -> NDArray[np.bool_]:
    """Return which products state which of the K entities, `(n, K) bool`."""
    having = np.zeros((len(bundle.products), len(named)), np.bool_)
    for k, entity in enumerate(named):
        codes, known = bundle.products.entity_codes(entity.group)
        code = known.get(fold_value(entity.value))
        if code is not None:
            having[:, k] = codes == code
    return having


def _named_rows(having: NDArray[np.bool_]) -> Rows:
    """Return the products that state most of the named entities; none where they are too many to score."""
    counts = having.sum(axis=1)
    most = int(counts.max(initial=0))
    rows = np.flatnonzero(counts == most) if most else np.zeros(0, np.int64)
    return rows if len(rows) <= MOST_NAMED else rows[:0]


def score_rows(bundle: Bundle, q: Floats, weights: FusionWeights, rows: Rows) -> tuple[Floats, NDArray[np.int32]]:
    """Return exact scores `(m,) float32` of product `rows` and the best picture of each, `(m,) int32`.

    Computed from the stored vectors, `(m + pictures, d)` of them at once.
    """
    best, pictures = best_pictures(bundle, q, rows)
    texts = widened(bundle.vectors["text"][rows]) @ q
    scores = weights.text * texts + weights.image * np.where(pictures == NO_ROW, 0.0, best)
    return scores.astype(np.float32), pictures


def best_pictures(bundle: Bundle, q: Floats, rows: Rows) -> tuple[Floats, NDArray[np.int32]]:
    """Return the best picture's inner product `(m,) float32` of product `rows`, and its number `(m,) int32`.

    Equal pictures: the first wins. A product without pictures has 0 and -1.
    """
    starts = bundle.image_starts[rows]
    counts = bundle.image_starts[rows + 1] - starts
    best = np.zeros(len(rows), np.float32)
    number = np.full(len(rows), NO_ROW, np.int32)
    having = np.flatnonzero(counts)
    if not len(having):
        return best, number
    counts = counts[having]
    firsts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    within = np.arange(int(counts.sum())) - np.repeat(firsts, counts)
    picture_rows = np.repeat(starts[having], counts) + within
    scores = widened(bundle.vectors["image"][picture_rows]) @ q
    tops = np.maximum.reduceat(scores, firsts)
    best[having] = tops
    is_top = scores == np.repeat(tops, counts)
    number[having] = np.minimum.reduceat(np.where(is_top, within, len(scores)), firsts)
    return best, number


def _nearest(bundle: Bundle, space: Space, q: Floats, k: int) -> Rows:
    index = bundle.indexes[space]
    width = bundle.manifest.indexes[space].width
    _, rows = index.search(np.ascontiguousarray(q[None, :], np.float32), min(k, index.ntotal), width=width)
    nearest: Rows = rows[0][rows[0] != NO_ROW]
    return nearest
