"""Rate limits: how many requests a caller has made in the present window, and how long it waits for the next one.

A window begins with a caller's first request and ends a second, minute, hour or day later. So the wait that a refusal
states is exact: whoever waits for it is answered. The counts are kept in Redis, where replicas share them, or in
this process; the windows, scripts and notation are those of `limits`.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from prometheus_client import CollectorRegistry, Counter
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.cache import CircuitBreaker

_CONNECTIONS: Final = 16
_FAILURES: Final = 5  # in a row, until a Redis counts as dead
_RETRY_S: Final = 1.0
_MOST_COUNTS: Final = 100_000  # 25 MB
_MOST_HELD: Final = 10_000
_ROUNDED_S: Final = 0.5  # Redis tells how long a count is kept in whole seconds, the nearest
_HELD_S: Final = (0.1, 1.0)  # how long a refusal is repeated without asking Redis again, at least and at most
_log = structlog.stdlib.get_logger("catalens.quota")


@dataclass(slots=True)
class _Window:
    count: int
    ends: float


class InProcessCounts(Storage):
    """Counts in this process, the latest begun; one that is forgotten for want of room is in its caller's favour.

    The library's own storage looks at every count for every request: 28 ms with those of 100,000 addresses. This one
    looks at the oldest.

    Args:
        most: Counts that are kept.
        now: The time in seconds.
    """

    STORAGE_SCHEME = None

    def __init__(self, most: int = _MOST_COUNTS, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most = most
        self._now = now
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def base_exceptions(self) -> type[Exception]:
        """Nothing here fails."""
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count `amount` requests and return how many there were in the window, `expiry` seconds long."""
        window = self._running(key)
        if window is None:
            window = self._begin(key, expiry)
        window.count += amount
        return window.count

    async def get(self, key: str) -> int:
        """Return how many requests there were in the window."""
        window = self._running(key)
        return 0 if window is None else window.count

    async def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since 1970."""
        window = self._running(key)
        return time.time() + (0.0 if window is None else window.ends - self._now())

    async def check(self) -> bool:
        """Return True: it is always there."""
        return True

    async def reset(self) -> int:
        """Forget all counts and return how many there were."""
        forgotten = len(self._windows)
        self._windows.clear()
        return forgotten

    async def clear(self, key: str) -> None:
        """Forget one count."""
        self._windows.pop(key, None)

    def _running(self, key: str) -> _Window | None:
        window = self._windows.get(key)
        return window if window is not None and window.ends > self._now() else None

    def _begin(self, key: str, seconds: int) -> _Window:
        now = self._now()
        self._windows.pop(key, None)
        while self._windows:
            oldest = next(iter(self._windows))
            if self._windows[oldest].ends > now and len(self._windows) < self._most:
                break
            del self._windows[oldest]
        self._windows[key] = window = _Window(0, now + seconds)
        return window


class SharedCounts:
    """Counts in Redis, behind a circuit breaker: a dead one costs nothing, a slow one `timeout_ms` a few times.

    Args:
        url: redis://, rediss:// or unix:// address, with database and password.
        timeout_ms: For counting one request.
        name: Tells shops that share a Redis apart.
    """

    def __init__(self, url: str, *, timeout_ms: int, name: str) -> None:
        self._timeout_s = timeout_ms / 1000
        self._breaker = CircuitBreaker(_FAILURES, _RETRY_S)
        self._held: dict[str, tuple[float, float]] = {}
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=self._timeout_s,
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), retries=0),
        )
        # The pool has the address; the library needs to know no more than the kind.
        options = {"connection_pool": self._pool}
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=f"catalens:quota:{name}",
            **options,  # type: ignore[arg-type]  # typed as scalars, documented as a pool
        )
        self._limiter = FixedWindowRateLimiter(storage)

    async def take(self, caller: str, rate: RateLimitItem) -> float | None:
        """Count one request; return the seconds to wait for the next, 0.0 if it was in time, None if nobody counted.

        A caller that was refused is told so again for a moment without asking, so that a flood stays here.
        """
        key = rate.key_for(caller)
        now = time.monotonic()
        until, ends = self._held.get(key, (0.0, 0.0))
        if now < until:
            return ends - now
        if not self._breaker.admits():
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                wait_s = await _taken(self._limiter, caller, rate)
        except (RedisError, OSError, TimeoutError) as error:
            self._note(error)
            return None
        self._breaker.succeeded()
        if wait_s:
            wait_s = min(wait_s + _ROUNDED_S, rate.get_expiry())
            self._hold(key, wait_s)
        return wait_s

    def _hold(self, key: str, wait_s: float) -> None:
        now = time.monotonic()
        if len(self._held) >= _MOST_HELD:
            self._held.clear()
        least_s, most_s = _HELD_S
        held_s = min(most_s, max(least_s, wait_s - 2 * _ROUNDED_S))  # the window is not over before
        self._held[key] = (now + held_s, now + wait_s)

    def _note(self, error: Exception) -> None:
        was_open = self._breaker.is_open
        self._breaker.failed()
        if self._breaker.is_open and not was_open:
            _log.warning("shared_counts_unavailable", error=type(error).__name__)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.disconnect()


class Quota:
    """Counts requests by caller, in `shared` where that answers, else in this process.

    While Redis is away each process counts for itself and from nothing, so that callers may have as many times their
    rate as there are processes. The metric `catalens_quota_checks_total` says where requests were counted.
    """

    def __init__(self, registry: CollectorRegistry, shared: SharedCounts | None = None) -> None:
        self._shared = shared
        self._limiter = FixedWindowRateLimiter(InProcessCounts())
        self._checks = Counter(
            "catalens_quota_checks", "Requests counted against a rate.", ["counted_in"], registry=registry
        )

    async def take(self, caller: str, rate: str) -> float:
        """Count one request against `rate`; return the seconds to wait for the next window, 0.0 if it was in time."""
        item = _item(rate)
        wait_s = None if self._shared is None else await self._shared.take(caller, item)
        self._checks.labels("process" if wait_s is None else "redis").inc()
        return await _taken(self._limiter, caller, item) if wait_s is None else wait_s

    async def close(self) -> None:
        """Let go of connections."""
        if self._shared is not None:
            await self._shared.close()


async def _taken(limiter: FixedWindowRateLimiter, caller: str, rate: RateLimitItem) -> float:
    if await limiter.hit(rate, caller):
        return 0.0
    ends = (await limiter.get_window_stats(rate, caller)).reset_time
    return max(ends - time.time(), 1e-3)  # one that ends this moment still is a refusal


@lru_cache(maxsize=1024)
def _item(rate: str) -> RateLimitItem:
    return parse(rate)
