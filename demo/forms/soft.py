"""Drawn forms of soft accessories: scarf, hat, gloves, socks, tie, belt, umbrella."""

import math

from demo.palette import darker
from demo.pen import Pen
from demo.shapes import Segment, both, both_open, circle, closed, ellipse, line, middle_rect, open_path, rect, sym


def _fluff(pen: Pen, x: float, y: float, radius: float) -> None:
    """Draw a pompom."""
    pen.flat(circle(x, y, radius), pen.second)
    spokes = "".join(
        line(
            x + radius * 0.25 * math.cos(a),
            y + radius * 0.25 * math.sin(a),
            x + radius * 1.1 * math.cos(a),
            y + radius * 1.1 * math.sin(a),
        )
        for a in (math.tau * k / 14 for k in range(14))
    )
    pen.line(spokes, darker(pen.second, 0.3), 1.4)


def _scarf_end(pen: Pen, left: float, right: float, low: float) -> None:
    middle = (left + right) / 2
    pen.trim(closed([(left, low - 22), (right, low - 22), (right, low - 8), (left, low - 8)]))
    pen.season(line(left + 2, low - 28, right - 2, low - 28))
    if pen.has("ends", "fringed"):
        pen.line("".join(line(x, low, x + 1, low + 20) for x in range(int(left) + 2, int(right), 6)), pen.ink, 3)
    elif pen.has("ends", "pompoms"):
        _fluff(pen, middle, low + 10, 13)


def scarf(pen: Pen) -> None:
    """Draw a scarf, hanging or wrapped."""
    if pen.has("shape", "hanging"):
        pen.body(
            closed(
                [
                    (-44, 54),
                    (-40, 20, 0, 14),
                    (40, 20, 44, 54),
                    (46, 172),
                    (14, 172),
                    (12, 66),
                    (0, 54, -12, 66),
                    (-14, 190),
                    (-46, 190),
                ]
            )
        )
        _scarf_end(pen, 14, 46, 172)
        _scarf_end(pen, -46, -14, 190)
        pen.emblem(29, 122)
        return
    pen.body(closed([(-4, 84), (34, 84), (46, 176), (10, 180)]))
    _scarf_end(pen, 9, 45, 178)
    pen.body(ellipse(0, 66, 66, 40))
    pen.flat(ellipse(0, 50, 36, 15), darker(pen.main, 0.65))
    pen.line(
        open_path([(-58, 60), (-30, 96, 40, 92)]) + open_path([(-50, 84), (0, 108, 56, 72)]), pen.ink, 2.4, opacity=0.7
    )
    pen.emblem(25, 124)


def hat(pen: Pen) -> None:
    """Draw a cap, a beanie or a brimmed hat."""
    shape = pen.item.details["shape"]
    top = {"cap": 62, "beanie": 46, "brimmed": 58}[shape]
    if pen.has("topper", "pompom"):
        _fluff(pen, 0, top - 10, 17)
    if shape == "cap":
        pen.body(sym([(0, top), (58, top, 60, 138), (30, 148, 0, 148)]))
        pen.line(both_open([(0, top), (34, top + 16, 34, 144)]), opacity=0.7)
        pen.trim(closed([(-50, 132), (0, 148, 58, 132), (92, 142, 96, 162), (40, 150, -12, 160), (-40, 152, -50, 132)]))
        pen.season(open_path([(-40, 146), (10, 158, 88, 152)]))
    elif shape == "beanie":
        pen.body(sym([(0, top), (62, top + 2, 62, 132), (0, 140)]))
        pen.trim(sym([(0, 126), (66, 122), (64, 162), (40, 170, 0, 170)]))
        pen.line("".join(line(x, 130, x, 164) for x in range(-54, 60, 12)), darker(pen.second, 0.35), 2)
        pen.season(both_open([(0, 166), (36, 166, 60, 158)]))
    else:
        pen.body(ellipse(0, 146, 92, 24))
        pen.body(sym([(0, top + 8), (20, top - 4, 42, top), (50, top + 30, 54, 142), (0, 154)]))
        pen.trim(sym([(0, 128), (30, 127, 52, 122), (55, 142), (30, 150, 0, 151)]))
        pen.season(both_open([(0, 167), (50, 166, 84, 153)]))
    if pen.has("topper", "feather"):
        pen.flat(closed([(-48, 132), (-80, 92, -66, 44), (-44, 82, -42, 130)]), pen.second)
        pen.line(open_path([(-46, 132), (-62, 92, -66, 48)]), darker(pen.second, 0.5), 1.8)
    pen.emblem(0, {"cap": 112, "beanie": 104, "brimmed": 102}[shape], 34)


