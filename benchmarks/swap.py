"""Bundles swapped while searches go on: errors, answers that mix two bundles, and the tail of latency meanwhile.

Two bundles of one catalogue differ in every price: those of each end in cents of its own, so that an answer tells by
its hits which bundle they are from, and must name that one. Searches come at a fixed rate, half of what the service
can do; steady phases alternate with phases in which the other bundle is published again and again. The service sees
that within WATCH_MS, then verifies, opens and warms the bundle in the process that answers. What is judged is the
searches that were due during a swap: from the moment that `current` moved to the first answer from the new bundle.
"""

import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.closed_loop import rush
from benchmarks.effort import Effort, split_cores
from benchmarks.open_loop import Offer, Run, offer
from benchmarks.queries import fresh_texts, text_requests
from benchmarks.record import percentiles
from benchmarks.server import running_service
from indexer.build import BuildOptions, build
from indexer.catalogue import CatalogueOptions
from indexer.publish import publish
from models.checkpoint import load_encoder

PRODUCTS = 1_000
CENTS = (25, 75)  # of every price of a bundle
SWAPS = 50  # in all turns
EVERY_S = 6.0  # from one swap's beginning to the next one's
NICENESS = 10  # of the process that publishes, as of the one that the service has judge a bundle
WATCH_MS = 50  # how often the service looks at what is published
SHARE = 0.5  # of what the service can do
CALLERS = 16
DEADLINE_S = 5.0
START_S = 8.0  # for the generator, and for what publishes, to start
HITS = 10
OK = 200
FLAGS = ("--update-log", "off", "--watch-ms", str(WATCH_MS), "--rollback-watch-s", "0")

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Phase:
    """Searches of one phase, and when swaps were under way in it, in seconds from its first moment."""

    run: Run
    swaps: Sequence[Span] = ()

    @property
    def during(self) -> list[float]:
        """Milliseconds of the searches that were due during a swap, or of all where there was none."""
        chosen = [any(begun <= due <= ended for begun, ended in self.swaps) for due in self.run.due_s]
        return list((self.run.latency_s[chosen] if self.swaps else self.run.latency_s) * 1e3)


@contextmanager
def two_bundles(catalogue: Path, encoder_name: str) -> Iterator[tuple[Path, dict[str, int]]]:
    """Give a data folder with two bundles of the first products of a catalogue, and the cents of their prices by id.

    Args:
        catalogue: folder of a Parquet feed with `id`, `title`, `price` and pictures by path.
        encoder_name: what encodes it.
    """
    encoder, reading = load_encoder(encoder_name), CatalogueOptions(image_root=catalogue)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        ids: dict[str, int] = {}
        for cents in CENTS:
            feed = _marked(catalogue, Path(folder) / f"feed-{cents}", cents)
            built = build(encoder, BuildOptions(catalogue=feed, data_dir=data_dir, reading=reading))
            ids[built.path.name] = cents
        publish(data_dir, next(iter(ids)), force=True)
        yield data_dir, ids


def _marked(catalogue: Path, folder: Path, cents: int) -> Path:
    """Write a feed of the first products of a catalogue with prices that end in `cents`."""
    folder.mkdir()
    table = pq.read_table(catalogue / "catalogue.parquet").slice(0, PRODUCTS)
    prices = pa.array([number % 500 + cents / 100 for number in range(table.num_rows)])
    place = table.schema.get_field_index("price")
    pq.write_table(table.set_column(place, "price", prices), folder / "catalogue.parquet")
    return folder


def figures(catalogue: Path, encoder_name: str, effort: Effort) -> dict[str, Any]:
    """Return what the phases came to; `effort.seconds` is taken for each steady one."""
    titles = pq.read_table(catalogue / "catalogue.parquet", columns=["title"])["title"].to_pylist()[:PRODUCTS]
    requests = text_requests(fresh_texts(titles, 20_000, effort.seed), limit=HITS, fields=["id", "price"])
    serving, asking = split_cores()
    with (
        two_bundles(catalogue, encoder_name) as (data_dir, ids),
        running_service(data_dir, encoder_name, effort.port, FLAGS, serving) as server,
        ProcessPoolExecutor(1, get_context("spawn"), _stand_behind, (serving,)) as operator,
    ):
        most = rush(server.address, requests[:5_000], CALLERS, effort.seconds).per_second
        asked = Offer(
            server.address,
            requests[5_000:],
            SHARE * most,
            0.0,
            DEADLINE_S,
            effort.seed,
            keep_bodies=True,
            cores=asking,
        )
        publishing = _Publishing(operator, data_dir, list(ids))
        turns = [_turn(publishing, asked, effort, turn) for turn in range(effort.turns)]
    return {"searches_per_s": SHARE * most, **summed_up(turns, ids)}


