"""ANN recipes on a bundle's own picture vectors: recall@10 against exact search, and time of a single query.

Cost model: one thread, one query at a time, vectors in memory. Exact search is n * d multiply-adds; the others
trade recall for less. Queries are vectors of the bundle moved by a little noise, so they lie where shoppers' do.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import percentiles, timed_ms
from indexer.index import FaissIndex

K = 10


def recall_at_k(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Return the mean share of each row of `truth` that is in the same row of `found`, both `(nq, k)`."""
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, truth, strict=True)]))


def queries_near(xb: NDArray[np.float32], nq: int, seed: int) -> NDArray[np.float32]:
    """Return `(nq, d) float32` unit rows: rows of `xb` with Gaussian noise of a tenth of their length."""
    rng = np.random.default_rng(seed)
    xq = xb[rng.integers(len(xb), size=nq)]
    moved = xq + rng.normal(scale=0.1 / np.sqrt(xb.shape[1]), size=xq.shape)
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), dtype=np.float32)


def _search_ms(index: FaissIndex, xq: NDArray[np.float32]) -> float:
    return timed_ms(lambda: index.search(xq, K), repeats=1, warmup=0)[0]


def figures(xb: NDArray[np.float32], recipes: Sequence[str], nq: int, seed: int) -> dict[str, object]:
    """Return recall@10, single-query latency and bytes per vector of each recipe on `xb (n, d)`."""
    xq = queries_near(xb, nq, seed)
    truth = np.argpartition(-(xq @ xb.T), K, axis=1)[:, :K].astype(np.int64)
    rows: dict[str, object] = {}
    for recipe in recipes:
        index = FaissIndex.build(xb, recipe=recipe)
        _, found = index.search(xq, K)
        spent = [_search_ms(index, row[np.newaxis]) for row in xq]
        rows[recipe] = {
            "recipe": index.recipe,
            "recall_at_10": recall_at_k(found, truth),
            "single_query_ms": percentiles(spent),
            "bytes_per_vector": index.memory_bytes / len(xb),
        }
    return {"vectors": len(xb), "dimensions": int(xb.shape[1]), "queries": nq, "recipes": rows}
