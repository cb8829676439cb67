"""Products of the catalogue, their pictures, and what is like them."""

import hashlib
from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from indexer.updates import Kind
from service.api.answering import answered as answer_of
from service.api.bodies import BODY_PROBLEMS, json_only
from service.api.documented import answered, problems
from service.api.present import index_view, json_response, product_view, products_view
from service.api.requests import to_similar_query
from service.api.schemas import ProductsRequest, SimilarRequest
from service.api.state import Due, Engine, ProductsWriter, Visitor, writer_of
from service.api.views import DeletedResponse, ProductResponse, ProductsResponse, SearchResponse
from service.errors import PROBLEMS, ConflictError, NotFoundError, ProblemType
from service.items import Item, read_items
from service.served import Served

router = APIRouter(prefix="/v1/products", tags=["products"])

_CACHE_CONTROL = "public, max-age=300, stale-while-revalidate=86400"
_PROBLEMS = problems(ProblemType.NOT_FOUND, ProblemType.INVALID_REQUEST)
_WRITE_PROBLEMS = problems(ProblemType.UNAVAILABLE, ProblemType.DEADLINE)


async def _decoded(product_id: Annotated[str, Path(alias="id", description="Product id, percent-encoded.")]) -> str:
    return unquote(product_id)


ProductId = Annotated[str, Depends(_decoded)]
Wait = Annotated[bool, Query(description="Answer when searches here see the change; otherwise a moment before.")]
IfVersion = Annotated[int | None, Query(ge=0, description="The version the product must have.")]
Version = Annotated[bool, Query(description="Also return the product's version, for `if_version`.")]


def _row(served: Served, product_id: str) -> int:
    row = served.bundle.products.row_of(product_id)
    if row is None:
        msg = f"There is no product {product_id!r}."
        raise NotFoundError(msg, path="id")
    return row


@router.put(
    "",
    summary="Change products",
    response_model=ProductsResponse,
    dependencies=[Depends(json_only)],
    responses={200: answered("Products", "What became of each change."), **BODY_PROBLEMS, **_WRITE_PROBLEMS},
)
async def change(asked: ProductsRequest, engine: Engine, writer: ProductsWriter, *, wait: Wait = False) -> Response:
    """Add, replace, change and delete products: a batch, each with its own result. What has status 200 is on disk."""
    results = await writer.write(read_items(asked.products, "products"), wait=wait)
    return json_response(products_view(results, engine.served))


@router.delete(
    "/{id}",
    summary="Delete a product",
    response_model=DeletedResponse,
    responses={
        200: answered("Deleted", "The product is no more."),
        **_PROBLEMS,
        **problems(ProblemType.CONFLICT),
        **_WRITE_PROBLEMS,
    },
)
async def delete(
    product_id: ProductId, engine: Engine, writer: ProductsWriter, *, if_version: IfVersion = None, wait: Wait = False
) -> Response:
    """Delete one product; it stays so when the catalogue is indexed again."""
    item = Item("id", product_id, Kind.DELETE, if_version=if_version)
    [result] = await writer.write([item], wait=wait)
    if result.status == PROBLEMS[ProblemType.NOT_FOUND][0]:
        msg = f"There is no product {product_id!r}."
        raise NotFoundError(msg, path="id")
    if result.seq is None:
        msg = f"The product has version {result.version}."
        raise ConflictError(msg, path="if_version")
    return json_response({"id": product_id, "version": result.version, "index": index_view(engine.served)})


@router.get(
    "/{id}",
    summary="Product",
    response_model=ProductResponse,
    responses={200: answered("Product", "The product."), **_PROBLEMS, **problems(ProblemType.UNAVAILABLE)},
)
async def product(request: Request, product_id: ProductId, engine: Engine, *, version: Version = False) -> Response:
    """Return one product as the catalogue states it."""
    number = await writer_of(request).version(product_id) if version else None
    served = engine.served
    row = _row(served, product_id)
    view = product_view(served.bundle.products[row], row, served.bundle)
    stated = {} if number is None else {"version": number}
    return json_response({"product": view, **stated, "index": index_view(served)})


@router.get(
    "/{id}/similar",
    summary="Similar products",
    response_model=SearchResponse,
    responses={
        200: answered("Search", "Hits, best first."),
        **_PROBLEMS,
        **problems(ProblemType.OVERLOADED, ProblemType.DEADLINE),
    },
)
async def similar(
    request: Request,
    product_id: ProductId,
    asked: Annotated[SimilarRequest, Query()],
    engine: Engine,
    due: Due,
    visitor: Visitor = None,
) -> Response:
    """Find products like this one, which is itself left out."""
    version = engine.choose(asked.bundle, visitor)
    served = version.served
    query = to_similar_query(served.bundle, _row(served, product_id), asked)
    return await answer_of(request, query, version, due, asked.fields)


@router.get(
    "/{id}/images/{n}",
    summary="Picture of a product",
    response_class=Response,
    responses={
        200: {"description": "A JPEG of at most 256 pixels a side.", "content": {"image/jpeg": {}}},
        304: {"description": "The caller has it already."},
        **_PROBLEMS,
    },
)
def image(
    product_id: ProductId,
    n: Annotated[int, Path(ge=0, description="Which picture, from 0.")],
    engine: Engine,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """Return a small picture of the product."""
    served = engine.served
    data = served.bundle.thumbnail(_row(served, product_id), n)
    if data is None:
        msg = f"Product {product_id!r} has no picture {n}."
        raise NotFoundError(msg, path="n")
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"etag": etag, "cache-control": _CACHE_CONTROL}
    if _matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="image/jpeg", headers=headers)


def _matches(if_none_match: str, etag: str) -> bool:
    """Return whether a caller that states these tags has `etag`, compared weakly (RFC 9110, 13.1.2)."""
    stated = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in stated or etag in stated
