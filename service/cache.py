"""Small values kept between requests: in Redis, in this process, or nowhere.

A cache is asked once, for a few milliseconds; then it counts as a miss. It never fails a request: what the
bytes mean, and whether to trust them, is left to `service.vectors`.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar, runtime_checkable

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_log = structlog.stdlib.get_logger("catalens.cache")

_CONNECTIONS = 16  # calls take a fraction of a millisecond: more would only queue in Redis
_MOST_WRITES = 256  # writes under way at a time; more are dropped, for a cache may forget


class CacheUnavailableError(Exception):
    """The cache could not be asked; the caller goes on without it and says so in `degraded`."""


@runtime_checkable
class Cache(Protocol):
    """Bytes by key. Safe for concurrent use on one event loop."""

    @property
    def available(self) -> bool:
        """Whether it is being asked at all."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return what `put` stored under `key`, or None.

        Raises:
            CacheUnavailableError: nobody could be asked in time.
        """
        ...

    def put(self, key: str, value: bytes) -> None:
        """Store `value` soon, without waiting; failures are the cache's own business."""
        ...

    async def flush(self) -> None:
        """Return once everything `put` so far was stored or given up."""
        ...

    async def close(self) -> None:
        """Let go of connections and memory."""
        ...


class NoCache:
    """Remembers nothing."""

    available = True

    async def get(self, key: str) -> bytes | None:
        """Return None, whatever the key."""
        del key
        return None

    def put(self, key: str, value: bytes) -> None:
        """Forget at once."""

    async def flush(self) -> None:
        """Return at once."""

    async def close(self) -> None:
        """Return at once."""


class SizedLru(Generic[Key, Value]):
    """The latest used values, up to `max_size` of them together.

    Args:
        max_size: Of all.
        size: Of one, with its key.

    Attributes:
        size: Of what is held, without Python's overhead of about 200 bytes for each.
    """

    def __init__(self, max_size: int, size: Callable[[Key, Value], int]) -> None:
        self.max_size = max_size
        self.size = 0
        self._size_of = size
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """Return the value and mark it as the latest used."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def __contains__(self, key: Key) -> bool:
        return key in self._values

    def put(self, key: Key, value: Value) -> None:
        """Keep `value`, dropping the longest unused until everything fits; one that never fits is not kept."""
        self._drop(key)
        size = self._size_of(key, value)
        if size > self.max_size:
            return
        self._values[key] = value
        self.size += size
        while self.size > self.max_size:
            self._drop(next(iter(self._values)))

    def _drop(self, key: Key) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self.size -= self._size_of(key, value)

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self.size = 0


class InProcessCache:
    """The latest used values, up to `max_bytes` of keys and values together."""

    available = True

    def __init__(self, max_bytes: int) -> None:
        self._values: SizedLru[str, bytes] = SizedLru(max_bytes, lambda key, value: len(key.encode()) + len(value))

    @property
    def held_bytes(self) -> int:
        """Bytes of the keys and values held."""
        return self._values.size

    async def get(self, key: str) -> bytes | None:
        """Return the value and mark it as the latest used."""
        return self._values.get(key)

    def put(self, key: str, value: bytes) -> None:
        """Keep `value`, dropping the longest unused until everything fits; one that never fits is not kept."""
        self._values.put(key, value)

    async def flush(self) -> None:
        """Return at once: `put` already stored it."""

    async def close(self) -> None:
        """Forget everything."""
        self._values.clear()


class CircuitBreaker:
    """Says whether to try: after some failures in a row not at all, then with one trial per `retry_s`."""

    def __init__(self, failures: int, retry_s: float) -> None:
        self._allowed = failures
        self._retry_s = retry_s
        self._failures = 0
        self._next_trial = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are being held back."""
        return self._failures >= self._allowed

    def admits(self) -> bool:
        """Return whether to try now; when open, True for one trial in every `retry_s` seconds."""
        if not self.is_open:
            return True
        now = time.monotonic()
        if now < self._next_trial:
            return False
        self._next_trial = now + self._retry_s
        return True

    def succeeded(self) -> None:
        """Close the circuit."""
        self._failures = 0

    def failed(self) -> None:
        """Count a failure; the one that opens the circuit starts the wait."""
        self._failures += 1
        if self.is_open:
            self._next_trial = time.monotonic() + self._retry_s


class RedisCache:
    """Redis behind a circuit breaker: a dead one costs nothing, a slow one at most `timeout_ms` a few times.

    Args:
        url: redis://, rediss:// or unix:// address, with database and password.
        timeout_ms: For one call, connecting included.
        ttl_s: How long Redis keeps a value.
        retry_s: How often a dead Redis is tried again.
        failures: In a row, until it counts as dead.
    """

    def __init__(self, url: str, *, timeout_ms: int, ttl_s: int, retry_s: float = 1.0, failures: int = 5) -> None:
        self._timeout_s = timeout_ms / 1000
        self._ttl_s = ttl_s
        self._breaker = CircuitBreaker(failures, retry_s)
        self._writes: set[asyncio.Task[None]] = set()
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=self._timeout_s,
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), retries=0),
        )
        self._redis = Redis.from_pool(pool)

    @property
    def available(self) -> bool:
        """Whether the latest calls did not all fail."""
        return not self._breaker.is_open

    async def get(self, key: str) -> bytes | None:
        """Return the value, if Redis has it and answers in time."""
        if not self._breaker.admits():
            msg = "Redis is held back after failures"
            raise CacheUnavailableError(msg)
        try:
            async with asyncio.timeout(self._timeout_s):
                value = await self._redis.get(key)
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise self._unavailable(error) from error
            value = None  # Redis answers; what somebody else put there is no value of ours
        except (RedisError, OSError, TimeoutError) as error:
            raise self._unavailable(error) from error
        self._breaker.succeeded()
        return value if isinstance(value, bytes) else None

    def put(self, key: str, value: bytes) -> None:
        """Send the value in the background, unless Redis is down or too many are on their way."""
        if self._breaker.is_open or len(self._writes) >= _MOST_WRITES:
            return
        task = asyncio.get_running_loop().create_task(self._write(key, value))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write(self, key: str, value: bytes) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._redis.set(key, value, ex=self._ttl_s)
        except (RedisError, OSError, TimeoutError) as error:
            self._note(error)

    def _unavailable(self, error: Exception) -> CacheUnavailableError:
        self._note(error)
        return CacheUnavailableError(type(error).__name__)

    def _note(self, error: Exception) -> None:
        was_open = self._breaker.is_open
        self._breaker.failed()
        if self._breaker.is_open and not was_open:
            _log.warning("cache_unavailable", error=type(error).__name__)

    async def flush(self) -> None:
        """Wait for the writes under way."""
        if self._writes:
            await asyncio.wait(self._writes)

    async def close(self) -> None:
        """Finish the writes and close the connections."""
        await self.flush()
        await self._redis.aclose()
