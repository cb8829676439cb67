"""Vectors in which the spread within a class is the same in every direction, so that what is left tells classes apart.

The pooled covariance within the classes is shrunk towards a multiple of the identity (Ledoit and Wolf 2004) and divided
out, as linear discriminant analysis does (Fisher 1936). Cosines to class means then weigh directions by what they tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from models.class_statistics import class_statistics
from models.vector_blocks import (
    NO_CLASS,
    Rows,
    Vectors,
    blocks,
    check_labels,
    check_row,
    check_vectors,
    modality_centre,
)

SHRINKAGE: Final = 0.1
_ROWS = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Whitening:
    """Subtracts a centre and evens the spread out.

    Attributes:
        centre: `(d,) float32`.
        matrix: `(d, d) float32`, symmetric; the identity for none.
    """

    centre: Rows
    matrix: Rows

    def __post_init__(self) -> None:
        check_row("centre", self.centre, len(self.centre))
        d = len(self.centre)
        if self.matrix.shape != (d, d) or not np.isfinite(self.matrix).all():
            msg = f"matrix must be ({d}, {d}) finite floats, not {self.matrix.shape} {self.matrix.dtype}"
            raise ValueError(msg)

    @classmethod
    def fit(cls, vectors: Vectors, labels: NDArray[np.integer], classes: int, *, shrinkage: float = SHRINKAGE) -> Self:
        """Learn the spread within classes.

        Args:
            vectors: `(n, d)`, finite; all of them make the centre.
            labels: `(n,)` classes in 0..C-1, or -1 for a row that is no sample of any.
            classes: how many, C.
            shrinkage: share of the identity, in 0..1; 1 evens nothing out.

        Raises:
            ValueError: a value is NaN, a label is no class, or the shrinkage lies outside.
        """
        check_vectors(vectors)
        if not 0 < shrinkage <= 1:
            msg = f"the shrinkage must lie in (0, 1], not {shrinkage}"
            raise ValueError(msg)
        known = check_labels(labels, len(vectors), classes)
        means, d = class_statistics(vectors, known, classes).means, vectors.shape[1]
        spread = np.zeros((d, d))
        for where, block in blocks(vectors, _ROWS):
            here = known[where] != NO_CLASS
            apart = (block[here].astype(np.float64) - means[known[where][here]]).astype(np.float32)
            spread += apart.T @ apart
        mean = float(np.trace(spread) / d) or 1.0  # one sample of each class: there is no spread to even out
        shrunk = (1 - shrinkage) * spread / mean + shrinkage * np.eye(d)
        values, axes = np.linalg.eigh(shrunk)
        matrix = (axes / np.sqrt(np.maximum(values, np.finfo(np.float64).tiny))) @ axes.T
        return cls(modality_centre(vectors), matrix.astype(np.float32))

    def apply(self, vectors: Vectors) -> Rows:
        """Return `vectors (n, d)` about the centre with their spread evened out, `(n, d) float32`.

        Raises:
            ValueError: a value is NaN (the message names the row), or d differs.
        """
        check_vectors(vectors, len(self.centre))
        found = np.empty(vectors.shape, np.float32)
        for where, block in blocks(vectors, _ROWS):
            found[where] = (block.astype(np.float32) - self.centre) @ self.matrix
        return found

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return everything as plain arrays."""
        return {"whitening-centre": self.centre, "whitening": self.matrix}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """Return the whitening of which `arrays` are the arrays.

        Raises:
            ValueError: one is missing, or of another type or shape.
        """
        for key in ("whitening-centre", "whitening"):
            if key not in arrays or arrays[key].dtype != np.float32:
                msg = f"{key} must be there, as float32"
                raise ValueError(msg)
        return cls(np.asarray(arrays["whitening-centre"], np.float32), np.asarray(arrays["whitening"], np.float32))
