"""What an update log acknowledged is there after kill -9, whole and once: of its writer, or of the Redis that keeps it.

The parent knows every change that it gives the writer, and what the log must hold after any number of them. Killing
a process leaves what the kernel has taken; what a lost machine leaves is up to fsync, and not tested here.
"""

import copy
import os
import queue
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field

import orjson
import pytest

from indexer.updates import Change, Kind, Result
from indexer.updates_redis import RedisLog
from indexer.updates_sqlite import SqliteLog

SQLITE_KILLS = 100  # of writers that are alone, and of as many beside a reader
REDIS_KILLS = 10
MOST_DELAY_S = 0.025  # from the first acknowledged batch, or from the start, to the kill
BATCHES = 500  # given at once: more than a writer stores in that time
ANSWER_S = 30.0
IDS = [f"p{n}" for n in range(20)]

# Reads lines of {"batches": [[[id, kind, payload, width], ...], ...]}; says what became of each batch. For SQLite each
# line gets a process of its own, forked from one that has imported everything: a new interpreter would take most of
# the time. For Redis one object writes them all.
WRITER = """
import os, sys, time
from pathlib import Path
import orjson
from indexer.updates import Change, Kind, LogUnavailableError
from indexer.updates_redis import RedisLog
from indexer.updates_sqlite import SqliteLog

def say(**said):
    os.write(1, orjson.dumps(said) + b"\\n")

def write(log, batches):
    for number, batch in enumerate(batches):
        changes = [Change(i, Kind(kind), payload.ljust(width).encode()) for i, kind, payload, width in batch]
        try:
            outcomes = log.append(changes)
        except LogUnavailableError:
            return say(lost=number)
        say(stored=number, outcomes=[[o.result, o.version, o.seq] for o in outcomes])
    say(through=len(batches))

kind, address = sys.argv[1:]
redis = RedisLog(address) if kind == "redis" else None
for line in sys.stdin.buffer:
    batches = orjson.loads(line)["batches"]
    if redis is not None:
        write(redis, batches)
        continue
    child = os.fork()
    if not child:
        write(SqliteLog(Path(address)), batches)
        time.sleep(60)
        os._exit(0)
    say(started=child)
    os.waitpid(child, 0)
    say(ended=child)
"""


class Writer:
    """A process that runs WRITER, what it is told and what it says."""

    def __init__(self, kind, address):
        command = [sys.executable, "-c", WRITER, kind, str(address)]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        self._said = queue.Queue()
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    def _listen(self):
        for line in self._process.stdout:
            self._said.put(orjson.loads(line))

    def tell(self, batches):
        self._process.stdin.write(orjson.dumps({"batches": [[wire(step) for step in batch] for batch in batches]}))
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def hear(self, *words):
        """Return what it says, line by line, until it has said one of `words`."""
        heard = []
        while not heard or heard[-1].keys().isdisjoint(words):
            heard.append(self._said.get(timeout=ANSWER_S))
        return heard

    def close(self):
        self._process.kill()
        self._process.wait()
        self._listening.join()
        self._process.stdin.close()
        self._process.stdout.close()


def wire(change):
    return change.product_id, change.kind, change.payload.rstrip().decode(), len(change.payload)


@pytest.fixture
def start_writer():
    started = []

    def start(*arguments):
        started.append(Writer(*arguments))
        return started[-1]

    yield start
    for writer in started:
        writer.close()


@dataclass
class Model:
    """What a log holds: of each product the version, the last put or delete and the patches after it."""

    versions: dict = field(default_factory=lambda: dict.fromkeys(IDS, 0))
    bases: dict = field(default_factory=dict)  # id -> (version, kind, payload)
    patches: dict = field(default_factory=dict)  # id -> versions of the patches

    def store(self, change):
        """Do what a log must do; return the result and version it must give."""
        product_id, kind = change.product_id, change.kind
        if kind != Kind.PUT and self.bases.get(product_id, (0, None))[1] == Kind.DELETE:
            return [Result.GONE, self.versions[product_id]]
        self.versions[product_id] += 1
        version = self.versions[product_id]
        if kind == Kind.PATCH:
            self.patches.setdefault(product_id, []).append(version)
        else:
            self.patches.pop(product_id, None)
            self.bases[product_id] = (version, kind, change.payload)
        return [Result.STORED, version]

    def after(self, changes):
        later = copy.deepcopy(self)
        for change in changes:
            later.store(change)
        return later

    def held(self):
        """Return versions and entries as `held_by` does: a patch has the mark of each that is joined in it."""
        entries = {(product_id, False): base for product_id, base in self.bases.items()}
        for product_id, versions in self.patches.items():
            marks = {f"v{version}": version for version in versions}
            entries[product_id, True] = (versions[-1], Kind.PATCH, {"counter": versions[-1], "attributes": marks})
        return self.versions, entries


def held_by(log):
    """Return `{id: version}` and `{(id, is patch): (version, kind, payload)}`; patches and nothing else are parsed."""
    entries = log.read(0, 10 * len(IDS))
    for entry in entries:
        if entry.kind != Kind.DELETE:
            assert orjson.loads(entry.payload)["counter"] == entry.version
    found = {
        (entry.product_id, entry.kind == Kind.PATCH): (
            entry.version,
            entry.kind,
            orjson.loads(entry.payload) if entry.kind == Kind.PATCH else entry.payload,
        )
        for entry in entries
    }
    assert len(found) == len(entries) == log.count()
    return {product_id: state.version for product_id, state in zip(IDS, log.states(IDS), strict=True)}, found


