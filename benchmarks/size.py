"""A whole build of a generated catalogue of any size, in a process that does nothing else: time and memory.

The encoder draws its vectors from digests of texts and pictures: what is measured is all but the model. Memory is the
most that was ever resident, files mapped into it and all that Python, numpy and FAISS need included.
"""

import resource
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.made_shop import MadeEncoder, write_feed
from indexer.build import BuildOptions, NoProgress, build

DIMENSIONS = 128


class Peaks(NoProgress):
    """Notes the most memory that was resident when each stage ended."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = {}
        self._stage = "start"

    def stage(self, name: str) -> None:
        """Note what the stage before came to."""
        self.peaks[self._stage] = _peak_mib()
        self._stage = name


def figures(products: int, pictures: int, recipe: str, seed: int) -> dict[str, Any]:
    """Return seconds and peak memory of a build, by stage."""
    with tempfile.TemporaryDirectory() as folder:
        feed = Path(folder) / "catalogue.parquet"
        write_feed(feed, products, seed, pictures=pictures)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
            built = apart.submit(_build, feed, Path(folder) / "data", recipe, seed).result()
    return {"products": products, "pictures": products * pictures, "dimensions": DIMENSIONS, "recipe": recipe, **built}


def _build(feed: Path, data: Path, recipe: str, seed: int) -> dict[str, Any]:
    told = Peaks()
    built = build(MadeEncoder(DIMENSIONS), BuildOptions(feed, data, recipe=recipe, seed=seed), told)
    stages = built.report.stages_s
    return {
        "digest": built.manifest.digest,
        "encoded": built.encoded,
        "stages_s": dict(stages),
        "total_s": sum(stages.values()),
        "peak_mib_by_stage": told.peaks,
        "peak_mib": _peak_mib(),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
