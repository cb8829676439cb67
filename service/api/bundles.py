"""The bundles of the data folder: what is there, what is served, and changing that."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from indexer.manifest import BundleError
from indexer.publish import PublishError, Status, status
from service.api.bodies import BODY_PROBLEMS, json_only
from service.api.documented import Documented, answered, problems
from service.api.present import bundles_view, json_response
from service.api.schemas import BesideRequest
from service.api.state import AppState, app_state
from service.api.views import BundlesResponse
from service.errors import ProblemType, UnavailableError
from service.versions import Beside

router = APIRouter(prefix="/v1/bundles", tags=["bundles"])

BundleId = Annotated[str, Path(alias="id", min_length=1, max_length=200, description="A bundle's id.")]
Force = Annotated[bool, Query(description="Whatever its report says; the history tells.")]

_ANSWER: Documented = {200: answered("Bundles", "What is there and what is served.")}
_PROBLEMS = problems(
    ProblemType.NOT_FOUND, ProblemType.BUNDLE_REFUSED, ProblemType.INVALID_REQUEST, ProblemType.UNAVAILABLE
)


async def _state(request: Request) -> AppState:
    return app_state(request)


State = Annotated[AppState, Depends(_state)]


@router.get(
    "",
    summary="Bundles",
    response_model=BundlesResponse,
    responses={**_ANSWER, **problems(ProblemType.UNAVAILABLE)},
)
async def bundles(state: State) -> Response:
    """Return every bundle of the data folder, and which are served."""
    return await _told(state)


@router.post(
    "/rollback",
    summary="Roll back",
    response_model=BundlesResponse,
    responses={**_ANSWER, **problems(ProblemType.BUNDLE_REFUSED, ProblemType.UNAVAILABLE)},
)
async def roll_back(state: State) -> Response:
    """Publish and serve the bundle that was current before the present one."""
    await state["swapper"].rollback()
    return await _told(state)


@router.post(
    "/{id}/activate",
    summary="Activate a bundle",
    response_model=BundlesResponse,
    responses={**_ANSWER, **_PROBLEMS},
)
async def activate(bundle_id: BundleId, state: State, *, force: Force = False) -> Response:
    """Verify and warm a bundle, publish it, and answer from it; one that cannot be served changes nothing."""
    await state["swapper"].activate(bundle_id, force=force)
    return await _told(state)


@router.put(
    "/{id}",
    summary="Serve a bundle beside the current one",
    response_model=BundlesResponse,
    dependencies=[Depends(json_only)],
    responses={**_ANSWER, **BODY_PROBLEMS, **_PROBLEMS},
)
async def place(bundle_id: BundleId, asked: BesideRequest, state: State) -> Response:
    """Let a bundle answer searches that name it, a share of the others, and some in the shadow, to be compared."""
    await state["swapper"].place(bundle_id, Beside(asked.share, asked.shadow))
    return await _told(state)


@router.delete(
    "/{id}",
    summary="Serve a bundle no more",
    response_model=BundlesResponse,
    responses={**_ANSWER, **_PROBLEMS},
)
async def displace(bundle_id: BundleId, state: State) -> Response:
    """Serve a bundle beside the current one no more; it stays in the data folder."""
    await state["swapper"].place(bundle_id, None)
    return await _told(state)


async def _told(state: AppState) -> Response:
    try:
        there: Status = await asyncio.to_thread(status, state["settings"].data_dir)
    except (BundleError, PublishError, OSError) as error:
        msg = f"The data folder cannot be read: {error}"
        raise UnavailableError(msg) from error
    return json_response(bundles_view(there, state["versions"]))
