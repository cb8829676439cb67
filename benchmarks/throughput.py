"""What serving costs: answers a second of the service, over what its parts do in a bare loop; cached, over nothing.

Cost model: the bare loop (`benchmarks.bare`) encodes batches of the size that the service really made, and ranks each
query on the same bundle, in one process that has nothing to read, look up, decode or send. The service does all of
that besides, for callers who ask again as soon as they are answered and who take their time from the same cores; it is
stated, and not given back. Both may use every core. Turns alternate, so that whatever else the machine does falls on
both.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from benchmarks import bare, empty
from benchmarks.closed_loop import Rush, rush
from benchmarks.effort import Effort
from benchmarks.queries import fresh_pictures, fresh_texts, picture_requests, text_requests
from benchmarks.record import spread
from benchmarks.server import Server, running, running_service
from benchmarks.subject import Subject
from benchmarks.wire import get
from service.runtimes import on_fastest_runtimes
from service.settings import Settings

CALLERS = {"text": 32, "image": 16, "cached": 16}  # enough to keep it busy, too few for it to refuse any
FRESH = {"text": 8_000, "image": 6_000}  # requests of one turn; with fewer than answers, some would be cached
CACHED = 50  # texts that are asked again and again
READ_AHEAD = 512  # items of the bare loop, which has no cache
BATCHES = "catalens_batch_size"
LOOKUPS = ("catalens_cache_lookups_total", "catalens_result_cache_lookups_total")

Paced = Callable[[int, float], bare.Pace]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the service and one of the bare loop.

    Attributes:
        service_per_s: answers a second.
        bare_per_s: of the bare loop.
        ratio: the first over the second.
        batch: mean size of the service's batches; rounded, that of the bare loop's.
        service_cpu_ms: processor time of the service for each answer.
        bare_cpu_ms: of the bare loop.
        callers_cores: cores that the callers kept busy.
        failures: answers that were not of status 200.
        cached: vectors and whole answers that the service found in its caches: none, or the turn counts for nothing.
    """

    service_per_s: float
    bare_per_s: float
    ratio: float
    batch: float
    service_cpu_ms: float
    bare_cpu_ms: float
    callers_cores: float
    failures: int
    cached: float


def figures(subject: Subject, effort: Effort, runtime: str = "auto") -> dict[str, Any]:
    """Return every turn and the median ratio for texts, for pictures, and for texts that are cached.

    Args:
        subject: what is served.
        effort: how much is measured.
        runtime: of the encoder; the service and the bare loop choose by the same rule.
    """
    stated = {"data_dir": subject.data_dir, "encoder": subject.encoder_name, "runtime": runtime}
    encoder, chosen = on_fastest_runtimes(subject.encoder, subject.bundle, Settings.model_validate(stated))
    words = bare.read_texts(encoder, subject.bundle, subject.titles[:READ_AHEAD])
    pictures = bare.decoded(subject.pictures[:READ_AHEAD])
    paces: dict[str, Paced] = {
        "text": partial(bare.pace_of_texts, encoder, subject.bundle, words),
        "image": partial(bare.pace_of_pictures, encoder, subject.bundle, pictures),
    }
    flags = ("--runtime", runtime, "--update-log", "off")
    with running_service(subject.data_dir, subject.encoder_name, effort.port, flags) as server:
        found: dict[str, Any] = {"runtimes": "torch" if chosen is None else chosen.described()}
        for kind, pace in paces.items():
            asked = [_asked(subject, kind, effort, turn) for turn in range(effort.turns)]
            found[kind] = _summary([asdict(_turn(server, kind, requests, pace, effort)) for requests in asked])
        found["cached"] = _summary(_beside_nothing(server, subject, effort))
    return found


def _asked(subject: Subject, kind: str, effort: Effort, turn: int) -> list[bytes]:
    """Return the requests of a turn, none of which was asked in another."""
    seed = effort.seed * effort.turns + turn
    if kind == "image":
        return picture_requests(fresh_pictures(subject.pictures, FRESH[kind], seed))
    several = fresh_texts(subject.titles, FRESH[kind] * effort.turns, effort.seed)
    return text_requests(several[turn :: effort.turns])


def _turn(server: Server, kind: str, asked: Sequence[bytes], pace: Paced, effort: Effort) -> Turn:
    before = _Counts.of(server, kind)
    rushed = rush(server.address, asked, CALLERS[kind], effort.seconds)
    after = _Counts.of(server, kind)
    batch = (after.items - before.items) / max(1.0, after.batches - before.batches)
    paced = pace(max(1, round(batch)), effort.seconds)
    return Turn(
        service_per_s=rushed.per_second,
        bare_per_s=paced.per_second,
        ratio=rushed.per_second / paced.per_second,
        batch=batch,
        service_cpu_ms=(after.cpu_s - before.cpu_s) / max(1.0, after.items - before.items) * 1e3,
        bare_cpu_ms=paced.cpu_ms,
        callers_cores=rushed.client_cpu_s / rushed.seconds,
        failures=_failures(rushed),
        cached=after.hits - before.hits,
    )


@dataclass(frozen=True, slots=True)
class _Counts:
    items: float
    batches: float
    hits: float
    cpu_s: float

    @classmethod
    def of(cls, server: Server, kind: str) -> "_Counts":
        return cls(
            server.metric(f"{BATCHES}_sum", kind=kind),
            server.metric(f"{BATCHES}_count", kind=kind),
            sum(server.metric(name, result="hit") for name in LOOKUPS),
            server.cpu_s,
        )


def _beside_nothing(server: Server, subject: Subject, effort: Effort) -> list[dict[str, Any]]:
    """Return turns of texts that are asked again and again, and of an app that does nothing."""
    asked = text_requests(subject.titles[:CACHED])
    command = [sys.executable, "-m", "benchmarks.empty", str(effort.port + 1)]
    with running(command, effort.port + 1, empty.PATH) as nothing:
        turns = []
        for _ in range(effort.turns):
            cached = rush(server.address, asked, CALLERS["cached"], effort.seconds)
            least = rush(nothing.address, [get(empty.PATH)], CALLERS["cached"], effort.seconds)
            turns.append(
                {
                    "service_per_s": cached.per_second,
                    "empty_per_s": least.per_second,
                    "ratio": cached.per_second / least.per_second,
                    "failures": _failures(cached) + _failures(least),
                }
            )
    return turns


def _failures(rushed: Rush) -> int:
    return sum(count for status, count in rushed.statuses.items() if status != 200)


def _summary(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"ratio": spread([turn["ratio"] for turn in turns]), "turns": list(turns)}
