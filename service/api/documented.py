"""The problems each route may answer with, for the OpenAPI document."""

from typing import Any, Final

from fastapi import FastAPI
from pydantic import TypeAdapter

from service.api import examples
from service.api.views import ProblemView
from service.errors import PROBLEMS, ProblemType
from service.gate import KEY_HEADER
from service.problems import MEDIA_TYPE
from service.scopes import ROUTES

Documented = dict[int | str, dict[str, Any]]

_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, where the server asks for one."},
    "key": {"type": "apiKey", "in": "header", "name": KEY_HEADER, "description": "The same in a header of its own."},
}
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds until the next request is answered.", "schema": {"type": "integer"}}
}


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


def _refusals() -> dict[str, dict[str, Any]]:
    """Return how any request of the API may be refused at the door."""
    kinds = (ProblemType.UNAUTHENTICATED, ProblemType.FORBIDDEN, ProblemType.RATE_LIMITED)
    refusals = {str(PROBLEMS[kind][0]): _documented(kind) for kind in kinds}
    refusals["429"]["headers"] = _RETRY_AFTER
    return refusals


def answered(example: examples.ExampleName, description: str) -> dict[str, Any]:
    """Return the documentation of a good answer, shown by one of `examples.ANSWERS`."""
    reference = {"$ref": f"#/components/examples/{example}"}
    return {"description": description, "content": {"application/json": {"examples": {"default": reference}}}}


def document(app: FastAPI) -> None:
    """Let the app's OpenAPI document define the `Problem` and the examples that its routes refer to.

    Examples are put in last because the framework strips nulls from what it generates.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        described = generate()
        components = described["components"]
        if "examples" not in components:
            components["examples"] = {name: {"value": value} for name, value in examples.ANSWERS.items()}
            components["schemas"]["SearchRequest"]["examples"] = examples.SEARCH_REQUESTS
            components["schemas"]["ProductsRequest"]["examples"] = examples.PRODUCTS_REQUESTS
            components["schemas"]["EmbeddingsRequest"]["examples"] = examples.EMBEDDINGS_REQUESTS
            schema = TypeAdapter(ProblemView).json_schema(ref_template="#/components/schemas/{model}")
            components["schemas"].update(schema.pop("$defs"))
            components["schemas"]["Problem"] = schema
            components["securitySchemes"] = _SCHEMES
            for (method, path), scope in ROUTES.items():
                if operation := described["paths"].get(path, {}).get(method.lower()):
                    operation["security"] = [{scheme: [scope.value]} for scheme in _SCHEMES]
                    operation["responses"].update(_refusals())
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI wants it done
