"""The fastest runtime of each tower that gives the same vectors, found by running them all on real texts and pictures.

Each is timed on one item and on a full batch, and has to give vectors that differ little and find the same. Which
figures are good enough is decided in `models.runtime.deciding`; searching with the vectors is left to the caller.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from models.clip import Tower, Towers
from models.encoder import Vectors
from models.encoding import blocks
from models.runtime.deciding import MIN_GAIN, Outcome, Trial, decide
from models.runtime.names import CANDIDATES, RuntimeChoice, RuntimeName, RuntimeUnavailableError, TowerKind
from models.runtime.opening import Source, device_of, why_not

BUDGET_S: Final = 15.0  # of measuring one tower; a small model takes a third of a second
_ONES: Final = 5  # items timed one by one
_BATCHES: Final = 3  # full batches timed
_LONG_S: Final = 1.5  # of timing one thing: longer, and it is timed no further
_HOPELESS: Final = 3.0  # times the fastest so far, on one item: not worth looking further

Overlap = Callable[[TowerKind, Vectors, Vectors], float]


@dataclass(frozen=True, slots=True)
class Work:
    """What a tower is measured on.

    Attributes:
        items: `(n, ...)`, real tokens or pixels on the backbone's device.
        max_batch: most of them that come at once in use.
    """

    items: Tensor
    max_batch: int


@dataclass(frozen=True, slots=True)
class Terms:
    """How runtimes are compared.

    Attributes:
        overlap: the share, in 0..1, of the ten nearest to torch's vectors `(n, d)` that are also the ten nearest to
            another runtime's; None takes cosines to be enough.
        budget_s: seconds of measuring, torch's not counted, after which no further runtime of a tower is tried.
    """

    overlap: Overlap | None = None
    budget_s: float = BUDGET_S


@dataclass(frozen=True, slots=True)
class Chosen:
    """The towers to use, and how they were found.

    Attributes:
        towers: for `with_towers` of the encoder.
        outcomes: of each tower, what became of each runtime, torch first.
        seconds: what finding them took.
    """

    towers: Towers
    outcomes: Mapping[TowerKind, tuple[Outcome, ...]]
    seconds: float

    def name(self, kind: TowerKind) -> RuntimeName:
        """Return the runtime chosen for a tower."""
        return next(outcome.runtime for outcome in self.outcomes[kind] if outcome.chosen)

    def described(self) -> dict[str, object]:
        """Return all that was found as plain values, for a log line or an answer."""
        towers = {
            str(kind): {"runtime": str(self.name(kind)), "measured": [outcome.described() for outcome in outcomes]}
            for kind, outcomes in self.outcomes.items()
        }
        return {**towers, "seconds": round(self.seconds, 3)}


DEFAULT_TERMS: Final = Terms()


def choose(
    source: Source, work: Mapping[TowerKind, Work], choice: RuntimeChoice, terms: Terms = DEFAULT_TERMS
) -> Chosen:
    """Return the fastest exact runtime of each tower.

    Args:
        source: what towers are opened from.
        work: of each tower, what to measure it on; one without items stays with torch.
        choice: what may be chosen; a runtime asked for by name need not be faster than torch.
        terms: how they are compared.
    """
    began = time.perf_counter()
    found = {kind: _Bench(source, kind, work[kind], choice, terms, terms.budget_s).best() for kind in TowerKind}
    towers = Towers(text=found[TowerKind.TEXT][0], image=found[TowerKind.IMAGE][0])
    return Chosen(towers, {kind: outcomes for kind, (_, outcomes) in found.items()}, time.perf_counter() - began)


@dataclass(slots=True)
class _Bench:
    """The measuring of one tower."""

    source: Source
    kind: TowerKind
    work: Work
    choice: RuntimeChoice
    terms: Terms
    left_s: float
    exact: Vectors = field(init=False)

    @property
    def free(self) -> bool:
        """Whether the fastest is looked for, and not one that was named."""
        return self.choice is RuntimeChoice.AUTO

    @torch.inference_mode()
    def best(self) -> tuple[Tower, tuple[Outcome, ...]]:
        """Return the tower to use and what became of each runtime."""
        eager = self.source.open(RuntimeName.TORCH, self.kind, self.work.max_batch)
        if not len(self.work.items):
            return eager, self._decide([Trial(RuntimeName.TORCH)])
        self.exact = self._vectors(eager)
        trials, towers = [self._timed(Trial(RuntimeName.TORCH, cosine=1.0), eager)], {RuntimeName.TORCH: eager}
        self.left_s = self.terms.budget_s  # what torch took is not counted: there must be something to compare with
        for name in self._candidates():
            trial, tower = self._tried(name, trials)
            trials.append(trial)
            if tower is not None and trial.exact:
                towers[name] = tower
        outcomes = self._decide(trials)
        return towers[next(outcome.runtime for outcome in outcomes if outcome.chosen)], outcomes

    def _candidates(self) -> list[RuntimeName]:
        """Return the runtimes to try; those for other devices only if they were asked for by name."""
        here = {None, self.source.backbone.device.type}
        return [name for name in CANDIDATES[self.choice] if not self.free or device_of(name) in here]

    def _decide(self, trials: Sequence[Trial]) -> tuple[Outcome, ...]:
        return decide(trials, MIN_GAIN if self.free else 0.0)

    def _tried(self, name: RuntimeName, before: Sequence[Trial]) -> tuple[Trial, Tower | None]:
        """Return what is found out about a runtime, and its tower if it runs."""
        if name is RuntimeName.ONNX_UINT8 and any(t.exact for t in before if t.runtime is RuntimeName.ONNX_INT8):
            return Trial(name, failed=f"not needed: {RuntimeName.ONNX_INT8} is exact here"), None
        missing = why_not(name, self.source.backbone.device)
        if missing is not None or self.left_s <= 0:
            return Trial(name, failed=missing or "the time for measuring was over"), None
        began = time.perf_counter()
        try:
            tower = self.source.open(name, self.kind, self.work.max_batch)
        except RuntimeUnavailableError as error:
            return Trial(name, failed=str(error)), None
        except Exception as error:  # noqa: BLE001 - other people's runtimes, each with exceptions of its own
            return Trial(name, failed=f"cannot be opened: {_first_line(error)}"), None
        opened = Trial(name, open_ms=(time.perf_counter() - began) * 1000)
        try:
            return self._judged(opened, tower, fastest_ms=min(t.ms[1] for t in before if 1 in t.ms)), tower
        except Exception as error:  # noqa: BLE001 - as above
            return replace(opened, failed=f"does not run: {_first_line(error)}"), None

    def _judged(self, trial: Trial, tower: Tower, fastest_ms: float) -> Trial:
        """Return what is found out about a tower, cheapest first, up to what rules it out."""
        trial = replace(trial, ms={1: self._ms_of_one(tower)})
        if self.free and trial.ms[1] > _HOPELESS * fastest_ms:
            return trial
        vectors = self._vectors(tower)
        trial = replace(trial, cosine=float((vectors * self.exact).sum(axis=1).min()))
        if trial.exact and self.terms.overlap is not None:
            trial = replace(trial, overlap=self.terms.overlap(self.kind, self.exact, vectors))
        return self._timed(trial, tower) if trial.exact else trial

    def _timed(self, trial: Trial, tower: Tower) -> Trial:
        """Return `trial` with the times of one item and of a full batch."""
        rows = torch.arange(self.work.max_batch) % len(self.work.items)
        batch = self.work.items[rows.to(self.work.items.device)]
        one = trial.ms.get(1) or self._ms_of_one(tower)
        return replace(trial, ms={1: one, len(batch): self._median_ms(tower, [batch] * _BATCHES)})

    def _ms_of_one(self, tower: Tower) -> float:
        items = [self.work.items[n : n + 1] for n in range(min(_ONES, len(self.work.items)))]
        self._median_ms(tower, items)  # the first run of a shape is no measure
        return self._median_ms(tower, items)

    def _median_ms(self, tower: Tower, inputs: Sequence[Tensor]) -> float:
        """Return the median milliseconds of a call, of fewer calls where they take long, but of one at least."""
        spent: list[float] = []
        for given in inputs:
            began = time.perf_counter()
            tower(given).cpu()
            spent.append(time.perf_counter() - began)
            if sum(spent) > min(_LONG_S, self.left_s):
                break
        self.left_s -= sum(spent)
        return median(spent) * 1000

    def _vectors(self, tower: Tower) -> Vectors:
        """Return `(n, d) float32`, rows unit-length: what a tower makes of all items."""
        began = time.perf_counter()
        parts = [tower(self.work.items[block]) for block in blocks(len(self.work.items), self.work.max_batch)]
        vectors: Vectors = F.normalize(torch.cat(parts), dim=-1).cpu().numpy()
        self.left_s -= time.perf_counter() - began
        return vectors


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
