"""What can go wrong in a request: the domain's exceptions, and the one table that gives each its status.

Every error answer is an RFC 9457 problem (`application/problem+json`) with the request's id. Code below the
routes raises a `ServiceError` and knows nothing of HTTP; `service.problems` does the translation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class ProblemType(StrEnum):
    """The kinds of problem a caller can tell apart; the value is the last part of the problem's URN."""

    MALFORMED_BODY = "malformed-body"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    BODY_TIMEOUT = "body-timeout"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA = "unsupported-media-type"
    INVALID_REQUEST = "invalid-request"
    RATE_LIMITED = "rate-limited"
    CONFLICT = "conflict"
    BUNDLE_REFUSED = "bundle-refused"
    CALLER_GONE = "caller-gone"
    INTERNAL = "internal-error"
    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"
    DEADLINE = "deadline-exceeded"
    HTTP = "http-error"


PROBLEMS: Mapping[ProblemType, tuple[int, str]] = {
    ProblemType.MALFORMED_BODY: (400, "The body cannot be read"),
    ProblemType.UNAUTHENTICATED: (401, "This needs an API key"),
    ProblemType.FORBIDDEN: (403, "The API key does not allow this"),
    ProblemType.NOT_FOUND: (404, "There is nothing here"),
    ProblemType.METHOD_NOT_ALLOWED: (405, "This method is not allowed here"),
    ProblemType.BODY_TIMEOUT: (408, "The body took too long to arrive"),
    ProblemType.CONFLICT: (409, "The product has another version"),
    ProblemType.BUNDLE_REFUSED: (409, "The bundle cannot be served"),
    ProblemType.TOO_LARGE: (413, "The body or a part of it is too large"),
    ProblemType.UNSUPPORTED_MEDIA: (415, "This media type is not supported"),
    ProblemType.INVALID_REQUEST: (422, "The request is not valid"),
    ProblemType.RATE_LIMITED: (429, "Too many requests from this caller"),
    ProblemType.CALLER_GONE: (499, "The caller has gone"),
    ProblemType.INTERNAL: (500, "Something went wrong here"),
    ProblemType.UNAVAILABLE: (503, "Something this needs cannot be reached"),
    ProblemType.OVERLOADED: (503, "The service is overloaded"),
    ProblemType.DEADLINE: (504, "The answer took too long"),
}
"""Problem type to HTTP status and title."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of a request: a dotted path such as `query[0].weight`, and what is wrong with it."""

    path: str
    message: str


class ServiceError(Exception):
    """A request that cannot be answered.

    Attributes:
        problem: Which row of `PROBLEMS` it is.
        detail: One sentence for the caller.
        errors: The fields at fault, where there are any.
        retry_after_s: Seconds after which a retry makes sense, where one does.
    """

    problem: ClassVar[ProblemType] = ProblemType.INTERNAL

    def __init__(self, detail: str, *, path: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = () if path is None else (FieldError(path, detail),)
        self.retry_after_s = retry_after_s


class InvalidRequestError(ServiceError):
    """A field holds something it must not."""

    problem = ProblemType.INVALID_REQUEST


class MalformedBodyError(ServiceError):
    """The body is not what its content type says."""

    problem = ProblemType.MALFORMED_BODY


class UnauthenticatedError(ServiceError):
    """The caller sent no key where one is needed, or one that is none of ours."""

    problem = ProblemType.UNAUTHENTICATED


class ForbiddenError(ServiceError):
    """The caller's key lacks the right that is needed."""

    problem = ProblemType.FORBIDDEN


class RateLimitedError(ServiceError):
    """The caller has had as many answers as it may, for now."""

    problem = ProblemType.RATE_LIMITED


class NotFoundError(ServiceError):
    """The thing asked for does not exist."""

    problem = ProblemType.NOT_FOUND


class TooLargeError(ServiceError):
    """A body, or a picture in it, is over a limit."""

    problem = ProblemType.TOO_LARGE


class BodyTimeoutError(ServiceError):
    """The body did not arrive in time."""

    problem = ProblemType.BODY_TIMEOUT


class UnsupportedMediaError(ServiceError):
    """The content is of a kind the service does not read."""

    problem = ProblemType.UNSUPPORTED_MEDIA


class OverloadedError(ServiceError):
    """More is waiting than the service can answer in time."""

    problem = ProblemType.OVERLOADED


class HungError(OverloadedError):
    """What should answer has not come back from its work for too long."""


class ConflictError(ServiceError):
    """The product has another version than the caller counts on."""

    problem = ProblemType.CONFLICT


class RefusedBundleError(ServiceError):
    """A bundle that cannot be served; what is served stays so."""

    problem = ProblemType.BUNDLE_REFUSED


class UnavailableError(ServiceError):
    """Something the request needs cannot be reached now."""

    problem = ProblemType.UNAVAILABLE


class DeadlineError(ServiceError):
    """The request's time ran out before its answer was ready."""

    problem = ProblemType.DEADLINE


class CallerGoneError(ServiceError):
    """The caller closed the connection; nobody reads this."""

    problem = ProblemType.CALLER_GONE


class StartupError(Exception):
    """The service cannot start; the message is one line that says what to change."""
