"""Whether the process lives, whether it can answer, and what it has counted."""

import asyncio

from fastapi import APIRouter, Response

from service.api.documented import answered, problems
from service.api.present import json_response, ready_view
from service.api.state import MetricsRegistry, ReadinessProbe
from service.api.views import LiveResponse, ReadyResponse
from service.telemetry import CONTENT_TYPE

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Alive?", response_model=LiveResponse, responses=problems())
async def live() -> Response:
    """Say that the event loop turns."""
    return json_response({"status": "alive"})


@router.get(
    "/readyz",
    summary="Ready?",
    response_model=ReadyResponse,
    responses={
        200: answered("Ready", "Searches are answered."),
        503: {"model": ReadyResponse, "description": "They are not; `checks` says why."},
        **problems(),
    },
)
async def ready(readiness: ReadinessProbe) -> Response:
    """Embed a product's words and picture, and let it find itself in the index."""
    verdict = await readiness.verdict()
    response = json_response(ready_view(verdict))
    response.status_code = 200 if verdict.ready else 503
    return response


@router.get(
    "/metrics",
    summary="Metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text format.", "content": {"text/plain": {}}}, **problems()},
)
async def metrics(registry: MetricsRegistry) -> Response:
    """Return the counters and histograms of this process."""
    return Response(await asyncio.to_thread(registry.render), media_type=CONTENT_TYPE)
