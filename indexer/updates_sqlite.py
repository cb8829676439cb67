"""The update log in a file: SQLite in write-ahead mode, shared by the processes of one machine.

A transaction is on disk before `append` returns (`synchronous=FULL`), so neither a killed process nor a lost machine
takes back what was acknowledged. Readers poll; one that waits in the same process is woken at once.
"""

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from indexer.updates import Change, Entry, Kind, LogUnavailableError, Outcome, Position, Result, State, joined_payload

P = ParamSpec("P")
R = TypeVar("R")

FILE: Final = "updates.sqlite"
_POLL_S: Final = 0.05
_BUSY_S: Final = 10.0  # how long a writer waits for another
_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, product_id TEXT NOT NULL, is_patch INTEGER NOT NULL, kind TEXT NOT NULL,
    version INTEGER NOT NULL, at REAL NOT NULL, payload BLOB NOT NULL, UNIQUE (product_id, is_patch)
);
CREATE TABLE IF NOT EXISTS versions (product_id TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class SqliteLog:
    """An `UpdateLog` in the file `path`, which is made when it is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing, self._reading = _Connection(path), _Connection(path)  # readers do not wait for the disk
        self._changed = threading.Event()

    def tail(self) -> Position:
        """Return the position behind the last entry."""
        return self._writing.run(_tail)

    def trimmed(self) -> int:
        """Return the number of the last entry that was trimmed."""
        return int(self._reading.run(_fact, "trimmed") or 0)

    def count(self) -> int:
        """Return how many entries are held."""
        return int(self._reading.run(lambda db: db.execute("SELECT count(*) FROM entries").fetchone()[0]))

    def states(self, product_ids: Sequence[str]) -> list[State]:
        """Return what is known of each product."""
        return self._reading.run(lambda db: [_state(db, product_id) for product_id in product_ids])

    def whole(self, product_id: str) -> Entry | None:
        """Return the last put of a product."""
        return self._reading.run(_whole, product_id)

    def append(self, changes: Sequence[Change]) -> list[Outcome]:
        """Store the changes, all in one transaction."""
        outcomes = self._writing.run(_append, changes)
        self._changed.set()
        return outcomes

    def read(self, after: int, limit: int, wait_s: float = 0.0) -> list[Entry]:
        """Return entries behind the number `after`."""
        until = time.monotonic() + wait_s
        while True:
            self._changed.clear()
            entries = self._reading.run(_read, after, limit)
            if entries or time.monotonic() >= until:
                return entries
            self._changed.wait(min(_POLL_S, max(0.0, until - time.monotonic())))

    def trim(self, through: float) -> int:
        """Remove entries stored until `through`."""
        return self._writing.run(_trim, through)

    def close(self) -> None:
        """Close the file."""
        self._writing.close()
        self._reading.close()


class _Connection:
    """A connection to the file, made when it is first used; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def run(self, work: Callable[..., R], *args: object) -> R:
        """Return what `work` does on the open file."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._opened()
                return self._whole(work, self._connection, *args)
            except (sqlite3.Error, OSError) as error:
                msg = f"{self._path}: {error}"
                raise LogUnavailableError(msg) from error

    @staticmethod
    def _whole(work: Callable[..., R], db: sqlite3.Connection, *args: object) -> R:
        """Return what `work` does; if it fails, all that it did is undone."""
        try:
            return work(db, *args)
        except BaseException:
            with suppress(sqlite3.Error):
                db.rollback()
            raise

    def _opened(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        until = time.monotonic() + _BUSY_S
        while True:
            try:
                db.executescript(_SCHEMA)
            except sqlite3.OperationalError as error:
                # Who turns a new file to write-ahead mode keeps others out, and their own waiting does not count.
                if "locked" in str(error) and time.monotonic() < until:
                    time.sleep(_POLL_S)
                    continue
                db.close()
                raise
            except sqlite3.Error:
                db.close()
                raise
            return db


def _tail(db: sqlite3.Connection) -> Position:
    epoch = _fact(db, "epoch")
    if epoch is None:
        db.execute("INSERT OR IGNORE INTO facts VALUES ('epoch', ?)", (uuid.uuid4().hex,))
        epoch = _fact(db, "epoch")
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    return Position(str(epoch), 0 if last is None else int(last[0]))


def _fact(db: sqlite3.Connection, name: str) -> str | None:
    found = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return None if found is None else str(found[0])


def _state(db: sqlite3.Connection, product_id: str) -> State:
    version, kind = db.execute(
        "SELECT (SELECT version FROM versions WHERE product_id = ?1),"
        " (SELECT kind FROM entries WHERE product_id = ?1 AND NOT is_patch)",
        (product_id,),
    ).fetchone()  # both of one moment
    return State(version or 0, None if kind is None else Kind(kind))


def _append(db: sqlite3.Connection, changes: Sequence[Change]) -> list[Outcome]:
    db.execute("BEGIN IMMEDIATE")
    outcomes = [_store(db, change) for change in changes]
    db.execute("COMMIT")
    return outcomes


def _store(db: sqlite3.Connection, change: Change) -> Outcome:
    state = _state(db, change.product_id)
    if change.if_version is not None and change.if_version != state.version:
        return Outcome(Result.CONFLICT, state.version)
    if state.kind == Kind.DELETE and change.kind != Kind.PUT:
        return Outcome(Result.GONE, state.version)
    is_patch = change.kind == Kind.PATCH
    payload = change.payload
    if is_patch:
        held = db.execute(
            "SELECT payload FROM entries WHERE product_id = ? AND is_patch", (change.product_id,)
        ).fetchone()
        payload = joined_payload(None if held is None else held[0], payload)
        db.execute("DELETE FROM entries WHERE product_id = ? AND is_patch", (change.product_id,))
    else:
        db.execute("DELETE FROM entries WHERE product_id = ?", (change.product_id,))
    version = state.version + 1
    db.execute("INSERT OR REPLACE INTO versions VALUES (?, ?)", (change.product_id, version))
    stored = db.execute(
        "INSERT INTO entries (product_id, is_patch, kind, version, at, payload) VALUES (?, ?, ?, ?, ?, ?)",
        (change.product_id, is_patch, change.kind.value, version, time.time(), payload),
    )
    return Outcome(Result.STORED, version, stored.lastrowid)


def _read(db: sqlite3.Connection, after: int, limit: int) -> list[Entry]:
    rows = db.execute(
        "SELECT seq, at, product_id, kind, version, payload FROM entries WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    )
    return [_entry(*row) for row in rows]


def _entry(seq: int, at: float, product_id: str, kind: str, version: int, payload: bytes) -> Entry:
    try:
        return Entry(seq, at, product_id, Kind(kind), version, payload)
    except ValueError:
        return Entry.damaged(seq)


def _whole(db: sqlite3.Connection, product_id: str) -> Entry | None:
    row = db.execute(
        "SELECT seq, at, product_id, kind, version, payload FROM entries WHERE product_id = ? AND kind = ?",
        (product_id, Kind.PUT.value),
    ).fetchone()
    return None if row is None else _entry(*row)


def _trim(db: sqlite3.Connection, through: float) -> int:
    db.execute("BEGIN IMMEDIATE")
    last = db.execute("SELECT max(seq) FROM entries WHERE at <= ?", (through,)).fetchone()[0]
    removed = db.execute("DELETE FROM entries WHERE at <= ?", (through,)).rowcount
    if removed:
        held = int(_fact(db, "trimmed") or 0)
        db.execute("INSERT OR REPLACE INTO facts VALUES ('trimmed', ?)", (str(max(held, last)),))
    db.execute("COMMIT")
    return removed