def gloves(pen: Pen) -> None:
    """Draw a pair of gloves."""
    kind = pen.item.details["fingers"]
    thumb = closed([(14, 118), (2, 96, 8, 84), (20, 84, 26, 104)])
    if kind == "mitten":
        hand = closed([(18, 150), (16, 60), (22, 26, 48, 26), (74, 28, 76, 64), (70, 150)])
    else:
        tip = 62.0 if kind == "fingerless" else 30.0
        drop = 0.0 if kind == "fingerless" else 10.0
        fingers = [(17.0, tip + drop), (32.0, tip), (47.0, tip), (62.0, tip + 1.4 * drop)]
        hand = closed([(18, 150), (17, 80), (77, 80), (70, 150)]) + "".join(
            rect(x, y, 14, 80, 0 if drop == 0 else 7) for x, y in fingers
        )
    for side in (1, -1):
        pen.add(f'<g transform="translate({112 + 2 * side} 0) scale({side} 1) translate(-112 0)">')
        if kind == "fingerless":
            pen.flat("".join(rect(x, 44, 12, 24, 6) for x in (18, 33, 48, 63)) + rect(4, 76, 12, 20, 6), "#e8b98f")
        pen.body(thumb + hand)
        if kind != "fingerless":
            pen.flat(closed([(6, 96), (4, 88, 9, 83), (18, 84, 20, 92)]), pen.second, 0.9)
        if pen.has("cuff", "ribbed"):
            pen.trim(rect(17, 146, 54, 34, 4))
            pen.line("".join(line(x, 150, x, 176) for x in range(24, 70, 9)), darker(pen.second, 0.4), 1.8)
        else:
            pen.trim(closed([(18, 146), (70, 146), (86, 186), (44, 194, 6, 186)]))
        pen.season(line(18, 144, 70, 144))
        pen.add("</g>")
    pen.emblem(46, 112)
    pen.emblem(-46, 112)


def socks(pen: Pen) -> None:
    """Draw a pair of socks."""
    top = {"ankle": 104.0, "crew": 68.0, "knee": 22.0}[pen.item.details["height"]]
    for shift in (-34, 26):
        x = float(shift)
        foot: list[Segment] = [
            (x - 18, top), (x + 20, top), (x + 20, 150), (x + 22, 160, x + 44, 170), (x + 62, 178, x + 58, 194),
            (x + 52, 204, x + 30, 202), (x - 10, 196, x - 18, 172),
        ]  # fmt: skip
        pen.body(closed(foot))
        pen.trim(
            closed([(x + 38, 168), (x + 62, 178, x + 58, 194), (x + 52, 204, x + 36, 202), (x + 28, 184, x + 38, 168)])
        )
        pen.trim(closed([(x - 18, 152), (x + 2, 162, x + 0, 188), (x - 14, 182, x - 18, 170)]))
        if pen.has("cuff", "frilled"):
            pen.line("".join(circle(x - 16 + 7 * k, top, 4) for k in range(6)), pen.second, 4)
        elif pen.has("cuff", "banded"):
            pen.line(line(x - 15, top + 12, x + 17, top + 12) + line(x - 15, top + 22, x + 17, top + 22), pen.second, 5)
        else:
            pen.trim(rect(x - 19, top - 5, 40, 15, 3))
            pen.line(
                "".join(line(x - 14 + 6 * k, top - 3, x - 14 + 6 * k, top + 8) for k in range(6)),
                darker(pen.second, 0.4),
                1.5,
            )
        pen.season(line(x - 16, top + 28, x + 18, top + 28))
    pen.emblem(27, max(top + 52, 142), 31)


