"""Indexes in Milvus Lite, which runs in this process: one file, a collection for each index."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from indexer.milvus import MilvusIndex
from indexer.milvus_client import Kind, Milvus, Stated
from indexer.milvus_fields import empty_fields


def maker(path: Path) -> Callable[[np.ndarray, str], MilvusIndex]:
    """Return what makes an index of vectors, `exact` or `hnsw`."""
    milvus = Milvus(str(path), timeout_s=60.0)
    numbers = itertools.count()

    def make(xb: np.ndarray, kind: str) -> MilvusIndex:
        name = f"catalens_test_{next(numbers)}"
        index = MilvusIndex(milvus, name, Stated("test", "text", *xb.shape, Kind(kind), "none"))
        milvus.create(name, index.stated)
        index.upsert(range(len(xb)), xb, range(len(xb)), [empty_fields()] * len(xb))
        milvus.finish(name)
        return index

    return make
