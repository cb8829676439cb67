"""What a bundle is worth, measured: the report that goes into it and that publishing is gated on.

ANN recall is against exact search in numpy over the same vectors. Self-retrieval encodes stored thumbnails
and texts anew and looks for the product they belong to, so shuffled rows, another model or mangled text show.
What is chosen by measuring is left to `indexer.tuning`, judged queries to `indexer.judged`, the decision to
`indexer.publish`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from indexer.bundle import Bundle
from indexer.manifest import FusionWeights, QueryKind, Space
from indexer.product_encoding import entities_of, texts_of
from indexer.ranking import rank, score_rows
from models.encoder import Encoder, Vectors
from models.halves import widened
from models.picture import decode_picture

K = 10
SAMPLE = 200
TIE = 1e-3  # scores this near count as equal: float16 vectors and re-encoded JPEGs do not match to the bit
EXACT_BLOCK = 65_536


def _is_absent(section: object) -> bool:
    return section is None


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AnnReport(_Record):
    """An index against exact search: share of the true ten nearest found, and milliseconds of one query."""

    recall_at_10: float
    queries: int
    p50_ms: float
    p95_ms: float


class SelfRetrieval(_Record):
    """Share of sampled things that find their own product first (equal scores count as found)."""

    image: float | None
    text: float
    image_sample: int
    text_sample: int


class GatedValue(_Record):
    """An entity value: how many of the sampled products state it, and the mean of its gate in them."""

    value: str
    count: int
    mean: float


class GatedGroup(_Record):
    """The gates of an entity group in a sample of products: what weight a model gives to what they state.

    Attributes:
        mean: of the products that state a value which the model knows.
        stated: share of the products that state any value.
        known: share of the products that state a value which the model knows.
        values: the most frequent of these, the most frequent first.
    """

    mean: float
    stated: float
    known: float
    values: tuple[GatedValue, ...]


class Confusion(_Record):
    """How many products state one category and are judged, surely, to be of another."""

    stated: str
    classified: str
    count: int


class Agreement(_Record):
    """What judges of categories say of the products that state one; what is left of the shares is surely another.

    Attributes:
        products: that state a category which is not too rare to be judged.
        agreement: share of them that are judged, surely, to be of the category they state.
        abstained: share of them of which the judges are not sure.
        confused: the most frequent contradictions, the most frequent first.
    """

    products: int
    agreement: float
    abstained: float
    confused: tuple[Confusion, ...]


class Report(_Record):
    """What was measured of a bundle. Times are of one thread, on the machine that built it.

    `gates` are left out of a model that has none, `categories` of a bundle without judges (`indexer.report_sections`).
    """

    products: int
    images: int
    rejected: int
    products_without_images: int
    ann: Mapping[Space, AnnReport]
    ranking: Mapping[QueryKind, AnnReport]
    self_retrieval: SelfRetrieval
    stages_s: Mapping[str, float] = {}
    gates: Annotated[Mapping[str, GatedGroup] | None, Field(exclude_if=_is_absent)] = None
    categories: Annotated[Agreement | None, Field(exclude_if=_is_absent)] = None


def measure(bundle: Bundle, encoder: Encoder, *, seed: int = 0, sample: int = SAMPLE) -> Report:
    """Measure `bundle` with the encoder it was made by; stages and sections are left for the builder to fill."""
    queries = sample_queries(bundle, sample, seed)
    counts = bundle.manifest.counts
    return Report(
        products=counts.products,
        images=counts.images,
        rejected=counts.rejected,
        products_without_images=int((np.diff(bundle.image_starts) == 0).sum()),
        ann={s: _ann(bundle, s, queries) for s in bundle.indexes if bundle.indexes[s].ntotal},
        ranking={kind: _ranking(bundle, kind, queries) for kind in (QueryKind.TEXT, QueryKind.IMAGE)},
        self_retrieval=self_retrieval(bundle, encoder, seed=seed, sample=sample),
    )


def sample_queries(bundle: Bundle, sample: int, seed: int) -> Vectors:
    """Return up to `sample` of the bundle's own vectors as queries, half texts and half pictures, float32."""
    rng = np.random.default_rng(seed)
    spaces = [v for v in bundle.vectors.values() if len(v)]
    parts = [v[sample_rows(rng, len(v), -(-sample // len(spaces)))] for v in spaces]
    return np.concatenate(parts).astype(np.float32)[:sample]


def exact_search(vectors: NDArray[np.float16], xq: Vectors, k: int) -> tuple[Vectors, NDArray[np.int64]]:
    """Return the k best inner products by brute force: `D (nq, k)` falling and `I (nq, k)`; k <= rows."""
    best = np.full((len(xq), k), -np.inf, np.float32)
    rows = np.full((len(xq), k), -1, np.int64)
    for start in range(0, len(vectors), EXACT_BLOCK):
        scores = xq @ widened(vectors[start : start + EXACT_BLOCK]).T
        here = _largest(scores, k)  # sorting all of a block takes ten times as long as the products themselves
        both = np.concatenate((best, np.take_along_axis(scores, here, 1)), axis=1)
        where = np.concatenate((rows, here + start), axis=1)
        top = np.argsort(-both, axis=1, kind="stable")[:, :k]
        best, rows = np.take_along_axis(both, top, 1), np.take_along_axis(where, top, 1)
    return best, rows


def _largest(scores: Vectors, k: int) -> NDArray[np.int64]:
    """Return the columns of the k largest scores of each row, ascending; all if there are no more."""
    if scores.shape[1] <= k:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.sort(np.argpartition(scores, -k, axis=1)[:, -k:], axis=1)


def recall(exact_scores: Vectors, found_scores: Vectors) -> float:
    """Return the share of places filled with a row as near as the true one of the last place, ties allowed.

    Both `(nq, k)`: the true k best scores, and the exact scores of the k rows found (-inf: none).
    """
    return float((found_scores >= exact_scores[:, -1:] - TIE / 10).mean())


def self_retrieval(bundle: Bundle, encoder: Encoder, *, seed: int = 0, sample: int = SAMPLE) -> SelfRetrieval:
    """Encode sampled thumbnails and texts anew and return how many find their own product first."""
    rng = np.random.default_rng(seed)
    rows = sample_rows(rng, len(bundle.products), sample)
    products = [bundle.products[int(row)] for row in rows]
    texts = encoder.encode_texts(texts_of(products, encoder), entities_of(products, encoder))
    pictured = sample_rows(rng, len(bundle.image_rows), sample)
    owners = bundle.image_rows[pictured].astype(np.int64)
    images = encoder.encode_images(list(_thumbnails(bundle, pictured, owners))) if len(pictured) else texts[:0]
    return SelfRetrieval(
        image=_found(bundle, images, owners, FusionWeights(image=1, text=0)),
        text=_found(bundle, texts, rows, FusionWeights(image=0, text=1)) or 0.0,
        image_sample=len(pictured),
        text_sample=len(rows),
    )


def _ann(bundle: Bundle, space: Space, queries: Vectors) -> AnnReport:
    index, vectors = bundle.indexes[space], bundle.vectors[space]
    k = min(K, index.ntotal)
    width = bundle.manifest.indexes[space].width
    truth, _ = exact_search(vectors, queries, k)
    answers, times = _timed(queries, lambda q: index.search(q[None], k, width=width)[1][0])
    found = exact_scores(vectors, queries, np.stack(answers))
    return _ann_report(recall(truth, found), times)


def _ranking(bundle: Bundle, kind: QueryKind, queries: Vectors) -> AnnReport:
    """Compare `rank` with scoring every product."""
    weights = bundle.manifest.fusion[kind]
    every = np.arange(len(bundle.products))
    truth = np.stack([_top(score_rows(bundle, q, weights, every)[0]) for q in queries[: SAMPLE // 4]])
    answers, times = _timed(queries[: SAMPLE // 4], lambda q: rank(bundle, q, weights, truth.shape[1]).scores)
    found = np.full_like(truth, -np.inf)
    for at, scores in enumerate(answers):
        found[at, : len(scores)] = scores
    return _ann_report(recall(truth, found), times)


def _ann_report(share: float, times_ms: Sequence[float]) -> AnnReport:
    p50, p95 = np.percentile(times_ms, (50, 95))
    return AnnReport(
        recall_at_10=share, queries=len(times_ms), p50_ms=round(float(p50), 3), p95_ms=round(float(p95), 3)
    )


def _top(scores: Vectors) -> Vectors:
    return np.sort(scores)[::-1][:K]


def exact_scores(vectors: NDArray[np.float16], queries: Vectors, rows: NDArray[np.int64]) -> Vectors:
    """Return the exact score of each row found, `(nq, k)`; -inf where none was."""
    scores = np.einsum("qd,qkd->qk", queries, widened(vectors[np.maximum(rows, 0)]))
    return np.where(rows < 0, -np.inf, scores).astype(np.float32)


def _timed(
    queries: Vectors, search: Callable[[Vectors], NDArray[np.generic]]
) -> tuple[list[NDArray[np.generic]], list[float]]:
    answers, times = [], []
    for q in queries:
        start = time.perf_counter()
        answers.append(search(q))
        times.append((time.perf_counter() - start) * 1e3)
    return answers, times


def _found(bundle: Bundle, queries: Vectors, owners: NDArray[np.int64], weights: FusionWeights) -> float | None:
    """Return the share of queries whose own product nothing beats by more than a tie; None without queries."""
    if not len(queries):
        return None
    hits = 0
    for q, owner in zip(queries, owners, strict=True):
        best = rank(bundle, q, weights, 1).scores[0]
        own = score_rows(bundle, q, weights, np.array([owner]))[0][0]
        hits += bool(own >= best - TIE)
    return hits / len(queries)


def _thumbnails(bundle: Bundle, pictured: NDArray[np.int64], owners: NDArray[np.int64]) -> Iterator[Image.Image]:
    for picture, owner in zip(pictured, owners, strict=True):
        content = bundle.thumbnail(int(owner), int(picture - bundle.image_starts[owner]))
        yield decode_picture(content or b"")


def sample_rows(rng: np.random.Generator, n: int, wanted: int) -> NDArray[np.int64]:
    """Return `wanted` of n rows at random, ascending; all if there are no more."""
    return np.sort(rng.choice(n, min(n, wanted), replace=False)).astype(np.int64)
