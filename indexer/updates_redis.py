"""The update log in Redis: a stream that any number of machines share.

One script stores a change or refuses it, so version, stream and what the change replaces move together. It is as
durable as the Redis is: `appendonly yes` with `appendfsync always` has every acknowledged change on disk. A Redis that
may evict keys without a lifetime (`allkeys-*`) is refused: it would forget changes.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from redis import Redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from indexer.updates import Change, Entry, Kind, LogUnavailableError, Outcome, Position, Result, State, joined_payload

R = TypeVar("R")

_TIMEOUT_S: Final = 2.0
_TRIES: Final = 50  # of a patch whose product others patch at the same time
_AGAIN: Final = b"again"

# KEYS: stream, products, facts. ARGV: id, kind, payload, wanted version or "", number of the patch it was joined to,
# time, candidate for the epoch. A product's state is "version base patch deleted": numbers of its entries, 0: none.
_STORE: Final = """
local state = redis.call('HGET', KEYS[2], ARGV[1]) or '0 0 0 0'
local v, b, p, d = string.match(state, '(%d+) (%d+) (%d+) (%d)')
local version, base, patch, deleted = tonumber(v), tonumber(b), tonumber(p), d == '1'
if ARGV[4] ~= '' and tonumber(ARGV[4]) ~= version then return {'conflict', version, 0} end
if deleted and ARGV[2] ~= 'put' then return {'gone', version, 0} end
local patches = ARGV[2] == 'patch'
if patches and tonumber(ARGV[5]) ~= patch then return {'again', version, 0} end
redis.call('HSETNX', KEYS[3], 'epoch', ARGV[7])
local seq = redis.call('HINCRBY', KEYS[3], 'seq', 1)
version = version + 1
redis.call('XADD', KEYS[1], string.format('%d-0', seq), 'id', ARGV[1], 'kind', ARGV[2], 'version', version,
           'at', ARGV[6], 'payload', ARGV[3])
if patch > 0 then redis.call('XDEL', KEYS[1], string.format('%d-0', patch)) end
if patches then
  patch = seq
else
  if base > 0 then redis.call('XDEL', KEYS[1], string.format('%d-0', base)) end
  base, patch, deleted = seq, 0, ARGV[2] == 'delete'
end
redis.call('HSET', KEYS[2], ARGV[1], string.format('%d %d %d %d', version, base, patch, deleted and 1 or 0))
return {'stored', version, seq}
"""

# KEYS as above. ARGV: id, number of the entry.
_FORGET: Final = """
redis.call('XDEL', KEYS[1], ARGV[2] .. '-0')
local state = redis.call('HGET', KEYS[2], ARGV[1])
if state then
  local v, b, p, d = string.match(state, '(%d+) (%d+) (%d+) (%d)')
  if b == ARGV[2] then b, d = '0', '0' end
  if p == ARGV[2] then p = '0' end
  redis.call('HSET', KEYS[2], ARGV[1], v .. ' ' .. b .. ' ' .. p .. ' ' .. d)
