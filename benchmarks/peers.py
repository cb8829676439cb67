"""Our search layer and other libraries in one process: queries a second at equal recall, singly and in batches.

Cost model: one thread, vectors in memory, graphs of the same degree and the same breadth of construction over the same
rows. Every library is asked at rising widths; between two widths the logarithm of its speed is taken to be linear in
recall, so that all are compared at the same recall. Turns alternate between libraries. A library that is not installed
is left out: `pip install 'catalens[bench]'` brings them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from statistics import median
from typing import Any, Protocol, cast

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.ann import recall_at_k
from benchmarks.vectors import Floats, Half, Structured, nearest
from indexer.index import FaissIndex

DEGREE, BREADTH = 32, 40  # links of a node above the lowest level, candidates while building: FAISS's for HNSW32
WIDTHS = (10, 14, 20, 28, 40, 56, 80, 113, 160, 226, 320)
RECALLS = (0.95, 0.99)
K, NQ = 10, 500
OURS = "catalens"

Rows = NDArray[np.int64]


class Peer(Protocol):
    """A graph over rows, searched on one thread."""

    def search(self, xq: Floats, k: int, width: int) -> Rows:
        """Return the k nearest rows of each query, `(nq, k)`."""
        ...


class Ours:
    """The search layer of the bundle: float16 rows, checked arguments, parameters that travel with the call."""

    def __init__(self, xb: Half, seed: int) -> None:
        self._index = FaissIndex.build(xb, f"HNSW{DEGREE},SQfp16", seed)

    def search(self, xq: Floats, k: int, width: int) -> Rows:
        """Return the k nearest rows of each query."""
        return self._index.search(xq, k, width=width)[1]


class RawFaiss:
    """FAISS as it is, on float32 rows."""

    def __init__(self, xb: Half, seed: int) -> None:
        del seed
        faiss.omp_set_num_threads(1)
        self._index = cast("Any", faiss.index_factory(xb.shape[1], f"HNSW{DEGREE},Flat", faiss.METRIC_INNER_PRODUCT))
        self._index.add(xb.astype(np.float32))
        self._graph = cast("Any", faiss.downcast_index(self._index)).hnsw

    def search(self, xq: Floats, k: int, width: int) -> Rows:
        """Return the k nearest rows of each query."""
        self._graph.efSearch = width
        return cast("Rows", self._index.search(xq, k)[1])


class Hnswlib:
    """hnswlib, on float32 rows."""

    def __init__(self, xb: Half, seed: int) -> None:
        import hnswlib  # noqa: PLC0415 - it need not be installed

        self._index = hnswlib.Index(space="ip", dim=xb.shape[1])
        self._index.init_index(len(xb), ef_construction=BREADTH, M=DEGREE, random_seed=seed)
        self._index.set_num_threads(1)
        self._index.add_items(xb.astype(np.float32))

    def search(self, xq: Floats, k: int, width: int) -> Rows:
        """Return the k nearest rows of each query."""
        self._index.set_ef(width)
        return cast("Rows", self._index.knn_query(xq, k)[0]).astype(np.int64)


class Usearch:
    """usearch, on float16 rows."""

    def __init__(self, xb: Half, seed: int) -> None:
        from usearch.index import Index  # noqa: PLC0415 - it need not be installed

        del seed
        d = xb.shape[1]
        self._index: Any = Index(ndim=d, metric="ip", dtype="f16", connectivity=DEGREE, expansion_add=BREADTH)
        self._index.add(np.arange(len(xb)), xb, threads=1)

    def search(self, xq: Floats, k: int, width: int) -> Rows:
        """Return the k nearest rows of each query."""
        self._index.expansion_search = width
        found = self._index.search(xq if len(xq) > 1 else xq[0], k, threads=1).keys
        return np.asarray(found, np.int64).reshape(len(xq), -1)


PEERS: Mapping[str, tuple[Callable[[Half, int], Peer], str]] = {
    OURS: (Ours, "faiss"),
    "faiss": (RawFaiss, "faiss"),
    "hnswlib": (Hnswlib, "hnswlib"),
    "usearch": (Usearch, "usearch"),
}


def figures(rows: int, d: int, turns: int, seed: int) -> dict[str, Any]:
    """Return recall and speed by library, width and turn, and our speed over the best other library's."""
    made = Structured(d, seed)
    xb, xq = made.rows(rows), made.queries(NQ)
    truth = nearest(xb, xq, K)
    built = {name: _built(maker, xb, seed) for name, (maker, module) in PEERS.items() if find_spec(module)}
    curves: dict[str, list[Curve]] = {name: [] for name in built}
    for _ in range(turns):
        for name, (peer, _) in built.items():
            curves[name].append([_point(peer, xq, truth, width) for width in WIDTHS])
    return {
        "vectors": rows,
        "dimensions": d,
        "queries": NQ,
        "missing": [name for name in PEERS if name not in built],
        "build_s": {name: spent for name, (_, spent) in built.items()},
        "curves": curves,
        "ratios": {
            f"{way} at {recall}": ratio(curves, way, recall) for way in ("single", "batch") for recall in RECALLS
        },
    }


Curve = list[dict[str, float]]


def _built(maker: Callable[[Half, int], Peer], xb: Half, seed: int) -> tuple[Peer, float]:
    began = time.perf_counter()
    return maker(xb, seed), time.perf_counter() - began


def _point(peer: Peer, xq: Floats, truth: Rows, width: int) -> dict[str, float]:
    """Return recall@10 and queries a second, one by one and all in a batch."""
    one_by_one = list(xq[:, None])
    began = time.perf_counter()
    for q in one_by_one:
        peer.search(q, K, width)
    middle = time.perf_counter()
    found = peer.search(xq, K, width)
    ended = time.perf_counter()
    return {
        "width": width,
        "recall_at_10": recall_at_k(found, truth),
        "single": len(xq) / (middle - began),
        "batch": len(xq) / (ended - middle),
    }


def speed_at(curve: Curve, way: str, recall: float) -> float | None:
    """Return the queries a second at a recall, between two widths; None where no width reaches it.

    A library whose narrowest width finds more is as fast as that.
    """
    points = sorted(curve, key=lambda point: point["recall_at_10"])
    recalls = [point["recall_at_10"] for point in points]
    if recalls[-1] < recall:
        return None
    return float(np.exp(np.interp(recall, recalls, np.log([point[way] for point in points]))))


def ratio(curves: Mapping[str, Sequence[Curve]], way: str, recall: float) -> dict[str, Any]:
    """Return our speed over that of the best other library at a recall, the median over turns, and who that is."""
    speeds = {
        name: [found for curve in turns if (found := speed_at(curve, way, recall)) is not None]
        for name, turns in curves.items()
    }
    medians = {name: median(found) for name, found in speeds.items() if found}
    others = {name: found for name, found in medians.items() if name != OURS}
    if not others or OURS not in medians:
        return {"ratio": None, "best": None, "per_second": medians}
    best = max(others, key=others.__getitem__)
    return {
        "ratio": median(ours / other for ours, other in zip(speeds[OURS], speeds[best], strict=True)),
        "best": best,
        "per_second": medians,
    }
