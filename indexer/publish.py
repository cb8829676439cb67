"""Which bundle is the current one: a gate before it, a symlink moved by rename, a history to go back on.

`data_dir/current` leads to one bundle, or to none; readers see the old one or the new one, never anything
between. What the gate looks at is left to `indexer.gate`, building bundles to `indexer.build`, noticing a move to the
service.
"""

import datetime as dt
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from indexer.bundle import BUILDING, BUNDLES, CURRENT, Bundle, current_bundle
from indexer.gate import VERDICTS, Before, Gate, Verdict, earlier_products, verdicts
from indexer.locking import locked
from indexer.manifest import BundleError, Manifest, check_files, read_manifest, sync_folder

HISTORY = "history.jsonl"
_LOCK = ".publish.lock"


class PublishError(RuntimeError):
    """A bundle that is not made current; what was current stays so."""


class HistoryEntry(BaseModel):
    """One move of `current`.

    `automatic`: a service rolled back by itself, for what `reason` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: str
    action: Literal["publish", "rollback"]
    bundle: str
    previous: str | None
    forced: bool = False
    problems: tuple[str, ...] = ()
    automatic: bool = False
    reason: str | None = None


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
    """Verify the bundle, judge it, and make it the current one. The verdict is kept, whatever it is.

    With `force` a bundle that misses the gate is published all the same, and the history says so; a damaged
    bundle never is.

    Raises:
        BundleError: the bundle is not there or damaged.
        PublishError: it misses the gate: which checks, and by how much.
        ValueError: bars or golden queries cannot be read.
    """
    folder = bundle_folder(data_dir, bundle_id)
    with locked(data_dir / _LOCK, wait=True):
        verdict = _judged(data_dir, folder, gate or Gate())
        _remember(data_dir / VERDICTS, verdict)
        if verdict.problems and not force:
            said = "; ".join(verdict.problems)
            msg = f"bundle {folder.name} is refused: {said} (--force publishes it all the same)"
            raise PublishError(msg)
        return _move(data_dir, "publish", folder.name, forced=bool(verdict.problems), problems=verdict.problems)


def judge(data_dir: Path, bundle_id: str, gate: Gate) -> Verdict:
    """Verify the bundle and return what the gate says of it, as things are now; nothing is published or kept.

    Raises:
        BundleError: the bundle is not there or damaged.
        ValueError: bars or golden queries cannot be read.
    """
    return _judged(data_dir, bundle_folder(data_dir, bundle_id), gate)


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


def may_be_taken_back(data_dir: Path, bundle_id: str) -> bool:
    """Return whether a service may roll back from the current bundle by itself.

    It may once for each bundle, and only from what was published, never from what was rolled back to.
    """
    entries = history(data_dir)
    if not entries or entries[-1].action != "publish" or entries[-1].bundle != bundle_id:
        return False
    return _before(entries, bundle_id) is not None and _taken_back(entries, bundle_id) is None


def take_back(data_dir: Path, bundle_id: str, reason: str) -> HistoryEntry | None:
    """Roll back from `bundle_id`, which does harm, and record why; None: another process did, or it may not be.

    Raises:
        PublishError: there is nothing to roll back to, or it is not there any more.
        BundleError: that is damaged.
    """
    with locked(data_dir / _LOCK, wait=True):
        if _pointed_at(data_dir) != bundle_id or not may_be_taken_back(data_dir, bundle_id):
            return None
        previous = rollback_target(data_dir)
        with Bundle.open(bundle_folder(data_dir, previous)):
            return _move(data_dir, "rollback", previous, automatic=True, reason=reason)


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


def _judged(data_dir: Path, folder: Path, gate: Gate) -> Verdict:
    entries = history(data_dir)
    kept = verdicts(data_dir)
    taken_back = _taken_back(entries, folder.name)
    with Bundle.open(folder) as bundle:
        current = _current_beside(data_dir, folder)
        if current is None:
            return gate.judge(data_dir, bundle, Before(verdicts=kept, taken_back=taken_back))
        with current:
            earlier = _before(entries, current.path.name)
            products = None if earlier is None else earlier_products(data_dir / BUNDLES / earlier)
            return gate.judge(data_dir, bundle, Before(current, products, kept, taken_back))


def _current_beside(data_dir: Path, folder: Path) -> Bundle | None:
    """Return the current bundle, to be compared with another; None if there is none or it cannot be read."""
    try:
        path = current_bundle(data_dir)
        if path is None or path.name == folder.name:
            return None
        return Bundle.open(path, verify=False)
    except BundleError:
        return None


def _taken_back(entries: list[HistoryEntry], bundle_id: str) -> str | None:
    """Return why a service rolled back from a bundle by itself; None: none did."""
    reasons = [e.reason for e in entries if e.automatic and e.previous == bundle_id]
    return reasons[-1] if reasons else None


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
    automatic: bool = False,
    reason: str | None = None,
) -> HistoryEntry:
    entry = HistoryEntry(
        at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        action=action,
        bundle=bundle_id,
        previous=_pointed_at(data_dir),
        forced=forced,
        problems=problems,
        automatic=automatic,
        reason=reason,
    )
    _remember(data_dir / HISTORY, entry)
    link = data_dir / f".{CURRENT}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(BUNDLES) / bundle_id)
    link.replace(data_dir / CURRENT)
    sync_folder(data_dir)
    return entry


def _remember(path: Path, entry: BaseModel) -> None:
    """Append `entry` to a file of JSON lines, durably, in place of a last line that a crash cut short."""
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
