"""Update logs that cannot be reached, are full or lose answers: refused by name, and no change is stored twice."""

import resource
import socket
import sqlite3
import threading
import time
from contextlib import closing, suppress

import orjson
import pytest
import redis

from indexer.updates import Kind, LogUnavailableError, Outcome, Result, State
from indexer.updates_redis import RedisLog
from indexer.updates_sqlite import SqliteLog
from tests.support.update_logs import delete, everything, patch, put, soon


def calls(log):
    """Return every method that needs the log, ready to be called."""
    return [
        log.tail,
        log.trimmed,
        log.count,
        lambda: log.states(["a"]),
        lambda: log.whole("a"),
        lambda: log.append([put("a")]),
        lambda: log.append([patch("a", {})]),
        lambda: log.read(0, 1),
        lambda: log.read(0, 1, wait_s=0.05),
        lambda: log.trim(0),
    ]


def assert_unavailable(log, match):
    for call in calls(log):
        with pytest.raises(LogUnavailableError, match=match):
            call()


def test_a_folder_that_cannot_be_made(tmp_path, keep):
    (tmp_path / "file").write_text("in the way")
    log = keep(SqliteLog(tmp_path / "file" / "below" / "updates.sqlite"))
    assert_unavailable(log, "updates.sqlite")
    (tmp_path / "file").unlink()
    assert log.count() == 0


def test_who_opens_a_new_file_waits_for_another_who_is_at_it(tmp_path, keep):
    path = tmp_path / "updates.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE of_another (n)")
        with soon(other.rollback):
            assert keep(SqliteLog(path)).count() == 0


def test_a_file_that_is_no_database(tmp_path, keep):
    path = tmp_path / "updates.sqlite"
    path.write_bytes(b"a shopping list" * 500)
    log = keep(SqliteLog(path))
    assert_unavailable(log, "not a database")
    assert path.read_bytes() == b"a shopping list" * 500


def test_a_folder_in_the_place_of_the_file(tmp_path, keep):
    log = keep(SqliteLog(tmp_path))
    assert_unavailable(log, "unable to open")


def test_a_redis_that_was_never_there(tmp_path, keep):
    log = keep(RedisLog(f"unix://{tmp_path}/none.sock"))
    assert_unavailable(log, "Redis")


def test_a_redis_that_comes_back_is_used_again(start_redis, keep):
    server = start_redis(durable=True)
    log = keep(RedisLog(server.url))
    log.append([put("a", b"1"), patch("a", {"attributes": {"m": 1}})])
    position, entries = log.tail(), everything(log)
    server.kill()
    assert_unavailable(log, "Redis")
    server.start()
    assert log.append([patch("a", {"attributes": {"n": 2}})]) == [Outcome(Result.STORED, 3, position.seq + 1)]
    assert everything(log)[0] == entries[0]
    assert orjson.loads(everything(log)[1].payload) == {"attributes": {"m": 1, "n": 2}}
    assert log.tail().epoch == position.epoch


def test_who_waits_is_told_when_redis_goes(start_redis, keep):
    server = start_redis()
    log = keep(RedisLog(server.url))
    log.append([put("a")])
    after = log.tail().seq
    began = time.monotonic()
    with soon(server.kill), pytest.raises(LogUnavailableError):
        log.read(after, 10, wait_s=5)
    assert time.monotonic() - began < 3


def test_a_redis_that_kept_nothing_is_another_log(start_redis, keep):
    server = start_redis()
    log = keep(RedisLog(server.url))
    log.append([put("a")])
    before = log.tail()
    server.kill()
    server.start()
    log.append([put("b")])
    assert log.tail().epoch != before.epoch
    assert log.tail().after(str(before)) == 0


def test_a_frozen_redis_is_given_up_after_a_while(start_redis, keep):
    server = start_redis()
    log = keep(RedisLog(server.url, timeout_s=0.2))
    log.append([put("a")])
    server.freeze()
    began = time.monotonic()
    for call in (lambda: log.append([put("a")]), lambda: log.read(0, 1)):
        with pytest.raises(LogUnavailableError):
            call()
    assert time.monotonic() - began < 5
    server.thaw()
    assert log.append([put("a")])[0].result == Result.STORED


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_a_redis_that_may_evict_the_log_is_refused(start_redis, policy, keep):
    server = start_redis(arguments=("--maxmemory", "100mb", "--maxmemory-policy", policy))
    log = keep(RedisLog(server.url))
    assert_unavailable(log, policy)
    with redis.Redis(unix_socket_path=str(server.socket)) as direct:
        assert direct.dbsize() == 0
        direct.config_set("maxmemory-policy", "volatile-lru")
    assert log.append([put("a")])[0].result == Result.STORED


