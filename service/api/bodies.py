"""What routes that read a body have in common: they refuse another media type, and they document how bodies fail."""

from typing import Final

from fastapi import Request

from service.api.documented import problems
from service.errors import ProblemType, UnsupportedMediaError

BODY_PROBLEMS: Final = problems(
    ProblemType.MALFORMED_BODY,
    ProblemType.BODY_TIMEOUT,
    ProblemType.TOO_LARGE,
    ProblemType.UNSUPPORTED_MEDIA,
    ProblemType.INVALID_REQUEST,
    ProblemType.OVERLOADED,
    ProblemType.DEADLINE,
)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_only(request: Request) -> None:
    """Refuse a body that does not say it is JSON. An absent one is the schema's to refuse."""
    media = _media_type(request)
    is_json = media.startswith("application/") and media.endswith(("/json", "+json"))
    if not is_json and await request.body():
        msg = "The body must be application/json."
        raise UnsupportedMediaError(msg, path="body")


async def form_only(request: Request) -> None:
    """Refuse a body that is no form with files."""
    if _media_type(request) != "multipart/form-data":
        msg = "The body must be multipart/form-data."
        raise UnsupportedMediaError(msg, path="body")
