"""What `auto` chooses beside every recipe tuned to the same recall: latency over that of the fastest.

Cost model: one thread, one query at a time, vectors in memory. All recipes stand side by side; each is searched at the
smallest width that reaches a recall, in alternating turns, and the median over turns is its latency. `auto` is asked
for the same recall, with no bound on memory and with every bound that shuts out one more of the largest recipes; the
best is the fastest of those that fit.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.ann import queries_near, recall_at_k
from benchmarks.record import timed_ms
from benchmarks.vectors import Floats, Half, Structured, nearest
from indexer.index import FaissIndex
from indexer.recipes import Goal, Recipe, build_s, choose, latency_us
from indexer.tune import RECIPES, WIDTHS

SIZES: Final = (10_000, 100_000, 1_000_000)
RECALLS: Final = (0.95, 0.99)
K, NQ, EXACT_NQ = 10, 300, 50


@dataclass(frozen=True, slots=True)
class Built:
    """An index of one recipe, and the seconds that building it took."""

    index: FaissIndex
    build_s: float


def figures(sizes: Sequence[int], d: int, turns: int, seed: int) -> dict[str, Any]:
    """Return what `of_vectors` does for made vectors of each size, and the worst ratio of all."""
    made = Structured(d, seed)
    xb, xq = made.rows(max(sizes)), made.queries(NQ)
    return _summed({f"{n:,} made": of_vectors(xb[:n], xq, turns, seed) for n in sizes})


def figures_of(path: Path, turns: int, seed: int) -> dict[str, Any]:
    """Return what `of_vectors` does for the vectors in a file, `(n, d)`; some of them moved a little are queries."""
    xb = np.load(path, allow_pickle=False).astype(np.float32)
    xq = queries_near(xb, NQ, seed)
    return _summed({f"{len(xb):,} of {path.name}": of_vectors(xb.astype(np.float16), xq, turns, seed)})


def of_vectors(xb: Half, xq: Floats, turns: int, seed: int) -> dict[str, Any]:
    """Return, for each recall, every recipe's width and latency at it, and what `auto` chooses beside the fastest."""
    n, d = xb.shape
    truth = nearest(xb, xq, K)
    built = {recipe: _built(xb, recipe, seed) for recipe in RECIPES}
    return {
        "vectors": n,
        "dimensions": d,
        "queries": len(xq),
        "recipes": {
            recipe.value: {
                "factory": one.index.recipe,
                "bytes_per_vector": one.index.memory_bytes / n,
                "build_s": one.build_s,
                "modelled_build_s": build_s(recipe, n, d),
            }
            for recipe, one in built.items()
        },
        "at": {str(target): _at(built, xq, truth, target, turns) for target in RECALLS},
    }


def _built(xb: Half, recipe: Recipe, seed: int) -> Built:
    began = time.perf_counter()
    return Built(FaissIndex.build(xb, recipe, seed), time.perf_counter() - began)


def _at(
    built: Mapping[Recipe, Built], xq: Floats, truth: NDArray[np.int64], target: float, turns: int
) -> dict[str, Any]:
    widths = {recipe: smallest_width(one.index, xq, truth, target) for recipe, one in built.items()}
    reaching = {recipe: found for recipe, found in widths.items() if found is not None}
    times: dict[Recipe, list[float]] = {recipe: [] for recipe in reaching}
    for _ in range(turns):
        for recipe, (width, _) in reaching.items():
            times[recipe].append(_ms(built[recipe].index, xq, width))
    ms = {recipe: median(of_recipe) for recipe, of_recipe in times.items()}
    bytes_ = {recipe: one.index.memory_bytes for recipe, one in built.items()}
    n, d = next(iter(built.values())).index.ntotal, xq.shape[1]
    return {
        "recipes": {
            recipe.value: {
                "width": width,
                "recall_at_10": recall,
                "ms": ms[recipe],
                "turns_ms": times[recipe],
                "modelled_ms": latency_us(recipe, n, d, target) / 1e3,
            }
            for recipe, (width, recall) in reaching.items()
        },
        "auto": [judged(ms, bytes_, n, d, Goal(target, bound)) for bound in _bounds(bytes_, ms)],
    }


def judged(ms: Mapping[Recipe, float], bytes_: Mapping[Recipe, int], n: int, d: int, goal: Goal) -> dict[str, Any]:
    """Return what `auto` chooses for a goal, the fastest recipe that reaches and fits, and the ratio of their times.

    The ratio is None where `auto` chose one that does not reach the recall.
    """
    bound = goal.memory_bytes
    fitting = [recipe for recipe in ms if bound is None or bytes_[recipe] <= bound]
    best = min(fitting, key=ms.__getitem__)
    chosen = choose(n, d, goal)
    return {
        "memory_bytes": bound,
        "chosen": chosen.value,
        "best": best.value,
        "ratio": ms[chosen] / ms[best] if chosen in ms else None,
    }


def _bounds(bytes_: Mapping[Recipe, int], ms: Mapping[Recipe, float]) -> list[int | None]:
    """Return no bound, and those that shut out the largest recipes one by one while any that reaches is left."""
    sizes = sorted({bytes_[recipe] for recipe in ms}, reverse=True)
    return [None, *sizes[1:]]


def smallest_width(
    index: FaissIndex, xq: Floats, truth: NDArray[np.int64], target: float
) -> tuple[int | None, float] | None:
    """Return the smallest of WIDTHS at which recall@10 reaches the target, and the recall there; None if none does."""
    for width in WIDTHS if index.width_matters else (None,):
        recall = recall_at_k(index.search(xq, K, width=width)[1], truth)
        if recall >= target:
            return width, recall
    return None


def _ms(index: FaissIndex, xq: Floats, width: int | None) -> float:
    """Return the median over queries of the faster of two searches; an exact one takes as long for any query."""
    asked = xq if index.width_matters else xq[:EXACT_NQ]
    return median(min(timed_ms(partial(index.search, q, K, width=width), repeats=2, warmup=0)) for q in asked[:, None])


def _summed(by_size: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    ratios = [judgement["ratio"] for size in by_size.values() for at in size["at"].values() for judgement in at["auto"]]
    return {
        "sizes": by_size,
        "worst_ratio": None if None in ratios else max(ratios),
        "missed": ratios.count(None),
    }
