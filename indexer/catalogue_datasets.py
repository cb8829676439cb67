"""Hugging Face data sets as a feed: Parquet files, or pictures beside a metadata file that names them.

Classes that are numbers become their names, pictures may be bytes in a column, and the split of a file's name is
the `split` of its rows. Reading the files is left to `indexer.catalogue_formats`.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from indexer.catalogue_formats import (
    FeedFormat,
    RawFeed,
    RawRow,
    RejectedRow,
    delimited_feed,
    json_lines,
    parquet_feed,
)
from models.product import SPLIT_ATTRIBUTE

_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_WORDS = re.compile(r"[^a-z]+")
_FILE_NAME = "file_name"


def holds_dataset(folder: Path) -> bool:
    """Return whether `folder` holds Parquet files, or a metadata file of pictures, at any depth."""
    return next(_files(folder), None) is not None


def dataset_feed(path: Path) -> RawFeed:
    """Open one Parquet file, with the names of classes where it states them.

    Raises:
        CatalogueError: it cannot be read.
    """
    feed = parquet_feed(path)
    labels = _labels(path)
    return RawFeed(_labelled(feed.rows, labels), feed.columns, feed.format) if labels else feed


def datasets_folder(folder: Path) -> RawFeed:
    """Open a folder: its metadata files, else its Parquet files, in the order of their names.

    Raises:
        CatalogueError: the first of them cannot be read; while reading, another one.
    """
    files = sorted(_files(folder))
    described = [file for file in files if file.name in _METADATA]
    chosen = described or files
    columns = _open(chosen[0]).columns
    if columns is not None:
        columns = tuple(dict.fromkeys((*columns, SPLIT_ATTRIBUTE)))
    return RawFeed(_rows(folder, chosen), columns, FeedFormat.DATASETS, _named if described else None)


def _files(folder: Path) -> Iterator[Path]:
    for name in ("*.parquet", *_METADATA[:2]):
        for path in folder.rglob(name):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.is_file() and not hidden:
                yield path


def _open(path: Path) -> RawFeed:
    if path.suffix == ".parquet":
        return dataset_feed(path)
    return RawFeed(json_lines(path), None, FeedFormat.JSON) if path.suffix == ".jsonl" else delimited_feed(path, ",")


def _rows(folder: Path, files: list[Path]) -> Iterator[RawRow | RejectedRow]:
    count = itertools.count(1)
    for file in files:
        place = file.relative_to(folder)
        split = _split(place)
        for row in _open(file).rows:
            if isinstance(row, RejectedRow):
                yield RejectedRow(next(count), row.field, f"{row.reason} (row {row.row} of {place})", row.id, row.line)
            else:
                yield RawRow(next(count), _placed(row.values, place.parent, split), row.line)


def _placed(values: Mapping[str, object], folder: PurePath, split: str | None) -> dict[str, object]:
    """Return the row with its split, and its picture named from the data set's folder."""
    row = dict(values)
    if split is not None:
        row.setdefault(SPLIT_ATTRIBUTE, split)
    name = row.get(_FILE_NAME)
    if isinstance(name, str) and name:
        row[_FILE_NAME] = (folder / name).as_posix()
    return row


def _named(values: Mapping[str, object]) -> dict[str, object]:
    """Return a row of a metadata file: the file is its picture, and its id where it states none."""
    row = {name: value for name, value in values.items() if name != _FILE_NAME}
    if _FILE_NAME in values:
        file = values[_FILE_NAME]
        row.setdefault("images", [file] if file else [])
        row.setdefault("id", file)
    return row


def _split(place: PurePath) -> str | None:
    """Return the split that a file's name states, else the one of the folders that it lies in."""
    for part in reversed(place.parts):
        for word in _WORDS.split(part.lower()):
            if word in _SPLITS:
                return _SPLITS[word]
    return None


def _labels(path: Path) -> dict[str, list[str]]:
    """Return the names of the classes of each column that the file states them for."""
    try:
        stated = (pq.read_schema(path).metadata or {}).get(b"huggingface", b"{}")
        features = orjson.loads(stated)["info"]["features"]
        return {name: f["names"] for name, f in features.items() if f.get("_type") == "ClassLabel"}
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, AttributeError):
        return {}  # a note that only helps to read, of a kind that is not ours to judge


def _labelled(rows: Iterator[RawRow | RejectedRow], labels: Mapping[str, list[str]]) -> Iterator[RawRow | RejectedRow]:
    for row in rows:
        if isinstance(row, RejectedRow):
            yield row
            continue
        values = dict(row.values)
        for column, names in labels.items():
            number = values.get(column)
            if isinstance(number, int) and not isinstance(number, bool):
                values[column] = names[number] if 0 <= number < len(names) else None
        yield RawRow(row.row, values, row.line)
