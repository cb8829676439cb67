"""The indexes of a bundle that is being made: of each space, of the recipe that was asked for or found by tuning.

Measuring recipes is left to `indexer.tune`, the rest of a build to `indexer.build`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from indexer import faiss_gpu
from indexer.bundle import index_file, vectors_file
from indexer.index import FaissIndex
from indexer.manifest import SPACES, IndexRecord, Space
from indexer.recipes import Goal, Recipe, resolve_recipe
from indexer.tune import QUERIES, RECIPES, Measured, Told, sample_of, tune, unheard
from indexer.tune_plot import draw

TUNING: Final = "tuning.json"
TUNING_PLOT: Final = "tuning.svg"
TUNING_FILES: Final = (TUNING, TUNING_PLOT)
LEAST_WIDTH: Final = 16
TUNED: Final = "tuned"  # what was requested of an index that tuning chose


@dataclass(frozen=True, slots=True)
class Indexing:
    """What the indexes of a bundle are to be.

    Attributes:
        recipe: of both, see `indexer.recipes`; with `tuned` it need not be stated.
        goal: recall, and the memory that both may take together, each by its rows.
        seed: of training and of the sample of queries.
        tuned: whether `recipes` are measured and the best is taken.
        recipes: what is measured.
        seconds: that measuring may take, for each space by its rows; None: as long as it takes.
        device: what helps to build: `cpu`, `cuda`, or `auto` for a GPU if there is one.
    """

    recipe: str = Recipe.AUTO
    goal: Goal = field(default_factory=Goal)
    seed: int = 0
    tuned: bool = False
    recipes: tuple[str, ...] = RECIPES
    seconds: float | None = None
    device: str = "cpu"

    def of(self, rows: int, of_rows: int) -> "Indexing":
        """Return what is asked of the index that holds `rows` of all `of_rows`."""
        seconds = None if self.seconds is None else self.seconds * rows / max(1, of_rows)
        return replace(self, goal=self.goal.part(rows, of_rows), seconds=seconds)


class Tuning(BaseModel):
    """What is kept in a bundle as `tuning.json`: of each space all that was measured, and the choice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    spaces: Mapping[Space, Measured]


def write_indexes(
    folder: Path,
    asked: Indexing,
    told: Told = unheard,
) -> tuple[dict[Space, IndexRecord], dict[Space, Measured]]:
    """Build the index of each space from the vectors in `folder`, and write it there.

    Return the records of the indexes, and what was measured of those that were tuned; only they have a width, of 16 at
    least. What was measured is written too, as JSON and, where matplotlib is installed, as a plot.

    Raises:
        IndexFileError: FAISS does not know a recipe, or none fits into the memory.
    """
    vectors = {space: _mapped(folder, space) for space in SPACES}
    records: dict[Space, IndexRecord] = {}
    measured: dict[Space, Measured] = {}
    for space, index, found in _indexes(vectors, asked, told):
        index.save(folder / index_file(space))
        if found is not None:
            measured[space] = found
        records[space] = IndexRecord(
            recipe=index.recipe,
            requested=TUNED if asked.tuned else asked.recipe,
            width=_served(found.chosen.width) if found else None,
            ntotal=index.ntotal,
            memory_bytes=index.memory_bytes,
        )
    if measured:
        tuning = Tuning(seed=asked.seed, spaces=measured)
        (folder / TUNING).write_text(tuning.model_dump_json(indent=1) + "\n", encoding="utf-8")
        draw(measured, folder / TUNING_PLOT)
    return records, measured


def measure_spaces(vectors: Mapping[Space, NDArray[np.float16]], asked: Indexing, told: Told) -> dict[Space, Measured]:
    """Return what tuning measures of each space that has vectors, and keep nothing of it.

    Raises:
        IndexFileError: FAISS does not know a recipe, or none fits into the memory.
    """
    return {space: found for space, _, found in _indexes(vectors, asked, told) if found is not None}


def _indexes(
    vectors: Mapping[Space, NDArray[np.float16]], asked: Indexing, told: Told
) -> Iterator[tuple[Space, FaissIndex, Measured | None]]:
    """Yield the index of each space, and where it was tuned what was measured; one at a time is held."""
    queries = sample_of(vectors, QUERIES, asked.seed) if asked.tuned else np.zeros((0, 0), np.float32)
    total = sum(len(rows) for rows in vectors.values())
    for space, rows in vectors.items():
        (n, d), mine = rows.shape, asked.of(len(rows), total)
        if asked.tuned and n:
            tuned = tune(
                rows,
                queries,
                mine.goal,
                recipes=mine.recipes,
                seed=mine.seed,
                seconds=mine.seconds,
                told=partial(_tell, told, space),
            )
            yield space, tuned.index, tuned.measured
        else:
            recipe = resolve_recipe(mine.recipe, n, d, mine.goal)
            yield space, faiss_gpu.build(rows, recipe, mine.seed, mine.device), None


def _served(width: int | None) -> int | None:
    """Return the width that a bundle is searched with: ranking asks for hundreds of rows, few lists hold fewer."""
    return None if width is None else max(LEAST_WIDTH, width)


def _tell(told: Told, space: Space, step: str) -> None:
    told(f"{space}: {step}")


def _mapped(folder: Path, space: Space) -> NDArray[np.float16]:
    return np.asarray(np.load(folder / vectors_file(space), mmap_mode="r", allow_pickle=False))
