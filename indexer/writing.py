"""Files of a bundle that grow row by row while a catalogue streams through: vectors and thumbnails.

Nothing here needs the number of rows beforehand. Digests and the manifest are left to `indexer.build`.
"""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES = 128  # of a .npy file of two dimensions: numpy pads it so that the first may grow
_UNIT_TOLERANCE = 1e-3


def check_unit(vectors: NDArray[np.floating], dim: int, first: int = 0) -> None:
    """Refuse what are no unit vectors; `first` is the number of the first one.

    Raises:
        ValueError: they are not `(n, dim)`, or some row is not of unit length.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        msg = f"vectors of shape {vectors.shape}, where (n, {dim}) is expected"
        raise ValueError(msg)
    lengths = np.linalg.norm(vectors.astype(np.float32, copy=False), axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= _UNIT_TOLERANCE))
    if len(wrong):
        msg = f"vector {first + int(wrong[0])} has length {lengths[wrong[0]]:.4f}, not 1"
        raise ValueError(msg)


class VectorWriter:
    """Writes unit vectors as float16 to a `.npy` file that numpy can memory-map; a context manager."""

    def __init__(self, path: Path, dim: int) -> None:
        self._path = path
        self._dim = dim
        self._file = path.open("wb")
        self._file.write(bytes(_HEADER_BYTES))
        self.written = 0

    def write(self, vectors: NDArray[np.floating]) -> None:
        """Append `vectors`, `(n, dim)`, float16 or float32.

        Raises:
            ValueError: they are of another shape, or some row is not of unit length.
        """
        check_unit(vectors, self._dim, self.written)
        self._file.write(np.ascontiguousarray(vectors, "<f2").tobytes())
        self.written += len(vectors)

    def close(self) -> None:
        """Write the header, which states how many rows there are."""
        with self._file:
            header = io.BytesIO()
            layout = {"descr": "<f2", "fortran_order": False, "shape": (self.written, self._dim)}
            np.lib.format.write_array_header_1_0(header, layout)
            if header.tell() != _HEADER_BYTES:
                msg = f"numpy wrote a header of {header.tell()} bytes, not {_HEADER_BYTES}"
                raise ValueError(msg)
            self._file.seek(0)
            self._file.write(header.getvalue())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ThumbnailWriter:
    """Writes JPEGs one behind the other into one file, and where each begins into another."""

    def __init__(self, path: Path, offsets_path: Path) -> None:
        self._file = path.open("wb")
        self._offsets_path = offsets_path
        self._sizes: list[NDArray[np.int64]] = []

    def write(self, thumbnails: Iterable[bytes]) -> None:
        """Append `thumbnails`."""
        pictures = list(thumbnails)
        self._file.writelines(pictures)
        self._sizes.append(np.array([len(picture) for picture in pictures], np.int64))

    def close(self) -> None:
        """Write the offsets, `(n + 1,) int64`."""
        self._file.close()
        sizes = np.concatenate(self._sizes) if self._sizes else np.zeros(0, np.int64)
        np.save(self._offsets_path, np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes))))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
