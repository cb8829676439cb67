"""From a query vector, or none, to hits in order: filter, score, sort, collapse, diversify, count, explain.

Runs in a worker thread of the ranking pool; reading words and encoding are done before.
"""

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexer.asking import NO_ROW
from indexer.fields import Column, CountedColumn, IdColumn, KeywordColumn, Mask
from indexer.manifest import FusionWeights, QueryKind
from indexer.ranking import MIN_CANDIDATES, OVERSAMPLE, FilterStrategy, Scored, Words, score
from indexer.searchable import Searchable
from models.product import Product
from service.categorise import VOTERS, Reranked, category_of, demoted, fitting_mask, narrowed, unfiltered, voted
from service.embed import kind_of
from service.errors import InvalidRequestError
from service.facets import Facet, count
from service.filters import column
from service.mixture import Mixture, Term, explain, targets_of
from service.ordering import Places, collapsed, diversified, sorted_places
from service.query import Query
from service.served import Served
from service.understand import LinkedEntity, matched_texts, named_entities

OTHER_CATEGORY: Final = "other category"  # the term of a score that being of another category than asked for takes
LEXICAL: Final = "lexical"  # the term of a score that matching as words adds
DIVERSIFIED: Final = 200  # of the first hits; all pages within them belong to one order


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a query's fields came to in one catalogue.

    Attributes:
        among: `(n,) bool`, the products the filter admits; None without a filter.
        sort: columns to sort by, each with whether it falls.
        facets: a column for each facet asked for.
        collapse: `(n,) float64`, products of equal value are one; None: every product by itself.
        reranked: What is made of the query's category.
    """

    among: Mask | None
    sort: tuple[tuple[Column, bool], ...]
    facets: tuple[CountedColumn, ...]
    collapse: NDArray[np.float64] | None
    reranked: Reranked | None = None


EVERYTHING: Final = Wanted(None, (), (), None)


@dataclass(frozen=True, slots=True)
class Found:
    """A product found.

    Attributes:
        row: Its row in the bundle.
        product: What the catalogue says of it.
        score: Inner product with the query, at most 1, and what entities in common add; 0 where nothing was sought.
        terms: What the score is made of, if that was asked for.
    """

    row: int
    product: Product
    score: float
    terms: tuple[Term, ...] | None


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Hits, how many there are on all pages, and the seconds that all but scoring took."""

    hits: tuple[Found, ...]
    found: int
    facets: tuple[Facet, ...]
    strategy: FilterStrategy
    rank_s: float
    reranked: Reranked | None = None


