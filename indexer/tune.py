"""Recipes and widths measured on a catalogue's own vectors, and the choice among them by recall, memory and latency.

Exact search is the judge. Recipes are built one after the other, those first that the model of `indexer.recipes`
takes to be fast, while the time lasts; every width of each is measured until more of it finds no more. Writing what
was chosen into a bundle is left to `indexer.indexing`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from indexer.amounts import size
from indexer.evaluate import K, exact_scores, exact_search, recall, sample_rows
from indexer.index import FaissIndex
from indexer.manifest import Space
from indexer.recipes import ANY, Goal, Recipe, build_s, choose, estimate_memory, latency_us, resolve_recipe
from models.encoder import Vectors

RECIPES: Final[tuple[Recipe, ...]] = tuple(recipe for recipe in Recipe if recipe != Recipe.AUTO)
QUERIES: Final = 200
WIDTHS: Final = tuple(sorted({round(2 ** (power / 4)) for power in range(41)}))  # 1 to 1,024, each about 1.2 times more
PASSES: Final = 3  # over all queries; the fastest of each query's times counts
ENOUGH: Final = 0.9995  # of recall: wider finds nothing worth having
_NO_MORE: Final = 4  # widths in a row that do not find more


class Point(BaseModel):
    """One recipe at one width, measured. `p50_ms` is the median of single searches for ten rows, on one core."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    factory: str
    width: int | None
    recall_at_10: float
    p50_ms: float
    memory_bytes: int
    build_s: float
    on_front: bool = False

    def beats(self, other: "Point") -> bool:
        """Return whether this is nowhere worse than `other`, and somewhere better."""
        mine = (-self.recall_at_10, self.p50_ms, self.memory_bytes)
        others = (-other.recall_at_10, other.p50_ms, other.memory_bytes)
        return mine != others and all(a <= b for a, b in zip(mine, others, strict=True))


