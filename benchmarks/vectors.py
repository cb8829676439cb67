"""Vectors with the structure of embeddings, in any number: noise has no neighbours worth finding.

Rows lie near a curved surface of 8 dimensions, more densely about some of its points than elsewhere. They are made
like the vectors of Myntra's pictures by a model of this project: of as many rows (4,616), the local dimension (Levina
and Bickel, NIPS 2004) is 8.3 where those have 7.4, the median distance to the nearest other row 0.53 (0.51), and to the
tenth 0.71 (0.70). Row i is the same however many rows are made.
"""

import numpy as np
from numpy.typing import NDArray

BLOCK = 10_000
DIMENSIONS = 8  # of the surface
CENTRES = 64
SPREAD = 0.5  # about a centre, of the centres' own
BEND = 1.5
NOISE = 0.2  # of a vector's length, in all directions

Half = NDArray[np.float16]
Floats = NDArray[np.float32]


class Structured:
    """A distribution of unit vectors of `d` dimensions."""

    def __init__(self, d: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.d = d
        self._seed = seed
        self._centres = rng.standard_normal((CENTRES, DIMENSIONS), dtype=np.float32)
        self._into = rng.standard_normal((DIMENSIONS, 2 * d), dtype=np.float32) * np.float32(BEND / np.sqrt(DIMENSIONS))
        self._onto = rng.standard_normal((2 * d, d), dtype=np.float32)

    def rows(self, n: int) -> Half:
        """Return the first n rows, `(n, d) float16`, unit-length."""
        out = np.empty((n, self.d), np.float16)
        for start in range(0, n, BLOCK):
            stop = min(n, start + BLOCK)
            out[start:stop] = self._block(start // BLOCK + 1)[: stop - start]
        return out

    def queries(self, nq: int) -> Floats:
        """Return `(nq, d) float32` unit rows of the same distribution that are no rows."""
        return self._block(0)[:nq]

    def _block(self, number: int) -> Floats:
        """Return a block of rows, each block from a stream of its own."""
        rng = np.random.default_rng([self._seed, number])
        chosen = rng.integers(CENTRES, size=BLOCK)
        places = self._centres[chosen] + np.float32(SPREAD) * rng.standard_normal((BLOCK, DIMENSIONS), dtype=np.float32)
        rows = _unit(np.sin(places @ self._into) @ self._onto)
        noise = rng.standard_normal((BLOCK, self.d), dtype=np.float32) * np.float32(NOISE / np.sqrt(self.d))
        return _unit(rows + noise)


def _unit(rows: Floats) -> Floats:
    units: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units


def nearest(xb: Half, xq: Floats, k: int) -> NDArray[np.int64]:
    """Return the rows of `xb` with the k largest inner products with each query, `(nq, k)`, in no order; by blocks."""
    best = np.full((len(xq), k), -np.inf, np.float32)
    rows = np.full((len(xq), k), -1, np.int64)
    for start in range(0, len(xb), BLOCK):
        scores = xq @ xb[start : start + BLOCK].astype(np.float32).T
        both = np.concatenate([best, scores], axis=1)
        places = np.argpartition(-both, k, axis=1)[:, :k]
        known = np.concatenate([rows, np.broadcast_to(np.arange(start, start + scores.shape[1]), scores.shape)], axis=1)
        best, rows = np.take_along_axis(both, places, axis=1), np.take_along_axis(known, places, axis=1)
    return rows
