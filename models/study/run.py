"""Trains and measures what a study lacks, several runs at once; a run that fails does not stop the others."""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Event, Lock

import torch

from models.evaluate import Link, catalogue_linker, measure_all
from models.joining import join
from models.study.process import StoppedError, Usage, locked, run_process
from models.study.spec import Run, Study, StudyError
from models.study.store import LOG_FILE, Store, Times
from models.train.feed import Feed

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Driver:
    """Completes the runs of `study` in `store`, `jobs` at once; `report` receives a line as each starts and ends."""

    study: Study
    store: Store
    catalogue: Path
    jobs: int
    report: Report
    _stop: Event = field(default_factory=Event)
    _counting: Lock = field(default_factory=Lock)
    _linkers: dict[tuple[str, ...], Link] = field(default_factory=dict)

    def run(self, runs: Sequence[Run]) -> list[str]:
        """Complete `runs` in their order, joined ones last, and return a line for each that failed."""
        failures: list[str] = []
        done = count(1)
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                for joined in (False, True):
                    chosen = [run for run in runs if (run.system.joined is not None) is joined]
                    futures = {pool.submit(self.complete, run): run for run in chosen}
                    for future in as_completed(futures):
                        line, failed = _outcome(future)
                        line = f"{futures[future].name}: {line}"
                        failures += [line] if failed else []
                        self.report(f"[{next(done)}/{len(runs)}] {line}")
            finally:  # on an interrupt the trainings end, and what waits does not start
                self._stop.set()
                pool.shutdown(cancel_futures=True)
        return failures

    def complete(self, run: Run) -> str:
        """Train and measure what `run` lacks, and say what was done.

        Raises:
            ValueError: it cannot be done; the message says why.
        """
        self.store.folder(run).mkdir(parents=True, exist_ok=True)
        done = []
        if run.system.joined is not None and self._join(run):
            done.append(f"joined {run.system.joined}")
        if run.system.config is not None and self.store.card(run) is None:
            times = self._train(run, run.system.config)
            done.append(f"trained in {_span(times.wall_s)}, {_span(times.cpu_s)} of CPU")
        if measured := self._measure(run):
            done.append(f"measured {', '.join(measured)}")
        return "; ".join(done) or "up to date"

    def _join(self, run: Run) -> bool:
        """Join the members of `run` unless they are; say whether anything was done."""
        members = self.study.members(run.system)
        if lacking := [member.name for member in members if self.store.card(member) is None]:
            raise StudyError(f"{lacking[0]} is not trained yet")
        if self.store.is_joined(run, members):
            return False
        join([self.store.folder(member) for member in members], self.store.folder(run), run.system.title)
        return True

    def _train(self, run: Run, config: Path) -> Times:
        folder = self.store.folder(run)
        with locked(folder, self._stop) as lock, (folder / LOG_FILE).open("ab") as log:
            before = self.store.times(run)
            if self.store.card(run) is not None:  # finished by another study while this one waited
                return before
            self.report(f"{run.name}: training, see {folder / LOG_FILE}")
            self.store.save_times(run, before.started())
            command = [sys.executable, "-m", "models", "train", "--resume", "--config", str(config)]
            command += ["--catalogue", str(self.catalogue), "--out", str(folder)]
            command += [part for override in run.overrides for part in ("--set", override)]
            env = {**os.environ, "OMP_NUM_THREADS": str(_threads(self.jobs))}
            usage = run_process(command, env, log, lock, self._stop)
            times = before.ended(usage.wall_s, usage.cpu_s)
            self.store.save_times(run, times)
        self._check(folder, usage)
        return times

    def _check(self, folder: Path, usage: Usage) -> None:
        if self._stop.is_set():
            raise StoppedError("stopped; the same command goes on from its last save")
        if usage.status:
            lines = (folder / LOG_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
            last = lines[-1].removeprefix("Error: ") if lines else ""
            how = f"signal {-usage.status}" if usage.status < 0 else f"exit code {usage.status}"
            raise StudyError(f"training failed with {how}: {last}")

    def _measure(self, run: Run) -> list[str]:
        protocols = {
            name: self.study.protocols[name].on(self.store.split) for name in self.study.needed(run.system.name)
        }

        def lacking(fingerprint: str) -> list[str]:
            found = {n: self.store.measurement(run, n, protocol, fingerprint) for n, protocol in protocols.items()}
            return [name for name, measurement in found.items() if measurement is None]

        card = None if run.system.config is None else self.store.card(run)
        if card is not None and not lacking(card.fingerprint):
            return []
        torch.set_num_threads(_threads(self.jobs))  # every thread of Python has a number of its own
        encoder = self.store.encoder(run)
        names = lacking(encoder.fingerprint)
        if names:
            wanted = [protocols[name] for name in names]
            linked = any(protocol.entities == "linked" for protocol in wanted)
            link = self._linker(tuple(encoder.vocabularies)) if linked else None
            found = measure_all(encoder, Feed.open(self.catalogue), wanted, link)
            for name, measurement in zip(names, found, strict=True):
                self.store.save(run, name, measurement)
        return names

    def _linker(self, groups: tuple[str, ...]) -> Link:
        """Return the linker to `groups`; counting takes minutes on a large catalogue, so it is done once."""
        with self._counting:
            if groups not in self._linkers:
                self._linkers[groups] = catalogue_linker(Feed.open(self.catalogue), groups)
            return self._linkers[groups]


def _outcome(future: "Future[str]") -> tuple[str, bool]:
    try:
        return future.result(), False
    except (ValueError, OSError, RuntimeError) as error:  # what a run may meet, down to a device without memory
        return (str(error).splitlines() or [type(error).__name__])[0], True


def _threads(jobs: int) -> int:
    return max(1, len(os.sched_getaffinity(0)) // jobs)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
