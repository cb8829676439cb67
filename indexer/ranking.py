"""From a query vector to ranked products: the one scoring that evaluation and serving share.

score(product) = (1 - lexical weight) * (image weight * (best inner product over its pictures) + text weight *
(inner product with its text vector)) + lexical weight * (BM25 of its words, the query's best product having 1) +
entities weight * (the entities the query names that the product has). A product without pictures earns nothing
for the image part. The indexes only propose candidates; every candidate's score is computed anew from the stored
float16 vectors, so scores do not depend on the recipe. Turning words and pictures into a query vector is left to
the encoders, turning rows into answers to the service.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from indexer.asking import NO_ROW
from indexer.fields import Mask
from indexer.manifest import FusionWeights, Space
from indexer.products import fold_value
from indexer.searchable import Searchable
from models.halves import widened

MIN_CANDIDATES = 256
OVERSAMPLE = 4  # candidates fetched per place in the answer, from each index
_QUERY_WORDS = 12  # a longer text is prose; few queries of shoppers are
WIDENING = 2  # times, over what the admitted share of an approximate index calls for
FAIR_SHARE = 0.5  # of the admitted share: fewer admitted rows among the nearest, and a filter is against the query
DEEPER = 8  # times as many candidates, where a filter admits what is near in one space and far in the other
_SAME_SCORE = 1e-6
MOST_NAMED = 20_000  # products with the named entities that are scored besides; more are left to the indexes

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NamedEntity:
    """An entity that a query names. `weight` in 0..1 is how sure and how large a part of the query it is."""

    group: str
    value: str
    weight: float


@dataclass(frozen=True, slots=True)
class Words:
    """What the words of a query say besides their vector.

    Attributes:
        named: entities they name.
        texts: the words themselves, each text with its share of the query, to be matched as words.
    """

    named: Sequence[NamedEntity] = ()
    texts: Sequence[tuple[str, float]] = ()


NO_WORDS = Words()


def part_of_text(text: str) -> float:
    """Return how large a part of `text` a name read from its words is, in 0..1: all of a query, little of prose.

    A shopper names what is wanted; in a description most names are only mentioned ("smells like autumn").
    """
    return min(1.0, _QUERY_WORDS / max(1, len(text.split())))


class FilterStrategy(StrEnum):
    """How the products that a filter admits were searched."""

    NONE = "none"  # there is no filter
    EXACT = "exact"  # each of them was looked at
    APPROXIMATE = "approximate"  # those that an approximate index led to


@dataclass(frozen=True, slots=True)
class Scored:
    """Products with their exact scores, `(m,)` each.

    Attributes:
        rows: `int64`, product rows.
        scores: `float32`.
        pictures: `int32`, which of the product's pictures is its best; -1 for a product without any.
        added: `(m, K + T) float32`, what each of K named entities and of T texts, as words, added to the score.
        strategy: how the filter was obeyed.
        candidates: how many products were scored, of which these may be a part.
    """

    rows: Rows
    scores: Floats
    pictures: NDArray[np.int32]
    added: Floats
    strategy: FilterStrategy
    candidates: int

    def take(self, places: Rows) -> "Scored":
        """Return the products at `places`, `(p,) int64`, in that order."""
        return replace(
            self,
            rows=self.rows[places],
            scores=self.scores[places],
            pictures=self.pictures[places],
            added=self.added[places],
        )

    def with_others(self, other: "Scored") -> "Scored":
        """Return these products and those of `other` that are not among them, in the order of rows."""
        new = other.take(np.flatnonzero(~np.isin(other.rows, self.rows)))
        order = np.argsort(np.concatenate([self.rows, new.rows]), kind="stable")
        both = replace(
            self,
            rows=np.concatenate([self.rows, new.rows]),
            scores=np.concatenate([self.scores, new.scores]),
            pictures=np.concatenate([self.pictures, new.pictures]),
            added=np.concatenate([self.added, new.added]),
            candidates=self.candidates + len(new.rows),
        )
        return both.take(order)

    def best(self) -> Rows:
        """Return the places of all, `(m,) int64`, in falling order of score, ties by row."""
        return np.lexsort((self.rows, -self.scores))


def rank(bundle: Searchable, q: Floats, weights: FusionWeights, limit: int, words: Words = NO_WORDS) -> Scored:
    """Return the `limit` products nearest to `q`, `(d,) float32`, best first; see `score`.

    Raises:
        ValueError: `q` is not `(d,)` or not finite, or limit is not positive.
    """
    scored = score(bundle, q, weights, limit, words)
    return scored.take(scored.best()[:limit])


def score(
    bundle: Searchable,
    q: Floats,
    weights: FusionWeights,
    wanted: int,
    words: Words = NO_WORDS,
    *,
    among: Mask | None = None,
    exclude_rows: Collection[int] = (),
) -> Scored:
    """Return candidates for the `wanted` products nearest to `q`, `(d,) float32`, in the order of rows.

    Products with the entities that `words` name, and those that match them best as words, are candidates wherever
    their vectors lie. With a lexical weight of 1, the vectors are not looked at, and a product without any of the
    words is no candidate. Only products of `among`, `(n,) bool`, are candidates, and none of `exclude_rows`.

    Raises:
        ValueError: `q` is not `(d,)` or not finite, or wanted is not positive.
    """
    if wanted < 1:
        msg = f"the number of products wanted must be positive, not {wanted}"
        raise ValueError(msg)
    words = words if weights.lexical else replace(words, texts=())
    weights = weights if words.texts else weights.model_copy(update={"lexical": 0.0})
    having = has_named(bundle, words.named)  # (n, K)
    matching = _matching(bundle, words.texts)  # (n, T)
    wanted += len(exclude_rows)
    rows, strategy = candidate_rows(bundle, q, weights, wanted, among)
    if words.named and weights.lexical < 1:
        rows = _distinct([rows, _named_rows(having if among is None else having & among[:, None])], len(having))
    if words.texts:
        rows = _with_matches(rows, matching.sum(axis=1), weights, wanted, among)
    if exclude_rows:
        rows = rows[~np.isin(rows, np.fromiter(exclude_rows, np.int64))]
    scores, pictures = score_rows(bundle, q, weights, rows)
    worth = np.array([weights.entities * entity.weight for entity in words.named], np.float32)
    added = np.concatenate([having[rows] * worth, np.float32(weights.lexical) * matching[rows]], axis=1)
    scores = np.float32(1 - weights.lexical) * scores + added.sum(axis=1, dtype=np.float32)
    return Scored(rows, scores, pictures, added, strategy, len(rows))


def _matching(bundle: Searchable, texts: Sequence[tuple[str, float]]) -> Floats:
    """Return how well each product matches each of T texts as words, times its share, `(n, T) float32` in 0..1."""
    matching = np.zeros((len(bundle.products), len(texts)), np.float32)
    for column, (text, share) in enumerate(texts):
        scores = bundle.lexical.scores(text)
        best = float(scores.max(initial=0.0))
        if best > 0:
            matching[:, column] = scores * np.float32(share / best)
    return matching


def _with_matches(rows: Rows, matching: Floats, weights: FusionWeights, wanted: int, among: Mask | None) -> Rows:
    """Return `rows` and the products that match best as words; only products that match, if nothing else counts."""
    if among is not None:
        matching = np.where(among, matching, np.float32(0))
    if weights.lexical == 1:
        rows = rows[:0]
    depth = len(matching) if weights.lexical == 1 else max(MIN_CANDIDATES, OVERSAMPLE * wanted)
    found = np.flatnonzero(matching)
    if len(found) > depth:
        found = found[np.argpartition(-matching[found], depth)[:depth]]
    return _distinct([rows, found], len(matching))


def candidate_rows(
    bundle: Searchable, q: Floats, weights: FusionWeights, wanted: int, among: Mask | None = None
) -> tuple[Rows, FilterStrategy]:
    """Return product rows, ascending and distinct, for the best `wanted` places, and how `among` was obeyed.

    While a filter admits few products each of them is one: graphs and lists lose rows that are rare among their
    neighbours, and scoring a few is faster than looking for them.
    """
    if among is None:
        return proposed_rows(bundle, q, weights, wanted), FilterStrategy.NONE
    admitted = np.flatnonzero(among)
    if len(admitted) <= max(bundle.manifest.exact_rows, wanted):
        return admitted, FilterStrategy.EXACT
    exact = weights.lexical == 1 or all(width is None for width in bundle.widths.values())
    strategy = FilterStrategy.EXACT if exact else FilterStrategy.APPROXIMATE
    return proposed_rows(bundle, q, weights, wanted, among), strategy


def proposed_rows(
    bundle: Searchable, q: Floats, weights: FusionWeights, wanted: int, among: Mask | None = None
) -> Rows:
    """Return product rows, ascending and distinct, that the indexes hold for the best `wanted` places.

    A space of weight zero is not asked, nor any where words alone count. A filter may admit just those products
    that are near the query in one space and far in the other: then it is asked for more, and at last every admitted
    product is returned, unless what was not proposed cannot be better than what was.
    """
    if weights.lexical == 1:
        return np.zeros(0, np.int64)
    depth = max(MIN_CANDIDATES, OVERSAMPLE * wanted)
    if among is None:
        return _proposed(bundle, q, weights, depth, None)[0]
    for deep in (depth, DEEPER * depth):
        rows, most = _proposed(bundle, q, weights, deep, among)
        scores, _ = score_rows(bundle, q, weights, rows)
        if len(rows) >= wanted and np.partition(scores, -wanted)[-wanted] >= most - _SAME_SCORE:
            return rows
    return np.flatnonzero(among)


def _proposed(
    bundle: Searchable, q: Floats, weights: FusionWeights, depth: int, among: Mask | None
) -> tuple[Rows, float]:
    """Return the products of the `depth` nearest rows of each space, and what the others can score at most.

    The threshold algorithm (Fagin, Lotem and Naor, PODS 2001): what is in no list is no nearer in any space than
    its list's last. Several pictures of a product can take several places of the image index, so it is asked for
    as many more.
    """
    found, most = [], 0.0
    if weights.text > 0:
        scores, rows = _nearest(bundle, "text", q, depth, among)
        found.append(rows)
        most += weights.text * float(scores[-1]) if len(rows) == depth else -np.inf
    if weights.image > 0 and len(bundle.image_rows):
        per_product = -(-len(bundle.image_rows) // len(bundle.products))
        pictured = None if among is None else among[bundle.image_rows]
        scores, pictures = _nearest(bundle, "image", q, depth * per_product, pictured)
        found.append(bundle.image_rows[pictures].astype(np.int64))
        if len(pictures) == depth * per_product:
            most += weights.image * max(0.0, float(scores[-1]))  # a product without pictures has 0
    return _distinct(found, len(bundle.products)), most


def _distinct(rows: Sequence[Rows], n: int) -> Rows:
    """Return the rows, of n, that are in any of `rows`, ascending: ten times as fast as sorting them."""
    mask = np.zeros(n, np.bool_)
    for some in rows:
        mask[some] = True
    return np.flatnonzero(mask)


def has_named(bundle: Searchable, named: Sequence[NamedEntity]) -> NDArray[np.bool_]:
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


def score_rows(bundle: Searchable, q: Floats, weights: FusionWeights, rows: Rows) -> tuple[Floats, NDArray[np.int32]]:
    """Return the vectors' part of the scores of product `rows`, `(m,) float32`, and their best pictures, `(m,) int32`.

    Computed from the stored vectors, `(m + pictures, d)` of them at once; none are read, and all is 0 and -1, where
    words alone count.
    """
    if weights.lexical == 1:
        return np.zeros(len(rows), np.float32), np.full(len(rows), NO_ROW, np.int32)
    best, pictures = best_pictures(bundle, q, rows)
    texts = widened(bundle.vectors["text"][rows]) @ q
    scores = weights.text * texts + weights.image * np.where(pictures == NO_ROW, 0.0, best)
    return scores.astype(np.float32), pictures


def best_pictures(bundle: Searchable, q: Floats, rows: Rows) -> tuple[Floats, NDArray[np.int32]]:
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
    if len(having) == len(rows) and counts.max() == 1:  # what most catalogues have: much the faster way
        return widened(bundle.vectors["image"][starts]) @ q, np.zeros(len(rows), np.int32)
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


def _nearest(bundle: Searchable, space: Space, q: Floats, k: int, among: Mask | None) -> tuple[Floats, Rows]:
    """Return the k rows of a space nearest to `q` with their scores, of those in `among`, `(rows of the space,) bool`.

    Under a filter an approximate index must look at more of itself: as many times as the filter refuses. Where it
    refuses most of what is nearest, the way there leads nowhere, and all of the index is looked at.
    """
    index, width = bundle.indexes[space], bundle.widths[space]
    xq = np.ascontiguousarray(q[None, :], np.float32)
    admitted = index.ntotal if among is None else int(among.sum())
    k = min(k, admitted)
    if not k:
        return np.zeros(0, np.float32), np.zeros(0, np.int64)
    if among is None or width is None:
        return _found(*index.search(xq, k, width=width, among=among))
    share = admitted / index.ntotal
    _, near = _found(*index.search(xq, k, width=width))
    if among[near].mean() >= share * FAIR_SHARE:
        scores, rows = index.search(xq, k, width=math.ceil(WIDENING * width / share), among=among)
        if rows[0, -1] != NO_ROW:
            return _found(scores, rows)
    return _found(*index.search(xq, k, width=index.ntotal, among=among))


def _found(scores: Floats, rows: Rows) -> tuple[Floats, Rows]:
    having = rows[0] != NO_ROW
    return scores[0][having], rows[0][having]
