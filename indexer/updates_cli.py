"""`python -m indexer updates`, and the flags that name an update log."""

import datetime as dt
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.cli import DATA_DIR, JSON, one_line_on_failure, print_result

if TYPE_CHECKING:
    from indexer.fold import Fold
    from indexer.updates import UpdateLog

UPDATE_LOG = click.option(
    "--update-log",
    default="auto",
    show_default=True,
    envvar="CATALENS_UPDATE_LOG",
    show_envvar=True,
    metavar="PLACE",
    help="Where changes of products are kept: a Redis (redis://...), file, off, or auto.",
)
UPDATE_LOG_NAME = click.option(
    "--update-log-name",
    default="default",
    show_default=True,
    envvar="CATALENS_UPDATE_LOG_NAME",
    help="Tells shops that share a Redis apart.",
)
REDIS_URL = click.option(
    "--redis-url", envvar="CATALENS_REDIS_URL", show_envvar=True, help="The Redis that `auto` takes, if there is one."
)
FEED_AS_OF = click.option(
    "--feed-as-of",
    metavar="TIME",
    help="When the feed was made (ISO 8601, UTC unless it says otherwise): older changes in the log are in it already.",
)


def moment(flag: str, text: str) -> float:
    """Return the seconds since 1970 of a time in ISO 8601.

    Raises:
        ValueError: it is none; the message names the flag.
    """
    try:
        stated = dt.datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{flag} {text!r}: expected a time such as 2026-11-26T02:00:00+01:00"
        raise ValueError(msg) from error
    return (stated if stated.tzinfo else stated.replace(tzinfo=dt.UTC)).timestamp()


def opened_log(place: str, redis_url: str | None, name: str, data_dir: Path) -> "UpdateLog | None":
    """Return the log that flags name; None where they want none, or the file of it was never made."""
    from indexer.update_logs import PLACES, SCHEMES, open_log
    from indexer.updates_sqlite import FILE

    if place not in PLACES and not place.startswith(SCHEMES):
        msg = f"--update-log {place!r}: expected {', '.join(PLACES)} or an address that begins with redis://"
        raise ValueError(msg)
    in_file = place == "file" or (place == "auto" and not redis_url)
    if in_file and not (data_dir / FILE).exists():
        return None
    return open_log(place, data_dir=data_dir, redis_url=redis_url, name=name)


def fold_of(log: "UpdateLog | None", feed_as_of: str | None) -> "Fold | None":
    """Return what the log changes of a feed."""
    from indexer.fold import Fold

    as_of = None if feed_as_of is None else moment("--feed-as-of", feed_as_of)
    return None if log is None else Fold(log, as_of)


@click.command()
@DATA_DIR
@UPDATE_LOG
@UPDATE_LOG_NAME
@REDIS_URL
@click.option(
    "--trim-before",
    metavar="TIME",
    help="Remove changes stored until then (ISO 8601). Only what the published bundle holds is removed.",
)
@JSON
def updates(
    *,
    data_dir: Path,
    update_log: str,
    update_log_name: str,
    redis_url: str | None,
    trim_before: str | None,
    as_json: bool,
) -> None:
    """Show what the update log holds, and how much of it is not in the published bundle; or trim it."""
    with one_line_on_failure():
        log = opened_log(update_log, redis_url, update_log_name, data_dir)
        if log is None:
            print_result(as_json, {"log": None}, "no change was ever stored")
            return
        try:
            result = _trimmed(log, data_dir, moment("--trim-before", trim_before)) if trim_before else {}
            tail, held = log.tail(), _bundle_holds(log, data_dir)
            result |= {"epoch": tail.epoch, "last": tail.seq, "entries": log.count(), "in_bundle": held}
        finally:
            log.close()
    removed = f"{result['removed']} removed; " if "removed" in result else ""
    words = f"{result['entries']} changes held, the last is number {tail.seq}; the published bundle holds up to {held}"
    print_result(as_json, result, removed + words)


def _bundle_holds(log: "UpdateLog", data_dir: Path) -> int:
    """Return the number of the last entry that the published bundle holds, 0 if none."""
    from indexer.bundle import current_bundle
    from indexer.manifest import read_manifest

    current = current_bundle(data_dir)
    return 0 if current is None else log.tail().after(read_manifest(current).log_position)


def _trimmed(log: "UpdateLog", data_dir: Path, through: float) -> dict[str, Any]:
    """Remove what was stored until `through` and until now, unless the published bundle lacks any of it."""
    through = min(through, time.time())
    after = _bundle_holds(log, data_dir)
    while missing := log.read(after, 100):
        for entry in missing:  # clocks that write to one log may differ
            if entry.at <= through:
                msg = f"change {entry.seq} is older and not in the published bundle: build and publish first"
                raise ValueError(msg)
        after = missing[-1].seq
    return {"removed": log.trim(through)}
