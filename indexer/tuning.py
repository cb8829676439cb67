"""What a build chooses by measuring its own bundle: search widths, fusion weights, how to obey a filter.

Measured against exact search or by the clock, and stated in the manifest. Reports are left to `indexer.evaluate`.
"""

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from indexer.bundle import Bundle
from indexer.evaluate import SAMPLE, K, exact_scores, exact_search, recall, sample_rows
from indexer.fields import Mask
from indexer.index import FaissIndex, VectorIndex
from indexer.judged import Retrieval, linked_entities
from indexer.made_queries import make_queries
from indexer.manifest import FusionWeights, QueryKind
from indexer.ranking import best_pictures, proposed_rows, score_rows
from models.encoder import Encoder, Vectors
from models.halves import widened
from models.metrics import Rankings, ndcg_at_k

RECALL_TARGET = 0.99
WIDTHS = (16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512)
LEXICAL_WEIGHTS = tuple(round(0.1 * step, 1) for step in range(10))
DEFAULT_LEXICAL = 0.3
LEXICAL_QUERIES = 300
MIN_LEXICAL_QUERIES = 50
IMAGE_WEIGHTS = tuple(round(0.1 * step, 1) for step in range(1, 10))
MIN_CALIBRATION_PRODUCTS = 50
FILTER_SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
FILTER_QUERIES = 9
DEFAULT_FUSION: Mapping[QueryKind, FusionWeights] = {
    QueryKind.TEXT: FusionWeights(image=0.5, text=0.5),
    QueryKind.IMAGE: FusionWeights(image=0.8, text=0.2),
    QueryKind.MIXED: FusionWeights(image=0.5, text=0.5),
}


def choose_width(
    index: VectorIndex, vectors: NDArray[np.float16], queries: Vectors, target: float = RECALL_TARGET
) -> int | None:
    """Return the smallest search width whose recall@10 reaches `target`, else the largest; None if exact."""
    if not isinstance(index, FaissIndex) or not index.width_matters or not index.ntotal:
        return None
    k = min(K, index.ntotal)
    truth, _ = exact_search(vectors, queries, k)
    for width in WIDTHS:
        if recall(truth, exact_scores(vectors, queries, index.search(queries, k, width=width)[1])) >= target:
            return width
    return WIDTHS[-1]


def calibrate_lexical_weight(
    bundle: Bundle, encoder: Encoder, weights: FusionWeights, *, seed: int = 0, queries: int = LEXICAL_QUERIES
) -> FusionWeights:
    """Return `weights` with the lexical weight that ranks best, by nDCG@10 over queries made of the catalogue.

    Among equal ones the least. Where the catalogue gives too few queries: the default.
    """
    made = make_queries(bundle, queries, seed)
    if len(made) < MIN_LEXICAL_QUERIES:
        return weights.model_copy(update={"lexical": DEFAULT_LEXICAL})
    retrieval = Retrieval(bundle, encoder, made, linked_entities(bundle, made))
    relevant = [query.relevant for query in made]
    gains = []
    for rows in retrieval.ranked_by_each(weights, LEXICAL_WEIGHTS):
        ids = [[bundle.products.id_of(row) for row in of_query] for of_query in rows]
        gains.append(float(np.mean(ndcg_at_k(Rankings.from_lists(ids, relevant), K))))
    best = max(gains)
    chosen = next(w for w, gain in zip(LEXICAL_WEIGHTS, gains, strict=True) if gain >= best - 1e-9)
    return weights.model_copy(update={"lexical": chosen})


def choose_exact_rows(bundle: Bundle, queries: Vectors, *, seed: int = 0) -> int:
    """Return up to how many products, admitted by a filter, scoring each is no slower than asking the indexes.

    Timed here and now, both ways side by side, under filters that admit products at random.
    """
    n, rng = len(bundle.products), np.random.default_rng(seed)
    chosen = FILTER_SIZES[0]
    for size in (size for size in FILTER_SIZES if size < n):
        admitted = np.sort(rng.choice(n, size, replace=False))
        among = np.zeros(n, np.bool_)
        among[admitted] = True
        each, asked = zip(*(_both_ways(bundle, q, admitted, among) for q in queries[:FILTER_QUERIES]), strict=True)
        if np.median(each) > np.median(asked):
            break
        chosen = size
    return chosen


def _both_ways(bundle: Bundle, q: Vectors, admitted: NDArray[np.int64], among: Mask) -> tuple[float, float]:
    """Return the seconds that scoring every admitted product takes, and asking the indexes."""
    weights = FusionWeights(image=0.5, text=0.5)
    each = _seconds(lambda: score_rows(bundle, q, weights, admitted))
    asked = _seconds(lambda: score_rows(bundle, q, weights, proposed_rows(bundle, q, weights, K, among)))
    return each, asked


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def calibrate_image_weight(bundle: Bundle, *, seed: int = 0, sample: int = SAMPLE) -> FusionWeights:
    """Return the weights that best find a product by a picture of it that the product itself does not show.

    Measured as mean reciprocal rank over sampled products of at least two pictures, one of them held out;
    among equal weights the one nearest the default. Fewer than 50 such products: the default.
    """
    default = DEFAULT_FUSION[QueryKind.IMAGE]
    several = np.flatnonzero(np.diff(bundle.image_starts) >= 2)
    if len(several) < MIN_CALIBRATION_PRODUCTS:
        return default
    rng = np.random.default_rng(seed)
    chosen = several[sample_rows(rng, len(several), sample)]
    reciprocal = np.mean([_held_out(bundle, int(row), rng) for row in chosen], axis=0)
    best = np.flatnonzero(reciprocal >= reciprocal.max() - 1e-9)
    weight = min((IMAGE_WEIGHTS[int(i)] for i in best), key=lambda w: abs(w - default.image))
    return FusionWeights(image=weight, text=round(1.0 - weight, 1))


def _held_out(bundle: Bundle, row: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the reciprocal rank, for each of IMAGE_WEIGHTS, of product `row` sought by one of its pictures."""
    start, end = int(bundle.image_starts[row]), int(bundle.image_starts[row + 1])
    held = int(rng.integers(start, end))
    q = bundle.vectors["image"][held].astype(np.float32)
    rows = np.union1d(proposed_rows(bundle, q, FusionWeights(image=0.5, text=0.5), K), [row])
    best, _ = best_pictures(bundle, q, rows)
    others = [i for i in range(start, end) if i != held]
    own = int(np.searchsorted(rows, row))
    best[own] = (bundle.vectors["image"][others].astype(np.float32) @ q).max()
    texts = widened(bundle.vectors["text"][rows]) @ q
    weights = np.array(IMAGE_WEIGHTS)[:, None]
    scores = weights * best[None] + (1 - weights) * texts[None]
    ahead = (scores >= scores[:, own : own + 1]).sum(axis=1)
    return np.asarray(1.0 / ahead, np.float64)
