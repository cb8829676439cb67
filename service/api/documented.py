"""The problems each route may answer with, for the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from service.api.schemas import ProblemView
from service.errors import PROBLEMS, ProblemType
from service.problems import MEDIA_TYPE

Documented = dict[int | str, dict[str, Any]]


def problems(*kinds: ProblemType) -> Documented:
    """Return the `responses` of a route that may answer with these problems; 500 may always come."""
    return {PROBLEMS[kind][0]: _documented(kind) for kind in (*kinds, ProblemType.INTERNAL)}


def _documented(kind: ProblemType) -> dict[str, Any]:
    status, title = PROBLEMS[kind]
    example = {
        "type": f"urn:catalens:problem:{kind}",
        "title": title,
        "status": status,
        "detail": title,
        "errors": [],
        "request_id": "5f0c5c9e7d3b4a26a4f5a9e6f2f3c1d0",
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": title, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}


def answered(example: Mapping[str, object], description: str) -> dict[str, Any]:
    """Return the documentation of a good answer."""
    return {"description": description, "content": {"application/json": {"example": example}}}


def document(app: FastAPI) -> None:
    """Let the app's OpenAPI document define the `Problem` that its routes refer to."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        described = generate()
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            schema = TypeAdapter(ProblemView).json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas["Problem"] = schema
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI wants it done
