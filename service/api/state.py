"""What a running app holds, and how routes get at it."""

from typing import Annotated, cast

from fastapi import Depends, Request
from typing_extensions import TypedDict

from service.readiness import Readiness
from service.search import SearchEngine
from service.telemetry import Metrics


class AppState(TypedDict):
    """What the lifespan opens, and every request may use."""

    engine: SearchEngine
    readiness: Readiness
    metrics: Metrics


def app_state(request: Request) -> AppState:
    """Return what the lifespan opened."""
    return cast("AppState", request.scope["state"])


async def _engine(request: Request) -> SearchEngine:
    return app_state(request)["engine"]


async def _readiness(request: Request) -> Readiness:
    return app_state(request)["readiness"]


async def _metrics(request: Request) -> Metrics:
    return app_state(request)["metrics"]


Engine = Annotated[SearchEngine, Depends(_engine)]
ReadinessProbe = Annotated[Readiness, Depends(_readiness)]
MetricsRegistry = Annotated[Metrics, Depends(_metrics)]
