"""Loaded into Schemathesis: checks of our own, and pictures where it would send noise.

Its `positive_data_acceptance` holds that what fits the schema is accepted. Here much that fits is refused, and rightly:
a filter names a field that no product has, a picture is none, weights cancel each other out. So the check is that it is
refused for nothing else.
"""

import base64
import re

import schemathesis
from schemathesis.core.failures import Failure

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4ceIEAATEAmEVBPG2AAAAAElFTkSuQmCC"
)  # a grey PNG of one pixel

# What no schema can state, by the messages that say so. 7.0 is an integer to JSON Schema, but not to the service.
_REASONS = re.compile(
    r"no product has a field|There is no (product|bundle)|no product is of the category|has no picture"
    r"|is not being served|is not served beside|is the primary one already|nothing to roll back"
    r"|holds no words|compares numbers|must be (text|true or false|a list of|an object of|a number|a finite number)"
    r"|is no operator|must hold an operator|nests deeper|holds more than|is one too many|there is nothing to"
    r"|does not fetch pictures|is not base64|picture (is empty|cannot be used|could not be)|The picture has"
    r"|Give something to look for|give exactly one|At least one weight|cancel each other out|need words to go with"
    r"|Lexical search is for words|no query to find the category|the model knows no|The product has version"
    r"|white space|NUL character|surrogate|Invalid JSON|valid (dictionary|list|string|number|integer)"
    r"|should match pattern|should have at (most|least)|unknown field|(less|greater) than|Field required"
    r"|is of the same product|cannot be read|Products are looked for in one picture"
    r"|entities go with words|The model here is|characters"
)
_EXPECTED = frozenset({200, 204, 304, 401, 403, 404, 409, 413, 415, 422, 429, 503, 504})


class RefusedForNoReasonError(Failure):
    """What fits the schema was refused for something that the schema could state."""

    def __init__(self, *, operation: str, message: str) -> None:
        super().__init__(operation=operation, title="Refused for no reason", message=message)


@schemathesis.check
def refused_for_a_reason(ctx, response, case):
    """Make sure that a request that fits its schema is answered, or refused for what a schema cannot state."""
    del ctx
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code not in _EXPECTED:
        raise RefusedForNoReasonError(operation=case.operation.label, message=response.text)
    if response.status_code < 400 or response.status_code in {401, 403, 429, 503, 504}:
        return
    for error in response.json()["errors"]:
        if not _REASONS.search(error["message"]):
            raise RefusedForNoReasonError(operation=case.operation.label, message=str(error))


@schemathesis.check
def late_only_where_time_is_stated(ctx, response, case):
    """Make sure that an answer takes no longer than its caller gave it, and that only such a caller goes without."""
    del ctx
    if response.status_code == 504 and "x-request-timeout-ms" not in {
        name.lower() for name in response.request.headers
    }:
        raise RefusedForNoReasonError(operation=case.operation.label, message=response.text)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Send a true picture with every other form; leave out what is null, which neither forms nor headers can say."""
    del kwargs
    if context.operation.path == "/v1/search/image" and isinstance(case.body, dict):
        body = {name: value for name, value in case.body.items() if value is not None}
        case.body = {**body, "image": PICTURE} if "image" in body and len(body) % 2 else body
    if case.headers:
        case.headers = {name: value for name, value in case.headers.items() if value not in {None, "null"}}
