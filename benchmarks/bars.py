"""What the figures are held to: ratios of one run on one machine, so that they mean the same on another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks import record

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bound on a figure.

    Attributes:
        name: what is judged.
        benchmark: whose figures hold it.
        value: reads it from them; None where the run did not tell.
        side: on which side of the bound it must be.
        bound: itself allowed.
    """

    name: str
    benchmark: str
    value: Callable[[Figures], float | None]
    side: Literal["at least", "at most"]
    bound: float

    def holds(self, value: float) -> bool:
        """Return whether a value is on the right side."""
        return value >= self.bound if self.side == "at least" else value <= self.bound


BARS = (
    Bar("text: service / bare loop", "throughput", lambda f: f["text"]["ratio"]["median"], "at least", 0.9),
    Bar("images: service / bare loop", "throughput", lambda f: f["image"]["ratio"]["median"], "at least", 0.85),
    Bar("cached / empty route", "throughput", lambda f: f["cached"]["ratio"]["median"], "at least", 0.6),
    Bar("p99 / p50 at 70 % of saturation", "overload", lambda f: f["p99_over_p50"], "at most", 2.5),
    Bar("goodput at 2 x saturation / peak", "overload", lambda f: f["goodput_over_peak"]["2.0"], "at least", 0.95),
    Bar("goodput at 5 x saturation / peak", "overload", lambda f: f["goodput_over_peak"]["5.0"], "at least", 0.95),
    Bar("answers after their deadline", "overload", lambda f: f["late"], "at most", 0),
    Bar("errors in swaps", "swap", lambda f: f["errors"], "at most", 0),
    Bar("mixed answers in swaps", "swap", lambda f: f["mixed_answers"], "at most", 0),
    Bar("swaps", "swap", lambda f: f["swaps"], "at least", 50),
    Bar("p99 during swaps / steady", "swap", lambda f: f["p99_ratio"], "at most", 1.5),
    Bar("memory / theory, exact", "memory", lambda f: f["indexes"]["exact"]["ratio"], "at most", 1.15),
    Bar("memory / theory, IVF-PQ refined", "memory", lambda f: f["indexes"]["ivf_pq"]["ratio"], "at most", 1.15),
    Bar("exponent of IVF", "scaling", lambda f: f["exponents"]["ivf"], "at most", 0.6),
    Bar("exponent of HNSW", "scaling", lambda f: f["exponents"]["hnsw"], "at most", 0.2),
    Bar("auto / fastest recipe at equal recall", "recipes", lambda f: f["worst_ratio"], "at most", 1.1),
    Bar("search / best peer, single", "peers", lambda f: f["ratios"]["single at 0.95"]["ratio"], "at least", 0.9),
    Bar("search / best peer, batch", "peers", lambda f: f["ratios"]["batch at 0.95"]["ratio"], "at least", 0.9),
    Bar("pipeline / slower half", "build", lambda f: f["pipeline_over_slower_half"], "at least", 0.9),
    Bar("second build / first, 1 % changed", "build", lambda f: f["second_build"]["share"], "at most", 0.1),
    Bar("killed builds with another bundle", "kills", lambda f: len(f["digests"]) - 1, "at most", 0),
    Bar("GiB of memory, whole build", "size", lambda f: f["peak_mib"] / 1024, "at most", 8),
)


def judge(bar: Bar, figures: Figures | None) -> tuple[float | None, str]:
    """Return the value that a bar judges, and the verdict on it."""
    value = None if figures is None else bar.value(figures)
    if value is None:
        return None, "not measured"
    return value, "holds" if bar.holds(value) else "MISSED"


def table() -> str:
    """Return all bars and what was measured last, as Markdown."""
    lines = ["| bar | measured | bound | |", "|---|---|---|---|"]
    for bar in BARS:
        value, verdict = judge(bar, record.read(bar.benchmark))
        shown = "" if value is None else f"{value:.3g}"
        lines.append(f"| {bar.name} | {shown} | {bar.side} {bar.bound:g} | {verdict} |")
    return "\n".join(lines)
