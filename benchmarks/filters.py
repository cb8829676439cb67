"""Filtered search: recall@10 against scoring every admitted product, full pages, and time, by admitted share.

Cost model: while few products are admitted each is scored (a gather and a matrix product); beyond, the index is
searched with a bitmap, wider and wider until nothing better is found. Filters admit products at random, those
nearest to the query, or those farthest from it; real ones lie between. Where the bundle is smaller than `rows` its
vectors are repeated, each moved by noise of its own, one picture a product.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.ann import queries_near
from benchmarks.record import percentiles, timed_ms
from indexer.bundle import Bundle
from indexer.evaluate import sample_queries
from indexer.index import FaissIndex
from indexer.manifest import SPACES, FusionWeights, Space
from indexer.ranking import score, score_rows
from indexer.tuning import choose_exact_rows, choose_width

K = 10
SHARES = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9)
NOISE = 0.6  # of a vector's length: enough that repeated rows are neighbours and not copies
WEIGHTS = FusionWeights(image=0.5, text=0.5)

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass
class _Stated:
    exact_rows: int


class Grown:
    """As much of a bundle as scoring needs, grown from a bundle's vectors to `rows` products."""

    def __init__(self, bundle: Bundle, rows: int, recipe: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        first = bundle.image_starts[:-1][np.diff(bundle.image_starts) > 0]
        own = {"text": bundle.vectors["text"][bundle.image_rows[first]], "image": bundle.vectors["image"][first]}
        chosen = np.arange(rows) % len(first)
        self.products = range(rows)
        self.vectors = {space: _moved(own[space][chosen], rng, grown=rows > len(first)) for space in SPACES}
        self.image_rows = np.arange(rows, dtype=np.int32)
        self.image_starts = np.arange(rows + 1)
        self.indexes = {space: FaissIndex.build(v, recipe, seed) for space, v in self.vectors.items()}
        self.manifest = _Stated(1)
        self.widths: dict[Space, int | None] = {"text": None, "image": None}
        queries = sample_queries(cast("Bundle", self), 200, seed)
        self.widths = {
            space: choose_width(index, self.vectors[space], queries) for space, index in self.indexes.items()
        }
        self.manifest.exact_rows = choose_exact_rows(cast("Bundle", self), queries, seed=seed)


def _moved(rows: NDArray[np.float16], rng: np.random.Generator, *, grown: bool) -> NDArray[np.float16]:
    wide = rows.astype(np.float32)
    if grown:
        wide += rng.normal(scale=NOISE / np.sqrt(rows.shape[1]), size=rows.shape).astype(np.float32)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True), np.float16)


def figures(bundle: Bundle, rows: int, recipe: str, nq: int, seed: int) -> dict[str, Any]:
    """Return, for every share and kind of filter, recall@10, full pages and milliseconds, beside no filter's."""
    grown = cast("Bundle", Grown(bundle, rows, recipe, seed))
    rng = np.random.default_rng(seed)
    xq = queries_near(np.asarray(grown.vectors["image"], np.float32), nq, seed)
    everything = np.arange(rows)
    truth = [score_rows(grown, q, WEIGHTS, everything)[0] for q in xq]
    orders: dict[str, Callable[[Floats], NDArray[np.int64]]] = {
        "random": lambda s: rng.permutation(len(s)),
        "nearest": lambda s: np.argsort(-s),
        "farthest": np.argsort,
    }
    found: dict[str, Any] = {"none": _row([_ask(grown, q, None, t) for q, t in zip(xq, truth, strict=True)])}
    for kind, order in orders.items():
        for share in SHARES:
            asked = []
            for q, scores in zip(xq, truth, strict=True):
                among = np.zeros(rows, np.bool_)
                among[order(scores)[: max(1, round(share * rows))]] = True
                asked.append(_ask(grown, q, among, scores))
            found[f"{kind} {share:.2%}"] = _row(asked)
    return {
        "products": rows,
        "dimensions": int(xq.shape[1]),
        "queries": nq,
        "recipe": grown.indexes["text"].recipe,
        "widths": dict(grown.widths),
        "exact_rows": grown.manifest.exact_rows,
        "filters": found,
    }


def _ask(bundle: Bundle, q: Floats, among: Mask | None, scores: Floats) -> tuple[float, bool, float, str]:
    """Return recall@10, whether the page is full, milliseconds, and the strategy of one search."""
    spent = timed_ms(lambda: score(bundle, q, WEIGHTS, K, among=among), repeats=1, warmup=1)[0]
    scored = score(bundle, q, WEIGHTS, K, among=among)
    best = np.sort(scored.scores)[::-1][:K]
    admitted = scores if among is None else scores[among]
    wanted = min(K, len(admitted))
    truth = np.sort(admitted)[::-1][:wanted]
    hits = float((best[:wanted] >= truth[-1] - 1e-6).sum()) / wanted
    return hits, len(best) == wanted, spent, scored.strategy.value


def _row(asked: list[tuple[float, bool, float, str]]) -> dict[str, Any]:
    return {
        "recall_at_10": float(np.mean([hits for hits, _, _, _ in asked])),
        "full_pages": float(np.mean([full for _, full, _, _ in asked])),
        "ms": percentiles([ms for _, _, ms, _ in asked]),
        "strategy": sorted({strategy for _, _, _, strategy in asked}),
    }
