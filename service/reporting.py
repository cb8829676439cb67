"""What there is to tell of a bundle: its report, every verdict of the gate on it, and when it went live and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from indexer.bundle import BUNDLES, REPORT
from indexer.gate import Verdict, verdicts
from indexer.manifest import BundleError, checked_path
from indexer.publish import HistoryEntry, PublishError, history

MOST_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and whether the bundle was published in spite of it."""

    verdict: Verdict
    forced: bool


@dataclass(frozen=True, slots=True)
class Told:
    """All that is told of a bundle.

    Attributes:
        report: As it lies in the bundle; None: it cannot be read.
        judged: The latest verdicts first.
        moves: The latest first of those to the bundle or away from it.
        problem: What could not be read; None: nothing.
    """

    report: Mapping[str, Any] | None
    judged: tuple[Judged, ...]
    moves: tuple[HistoryEntry, ...]
    problem: str | None


def told_of(data_dir: Path, bundle_id: str) -> Told:
    """Return what there is to tell of a bundle of the data folder, be it damaged or not.

    Raises:
        OSError: the verdicts cannot be read.
    """
    problems: list[str] = []
    report = None
    try:
        report = _report(data_dir / BUNDLES / bundle_id)
    except (BundleError, OSError) as error:
        problems.append(str(error))
    moves: list[HistoryEntry] = []
    try:
        moves = [entry for entry in history(data_dir) if bundle_id in {entry.bundle, entry.previous}]
    except (PublishError, OSError) as error:
        problems.append(str(error))
    judged = _judged([verdict for verdict in verdicts(data_dir) if verdict.bundle == bundle_id], moves)
    return Told(
        report,
        tuple(judged[::-1][:MOST_LINES]),
        tuple(moves[::-1][:MOST_LINES]),
        "; ".join(problems) or None,
    )


def _report(folder: Path) -> Mapping[str, Any]:
    path = checked_path(folder, REPORT)
    try:
        found = orjson.loads(path.read_bytes())
    except ValueError as error:
        msg = f"{path}: not a readable report: {error}"
        raise BundleError(msg) from error
    if not isinstance(found, dict):
        msg = f"{path}: not a readable report: it is no object"
        raise BundleError(msg)
    return found


def _judged(found: list[Verdict], moves: list[HistoryEntry]) -> list[Judged]:
    """Return the verdicts on a bundle, the earliest first; one that is forced is the last before that was done."""
    forced: set[int] = set()
    for move in moves:
        if move.forced and found and move.bundle == found[0].bundle:
            before = [at for at, verdict in enumerate(found) if verdict.at <= move.at]
            forced.update(before[-1:])
    return [Judged(verdict, at in forced) for at, verdict in enumerate(found)]
