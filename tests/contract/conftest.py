"""Update logs, new for each test, in SQLite and in a Redis that all tests of a file share."""

from contextlib import ExitStack

import pytest

from tests.support.update_logs import Place


@pytest.fixture(scope="module")
def start_redis(support, tmp_path_factory):
    """Start a Redis of one's own: `start_redis(durable=True)`."""
    with ExitStack() as stopping:

        def start(**options):
            server = support("redis_server").RedisServer(tmp_path_factory.mktemp("redis"), **options)
            stopping.callback(server.kill)
            server.start()
            return server

        yield start


@pytest.fixture(scope="module")
def shared_redis(start_redis):
    return start_redis()


@pytest.fixture(params=["sqlite", "redis"])
def place(request, tmp_path):
    server = request.getfixturevalue("shared_redis") if request.param == "redis" else None
    place = Place(tmp_path, server)
    yield place
    place.close()


@pytest.fixture
def keep():
    """Close at the end what is kept: `log = keep(SqliteLog(path))`."""
    with ExitStack() as ending:

        def kept(opened):
            ending.callback(opened.close)
            return opened

        yield kept


@pytest.fixture
def log(place):
    return place.open()
