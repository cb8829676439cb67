"""The order of hits: by relevance or by fields, one hit for every value of a field, unlike ones first."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.fields import Column
from indexer.ranking import Scored

Places = NDArray[np.int64]


def sorted_places(scored: Scored, keys: Sequence[tuple[Column, bool]]) -> Places:
    """Return the places of `scored` in order, `(m,) int64`.

    Args:
        scored: products with scores.
        keys: columns to sort by, the most important first, each with whether it falls. Products without a value
            come last either way; relevance decides between equals.
    """
    best = scored.best()
    rows = scored.rows[best]
    # The last of np.lexsort's keys is the most important: relevance stands in front, as ties keep their order.
    columns = [_falling(column.order[rows], falls=falls) for column, falls in reversed(keys)]
    return best[np.lexsort([np.arange(len(best)), *columns])]


def _falling(values: NDArray[np.float64], *, falls: bool) -> NDArray[np.float64]:
    ordered = -values if falls else values
    return np.where(np.isnan(ordered), np.inf, ordered)


def collapsed(places: Places, keys: NDArray[np.float64]) -> Places:
    """Return `places` with only the first of each key, `(m,) float64` alongside; NaN is like no other."""
    known = ~np.isnan(keys)
    _, first = np.unique(keys[known], return_index=True)
    keep = ~known
    keep[np.flatnonzero(known)[first]] = True
    return places[keep]


def diversified(scores: NDArray[np.float32], vectors: NDArray[np.float32], wanted: int, diversity: float) -> Places:
    """Return `wanted` places of candidates, each chosen for its score and for being unlike those before it.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): the next one has the largest
    `(1 - diversity) * score - diversity * (largest cosine to one chosen)`.

    Args:
        scores: `(m,) float32`, falling.
        vectors: `(m, d) float32`, unit rows.
        wanted: how many places; fewer if there are fewer candidates.
        diversity: 0..1.
    """
    merit = (1.0 - diversity) * scores
    likeness = np.full(len(scores), -np.inf, np.float32)
    left = np.ones(len(scores), np.bool_)
    chosen: list[int] = []
    for _ in range(min(wanted, len(scores))):
        worth = merit - diversity * likeness if chosen else merit
        best = int(np.argmax(np.where(left, worth, -np.inf)))
        chosen.append(best)
        left[best] = False
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return np.array(chosen, np.int64)
