"""From exceptions to RFC 9457 answers: the only place where a failure becomes HTTP."""

import http
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from service.errors import PROBLEMS, FieldError, ProblemType, ServiceError

MEDIA_TYPE = "application/problem+json"

MOST_ERRORS = 20
_MOST_CHARACTERS = 500
_IDENTIFIER = re.compile(r"^[^.\[\]]+$")
_BY_STATUS = {status: problem for problem, (status, _) in PROBLEMS.items()}
_log = structlog.stdlib.get_logger("catalens.problems")


@dataclass(frozen=True, slots=True)
class Problem:
    """One RFC 9457 problem before it is written out."""

    problem: ProblemType
    status: int
    title: str
    detail: str
    errors: Sequence[FieldError] = ()
    retry_after_s: int | None = None

    def body(self, request_id: str) -> bytes:
        """Return the problem as JSON."""
        return orjson.dumps(
            {
                "type": f"urn:catalens:problem:{self.problem}",
                "title": self.title,
                "status": self.status,
                "detail": printable(self.detail),
                "errors": [
                    {"path": printable(error.path), "message": printable(error.message)}
                    for error in self.errors[:MOST_ERRORS]
                ],
                "request_id": request_id,
            }
        )

    def response(self, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return the answer that carries this problem."""
        extra = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        return _ProblemResponse(self, request_id, {**(headers or {}), **extra})


class _ProblemResponse(Response):
    """An answer that leaves word of its kind for what surrounds the request."""

    def __init__(self, problem: Problem, request_id: str, headers: Mapping[str, str]) -> None:
        super().__init__(problem.body(request_id), problem.status, headers, MEDIA_TYPE)
        self._kind = problem.problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["problem"] = self._kind
        await super().__call__(scope, receive, send)


def problem(kind: ProblemType, detail: str, errors: Sequence[FieldError] = ()) -> Problem:
    """Return the problem of this kind, with the status and title the table gives it."""
    status, title = PROBLEMS[kind]
    return Problem(kind, status, title, detail, errors)


def from_service_error(error: ServiceError) -> Problem:
    """Return the problem a domain exception stands for."""
    status, title = PROBLEMS[error.problem]
    return Problem(error.problem, status, title, error.detail, error.errors, error.retry_after_s)


def from_http_exception(error: HTTPException) -> Problem:
    """Return the problem for a status the framework raised by itself (404, 405, 413, ...)."""
    kind = _BY_STATUS.get(error.status_code, ProblemType.HTTP)
    status, title = PROBLEMS.get(kind, (error.status_code, http.HTTPStatus(error.status_code).phrase))
    of_body = kind in {ProblemType.MALFORMED_BODY, ProblemType.BODY_TIMEOUT, ProblemType.TOO_LARGE}
    errors = [FieldError("body", error.detail)] if of_body else []
    return Problem(kind, status, title, error.detail, errors)


def from_validation_error(error: RequestValidationError) -> Problem:
    """Return the problem for a request that does not fit its schema, one entry per field at fault."""
    faults = error.errors()
    first = faults[0]
    if first["type"] == "json_invalid" and isinstance(first["loc"][-1], int):
        detail = f"The body is not JSON: {first['ctx']['error']} at character {first['loc'][-1]}."
        return problem(ProblemType.MALFORMED_BODY, detail, [FieldError("body", detail)])
    errors = tuple(FieldError(dotted(fault["loc"]), message_of(fault)) for fault in faults)
    detail = "; ".join(f"{fault.path}: {fault.message}" for fault in errors[:3])
    return problem(ProblemType.INVALID_REQUEST, detail, errors)


def dotted(location: Iterable[str | int]) -> str:
    """Return a validator's location as a path: `("body", "query", 0, "weight")` is `query[0].weight`."""
    where, *parts = location
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _IDENTIFIER.match(part):
            path += f".{part}" if path else part
        else:
            path += f"[{json.dumps(part)}]"
    return path or str(where)


def message_of(fault: Mapping[str, Any]) -> str:
    """Return what a validator says of a field, without its own vocabulary."""
    if fault["type"] == "extra_forbidden":
        return "unknown field"
    return str(fault["msg"]).removeprefix("Value error, ")


def printable(text: str) -> str:
    """Return text that JSON can carry and a person can read: callers' own words can be anything."""
    cut = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
    return cut.encode("utf-8", "replace").decode()


def request_id_of(request: Request) -> str:
    """Return the id the request context middleware gave this request."""
    return str(request.scope["state"]["request_id"])


async def answer_service_error(request: Request, error: ServiceError) -> Response:
    """Answer a domain exception."""
    return from_service_error(error).response(request_id_of(request))


async def answer_http_exception(request: Request, error: HTTPException) -> Response:
    """Answer a status the framework raised, keeping its headers; a 405 names every method of its path."""
    headers = dict(error.headers or {})
    if error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods_of(request))) or headers.get("Allow", "")
    return from_http_exception(error).response(request_id_of(request), headers)


def _methods_of(request: Request) -> set[str]:
    """Return the methods of all routes of a path: the framework itself names those of the first."""
    found: set[str] = set()
    for route in request.app.state.api_routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return found


async def answer_validation_error(request: Request, error: RequestValidationError) -> Response:
    """Answer a request that does not fit its schema."""
    return from_validation_error(error).response(request_id_of(request))


def unexpected(request_id: str) -> Response:
    """Answer an exception nobody foresaw, telling the caller nothing but the request's id."""
    detail = "The error was logged under this request id."
    return problem(ProblemType.INTERNAL, detail).response(request_id)


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Give `app`, which has these routes, the handlers of this module; what nobody foresaw is not theirs to answer."""
    app.state.api_routes = tuple(routes)
    app.exception_handler(ServiceError)(answer_service_error)
    app.exception_handler(HTTPException)(answer_http_exception)
    app.exception_handler(RequestValidationError)(answer_validation_error)
