"""Fetches a URL that somebody else wrote, without letting it reach where they could not.

Every URL, and every redirect, must be http or https to an allowed port, and leads only to addresses that
`indexer.dialling` has checked. Bytes, redirects and time are limited, compressed answers refused, proxies and
cookies not used. What the bytes are is left to `models.picture`.
"""

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

import httpcore
import httpx

from indexer.addresses import parse_host
from indexer.dialling import Deadline, FetchError, FetchPolicy, FetchReason, GuardedNetwork, timed_out

__all__ = ["FetchError", "FetchLimits", "FetchPolicy", "FetchReason", "guarded_get"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_MOST_URL = 4_096  # characters
_MOST_OVERHEAD = 256 * 1024  # bytes of headers, chunk framing and TLS beside the body
_HEADERS = [
    (b"User-Agent", b"catalens"),
    (b"Accept", b"image/*, */*;q=0.1"),
    (b"Accept-Encoding", b"identity"),
    (b"Connection", b"close"),
]


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
    deadline = Deadline(limits.total_ms)
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


def _get(url: httpx.URL, policy: FetchPolicy, limits: FetchLimits, deadline: Deadline) -> bytes | _Location:
    """Return the body of `url`, or where it redirects to."""
    backend = GuardedNetwork(policy, deadline, limits.max_bytes + _MOST_OVERHEAD)
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
        raise timed_out() from error
    except httpcore.NetworkError as error:
        if isinstance(error.__context__, ssl.SSLError):
            raise FetchError("tls", "the server's certificate or TLS handshake is not acceptable") from error
        raise FetchError("connection", "the server could not be reached or hung up") from error
    except httpcore.ProtocolError as error:
        raise FetchError("protocol", "the server did not answer in proper HTTP") from error
