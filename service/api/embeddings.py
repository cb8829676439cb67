"""Vectors of words and pictures, in the form that OpenAI's embeddings have."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from models.encoder import Vectors
from service.api.bodies import BODY_PROBLEMS, json_only
from service.api.connection import while_connected
from service.api.documented import answered
from service.api.present import index_view, link_view
from service.api.requests import to_embed
from service.api.schemas import EmbeddingsRequest
from service.api.state import Due, Engine
from service.api.views import EmbeddingsResponse
from service.embedding import Embedded
from service.errors import InvalidRequestError
from service.served import Served

router = APIRouter(prefix="/v1", tags=["search"])


@router.post(
    "/embeddings",
    summary="Vectors",
    response_model=EmbeddingsResponse,
    dependencies=[Depends(json_only)],
    responses={200: answered("Embeddings", "A vector for each input, in order."), **BODY_PROBLEMS},
)
async def embeddings(request: Request, asked: EmbeddingsRequest, engine: Engine, due: Due) -> Response:
    """Return the vectors of words and pictures, for an index of your own; what is wrong with one refuses them all."""
    embedded, served, account = await while_connected(request, engine.embed(to_embed(asked), asked.kind, due))
    _expect(asked.model, served)
    view = _view(embedded, served, sorted(account.degraded), as_text=asked.encoding_format == "base64")
    return Response(orjson.dumps(view, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def _expect(model: str | None, served: Served) -> None:
    """Make sure that the model that is asked for is the one that is served.

    Raises:
        InvalidRequestError: it is another.
    """
    if model not in {None, served.encoder.name}:
        msg = f"The model here is {served.encoder.name!r}, and its vectors are no other's."
        raise InvalidRequestError(msg, path="model")


def _view(embedded: Sequence[Embedded], served: Served, degraded: Sequence[str], *, as_text: bool) -> dict[str, Any]:
    """Return vectors as the wire has them, those that are no text as arrays: they are written with float32's digits."""
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": at, "embedding": _text(one.vector) if as_text else one.vector}
            for at, one in enumerate(embedded)
        ],
        "model": served.encoder.name,
        "fingerprint": served.encoder.fingerprint,
        "linked_entities": [link_view(link) for one in embedded for link in one.links],
        "index": index_view(served),
        "degraded": degraded,
    }


def _text(vector: Vectors) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()