def test_a_full_disk_stores_all_of_a_batch_or_nothing(tmp_path, keep):
    log = keep(SqliteLog(tmp_path / "updates.sqlite"))
    log.append([put("a", b"small"), patch("b", {"price": 1})])
    before = everything(log), log.tail(), log.states(["a", "b"])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))  # of any file that this process writes
    try:
        with pytest.raises(LogUnavailableError, match=r"full|I/O"):
            log.append([put("b"), put("a", b"x" * 1_000_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (everything(log), log.tail(), log.states(["a", "b"])) == before
    assert log.append([put("b"), put("a", b"x" * 1_000_000)])[1].version == 2


def fill(log, prefix, size):
    for n in range(10_000):
        log.append([put(f"{prefix}{n}", b"x" * size)])


def test_a_full_redis_refuses_until_it_is_trimmed(start_redis, keep):
    server = start_redis(arguments=("--maxmemory", "3000000", "--maxmemory-policy", "noeviction"))
    log = keep(RedisLog(server.url))
    for prefix, size in (("large", 100_000), ("small", 10)):
        with pytest.raises(LogUnavailableError, match="maxmemory"):
            fill(log, prefix, size)
    stored = log.count()
    assert stored > 10
    assert log.tail().seq == stored == everything(log)[-1].seq
    assert log.states(["large0", "never"]) == [State(1, Kind.PUT), State()]
    assert log.trim(time.time() + 1) == log.trimmed() == stored
    assert log.append([put("large0", b"x" * 100_000)])[0].version == 2


class LossyWire:
    """A socket before a Redis that, once told, lets one question through and loses the answer with the connection."""

    def __init__(self, folder, server):
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "wire.sock"))
        self._listener.listen()
        self.url = f"unix://{folder}/wire.sock"
        self.lose, self.lost = None, 0  # a word of the question whose answer gets lost
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                self._threads.append(threading.Thread(target=self._carry, args=[near], daemon=True))
                self._threads[-1].start()

    def _carry(self, near):
        with near, socket.socket(socket.AF_UNIX) as far, suppress(OSError):
            far.connect(str(self._server.socket))
            while asked := near.recv(1 << 16):
                far.sendall(asked)
                answer = far.recv(1 << 16)
                if self.lose is not None and self.lose in asked:
                    self.lose, self.lost = None, self.lost + 1
                    return
                near.sendall(answer)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@pytest.mark.parametrize("change", [put("a"), patch("a", {"price": 2}), delete("a")])
def test_a_change_whose_answer_is_lost_is_not_stored_twice(start_redis, tmp_path, change, keep):
    server = start_redis()
    wire = keep(LossyWire(tmp_path, server))
    log, direct = keep(RedisLog(wire.url)), keep(RedisLog(server.url))
    assert log.append([put("a"), patch("a", {"price": 1})])[1].version == 2
    wire.lose = b"EVALSHA"
    with pytest.raises(LogUnavailableError):
        log.append([change])
    assert wire.lost == 1
    assert direct.states(["a"])[0].version == 3  # it was stored, but that was not acknowledged
    assert log.append([put("a", if_version=3)])[0].version == 4


def test_a_question_whose_answer_is_lost_is_asked_again(start_redis, tmp_path, keep):
    server = start_redis()
    wire = keep(LossyWire(tmp_path, server))
    log = keep(RedisLog(wire.url))
    log.append([put("a"), put("b")])
    for word, ask in (
        (b"XRANGE", lambda: len(everything(log))),
        (b"HMGET", lambda: log.tail().seq),
        (b"XLEN", log.count),
    ):
        wire.lose = word
        assert ask() == 2
    wire.lose = b"EVALSHA"
    assert log.trim(time.time() + 1) == 2
    assert wire.lost == 4
    assert (log.count(), log.trimmed()) == (0, 2)


def test_several_logs_share_a_redis(shared_redis, keep):
    one, other = (keep(RedisLog(shared_redis.url, name)) for name in ("shop one", "shop two"))
    one.append([put("a")])
    assert other.count() == 0
    assert other.states(["a"]) == [State()]
    assert one.tail().epoch != other.tail().epoch
