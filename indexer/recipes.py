"""Recipes: friendly names for the kinds of index, and which of them suits so many rows, so much memory, such a recall.

A recipe is a name of `Recipe` or any FAISS factory string, and resolves to the factory string that an index is
built from and recorded with. Stored vectors are float16, so `SQfp16` keeps them exactly at half the memory of
`Flat`. `auto` goes by a model of what a search costs on one core; measuring it instead is left to `indexer.tune`,
building to `indexer.index`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from indexer.amounts import size
from indexer.parts import IndexFileError, made_by, memory_of

EXACT_UP_TO_SCALARS = 1_000_000  # rows * d: an exact scan takes a tenth of a millisecond, and no index saves more
HNSW_UP_TO_ROWS = 3_000_000  # beyond, the graph takes half an hour of one core and more
MIN_ROWS_PER_LIST = 39  # FAISS's own minimum for k-means
GRAPH_LISTS = 16_384  # from so many lists on, a row's own is found through a graph
RECALL = 0.99
_MAX_LISTS = 1 << 17
_FOUR_BITS = 16


class Recipe(StrEnum):
    """The recipes with a name; any FAISS factory string is one too."""

    AUTO = "auto"
    EXACT = "exact"
    HNSW = "hnsw"  # a graph over float16 rows: the fastest, and the largest
    IVF = "ivf"  # lists of float16 rows
    IVFPQ = "ivfpq"  # lists of 4-bit codes of pairs of dimensions, the best again by float16 rows
    SQ8 = "sq8"  # lists of rows of one byte a dimension: the smallest
    RABITQ = "rabitq"  # lists of one bit a dimension after a random rotation, the best again by float16 rows


@dataclass(frozen=True, slots=True)
class Goal:
    """What an index is chosen for.

    Attributes:
        recall: share of the true ten nearest that a search is to find, 0..1.
        memory_bytes: that the index may take; None: any.
    """

    recall: float = RECALL
    memory_bytes: int | None = None

    def part(self, rows: int, of_rows: int) -> "Goal":
        """Return the goal of an index that holds `rows` of the `of_rows` that share the memory."""
        if self.memory_bytes is None:
            return self
        return Goal(self.recall, self.memory_bytes * rows // max(1, of_rows))


ANY: Final = Goal()


def resolve_recipe(recipe: str, n: int, d: int, goal: Goal = ANY) -> str:
    """Return the FAISS factory string of `recipe` for n rows of d dimensions; the goal is for `auto`.

    Raises:
        IndexFileError: no recipe of `auto` fits into the memory.
    """
    if n == 0:
        return "SQfp16"
    if recipe == Recipe.AUTO:
        recipe = choose(n, d, goal)
    made = _FACTORIES.get(recipe)
    return recipe if made is None else made(n, d)


def estimate_memory(recipe: str, n: int, d: int, goal: Goal = ANY) -> int:
    """Return the bytes that an index of n rows of d dimensions will take, before building it.

    Raises:
        IndexFileError: FAISS does not know the recipe, or no recipe of `auto` fits into the memory.
    """
    return memory_of(made_by(resolve_recipe(recipe, n, d, goal), d), n)


def choose(n: int, d: int, goal: Goal = ANY) -> Recipe:
    """Return the recipe of the least modelled latency that reaches the goal.

    Where none that fits reaches the recall, the nearest to it of those that fit.

    Raises:
        IndexFileError: none fits into the memory.
    """
    if n * d <= EXACT_UP_TO_SCALARS and _fits(Recipe.EXACT, n, d, goal):
        return Recipe.EXACT
    fitting = [recipe for recipe in Recipe if recipe in _COSTS and _fits(recipe, n, d, goal)]
    if not fitting:
        least = min((recipe for recipe in Recipe if recipe in _COSTS), key=lambda recipe: estimate_memory(recipe, n, d))
        msg = (
            f"no index of {n:,} rows of {d} dimensions fits into {size(goal.memory_bytes or 0)}: "
            f"the smallest, {least}, takes {size(estimate_memory(least, n, d))}"
        )
        raise IndexFileError(msg)
    reaching = [recipe for recipe in fitting if _reach(recipe, n) >= goal.recall]
    if not reaching:
        return max(fitting, key=lambda recipe: _reach(recipe, n))
    return min(reaching, key=lambda recipe: latency_us(recipe, n, d, goal.recall))


def latency_us(recipe: str, n: int, d: int, recall: float = RECALL) -> float:
    """Return the microseconds of one search for ten rows at that recall, on one core, by the model of `_COSTS`.

    Infinity for a recipe without a name.
    """
    cost = _COSTS.get(recipe)
    return math.inf if cost is None else _CALL_US + cost(n, d, min(recall, _MOST_MODELLED))


def build_s(recipe: str, n: int, d: int) -> float:
    """Return about how many seconds building takes on one core, by the model below; 0 for a recipe without a name."""
    if recipe == Recipe.AUTO:
        recipe = choose(n, d)
    if recipe == Recipe.HNSW:
        return float(n * _HNSW_ROW_S * (n / 100_000) ** 0.45 * (d / 128) ** 0.5)
    if recipe not in _COSTS or recipe == Recipe.EXACT:
        return n * d * _COPY_S if recipe in _COSTS else 0.0
    found = lists(n)
    trained = min(n, max(_TRAINED_ROWS_PER_LIST * found, 65_536)) * found * d * _TRAINING_ROUNDS
    to_find = n * found * d if found < GRAPH_LISTS else n * _GRAPH_DISTANCES * d
    return (trained + to_find) * _MULTIPLY_S + n * d * _CODE_S[Recipe(recipe)]


def lists(n: int) -> int:
    """Return how many lists an IVF of n rows has: a power of two near 4 sqrt(n), enough rows in each."""
    wanted = min(_MAX_LISTS, 1 << round(math.log2(4 * math.sqrt(n))))
    return max(1, min(wanted, n // MIN_ROWS_PER_LIST))


def _fits(recipe: Recipe, n: int, d: int, goal: Goal) -> bool:
    if recipe == Recipe.HNSW and n > HNSW_UP_TO_ROWS:
        return False
    return goal.memory_bytes is None or estimate_memory(recipe, n, d) <= goal.memory_bytes


def _ivf(n: int) -> str:
    found = lists(n)
    return f"IVF{found}_HNSW32" if found >= GRAPH_LISTS else f"IVF{found}"


def _ivfpq(n: int, d: int) -> str:
    if n < _FOUR_BITS:
        return "SQfp16"  # fewer rows than codes
    even = d + d % 2
    return f"{'' if even == d else f'Pad{even},'}{_ivf(n)},PQ{even // 2}x4fs,Refine(SQfp16)"


_FACTORIES: Final[Mapping[str, Callable[[int, int], str]]] = {
    Recipe.EXACT: lambda n, d: "SQfp16",  # noqa: ARG005 - the same for any
    Recipe.HNSW: lambda n, d: "HNSW32,SQfp16",  # noqa: ARG005 - the same for any
    Recipe.IVF: lambda n, d: f"{_ivf(n)},SQfp16",  # noqa: ARG005 - the same for any d
    Recipe.IVFPQ: _ivfpq,
    Recipe.SQ8: lambda n, d: f"{_ivf(n)},SQ8",  # noqa: ARG005 - the same for any d
    Recipe.RABITQ: lambda n, d: f"RR{d},{_ivf(n)},RaBitQfs,Refine(SQfp16)",
}

# Microseconds on one core, measured at 10,000 to a million rows of 128 dimensions (`python -m benchmarks recipes`):
# only their order matters. Lists: the nearest of them are found by a scan, then so many are scanned.
_CALL_US: Final = 10.0
_SCALAR_US: Final = 0.12e-3  # of a float16 row, in order
_MOST_MODELLED: Final = 0.9999


def _probes(recall: float) -> float:
    """Return how many lists are looked at."""
    return float(2 / (1 - recall) ** 0.4)


def _scan_us(n: int, d: int, recall: float, of_a_row: float) -> float:
    """Return the time of finding lists and scanning them, a row costing as much as `of_a_row` in float16."""
    found = lists(n)
    to_find = found if found < GRAPH_LISTS else 64 * math.log(found)
    return _SCALAR_US * d * (to_find + of_a_row * _probes(recall) * n / found)


def _refine_us(d: int) -> float:
    """Return the time of computing the distances of a hundred rows that lie anywhere."""
    return 8 + 3 * 100 * d * _SCALAR_US


_COSTS: Final[Mapping[str, Callable[[int, int, float], float]]] = {
    Recipe.EXACT: lambda n, d, recall: _SCALAR_US * n * d,  # noqa: ARG005 - finds all
    Recipe.HNSW: lambda n, d, recall: float(0.0022 * d * math.log(n) * (1 - recall) ** -0.25),
    Recipe.IVF: lambda n, d, recall: _scan_us(n, d, recall, 1.0),
    Recipe.IVFPQ: lambda n, d, recall: _scan_us(n, d, recall, 0.5) + _refine_us(d),
    Recipe.SQ8: lambda n, d, recall: _scan_us(n, d, recall, 1.3),
    Recipe.RABITQ: lambda n, d, recall: _scan_us(n, d, recall, 0.8) + _refine_us(d) + d * d * _SCALAR_US,
}
# The share of the true ten that is lost, however much is looked at, among 10,000 rows, and the power of the rows that
# it grows with: the denser they lie, the more codes confuse.
_LOST: Final[Mapping[str, tuple[float, float]]] = {
    Recipe.EXACT: (0.0, 1.0),
    Recipe.HNSW: (0.0002, 0.3),
    Recipe.IVF: (0.0002, 0.3),
    Recipe.IVFPQ: (0.0015, 0.8),
    Recipe.SQ8: (0.006, 0.32),
    Recipe.RABITQ: (0.0005, 0.3),
}


def _reach(recipe: str, n: int) -> float:
    """Return the recall that a recipe can reach on n rows at all."""
    lost, growth = _LOST[recipe]
    return float(1 - lost * (n / 10_000) ** growth)


# Seconds on one core, from the same runs. Lists: k-means of ten rounds on 64 rows a list, then every row's own list.
_HNSW_ROW_S: Final = 64e-6  # among 100,000 rows of 128 dimensions
_COPY_S: Final = 8e-9  # a scalar
_MULTIPLY_S: Final = 2.5e-11  # one product of a matrix product
_TRAINED_ROWS_PER_LIST: Final = 64
_TRAINING_ROUNDS: Final = 10
_GRAPH_DISTANCES: Final = 1_000
_CODE_S: Final[Mapping[Recipe, float]] = {
    Recipe.IVF: 8e-9,
    Recipe.IVFPQ: 30e-9,
    Recipe.SQ8: 8e-9,
    Recipe.RABITQ: 20e-9,
}
