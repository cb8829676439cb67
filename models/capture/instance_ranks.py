"""Where products stand when they are searched for, and what that is worth: plain functions of vectors.

A product is as near as the nearest of its pictures. What is equally near, or but for rounding, stands ahead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.encoder import Vectors
from models.metrics import (
    PRODUCT1M_DEPTHS,
    Interval,
    Rankings,
    Values,
    average_precision_at_k,
    bootstrap_interval,
    product1m_scores,
)

DEPTHS: Final = (1, 5, 10)
_TIE: Final = np.float32(1e-6)
_AT_ONCE: Final = 256
_LISTED: Final = 100  # pictures of a result list: as deep as Product1M's scorer looks


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """What is searched.

    Attributes:
        vectors: `(m, d)` of pictures.
        owners: `(m,)` row of each picture's product.
        ids: of the products.
    """

    vectors: Vectors
    owners: NDArray[np.int64]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """What searching brought.

    Attributes:
        ranks: `(n,)` from 1, of the wanted product of each query.
        pictures: `(n, 100)` at most, rows of the nearest pictures, best first.
    """

    ranks: Values
    pictures: NDArray[np.int64]


def search(queries: Vectors, wanted: NDArray[np.int64], gallery: Gallery) -> Searched:
    """Search for each of `queries (n, d)` and find its `wanted (n,)` product's place; -1 wants nothing: inf."""
    order = np.argsort(gallery.owners, kind="stable")
    firsts = np.searchsorted(gallery.owners[order], np.arange(len(gallery.ids)))
    depth = min(_LISTED, len(gallery.vectors))
    ranks, pictures = [np.empty(0)], [np.empty((0, depth), np.int64)]
    for start in range(0, len(queries), _AT_ONCE):
        scores = queries[start : start + _AT_ONCE] @ gallery.vectors.T
        best = np.maximum.reduceat(scores[:, order], firsts, axis=1)  # (b, products)
        asked = wanted[start : start + _AT_ONCE]
        own = best[np.arange(len(best)), asked]
        ahead = (best >= own[:, None] - _TIE).sum(axis=1)  # the product itself among them
        ranks.append(np.where(asked < 0, np.inf, ahead))
        pictures.append(np.argsort(-scores, axis=1, kind="stable")[:, :depth])
    return Searched(np.concatenate(ranks), np.concatenate(pictures))


def interleaved(lists: Sequence[Sequence[int]]) -> list[int]:
    """Return the first of each list, then the second of each, and so on, everything once."""
    return list(dict.fromkeys(item for row in zip_longest(*lists) for item in row if item is not None))


def instance_figures(ranks: Values, seed: int = 0) -> dict[str, Interval]:
    """Return R@1, R@5, R@10 and mAP@10 of instances by their `ranks (n,)`, inf for what was not found.

    Each instance wants one product, so its average precision is one over the rank.
    """
    found = {f"r{k}": bootstrap_interval((ranks <= k).astype(float), seed) for k in DEPTHS}
    return found | {"map10": bootstrap_interval(reciprocal_at_10(ranks), seed)}


def reciprocal_at_10(ranks: Values) -> Values:
    """Return the average precision at 10 of each instance, `(n,)`."""
    return np.where(ranks <= 10, 1 / ranks, 0.0)


def picture_figures(
    lists: Sequence[Sequence[int]], products: Sequence[Sequence[str]], gallery: Gallery, seed: int = 0
) -> dict[str, Interval]:
    """Return Product1M's figures and standard mAP@N of whole photos' result lists.

    Args:
        lists: rows of gallery pictures, best first, of each photo.
        products: what each photo shows.
        gallery: whose pictures carry the product's id as their label.
        seed: of the intervals.
    """
    labels = dict(enumerate(gallery.ids[owner] for owner in gallery.owners))
    pictures_of: dict[str, set[int]] = {}
    for row, label in labels.items():
        pictures_of.setdefault(label, set()).add(row)
    relevant = [set().union(*(pictures_of.get(one, set()) for one in shown)) for shown in products]
    rankings = Rankings.from_lists(lists, relevant)
    figures: dict[str, Interval] = {}
    for n in PRODUCT1M_DEPTHS:
        scores = product1m_scores(lists, products, labels, n)
        figures[f"product1m_map{n}"] = bootstrap_interval(scores.average_precision, seed)
        figures[f"product1m_mar{n}"] = bootstrap_interval(scores.average_recall, seed)
        figures[f"product1m_prec{n}"] = bootstrap_interval(scores.precision, seed)
        figures[f"standard_map{n}"] = bootstrap_interval(average_precision_at_k(rankings, n), seed)
    return figures
