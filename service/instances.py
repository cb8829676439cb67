"""The products in a query's picture, each to be searched for by itself: detected, cut out, encoded and remembered.

What a product is and what becomes of its region is `models.capture.finder`'s. Here is what it may cost: a thread of
its own, part of a request's time, nothing under pressure. No search fails for it; one that has to do without says so
in `degraded`, and has its picture searched for as a whole.
"""

import asyncio
import hashlib
import struct
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import orjson
import structlog
from PIL import Image

from models.capture.finder import BUNDLED, DETECTOR, Instance, InstanceFinder, Region, open_finder, shows_one
from models.capture.regions import Detection
from models.checkpoint import CheckpointError
from models.encoder import Encoder, Vectors
from service import tracing
from service.batching import MicroBatcher, Stay
from service.cache import Cache, CacheUnavailableError, NoCache
from service.errors import ServiceError, StartupError
from service.query import InstancesMode, PicturePart, Query
from service.settings import Settings, flag, variable
from service.telemetry import Metrics

INSTANCES: Final = "instances"  # what `degraded` names
AUTO: Final = "auto"
OFF: Final = "off"

_SHARE: Final = 0.5  # of the time that is left: the rest is for searching without
_MAGIC: Final = b"CTI1"
_HEAD: Final = struct.Struct("<4sIH")  # magic, CRC-32 of the rest, length of the JSON header
_UNIT_TOLERANCE: Final = 1e-3
_GREY: Final = Image.new("RGB", (64, 64), (128, 128, 128))

_log = structlog.stdlib.get_logger("catalens.instances")


@dataclass(frozen=True, slots=True)
class Seeing:
    """What finds products in pictures, and what remembers them; None: nothing does."""

    finder: InstanceFinder | None
    cache: Cache


BLIND: Final = Seeing(None, NoCache())
Encode = Callable[[Image.Image, float], Awaitable[Vectors]]
Products = tuple[Instance, ...]


def finder_of(settings: Settings, encoder: Encoder) -> InstanceFinder | None:
    """Return what finds products in pictures, as `settings` say; None where nothing does.

    Raises:
        StartupError: the folder they name, or what comes with the package, cannot be read.
    """
    stated = settings.instances
    if stated == OFF or (stated == AUTO and not (BUNDLED / DETECTOR).is_dir()):
        return None
    folder = BUNDLED if stated == AUTO else Path(stated)
    try:
        finder = open_finder(
            folder, encoder, least_confidence=settings.instance_confidence, most=settings.most_instances
        )
    except (CheckpointError, OSError) as error:
        msg = f"{variable('instances')} or {flag('instances')}: {error}"
        raise StartupError(msg) from error
    finder.regions([_GREY])  # the first call takes many times as long as the next
    _log.info("instances", **runs_on(finder), fingerprint=finder.fingerprint)
    return finder


def runs_on(finder: InstanceFinder | None) -> dict[str, str]:
    """Return what finds instances, as metrics and the log name it; nothing where nothing does."""
    if finder is None:
        return {}
    return {INSTANCES: "detector" if finder.head is None else "detector+head"}


class Instances:
    """Looks for products in pictures, beside the event loop and within bounds.

    Args:
        seeing: Finds and remembers them.
        encode: Encodes a region among everyone's pictures.
        settings: How much may wait, and how long.
        metrics: Told of every detection.

    Attributes:
        fingerprint: What answers depend on; empty where nothing finds instances.
    """

    def __init__(self, seeing: Seeing, encode: Encode, settings: Settings, metrics: Metrics) -> None:
        self._finder = finder = seeing.finder
        self.fingerprint = "" if finder is None else finder.fingerprint
        self._cache = seeing.cache
        self._encode = encode
        self._metrics = metrics
        self._patience_s = _SHARE * settings.most_wait_ms / 1000
        self._detecting: MicroBatcher[Image.Image, Sequence[Region]] | None = None
        if finder is not None:
            self._detecting = MicroBatcher(
                finder.regions,
                name="detect",
                max_batch=1,  # on a CPU two pictures take twice as long as one, and both would wait for it
                max_waiting=settings.max_waiting,
                hung_s=2 * self._patience_s,
                observe=metrics.batch,
                tell=self._tell,
            )
            metrics.watch_depth("detect", lambda: 0 if self._detecting is None else self._detecting.depth)

    def _tell(self, stay: Stay) -> None:
        self._metrics.waited(stay.name, stay.waited_s)
        tracing.batch(stay)

    def look(self, query: Query, due: float) -> "Look | None":
        """Return what is to look for the products in a query's picture; None where nothing is to, or nothing can.

        Args:
            query: Has one picture that is wanted, if it wants instances.
            due: When its answer is wanted, as `time.monotonic` counts it.
        """
        if not self.can(query):
            return None
        numbers = [n for n, part in enumerate(query.parts) if isinstance(part, PicturePart) and part.weight > 0]
        return Look(self, numbers[0], query.instances, due)

    def can(self, query: Query) -> bool:
        """Return whether a query wants instances, and something here finds them."""
        return query.instances != OFF and self._finder is not None

    def lacks(self, query: Query) -> bool:
        """Return whether a query asks for what nothing here can do."""
        return query.instances == "all" and self._finder is None

    async def regions(self, picture: Image.Image, due: float) -> Sequence[Region]:
        """Return the products of a picture, cut out.

        Raises:
            TimeoutError: it took too long.
            ServiceError: it would not be done before `due`, too much waits already, or a detection hangs.
            Exception: whatever the detector raised.
        """
        if self._detecting is None:
            return ()
        async with asyncio.timeout(self._patience_s):
            return await self._detecting.submit(picture, min(due, time.monotonic() + self._patience_s))

    async def vectors(self, regions: Sequence[Region], due: float) -> Products:
        """Return products with the vectors of their regions, as the encoder has them.

        Raises:
            ServiceError: too much waits to be encoded.
        """
        encoded = await asyncio.gather(*(self._encode(region.picture, due) for region in regions))
        return tuple(Instance(region.detection, vector) for region, vector in zip(regions, encoded, strict=True))

    def led(self, found: Products) -> Vectors:
        """Return the vectors `(n, d) float32` of one product or more, led to where catalogue pictures of them lie."""
        vectors = np.stack([one.vector for one in found])
        return vectors if self._finder is None else self._finder.lead(vectors)

    @property
    def leads(self) -> bool:
        """Whether it does."""
        return self._finder is not None and self._finder.head is not None

    async def recall(self, key: str) -> Products | None:
        """Return what was found before, None if nothing is known.

        Raises:
            CacheUnavailableError: the cache could not be asked.
        """
        data = await self._cache.get(key)
        return None if data is None else unpack_instances(data)

    def remember(self, key: str, found: Products) -> None:
        """Keep what was found, soon."""
        self._cache.put(key, pack_instances(found))

    async def close(self) -> None:
        """End the thread."""
        if self._detecting is not None:
            await self._detecting.close()


