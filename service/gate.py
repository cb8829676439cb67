"""The door of the API, as plain ASGI: who calls, what the caller may do, and how often. Before any body is read.

Keys are `service.auth`'s, rights `service.scopes`', counts `service.quota`'s; this asks them and answers 401, 403 and
429. It stands inside `RequestContext`, which gives every answer its id and its headers, these too.
"""

import ipaddress
import math
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service import problems
from service.auth import FILE, Key, KeyFileError, KeyRing
from service.errors import ForbiddenError, RateLimitedError, ServiceError, StartupError, UnauthenticatedError
from service.middleware import CLOSE
from service.quota import Quota, SharedCounts
from service.rates import amount_of
from service.scopes import Scope as Right
from service.scopes import allows, scope_of
from service.settings import Anonymous, Settings, flag, variable

KEY_HEADER: Final = "X-API-Key"

_BEARER: Final = "bearer "
_METHODS: Final = ("GET", "POST", "PUT", "DELETE")
_SENT_HEADERS: Final = (
    "authorization",
    "content-type",
    KEY_HEADER,
    "x-request-id",
    "x-request-timeout-ms",
    "x-visitor-id",
)
_READ_HEADERS: Final = (
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "retry-after",
    "server-timing",
    "x-cache",
    "x-request-id",
)
_PREFLIGHT_S: Final = 600
_ADMITTED: Final = "admitted"
_log = structlog.stdlib.get_logger("catalens.gate")


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for callers beside what their keys say.

    Attributes:
        anonymous: What callers without a key may do.
        key_rate: Most requests of a key that has no rate of its own.
        anonymous_rate: Most requests of an address without a key.
    """

    anonymous: Anonymous = Anonymous.AUTO
    key_rate: str | None = None
    anonymous_rate: str | None = None


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who calls: a key, or an address without one."""

    name: str = ""  # of the key, as logs and metrics have it
    counted_as: str = ""
    rate: str | None = None


