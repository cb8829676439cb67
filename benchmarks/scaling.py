"""How the time of a search grows with the catalogue: the exponent of IVF and HNSW at one recall.

Cost model: one thread, one query at a time, vectors in memory. At every size the smallest width is taken that finds
nine and a half of the true ten nearest rows (`TARGET`); the exponent is the slope of a least-squares line through the
logarithms of size and time. Exact search has the exponent 1.
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ann import recall_at_k
from benchmarks.record import percentiles, timed_ms
from benchmarks.vectors import Floats, Half, Structured, nearest
from indexer.index import FaissIndex

SIZES = (10_000, 31_623, 100_000, 316_228, 1_000_000)
RECIPES = ("ivf", "hnsw")
TARGET, K, NQ = 0.95, 10, 500
WIDTHS = tuple(sorted({round(2 ** (power / 4)) for power in range(45)}))  # 1 to 2,048, each about 1.2 times the last
PASSES = 3  # over all queries; the fastest of each query's times counts


def figures(sizes: Sequence[int], d: int, seed: int) -> dict[str, Any]:
    """Return width, recall and time of a single query by recipe and size, and each recipe's exponent."""
    made = Structured(d, seed)
    xb, xq = made.rows(max(sizes)), made.queries(NQ)
    points: dict[str, list[dict[str, Any]]] = {recipe: [] for recipe in RECIPES}
    for n in sizes:
        truth = nearest(xb[:n], xq, K)
        for recipe in RECIPES:
            points[recipe].append(_point(xb[:n], xq, truth, recipe, seed))
    return {
        "dimensions": d,
        "queries": NQ,
        "target_recall_at_10": TARGET,
        "points": points,
        "exponents": {
            recipe: exponent([one["vectors"] for one in found], [one["ms"]["p50"] for one in found])
            for recipe, found in points.items()
        },
    }


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Return the slope of the least-squares line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def _point(xb: Half, xq: Floats, truth: NDArray[np.int64], recipe: str, seed: int) -> dict[str, Any]:
    began = time.perf_counter()
    index = FaissIndex.build(xb, recipe, seed)
    build_s = time.perf_counter() - began
    width, recall = smallest_width(index, xq, truth)
    times = [timed_ms(partial(index.search, q, K, width=width), PASSES, warmup=1) for q in xq[:, None]]
    return {
        "vectors": len(xb),
        "recipe": index.recipe,
        "build_s": build_s,
        "width": width,
        "recall_at_10": recall,
        "ms": percentiles([min(of_one) for of_one in times]),
    }


def smallest_width(index: FaissIndex, xq: Floats, truth: NDArray[np.int64]) -> tuple[int, float]:
    """Return the smallest of WIDTHS at which recall@10 reaches TARGET, and the recall there; else the largest."""
    recall = 0.0
    for width in WIDTHS:
        recall = recall_at_k(index.search(xq, K, width=width)[1], truth)
        if recall >= TARGET:
            return width, recall
    return WIDTHS[-1], recall