class Look:
    """Looks for products in the one picture of a query.

    Attributes:
        part: The number of the part that is the picture.
        mode: Whether the picture may be searched for as a whole instead.
        found: The products; empty: the picture is to be searched for as a whole; None: it was not, or not yet, looked.
        failed: Whether it had to be given up.
        took_s: Seconds from the decoded picture to its regions.
    """

    def __init__(self, instances: Instances, part: int, mode: InstancesMode, due: float) -> None:
        self._instances = instances
        self.mode = mode
        self._due = due
        self.part = part
        self.found: Products | None = None
        self.failed = False
        self.took_s = 0.0

    async def remembers(self, sha256: bytes) -> bool:
        """Return whether it is known what is in the picture file of this digest, or known to be in vain to look."""
        try:
            self.found = await self._instances.recall(self._key(sha256))
        except CacheUnavailableError:
            return False
        return self.found is not None

    async def into(self, picture: Image.Image, sha256: bytes) -> None:
        """Look for the products in a picture; a failure is noted, and nobody's but the detector's."""
        began = time.perf_counter()
        left_s = _SHARE * (self._due - time.monotonic())
        due = time.monotonic() + left_s
        try:
            async with asyncio.timeout(left_s):
                regions = await self._instances.regions(picture, due)
                self.took_s = time.perf_counter() - began
                tracing.within("detect", self.took_s)
                whole = self.mode == AUTO and shows_one([region.detection for region in regions])
                self.found = await self._instances.vectors(() if whole else regions, due)
        except (ServiceError, TimeoutError) as error:
            self._give_up(began, error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the detector, the search goes on without
            self._give_up(began, error)
            _log.exception("detection_failed")
        else:
            self._instances.remember(self._key(sha256), self.found)

    def _give_up(self, began: float, error: Exception) -> None:
        self.took_s = time.perf_counter() - began
        self.failed = True
        _log.info("instances_left_out", reason=type(error).__name__)

    def _key(self, sha256: bytes) -> str:
        stated = f"{self._instances.fingerprint}\n{self.mode}\n".encode()
        return f"catalens:instances:{hashlib.sha256(stated + sha256).hexdigest()}"


def pack_instances(found: Products) -> bytes:
    """Return instances as bytes: head, JSON of boxes and confidences, then the vectors as little-endian float32."""
    header = orjson.dumps([[*one.detection.box, one.detection.confidence] for one in found])
    rest = header + b"".join(np.ascontiguousarray(one.vector, "<f4").tobytes() for one in found)
    return _HEAD.pack(_MAGIC, zlib.crc32(rest), len(header)) + rest


def unpack_instances(data: bytes) -> Products | None:
    """Return what `pack_instances` packed, None for anything else: what comes from a cache is not believed."""
    if len(data) < _HEAD.size:
        return None
    magic, checksum, header_bytes = _HEAD.unpack_from(data)
    rest = data[_HEAD.size :]
    if magic != _MAGIC or zlib.crc32(rest) != checksum:
        return None
    try:
        stated = [[float(value) for value in one] for one in orjson.loads(rest[:header_bytes])]
        detections = [Detection((left, top, right, bottom), sure) for left, top, right, bottom, sure in stated]
        rows = np.frombuffer(rest[header_bytes:], "<f4").reshape(len(stated), -1 if stated else 0)
    except (ValueError, TypeError):
        return None
    if any(abs(float(np.linalg.norm(row)) - 1) > _UNIT_TOLERANCE for row in rows):
        return None
    return tuple(Instance(*one) for one in zip(detections, rows, strict=True))
