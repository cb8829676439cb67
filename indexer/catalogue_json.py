"""A list of objects in one JSON file, one object at a time, however long the list.

An object that is not well-formed is refused like a bad line, and reading goes on behind it.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import orjson

from indexer.catalogue_formats import (
    MAX_LINE_BYTES,
    CatalogueError,
    RawRow,
    RejectedRow,
    guarded,
    one_line,
    open_unpacked,
)

_CHUNK_BYTES = 2**18
_OUTSIDE = re.compile(rb'["\[\]{},]')
_INSIDE = re.compile(rb'["\\]')


def json_list(path: Path) -> Iterator[RawRow | RejectedRow]:
    """Yield the objects of the list that a JSON file, gzipped or not, consists of.

    Raises:
        CatalogueError: the list is not closed, or something follows it.
    """
    count = itertools.count(1)
    for element in _elements(path):
        if element is not None and not element.strip():
            continue  # of an empty list, or behind a comma too many
        number = next(count)
        if element is None:
            yield RejectedRow(number, "", f"longer than {MAX_LINE_BYTES:,} bytes")
            continue
        try:
            values = orjson.loads(element)
        except orjson.JSONDecodeError as error:
            yield RejectedRow(number, "", f"not valid JSON: {one_line(error)}")
            continue
        yield RawRow(number, values) if isinstance(values, dict) else RejectedRow(number, "", "not a JSON object")


def _elements(path: Path) -> Iterator[bytes | None]:
    """Yield the text of each element of the outermost list; None for one that is too long to be held."""
    splitter = _Splitter()
    with open_unpacked(path) as file:
        while chunk := guarded(path, lambda: file.read(_CHUNK_BYTES)):
            yield from splitter.split(chunk)
    if splitter.depth > 0 or splitter.rest().strip():
        msg = f"{path}: " + ("breaks off: its list is not closed" if splitter.depth > 0 else "goes on behind its list")
        raise CatalogueError(msg)


class _Splitter:
    """Cuts a list at the commas between its elements; `depth` counts the brackets that are open."""

    def __init__(self) -> None:
        self.depth = 0
        self._held = bytearray()
        self._cut = self._in_string = self._escaped = False

    def rest(self) -> bytes:
        """Return what was read behind the last element."""
        return bytes(self._held)

    def split(self, chunk: bytes) -> Iterator[bytes | None]:
        """Yield the elements that end in `chunk`."""
        start = at = 0
        if self._escaped:
            at, self._escaped = 1, False
        while (match := (_INSIDE if self._in_string else _OUTSIDE).search(chunk, at)) is not None:
            at = match.end()
            sign = match[0]
            if sign == b"\\":
                self._escaped = at == len(chunk)
                at += 1
            elif sign == b'"':
                self._in_string = not self._in_string
            elif sign != b"," and self._opens(sign):
                start = at
            elif self.depth == (1 if sign == b"," else 0):
                self._hold(chunk[start : match.start()])
                start = at
                yield self._take()
        self._hold(chunk[start:])

    def _opens(self, bracket: bytes) -> bool:
        """Follow a bracket; return whether the list begins behind it: what stands before is no element."""
        self.depth += 1 if bracket in b"[{" else -1
        if self.depth == 1 and bracket in b"[{":
            self._held.clear()
            return True
        return False

    def _hold(self, part: bytes) -> None:
        if len(self._held) + len(part) > MAX_LINE_BYTES:
            self._cut = True
            self._held.clear()
        elif not self._cut:
            self._held += part

    def _take(self) -> bytes | None:
        element = None if self._cut else bytes(self._held)
        self._held.clear()
        self._cut = False
        return element
