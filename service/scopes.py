"""What callers may do, and which right each route of the API asks for: one table, closed to what is not in it."""

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from starlette.routing import compile_path

_API: Final = re.compile(r"^/v1(/|$)")


class Scope(StrEnum):
    """A right that a key may have. `admin` includes the others."""

    SEARCH = "search"
    WRITE = "write"
    ADMIN = "admin"


ROUTES: Final[Mapping[tuple[str, str], Scope]] = MappingProxyType(
    {
        ("POST", "/v1/search"): Scope.SEARCH,
        ("POST", "/v1/search/image"): Scope.SEARCH,
        ("POST", "/v1/classify"): Scope.SEARCH,
        ("POST", "/v1/embeddings"): Scope.SEARCH,
        ("GET", "/v1/suggest"): Scope.SEARCH,
        ("GET", "/v1/products/{id}"): Scope.SEARCH,
        ("GET", "/v1/products/{id}/similar"): Scope.SEARCH,
        ("GET", "/v1/products/{id}/images/{n}"): Scope.SEARCH,
        ("PUT", "/v1/products"): Scope.WRITE,
        ("DELETE", "/v1/products/{id}"): Scope.WRITE,
        ("GET", "/v1/bundles"): Scope.ADMIN,
        ("GET", "/v1/bundles/{id}/report"): Scope.ADMIN,
        ("GET", "/v1/bundles/{id}/map"): Scope.ADMIN,
        ("PUT", "/v1/bundles/{id}"): Scope.ADMIN,
        ("DELETE", "/v1/bundles/{id}"): Scope.ADMIN,
        ("POST", "/v1/bundles/rollback"): Scope.ADMIN,
        ("POST", "/v1/bundles/{id}/activate"): Scope.ADMIN,
    }
)
"""Method and path template, as the routes have it, to the right that it needs."""

_PATTERNS: Final = [(method, compile_path(template)[0], scope) for (method, template), scope in ROUTES.items()]


def scope_of(method: str, path: str) -> Scope | None:
    """Return the right that a request needs, None where it needs none: pages, health, metrics, documentation.

    What begins with `/v1` and is not in the table needs `admin`, so that a new route is closed until it is entered.
    """
    if not _API.match(path):
        return None
    for stated, pattern, scope in _PATTERNS:
        if stated == method and pattern.match(path):
            return scope
    return Scope.ADMIN


def allows(scopes: Collection[Scope], needed: Scope) -> bool:
    """Return whether these rights include the one that is needed."""
    return needed in scopes or Scope.ADMIN in scopes
