"""Maps of bundles, made apart from the searches: in a process of its own that stands back, one at a time.

A map is seconds of work in another library, done apart (`service.apart`). What was made is kept in the data folder
under the digest of the bundle's content, as long as it is among the latest. Where products stand on a map is left to
`indexer.layout`.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from indexer.bundle import BUNDLES
from indexer.layout import MOST, Method, method_here
from indexer.manifest import Manifest
from service.apart import run_apart
from service.errors import RefusedBundleError, UnavailableError

FOLDER: Final = "maps"
SIZES: Final = (2_000, MOST)  # products; a smaller map is the beginning of one of these
_KEPT: Final = 8
_LIMIT_S: Final = 180.0
_RETRY_S: Final = 60
_log = structlog.stdlib.get_logger("catalens.mapping")


class MapPoints(TypedDict):
    """Products on a map, column by column, in an order drawn at random; `x` and `y` are 0 to 1."""

    id: list[str]
    title: list[str]
    x: list[float]
    y: list[float]
    category: list[str | None]
    price: list[float | None]


class Map(TypedDict):
    """How products were laid out, how many the bundle has, and those that are shown."""

    method: Method
    of: int
    columns: MapPoints


_FORM: Final = TypeAdapter(Map)


class Maps:
    """Makes maps of bundles and keeps the latest.

    Args:
        data_dir: Holds the bundles, and the maps.
    """

    def __init__(self, data_dir: Path) -> None:
        self._bundles = (data_dir / BUNDLES).absolute()
        self._folder = data_dir / FOLDER
        self._one_at_a_time = asyncio.Lock()
        self._making: dict[str, asyncio.Task[Map]] = {}

    async def of(self, bundle_id: str, manifest: Manifest, limit: int) -> Map:
        """Return a map of at most `limit` products, 1 to MOST, of a bundle. Whoever comes second waits for the same.

        Raises:
            RefusedBundleError: a file of the bundle cannot be read.
            UnavailableError: it takes too long, or the service ends.
        """
        wanted = min(limit, manifest.counts.products)
        size = next(size for size in SIZES if size >= wanted)
        method = method_here()
        name = f"{manifest.digest[:32]}-{size}-{method.casefold()}.json"
        asked = (str(self._bundles / bundle_id), "--most", str(size), "--method", method)
        found = await asyncio.to_thread(self._kept, name) or await self._made(name, asked)
        return {**found, "columns": _first(found["columns"], wanted)}

    async def close(self) -> None:
        """End what is being made."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _made(self, name: str, asked: Sequence[str]) -> Map:
        task = self._making.get(name)
        if task is None:
            task = self._making[name] = asyncio.get_running_loop().create_task(self._make(name, asked))
            task.add_done_callback(lambda done: self._forget(name, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise  # the caller's own end: others may wait for the map
            msg = "The map is not made: the service ends."
            raise UnavailableError(msg) from None

    def _forget(self, name: str, task: "asyncio.Task[Map]") -> None:
        del self._making[name]
        if not task.cancelled():
            task.exception()  # it was told to whoever waits, if anyone still does

    async def _make(self, name: str, asked: Sequence[str]) -> Map:
        async with self._one_at_a_time:
            said = await _said([sys.executable, "-m", "indexer.layout_cli", *asked])
            return await asyncio.to_thread(self._read_and_kept, name, said)

    def _read_and_kept(self, name: str, content: bytes) -> Map:
        try:
            made = _FORM.validate_json(content)
        except ValidationError as error:
            msg = "The map is not made: the process that should have made it said something else."
            raise UnavailableError(msg) from error
        self._keep(name, content)
        return made

    def _kept(self, name: str) -> Map | None:
        """Return a map that was made before; None: none was, or the file is not what it should be."""
        path = self._folder / name
        try:
            found = _FORM.validate_json(path.read_bytes())
            os.utime(path)  # the latest asked for are kept
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            _log.warning("map_unreadable", path=str(path), reason=str(error).partition("\n")[0])
            return None
        return found

    def _keep(self, name: str, content: bytes) -> None:
        """Write a map, and remove those that were not asked for in the longest time; without it, it is made again."""
        coming = self._folder / f".{name}-{os.getpid()}"
        try:
            self._folder.mkdir(exist_ok=True)
            coming.write_bytes(content)
            coming.replace(self._folder / name)
            maps = sorted(self._folder.glob("[!.]*.json"), key=lambda path: path.stat().st_mtime_ns)
            for path in maps[:-_KEPT]:
                path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("map_not_kept", path=str(self._folder / name), reason=str(error))


def _first(columns: MapPoints, n: int) -> MapPoints:
    return {
        "id": columns["id"][:n],
        "title": columns["title"][:n],
        "x": columns["x"][:n],
        "y": columns["y"][:n],
        "category": columns["category"][:n],
        "price": columns["price"][:n],
    }


async def _said(command: Sequence[str]) -> bytes:
    """Return what a command prints.

    Raises:
        RefusedBundleError: it fails; says why.
        UnavailableError: it takes too long, or is ended by others.
    """
    try:
        ended = await run_apart(command, limit_s=_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        msg = f"The map is not made: it takes longer than {_LIMIT_S:g} s."
        raise UnavailableError(msg, retry_after_s=_RETRY_S) from error
    if ended.explained:
        raise RefusedBundleError(ended.reason, path="id")
    if ended.status:
        msg = f"The map is not made: {ended.reason}"
        raise UnavailableError(msg, retry_after_s=_RETRY_S)
    return ended.said
