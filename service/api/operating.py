"""What those who run the service are told of one bundle: its report and history, and a map of its products."""

import asyncio
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Query
from starlette.responses import Response

from indexer.gate import Verdict
from indexer.layout import MOST
from indexer.manifest import BundleError, Manifest
from indexer.publish import BundleStatus, PublishError, Status, status
from service.api.bundles import BundleId, State
from service.api.documented import answered, problems
from service.api.operating_views import ManifestView, MapResponse, MoveView, ReportResponse, VerdictView
from service.api.present import bundles_view, json_response
from service.api.state import AppState
from service.api.views import BundleView
from service.errors import NotFoundError, ProblemType, RefusedBundleError, UnavailableError
from service.mapping import SIZES
from service.reporting import Judged, Told, told_of

router = APIRouter(prefix="/v1/bundles", tags=["bundles"])

Limit = Annotated[int, Query(ge=1, le=MOST, description="Most products on the map, drawn at random.")]

_ID_PROBLEMS = (ProblemType.NOT_FOUND, ProblemType.INVALID_REQUEST, ProblemType.UNAVAILABLE)
_PASSED: Final = {"passed": True, "failed": False, "skipped": None}
_UNFINISHED: Final = "."


@router.get(
    "/{id}/report",
    summary="Report of a bundle",
    response_model=ReportResponse,
    responses={200: answered("Report", "What was measured of it, and what became of it."), **problems(*_ID_PROBLEMS)},
)
async def report(bundle_id: BundleId, state: State) -> Response:
    """Return what was measured of a bundle, what the gate said of it, and when it went live and why."""
    there = await _there(state)
    bundle = _found(there, bundle_id)
    try:
        told = await asyncio.to_thread(told_of, state["settings"].data_dir, bundle_id)
    except OSError as error:
        raise _unreadable(error) from error
    [summary] = [view for view in bundles_view(there, state["versions"])["bundles"] if view["id"] == bundle_id]
    return json_response(_report_view(bundle, summary, told))


@router.get(
    "/{id}/map",
    summary="Map of a bundle",
    response_model=MapResponse,
    responses={
        200: answered("Map", "Where products are."),
        **problems(*_ID_PROBLEMS, ProblemType.BUNDLE_REFUSED),
    },
)
async def map_of(bundle_id: BundleId, state: State, limit: Limit = SIZES[0]) -> Response:
    """Return where a bundle's products are in the embedding, in two dimensions; made once, which takes seconds."""
    bundle = _found(await _there(state), bundle_id)
    if bundle.manifest is None or bundle.problem is not None:
        raise RefusedBundleError(str(bundle.problem), path="id")
    made = await state["maps"].of(bundle_id, bundle.manifest, limit)
    view: MapResponse = {"bundle": bundle_id, "method": made["method"], "of": made["of"], "points": made["columns"]}
    return json_response(view)


async def _there(state: AppState) -> Status:
    try:
        return await asyncio.to_thread(status, state["settings"].data_dir)
    except (BundleError, PublishError, OSError) as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> UnavailableError:
    return UnavailableError(f"The data folder cannot be read: {error}")


def _found(there: Status, bundle_id: str) -> BundleStatus:
    for bundle in there.bundles:
        if bundle.id == bundle_id and not bundle_id.startswith(_UNFINISHED):
            return bundle
    msg = f"There is no bundle {bundle_id!r}."
    raise NotFoundError(msg, path="id")


def _report_view(bundle: BundleStatus, summary: BundleView, told: Told) -> ReportResponse:
    wrong = [problem for problem in (summary["problem"], told.problem) if problem is not None]
    return {
        "id": bundle.id,
        "role": summary["role"],
        "current": summary["current"],
        "manifest": None if bundle.manifest is None else _manifest_view(bundle.manifest, bundle.size_bytes),
        "report": None if told.report is None else dict(told.report),
        "verdicts": [_verdict_view(judged) for judged in told.judged],
        "history": [cast("MoveView", move.model_dump(mode="json")) for move in told.moves],
        "problem": "; ".join(dict.fromkeys(wrong)) or None,
    }


def _manifest_view(manifest: Manifest, size_bytes: int) -> ManifestView:
    stated: dict[str, Any] = manifest.model_dump(mode="json", include=set(ManifestView.__annotations__))
    return cast("ManifestView", {**stated, "size_bytes": size_bytes})


def _verdict_view(judged: Judged) -> VerdictView:
    verdict: Verdict = judged.verdict
    return {
        "at": verdict.at,
        "passed": not verdict.problems,
        "forced": judged.forced,
        "compared_with": verdict.against,
        "checks": [
            {
                "name": check.name,
                "outcome": check.outcome,
                "passed": _PASSED[check.outcome],
                "says": check.says,
                "value": check.measured,
                "bar": check.bar,
            }
            for check in verdict.checks
        ],
    }
