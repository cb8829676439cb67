"""Product1M's own scorer (Zhan et al., ICCV 2021), its quirks reproduced exactly, for figures comparable with theirs.

A query shows several products and carries the label of each; a gallery picture shows one. What is unusual:

- the depth is k = min(N, positives, length of the list); a label the query carries twice counts its pictures twice;
- AP is the sum of the precisions at the hits over the *hits* among the first k, not over all positives, so that one
  hit at rank 1 gives 1.0 whatever else is missing; without a hit 0;
- Prec is the hits among the first k over k;
- AR is the mean over the query's distinct labels of min(hits, expected) / expected over the first N, where expected
  is floor(N / |L|) for each time the query carries the label, |L| counting repetitions, and at most the gallery's
  pictures of it; a label that nothing was expected of gives 0;
- what cannot be computed counts as zero: a label that the gallery lacks, no list, an id that the gallery lacks (for AR
  alone, and only among the first N). Ids are compared as they are, spaces included.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from models.metrics.ranked import Values

Item = TypeVar("Item", bound=Hashable)

PRODUCT1M_DEPTHS: Final = (10, 50, 100)


@dataclass(frozen=True, slots=True)
class Product1mScores:
    """One value per query, each `(nq,)` in 0..1; their means are mAP@N, mAR@N and Prec@N.

    Attributes:
        average_precision: over the hits within the depth.
        average_recall: over the query's distinct labels.
        precision: within the depth.
    """

    average_precision: Values
    average_recall: Values
    precision: Values


def product1m_scores(
    results: Sequence[Sequence[Item]],
    labels: Sequence[Sequence[Hashable]],
    gallery: Mapping[Item, Hashable],
    n: int,
) -> Product1mScores:
    """Score result lists as Product1M does.

    Args:
        results: the returned gallery ids of each query, best first.
        labels: the labels of what each query shows, once for each time.
        gallery: id -> label of everything that could be returned.
        n: the depth N.

    Raises:
        ValueError: `results` and `labels` differ in length, or `n` is below 1.
    """
    if len(results) != len(labels):
        msg = f"{len(results)} result lists for {len(labels)} queries"
        raise ValueError(msg)
    if n < 1:
        msg = f"N must be at least 1, not {n}"
        raise ValueError(msg)
    held = Counter(gallery.values())
    rows = [_score(listed, carried, gallery, held, n) for listed, carried in zip(results, labels, strict=True)]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    return Product1mScores(table[:, 0], table[:, 1], table[:, 2])


def _score(
    listed: Sequence[Item],
    carried: Sequence[Hashable],
    gallery: Mapping[Item, Hashable],
    held: Mapping[Hashable, int],
    n: int,
) -> tuple[float, float, float]:
    if any(label not in held for label in carried):
        return 0.0, 0.0, 0.0
    depth = min(n, sum(held[label] for label in carried), len(listed))
    if not depth:
        return 0.0, 0.0, 0.0
    wanted = set(carried)
    hits = [item in gallery and gallery[item] in wanted for item in listed[:depth]]
    found = sum(hits)
    precisions = [sum(hits[:rank]) / rank for rank, hit in enumerate(hits, start=1) if hit]
    average = sum(precisions) / found if found else 0.0
    return average, _recall(listed[:n], carried, gallery, held, n), found / depth


def _recall(
    listed: Sequence[Item],
    carried: Sequence[Hashable],
    gallery: Mapping[Item, Hashable],
    held: Mapping[Hashable, int],
    n: int,
) -> float:
    if any(item not in gallery for item in listed):
        return 0.0
    hits = Counter(gallery[item] for item in listed)
    share = n // len(carried)
    expected = {label: min(times * share, held[label]) for label, times in Counter(carried).items()}
    return sum(min(hits[label], most) / most for label, most in expected.items() if most) / len(expected)
