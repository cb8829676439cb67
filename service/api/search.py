"""Search by words, pictures, products and mixtures of them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import Response

from service.api.answering import answered as answer_of
from service.api.bodies import BODY_PROBLEMS, form_only, json_only
from service.api.connection import while_connected
from service.api.documented import answered, problems
from service.api.present import classify_view, json_response, suggest_view
from service.api.requests import to_classified, to_image_query, to_query
from service.api.schemas import ClassifyRequest, ImageSearchForm, SearchRequest, SuggestRequest
from service.api.state import Due, Engine, Visitor
from service.api.views import ClassifyResponse, SearchResponse, SuggestResponse
from service.errors import ProblemType

router = APIRouter(prefix="/v1", tags=["search"])


@router.post(
    "/search",
    summary="Search",
    response_model=SearchResponse,
    dependencies=[Depends(json_only)],
    responses={200: answered("Search", "Hits, best first."), **BODY_PROBLEMS},
)
async def search(request: Request, asked: SearchRequest, engine: Engine, due: Due, visitor: Visitor = None) -> Response:
    """Find products by words, a picture, products of the catalogue, or a weighted mixture of them."""
    return await answer_of(request, to_query(asked), engine.choose(asked.bundle, visitor), due, asked.fields)


@router.post(
    "/search/image",
    summary="Search with a picture file",
    response_model=SearchResponse,
    dependencies=[Depends(form_only)],
    responses={
        200: answered("SearchImage", "Hits, best first, and those of each product in the picture."),
        **BODY_PROBLEMS,
    },
)
async def search_image(
    request: Request,
    asked: Annotated[ImageSearchForm, Form(media_type="multipart/form-data")],
    engine: Engine,
    due: Due,
    visitor: Visitor = None,
) -> Response:
    """Find products by a picture sent as a file, alone or weighed against words; and each product in it by itself."""
    query = to_image_query(asked, await asked.image.read())
    return await answer_of(request, query, engine.choose(asked.bundle, visitor), due, asked.fields)


@router.post(
    "/classify",
    summary="Category",
    response_model=ClassifyResponse,
    dependencies=[Depends(json_only)],
    responses={200: answered("Classify", "The category."), **BODY_PROBLEMS},
)
async def classify(request: Request, asked: ClassifyRequest, engine: Engine, due: Due) -> Response:
    """Find out what category words or a picture are of, by comparing every two categories of the catalogue."""
    guess, served = await while_connected(request, engine.classify(to_classified(asked), due))
    return json_response(classify_view(guess, served))


@router.get(
    "/suggest",
    summary="Suggestions",
    response_model=SuggestResponse,
    responses={
        200: answered("Suggest", "Completions, those that find most products first."),
        **problems(ProblemType.INVALID_REQUEST, ProblemType.OVERLOADED, ProblemType.DEADLINE),
    },
)
async def suggest(request: Request, asked: Annotated[SuggestRequest, Query()], engine: Engine, due: Due) -> Response:
    """Complete what is being typed from the catalogue's words and entities, and put misspelt words right."""
    suggestions, served = await while_connected(request, engine.suggest(asked.q, asked.limit, due))
    return json_response(suggest_view(suggestions, served))
