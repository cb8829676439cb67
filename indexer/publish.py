"""Which bundle is the current one: a gate on its report, a symlink moved by rename, a history to go back on.

`data_dir/current` leads to one bundle, or to none; readers see the old one or the new one, never anything
between. Building bundles is left to `indexer.build`, noticing a move to the service.
"""

import datetime as dt
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from indexer.bundle import BUILDING, BUNDLES, CURRENT, Bundle, current_bundle
from indexer.evaluate import Report
from indexer.locking import locked
from indexer.manifest import BundleError, Manifest, check_files, read_manifest, sync_folder

HISTORY = "history.jsonl"
_LOCK = ".publish.lock"


class PublishError(RuntimeError):
    """A bundle that is not made current; what was current stays so."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a report must show before its bundle goes live, as shares.

    Attributes:
        ann_recall: of the true ten nearest, that each index finds.
        image_self_retrieval: of sampled pictures, encoded anew, that find their own product first.
        text_self_retrieval: the same of texts.
    """

    ann_recall: float = 0.95
    image_self_retrieval: float = 0.9
    text_self_retrieval: float = 0.9

    def problems(self, report: Report) -> list[str]:
        """Return which measures miss their bar and by how much; empty if the bundle may go live."""
        measured: list[tuple[str, float | None, float]] = [
            *((f"ANN recall@10 of the {s} index", a.recall_at_10, self.ann_recall) for s, a in report.ann.items()),
            ("self-retrieval of pictures", report.self_retrieval.image, self.image_self_retrieval),
            ("self-retrieval of texts", report.self_retrieval.text, self.text_self_retrieval),
        ]
        problems = [] if report.products > 0 else ["it holds no product"]
        for name, value, bar in measured:
            if value is not None and value < bar:
                problems.append(f"{name} is {value:.3f}, {bar - value:.3f} below {bar:.3f}")
        return problems


class HistoryEntry(BaseModel):
    """One move of `current`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: str
    action: Literal["publish", "rollback"]
    bundle: str
    previous: str | None
    forced: bool = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BundleStatus:
    """One folder under `bundles`: a bundle, or what is wrong with it."""

    id: str
    is_current: bool
    size_bytes: int
    manifest: Manifest | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a data folder; `problem` is what is wrong with `current`."""

    current: str | None
    bundles: tuple[BundleStatus, ...] = field(default=())
    problem: str | None = None


def publish(data_dir: Path, bundle_id: str, *, force: bool = False, gate: Gate | None = None) -> HistoryEntry:
    """Verify the bundle, judge its report, and make it the current one.

    With `force` a report that misses the gate is published all the same, and the history says so; a damaged
    bundle never is.

    Raises:
        BundleError: the bundle is not there or damaged.
        PublishError: its report misses the gate: which measure, and by how much.
    """
    folder = bundle_folder(data_dir, bundle_id)
    with locked(data_dir / _LOCK, wait=True):
        problems = tuple((gate or Gate()).problems(_report(folder)))
        if problems and not force:
            msg = f"bundle {bundle_id} is refused: {'; '.join(problems)} (--force publishes it all the same)"
            raise PublishError(msg)
        return _move(data_dir, "publish", folder.name, forced=bool(problems), problems=problems)


def rollback(data_dir: Path) -> HistoryEntry:
    """Make the bundle current that was so before the present one was published.

    Raises:
        PublishError: there is none, or it is not there any more.
        BundleError: it is damaged.
    """
    rollback_target(data_dir)
    with locked(data_dir / _LOCK, wait=True):
        previous = rollback_target(data_dir)
        folder = bundle_folder(data_dir, previous)
        with Bundle.open(folder):
            return _move(data_dir, "rollback", previous)


def rollback_target(data_dir: Path) -> str:
    """Return the bundle that was current before the present one was published.

    Raises:
        PublishError: there is none.
    """
    name = _pointed_at(data_dir)
    if name is None:
        msg = f"nothing to roll back in {data_dir}: nothing is published"
        raise PublishError(msg)
    previous = _before(history(data_dir), name)
    if previous is None:
        msg = f"nothing to roll back to in {data_dir}: no bundle was current before {name}"
        raise PublishError(msg)
    return previous


