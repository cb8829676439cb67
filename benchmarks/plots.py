"""What has been measured, as pictures: SVG, small enough for the docs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from benchmarks import record

Figures = Mapping[str, Any]


def draw(folder: Path) -> list[Path]:
    """Plot every benchmark whose figures are in `out/` into `folder`, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, (benchmark, plot) in PLOTS.items():
        figures = record.read(benchmark)
        if figures is not None:
            path = folder / f"bench-{name}.svg"
            with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):  # small, and the same each time
                figure = Figure(figsize=(5.4, 3.4), layout="constrained")
                plot(figure.add_subplot(), figures)
                figure.savefig(path, metadata={"Date": None})
            drawn.append(path)
    return drawn


def _logarithmic(*axes: Axis) -> None:
    """Give axes that are logarithmic ticks that read as plain numbers."""
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axis.set_minor_formatter(StrMethodFormatter(""))


def _latency(axes: Axes, figures: Figures) -> None:
    loads = figures["sweep"]
    offered = [load["offered_per_s"] for load in loads]
    for key, label in (("p99_ms", "p99"), ("p50_ms", "p50")):
        axes.plot(offered, [load[key] for load in loads], marker="o", label=label)
    axes.axvline(figures["saturation_per_s"], color="grey", linestyle=":", label="saturation")
    axes.set(xlabel="offered, requests a second", ylabel="milliseconds from due to answered", yscale="log")
    _logarithmic(axes.yaxis)
    axes.legend()


def _goodput(axes: Axes, figures: Figures) -> None:
    loads = figures["sweep"] + [load for turn in figures["turns"] for load in turn.values()]
    points = sorted((load["offered_per_s"], load["goodput_per_s"]) for load in loads)
    axes.plot([offered for offered, _ in points], [good for _, good in points], marker="o", label="goodput")
    axes.axhline(figures["saturation_per_s"], color="grey", linestyle=":", label="saturation")
    axes.set(xlabel="offered, requests a second", ylabel="answered in time, a second", xscale="log", ylim=(0, None))
    _logarithmic(axes.xaxis)
    axes.legend()


def _peers(axes: Axes, figures: Figures) -> None:
    for name, turns in figures["curves"].items():
        last = turns[-1]
        axes.plot([p["recall_at_10"] for p in last], [p["single"] for p in last], marker=".", label=name)
    axes.set(xlabel="recall@10", ylabel="single queries a second", yscale="log")
    _logarithmic(axes.yaxis)
    axes.legend()


def _scaling(axes: Axes, figures: Figures) -> None:
    for recipe, points in figures["points"].items():
        label = f"{recipe}: n^{figures['exponents'][recipe]:.2f}"
        axes.plot([p["vectors"] for p in points], [p["ms"]["p50"] for p in points], marker="o", label=label)
    axes.set(xlabel="vectors", ylabel="milliseconds at recall@10 ≥ 0.95", xscale="log", yscale="log")
    _logarithmic(axes.yaxis)
    axes.legend()


PLOTS: Mapping[str, tuple[str, Callable[[Axes, Figures], None]]] = {
    "latency": ("overload", _latency),
    "goodput": ("overload", _goodput),
    "peers": ("peers", _peers),
    "scaling": ("scaling", _scaling),
}