@dataclass(frozen=True, slots=True)
class _Publishing:
    """What publishes two bundles in turns, as somebody else would who shares the service's cores."""

    operator: ProcessPoolExecutor
    data_dir: Path
    ids: Sequence[str]

    def publish(self, number: int, moment: float) -> tuple[str, float]:
        """Publish the bundle whose turn it is at a moment; return it and when `current` had moved."""
        return self.operator.submit(_published, self.data_dir, self.ids[number % len(self.ids)], moment).result()


def _stand_behind(cores: frozenset[int]) -> None:
    """Have this process give way to the service on its cores."""
    os.nice(NICENESS)
    if cores:
        os.sched_setaffinity(0, cores)


def _turn(publishing: _Publishing, asked: Offer, effort: Effort, turn: int) -> tuple[Phase, Phase]:
    """Return a steady phase and one with swaps."""
    swaps = SWAPS // effort.turns
    steady, busy = (asked.requests[2 * turn + phase :: 2 * effort.turns] for phase in range(2))
    calm = Phase(offer(replace(asked, requests=steady, seconds=effort.seconds, seed=asked.seed + 2 * turn)))
    begins = time.perf_counter() + START_S
    with ThreadPoolExecutor(1) as beside:
        during = replace(asked, requests=busy, seconds=EVERY_S * swaps, seed=asked.seed + 2 * turn + 1, begins=begins)
        running = beside.submit(offer, during)
        first = turn * swaps + 1
        moved = [publishing.publish(first + number, begins + number * EVERY_S) for number in range(swaps)]
        run = running.result()
    return calm, Phase(run, _spans(run, [(bundle, at - run.offer.begins) for bundle, at in moved]))


def _published(data_dir: Path, bundle_id: str, moment: float) -> tuple[str, float]:
    """Publish a bundle at a moment; return it and when `current` had moved, by `time.perf_counter`."""
    time.sleep(max(0.0, moment - time.perf_counter()))
    publish(data_dir, bundle_id, force=True)
    return bundle_id, time.perf_counter()


def _spans(run: Run, moved: Sequence[tuple[str, float]]) -> list[Span]:
    """Return from when to when each swap was under way, in seconds from a run's first moment.

    Args:
        run: the searches meanwhile.
        moved: bundles and when `current` had moved to them.

    Raises:
        RuntimeError: a bundle answered no search before the next one was published.
    """
    answered = [
        (due + latency, str(orjson.loads(body)["index"]["bundle"]))
        for due, latency, status, body in zip(run.due_s, run.latency_s, run.status, run.bodies, strict=True)
        if status == OK
    ]
    ends = [at for _, at in moved[1:]] + [math.inf]
    spans: list[Span] = []
    for (bundle, begun), end in zip(moved, ends, strict=True):
        seen = [at for at, named in answered if named == bundle and begun < at < end]
        if not seen:
            msg = f"bundle {bundle}, published after {begun:.1f} s, answered nothing until the next one was"
            raise RuntimeError(msg)
        spans.append((begun, min(seen)))
    return spans


def summed_up(turns: Sequence[tuple[Phase, Phase]], ids: Mapping[str, int]) -> dict[str, Any]:
    """Return what turns of a steady and a swapping phase came to."""
    phases = [phase for turn in turns for phase in turn]
    spans = [span for phase in phases for span in phase.swaps]
    rows = [_row(calm, busy) for calm, busy in turns]
    judged = [
        _judged(body, ids)
        for phase in phases
        for body, status in zip(phase.run.bodies, phase.run.status, strict=True)
        if status == OK
    ]
    return {
        "swaps": len(spans),
        "swap_ms": percentiles([(ended - begun) * 1e3 for begun, ended in spans]),
        "answers": len(judged),
        "bundles_seen": len({bundle for bundle, _ in judged}),
        "mixed_answers": sum(not pure for _, pure in judged),
        "statuses": sorted({int(status) for phase in phases for status in phase.run.status}),
        "errors": sum(int((phase.run.status != OK).sum()) for phase in phases),
        "generator_kept_up": all(phase.run.kept_up for phase in phases),
        "turns": rows,
        "p99_ratio": median([row["p99_ratio"] for row in rows]),
    }


def _row(calm: Phase, busy: Phase) -> dict[str, Any]:
    steady, during = percentiles(calm.during), percentiles(busy.during)
    return {
        "steady_ms": steady,
        "during_ms": during,
        "whole_phase_ms": percentiles(list(busy.run.latency_s * 1e3)),
        "searches_during": len(busy.during),
        "p99_ratio": during["p99"] / steady["p99"],
    }


def _judged(body: bytes, ids: Mapping[str, int]) -> tuple[str, bool]:
    """Return the bundle that an answer names, and whether each of its hits is of that bundle."""
    answer = orjson.loads(body)
    named = str(answer["index"]["bundle"])
    cents = {round(hit["product"]["price"] * 100) % 100 for hit in answer["hits"]}
    return named, cents == {ids[named]}
