"""Connections for `indexer.fetch`: to checked addresses only, and none that outlasts its fetch.

A name is resolved once; unless the policy admits it, every address it resolves to must be public; and it is
one of those very addresses that is dialled, so a second, different answer of the DNS changes nothing.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal

import httpcore

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

_MOST_DIALLED = 4  # addresses of one host


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


class Deadline:
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
            raise timed_out()
        return left if most is None else min(left, most)


def timed_out() -> FetchError:
    """Return the error for a deadline that passed."""
    return FetchError("timeout", "the server took too long")


class GuardedNetwork(httpcore.NetworkBackend):
    """Dials only addresses the policy admits, and keeps to the deadline from there on."""

    def __init__(self, policy: FetchPolicy, deadline: Deadline, most: int) -> None:
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


def _within(deadline: Deadline, work: Callable[[], list[str]]) -> list[str]:
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
        raise timed_out() from error


@dataclass(slots=True)
class _GuardedStream(httpcore.NetworkStream):
    """A connection that ends at the deadline, however slowly the bytes drip, and after `most` bytes."""

    stream: httpcore.NetworkStream
    deadline: Deadline
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
