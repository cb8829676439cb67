"""Duels: which of two classes an item is nearer to, on the dimensions that tell just these two apart.

The margin of a duel is cos(x, p_a) - cos(x, p_b), every vector cut down to the dimensions of the pair and scaled
to unit length there. With the mask M of the pair it is x . w / |x M|, where w = p_a M / |p_a M| - p_b M / |p_b M|, so
the margins of n items in m duels are two products of matrices, `x @ W.T` and `(x * x) @ M.T`: 4 n m d operations.
Who wins on the whole is left to `models.tournaments`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.subdimensions import Indices, SubDimensions, pair_index, pairs_of
from models.vector_blocks import Rows

Classes = NDArray[np.int32]

_BLOCK_PAIRS = 2_048  # whose weights are held at once: 8 MB of 512 dimensions
_HELD_VALUES = 32_000_000  # weights kept between calls where all pairs have no more: 128 MB
_GATHERED_VALUES = 2_000_000  # weights gathered at once for duels that differ from item to item
_TINY = np.float32(1e-30)  # below any squared length: a product of 0 over it stays 0


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Two matrices that give the margins of m duels.

    Attributes:
        difference: `(m, d) float32`, p_a M / |p_a M| - p_b M / |p_b M|; a prototype that is 0 on M counts as 0.
        mask: `(m, d) float32`, M.
    """

    difference: Rows
    mask: Rows

    def margins(self, x: Rows) -> Rows:
        """Return the margins `(n, m) float32`, in -2..2, of items `x (n, d)`; 0 for an item that is 0 on M."""
        margins: Rows = x @ self.difference.T
        lengths = (x * x) @ self.mask.T
        np.maximum(lengths, _TINY, out=lengths)
        np.sqrt(lengths, out=lengths)
        return np.divide(margins, lengths, out=margins)


@dataclass(frozen=True, eq=False)
class Duels:
    """All duels between C classes.

    Attributes:
        prototypes: `(C, d) float32`, any length.
        masks: the dimensions of every pair.
    """

    prototypes: Rows
    masks: SubDimensions

    def __post_init__(self) -> None:
        shape = (self.masks.classes, self.masks.dimensions)
        if self.prototypes.shape != shape or not len(self.prototypes):
            msg = f"prototypes {self.prototypes.shape} must be one or more, and fit masks of {shape}"
            raise ValueError(msg)

    def __len__(self) -> int:
        """Classes."""
        return len(self.prototypes)

    @cached_property
    def pairs(self) -> tuple[Indices, Indices]:
        """The classes a < b of every pair."""
        return pairs_of(len(self))

    def weights(self, pairs: slice | Indices) -> Weights:
        """Return the weights of `pairs`, numbered as by `pair_index`."""
        mask = self.masks.unpack(pairs).astype(np.float32)
        a, b = (self._cut(classes[pairs], mask) for classes in self.pairs)
        return Weights(np.subtract(a, b, out=a), mask)

    def _cut(self, classes: Indices, mask: Rows) -> Rows:
        cut = self.prototypes[classes]
        cut *= mask
        lengths = np.sqrt(np.maximum(np.einsum("ij,ij->i", cut, cut), _TINY))
        cut /= lengths[:, np.newaxis]
        return cut

    def blocks(self) -> Iterator[tuple[slice, Weights]]:
        """Yield `(pairs, weights)` for all pairs, a bounded number at a time."""
        yield from self._held if self.are_held else self._made()

    @property
    def are_held(self) -> bool:
        """Whether there are few enough weights to keep them between calls."""
        return 2 * self.masks.dimensions * len(self.masks.bits) <= _HELD_VALUES

    @cached_property
    def _held(self) -> list[tuple[slice, Weights]]:
        return list(self._made())

    def _made(self) -> Iterator[tuple[slice, Weights]]:
        total = len(self.masks.bits)
        for start in range(0, total, _BLOCK_PAIRS):
            where = slice(start, min(start + _BLOCK_PAIRS, total))
            yield where, self.weights(where)

    def table(self, x: Rows) -> Rows:
        """Return the margin of every pair a < b, `(n, C (C - 1) / 2) float32`, for items `x (n, d)`."""
        margins = np.empty((len(x), len(self.masks.bits)), np.float32)
        for where, weights in self.blocks():
            margins[:, where] = weights.margins(x)
        return margins

    def between(self, x: Rows, a: Classes, b: Classes) -> Rows:
        """Return the margin of class `a[i, j]` over `b[i, j]` for item i, `(n, k) float32`.

        Swapping the two changes the sign and nothing else. For few duels an item; `table` is faster for many.

        Args:
            x: `(n, d)` items.
            a: `(n, k)` classes.
            b: `(n, k)` others; a class never meets itself.
        """
        margins = np.empty(a.shape, np.float32)
        step = max(1, _GATHERED_VALUES // max(1, a.shape[1] * x.shape[1]))
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            margins[rows] = self._gathered(x[rows], pair_index(a[rows], b[rows], len(self)))
        return np.where(a < b, margins, -margins)

    def _gathered(self, x: Rows, pairs: Indices) -> Rows:
        weights = self.weights(pairs.ravel())
        margins = np.einsum("nd,nkd->nk", x, weights.difference.reshape(*pairs.shape, -1))
        squares = np.einsum("nd,nkd->nk", x * x, weights.mask.reshape(*pairs.shape, -1))
        return np.asarray(margins / np.sqrt(np.maximum(squares, _TINY)), dtype=np.float32)
