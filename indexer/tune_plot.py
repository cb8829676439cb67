"""What tuning measured, drawn: recall against latency of every recipe, the choice marked. Needs matplotlib."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.manifest import Space
from indexer.tune import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def can_draw() -> bool:
    """Return whether matplotlib is installed: the extras `train` and `bench` bring it."""
    return find_spec("matplotlib") is not None


def draw(measured: Mapping[Space, Measured], path: Path) -> bool:
    """Draw a panel for each space into the SVG file `path`, and return whether that could be done."""
    if not can_draw():
        return False
    from matplotlib import rc_context  # noqa: PLC0415 - it need not be installed
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "tuning"}):  # small, and the same each time
        figure = Figure(figsize=(5.4 * len(measured), 3.8), layout="constrained")
        for at, (space, of_space) in enumerate(measured.items()):
            _panel(figure.add_subplot(1, len(measured), at + 1), space, of_space)
        figure.savefig(path, metadata={"Date": None})
    return True


def _panel(axes: "Axes", space: str, measured: Measured) -> None:
    for recipe in dict.fromkeys(point.recipe for point in measured.points):
        points = [point for point in measured.points if point.recipe == recipe]
        size = points[0].memory_bytes / measured.rows
        axes.plot(
            [point.recall_at_10 for point in points],
            [point.p50_ms for point in points],
            marker=".",
            label=f"{recipe}, {size:,.0f} bytes a row",
        )
    chosen = measured.chosen
    axes.plot([chosen.recall_at_10], [chosen.p50_ms], "*", color="black", markersize=12, label="chosen")
    axes.axvline(measured.target_recall_at_10, color="grey", linestyle=":")
    least = min(0.9, measured.target_recall_at_10 - 0.05, chosen.recall_at_10 - 0.02)
    axes.set(
        title=f"{space}: {measured.rows:,} rows of {measured.dimensions}",
        xlabel="recall@10",
        ylabel="milliseconds, median of single searches",
        yscale="log",
        xlim=(least, 1.002),
    )
    axes.legend(fontsize="small")
