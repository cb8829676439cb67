"""Rows of vectors a block at a time: checked, as float32, centred and unit-length.

What reads millions of stored vectors reads them through here, so that none of it is ever held twice and a NaN
is refused where it lies instead of spoiling a mean or a product.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float16] | NDArray[np.float32] | NDArray[np.float64]
"""`(n, d)`, as it is stored; may be memory-mapped."""

Rows = NDArray[np.float32]
Labels = NDArray[np.int32]

ROWS = 2_048  # of a block, where the caller does not say: 4 MB of 512 dimensions
NO_CLASS = -1


def blocks(vectors: Vectors, rows: int = ROWS) -> Iterator[tuple[slice, Vectors]]:
    """Yield `(where, block)` for every `rows` rows of `vectors (n, d)`, in the type they are stored in.

    Raises:
        ValueError: `vectors` is not two-dimensional or holds no floats, a value is NaN or infinite (the message names
            the row), or `rows` is less than 1.
    """
    check_vectors(vectors)
    if rows < 1:
        msg = f"a block must have at least 1 row, not {rows}"
        raise ValueError(msg)
    for start in range(0, len(vectors), rows):
        where = slice(start, min(start + rows, len(vectors)))
        block: Vectors = vectors[where]
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            msg = f"vectors: row {start + int(finite.argmin())} holds NaN or infinity"
            raise ValueError(msg)
        yield where, block


def unit_blocks(vectors: Vectors, centre: Rows | None = None, rows: int = ROWS) -> Iterator[tuple[slice, Rows]]:
    """Yield `blocks` as float32 after `centre (d,)` is subtracted and each row scaled to unit length.

    Raises:
        ValueError: as `blocks`, or `centre` is not `(d,)` or not finite.
    """
    check_vectors(vectors)
    if centre is not None:
        check_row("centre", centre, vectors.shape[1])
    for where, block in blocks(vectors, rows):
        wide = block.astype(np.promote_types(block.dtype, np.float32))
        yield where, unit_rows(wide if centre is None else wide - centre)


def unit_rows(rows: Vectors) -> Rows:
    """Return `rows (n, d)` scaled to unit length as float32; rows of zeros stay zeros."""
    # Dividing by the largest value first keeps the squares of tiny and huge rows within the type.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    lengths = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, np.newaxis]
    return np.asarray(np.divide(scaled, lengths, out=scaled, where=lengths > 0), dtype=np.float32)


def cosine_blocks(
    vectors: Vectors, prototypes: Rows, centre: Rows | None = None, rows: int = ROWS
) -> Iterator[tuple[slice, Rows]]:
    """Yield `(where, (m, C) float32)`, the cosines of `unit_blocks` with `prototypes (C, d)`; -inf with a row of zeros.

    Raises:
        ValueError: as `unit_blocks`; or the prototypes are not finite, of another d, or all zero.
    """
    check_vectors(vectors)
    d = vectors.shape[1]
    if prototypes.ndim != 2 or prototypes.shape[1] != d or not np.isfinite(prototypes).all():
        msg = f"prototypes must be (C, {d}) finite floats, not {prototypes.shape} {prototypes.dtype}"
        raise ValueError(msg)
    there = prototypes.any(axis=1)
    if not there.any():
        msg = "no class has a prototype"
        raise ValueError(msg)
    unit = unit_rows(prototypes)
    for where, block in unit_blocks(vectors, centre, rows):
        yield where, np.where(there, block @ unit.T, np.float32(-np.inf))


def modality_centre(vectors: Vectors) -> Rows:
    """Return the mean of `vectors (n, d)`, `(d,) float32`, summed in float64.

    Pictures and texts of one space lie in cones apart (Liang et al. 2022, the modality gap). Subtracting each one's
    own mean lets cosines within a cone, and between the two, use the whole range.

    Raises:
        ValueError: as `blocks`, or there are no rows.
    """
    check_vectors(vectors)
    if not len(vectors):
        msg = "vectors must have at least one row to have a centre"
        raise ValueError(msg)
    total = np.zeros(vectors.shape[1])
    for _, block in blocks(vectors):
        total += block.sum(axis=0, dtype=np.float64)
    return np.asarray(total / len(vectors), dtype=np.float32)


def check_vectors(vectors: Vectors, d: int | None = None) -> None:
    """Raise ValueError unless `vectors` is `(n, d)` of floats, of any d >= 1 when None."""
    wrong = vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.shape[1]
    if wrong or d not in {None, vectors.shape[1]}:
        msg = f"vectors must be (n, {d or 'd'}) floats, not {vectors.shape} {vectors.dtype}"
        raise ValueError(msg)


def check_finite(vectors: Vectors) -> None:
    """Raise ValueError as `blocks` does, naming the first row that holds NaN or infinity."""
    for _ in blocks(vectors):
        pass


def check_row(name: str, row: NDArray[np.float32], d: int) -> None:
    """Raise ValueError, naming `name`, unless `row` is `(d,)` and finite."""
    if row.shape != (d,) or not np.isfinite(row).all():
        msg = f"{name} must be ({d},) finite floats, not {row.shape} {row.dtype}"
        raise ValueError(msg)


def check_labels(labels: NDArray[np.integer], n: int, classes: int) -> Labels:
    """Return `labels (n,)` as int32, each a class in `0..classes-1` or `NO_CLASS`.

    Raises:
        ValueError: naming the first that is neither, or another shape or type.
    """
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        msg = f"labels must be ({n},) integers, not {labels.shape} {labels.dtype}"
        raise ValueError(msg)
    wrong = (labels < NO_CLASS) | (labels >= classes) if labels.dtype.kind == "i" else labels >= classes
    if wrong.any():
        at = int(wrong.argmax())
        msg = f"labels: row {at} holds {labels[at]}, not a class in 0..{classes - 1} or {NO_CLASS}"
        raise ValueError(msg)
    return labels.astype(np.int32)