def status(data_dir: Path, *, verify: bool = False) -> Status:
    """Return every bundle of `data_dir`, the oldest first, and which is current; with `verify`, digests checked."""
    try:
        current, problem = current_bundle(data_dir), None
    except BundleError as error:
        current, problem = None, str(error)
    name = current.name if current else None
    folders = sorted(p for p in (data_dir / BUNDLES).glob("*") if p.is_dir())
    return Status(name, tuple(_status(f, name, verify=verify) for f in folders), problem)


def bundle_folder(data_dir: Path, bundle_id: str) -> Path:
    """Return the folder of the bundle called `bundle_id`, or by the only id that begins so.

    Raises:
        BundleError: there is none, or several.
    """
    found = [p for p in sorted((data_dir / BUNDLES).glob("*")) if p.is_dir() and not p.name.startswith(".")]
    exact = [p for p in found if p.name == bundle_id]
    matching = exact or [p for p in found if bundle_id and p.name.startswith(bundle_id)]
    if len(matching) != 1:
        what = "several bundles are" if matching else "no bundle is"
        msg = f"{what} called {bundle_id!r} in {data_dir / BUNDLES}"
        raise BundleError(msg)
    return matching[0]


def history(data_dir: Path) -> list[HistoryEntry]:
    """Return the moves of `current`, the oldest first; a last line cut short by a crash is left out."""
    path = data_dir / HISTORY
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n") if path.exists() and path.stat().st_size else []
    entries: list[HistoryEntry] = []
    for number, line in enumerate(lines):
        try:
            entries.append(HistoryEntry.model_validate_json(line))
        except ValidationError as error:
            if number + 1 < len(lines):
                msg = f"{path}: line {number + 1} is damaged"
                raise PublishError(msg) from error
    return entries


def _report(folder: Path) -> Report:
    with Bundle.open(folder) as bundle:
        try:
            return Report.model_validate(bundle.report)
        except ValidationError as error:
            first = error.errors()[0]
            msg = f"{folder}: report.json: {'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise BundleError(msg) from error


def _pointed_at(data_dir: Path) -> str | None:
    """Return the name of the bundle that `current` leads to, be it there or not; None if there is no link.

    Raises:
        PublishError: `current` is something else, which a new link would not replace.
    """
    link = data_dir / CURRENT
    if link.is_symlink():
        return link.readlink().name
    if link.exists():
        msg = f"{link}: not a symbolic link: move it away"
        raise PublishError(msg)
    return None


def _before(entries: list[HistoryEntry], current: str | None) -> str | None:
    """Return what was current before `current` was last published."""
    published = [e for e in entries if e.action == "publish" and e.bundle == current and e.previous != current]
    return published[-1].previous if published else None


def _move(
    data_dir: Path,
    action: Literal["publish", "rollback"],
    bundle_id: str,
    *,
    forced: bool = False,
    problems: tuple[str, ...] = (),
) -> HistoryEntry:
    entry = HistoryEntry(
        at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        action=action,
        bundle=bundle_id,
        previous=_pointed_at(data_dir),
        forced=forced,
        problems=problems,
    )
    _remember(data_dir / HISTORY, entry)
    link = data_dir / f".{CURRENT}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(BUNDLES) / bundle_id)
    link.replace(data_dir / CURRENT)
    sync_folder(data_dir)
    return entry


def _remember(path: Path, entry: HistoryEntry) -> None:
    """Append `entry` to the history, durably, in place of a last line that a crash cut short."""
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(entry.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _status(folder: Path, current: str | None, *, verify: bool) -> BundleStatus:
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    manifest, problem = None, None
    if folder.name.startswith(BUILDING):
        problem = "unfinished: a build is running, or died; the next build removes it"
    else:
        try:
            manifest = read_manifest(folder)
            check_files(folder, manifest, digests=verify)
        except BundleError as error:
            problem = str(error)
    return BundleStatus(folder.name, folder.name == current, size, manifest, problem)
