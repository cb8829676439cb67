"""From measurements to plots: SVG whose ink takes the colour of the page, so that they read on light and dark."""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from models.gates import GroupGates
from models.measured import LevelName, Measurement
from models.metrics import Interval
from models.study.spec import Cell, ComparisonTable, GridTable, Study, SystemsTable
from models.study.store import Record
from models.study.tables import WAYS, Cells, among, cells_of, described, provenance, recall

_INK, _FAINT = "#010203", "#010204"  # stand for the page's own colour until the SVG is written
_COLOURS = ("#3f7fd0", "#e08a3c", "#3fa672", "#a86fc4", "#d0566b", "#8a8f98", "#c2a92e", "#35a7b5")
_PAGE_COLOURS = "<style>svg{color:#1f2328}@media(prefers-color-scheme:dark){svg{color:#d7dde4}}</style>"
_STYLE: dict[Any, Any] = {  # Any: matplotlib spells out the type of every one of its 300 keys
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.titlesize": 10,
    "axes.titlecolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.35,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot as SVG, and what it was made of."""

    name: str
    title: str
    svg: str
    made: str


Gates = Mapping[str, Sequence[GroupGates]]
"""System -> its gates by group."""
Curves = Mapping[str, Sequence[Sequence[float]]]
"""System -> for each seed, a figure after each epoch."""


def study_plots(study: Study, records: Sequence[Record], curves: Curves, gates: Gates, command: str) -> list[Plot]:
    """Return every plot that something was measured for."""
    cells, titles = cells_of(records), {system.name: system.title for system in study.systems}
    plots: list[Plot] = []
    for number, table in enumerate(study.tables, start=1):
        used = among(records, table.cells())
        if not used or isinstance(table, ComparisonTable):
            continue
        name = f"{number}-{'-'.join(re.findall(r'[a-z0-9]+', table.title.lower()))}"
        draw = partial(_grid, table, cells) if isinstance(table, GridTable) else partial(_systems, table, cells, titles)
        plots.append(_plot(name, table.title, draw, provenance(used, command)))
    if curves:
        made = provenance([record for record in records if record.run.system.name in curves], command)
        title = "Learning curves: R@1 on val after each epoch, mean of both ways"
        plots.append(_plot("learning-curves", title, partial(_curves, curves, titles), made))
    if gates:
        made = provenance([record for record in records if record.run.system.name in gates], command)
        title = "Mean gate of each group; whiskers hold four fifths of its values"
        plots.append(_plot("gates", title, partial(_gates, gates, titles), made))
    return plots


def _plot(name: str, title: str, draw: Callable[[], Figure], made: str) -> Plot:
    buffer = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        draw().savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor").replace(_FAINT, "currentColor")
    head, rest = text.split(">", 1)
    return Plot(name, title, f"{head}>{_PAGE_COLOURS}{rest}", made)


def _figure(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(9, height), layout="constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False, sharey=True)[0])


def _systems(table: SystemsTable, cells: Cells, titles: Mapping[str, str]) -> Figure:
    """R@1 of each system both ways, a panel for each protocol."""
    figure, panels = _figure(len(table.protocols), 1.2 + 0.42 * len(table.systems))
    places = np.arange(len(table.systems), dtype=np.float64)[::-1]
    for axes, protocol in zip(panels, table.protocols, strict=True):
        found = [cells.get(Cell(system, protocol), ()) for system in table.systems]
        for nth, (way, label) in enumerate(WAYS.items()):
            _points(
                axes, places + 0.13 - 0.26 * nth, [_at(each, table.levels[0], way, 1) for each in found], nth, label
            )
        some = next((each[0] for each in found if each), None)
        axes.set_title(protocol if some is None else described(some))
        axes.set_xlabel(f"R@1 per {table.levels[0]}, % with 95% interval")
        axes.set_xlim(left=0)
    panels[0].set_yticks(places, [titles[system] for system in table.systems])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(WAYS))
    return figure


def _points(axes: Axes, places: Iterable[float], found: Sequence[Interval | None], nth: int, label: str) -> None:
    kept = [(place, each) for place, each in zip(places, found, strict=True) if each is not None]
    means = [100 * each.mean for _, each in kept]
    axes.errorbar(
        means, [place for place, _ in kept], xerr=_whiskers([each for _, each in kept]),
        fmt="o", color=_COLOURS[nth], label=label, capsize=2,
    )  # fmt: skip


def _grid(table: GridTable, cells: Cells) -> Figure:
    """R@k of the first depth over the rows, a panel for each way."""
    figure, panels = _figure(len(WAYS), 3.1)
    places, k = np.arange(len(table.rows), dtype=np.float64), table.depths[0]
    for axes, (way, title) in zip(panels, WAYS.items(), strict=True):
        for nth in range(len(table.columns)):
            texts = [row[nth] for row in table.rows.values()]
            found = [_at(cells.get(table.cell(t), ()) if t else (), table.level, way, k) for t in texts]
            kept = [(place, each) for place, each in zip(places, found, strict=True) if each is not None]
            _series(axes, table, nth, [p for p, _ in kept], [each for _, each in kept])
        axes.set_title(title)
        axes.set_xticks(places, [label.replace(" ", "\n", 2) for label in table.rows])
        axes.set_xlabel(table.row)
    panels[0].set_ylabel(f"R@{k} per {table.level}, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(table.columns))
    return figure


def _series(axes: Axes, table: GridTable, nth: int, places: Sequence[float], found: Sequence[Interval]) -> None:
    means, whiskers = [100 * each.mean for each in found], _whiskers(found)
    colour, label = _COLOURS[nth % len(_COLOURS)], table.columns[nth]
    if table.plot == "line":
        axes.errorbar(places, means, yerr=whiskers, fmt="-o", color=colour, label=label, capsize=2)
        return
    width = 0.8 / len(table.columns)
    moved = [place + width * (nth + 0.5) - 0.4 for place in places]
    axes.bar(moved, means, 0.92 * width, yerr=whiskers, color=colour, label=label, ecolor=_INK, capsize=2)


def _curves(curves: Curves, titles: Mapping[str, str]) -> Figure:
    """A line for each system over its epochs, the seeds between its edges."""
    figure, (axes,) = _figure(1, 3.4)
    for nth, (system, seeds) in enumerate(curves.items()):
        length = min(map(len, seeds))
        values = 100 * np.array([seed[:length] for seed in seeds])
        epochs, colour = np.arange(1, length + 1), _COLOURS[nth % len(_COLOURS)]
        axes.plot(epochs, values.mean(axis=0), "-o", color=colour, label=titles[system], markersize=3)
        axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, linewidth=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("R@1, %")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


def _gates(gates: Gates, titles: Mapping[str, str]) -> Figure:
    """A bar for each group of each system."""
    groups = list(dict.fromkeys(each.group for found in gates.values() for each in found))
    figure, (axes,) = _figure(1, 2.8)
    width = 0.8 / len(gates)
    for nth, (system, found) in enumerate(gates.items()):
        places = [groups.index(each.group) + width * (nth + 0.5) - 0.4 for each in found]
        means = [each.mean for each in found]
        whiskers = [[max(0.0, e.mean - e.low) for e in found], [max(0.0, e.high - e.mean) for e in found]]
        axes.bar(
            places, means, 0.92 * width, yerr=whiskers,
            color=_COLOURS[nth % len(_COLOURS)], label=titles[system], ecolor=_INK, capsize=2,
        )  # fmt: skip
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylim(0, 1)
    axes.set_ylabel("gate")
    axes.legend()
    return figure


def _at(measurements: Sequence[Measurement], level: LevelName, way: str, k: int) -> Interval | None:
    return recall(measurements, level, way, k) if measurements else None


def _whiskers(found: Sequence[Interval]) -> list[list[float]]:
    return [[100 * (each.mean - each.low) for each in found], [100 * (each.high - each.mean) for each in found]]
