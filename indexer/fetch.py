"""Fetches a URL that somebody else wrote, without letting it reach where they could not.

Every URL, and every redirect, must be http or https to an allowed port. Its host is resolved once; unless
the policy admits it, every address it resolves to must be public; and it is one of those very addresses that
is dialled, so a second, different answer of the DNS changes nothing. Bytes, redirects and time are limited,
compressed answers refused, proxies and cookies not used. What the bytes are is left to `models.picture`.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal, NoReturn

import httpcore
import httpx

from indexer.addresses import Address, Network, is_public, parse_host

FetchReason = Literal[
    "bad_url",
    "forbidden_scheme",
    "forbidden_port",
    "forbidden_address",
    "unresolved",
    "connection",
    "tls",
    "timeout",
    "redirects",
    "status",
    "encoded",
    "too_large",
    "protocol",
]

Resolver = Callable[[str, int], Iterable[str]]
"""Host and port to the addresses of the host, as text; raises OSError when there are none."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_MOST_URL = 4_096  # characters
_MOST_DIALLED = 4  # addresses of one host
_MOST_OVERHEAD = 256 * 1024  # bytes of headers, chunk framing and TLS beside the body
_HEADERS = [
    (b"User-Agent", b"catalens"),
    (b"Accept", b"image/*, */*;q=0.1"),
    (b"Accept-Encoding", b"identity"),
    (b"Connection", b"close"),
]


class FetchError(Exception):
    """A URL was refused or could not be fetched. The message is safe to show: it names no address.

    Attributes:
        reason: short code for programs.
    """

    def __init__(self, reason: FetchReason, message: str) -> None:
        super().__init__(message)
        self.reason: FetchReason = reason


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of `host` by the system's resolver.

    Raises:
        OSError: it has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Where URLs may lead.

    Attributes:
        ports: that may be dialled.
        admitted_hosts: names whose addresses need not be public: a shop's own server, in lower case.
        admitted_networks: whose addresses may be dialled under any name.
        resolver: of host names.
        tls: verifies servers; by default with the usual certificate authorities.
    """

    ports: frozenset[int] = frozenset({80, 443, 8080, 8443})
    admitted_hosts: frozenset[str] = frozenset()
    admitted_networks: tuple[Network, ...] = ()
    resolver: Resolver = resolve
    tls: ssl.SSLContext | None = None

    def admits(self, host: str, address: Address) -> bool:
        """Tell whether `address`, found for `host`, may be dialled."""
        return (
            is_public(address)
            or host.rstrip(".") in self.admitted_hosts
            or any(address in network for network in self.admitted_networks if network.version == address.version)
        )


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What a fetch may cost.

    Attributes:
        max_bytes: of the body.
        max_redirects: followed.
        connect_ms: to reach one address.
        total_ms: for everything, from the first name resolved to the last byte.
    """

    max_bytes: int = 20 * 2**20
    max_redirects: int = 3
    connect_ms: int = 3_000
    total_ms: int = 10_000


DEFAULT_POLICY = FetchPolicy()
DEFAULT_LIMITS = FetchLimits()


def guarded_get(url: str, policy: FetchPolicy = DEFAULT_POLICY, limits: FetchLimits = DEFAULT_LIMITS) -> bytes:
    """Return the body of a successful GET of `url`.

    Blocks up to `limits.total_ms`; safe to call from threads.

    Raises:
        FetchError: the URL or where it leads is refused, or the server does not answer well.
    """
    deadline = _Deadline(limits.total_ms)
    target = _checked_url(url, policy)
    for _ in range(limits.max_redirects + 1):
        answer = _get(target, policy, limits, deadline)
        if isinstance(answer, bytes):
            return answer
        target = _checked_url(_joined(target, answer), policy)
    raise FetchError("redirects", f"more than {limits.max_redirects} redirects")


@dataclass(frozen=True, slots=True)
class _Location:
    """Where a redirect leads, as the server wrote it."""

    text: str


