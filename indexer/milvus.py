"""Search in Milvus through the same protocol as an index in memory: a collection holds one space of one bundle.

Which rows a search may find is said to Milvus in the shortest way: by the expression of the filter it comes from and
the rows that differ from it since (`indexer.pushdown`), by a list of rows, or of those left out; else rows are refused
here, and more are asked for. What is refused is never returned, whatever Milvus holds by now. Copying bundles there and
choosing between them is left to `indexer.milvus_bundles`.
"""

import copy
import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Self

import numpy as np

from indexer.asking import NO_ROW, Mask, Rows, Scores, check_among, checked_queries, finite_rows, nothing_found
from indexer.milvus_client import PRODUCT, ROW, VECTOR, Kind, Milvus, MilvusError, Stated
from indexer.milvus_fields import Fields
from indexer.pushdown import Pushed

MOST_FOUND: Final = 16_384  # rows that one search returns: Milvus's own limit
MOST_LISTED: Final = 10_000  # rows that an expression names
MOST_AT_ONCE: Final = 200_000  # rows that a call returns for several queries
WIDEST: Final = 32_768  # candidates that a graph of Milvus keeps at most
DEFAULT_WIDTH: Final = 64
OVERFETCHED: Final = 2.0  # times as many as the admitted share calls for, where rows are refused here
_PREFIX: Final = "catalens"


def collection_name(bundle: str, space: str) -> str:
    """Return what the collection of a space of a bundle is called: Milvus takes letters, digits and underscores."""
    return f"{_PREFIX}_{bundle}_{space}".replace("-", "_")


