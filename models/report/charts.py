"""The report's charts as inline SVG and HTML; colours come from the page's style, so they suit light and dark."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np

from models.compare import Comparison
from models.report.markup import Markup, element

_BINS = 20


def _n(number: float) -> str:
    return f"{number:.2f}"


def histogram(gates: Sequence[float], mean: float, colour: str) -> Markup:
    """Return how the gates of a group's values are spread over 0..1, with their mean as a line."""
    width, height = 400, 100
    counts, _ = np.histogram(gates, bins=_BINS, range=(0.0, 1.0))
    top = max(1, int(counts.max()))
    step = width / _BINS
    bars = [
        element(
            "rect", x=_n(i * step + 1), y=_n(height - 80 * count / top), width=_n(step - 2),
            height=_n(80 * count / top), class_=f"fill-{colour}", rx="1.5",
        )
        for i, count in enumerate(counts.tolist()) if count
    ]  # fmt: skip
    at = _n(mean * width)
    marks = [
        element("line", x1=at, x2=at, y1="14", y2=str(height), class_="mean"),
        element("text", f"{mean:.2f}", x=_n(min(max(mean * width, 14), width - 14)), y="10", class_="tick middle"),
        element("line", x1="0", x2=str(width), y1=str(height), y2=str(height), class_="axis"),
        element("text", "0 closed", x="0", y=str(height + 13), class_="tick"),
        element("text", "1 open", x=str(width), y=str(height + 13), class_="tick end"),
    ]
    label = f"Distribution of {len(gates)} gates, mean {mean:.2f}"
    return element("svg", bars, marks, viewBox=f"0 0 {width} {height + 18}", role="img", aria_label=label)


def interval(found: Comparison, reach: float, colour: str) -> Markup:
    """Return the interval of a difference around zero, on a scale of `reach` to either side."""
    width, height = 180, 22
    x = [_n(width / 2 * (1 + value / reach)) for value in (found.low, found.difference, found.high)]
    middle = str(height / 2)
    return element(
        "svg",
        element("line", x1=str(width / 2), x2=str(width / 2), y1="0", y2=str(height), class_="axis"),
        element("line", x1=x[0], x2=x[2], y1=middle, y2=middle, class_=f"whisker stroke-{colour}"),
        element("circle", cx=x[1], cy=middle, r="4.5", class_=f"fill-{colour}"),
        viewBox=f"0 0 {width} {height}",
        class_="interval",
        role="img",
        aria_label=f"{100 * found.difference:+.1f} points, {100 * found.low:+.1f} to {100 * found.high:+.1f}",
    )


def waterfall(parts: Mapping[str, float], colours: Mapping[str, str]) -> Markup:
    """Return one bar per term, each starting where the one above it ends, and their sum."""
    width, row, left, right = 420, 22, 108, 64
    ends = [0.0, *accumulate(parts.values())]
    low, high = min(0.0, *ends), max(0.0, *ends)
    scale = (width - left - right) / max(high - low, 1e-9)

    def x(value: float) -> float:
        return left + (value - low) * scale

    lines = [(name, start, end, colours[name]) for name, start, end in zip(parts, ends, ends[1:], strict=False)]
    lines.append(("score", 0.0, ends[-1], "sum"))
    rows = []
    for number, (name, start, end, colour) in enumerate(lines):
        y = number * row
        size = {"x": _n(min(x(start), x(end))), "width": _n(max(1.0, abs(x(end) - x(start))))}
        amount = f"{end - start:+.3f}" if name != "score" else f"{end:.3f}"
        rows += [
            element("text", _short(name), x=str(left - 8), y=str(y + 15), class_="label end"),
            element("rect", **size, y=str(y + 4), height=str(row - 8), rx="2", class_=f"fill-{colour}"),
            element("text", amount, x=_n(max(x(start), x(end)) + 6), y=str(y + 15), class_="label"),
        ]
    zero = _n(x(0.0))
    axis = element("line", x1=zero, x2=zero, y1="0", y2=str(len(lines) * row), class_="axis")
    spoken = ", ".join(f"{name} {value:+.3f}" for name, value in parts.items())
    return element(
        "svg", axis, rows, viewBox=f"0 0 {width} {len(lines) * row}", role="img", aria_label=f"{spoken}: {ends[-1]:.3f}"
    )


def _short(name: str) -> str:
    return name if len(name) <= 15 else f"{name[:14]}…"


def meter(share: float, colour: str) -> Markup:
    """Return a bar filled to `share` of 0..1."""
    filled = element("span", class_=f"fill-{colour}", style=f"width:{100 * min(max(share, 0.0), 1.0):.1f}%")
    return element("span", filled, class_="meter")
