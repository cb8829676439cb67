"""Whole answers, kept for when the same is asked again, and computed once when many ask the same at a time.

The key is all that an answer depends on: bundle, how far updates are in it, encoder, and the request in a normal form;
so an answer that is found is the answer, however long it has been kept. Answers that went without a part are not kept,
nor are those to pictures by URL, which may change. What is kept was checked when it is read: a damaged one is a miss.
"""

import asyncio
import dataclasses
import hashlib
import json
import struct
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from service.cache import Cache, CacheUnavailableError
from service.errors import DeadlineError
from service.query import Part, PictureData, ProductPart, Query, TextPart
from service.release import release
from service.served import Served
from service.telemetry import Metrics

_MAGIC: Final = b"CTA1"
_HEAD: Final = struct.Struct("<4sI")  # magic, CRC-32 of the key and the rest
_LARGEST_PICTURE: Final = 1 << 20  # bytes of one whose digest is worked out on the event loop
_LARGEST_ANSWER: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Computed:
    """An answer as JSON up to its timings, which are its last member, and whether it may be kept."""

    head: bytes
    keep: bool


class Results:
    """Answers by key, in a cache, each computed once at a time.

    Args:
        cache: Where answers are kept; None: nowhere, they are only computed once at a time.
        metrics: Told of lookups.
    """

    def __init__(self, cache: Cache | None, metrics: Metrics) -> None:
        self._cache = cache
        self._metrics = metrics
        self._running: dict[str, asyncio.Future[Computed | None]] = {}

    async def answer(self, key: str, compute: Callable[[], Awaitable[Computed]], due: float) -> tuple[Computed, bool]:
        """Return the answer of `key`, and whether it was there already: kept, or just being computed for another.

        Raises:
            DeadlineError: another's computation took until `due`, as `time.monotonic` counts it.
            Exception: whatever `compute` raises.
        """
        while (running := self._running.get(key)) is not None:
            shared = await _within(running, due)
            if shared is not None:
                return shared, True
        return await self._first(key, compute)

    async def _first(self, key: str, compute: Callable[[], Awaitable[Computed]]) -> tuple[Computed, bool]:
        """Return the answer, and let those who ask for the same meanwhile share it."""
        running: asyncio.Future[Computed | None] = asyncio.get_running_loop().create_future()
        self._running[key] = running
        answer = None
        try:
            known = await self._known(key)
            answer = known or await compute()
            if known is None and self._cache is not None and answer.keep and len(answer.head) <= _LARGEST_ANSWER:
                self._cache.put(key, packed(key, answer.head))
        finally:
            del self._running[key]
            running.set_result(answer)  # None: it failed, or its caller has gone; whoever waits does it itself
        return answer, known is not None

    async def _known(self, key: str) -> Computed | None:
        if self._cache is None:
            return None
        try:
            data = await self._cache.get(key)
        except CacheUnavailableError:
            self._metrics.result("unavailable")
            return None
        head = None if data is None else unpacked(key, data)
        self._metrics.result("hit" if head is not None else "miss" if data is None else "corrupt")
        return None if head is None else Computed(head, keep=True)


def key_of(served: Served, query: Query, fields: Sequence[str] | None, finder: str = "") -> str | None:
    """Return the key of the answer that `served` gives to `query`; None where it must not be kept.

    `finder` is the fingerprint of what finds products in pictures.
    """
    parts = [_looked_for(part) for part in query.parts]
    if None in parts:
        return None
    asked = {field.name: getattr(query, field.name) for field in dataclasses.fields(query)}
    asked |= {"parts": parts, "exclude": sorted(query.exclude), "fields": fields}
    # The slower library: a filter may hold numbers and characters that no answer can, and is refused for it later.
    seeing = finder if query.instances != "off" else ""
    stated = [release(), served.state, served.encoder.fingerprint, seeing, asked]
    text = json.dumps(stated, sort_keys=True, default=dataclasses.asdict)
    return f"catalens:answer:{hashlib.sha256(text.encode()).hexdigest()}"


def _looked_for(part: Part) -> tuple[str, str, float] | None:
    """Return what a part looks for, wherever the request states it; None for a picture that may change, or is large."""
    if isinstance(part, TextPart):
        return ("text", part.text, part.weight)
    if isinstance(part, ProductPart):
        return ("product", part.product_id, part.weight)
    if not isinstance(part.picture, PictureData) or len(part.picture.data) > _LARGEST_PICTURE:
        return None
    data = part.picture.data if isinstance(part.picture.data, bytes) else part.picture.data.encode()
    return ("picture", hashlib.sha256(data).hexdigest(), part.weight)


def packed(key: str, head: bytes) -> bytes:
    """Return an answer with a checksum of it and its key."""
    return _HEAD.pack(_MAGIC, _checksum(key, head)) + head


def unpacked(key: str, data: bytes) -> bytes | None:
    """Return what `packed` packed for `key`, None for anything else."""
    if len(data) < _HEAD.size:
        return None
    magic, checksum = _HEAD.unpack_from(data)
    head = data[_HEAD.size :]
    return head if magic == _MAGIC and _checksum(key, head) == checksum else None


def _checksum(key: str, head: bytes) -> int:
    return zlib.crc32(head, zlib.crc32(key.encode()))


async def _within(running: "asyncio.Future[Computed | None]", due: float) -> Computed | None:
    try:
        async with asyncio.timeout(due - time.monotonic()):
            return await asyncio.shield(running)
    except TimeoutError as error:
        msg = "The answer that another request is waiting for, too, took too long."
        raise DeadlineError(msg) from error