def likeness(bundle: Searchable, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of each of the unit `vectors (n, d)` and the catalogue picture nearest to it, `(n,)`, or -1."""
    if not len(bundle.image_rows):
        return np.full(len(vectors), -1, np.float32)
    index, width = bundle.indexes["image"], bundle.widths["image"]
    scores, rows = index.search(np.ascontiguousarray(vectors, np.float32), 1, width=width)
    return np.where(rows[:, 0] == NO_ROW, np.float32(-1), scores[:, 0])


def resolve(served: Served, query: Query) -> Wanted:
    """Return what the query's fields come to.

    Raises:
        InvalidRequestError: a field nobody states, one that does not suit, or a value of the wrong type.
    """
    fields = served.bundle.fields
    collapse = None
    if query.collapse is not None:
        by = column(fields, query.collapse, "collapse")
        if not isinstance(by, KeywordColumn):
            msg = f"collapse: {query.collapse!r} holds no words."
            raise InvalidRequestError(msg, path="collapse")
        collapse = by.order
    facets = []
    for facet in query.facets:
        counted = column(fields, facet.field, facet.path)
        if isinstance(counted, IdColumn):
            msg = f"{facet.path}: every product has an id of its own: there is nothing to count."
            raise InvalidRequestError(msg, path=facet.path)
        facets.append(counted)
    return Wanted(
        among=_admitted(served, query),
        sort=tuple((column(fields, key.field, key.path), key.descending) for key in query.sort),
        facets=tuple(facets),
        collapse=collapse,
    )


def _admitted(served: Served, query: Query) -> Mask | None:
    """Return the products that the query's filter admits, None if it has none."""
    if query.filter is None:
        return None
    mask, live = served.filters.mask(query.filter), served.bundle.live
    return mask if live is None else mask & live


def retrieve(
    served: Served, query: Query, wanted: Wanted, mixture: Mixture | None, links: Sequence[LinkedEntity]
) -> Retrieved:
    """Return the hits for a query vector and the entities its words name; all products for None."""
    bundle = served.bundle
    if served.elsewhere is not None:
        bundle = served.elsewhere.under(bundle, query.filter)
    everywhere = wanted
    candidates = Candidates(bundle, query, mixture, links)
    if query.rerank is not None:
        guess = category_of(bundle, query, mixture, links)
        if query.parts and (guess is None or guess.source != "caller"):
            guess = voted(bundle, candidates.among(wanted.among, _places(query)), guess)
        among, reranked = narrowed(bundle, query, wanted.among, guess)
        wanted = replace(wanted, among=among, reranked=reranked)
    scored, ordered = _ordered(bundle, query, wanted, candidates)
    if wanted.reranked is not None and wanted.reranked.action == "filter" and not len(ordered):
        wanted = replace(everywhere, reranked=unfiltered(wanted.reranked))
        scored, ordered = _ordered(bundle, query, wanted, candidates)
    began = time.perf_counter()
    if query.diversity and query.parts:
        ordered = _diversified(bundle, query, scored, ordered)
    page = scored.take(ordered[query.offset : query.offset + query.limit])
    terms = _explained(bundle, query, wanted, mixture, links, page) if query.explain and query.parts else None
    hits = tuple(
        Found(int(row), bundle.products[int(row)], float(value), terms[place] if terms else None)
        for place, (row, value) in enumerate(zip(page.rows, page.scores, strict=True))
    )
    facets = _facets(bundle, query, wanted, scored)
    return Retrieved(hits, len(ordered), facets, scored.strategy, time.perf_counter() - began, wanted.reranked)


class Candidates:
    """The candidates for the places of one query; those that are asked for again are not looked for again.

    Args:
        bundle: where they are.
        query: what is sought.
        mixture: its vector; None: it has only words to be matched.
        links: the entities that its words name.
    """

    def __init__(
        self, bundle: Searchable, query: Query, mixture: Mixture | None, links: Sequence[LinkedEntity]
    ) -> None:
        texts = [(text, share) for _, text, share in matched_texts(query)]
        vector = np.zeros(bundle.manifest.encoder.dim, np.float32) if mixture is None else mixture.vector
        self._score = functools.partial(score, bundle, vector, _weights(bundle, query))
        self._words = Words([entity for _, entity in named_entities(query, links)], texts)
        self._excluded = _excluded(bundle, query)
        self._latest: tuple[Mask | None, int, Scored] | None = None

    def among(self, products: Mask | None, places: int) -> Scored:
        """Return at least as many of some products as there are places, with their scores."""
        if self._latest is None or self._latest[0] is not products or self._latest[1] != places:
            found = self._score(places, self._words, among=products, exclude_rows=self._excluded)
            self._latest = (products, places, found)
        return self._latest[2]


def _places(query: Query) -> int:
    """Return how many places are looked at, at first: those of the page, and those that vote on the category."""
    return max(query.limit + query.offset, VOTERS if query.rerank is not None else 0)


def _ordered(bundle: Searchable, query: Query, wanted: Wanted, candidates: Candidates) -> tuple[Scored, Places]:
    """Return the products found and their places in order; where variants collapse, enough for the page."""
    page, places = query.limit + query.offset, _places(query)
    while True:
        scored = _scored(bundle, wanted, candidates, places) if query.parts else _all(bundle, query, wanted)
        ordered = sorted_places(scored, wanted.sort)
        if wanted.collapse is not None:
            ordered = collapsed(ordered, wanted.collapse[scored.rows[ordered]])
        no_more = places >= len(bundle.products) or _complete(bundle, query, wanted, scored)
        if wanted.collapse is None or len(ordered) >= page or no_more:
            return scored, ordered
        places *= OVERSAMPLE


def _scored(bundle: Searchable, wanted: Wanted, candidates: Candidates, places: int) -> Scored:
    """Return candidates for as many places; where they are to be sorted, the best of them only.

    What is far from the query would otherwise come first whenever it is cheap.
    """
    scored = candidates.among(wanted.among, places)
    if wanted.reranked is not None and wanted.reranked.action == "demote":
        fits = fitting_mask(bundle, wanted.among, wanted.reranked)
        # Those of the category come first on every page, so as many of them are candidates as of all products.
        others = scored.with_others(candidates.among(fits, places)) if fits.any() else scored
        scored = demoted(bundle, others, wanted.reranked)
    return scored.take(scored.best()[: max(MIN_CANDIDATES, OVERSAMPLE * places)]) if wanted.sort else scored


def _all(bundle: Searchable, query: Query, wanted: Wanted) -> Scored:
    """Return every product that the filter admits, in the order of the catalogue."""
    among = bundle.live if wanted.among is None else wanted.among
    rows = np.arange(len(bundle.products)) if among is None else np.flatnonzero(among)
    rows = rows[~np.isin(rows, _excluded(bundle, query))]
    scores, pictures = np.zeros(len(rows), np.float32), np.zeros(len(rows), np.int32)
    strategy = FilterStrategy.NONE if wanted.among is None else FilterStrategy.EXACT
    return Scored(rows, scores, pictures, np.zeros((len(rows), 0), np.float32), strategy, len(rows))


def _weights(bundle: Searchable, query: Query) -> FusionWeights:
    """Return the bundle's weights for the kind of query, as its mode and its own weight change them."""
    weights = bundle.manifest.fusion[kind_of(query)]
    if query.led and kind_of(query) is QueryKind.IMAGE:
        weights = weights.model_copy(update={"image": 1.0, "text": 0.0})
    if query.mode == "lexical":
        return weights.model_copy(update={"lexical": 1.0, "entities": 0.0})
    if query.mode == "vector" or not matched_texts(query):
        return weights.model_copy(update={"lexical": 0.0})
    if query.lexical_weight is not None:
        return weights.model_copy(update={"lexical": query.lexical_weight})
    return weights


def _excluded(bundle: Searchable, query: Query) -> list[int]:
    rows = [bundle.products.row_of(product_id) for product_id in query.exclude]
    return [row for row in rows if row is not None]


def _complete(bundle: Searchable, query: Query, wanted: Wanted, scored: Scored) -> bool:
    """Return whether no product is missing from `scored`: of those that the filter admits, or that have the words."""
    if query.mode == "lexical":
        return len(scored.rows) == scored.candidates
    among = bundle.live if wanted.among is None else wanted.among
    admitted = np.ones(len(bundle.products), np.bool_) if among is None else among.copy()
    admitted[_excluded(bundle, query)] = False
    return len(scored.rows) == int(admitted.sum())


def _diversified(bundle: Searchable, query: Query, scored: Scored, ordered: Places) -> Places:
    first, rest = ordered[:DIVERSIFIED], ordered[DIVERSIFIED:]
    candidates = scored.take(first)
    vectors = _weights(bundle, query).model_copy(update={"lexical": 0.0})  # alike is what looks and means alike
    targets = targets_of(bundle, candidates, vectors)
    units = targets / np.maximum(np.linalg.norm(targets, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.concatenate([first[diversified(candidates.scores, units, len(first), query.diversity)], rest])


def _explained(
    bundle: Searchable,
    query: Query,
    wanted: Wanted,
    mixture: Mixture | None,
    links: Sequence[LinkedEntity],
    page: Scored,
) -> list[tuple[Term, ...]]:
    weights = _weights(bundle, query)
    extras: list[tuple[int, str, str | None]] = [
        (number, entity.group, entity.value) for number, entity in named_entities(query, links)
    ]
    if weights.lexical:
        extras += [(number, LEXICAL, None) for number, _, _ in matched_texts(query)]
    if page.added.shape[1] > len(extras) and wanted.reranked is not None and wanted.reranked.guess is not None:
        extras.append((0, OTHER_CATEGORY, wanted.reranked.guess.name))
    added = list(zip(extras, page.added.T, strict=True))
    return explain(mixture, targets_of(bundle, page, weights), added)


def _facets(bundle: Searchable, query: Query, wanted: Wanted, scored: Scored) -> tuple[Facet, ...]:
    if not query.facets:
        return ()
    exact = _complete(bundle, query, wanted, scored)
    found = np.zeros(len(bundle.products), np.bool_)
    found[scored.rows] = True
    return tuple(
        count(asked.field, by, found, asked.limit, exact=exact)
        for asked, by in zip(query.facets, wanted.facets, strict=True)
    )