end
local held = tonumber(redis.call('HGET', KEYS[3], 'trimmed') or '0')
if tonumber(ARGV[2]) > held then redis.call('HSET', KEYS[3], 'trimmed', ARGV[2]) end
return 1
"""


class RedisLog:
    """An `UpdateLog` in the Redis at `url`.

    Args:
        url: redis://, rediss:// or unix:// address, with database and password.
        name: of the log, where several shops share a Redis.
        timeout_s: for one call, connecting included.
    """

    def __init__(self, url: str, name: str = "default", *, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        retry = Retry(ExponentialBackoff(cap=0.1, base=0.01), retries=1)
        self._redis = Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=retry)
        # Storing is not tried again on its own: a call that broke off may have stored.
        self._writer = Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )
        key = f"catalens:{{{name}}}"
        self._stream, self._products, self._facts = f"{key}:updates", f"{key}:products", f"{key}:facts"
        keys = [self._stream, self._products, self._facts]
        store, forget = self._writer.register_script(_STORE), self._redis.register_script(_FORGET)
        self._store: Callable[[list[Any]], Any] = lambda args: store(keys=keys, args=args)
        self._forget: Callable[[list[Any]], Any] = lambda args: forget(keys=keys, args=args)
        self._checked = False

    def tail(self) -> Position:
        """Return the position behind the last entry."""

        def work() -> Position:
            epoch, seq = self._redis.hmget(self._facts, ["epoch", "seq"])
            if epoch is None:
                self._redis.hsetnx(self._facts, "epoch", uuid.uuid4().hex)
                epoch, seq = self._redis.hmget(self._facts, ["epoch", "seq"])
            return Position(_decoded(epoch), int(seq or 0))

        return self._with(work)

    def trimmed(self) -> int:
        """Return the number of the last entry that was trimmed."""
        return self._with(lambda: int(self._redis.hget(self._facts, "trimmed") or 0))

    def count(self) -> int:
        """Return how many entries are held."""
        return self._with(lambda: int(self._redis.xlen(self._stream)))

    def states(self, product_ids: Sequence[str]) -> list[State]:
        """Return what is known of each product."""
        if not product_ids:
            return []
        return self._with(lambda: [_state(text) for text in self._redis.hmget(self._products, list(product_ids))])

    def whole(self, product_id: str) -> Entry | None:
        """Return the last put of a product."""

        def work() -> Entry | None:
            for _ in range(_TRIES):
                text: Any = self._redis.hget(self._products, product_id)
                _, base, _, deleted = (0, 0, 0, 0) if text is None else (int(part) for part in text.split())
                if not base or deleted:
                    return None
                found: Any = self._redis.xrange(self._stream, f"{base}-0", f"{base}-0")
                if found:  # else it was replaced in between
                    return _entry(*found[0])
            return None

        return self._with(work)

    def append(self, changes: Sequence[Change]) -> list[Outcome]:
        """Store the changes, one by one: where Redis fails in between, the first of them are stored."""
        return self._with(lambda: [self._append(change) for change in changes])

    def _append(self, change: Change) -> Outcome:
        wanted = "" if change.if_version is None else str(change.if_version)
        for _ in range(_TRIES):
            payload, held = change.payload, 0
            if change.kind == Kind.PATCH:
                held, earlier = self._patch(change.product_id)
                payload = joined_payload(earlier, payload)
            arguments = [change.product_id, change.kind.value, payload, wanted, held, time.time(), uuid.uuid4().hex]
            result, version, seq = self._store(arguments)
            if result != _AGAIN:
                return Outcome(Result(_decoded(result)), int(version), int(seq) or None)
        msg = f"product {change.product_id!r} is patched by too many at once"
        raise LogUnavailableError(msg)

    def _patch(self, product_id: str) -> tuple[int, bytes | None]:
        """Return number and payload of the patch that a product has; 0: none."""
        text: bytes | None = self._writer.hget(self._products, product_id)  # type: ignore[assignment]
        seq = 0 if text is None else _numbers(text)[2]
        if not seq:
            return 0, None
        found: list[Any] = self._writer.xrange(self._stream, f"{seq}-0", f"{seq}-0")  # type: ignore[assignment]
        return seq, found[0][1][b"payload"] if found else None

    def read(self, after: int, limit: int, wait_s: float = 0.0) -> list[Entry]:
        """Return entries behind the number `after`."""
        until = time.monotonic() + wait_s
        while True:
            entries = self._with(lambda: self._read(after, limit, until - time.monotonic()))
            if entries or time.monotonic() >= until:
                return entries

    def _read(self, after: int, limit: int, wait_s: float) -> list[Entry]:
        """Return entries behind the number `after`, waiting for less time than a call may take."""
        if wait_s <= 0:
            found: Any = self._redis.xrange(self._stream, f"({after}-0", "+", limit)
        else:
            wait_ms = max(1, int(min(wait_s, self._timeout_s / 2) * 1000))
            answer: Any = self._redis.xread({self._stream: f"{after}-0"}, limit, wait_ms)
            found = answer[0][1] if answer else []
        return [_entry(key, fields) for key, fields in found]

    def trim(self, through: float) -> int:
        """Remove entries stored until `through`."""
        removed, after = 0, 0
        while entries := self.read(after, 100):
            old = [entry for entry in entries if entry.at <= through]
            for entry in old:
                self._with(lambda entry=entry: self._forget([entry.product_id, entry.seq]))  # type: ignore[misc]
            removed += len(old)
            after = entries[-1].seq
        return removed

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
        self._writer.close()

    def _with(self, work: Callable[[], R]) -> R:
        try:
            if not self._checked:
                self._check_policy()
                self._checked = True
            return work()
        except (RedisError, OSError) as error:
            msg = f"Redis: {error or type(error).__name__}"
            raise LogUnavailableError(msg) from error

    def _check_policy(self) -> None:
        """Refuse a Redis that may forget the log."""
        try:
            policy = str(self._redis.info("memory").get("maxmemory_policy", ""))
        except ResponseError:
            return  # not ours to ask: a managed Redis
        if policy.startswith("allkeys"):
            msg = f"its maxmemory-policy is {policy}, which may evict updates: set volatile-lru or noeviction"
            raise LogUnavailableError(f"Redis: {msg}")


def _state(text: bytes | str | None) -> State:
    if text is None:
        return State()
    version, base, _, deleted = _numbers(text)
    kind = Kind.DELETE if deleted else Kind.PUT if base else None
    return State(version, kind)


def _numbers(text: bytes | str) -> list[int]:
    """Return what is kept of a product: version, last put, patch, and whether it is deleted."""
    try:
        version, base, patch, deleted = (int(part) for part in text.split())
    except ValueError as error:
        msg = f"Redis: what it holds is no update log: {error}"
        raise LogUnavailableError(msg) from error
    return [version, base, patch, deleted]


def _entry(key: bytes, fields: dict[bytes, bytes]) -> Entry:
    seq = int(key.partition(b"-")[0])
    try:
        return Entry(
            seq=seq,
            at=float(fields[b"at"]),
            product_id=_decoded(fields[b"id"]),
            kind=Kind(_decoded(fields[b"kind"])),
            version=int(fields[b"version"]),
            payload=fields[b"payload"],
        )
    except (KeyError, ValueError):  # somebody else's, or damaged
        return Entry.damaged(seq)


def _decoded(text: bytes | str | None) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)
