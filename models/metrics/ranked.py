"""Measures of ranked lists, in plain numpy.

Every measure returns one value per judged query, so that means, intervals and paired comparisons are taken
of the same numbers. A judged query counts even when nothing was returned for it, or nothing is relevant:
its value is zero. Ties are counted pessimistically: among equal scores the less relevant item stands first,
so a constant scorer earns nothing. Producing scores is left to encoders and indexes.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rankings:
    """What stands at each rank of each query's list, and what the best list would hold.

    Attributes:
        gains: `(nq, m) float64`, gain of the item at rank 1..m; 0 where it is irrelevant or absent.
        ideal: `(nq, j) float64`, gains of everything judged relevant to the query, descending, 0-padded.
    """

    gains: Values
    ideal: Values

    def __post_init__(self) -> None:
        if self.gains.ndim != 2 or self.ideal.ndim != 2 or len(self.gains) != len(self.ideal):
            msg = f"gains {self.gains.shape} and ideal {self.ideal.shape} must be (nq, m) and (nq, j)"
            raise ValueError(msg)

    @classmethod
    def from_scores(cls, scores: ArrayLike, gains: ArrayLike) -> Self:
        """Rank `scores (nq, n)` downwards, given `gains (nq, n)`: a relevance mask or graded gains >= 0.

        A score of -inf means "not returned".

        Raises:
            ValueError: shapes differ, a score is NaN, or a gain is negative or not finite.
        """
        s, g = _checked(scores, gains)
        order = np.lexsort((g, -s), axis=-1)
        returned = np.where(np.isneginf(s), 0.0, g)
        return cls(np.take_along_axis(returned, order, axis=1), -np.sort(-g, axis=1))

    @classmethod
    def from_lists(
        cls,
        results: Sequence[Sequence[Hashable]],
        judgements: Sequence[Collection[Hashable] | Mapping[Hashable, float]],
    ) -> Self:
        """Read result lists, best first, against what is relevant to each query.

        Args:
            results: the returned ids of each query; an id returned again is worth nothing.
            judgements: for each query the relevant ids (gain 1), or id -> gain.

        Raises:
            ValueError: the two differ in length, or a gain is negative or not finite.
        """
        if len(results) != len(judgements):
            msg = f"{len(results)} result lists for {len(judgements)} judged queries"
            raise ValueError(msg)
        graded = [j if isinstance(j, Mapping) else dict.fromkeys(j, 1.0) for j in judgements]
        ideal = _padded([sorted(g.values(), reverse=True) for g in graded])
        if not np.isfinite(ideal).all() or (ideal < 0).any():
            msg = "gains must be finite and not negative"
            raise ValueError(msg)
        return cls(_padded([_list_gains(r, g) for r, g in zip(results, graded, strict=True)]), ideal)


def _list_gains(returned: Sequence[Hashable], gains: Mapping[Hashable, float]) -> list[float]:
    left = dict(gains)
    return [left.pop(item, 0.0) for item in returned]


def _padded(rows: Sequence[Sequence[float]]) -> Values:
    table = np.zeros((len(rows), max(map(len, rows), default=0)))
    for target, row in zip(table, rows, strict=True):
        target[: len(row)] = row
    return table


def _checked(scores: ArrayLike, gains: ArrayLike) -> tuple[Values, Values]:
    s, g = np.asarray(scores, dtype=np.float64), np.asarray(gains, dtype=np.float64)
    if s.ndim != 2 or s.shape != g.shape:
        msg = f"scores {s.shape} and gains {g.shape} must both be (nq, n)"
        raise ValueError(msg)
    if np.isnan(s).any():
        msg = "scores must not be NaN"
        raise ValueError(msg)
    if not np.isfinite(g).all() or (g < 0).any():
        msg = "gains must be finite and not negative"
        raise ValueError(msg)
    return s, g


def retrieval_ranks(scores: ArrayLike, relevant: ArrayLike) -> Values:
    """Return the 1-based rank of each query's best relevant item, `(nq,) float64`, inf where there is none.

    Equal to the first hit of `Rankings.from_scores`, in linear time. Irrelevant items with the same score
    count as better; -inf means "not returned".

    Args:
        scores: `(nq, n)`, higher is better.
        relevant: `(nq, n)` mask.

    Raises:
        ValueError: shapes differ or a score is NaN.
    """
    s, g = _checked(scores, relevant)
    mask = g > 0
    best = np.max(s, axis=1, where=mask, initial=-np.inf)
    ahead = ((s >= best[:, None]) & ~mask).sum(axis=1)
    return np.where(np.isneginf(best), np.inf, 1.0 + ahead)


def success_at_k(rankings: Rankings, k: int) -> Values:
    """Return 1 where a relevant item stands among the first `k`, else 0, `(nq,)`; R@k of the CLIP papers."""
    return np.asarray((_top(rankings, k) > 0).any(axis=1), dtype=np.float64)


def recall_at_k(rankings: Rankings, k: int) -> Values:
    """Return the share of each query's relevant items that stand among the first `k`, `(nq,)` in [0, 1]."""
    return _ratio((_top(rankings, k) > 0).sum(axis=1), (rankings.ideal > 0).sum(axis=1))


def mrr(rankings: Rankings) -> Values:
    """Return one over the rank of the first relevant item, 0 without one, `(nq,)`; their mean is the MRR."""
    hits = rankings.gains > 0
    if not hits.shape[1]:
        return np.zeros(len(hits))
    return np.where(hits.any(axis=1), 1.0 / (1 + hits.argmax(axis=1)), 0.0)


def ndcg_at_k(rankings: Rankings, k: int) -> Values:
    """Return nDCG@k with linear gains and log2 discounts (Järvelin and Kekäläinen 2002), `(nq,)` in [0, 1].

    For exponential gains pass `2**grade - 1` as the gains.
    """
    return _ratio(_dcg(_top(rankings, k)), _dcg(rankings.ideal[:, :k]))


def average_precision(rankings: Rankings) -> Values:
    """Return the mean precision at each relevant item, 0 at unreturned ones, `(nq,)`; their mean is MAP."""
    hits = rankings.gains > 0
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    return _ratio((precision * hits).sum(axis=1), (rankings.ideal > 0).sum(axis=1))


def average_precision_at_k(rankings: Rankings, k: int) -> Values:
    """Return average precision among the first `k`, over at most `k` relevant items, `(nq,)`; their mean is mAP@k.

    A list that begins with as many relevant items as it can hold is worth 1 (the mAP@k of landmark retrieval, Weyand
    et al. 2020).
    """
    hits = _top(rankings, k) > 0
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    return _ratio((precision * hits).sum(axis=1), np.minimum(k, (rankings.ideal > 0).sum(axis=1)))


def _top(rankings: Rankings, k: int) -> Values:
    if k < 1:
        msg = f"k must be at least 1, not {k}"
        raise ValueError(msg)
    return rankings.gains[:, :k]


def _dcg(gains: Values) -> Values:
    discounts = 1.0 / np.log2(np.arange(2, gains.shape[1] + 2))
    return np.asarray(gains @ discounts, dtype=np.float64)


def _ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Values:
    """Return `part / whole`, 0 where `whole` is 0."""
    bottom = np.asarray(whole, dtype=np.float64)
    top = np.asarray(part, dtype=np.float64)
    return np.divide(top, bottom, out=np.zeros_like(bottom), where=bottom > 0)