def course(model, rng):
    """Return batches of changes, each of which bears the version that it makes if all before it are stored."""
    planned, batches = copy.deepcopy(model), []
    for _ in range(BATCHES):
        batch = []
        for _ in range(rng.randint(1, 4)):
            product_id = rng.choice(IDS)
            kind = rng.choices([Kind.PUT, Kind.PATCH, Kind.DELETE], [3, 6, 1])[0]
            version = planned.versions[product_id] + 1
            fields = {"counter": version}
            if kind == Kind.PATCH:
                fields["attributes"] = {f"v{version}": version}
            width = rng.choice([0, 0, 100, 5_000, 100_000]) if kind == Kind.PUT else 0  # so that SQLite checkpoints
            change = Change(product_id, kind, b"" if kind == Kind.DELETE else orjson.dumps(fields).ljust(width))
            planned.store(change)
            batch.append(change)
        batches.append(batch)
    return batches


class Ledger:
    """The changes a writer was given, and how many of them it has said to be stored."""

    def __init__(self, model, batches, last_seq):
        self.model, self.batches, self.seq = model, batches, last_seq
        self.acknowledged = 0

    def read(self, heard):
        """Take note of what the writer said, which must be what the model says."""
        for said in heard:
            if "stored" not in said:
                continue
            assert said["stored"] == self.acknowledged
            for change, (result, version, seq) in zip(self.batches[self.acknowledged], said["outcomes"], strict=True):
                assert [result, version] == self.model.store(change)
                if result == Result.STORED:
                    assert seq > self.seq
                    self.seq = seq
            self.acknowledged += 1

    @property
    def under_way(self):
        return self.batches[self.acknowledged] if self.acknowledged < len(self.batches) else []


def settle(log, ledger, sizes):
    """Return the model of what the log holds: all that was acknowledged and of the next batch one of `sizes`."""
    held = held_by(log)
    assert all(held[0][i] >= version for i, version in ledger.model.versions.items())
    fitting = [later for n in sizes if (later := ledger.model.after(ledger.under_way[:n])).held() == held]
    assert fitting, f"{ledger.acknowledged} batches and a part of {ledger.under_way} leave not what is held: {held}"
    tail = log.tail()
    assert tail.seq >= ledger.seq
    assert log.trimmed() == 0
    return fitting[0], tail


@pytest.mark.slow
@pytest.mark.parametrize("reader_stays", [False, True], ids=["alone", "beside-a-reader"])
def test_a_killed_writer_has_lost_nothing_it_acknowledged_and_doubled_nothing(start_writer, tmp_path, reader_stays):
    path = tmp_path / "updates.sqlite"
    rng = random.Random(f"writer {reader_stays}")
    writer, model, epochs, seq = start_writer("sqlite", path), Model(), set(), 0
    batches = in_time = 0
    staying = SqliteLog(path)
    for kill in range(SQLITE_KILLS):
        if reader_stays:
            staying.count()
        ledger = Ledger(model, course(model, rng), seq)
        writer.tell(ledger.batches)
        # Most are killed while they write; every fourth as soon as it starts, when it opens what the last one left.
        heard = writer.hear("started")
        if kill % 4:
            while not any("stored" in said or "lost" in said for said in heard):
                heard += writer.hear("stored", "lost")
        time.sleep(rng.uniform(0, MOST_DELAY_S if kill % 4 else MOST_DELAY_S / 4))
        os.kill(next(said["started"] for said in heard if "started" in said), signal.SIGKILL)
        heard += writer.hear("ended")
        ledger.read(heard)
        with closing(sqlite3.connect(path)) as direct:
            assert direct.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with closing(SqliteLog(path)) as log:
            model, tail = settle(log, ledger, (0, len(ledger.under_way)))
            if reader_stays:
                assert held_by(staying) == held_by(log)
        epochs.add(tail.epoch)
        seq = tail.seq
        batches += ledger.acknowledged
        in_time += all("through" not in said and "lost" not in said for said in heard)
    staying.close()
    assert len(epochs) == 1
    assert batches >= SQLITE_KILLS
    assert in_time == SQLITE_KILLS  # else most kills came too late, or a writer could not open the file


def test_a_killed_redis_has_lost_nothing_it_acknowledged_and_the_writer_goes_on(start_writer, tmp_path, support):
    server = support("redis_server").RedisServer(tmp_path, durable=True)
    rng = random.Random("redis")
    server.start()
    try:
        writer, model, epochs, seq = start_writer("redis", server.url), Model(), set(), 0
        for _ in range(REDIS_KILLS):
            ledger = Ledger(model, course(model, rng), seq)
            writer.tell(ledger.batches)
            heard = writer.hear("stored", "lost")
            time.sleep(rng.uniform(0, MOST_DELAY_S))
            server.kill()
            heard += writer.hear("lost", "through")
            ledger.read(heard)
            assert heard[-1] == {"lost": ledger.acknowledged}
            assert ledger.acknowledged > 0
            server.start()
            with closing(RedisLog(server.url)) as log:
                model, tail = settle(log, ledger, range(len(ledger.under_way) + 1))
            epochs.add(tail.epoch)
            seq = tail.seq
        ledger = Ledger(model, course(model, rng)[:20], seq)
        writer.tell(ledger.batches)
        ledger.read(writer.hear("lost", "through"))
        assert ledger.acknowledged == 20
        with closing(RedisLog(server.url)) as log:
            settle(log, ledger, [0])
            epochs.add(log.tail().epoch)
        assert len(epochs) == 1
    finally:
        server.kill()


def test_writing_changes_takes_no_torch_and_no_faiss():
    script = (
        "import sys, indexer.updates, indexer.updates_redis, indexer.updates_sqlite\n"
        "print(sorted({'torch', 'torchvision', 'open_clip', 'faiss', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
