"""Drawn forms of the kitchen: mug, pot, kettle, bowl, bottle."""

from demo.palette import darker, lighter
from demo.pen import Pen
from demo.shapes import Segment, both_open, circle, closed, ellipse, line, middle_rect, open_path, rect, sym


def _tube(pen: Pen, path: str, width: float) -> None:
    """Draw a handle as a thick line in the second colour."""
    pen.line(path, darker(pen.second, 0.5), width + 2.4)
    pen.line(path, pen.second, width)
    pen.line(path, lighter(pen.second, 0.55), width * 0.22, opacity=0.8)


def mug(pen: Pen) -> None:
    """Draw a mug."""
    shape = pen.item.details["shape"]
    if pen.has("handle", "round"):
        _tube(pen, open_path([(42, 84), (96, 74, 92, 120), (88, 160, 40, 154)]), 12)
    else:
        _tube(pen, open_path([(42, 88), (84, 88), (80, 150), (40, 150)]), 12)
    halves: dict[str, list[Segment]] = {
        "straight": [(54, 60), (54, 186), (52, 196, 30, 196), (0, 196)],
        "rounded": [(46, 60), (78, 130, 48, 186), (36, 197, 20, 197), (0, 197)],
        "tapered": [(62, 60), (40, 188), (36, 196, 24, 196), (0, 196)],
    }
    rim = halves[shape][0][0]
    pen.body(sym([(0, 60), *halves[shape]]))
    pen.trim(ellipse(0, 60, rim, 12))
    pen.flat(ellipse(0, 63, rim - 7, 8), darker(pen.second, 0.5))
    pen.line(ellipse(0, 60, rim, 12), pen.material.raw, 3.4)
    low = {"straight": 54.0, "rounded": 54.0, "tapered": 42.0}[shape]
    pen.season(both_open([(0, 184), (low * 0.6, 183, low - 2, 176)]))
    pen.raw(middle_rect(192, 32, 7, 3))
    pen.emblem(-8, 128, 36)


def pot(pen: Pen) -> None:
    """Draw a cooking pot."""
    if pen.has("handle", "loops"):
        _tube(pen, both_open([(70, 122), (102, 112, 100, 136), (96, 150, 70, 144)]), 9)
    else:
        _tube(pen, open_path([(60, 128), (106, 114)]), 13)
        pen.metal(rect(62, 118, 16, 16, 3))
    pen.body(sym([(0, 108), (74, 108), (74, 176), (72, 198, 48, 198), (0, 198)]))
    if pen.has("lid", "domed"):
        pen.body(sym([(0, 58), (62, 60, 76, 106), (0, 108)]))
        knob = 50.0
    else:
        pen.body(sym([(0, 90), (60, 90), (74, 92, 76, 106), (0, 108)]))
        knob = 82.0
    pen.trim(circle(0, knob, 10))
    pen.raw(middle_rect(103, 79, 8, 4))
    pen.raw(middle_rect(193, 58, 7, 3))
    pen.season(line(-70, 120, 70, 120))
    pen.emblem(0, 154, 36)


def kettle(pen: Pen) -> None:
    """Draw a kettle with its spout to the left."""
    if pen.has("spout", "gooseneck"):
        spout = open_path([(-48, 164), (-96, 172, -76, 112), (-70, 86, -94, 80)])
        pen.line(spout, darker(pen.main, 0.5), 14.5)
        pen.line(spout, pen.main, 12)
        pen.line(spout, lighter(pen.main, 0.5), 2.4, opacity=0.8)
    else:
        pen.body(closed([(-46, 108), (-88, 88), (-94, 102), (-58, 150)]))
    if pen.has("handle", "arched"):
        _tube(pen, both_open([(52, 104), (60, 34, 0, 34)]), 10)
    else:
        _tube(pen, open_path([(50, 100), (98, 92, 92, 138), (88, 166, 62, 168)]), 11)
    pen.body(sym([(0, 84), (34, 84), (54, 96, 64, 150), (72, 186), (70, 198, 54, 198), (0, 198)]))
    pen.raw(middle_rect(80, 36, 8, 4))
    pen.body(sym([(0, 62), (28, 62, 32, 80), (0, 82)]))
    pen.trim(circle(0, 58, 8))
    pen.season(both_open([(0, 183), (50, 183, 68, 180)]))
    pen.raw(middle_rect(193, 60, 7, 3))
    pen.emblem(0, 138, 36)


