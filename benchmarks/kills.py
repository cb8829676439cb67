"""Builds killed at random moments, again and again, and what comes of it in the end.

One process after another builds the same catalogue in the same data folder and is killed (SIGKILL) at a moment drawn
anew; each finds what the ones before it kept. The last may end. Its bundle must be the one that a build nobody
disturbed comes to, although the encoder's vectors depend on what is encoded together, as a GPU's do. When one ends
before it is killed, the next ones begin anew in another folder. Builds are forked from a process that has everything
imported and nothing started, so that most of their life is building.
"""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from benchmarks.made_shop import write_feed

PICTURES = 2
_LONGEST_S = 300.0
KILLS_EACH = 10  # in one folder, at most

# Reads, a line each, after how many seconds to kill and a folder; forks a build there, which says what it came to if it
# may end; then says that it is over.
_NURSERY = """
import os, signal, sys, time
import orjson
import indexer.build
from functools import partial
from pathlib import Path
from benchmarks.made_shop import MadeEncoder
from indexer.build import BuildOptions, build
from indexer.evaluate import measure
from indexer.work import EncodeOptions

# Of no concern here, and most of the time otherwise.
indexer.build.measure = partial(measure, sample=4)
indexer.build.calibrate_lexical_weight = lambda bundle, encoder, weights, seed: weights
encoder = MadeEncoder(16, pace_s=0.002, fickle=True)
encoding = EncodeOptions(batch=4, block=8)
for line in sys.stdin:
    after, _, folder = line.strip().partition(" ")
    child = os.fork()
    if child == 0:
        done = build(encoder, BuildOptions(Path(sys.argv[1]), Path(folder), recipe="hnsw", encoding=encoding))
        stated = {"digest": done.manifest.digest, "encoded": done.encoded, "reused": done.reused}
        os.write(1, orjson.dumps(stated) + b"\\n")
        os._exit(0)
    until = time.monotonic() + float(after)
    while not (ended := os.waitpid(child, os.WNOHANG)[0]) and time.monotonic() < until:
        time.sleep(0.002)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    os.write(1, b"over\\n")
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a build came to: the bundle's digest, how many products it encoded and found kept, and how long it took."""

    digest: str
    encoded: int
    reused: int
    seconds: float


class Nursery:
    """A process that forks builds of one feed."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers

    def build(self, data: Path, kill_after_s: float = _LONGEST_S) -> Outcome | None:
        """Build in `data`; None if the build came to no end."""
        began = time.monotonic()
        self._requests.write(f"{kill_after_s} {data}\n".encode())
        self._requests.flush()
        said = self._answers.readline().strip()
        if said in {b"over", b""}:
            return None
        self._answers.readline()
        return Outcome(**orjson.loads(said), seconds=time.monotonic() - began)


@contextmanager
def nursery(feed: Path) -> Iterator[Nursery]:
    """Start the process that forks builds of `feed`."""
    command = [sys.executable, "-c", _NURSERY, str(feed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            msg = "no pipes"
            raise RuntimeError(msg)
        yield Nursery(process.stdin, process.stdout)
        process.stdin.close()


def figures(kills: int, products: int, seed: int) -> dict[str, Any]:
    """Return what builds came to that were killed so many times, and the one that was not.

    Raises:
        RuntimeError: a build came to no end although nobody killed it.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, nursery(_feed(Path(folder), products, seed)) as builds:
        undisturbed = [_ended(builds.build(Path(folder) / f"undisturbed-{n}")) for n in range(2)]
        usual_s = min(outcome.seconds for outcome in undisturbed)  # the first one also loads what is loaded late
        ended: list[Outcome] = []
        killed = 0
        while killed < kills:
            data, done = Path(folder) / f"killed-{len(ended)}", None
            for _ in range(min(KILLS_EACH, kills - killed)):
                done = builds.build(data, rng.uniform(0, usual_s))
                if done is not None:
                    break
                killed += 1
            ended.append(done or _ended(builds.build(data)))
    return {
        "products": products,
        "kills": killed,
        "undisturbed_s": usual_s,
        "undisturbed": undisturbed[0].digest,
        "digests": sorted({outcome.digest for outcome in [*undisturbed, *ended]}),
        "encoded_by_those_that_ended": [outcome.encoded for outcome in ended],
        "same": all(outcome.digest == undisturbed[0].digest for outcome in ended),
    }


def _feed(folder: Path, products: int, seed: int) -> Path:
    path = folder / "catalogue.parquet"
    write_feed(path, products, seed, pictures=PICTURES)
    return path


def _ended(outcome: Outcome | None) -> Outcome:
    if outcome is None:
        msg = "a build came to no end although nobody killed it"
        raise RuntimeError(msg)
    return outcome