def tie(pen: Pen) -> None:
    """Draw a necktie or a bow tie."""
    if pen.has("shape", "bow"):
        pen.body(both([(8, 104), (40, 76, 84, 70), (92, 112, 84, 152), (40, 146, 8, 120)]))
        pen.line(both_open([(14, 110), (40, 108)]) + both_open([(14, 116), (36, 124)]), pen.ink, 2)
        pen.season(both_open([(80, 78), (86, 112, 80, 144)]))
        pen.trim(rect(-14, 94, 28, 36, 8))
        pen.emblem(52, 112)
        return
    wide = 33.0 if pen.has("shape", "classic") else 17.0
    if wide > 20:
        pen.body(sym([(0, 48), (13, 48), (wide, 176), (0, 212)]))
    else:
        pen.body(sym([(0, 48), (11, 48), (wide, 204), (0, 204)]))
    pen.line(both_open([(0, 22), (26, 16), (38, 34), (14, 44)]), darker(pen.main, 0.3), 7)
    pen.trim(sym([(0, 22), (20, 22), (13, 54), (0, 57)]))
    pen.season(both_open([(0, 198 if wide > 20 else 194), (wide - 6, 170 if wide > 20 else 194)]))
    pen.emblem(0, 146)


def belt(pen: Pen) -> None:
    """Draw a coiled belt with its buckle in front."""
    band = closed([(-90, 84), (-90, 62, 0, 58), (90, 62, 90, 84), (90, 108), (90, 88, 0, 84), (-90, 88, -90, 108)])
    pen.flat(band, darker(pen.main, 0.45))
    front = closed(
        [(-90, 84), (-84, 112, 0, 116), (84, 112, 90, 84), (90, 118), (84, 146, 0, 150), (-84, 146, -90, 118)]
    )
    pen.body(front)
    edges = open_path([(-88, 90), (-80, 117, 0, 120), (80, 117, 88, 90)]) + open_path(
        [(-88, 115), (-80, 141, 0, 145), (80, 141, 88, 115)]
    )
    pen.line(edges, pen.second, 3.4)
    if pen.has("studs", "studs"):
        for k in range(-5, 6):
            if abs(k) > 1:
                pen.button(k * 15, 133 - abs(k) ** 2 * 0.62, 4.4, pen.hardware)
    pen.trim(closed([(34, 112), (45, 111), (45, 150), (34, 151)]))
    if pen.has("buckle", "square"):
        pen.metal(rect(-28, 104, 50, 56, 6) + rect(-18, 113, 30, 38, 4), "evenodd")
        pen.line(line(-24, 132, 8, 132), darker(pen.hardware, 0.3), 4)
    elif pen.has("buckle", "round"):
        pen.metal(circle(0, 132, 31) + circle(0, 132, 21), "evenodd")
        pen.line(line(-24, 132, 18, 132), darker(pen.hardware, 0.3), 4)
    else:
        pen.metal(circle(-9, 132, 25) + circle(-9, 132, 17), "evenodd")
        pen.metal(circle(9, 132, 25) + circle(9, 132, 17), "evenodd")
    pen.tag(-58, 180, -60, 140)


def umbrella(pen: Pen) -> None:
    """Draw an open umbrella."""
    pen.line(line(0, 24, 0, 182), "#8c8f98", 4.5)
    if pen.has("handle", "crook"):
        pen.line(open_path([(0, 160), (0, 186), (0, 206, 15, 206), (29, 206, 28, 188)]), darker(pen.second, 0.4), 11)
        pen.line(open_path([(0, 160), (0, 186), (0, 206, 15, 206), (29, 206, 28, 188)]), pen.second, 8)
    else:
        pen.trim(middle_rect(158, 7.5, 46, 5))
    arcs = [(92, 116), (54, 116), (18, 116)]
    half: list[Segment] = [(0, 30), (62, 30, 92, 116)]
    previous = arcs[0][0]
    for x, y in [*arcs[1:]]:
        half.append(((previous + x) / 2, 96, x, y))
        previous = x
    half.append((9, 100, 0, 101))
    pen.body(sym(half))
    ribs = both_open([(0, 30), (14, 60, 18, 116)]) + both_open([(0, 30), (42, 46, 54, 116)])
    pen.line(ribs, opacity=0.6)
    border: list[Segment] = [(0, 100), (9, 100, 18, 115), (36, 96, 54, 115), (73, 96, 91, 115)]
    if pen.has("edge", "frilled"):
        for x in range(-90, 91, 9):
            pen.flat(circle(x, 113 - 5 * abs(math.sin(x / 11.6)), 7), pen.second)
    pen.line(both_open(border), pen.second, 4)
    pen.season(both_open([(0, 90), (50, 88, 86, 104)]))
    pen.emblem(0, 68, 33)
