"""Which of several measured runtimes to use, and why not the others: a decision on figures alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Final

from models.runtime.names import RuntimeName

MIN_COSINE: Final = 0.999
MIN_OVERLAP: Final = 0.98
MIN_GAIN: Final = 1.1  # times as fast: less may be the noise of a machine that is shared


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found out about one runtime of a tower; it ends with the first thing that rules the runtime out.

    Attributes:
        runtime: its name.
        failed: why it could not be run, or was not tried; empty where it ran.
        open_ms: milliseconds until it was open, making its files included.
        ms: rows at once -> milliseconds of a call, the median.
        cosine: the smallest with torch's vector of the same item.
        overlap: of torch's ten nearest, the share that it finds too, in 0..1; None where nobody looked.
    """

    runtime: RuntimeName
    failed: str = ""
    open_ms: float = 0.0
    ms: Mapping[int, float] = field(default_factory=dict)
    cosine: float | None = None
    overlap: float | None = None

    @property
    def exact(self) -> bool:
        """Whether its vectors are torch's as nearly as is asked for; a cosine that is no number is not."""
        near = self.cosine is not None and self.cosine >= MIN_COSINE
        return not self.failed and near and (self.overlap is None or self.overlap >= MIN_OVERLAP)

    @property
    def nearness(self) -> tuple[float, float]:
        """How near its vectors are to torch's, the larger the nearer; float32 added up in another order is as near."""
        return (1.0 if self.overlap is None else self.overlap, round(self.cosine or 0.0, 5))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one runtime of a tower, and why."""

    trial: Trial
    chosen: bool
    reason: str

    @property
    def runtime(self) -> RuntimeName:
        """Its name."""
        return self.trial.runtime

    def described(self) -> dict[str, object]:
        """Return all of it as plain values, for a log line or an answer."""
        trial = self.trial
        return {
            "runtime": str(trial.runtime),
            "chosen": self.chosen,
            "reason": self.reason,
            "ms": {str(rows): round(ms, 3) for rows, ms in trial.ms.items()},
            "cosine": None if trial.cosine is None else round(trial.cosine, 6),
            "overlap": None if trial.overlap is None else round(trial.overlap, 4),
            "open_ms": round(trial.open_ms, 1),
        }


def decide(trials: Sequence[Trial], min_gain: float = MIN_GAIN) -> tuple[Outcome, ...]:
    """Return what becomes of each runtime: the fastest exact one is chosen, torch where none is that much faster.

    Of those that are as fast as it but for noise, the one that is nearest to torch is taken.

    Args:
        trials: torch first.
        min_gain: times as fast as torch that another has to be.
    """
    eager = trials[0]
    faster = [trial for trial in trials[1:] if trial.exact and gain(trial, eager) >= min_gain]
    most = max((gain(trial, eager) for trial in faster), default=0.0)
    fastest = [trial for trial in faster if gain(trial, eager) * MIN_GAIN >= most]
    best = max(fastest, key=lambda trial: (*trial.nearness, gain(trial, eager)), default=eager)
    return tuple(Outcome(trial, trial is best, _reason(trial, eager, best)) for trial in trials)


def gain(trial: Trial, eager: Trial) -> float:
    """Return how many times as fast as torch a runtime is: the geometric mean over what both were timed on."""
    ratios = [eager.ms[rows] / ms for rows, ms in trial.ms.items() if rows in eager.ms]
    return prod(ratios) ** (1 / len(ratios)) if ratios else 0.0


def _reason(trial: Trial, eager: Trial, best: Trial) -> str:
    if trial is eager:
        nothing = "nothing as exact is faster" if trial.ms else "nothing to measure on"
        return nothing if trial is best else ""
    if trial.failed:
        return trial.failed
    speed = f"{gain(trial, eager):.2f} times as fast as torch"
    if trial.exact:
        return speed
    if trial.cosine is None:
        return f"{speed} on one item: not looked at further"
    if not trial.cosine >= MIN_COSINE:
        return f"vectors differ: cosine {trial.cosine:.5f}, {MIN_COSINE} is asked for"
    return f"finds other products: overlap {trial.overlap:.4f}, {MIN_OVERLAP} is asked for"