def bowl(pen: Pen) -> None:
    """Draw a bowl."""
    shape = pen.item.details["shape"]
    rim, top, low = {"footed": (80.0, 92.0, 170.0), "deep": (70.0, 84.0, 196.0), "shallow": (98.0, 118.0, 186.0)}[shape]
    if pen.has("rim", "handles"):
        _tube(
            pen,
            both_open(
                [(rim - 8, top + 10), (rim + 18, top + 4, rim + 14, top + 22), (rim + 8, top + 34, rim - 14, top + 32)]
            ),
            8,
        )
    if shape == "footed":
        pen.raw(sym([(0, 166), (16, 166), (18, 186, 40, 198), (0, 199)]))
    half: list[Segment] = [(0, top), (rim, top), (rim - 2, low - 26, 34, low), (0, low + 2)]
    if shape == "deep":
        half = [(0, top), (rim, top), (rim + 4, low - 18, 44, low), (0, low + 1)]
    pen.body(sym(half))
    if pen.has("rim", "wavy"):
        count = 11
        for k in range(count):
            x = -rim + 2 * rim * (k + 0.5) / count
            pen.flat(circle(x, top + 9 * (1 - (x / rim) ** 2) ** 0.5, rim / count * 1.15), pen.material.raw)
            pen.line(
                circle(x, top + 9 * (1 - (x / rim) ** 2) ** 0.5, rim / count * 1.15), darker(pen.material.raw, 0.4), 1.4
            )
    pen.trim(ellipse(0, top, rim, 15))
    pen.flat(ellipse(0, top + 4, rim - 9, 10), darker(pen.second, 0.4), 0.8)
    pen.line(ellipse(0, top, rim, 15), pen.material.raw, 3.6)
    pen.season(both_open([(0, top + 26), (rim * 0.6, top + 25, rim - 6, top + 14)]))
    pen.emblem(0, (top + low) / 2 + 16, 34)


def bottle(pen: Pen) -> None:
    """Draw a drinking bottle."""
    shape = pen.item.details["shape"]
    halves: dict[str, list[Segment]] = {
        "slim": [(0, 52), (16, 52), (16, 62), (34, 68, 34, 92), (34, 196), (33, 203, 24, 203), (0, 203)],
        "wide": [(0, 56), (26, 56), (26, 64), (54, 68, 54, 96), (54, 192), (53, 203, 40, 203), (0, 203)],
        "waisted": [
            (0, 56),
            (20, 56),
            (20, 64),
            (46, 70, 44, 96),
            (24, 130, 44, 160),
            (46, 196),
            (44, 203, 34, 203),
            (0, 203),
        ],
    }
    neck = halves[shape][1][0]
    pen.body(sym(halves[shape]))
    foot = {"slim": 34.0, "wide": 54.0, "waisted": 45.5}[shape]
    pen.trim(middle_rect(182, foot + 0.5, 14, 2))
    pen.raw(middle_rect(52, neck + 3, 8, 3))
    if pen.has("lid", "loop"):
        pen.line(both_open([(neck - 4, 36), (neck + 6, 8, 0, 8)]), darker(pen.second, 0.4), 8)
        pen.line(both_open([(neck - 4, 36), (neck + 6, 8, 0, 8)]), pen.second, 5.6)
    elif pen.has("lid", "straw"):
        pen.line(open_path([(2, 40), (2, 14), (28, 6)]), darker(pen.main, 0.4), 8)
        pen.line(open_path([(2, 40), (2, 14), (28, 6)]), "#fdfdfb", 5.6)
    pen.trim(middle_rect(30, neck + 2, 23, 5))
    if pen.has("lid", "screw"):
        pen.line("".join(line(x, 33, x, 50) for x in range(-int(neck) + 2, int(neck), 6)), darker(pen.second, 0.5), 2)
    pen.season(line(-foot + 2, 176, foot - 2, 176))
    pen.emblem(0, 116 if shape != "waisted" else 92, 36 if shape != "slim" else 34)
