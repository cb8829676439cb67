"""Classifying a catalogue by pairwise sub-dimensions: time of fitting and of classifying, and the memory it takes.

Cost model: C (C - 1) / 2 duels an item, two multiply-adds of d dimensions each, as products of float32 matrices on all
cores: 4.1 TFLOP for a million items of 512 dimensions and 64 classes. Memory is that of the vectors (float16), of the
scores (n * C float32) and of one block. Classes are Gaussian clouds about random means, so accuracy only shows that
the work was done; brackets are timed on the first `some` items.
"""

import resource
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import percentiles, timed_ms
from models.pairwise import PairwiseClassifier, Tournament
from models.vector_blocks import modality_centre

BLOCK = 5_000
FITTED = 50_000
SPREAD = 4.0  # of a class, in deviations of the class means: near enough for mistakes

_Result = TypeVar("_Result")


def clouds(n: int, classes: int, d: int, seed: int) -> tuple[NDArray[np.float16], NDArray[np.int32]]:
    """Return `(n, d) float16` unit rows about the random means of `classes`, and their classes."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((classes, d), dtype=np.float32)
    labels = rng.integers(classes, size=n, dtype=np.int32)
    vectors = np.empty((n, d), np.float16)
    for start in range(0, n, BLOCK):
        own = labels[start : start + BLOCK]
        rows = means[own] + np.float32(SPREAD) * rng.standard_normal((len(own), d), dtype=np.float32)
        vectors[start : start + BLOCK] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return vectors, labels


def figures(
    n: int = 1_000_000, classes: int = 64, d: int = 512, seed: int = 0, some: int = 100_000
) -> dict[str, object]:
    """Return seconds, items per second, peak memory and accuracy for `n` items, `classes` and `d` dimensions."""
    vectors, labels = clouds(n, classes, d, seed)
    before = _peak_bytes()
    fitted = slice(0, min(n, FITTED))
    centre = modality_centre(vectors[fitted])
    names = [f"class {c}" for c in range(classes)]
    fit_s, classifier = _timed(lambda: PairwiseClassifier.fit(vectors[fitted], labels[fitted], names, centre=centre))
    margin_s, decided = _timed(lambda: classifier.classify(vectors))
    peak = _peak_bytes()
    brackets = {kind: _timed(partial(classifier.classify, vectors[:some], kind))[0] for kind in Tournament}
    return {
        "items": n,
        "classes": classes,
        "dimensions": d,
        "dimensions_kept": float(np.unpackbits(classifier.masks.bits, axis=1).sum(axis=1).mean()),
        "fit_s": fit_s,
        "fitted_items": fitted.stop,
        "classify_s": margin_s,
        "items_per_s": n / margin_s,
        "single_item_ms": percentiles(timed_ms(lambda: classifier.classify(vectors[:1]), repeats=50)),
        "items_per_s_by_tournament": {kind.value: min(n, some) / spent for kind, spent in brackets.items()},
        "peak_bytes": peak,
        "peak_bytes_before": before,
        "accuracy": float((decided.classes == labels).mean()),
    }


def _timed(call: Callable[[], _Result]) -> tuple[float, _Result]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def _peak_bytes() -> int:
    """Return the most memory this process has held, in bytes; Linux counts it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
