"""What every index asks of a question before it looks for an answer, and what it answers where there is nothing.

One definition for all implementations of `indexer.index.SearchIndex`, so that they refuse the same.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

NO_ROW: Final = -1


class IndexUnavailableError(RuntimeError):
    """An index cannot answer at present: what holds it is away, slow or broken. Another one may be asked."""


def checked_queries(xq: Scores, d: int, k: int, width: int | None) -> Scores:
    """Return queries `(nq, d) float32`, contiguous.

    Raises:
        ValueError: `xq` is not `(nq, d)` or not finite, or k or width is not positive.
    """
    if xq.ndim != 2 or xq.shape[1] != d:
        msg = f"queries must be (nq, {d}), not {xq.shape}"
        raise ValueError(msg)
    if k < 1 or (width is not None and width < 1):
        msg = f"k and width must be positive, not {k} and {width}"
        raise ValueError(msg)
    # The product is finite but for huge numbers, and found in a tenth of the time.
    if not math.isfinite(np.vdot(xq, xq)) and not np.isfinite(xq).all():
        msg = "queries must be finite: found NaN or infinity"
        raise ValueError(msg)
    return np.ascontiguousarray(xq, dtype=np.float32)


def check_among(among: Mask | None, ntotal: int) -> None:
    """Make sure that a mask of rows has one value for each row.

    Raises:
        ValueError: it has not.
    """
    if among is not None and among.shape != (ntotal,):
        msg = f"rows to search among must be ({ntotal},), not {among.shape}"
        raise ValueError(msg)


def finite_rows(rows: NDArray[np.floating[Any]]) -> Scores:
    """Return vectors `(n, d)` as float32, contiguous.

    Raises:
        ValueError: one of them holds a value that is not finite.
    """
    block = np.ascontiguousarray(rows, dtype=np.float32)
    if not np.isfinite(block).all():
        msg = "vectors must be finite: found NaN or infinity"
        raise ValueError(msg)
    return block


def nothing_found(nq: int, k: int) -> tuple[Scores, Rows]:
    """Return the answer of an index that finds no row: `D (nq, k)` all -inf, `I (nq, k)` all -1."""
    return np.full((nq, k), -np.inf, np.float32), np.full((nq, k), NO_ROW, np.int64)
