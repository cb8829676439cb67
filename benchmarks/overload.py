"""What becomes of the service when more is asked of it than it can do: latency below saturation, goodput beyond.

Saturation is the highest goodput at any offered rate of a first sweep. Then 0.7, 2 and 5 times as much is offered, by
turns, and once a turn the rate at which the sweep had its highest: what is more is held against what was the most in
the same turn, for a machine that others share is not as fast at all times. Every request states a deadline. An answer
is good if it comes in time; one that comes later is a violation, a refusal (503) or a timeout (504) is not. The
generator is held to one core and the service to the others, so that offering more takes nothing from the service; their
ratios are what is judged.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from benchmarks.closed_loop import rush
from benchmarks.effort import Effort, split_cores
from benchmarks.open_loop import Offer, Run, offer
from benchmarks.queries import fresh_pictures, fresh_texts, picture_requests, text_requests
from benchmarks.server import running_service
from benchmarks.subject import Subject
from benchmarks.wire import DEADLINE_HEADER

DEADLINE_S = 1.0
CALLERS = 16  # of the closed loop that guesses where saturation is
FIRST, STEP, MOST_STEPS = (
    0.5,
    1.25,
    12,
)  # of the sweep: the share of the guess it begins with, and the factor from there
ENOUGH = 0.8  # the sweep ends where less of what is offered is answered in time
LOADS = (0.7, 2.0, 5.0)  # of saturation
PEAK = "peak"  # the load of the highest goodput
FRESH = 40_000
PICTURES = 2_000


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one offered rate.

    Attributes:
        offered_per_s: requests that became due.
        goodput_per_s: answered with 200 in time.
        p50_ms: of good answers, from due to answered.
        p99_ms: of them.
        late: answered with 200 after the deadline.
        latest_ms: of all answers with 200.
        unanswered: got no answer at all.
        statuses: of the answers.
        lag_p99_ms: of the generator.
        kept_up: whether the generator was fast enough for the run to count.
        generator_cores: that it kept busy.
    """

    offered_per_s: float
    goodput_per_s: float
    p50_ms: float
    p99_ms: float
    late: int
    latest_ms: float
    unanswered: int
    statuses: dict[str, int]
    lag_p99_ms: float
    kept_up: bool
    generator_cores: float

    @classmethod
    def of(cls, run: Run) -> "Load":
        """Sum up a run."""
        good = run.latency_s[run.good] * 1e3
        answered = run.latency_s[run.status == 200] * 1e3
        p50, p99 = np.percentile(good, [50, 99]) if len(good) else (np.inf, np.inf)
        return cls(
            offered_per_s=run.offered,
            goodput_per_s=run.goodput,
            p50_ms=float(p50),
            p99_ms=float(p99),
            late=run.late,
            latest_ms=float(answered.max(initial=0.0)),
            unanswered=int((run.status == 0).sum()),
            statuses={str(status): count for status, count in sorted(Counter(run.status.tolist()).items())},
            lag_p99_ms=float(np.percentile(run.lag_s, 99) * 1e3),
            kept_up=run.kept_up,
            generator_cores=run.cpu_s / run.offer.seconds,
        )


def requests_of(subject: Subject, kind: str, seed: int) -> list[bytes]:
    """Return requests that no cache has seen, with the deadline in their headers."""
    headers = {DEADLINE_HEADER: str(round(DEADLINE_S * 1e3))}
    if kind == "image":
        return picture_requests(fresh_pictures(subject.pictures, PICTURES, seed), headers)
    return text_requests(fresh_texts(subject.titles, FRESH, seed), headers)


def figures(subject: Subject, effort: Effort, kind: str = "text") -> dict[str, Any]:
    """Return the sweep, every turn beyond it, and what is judged."""
    serving, asking = split_cores()
    with running_service(subject.data_dir, subject.encoder_name, effort.port, cores=serving) as server:
        requests = requests_of(subject, kind, effort.seed)
        guess = rush(server.address, requests[: len(requests) // 4], CALLERS, effort.seconds).per_second
        # Caches hold what was asked already, so every run begins where the one before it ended.
        asked = Offer(server.address, requests, guess, effort.seconds, DEADLINE_S, effort.seed, cores=asking)
        runs = _Runs(asked, len(requests) // 4)
        sweep = _sweep(runs, guess)
        best = max(sweep, key=lambda load: load.goodput_per_s)
        saturation = best.goodput_per_s
        rates = {PEAK: best.offered_per_s, **{str(times): times * saturation for times in LOADS}}
        turns = [{name: runs.at(rate) for name, rate in rates.items()} for _ in range(effort.turns)]
    return {
        "kind": kind,
        "deadline_ms": DEADLINE_S * 1e3,
        "service_cores": len(serving) or None,
        "closed_loop_per_s": guess,
        "saturation_per_s": saturation,
        "sweep": [asdict(load) for load in sweep],
        "turns": [{times: asdict(load) for times, load in turn.items()} for turn in turns],
        **judged(turns),
    }


def _sweep(runs: "_Runs", guess: float) -> list[Load]:
    """Return loads of rising rates, until two in a row are more than the service can do."""
    loads: list[Load] = []
    for step in range(MOST_STEPS):
        loads.append(runs.at(FIRST * guess * STEP**step))
        if len(loads) > 1 and all(load.goodput_per_s < ENOUGH * load.offered_per_s for load in loads[-2:]):
            break
    return loads


class _Runs:
    """Runs one after the other, none of which asks what an earlier one asked."""

    def __init__(self, asked: Offer, begun: int) -> None:
        self._asked = asked
        self._next = begun
        self._seed = asked.seed

    def at(self, per_second: float) -> Load:
        """Offer this rate."""
        count = len(self._asked.requests)
        needed = int(per_second * self._asked.seconds * 1.2) + 100
        places = [(self._next + i) % count for i in range(min(needed, count))]
        self._next += needed
        self._seed += 1
        requests = [self._asked.requests[place] for place in places]
        return Load.of(offer(replace(self._asked, requests=requests, per_second=per_second, seed=self._seed)))


def judged(turns: Sequence[dict[str, Load]]) -> dict[str, Any]:
    """Return medians over the turns in which the generator kept up: tail over median, goodput over peak; late ones.

    The peak of a turn is the highest goodput at any of its loads.
    """
    below, *beyond = (str(times) for times in LOADS)
    fair = [turn for turn in turns if all(load.kept_up for load in turn.values())]
    peaks = [max(load.goodput_per_s for load in turn.values()) for turn in fair]
    return {
        "turns_that_count": len(fair),
        "p99_over_p50": median([turn[below].p99_ms / turn[below].p50_ms for turn in fair]) if fair else None,
        "goodput_over_peak": {
            times: median([turn[times].goodput_per_s / peak for turn, peak in zip(fair, peaks, strict=True)])
            if fair
            else None
            for times in beyond
        },
        "late": sum(load.late for turn in fair for load in turn.values()),
    }
