"""Update logs of every kind, in places of their own: what is appended to them, and what a reader makes of it."""

import threading
from contextlib import ExitStack, contextmanager
from itertools import count

import orjson

from indexer.updates import Change, Kind
from indexer.updates_redis import RedisLog
from indexer.updates_sqlite import SqliteLog

ALL = 10_000  # more than any test stores


class Place:
    """Where a log is kept: `open()` returns one more object on it, `move()` goes to a place of another log."""

    def __init__(self, folder, server):
        self._folder, self._server = folder, server
        self._names = count()
        self._name = "first"
        self._opened = ExitStack()

    def open(self):
        if self._server is None:
            log = SqliteLog(self._folder / self._name / "updates.sqlite")
        else:
            log = RedisLog(self._server.url, f"{self._folder.name}-{self._name}")
        self._opened.callback(log.close)
        return log

    def move(self):
        """Let `open` mean another log, which is new."""
        self._name = f"other-{next(self._names)}"

    def close(self):
        self._opened.close()


def put(product_id, payload=b"{}", if_version=None):
    return Change(product_id, Kind.PUT, payload, if_version)


def patch(product_id, fields, if_version=None):
    return Change(product_id, Kind.PATCH, orjson.dumps(fields), if_version)


def delete(product_id, if_version=None):
    return Change(product_id, Kind.DELETE, if_version=if_version)


def everything(log):
    return log.read(0, ALL)


def apply(shelf, product_id, kind, payload):
    """Do to the products on `shelf`, as plain JSON, what a change says."""
    if kind == Kind.DELETE:
        shelf.pop(product_id, None)
    elif kind == Kind.PUT:
        shelf[product_id] = orjson.loads(payload)
    else:
        fields = orjson.loads(payload)
        had = shelf.get(product_id, {})
        attributes = had.get("attributes", {}) | fields.get("attributes", {})
        kept = {name: value for name, value in attributes.items() if value is not None}
        shelf[product_id] = had | fields | {"attributes": kept}


def read_on(entries, shelf, after):
    for entry in entries:
        assert entry.seq > after
        after = entry.seq
        apply(shelf, entry.product_id, entry.kind, entry.payload)
    return after


@contextmanager
def soon(work, *arguments):
    """Let `work` be done 0.2 s from now, in another thread."""
    later = threading.Timer(0.2, work, arguments)
    later.start()
    try:
        yield
    finally:
        later.join()
