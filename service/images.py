"""A query's picture, however it came, to safe RGB pixels: limits kept, every refusal a clear answer.

What a picture file may hold is `models.picture`'s to judge, where URLs may lead `indexer.fetch`'s; this
reads base64, chooses the threads, and says which field of the request was at fault.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from PIL.Image import Image

from indexer.fetch import DEFAULT_POLICY, FetchError, FetchLimits, FetchPolicy, guarded_get
from models.picture import PictureError, PictureLimits, PictureReason, decode_picture
from models.picture_file import read_picture_file
from service.errors import InvalidRequestError, ServiceError, TooLargeError, UnsupportedMediaError
from service.pools import BoundedPool, Budget
from service.query import PictureData, PicturePart
from service.settings import Settings
from service.telemetry import Metrics

P = ParamSpec("P")
R = TypeVar("R")

_DATA_URI = re.compile(r"data:[^,]{0,200};base64,", re.ASCII | re.IGNORECASE)
_SPACES = str.maketrans("", "", " \t\r\n")

_PICTURES_HELD: Final = 4  # of the largest allowed, decoded and waiting for the encoder: 3 bytes a pixel

_REFUSALS: Final[dict[PictureReason, type[ServiceError]]] = {
    "empty": InvalidRequestError,
    "too_large_bytes": TooLargeError,
    "too_many_pixels": TooLargeError,
    "unsupported_type": UnsupportedMediaError,
    "corrupt": InvalidRequestError,
}


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture file in memory, and the digest that tells it from others."""

    data: bytes
    sha256: bytes


class PictureReader:
    """Reads pictures in threads of its own: some that decode, and more that wait for other servers."""

    def __init__(self, settings: Settings, metrics: Metrics, policy: FetchPolicy = DEFAULT_POLICY) -> None:
        self._allow_urls = settings.allow_image_urls
        self._limits = PictureLimits(settings.max_image_bytes, settings.max_image_px)
        self._held_px = Budget(_PICTURES_HELD * settings.max_image_px)
        self._policy = policy
        self._metrics = metrics
        self._fetch_limits = FetchLimits(max_bytes=settings.max_image_bytes, total_ms=settings.image_url_timeout_ms)
        self._decoding = BoundedPool("decode", threads=settings.decode_threads, max_waiting=settings.max_waiting)
        self._fetching = BoundedPool("fetch", threads=settings.fetch_threads, max_waiting=settings.max_waiting)
        metrics.watch_depth("decode", lambda: self._decoding.depth)
        metrics.watch_depth("fetch", lambda: self._fetching.depth)

    async def load(self, part: PicturePart) -> PictureFile:
        """Return the file that a part of a query holds or names.

        Raises:
            ServiceError: it is too large, not base64, or its URL may not or cannot be fetched.
        """
        if isinstance(part.picture, PictureData):
            return await self._tried(self._decoding, self._unwrap, part.picture.data, part.path)
        if not self._allow_urls:
            msg = "This server does not fetch pictures by URL; send the picture itself as data."
            raise InvalidRequestError(msg, path=part.path)
        return await self._tried(self._fetching, self._fetch, part.picture.url, part.path)

    @asynccontextmanager
    async def decoded(self, data: bytes, path: str) -> AsyncIterator[Image]:
        """Give the upright RGB picture in a file's bytes, counted against the memory for pictures until left.

        Raises:
            ServiceError: it is no picture the service reads; `path` is the field it came in.
        """
        pixels = await self._tried(self._decoding, self._measure, data, path)
        async with self._held_px.hold(pixels):
            yield await self._tried(self._decoding, self._decode, data, path)

    async def _tried(self, pool: BoundedPool, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return `call(...)`, computed in a thread of `pool`; count why a picture could not be had or read."""
        try:
            return await pool.run(call, *args, **kwargs)
        except (InvalidRequestError, TooLargeError, UnsupportedMediaError) as error:
            self._metrics.picture_failed(_reason_of(error))
            raise

    def _unwrap(self, stated: bytes | str, path: str) -> PictureFile:
        data = stated if isinstance(stated, bytes) else _from_base64(stated, path)
        if len(data) > self._limits.max_bytes:
            msg = f"The picture has {len(data):,} bytes, more than {self._limits.max_bytes:,}."
            raise TooLargeError(msg, path=path)
        return PictureFile(data, hashlib.sha256(data).digest())

    def _fetch(self, url: str, path: str) -> PictureFile:
        try:
            data = guarded_get(url, self._policy, self._fetch_limits)
        except FetchError as error:
            refusal = TooLargeError if error.reason == "too_large" else InvalidRequestError
            raise refusal(f"The picture could not be fetched: {error}.", path=path) from error
        return PictureFile(data, hashlib.sha256(data).digest())

    def _measure(self, data: bytes, path: str) -> int:
        if not data:
            msg = "The picture is empty."
            raise InvalidRequestError(msg, path=path)
        with _refused_at(path):
            file = read_picture_file(data, self._limits.max_pixels)
        return file.width * file.height

    def _decode(self, data: bytes, path: str) -> Image:
        with _refused_at(path):
            return decode_picture(data, self._limits)

    def close(self) -> None:
        """Let the threads end."""
        self._decoding.close()
        self._fetching.close()


def _reason_of(refusal: ServiceError) -> str:
    """Return a word for why a picture was refused, as metrics have it."""
    match refusal.__cause__:
        case PictureError() as cause:
            return cause.reason
        case FetchError() as cause:
            return f"fetch_{cause.reason}"
        case None:
            return "too_large_bytes" if isinstance(refusal, TooLargeError) else "empty"
        case _:
            return "not_base64"


@contextmanager
def _refused_at(path: str) -> Iterator[None]:
    """Say at which field of the request a picture was refused."""
    try:
        yield
    except PictureError as error:
        raise _REFUSALS[error.reason](f"The picture cannot be used: {error}.", path=path) from error


def _from_base64(text: str, path: str) -> bytes:
    head = _DATA_URI.match(text)
    body = text[head.end() :] if head else text
    try:
        return base64.b64decode(body.translate(_SPACES).encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        msg = "The picture is not base64, nor a data-URI in base64."
        raise InvalidRequestError(msg, path=path) from error
