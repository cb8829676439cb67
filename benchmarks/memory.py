"""Memory of an index by the vector, over what the recipe must take: measured in a process that holds nothing else.

The index is built and written by one process; another notes its own resident memory, reads the file, searches, and
notes it again. What must be is stated by the recipe alone: 2 d bytes a row of float16; and for lists of product
quantiser codes, the code, an id of 8 bytes, and the 2 d bytes that refinement reads.
"""

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.ann import recall_at_k
from benchmarks.server import resident_bytes
from benchmarks.vectors import Structured, nearest
from indexer.index import FaissIndex

P = ParamSpec("P")
R = TypeVar("R")

RECIPES: Mapping[str, str] = {"exact": "SQfp16", "ivf_pq": "IVF1024,PQ128x4fs,Refine(SQfp16)"}
CODE_BYTES, ID_BYTES = 128 * 4 // 8, 8
NQ, K = 200, 10
WIDTH = 64  # lists probed, of 1,024


def theoretical_bytes(kind: str, d: int) -> float:
    """Return the bytes that a vector of d dimensions cannot do without, by kind of RECIPES."""
    return 2.0 * d if kind == "exact" else 2.0 * d + ID_BYTES + CODE_BYTES


def figures(rows: int, d: int, seed: int) -> dict[str, Any]:
    """Return bytes by the vector, in theory and resident, with recall@10, for each of RECIPES."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        truth = _apart(_truth, rows, d, seed)
        for kind, recipe in RECIPES.items():
            path = Path(folder) / f"{kind}.faiss"
            build_s = _apart(_build, rows, d, seed, recipe, path)
            held = _apart(_hold, path, recipe, Structured(d, seed).queries(NQ))
            path.unlink()
            theory = theoretical_bytes(kind, d)
            found[kind] = {
                "recipe": recipe,
                "build_s": build_s,
                "theoretical_bytes_per_vector": theory,
                "resident_bytes_per_vector": held.resident_bytes / rows,
                "stated_bytes_per_vector": held.stated_bytes / rows,
                "ratio": held.resident_bytes / rows / theory,
                "ratio_of_whole_process": held.whole_bytes / rows / theory,
                "recall_at_10": recall_at_k(held.found, truth),
            }
    return {"vectors": rows, "dimensions": d, "queries": NQ, "width": WIDTH, "indexes": found}


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds that has read an index.

    Attributes:
        resident_bytes: by how much its resident memory grew.
        whole_bytes: all of its resident memory.
        stated_bytes: as the index itself estimates.
        found: `(NQ, K)`, what it finds.
    """

    resident_bytes: int
    whole_bytes: int
    stated_bytes: int
    found: NDArray[np.int64]


def _apart(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return `call(...)`, made in a process that ends with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(call, *args, **kwargs).result()


def _truth(rows: int, d: int, seed: int) -> NDArray[np.int64]:
    made = Structured(d, seed)
    return nearest(made.rows(rows), made.queries(NQ), K)


def _build(rows: int, d: int, seed: int, recipe: str, path: Path) -> float:
    xb = Structured(d, seed).rows(rows)
    began = time.perf_counter()
    FaissIndex.build(xb, recipe, seed).save(path)
    return time.perf_counter() - began


def _hold(path: Path, recipe: str, xq: NDArray[np.float32]) -> Held:
    few = FaissIndex.build(xq, "exact")  # what FAISS needs for any index at all is not counted
    few.search(xq, K)
    before = resident_bytes(os.getpid())
    index = FaissIndex.load(path, recipe)
    _, found = index.search(xq, K, width=WIDTH)
    after = resident_bytes(os.getpid())
    return Held(after - before, after, index.memory_bytes, found)