class Measured(BaseModel):
    """What was measured of one space's vectors, and what was chosen: the record that a bundle keeps.

    `left_out` says why recipes were not measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    dimensions: int
    queries: int
    target_recall_at_10: float
    memory_budget_bytes: int | None
    reached: bool
    chosen: Point
    points: tuple[Point, ...]
    left_out: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Tuned:
    """The index that was chosen, and all that was measured: the width to search it with is that of `chosen`."""

    index: FaissIndex
    measured: Measured


Told = Callable[[str], None]
"""Told of each step."""


def unheard(step: str) -> None:
    """Take no notice of a step."""


def tune(
    vectors: NDArray[np.float16],
    queries: Vectors,
    goal: Goal = ANY,
    *,
    recipes: Sequence[str] = RECIPES,
    seed: int = 0,
    seconds: float | None = None,
    told: Told = unheard,
) -> Tuned:
    """Measure `recipes` on `vectors`, `(n, d)`, n > 0, and choose the fastest that reaches the goal.

    Where none reaches the recall, the one that finds most. Every recipe that fits into the memory is measured, or as
    many as `seconds` allow, by what building them is estimated to take; one at least. `told` hears of every step.

    Raises:
        IndexFileError: FAISS does not know a recipe, or none fits into the memory.
    """
    return _Tuning(vectors, queries, goal, seed, told).run(recipes, seconds)


def sample_of(vectors: Mapping[Space, NDArray[np.float16]], wanted: int, seed: int) -> Vectors:
    """Return up to `wanted` vectors of all spaces as queries, as many of each, float32."""
    rng = np.random.default_rng(seed)
    spaces = [space for space in vectors.values() if len(space)]
    parts = [space[sample_rows(rng, len(space), -(-wanted // len(spaces)))] for space in spaces]
    return np.concatenate(parts).astype(np.float32)[:wanted]


class _Tuning:
    """One run; holds the best index so far, and the points of all."""

    def __init__(self, vectors: NDArray[np.float16], queries: Vectors, goal: Goal, seed: int, told: Told) -> None:
        self._vectors, self._queries, self._goal, self._seed, self._told = vectors, queries, goal, seed, told
        self._n, self._d = vectors.shape
        self._k = min(K, self._n)
        told("exact search, the judge")
        self._truth, _ = exact_search(vectors, queries, self._k)
        self._points: list[Point] = []
        self._left_out: dict[str, str] = {}
        self._best: tuple[Point, FaissIndex] | None = None

    def run(self, recipes: Sequence[str], seconds: float | None) -> Tuned:
        start, slower = time.perf_counter(), 1.0
        for recipe in self._fitting(recipes):
            expected = slower * build_s(recipe, self._n, self._d)
            left = np.inf if seconds is None else seconds - (time.perf_counter() - start)
            if self._best is not None and expected > left:
                self._left_out[recipe] = f"building it would take about {expected:.0f} s, of {max(0.0, left):.0f} left"
                continue
            took = self._measure(recipe)
            slower = max(slower, took / max(build_s(recipe, self._n, self._d), 1.0))
        if self._best is None:
            choose(self._n, self._d, self._goal)  # says what is lacking
            msg = "no recipe to measure"
            raise ValueError(msg)
        chosen, index = self._best
        return Tuned(index, self._record(chosen))

    def _fitting(self, recipes: Sequence[str]) -> list[str]:
        """Return the recipes that fit into the memory, the fastest by the model first, unnamed ones last."""
        fitting = []
        for recipe in recipes:
            needed = estimate_memory(recipe, self._n, self._d)
            if self._goal.memory_bytes is not None and needed > self._goal.memory_bytes:
                self._left_out[recipe] = f"it takes {size(needed)}"
            else:
                fitting.append(recipe)
        return sorted(fitting, key=lambda r: latency_us(r, self._n, self._d, self._goal.recall))

    def _measure(self, recipe: str) -> float:
        """Build a recipe, measure its widths, and return the seconds that building took."""
        factory = resolve_recipe(recipe, self._n, self._d)
        self._told(f"{recipe}: building {factory}")
        start = time.perf_counter()
        index = FaissIndex.build(self._vectors, factory, self._seed)
        took = time.perf_counter() - start
        found: list[Point] = []
        for width in _widths(index, self._k):
            self._told(f"{recipe}: width {width}" if width else f"{recipe}: searching")
            found.append(self._point(recipe, index, width, took))
            if _enough(found):
                break
        self._points += found
        for point in found:
            if self._best is None or self._better(point, self._best[0]):
                self._best = point, index
        return took

    def _point(self, recipe: str, index: FaissIndex, width: int | None, took: float) -> Point:
        queries, k = self._queries, self._k
        found = exact_scores(self._vectors, queries, index.search(queries, k, width=width)[1])
        return Point(
            recipe=recipe,
            factory=index.recipe,
            width=width,
            recall_at_10=recall(self._truth, found),
            p50_ms=_p50_ms(index, queries, k, width),
            memory_bytes=index.memory_bytes,
            build_s=round(took, 3),
        )

    def _better(self, point: Point, than: Point) -> bool:
        """Return whether a point suits the goal better: it reaches it and the other does not, or is faster too."""
        target = self._goal.recall
        if (point.recall_at_10 >= target) != (than.recall_at_10 >= target):
            return point.recall_at_10 >= target
        if point.recall_at_10 >= target:
            return point.p50_ms < than.p50_ms
        return point.recall_at_10 > than.recall_at_10

    def _record(self, chosen: Point) -> Measured:
        points = [
            point.model_copy(update={"on_front": not any(other.beats(point) for other in self._points)})
            for point in self._points
        ]
        return Measured(
            rows=self._n,
            dimensions=self._d,
            queries=len(self._queries),
            target_recall_at_10=self._goal.recall,
            memory_budget_bytes=self._goal.memory_bytes,
            reached=chosen.recall_at_10 >= self._goal.recall,
            chosen=points[self._points.index(chosen)],
            points=tuple(points),
            left_out=self._left_out,
        )


def _widths(index: FaissIndex, k: int) -> Sequence[int | None]:
    """Return the widths worth asking for: none of an exact index, and no graph looks at fewer than k candidates."""
    if not index.width_matters:
        return [None]
    least = k if "HNSW" in index.recipe.split(",")[0] else 1
    return [width for width in WIDTHS if width >= least]


def _enough(found: Sequence[Point]) -> bool:
    """Return whether wider searches would find no more."""
    recalls = [point.recall_at_10 for point in found]
    if recalls[-1] >= ENOUGH:
        return True
    last = recalls[-_NO_MORE - 1 :]
    return len(last) > _NO_MORE and recalls[-1] > 0 and all(b <= a + 1e-9 for a, b in pairwise(last))


def _p50_ms(index: FaissIndex, queries: Vectors, k: int, width: int | None) -> float:
    index.search(queries[:1], k, width=width)
    fastest = np.full(len(queries), np.inf)
    for _ in range(PASSES):
        for at, q in enumerate(queries[:, None]):
            start = time.perf_counter()
            index.search(q, k, width=width)
            fastest[at] = min(fastest[at], time.perf_counter() - start)
    return round(float(np.median(fastest)) * 1e3, 5)