class MilvusIndex:
    """A `SearchIndex` over a collection that is complete. Safe to search from many threads.

    Nothing is asked of Milvus until the first search.

    Args:
        milvus: where it is.
        name: of the collection.
        stated: what the collection has to say of itself: another one is never searched.

    Attributes:
        name: of the collection.
        stated: what it has to say of itself.
    """

    def __init__(self, milvus: Milvus, name: str, stated: Stated) -> None:
        self._milvus = milvus
        self.name = name
        self.stated = stated
        self._complete = threading.Event()
        self._pushed: Pushed | None = None

    @property
    def d(self) -> int:
        """Dimensions of a vector."""
        return self.stated.dim

    @property
    def ntotal(self) -> int:
        """Rows of the bundle, deleted ones too."""
        return self.stated.rows

    @property
    def width_matters(self) -> bool:
        """Whether `search` looks at more when `width` grows."""
        return self.stated.kind is Kind.HNSW

    def under(self, pushed: Pushed) -> Self:
        """Return the same index for searches under a filter; see `indexer.pushdown`."""
        other = copy.copy(self)
        other._pushed = pushed  # noqa: SLF001 - of its own kind
        return other

    def search(self, xq: Scores, k: int, *, width: int | None = None, among: Mask | None = None) -> tuple[Scores, Rows]:
        """Return the k best rows of each query; see `SearchIndex.search`.

        Raises:
            MilvusError: Milvus is away or slow, or its collection is not this one.
        """
        xq = checked_queries(xq, self.d, k, width)
        check_among(among, self.ntotal)
        count = self.ntotal if among is None else int(among.sum())
        if not len(xq) or not count:
            return nothing_found(len(xq), k)
        try:
            self.check_complete()
            scores, rows = self._search(xq, min(k, count), width, among, count)
        except MilvusError:
            self._complete.clear()
            raise
        missing = ((0, 0), (0, k - rows.shape[1]))
        return np.pad(scores, missing, constant_values=-np.inf), np.pad(rows, missing, constant_values=NO_ROW)

    def upsert(self, rows: Sequence[int], vectors: Scores, products: Sequence[int], fields: Sequence[Fields]) -> None:
        """Write rows anew: `vectors (n, d)`, each one's product and what that is filtered by.

        Raises:
            ValueError: a vector holds a value that is not finite.
            MilvusError: Milvus did not take them.
        """
        self._milvus.upsert(
            self.name,
            (
                {ROW: int(row), PRODUCT: int(product), VECTOR: vector, **of_product}
                for row, vector, product, of_product in zip(rows, finite_rows(vectors), products, fields, strict=True)
            ),
        )

    def delete(self, rows: Sequence[int]) -> None:
        """Have rows not be found any more; the others keep their numbers."""
        self._milvus.delete(self.name, rows)

    def check_complete(self) -> None:
        """Make sure, once, that the collection is the one of this bundle, and that all of it is there.

        Raises:
            MilvusError: it is not.
        """
        if self._complete.is_set():
            return
        found = self._milvus.stated(self.name)
        if found is None:
            msg = f"Milvus at {self._milvus.uri} does not hold bundle {self.stated.bundle}: push it there first"
            raise MilvusError(msg)
        if replace(found, kind=self.stated.kind) != self.stated:
            msg = f"Milvus at {self._milvus.uri}: {self.name} holds {found}, where {self.stated} is wanted"
            raise MilvusError(msg)
        self._milvus.load(self.name)
        count = self._milvus.count(self.name)
        if count < self.ntotal:
            msg = f"Milvus at {self._milvus.uri}: {self.name} holds {count} of {self.ntotal} rows: push it again"
            raise MilvusError(msg)
        self.stated = found  # searched as whoever pushed it chose
        self._complete.set()

    def _search(
        self, xq: Scores, wanted: int, width: int | None, among: Mask | None, count: int
    ) -> tuple[Scores, Rows]:
        if wanted > MOST_FOUND:
            return self._piece_by_piece(xq, wanted, among)
        expression = self._expression(among, count)
        if expression is not None:
            return self._asked(xq, wanted, expression, width, among)
        most = min(MOST_FOUND, self.ntotal)
        scores, rows = self._asked(
            xq, min(most, math.ceil(OVERFETCHED * wanted * self.ntotal / count)), "", width, among
        )
        if (rows[:, wanted - 1] == NO_ROW).any():
            return self._piece_by_piece(xq, wanted, among)
        return scores[:, :wanted], rows[:, :wanted]

    def _expression(self, among: Mask | None, count: int) -> str | None:
        """Return how Milvus is told of the rows to search among; None where that would be too long."""
        if among is None or count == self.ntotal:
            return ""
        if self._pushed is not None:
            more, fewer = among & ~self._pushed.admitted, self._pushed.admitted & ~among
            if int(more.sum()) + int(fewer.sum()) <= MOST_LISTED:
                said = f"({self._pushed.expression})"
                said = f"({said} and {_listed(fewer, 'not in')})" if fewer.any() else said
                return f"{said} or {_listed(more, 'in')}" if more.any() else said
        if count <= MOST_LISTED:
            return _listed(among, "in")
        return _listed(~among, "not in") if self.ntotal - count <= MOST_LISTED else None

    def _piece_by_piece(self, xq: Scores, wanted: int, among: Mask | None) -> tuple[Scores, Rows]:
        """Search the rows one part after the other: more of them than Milvus returns, or than it can be told of."""
        rows = np.arange(self.ntotal) if among is None else np.flatnonzero(among)
        best = nothing_found(len(xq), wanted)
        for start in range(0, len(rows), MOST_LISTED):
            part = rows[start : start + MOST_LISTED]
            mask = np.zeros(self.ntotal, np.bool_)
            mask[part] = True
            found = self._asked(xq, min(wanted, len(part)), _listed(mask, "in"), len(part), mask)
            scores, numbers = np.hstack([best[0], found[0]]), np.hstack([best[1], found[1]])
            best = _ordered(scores, numbers, wanted)
        return best

    def _asked(
        self, xq: Scores, limit: int, expression: str, width: int | None, among: Mask | None
    ) -> tuple[Scores, Rows]:
        """Return what Milvus finds, of the rows in `among` alone, `(nq, limit)`."""
        kept = min(max(width or DEFAULT_WIDTH, limit), WIDEST) if self.width_matters else None
        scores, rows = nothing_found(len(xq), limit)
        step = max(1, MOST_AT_ONCE // limit)
        for start in range(0, len(xq), step):
            hits_of = self._milvus.search(self.name, xq[start : start + step], limit, expression, kept)
            for place, hits in enumerate(hits_of, start):
                rows[place, : len(hits)] = [row for row, _ in hits]
                scores[place, : len(hits)] = [score for _, score in hits]
        refused = (rows < 0) | (rows >= self.ntotal)
        if among is not None:
            refused |= ~among[np.where(refused, 0, rows)]
        scores[refused], rows[refused] = -np.inf, NO_ROW
        return _ordered(scores, rows, limit)


def _listed(rows: Mask, relation: str) -> str:
    return f"{ROW} {relation} [{','.join(map(str, np.flatnonzero(rows).tolist()))}]"


def _ordered(scores: Scores, rows: Rows, k: int) -> tuple[Scores, Rows]:
    """Return the k best of each query, by falling score and then by row."""
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
