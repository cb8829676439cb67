"""The audit's plots as inline SVG: who is listed as what and judged as what, and what tells two classes apart.

Drawn without a plotting library, which is an extra, so that a page is never short of its plots. Colours come from the
page's style and suit light and dark.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.category.audit import PairDimensions
from models.report.markup import Markup, element
from models.subdimensions import CutOff

SHOWN: Final = 24  # classes of a matrix, at most
_CELL, _LEFT, _RIGHT = 26, 132, 70
_WIDE, _HIGH = 420, 96

CHART_STYLE: Final = """
.matrix text { font-size: 10px; } .matrix .count { font-size: 9px; }
.bars { fill: none; } .other { stroke: var(--none); opacity: .55; }
.cut { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 4 3; }
"""


def most_disputed(confusion: NDArray[np.int64], most: int = SHOWN) -> list[int]:
    """Return the classes that most products are listed or judged as and not both, in order, at most `most`."""
    apart = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * np.diag(confusion)
    return sorted(np.argsort(-apart, kind="stable")[:most].tolist())


def matrix(confusion: NDArray[np.int64], names: Sequence[str], shown: Sequence[int]) -> Markup:
    """Return the counts of the classes `shown`: a row for each listed, a column for each judged.

    Shades are shares of all that is listed in the row, in classes shown or not.
    """
    side = _CELL * len(shown)
    wide, top = _LEFT + side + _RIGHT, 16 + 5 * max(len(_short(names[place])) for place in shown)
    totals = confusion.sum(axis=1)
    labels, cells = [], []
    for i, listed in enumerate(shown):
        x, y = _LEFT + _CELL * i + 15, top + _CELL * i
        labels.append(element("text", _short(names[listed]), x=_LEFT - 6, y=y + 17, class_="end"))
        labels.append(element("text", _short(names[listed]), x=x, y=top - 6, transform=f"rotate(-55 {x} {top - 6})"))
        for j, judged in enumerate(shown):
            if count := int(confusion[listed, judged]):
                spoken = f"{count:,} listed as {names[listed]} and judged {names[judged]}"
                colour = "c2" if i == j else "c7"
                cells.append(_cell(_LEFT + _CELL * j, y, count, count / int(totals[listed]), colour, spoken))
    same = int(np.trace(confusion))
    return element(
        "svg",
        labels,
        cells,
        element("rect", x=_LEFT, y=top, width=side, height=side, class_="axis", fill="none"),
        viewBox=f"0 0 {wide} {top + side + 2}",
        class_="matrix",
        style=f"width:{wide}px",
        role="img",
        aria_label=f"{same:,} of {int(totals.sum()):,} products are judged as they are listed",
    )


def _cell(x: int, y: int, count: int, share: float, colour: str, spoken: str) -> Markup:
    filled = element(
        "rect", element("title", spoken), x=x + 1, y=y + 1, width=_CELL - 2, height=_CELL - 2, rx=3,
        class_=f"fill-{colour}", fill_opacity=f"{0.12 + 0.6 * math.sqrt(share):.2f}",
    )  # fmt: skip
    stated = f"{count}" if count < 1_000 else f"{count / 1_000:.0f}k"
    return Markup(filled + element("text", stated, x=x + _CELL / 2, y=y + 17, class_="count middle"))


def dimensions(found: PairDimensions, colour: str, spoken: str) -> Markup:
    """Return the score of every dimension as a line from 1 upwards, those kept in `colour`, and the cut-off."""
    cutoff, d = CutOff().score, len(found.scores)
    top = max(float(found.scores.max()), cutoff + 0.05)

    def height(score: float) -> float:
        return _HIGH * (1 - (score - 1) / (top - 1))

    def bars(which: NDArray[np.bool_]) -> str:
        places = np.flatnonzero(which).tolist()
        return "".join(f"M{_WIDE * (at + 0.5) / d:.1f} {_HIGH}V{height(float(found.scores[at])):.1f}" for at in places)

    wide = f"{max(0.5, 0.8 * _WIDE / d):.2f}"
    line = f"{height(cutoff):.1f}"
    return element(
        "svg",
        element("path", d=bars(~found.kept), stroke_width=wide, class_="bars other"),
        element("path", d=bars(found.kept), stroke_width=wide, class_=f"bars stroke-{colour}"),
        element("line", x1=0, x2=_WIDE, y1=line, y2=line, class_="cut"),
        element("line", x1=0, x2=_WIDE, y1=_HIGH, y2=_HIGH, class_="axis"),
        element("text", f"{cutoff:.2f}", x=_WIDE + 4, y=line, class_="tick"),
        element("text", f"{top:.2f}", x=_WIDE + 4, y=8, class_="tick"),
        element("text", "1", x=_WIDE + 4, y=_HIGH, class_="tick"),
        element("text", f"dimensions 1 to {d}", x=0, y=_HIGH + 13, class_="tick"),
        viewBox=f"0 -4 {_WIDE + 34} {_HIGH + 20}",
        role="img",
        aria_label=spoken,
    )


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"
