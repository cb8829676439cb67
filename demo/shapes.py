"""Outlines as SVG path data on the 224 by 224 sheet: points, mirror images, simple figures.

Colours and textures are laid on by `demo.pen`.
"""

import math
from collections.abc import Sequence

SHEET = 224
CENTRE = 112

Segment = tuple[float, ...]
"""`(x, y)` a line, `(x1, y1, x, y)` a quadratic and `(x1, y1, x2, y2, x, y)` a cubic curve."""
Outline = Sequence[Segment]
"""A start point and segments; x is counted from the vertical middle of the sheet, right is positive."""

_COMMAND = {2: "L", 4: "Q", 6: "C"}


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _pair(x: float, y: float) -> str:
    return f"{_number(x + CENTRE)} {_number(y)}"


def open_path(outline: Outline) -> str:
    """Return path data of `outline`, not closed."""
    parts = [f"M{_pair(*outline[0][-2:])}"]
    for segment in outline[1:]:
        points = [_pair(segment[i], segment[i + 1]) for i in range(0, len(segment), 2)]
        parts.append(_COMMAND[len(segment)] + " ".join(points))
    return "".join(parts)


def backwards(outline: Outline) -> list[Segment]:
    """Return the same curve walked from its end to its start."""
    result: list[Segment] = [outline[-1][-2:]]
    for number in range(len(outline) - 1, 0, -1):
        inner = outline[number][:-2]
        turned = [value for i in range(len(inner) - 2, -1, -2) for value in inner[i : i + 2]]
        result.append((*turned, *outline[number - 1][-2:]))
    return result


def mirror(outline: Outline) -> list[Segment]:
    """Return the mirror image about the middle of the sheet, walked in the same order."""
    return [tuple(-v if i % 2 == 0 else v for i, v in enumerate(segment)) for segment in outline]


def _area(outline: Outline) -> float:
    ends = [segment[-2:] for segment in outline]
    pairs = zip(ends, [*ends[1:], ends[0]], strict=True)
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs)


def closed(outline: Outline) -> str:
    """Return path data of the closed `outline`, always clockwise so that overlapping parts stay filled."""
    return open_path(outline if _area(outline) >= 0 else backwards(outline)) + "Z"


def both(outline: Outline) -> str:
    """Return `outline`, closed, and its mirror image."""
    return closed(outline) + closed(mirror(outline))


def both_open(outline: Outline) -> str:
    """Return `outline`, open, and its mirror image."""
    return open_path(outline) + open_path(mirror(outline))


def whole(half: Outline) -> list[Segment]:
    """Return the outline made of `half` (from the top middle down to the bottom middle) and its mirror image."""
    return [*half, *backwards(mirror(half))[1:]]


def sym(half: Outline) -> str:
    """Return the closed figure whose right half is `half`."""
    return closed(whole(half))


def ellipse(x: float, y: float, rx: float, ry: float) -> str:
    """Return an ellipse around the sheet point `(x + 112, y)`."""
    a, b = _number(rx), _number(ry)
    left, right = _pair(x - rx, y), _pair(x + rx, y)
    return f"M{left}A{a} {b} 0 1 1 {right}A{a} {b} 0 1 1 {left}Z"


def circle(x: float, y: float, radius: float) -> str:
    """Return a circle around the sheet point `(x + 112, y)`."""
    return ellipse(x, y, radius, radius)


def rect(x: float, y: float, width: float, height: float, radius: float = 0) -> str:
    """Return a rectangle with its top left corner at `(x + 112, y)` and rounded corners."""
    r = min(radius, width / 2, height / 2)
    if r <= 0:
        return closed([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    right, bottom = x + width, y + height
    return closed(
        [
            (x + r, y), (right - r, y), (right, y, right, y + r), (right, bottom - r),
            (right, bottom, right - r, bottom), (x + r, bottom), (x, bottom, x, bottom - r),
            (x, y + r), (x, y, x + r, y),
        ]
    )  # fmt: skip


def middle_rect(y: float, half_width: float, height: float, radius: float = 0) -> str:
    """Return a rectangle centred on the middle of the sheet."""
    return rect(-half_width, y, 2 * half_width, height, radius)


def polygon(x: float, y: float, radius: float, corners: int, turn: float = 0.0) -> str:
    """Return a regular polygon; `turn` in degrees, 0 puts a corner on top."""
    return star(x, y, radius, radius * math.cos(math.pi / corners), corners, turn)


def star(x: float, y: float, outer: float, inner: float, corners: int, turn: float = 0.0) -> str:
    """Return a star with `corners` points; `turn` in degrees, 0 puts a point on top."""
    points: list[Segment] = []
    for number in range(2 * corners):
        radius = inner if number % 2 else outer
        angle = math.radians(turn) + math.pi * number / corners
        points.append((x + radius * math.sin(angle), y - radius * math.cos(angle)))
    return closed(points)


def ring(x: float, y: float, outer: float, inner: float) -> str:
    """Return a ring; fill it with the even-odd rule."""
    return circle(x, y, outer) + circle(x, y, inner)


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a straight line."""
    return open_path([(x1, y1), (x2, y2)])
