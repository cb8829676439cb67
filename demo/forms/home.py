"""Drawn forms of the home: lamp, cushion, vase, clock."""

import math

from demo.palette import brightness, darker
from demo.pen import Pen
from demo.shapes import (
    Segment,
    both_open,
    circle,
    closed,
    ellipse,
    line,
    middle_rect,
    open_path,
    rect,
    star,
    sym,
)


def lamp(pen: Pen) -> None:
    """Draw a table lamp."""
    if pen.has("base", "tripod"):
        for path in (line(0, 116, 0, 196), line(-6, 112, -46, 202), line(6, 112, 46, 202)):
            pen.line(path, darker(pen.second, 0.5), 10)
            pen.line(path, pen.second, 7.4)
    elif pen.has("base", "ball"):
        pen.raw(middle_rect(104, 5, 40, 2))
        pen.trim(circle(0, 162, 33))
        pen.raw(middle_rect(191, 34, 10, 4))
    else:
        pen.raw(middle_rect(100, 6, 90, 2))
        for y, half in ((118, 15), (138, 21), (160, 15)):
            pen.trim(middle_rect(y, half, 19, 9))
        pen.trim(sym([(0, 180), (20, 180), (44, 186, 46, 202), (0, 202)]))
    shades = {
        "cone": sym([(0, 22), (26, 22), (70, 112), (0, 116)]),
        "drum": sym([(0, 30), (60, 30), (62, 112), (0, 116)]),
        "dome": sym([(0, 24), (76, 24, 80, 112), (0, 118)]),
    }
    shade = pen.item.details["shade"]
    pen.flat(ellipse(0, 112, 92, 30), "#ffe9a8", 0.55)
    pen.body(shades[shade])
    low = {"cone": 68.0, "drum": 61.0, "dome": 79.0}[shade]
    pen.line(both_open([(0, 114.5), (low / 2, 114, low, 111)]), pen.material.raw, 5)
    pen.season(both_open([(0, 104), (low / 2, 104, low - 5, 101)]))
    pen.emblem(0, 76, 34)


def cushion(pen: Pen) -> None:
    """Draw a cushion."""
    shape = pen.item.details["shape"]
    rx, ry = {"square": (72.0, 72.0), "round": (76.0, 76.0), "oblong": (92.0, 50.0)}[shape]
    body = (
        ellipse(0, 114, rx, ry)
        if shape == "round"
        else closed(
            [
                (-rx, 114 - ry),
                (0, 114 - ry + 14, rx, 114 - ry),
                (rx - 14, 114, rx, 114 + ry),
                (0, 114 + ry - 14, -rx, 114 + ry),
                (-rx + 14, 114, -rx, 114 - ry),
            ]
        )
    )
    corners = [(-rx, 114 - ry), (rx, 114 - ry), (rx, 114 + ry), (-rx, 114 + ry)]
    if shape == "round":
        corners = [(rx * math.cos(a), 114 + ry * math.sin(a)) for a in (math.tau * k / 8 for k in range(8))]
    if pen.has("edge", "ruffles"):
        pen.line(body, darker(pen.second, 0.3), 22, "0.1 11")
        pen.line(body, pen.second, 19, "0.1 11")
    elif pen.has("edge", "tassels"):
        for x, y in corners:
            away = math.atan2(y - 114, x)
            for turn in (-0.5, -0.17, 0.17, 0.5):
                pen.line(
                    line(
                        x * 0.94, 114 + (y - 114) * 0.94, x + 20 * math.cos(away + turn), y + 20 * math.sin(away + turn)
                    ),
                    pen.second,
                    4,
                )
            pen.button(x * 0.97, 114 + (y - 114) * 0.97, 6)
    pen.body(body)
    if pen.has("edge", "piping"):
        pen.line(body, darker(pen.second, 0.4), 9)
        pen.line(body, pen.second, 6.4)
    inner = (
        ellipse(0, 114, rx - 14, ry - 14)
        if shape == "round"
        else rect(-rx + 21, 114 - ry + 19, 2 * rx - 42, 2 * ry - 38, 14)
    )
    pen.season(inner)
    pen.emblem(rx * 0.3, 114 + ry * 0.22, 35)


