"""What a running app holds, and how routes get at it."""

from typing import Annotated, Final, cast

from fastapi import Depends, Header, Request
from typing_extensions import TypedDict

from service.admission import MOST_TIMEOUT_MS, TIMEOUT_HEADER
from service.errors import UnavailableError
from service.mapping import Maps
from service.readiness import Readiness
from service.results import Results
from service.search import SearchEngine
from service.settings import Settings
from service.swapping import Swapper
from service.telemetry import Metrics
from service.versions import Versions
from service.watching import Signals
from service.writing import Writer

VISITOR_HEADER: Final = "X-Visitor-Id"
LONGEST_VISITOR: Final = 200


class AppState(TypedDict):
    """What the lifespan opens, and every request may use."""

    engine: SearchEngine
    readiness: Readiness
    metrics: Metrics
    writer: Writer | None
    swapper: Swapper
    results: Results
    signals: Signals
    versions: Versions
    settings: Settings
    maps: Maps


def app_state(request: Request) -> AppState:
    """Return what the lifespan opened."""
    return cast("AppState", request.scope["state"])


async def _engine(request: Request) -> SearchEngine:
    return app_state(request)["engine"]


async def _readiness(request: Request) -> Readiness:
    return app_state(request)["readiness"]


def writer_of(request: Request) -> Writer:
    """Return what stores changes.

    Raises:
        UnavailableError: the server takes none.
    """
    writer = app_state(request)["writer"]
    if writer is None:
        msg = "This server takes no changes of products: its update log is off."
        raise UnavailableError(msg)
    return writer


async def _writer(request: Request) -> Writer:
    return writer_of(request)


async def _due(
    request: Request,
    timeout_ms: Annotated[
        int | None,
        Header(alias=TIMEOUT_HEADER, ge=1, le=MOST_TIMEOUT_MS, description="Milliseconds within which to answer."),
    ] = None,
) -> float:
    del timeout_ms  # stated for the document: admission has read it
    return float(request.scope["state"]["due"])


Visitor = Annotated[
    str | None,
    Header(
        alias=VISITOR_HEADER,
        max_length=LONGEST_VISITOR,
        description="Whoever searches: where bundles share searches, the same one gets the same bundle.",
    ),
]


async def _metrics(request: Request) -> Metrics:
    return app_state(request)["metrics"]


Due = Annotated[float, Depends(_due)]
Engine = Annotated[SearchEngine, Depends(_engine)]
ProductsWriter = Annotated[Writer, Depends(_writer)]
ReadinessProbe = Annotated[Readiness, Depends(_readiness)]
MetricsRegistry = Annotated[Metrics, Depends(_metrics)]
