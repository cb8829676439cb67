"""How the time of a search grows with the catalogue: the exponent of IVF and HNSW at one recall.

Cost model: one thread, one query at a time, vectors in memory. At every size the smallest width is taken that finds
nine and a half of the true ten nearest rows (`TARGET`). Once indexes of all sizes are built they are timed in turns, so
that a processor that changes its speed changes it for all; the exponent of a turn is the slope of a least-squares line
through the logarithms of size and time, and the median over the turns is judged. Exact search has the exponent 1.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ann import recall_at_k
from benchmarks.record import percentiles, spread, timed_ms
from benchmarks.vectors import Floats, Half, Structured, nearest
from indexer.index import FaissIndex

SIZES = (10_000, 31_623, 100_000, 316_228, 1_000_000)
RECIPES = ("ivf", "hnsw")
TARGET, K, NQ = 0.95, 10, 500
WIDTHS = tuple(sorted({round(2 ** (power / 4)) for power in range(45)}))  # 1 to 2,048, each about 1.2 times the last
PASSES = 3  # over all queries in a turn; the fastest of each query's times counts


@dataclass(frozen=True, slots=True)
class _Built:
    """An index of so many rows, and the width at which it is searched."""

    index: FaissIndex
    build_s: float
    width: int
    recall: float

    @classmethod
    def of(cls, xb: Half, xq: Floats, truth: NDArray[np.int64], recipe: str, seed: int) -> "_Built":
        began = time.perf_counter()
        index = FaissIndex.build(xb, recipe, seed)
        return cls(index, time.perf_counter() - began, *smallest_width(index, xq, truth))

    def timed(self, xq: Floats) -> dict[str, float]:
        """Return percentiles of the milliseconds of a single query."""
        times = [timed_ms(partial(self.index.search, q, K, width=self.width), PASSES, warmup=1) for q in xq[:, None]]
        return percentiles([min(of_one) for of_one in times])


def figures(sizes: Sequence[int], d: int, turns: int, seed: int) -> dict[str, Any]:
    """Return width, recall and times of a single query by recipe and size, and each recipe's exponent."""
    made = Structured(d, seed)
    xb, xq = made.rows(max(sizes)), made.queries(NQ)
    truths = [nearest(xb[:n], xq, K) for n in sizes]
    found: dict[str, Any] = {"points": {}, "exponents": {}, "spread": {}}
    for recipe in RECIPES:
        built = [_Built.of(xb[:n], xq, truth, recipe, seed) for n, truth in zip(sizes, truths, strict=True)]
        times = [[one.timed(xq) for one in built] for _ in range(turns)]
        exponents = spread([exponent(sizes, [ms["p50"] for ms in turn]) for turn in times])
        found["points"][recipe] = [_point(*of_size) for of_size in zip(built, *times, strict=True)]
        found["exponents"][recipe], found["spread"][recipe] = exponents["median"], exponents
    return {"dimensions": d, "queries": NQ, "target_recall_at_10": TARGET, **found}


def _point(built: _Built, *times: dict[str, float]) -> dict[str, Any]:
    return {
        "vectors": built.index.ntotal,
        "recipe": built.index.recipe,
        "build_s": built.build_s,
        "width": built.width,
        "recall_at_10": built.recall,
        "ms": {name: median([ms[name] for ms in times]) for name in times[0]},
    }


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Return the slope of the least-squares line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def smallest_width(index: FaissIndex, xq: Floats, truth: NDArray[np.int64]) -> tuple[int, float]:
    """Return the smallest of WIDTHS at which recall@10 reaches TARGET, and the recall there; else the largest."""
    recall = 0.0
    for width in WIDTHS:
        recall = recall_at_k(index.search(xq, K, width=width)[1], truth)
        if recall >= TARGET:
            return width, recall
    return WIDTHS[-1], recall