def vase(pen: Pen) -> None:
    """Draw a vase."""
    shape = pen.item.details["shape"]
    halves: dict[str, list[Segment]] = {
        "bottle": [(0, 28), (13, 28), (12, 90), (52, 112, 52, 160), (50, 196, 26, 200), (0, 200)],
        "bellied": [(0, 58), (24, 58), (18, 78), (72, 90, 72, 140), (70, 190, 26, 200), (0, 200)],
        "cylinder": [(0, 46), (38, 46), (40, 196), (36, 200), (0, 200)],
        "hourglass": [(0, 46), (50, 46), (46, 86, 20, 116), (52, 150, 50, 200), (0, 200)],
    }
    rim, top = halves[shape][1][0], halves[shape][0][1]
    if pen.has("handles", "handles"):
        arcs: dict[str, list[Segment]] = {
            "bottle": [(10, 58), (52, 60, 44, 118)],
            "bellied": [(20, 74), (70, 58, 64, 106)],
            "cylinder": [(36, 72), (72, 76, 66, 108), (60, 132, 38, 130)],
            "hourglass": [(44, 66), (74, 84, 60, 120), (50, 150, 40, 148)],
        }
        pen.line(both_open(arcs[shape]), darker(pen.second, 0.45), 10.5)
        pen.line(both_open(arcs[shape]), pen.second, 8)
    pen.body(sym(halves[shape]))
    pen.trim(middle_rect(top, rim + 2, 12, 3))
    pen.flat(ellipse(0, top, rim, 5), darker(pen.second, 0.55))
    pen.line(ellipse(0, top, rim + 1, 5.5), pen.material.raw, 2.8)
    foot = {"bottle": 30.0, "bellied": 30.0, "cylinder": 40.0, "hourglass": 50.0}[shape]
    pen.trim(middle_rect(190, foot, 12, 3))
    y, half = {"bottle": (182, 44), "bellied": (182, 52), "cylinder": (182, 37), "hourglass": (182, 47)}[shape]
    pen.season(line(-half, y, half, y))
    pen.emblem(0, {"bottle": 146, "bellied": 138, "cylinder": 120, "hourglass": 158}[shape], 36)


def _frame(pen: Pen) -> None:
    shape = pen.item.details["shape"]
    if shape == "sunburst":
        pen.raw(star(0, 100, 88, 60, 16))
        pen.body(circle(0, 100, 64))
    elif shape == "square":
        pen.body(rect(-72, 28, 144, 144, 10))
        pen.line(rect(-66, 34, 132, 132, 7), pen.material.raw, 4)
    else:
        pen.body(circle(0, 100, 76))
        pen.line(circle(0, 100, 72), pen.material.raw, 4)


def clock(pen: Pen) -> None:
    """Draw a wall clock."""
    if pen.has("extra", "pendulum"):
        pen.line(line(0, 150, 22, 194), pen.material.raw, 5)
        pen.raw(circle(24, 198, 15))
    _frame(pen)
    radius = 46.0 if pen.has("shape", "sunburst") else 53.0
    pen.flat(circle(0, 100, radius), pen.second)
    pen.line(circle(0, 100, radius), pen.material.raw, 4)
    mark = "#fdfdfb" if brightness(pen.second) < 140 else "#1f2027"
    for hour in range(12):
        angle = math.tau * hour / 12
        x, y = math.sin(angle) * (radius - 10), -math.cos(angle) * (radius - 10)
        if pen.has("markers", "dots"):
            pen.flat(circle(x, 100 + y, 3.4), mark)
        else:
            pen.line(line(x, 100 + y, x * 0.76, 100 + y * 0.76), mark, 3.4)
    pen.line(line(0, 100, -18, 84) + line(0, 100, 8, 68), mark, 3.4)
    pen.season(open_path([(-48, 156), (0, 188, 48, 156)]))
    pen.emblem(0, 124, 29)
