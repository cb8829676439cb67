"""The file of cut-out products: Arrow IPC, written batch by batch, memory-mapped to be read.

Any row is read without the others: what is held in memory is what was asked for. Beside products the file may hold
backdrops, what was left of busy photos without their product. Cutting is left to `models.capture.cutting`.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

VERSION: Final = "1"
_NAMED: Final = {b"catalens": b"cutouts", b"version": VERSION.encode()}
_COLUMNS = ("id", "split", "group", "title")
_SCHEMA = pa.schema(
    [*((name, pa.string()) for name in _COLUMNS), ("backdrop", pa.bool_()), ("picture", pa.binary())], _NAMED
)
_ROWS_AT_ONCE = 128


class CutoutsError(ValueError):
    """A file of cut-outs that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class CutoutRow:
    """One row to be written.

    Attributes:
        id: of the product.
        split: of the product: train, val or test.
        group: what its variants share; its id where nothing is stated.
        title: of the product.
        picture: the encoded picture, RGBA of a product or RGB of a backdrop.
        backdrop: whether this is what was around the product, not the product.
    """

    id: str
    split: str
    group: str
    title: str
    picture: bytes
    backdrop: bool = False


@dataclass(frozen=True, slots=True)
class Cutout:
    """A cut-out product.

    Attributes:
        id: of the product; one that has several pictures may be there several times.
        group: what its variants share.
        image: RGBA, as large as what is visible of it.
        title: of the product.
    """

    id: str
    group: str
    image: Image.Image
    title: str


def write_cutouts(path: Path, rows: Iterable[CutoutRow]) -> int:
    """Write `rows` as they come and return how many there were. `path` appears when complete.

    Raises:
        CutoutsError: the file cannot be written, or there are no rows.
    """
    count, waiting = 0, iter(rows)
    with _appearing(path) as partial, pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        while batch := list(islice(waiting, _ROWS_AT_ONCE)):
            columns = [[getattr(row, name) for row in batch] for name in _SCHEMA.names]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
            count += len(batch)
        if not count:
            raise CutoutsError(f"nothing to write to {path}")
    return count


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and move it there when all went well."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)  # noqa: PTH105 - the same call bundles are published with
    except OSError as error:
        raise CutoutsError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def encode_cutout(image: Image.Image) -> bytes:
    """Return `image` as WebP: the alpha channel exact, the colours nearly so."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=92, method=2, alpha_quality=100)
    return buffer.getvalue()


class Cutouts:
    """Cut-out products in a memory-mapped file; a row is decoded when it is asked for.

    Can be sent to other processes: they open the file themselves.
    """

    def __init__(self, path: Path, batches: list[pa.RecordBatch], split: str | None) -> None:
        self._path = path
        self._batches = batches
        self._split = split
        self._starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        backdrop = _flags(batches)
        splits = self._column("split")
        wanted = np.ones(len(splits), dtype=bool) if split is None else splits == split
        self._rows = np.flatnonzero(wanted & ~backdrop)
        self._backdrops = np.flatnonzero(wanted & backdrop)
        self._groups: NDArray[np.int64] = np.unique(self._column("group"), return_inverse=True)[1][self._rows]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the cut-outs in the file at `path`.

        Raises:
            CutoutsError: there is none, or it is not a file of cut-outs of this version.
        """
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            named = reader.schema.metadata or {}
            if not reader.schema.equals(_SCHEMA) or named.get(b"catalens") != _NAMED[b"catalens"]:
                raise CutoutsError(f"{path} is not a file of cut-outs")
            if named.get(b"version") != _NAMED[b"version"]:
                found = named.get(b"version", b"none").decode(errors="replace")
                raise CutoutsError(f"{path} has version {found}, not {VERSION}: cut it again")
            return cls(path, [reader.get_batch(number) for number in range(reader.num_record_batches)], None)
        except (OSError, pa.ArrowException) as error:
            raise CutoutsError(f"cannot read {path}: {str(error).splitlines()[0]}") from error

    def of_split(self, split: str) -> Self:
        """Return the cut-outs of the products of `split`.

        Raises:
            CutoutsError: there are none.
        """
        found = type(self)(self._path, self._batches, split)
        if not len(found):
            raise CutoutsError(f"{self._path} has no cut-out of the split {split!r}")
        return found

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Cutout:
        row = int(self._rows[number])
        names = {name: str(self._value(row, name)) for name in ("id", "group", "title")}
        return Cutout(image=self._picture(row, "RGBA"), **names)

    def __reduce__(self) -> tuple[Callable[..., "Cutouts"], tuple[Path, str | None]]:
        return _opened, (self._path, self._split)

    @property
    def groups(self) -> NDArray[np.int64]:
        """A number for each cut-out, `(n,) int64`, the same for those of the same group."""
        return self._groups

    @property
    def backdrops(self) -> int:
        """How many backdrops there are."""
        return len(self._backdrops)

    def backdrop(self, number: int) -> Image.Image:
        """Return backdrop `number`, RGB."""
        return self._picture(int(self._backdrops[number]), "RGB")

    def _column(self, name: str) -> NDArray[np.str_]:
        return np.array([value for batch in self._batches for value in batch.column(name).to_pylist()], dtype=np.str_)

    def _value(self, row: int, column: str) -> object:
        batch = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._batches[batch].column(column)[row - int(self._starts[batch])].as_py()

    def _picture(self, row: int, mode: str) -> Image.Image:
        data = self._value(row, "picture")
        if not isinstance(data, bytes):
            raise CutoutsError(f"{self._path}: row {row} has no picture")
        try:
            with Image.open(io.BytesIO(data), formats=["WEBP", "PNG"]) as image:
                return image.convert(mode)  # WebP forgets an alpha channel that hides nothing
        except (OSError, ValueError, SyntaxError) as error:
            raise CutoutsError(f"{self._path}: row {row}: damaged picture") from error


def _opened(path: Path, split: str | None) -> Cutouts:
    cutouts = Cutouts.open(path)
    return cutouts if split is None else cutouts.of_split(split)


def _flags(batches: list[pa.RecordBatch]) -> NDArray[np.bool_]:
    return np.array([value for batch in batches for value in batch.column("backdrop").to_pylist()], dtype=bool)
