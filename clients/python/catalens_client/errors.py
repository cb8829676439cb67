"""Calls that brought no good answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from catalens_client.wire import FieldErrorView


class CatalensError(Exception):
    """The service answered with a problem (RFC 9457); the message is its detail.

    Attributes:
        status: HTTP's.
        type: The kind of problem, `urn:catalens:problem:...`.
        errors: The fields at fault, each with `path` and `message`.
        request_id: What to tell the service's people.
        retry_after_s: When to ask again, where the service said so.
    """

    def __init__(self, answer: httpx.Response) -> None:
        said = _problem(answer)
        super().__init__(said.get("detail") or f"HTTP {answer.status_code}")
        self.status = answer.status_code
        self.type = str(said.get("type", ""))
        self.errors: list[FieldErrorView] = said.get("errors", [])
        self.request_id: str | None = said.get("request_id") or answer.headers.get("x-request-id")
        self.retry_after_s = _seconds(answer.headers.get("retry-after"))


class NoAnswerError(Exception):
    """The service could not be reached, or took too long; what was asked for may or may not have been done."""


def _problem(answer: httpx.Response) -> dict:  # type: ignore[type-arg]  # whatever it is
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _seconds(stated: str | None) -> float | None:
    try:
        seconds = float(stated or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
