"""Which update log a name stands for."""

from pathlib import Path
from typing import Final

from indexer.updates import UpdateLog
from indexer.updates_redis import RedisLog
from indexer.updates_sqlite import FILE, SqliteLog

SCHEMES: Final = ("redis://", "rediss://", "unix://")
PLACES: Final = ("auto", "file", "off")


def open_log(place: str, *, data_dir: Path, redis_url: str | None = None, name: str = "default") -> UpdateLog | None:
    """Return the log at `place`, None where none is wanted; it need not be reachable.

    Args:
        place: a Redis; `file`: in the data folder; `off`: none; `auto`: the Redis of `redis_url` if there is one, else
            the file.
        data_dir: the data folder.
        redis_url: of the Redis that is used for other things.
        name: tells logs in one Redis apart.
    """
    if place == "off":
        return None
    if place == "auto" and redis_url:
        place = redis_url
    return SqliteLog(data_dir / FILE) if place in PLACES else RedisLog(place, name)