class _Deadline:
    """A moment that all steps of one fetch share."""

    def __init__(self, total_ms: int) -> None:
        self._end = time.monotonic() + total_ms / 1_000

    def left(self, most: float | None = None) -> float:
        """Return the seconds left, or `most` if that is less.

        Raises:
            FetchError: none are left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise _timeout()
        return left if most is None else min(left, most)


def _timeout() -> FetchError:
    return FetchError("timeout", "the server took too long")


def _checked_url(url: str, policy: FetchPolicy) -> httpx.URL:
    """Return `url` if its spelling, scheme and port are allowed; its host is left to the dialling."""
    if len(url) > _MOST_URL or " " in url or _is_treacherous(url):
        raise FetchError("bad_url", "not a well-formed URL")
    try:
        parsed = httpx.URL(url)
        if parsed.scheme not in _PORTS:
            raise FetchError("forbidden_scheme", "only http and https URLs are fetched")
        host = parse_host(parsed.raw_host.decode("ascii").strip("[]"))
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchError("bad_url", "not a well-formed URL with a host") from error
    if parsed.userinfo:
        raise FetchError("bad_url", "a URL must not carry a user name or password")
    port = _PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if port not in policy.ports:
        raise FetchError("forbidden_port", "the URL's port is not allowed")
    return parsed.copy_with(host=str(host), fragment=None)


def _is_treacherous(url: str) -> bool:
    """Tell of characters about which parsers disagree, so that one reads another host than the next."""
    return any(c < " " or c in "\\\x7f" for c in url)


def _joined(base: httpx.URL, location: _Location) -> str:
    message = "a redirect to what is not a well-formed URL"
    if _is_treacherous(location.text):
        raise FetchError("bad_url", message)
    try:
        return str(base.join(location.text))
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchError("bad_url", message) from error


def _get(url: httpx.URL, policy: FetchPolicy, limits: FetchLimits, deadline: _Deadline) -> bytes | _Location:
    """Return the body of `url`, or where it redirects to."""
    backend = _GuardedBackend(policy, deadline, limits.max_bytes + _MOST_OVERHEAD)
    tls = policy.tls or _usual_authorities()
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    headers = [(b"Host", url.netloc), *_HEADERS]
    timeout = {"timeout": {"connect": limits.connect_ms / 1_000}}
    with (
        _plain_errors(),
        httpcore.ConnectionPool(ssl_context=tls, network_backend=backend) as pool,
        pool.stream("GET", target, headers=headers, extensions=timeout) as response,
    ):
        stated = {name.lower(): value for name, value in response.headers}
        if response.status in _REDIRECTS and b"location" in stated:
            return _Location(stated[b"location"].decode("latin-1"))
        _check_head(response.status, stated, limits)
        return _body(response.iter_stream(), limits)


def _check_head(status: int, headers: dict[bytes, bytes], limits: FetchLimits) -> None:
    if status != 200:
        raise FetchError("status", f"the server answered with status {status}")
    if headers.get(b"content-encoding", b"identity").strip().lower() not in {b"", b"identity"}:
        raise FetchError("encoded", "the server sent a compressed answer, though asked not to")
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > limits.max_bytes:
        _refuse_size(limits)


def _body(stream: Iterable[bytes], limits: FetchLimits) -> bytes:
    body = bytearray()
    for chunk in stream:
        body += chunk
        if len(body) > limits.max_bytes:
            _refuse_size(limits)
    return bytes(body)


def _refuse_size(limits: FetchLimits) -> NoReturn:
    raise FetchError("too_large", f"more than {limits.max_bytes:,} bytes")


@lru_cache(maxsize=1)
def _usual_authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context()


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn what the HTTP library raises into `FetchError`."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise _timeout() from error
    except httpcore.NetworkError as error:
        if isinstance(error.__context__, ssl.SSLError):
            raise FetchError("tls", "the server's certificate or TLS handshake is not acceptable") from error
        raise FetchError("connection", "the server could not be reached or hung up") from error
    except httpcore.ProtocolError as error:
        raise FetchError("protocol", "the server did not answer in proper HTTP") from error


class _GuardedBackend(httpcore.NetworkBackend):
    """Dials only addresses the policy admits, and keeps to the deadline from there on."""

    def __init__(self, policy: FetchPolicy, deadline: _Deadline, most: int) -> None:
        self._policy = policy
        self._deadline = deadline
        self._most = most
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of `host` that answers, after checking them all."""
        failure: Exception = httpcore.ConnectError()
        for address in self._admitted(host, port)[:_MOST_DIALLED]:
            left = self._deadline.left(timeout)
            try:
                stream = self._network.connect_tcp(str(address), port, left, local_address, socket_options)
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
            else:
                return _GuardedStream(stream, self._deadline, self._most)
        raise failure

    def _admitted(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses of `host`; one that is not admitted makes all of them refused.

        Both refusals read the same, so that nobody learns which private names exist.
        """
        message = "the host has no public address"
        named = parse_host(host)
        if not isinstance(named, str):
            addresses: Sequence[Address] = [named]
        else:
            try:
                found = _within(self._deadline, lambda: list(self._policy.resolver(named, port)))
                addresses = [ip_address(text) for text in found]
            except (OSError, UnicodeError) as error:
                raise FetchError("unresolved", message) from error
            except ValueError as error:
                raise FetchError("forbidden_address", message) from error
        if not addresses:
            raise FetchError("unresolved", message)
        if not all(self._policy.admits(host, address) for address in addresses):
            raise FetchError("forbidden_address", message)
        return addresses


def _within(deadline: _Deadline, work: Callable[[], list[str]]) -> list[str]:
    """Return the result of `work`, which cannot be interrupted, or raise what it raises.

    It runs in a thread of its own, which is left to end by itself when the deadline passes.

    Raises:
        FetchError: the deadline passed.
    """
    done: Future[list[str]] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - delivered to the waiting caller
            done.set_exception(error)

    threading.Thread(target=run, name="resolve", daemon=True).start()
    try:
        return done.result(timeout=deadline.left())
    except TimeoutError as error:
        raise _timeout() from error


@dataclass(slots=True)
class _GuardedStream(httpcore.NetworkStream):
    """A connection that ends at the deadline, however slowly the bytes drip, and after `most` bytes."""

    stream: httpcore.NetworkStream
    deadline: _Deadline
    most: int
    received: int = field(default=0, init=False)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come, up to `max_bytes`."""
        data = self.stream.read(max_bytes, self.deadline.left(timeout))
        self.received += len(data)
        if self.received > self.most:
            raise FetchError("too_large", "the server sent too many bytes")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer`."""
        self.stream.write(buffer, self.deadline.left(timeout))

    def close(self) -> None:
        """Close the connection."""
        self.stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the connection with TLS begun; the name of the URL is verified, not the address dialled."""
        name = server_hostname.rstrip(".") if server_hostname else None
        stream = self.stream.start_tls(ssl_context, name, self.deadline.left(timeout))
        return _GuardedStream(stream, self.deadline, self.most)

    def get_extra_info(self, info: str) -> object:
        """Return what the connection knows under the name `info`."""
        return self.stream.get_extra_info(info)
