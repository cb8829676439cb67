"""Training and filling a FAISS index with the distances to its centroids computed elsewhere: by a copy on a GPU.

The index stays where it is and what it becomes is the same; only k-means and finding each row's list, nearly all of the
work of an IVF, are done by the copy. No call here needs a GPU: what copies an index there is given.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import faiss

from indexer.parts import parts_of

Moved = Callable[[Any], Any]


@contextmanager
def helped_training(index: faiss.Index, moved: Moved | None) -> Iterator[None]:
    """Within the context, `index.train` finds centroids by what `moved` makes of an empty flat index; None: itself."""
    lists = _lists(index) if moved is not None else []
    helpers = [moved(faiss.IndexFlat(part.d, part.metric_type)) for part in lists if moved is not None]
    for part, clustering in zip(lists, helpers, strict=True):
        part.clustering_index = clustering
    try:
        yield
    finally:
        for part in lists:
            part.clustering_index = None


@contextmanager
def helped_adding(index: faiss.Index, moved: Moved | None) -> Iterator[None]:
    """Within the context, `index.add` finds each row's list by what `moved` makes of the centroids; None: itself."""
    lists = _lists(index) if moved is not None else []
    own = [part.quantizer for part in lists]
    helpers = [moved(_flat_centroids(part)) for part in lists if moved is not None]  # kept until it is over
    for part, helping in zip(lists, helpers, strict=True):
        part.quantizer = helping
    try:
        yield
    finally:
        for part, quantizer in zip(lists, own, strict=True):
            part.quantizer = quantizer


def _lists(index: faiss.Index) -> list[Any]:
    return [part for part in parts_of(index) if isinstance(part, faiss.IndexIVF)]


def _flat_centroids(part: Any) -> faiss.Index:  # noqa: ANN401 - FAISS's own type stubs lack half of an IVF
    centroids = faiss.IndexFlat(part.d, part.metric_type)
    centroids.add(part.quantizer.reconstruct_n(0, part.nlist))
    return centroids
