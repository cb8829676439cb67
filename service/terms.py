"""Query vectors as the terms they are made of, kept in a cache under keys that no publication can confuse.

A cached entry is data from elsewhere: it is checked for form, length, checksum and unit length, and anything
else is a miss.
"""

import hashlib
import struct
import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np
import orjson

from models.encoder import TextTerms
from service.cache import Cache, CacheUnavailableError
from service.telemetry import Metrics

_MAGIC: Final = b"CTT1"
_HEAD: Final = struct.Struct("<4sIH")  # magic, CRC-32 of the rest, length of the JSON header
_UNIT_TOLERANCE: Final = 1e-3


def pack_terms(terms: TextTerms) -> bytes:
    """Return `terms` as bytes: head, JSON header (names and gates), then the rows as little-endian float32."""
    header = orjson.dumps({"names": terms.names, "gates": dict(terms.gates)})
    rest = header + np.ascontiguousarray(terms.terms, dtype="<f4").tobytes()
    return _HEAD.pack(_MAGIC, zlib.crc32(rest), len(header)) + rest


def unpack_terms(data: bytes, dim: int) -> TextTerms | None:
    """Return what `pack_terms` packed, or None for anything that is not a unit vector of `dim` dimensions."""
    if len(data) < _HEAD.size:
        return None
    magic, checksum, header_bytes = _HEAD.unpack_from(data)
    rest = memoryview(data)[_HEAD.size :]
    if magic != _MAGIC or zlib.crc32(rest) != checksum:
        return None
    names, gates = _read_header(bytes(rest[:header_bytes]))
    rows = rest[header_bytes:]
    if not names or len(rows) != 4 * dim * len(names):
        return None
    terms = TextTerms(names, np.frombuffer(rows, dtype="<f4").reshape(len(names), dim), gates)
    return terms if abs(float(np.linalg.norm(terms.vector)) - 1.0) < _UNIT_TOLERANCE else None


def _read_header(data: bytes) -> tuple[tuple[str, ...], dict[str, float]]:
    """Return names and gates; no names where the header is not what `pack_terms` writes."""
    try:
        header = orjson.loads(data)
        names = tuple(str(name) for name in header["names"])
        gates = {str(name): float(gate) for name, gate in header["gates"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return (), {}
    return names, gates


class TermsCache:
    """Query terms in a `Cache`, keyed by bundle, encoder and what was encoded."""

    def __init__(self, cache: Cache, metrics: Metrics, *, bundle: str, fingerprint: str, dim: int) -> None:
        self._cache = cache
        self._metrics = metrics
        self._scope = f"{bundle}\n{fingerprint}\n".encode()
        self._dim = dim

    def text_key(self, text: str, entities: Mapping[str, str]) -> str:
        """Return the key of words read with these entities."""
        return self._key(b"text", orjson.dumps([text, sorted(entities.items())]))

    def picture_key(self, sha256: bytes) -> str:
        """Return the key of the picture file with this digest."""
        return self._key(b"picture", sha256)

    def _key(self, kind: bytes, stated: bytes) -> str:
        return f"catalens:{hashlib.sha256(self._scope + kind + b':' + stated).hexdigest()}"

    @property
    def available(self) -> bool:
        """Whether the cache is being asked at all."""
        return self._cache.available

    async def get(self, key: str) -> TextTerms | None:
        """Return the terms, or None.

        Raises:
            CacheUnavailableError: the cache could not be asked.
        """
        try:
            data = await self._cache.get(key)
        except CacheUnavailableError:
            self._metrics.cache("unavailable")
            raise
        terms = None if data is None else unpack_terms(data, self._dim)
        self._metrics.cache("hit" if terms else "miss" if data is None else "corrupt")
        return terms

    def put(self, key: str, terms: TextTerms) -> None:
        """Keep the terms, soon."""
        self._cache.put(key, pack_terms(terms))