class Gate:
    """Lets requests of the API in whose callers have the right and are within their rate. All else passes.

    Args:
        app: What answers.
        ring: The keys there are.
        quota: Counts requests; closed when the app ends.
        rules: What holds beside.
        registry: Of the metrics.
    """

    def __init__(self, app: ASGIApp, ring: KeyRing, quota: Quota, rules: Rules, registry: CollectorRegistry) -> None:
        self._app = app
        self._ring = ring
        self._quota = quota
        self._rules = rules
        self._requests = Counter(
            "catalens_key_requests", "Requests of the API, by key.", ["key", "outcome"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                await self._quota.close()
            return
        needed = scope_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if needed is not None and not await self._admits(needed, scope, receive, send):
            return
        await self._app(scope, receive, send)

    async def _admits(self, needed: Right, scope: Scope, receive: Receive, send: Send) -> bool:
        """Return whether a request may go on; answer it if not."""
        caller = _Caller()
        try:
            key = self._key(Headers(scope=scope)) if self._asks else None
            caller = self._caller(key, scope)
            self._authorise(key, needed)
            await self._count(caller)
        except ServiceError as error:
            self._requests.labels(caller.name, error.problem.value).inc()
            answer = problems.from_service_error(error).response(
                scope["state"]["request_id"], _headers(error, caller, Headers(scope=scope))
            )
            await answer(scope, receive, send)
            return False
        self._requests.labels(caller.name, _ADMITTED).inc()
        return True

    @property
    def _asks(self) -> bool:
        """Whether keys matter at all."""
        return self._ring.guarded or self._rules.anonymous is not Anonymous.AUTO

    def _key(self, headers: Headers) -> Key | None:
        """Return the caller's key, None if it sent none or none matters.

        Raises:
            UnauthenticatedError: it sent something else, even where none is needed: its sender believes in it.
        """
        sent = sent_key(headers)
        if sent is None:
            return None
        key = self._ring.find(sent)
        if key is None:
            msg = "The API key is not valid: it is mistyped, was revoked, or belongs to another service."
            raise UnauthenticatedError(msg)
        return key

    def _caller(self, key: Key | None, scope: Scope) -> _Caller:
        if key is None:
            rate = self._rules.anonymous_rate
            return _Caller("", f"address/{_address(scope)}", rate) if rate is not None else _Caller()
        structlog.contextvars.bind_contextvars(key=key.name)  # for the rest of the request's task
        return _Caller(key.name, f"key/{key.name}", key.rate or self._rules.key_rate)

    def _authorise(self, key: Key | None, needed: Right) -> None:
        """Make sure that the caller has the right that is needed.

        Raises:
            UnauthenticatedError: it sent no key, and callers without have not.
            ForbiddenError: its key has not.
        """
        if key is not None:
            if not allows(key.scopes, needed):
                msg = f"The key {key.name!r} does not have the scope {needed.value!r}."
                raise ForbiddenError(msg)
        elif self._asks and not (self._rules.anonymous is Anonymous.SEARCH and needed is Right.SEARCH):
            msg = (
                f"This needs an API key with the scope {needed.value!r}: send Authorization: Bearer KEY, "
                f"or {KEY_HEADER}: KEY."
            )
            raise UnauthenticatedError(msg)

    async def _count(self, caller: _Caller) -> None:
        """Count the request.

        Raises:
            RateLimitedError: there were as many in this window as the caller may make.
        """
        if caller.rate is None:
            return
        wait_s = await self._quota.take(caller.counted_as, caller.rate)
        if wait_s:
            who = f"The key {caller.name!r}" if caller.name else "A caller without a key"
            retry_s = math.ceil(wait_s)
            msg = f"{who} may make {caller.rate.replace('/', ' requests per ')}; the next is answered in {retry_s} s."
            raise RateLimitedError(msg, retry_after_s=retry_s)


def sent_key(headers: Headers) -> str | None:
    """Return the key that a request carries, None if there is none.

    Raises:
        UnauthenticatedError: it carries several, or an `Authorization` that holds none.
    """
    sent = set(headers.getlist(KEY_HEADER))
    for value in headers.getlist("authorization"):
        if value[: len(_BEARER)].lower() == _BEARER:
            sent.add(value[len(_BEARER) :].strip())
        elif KEY_HEADER not in headers:  # else it is somebody else's: a proxy's, say
            msg = "Authorization does not hold an API key: it must be `Bearer KEY`."
            raise UnauthenticatedError(msg)
    if len(sent) > 1:
        msg = "The request carries several API keys: send one."
        raise UnauthenticatedError(msg)
    return next(iter(sent), None)


def _headers(error: ServiceError, caller: _Caller, sent: Headers) -> dict[str, str]:
    """Return what a refusal states in its headers. A body that was announced is left unread, with its connection."""
    announced = "transfer-encoding" in sent or sent.get("content-length", "0") != "0"
    headers = dict(CLOSE) if announced else {}
    if isinstance(error, UnauthenticatedError):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, RateLimitedError) and caller.rate is not None:
        headers["ratelimit-limit"] = str(amount_of(caller.rate))
        headers["ratelimit-remaining"] = "0"
        headers["ratelimit-reset"] = str(error.retry_after_s)
    return headers


def _address(scope: Scope) -> str:
    """Return what an anonymous caller is counted by: its IPv4 address, or its IPv6 network, which is one customer's."""
    host = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


def door(settings: Settings, registry: CollectorRegistry) -> list[Middleware]:
    """Return the middleware that stands at the door of the API, outermost first.

    Raises:
        StartupError: the key file is damaged, or the one that the settings name is not there.
    """
    try:
        ring = KeyRing(settings.keys_file or settings.data_dir / FILE)
    except KeyFileError as error:
        raise StartupError(str(error)) from error
    if settings.keys_file is not None and not ring.guarded:
        msg = (
            f"{variable('keys_file')} or {flag('keys_file')}: there is no {settings.keys_file}; "
            f"make it with `python -m service keys add`"
        )
        raise StartupError(msg)
    if not ring.guarded and settings.anonymous is Anonymous.AUTO and not _is_loopback(settings.host):
        _log.warning("open_to_everyone", host=settings.host, remedy="python -m service keys add")
    rules = Rules(settings.anonymous, settings.key_rate, settings.anonymous_rate)
    quota = Quota(registry, _shared(settings))
    gate = Middleware(Gate, ring=ring, quota=quota, rules=rules, registry=registry)
    if settings.cors_origins is None:
        return [gate]
    origins = [origin.strip() for origin in settings.cors_origins.split(",")]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=_SENT_HEADERS,
        expose_headers=_READ_HEADERS,
        max_age=_PREFLIGHT_S,
    )
    return [cors, gate]


def _shared(settings: Settings) -> SharedCounts | None:
    if settings.redis_url is None:
        return None
    url, name = settings.redis_url.get_secret_value(), settings.update_log_name
    return SharedCounts(url, timeout_ms=settings.cache_timeout_ms, name=name)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
