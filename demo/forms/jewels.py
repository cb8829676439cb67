"""Drawn forms of watch, sunglasses, ring, necklace and earrings: bare metal with coloured stones and dials."""

import math

from demo.palette import brightness, darker, lighter
from demo.pen import Pen
from demo.shapes import both_open, circle, closed, ellipse, line, mirror, open_path, polygon, rect, star


def _gem(pen: Pen, path: str, x: float, y: float, size: float) -> None:
    """Draw a cut stone in the first colour."""
    pen.flat(path, pen.main)
    pen.flat(polygon(x, y, size * 0.5, 6), lighter(pen.main, 0.55), 0.8)
    pen.flat(
        closed([(x - size * 0.6, y - size * 0.2), (x - size * 0.2, y - size * 0.7), (x - size * 0.1, y - size * 0.3)]),
        "#ffffff",
        0.85,
    )
    pen.line(path, "#77797f" if brightness(pen.main) < 60 else darker(pen.main, 0.5), 1.8)


def _bead(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.flat(circle(x, y, radius), pen.second)
    pen.flat(circle(x - radius * 0.3, y - radius * 0.35, radius * 0.35), "#ffffff", 0.8)
    pen.line(circle(x, y, radius), darker(pen.second, 0.45), 1.3)


def _dial_shape(kind: str, radius: float) -> str:
    if kind == "square":
        return rect(-radius, 104 - radius, 2 * radius, 2 * radius, 8)
    return polygon(0, 104, radius * 1.1, 8, 22.5) if kind == "octagonal" else circle(0, 104, radius)


def watch(pen: Pen) -> None:
    """Draw a wristwatch."""
    for top, height in ((10, 70), (128, 84)):
        strap = rect(-25, top, 50, height, 6)
        pen.body(strap)
        rows = range(top + 10, top + height - 2, 12)
        if pen.has("strap", "links"):
            pen.line("".join(line(-24, y, 24, y) for y in rows), pen.ink, 2.6)
            pen.line(line(-9, top + 2, -9, top + height - 2) + line(9, top + 2, 9, top + height - 2), pen.ink, 1.6)
        elif pen.has("strap", "perforated"):
            holes = "".join(circle(-10, y, 3.6) + circle(10, y, 3.6) for y in rows)
            pen.flat(holes, "#ffffff", 0.92)
            pen.line(holes, pen.ink, 1.2)
        else:
            pen.line(rect(-20, top + 5, 40, height - 10, 4), pen.ink, 1.6, "5 4")
    pen.raw(rect(48, 97, 13, 14, 3))
    pen.raw(_dial_shape(pen.item.details["dial"], 49))
    pen.flat(_dial_shape(pen.item.details["dial"], 38), pen.second)
    mark = "#fdfdfb" if brightness(pen.second) < 140 else "#1f2027"
    _hours(pen, mark, 31)
    if pen.has("markers", "sub-dials"):
        pen.line(circle(-15, 106, 8.5) + circle(15, 106, 8.5) + circle(0, 124, 8.5), mark, 1.8)
        pen.line(line(-15, 106, -12, 101) + line(15, 106, 19, 103) + line(0, 124, 4, 128), mark, 1.6)
    pen.line(line(0, 104, -13, 90) + line(0, 104, 10, 84), mark, 3)
    pen.tag(80, 178, 24, 150)


def _hours(pen: Pen, colour: str, radius: float) -> None:
    for hour in range(12):
        angle = math.tau * hour / 12
        sin, cos = math.sin(angle), -math.cos(angle)
        x, y = radius * sin, 104 + radius * cos
        if pen.has("markers", "dots"):
            pen.flat(circle(x, y, 3), colour)
        elif pen.has("markers", "bars") or hour % 3 == 0:
            pen.line(line(x, y, x * 0.76, 104 + radius * cos * 0.76), colour, 3)


def sunglasses(pen: Pen) -> None:
    """Draw a pair of sunglasses."""
    shape = pen.item.details["shape"]
    outlines = {
        "round": circle(45, 112, 36),
        "square": rect(10, 84, 70, 58, 8),
        "cat-eye": closed([(10, 92), (40, 80, 92, 66), (92, 110, 72, 132), (40, 150, 16, 132)]),
        "aviator": closed([(12, 86), (46, 80, 80, 86), (86, 118, 64, 142), (36, 156, 16, 128)]),
    }
    lens = outlines[shape]
    other = {
        "round": circle(-45, 112, 36),
        "square": rect(-80, 84, 70, 58, 8),
        "cat-eye": closed(mirror([(10, 92), (40, 80, 92, 66), (92, 110, 72, 132), (40, 150, 16, 132)])),
        "aviator": closed(mirror([(12, 86), (46, 80, 80, 86), (86, 118, 64, 142), (36, 156, 16, 128)])),
    }[shape]
    pair = lens + other
    pen.line(both_open([(78, 92), (98, 86, 100, 60)]), pen.material.raw, 7)
    pen.line(both_open([(78, 92), (98, 86, 100, 60)]), darker(pen.material.raw, 0.5), 1.5)
    pen.flat(pair, pen.second, 0.92)
    if pen.has("lens", "gradient"):
        pen.flat(pair, "url(#gloss)")
    else:
        pen.line(line(32, 136, 58, 90) + line(-58, 136, -32, 90), "#ffffff", 9, opacity=0.75)
        pen.line(line(50, 136, 68, 104) + line(-40, 136, -22, 104), "#ffffff", 3.5, opacity=0.75)
    bridge = open_path([(-12, 102), (0, 92, 12, 102)]) + (line(-22, 84, 22, 84) if shape == "aviator" else "")
    width = 12 if shape != "aviator" else 8
    for path, stroke in ((bridge, 8.0), (pair, float(width))):
        pen.line(path, darker(pen.main, 0.5), stroke + 2)
        pen.line(path, pen.main, stroke)
    if pen.item.pattern.value != "plain":
        pen.line(pair + bridge, "url(#pattern)" if pen.item.pattern.value != "colour-block" else "url(#block)", width)
    pen.line(pair, "url(#texture)" if pen.material.tile else "url(#sheen)", width)
    pen.raw(rect(68, 84, 12, 8, 2) + rect(-80, 84, 12, 8, 2))
    pen.tag(0, 180, 0, 100)


def ring(pen: Pen) -> None:
    """Draw a finger ring with its stone."""
    outer, inner = 58, 43
    pen.raw(circle(0, 138, outer) + circle(0, 138, inner), "evenodd")
    if pen.has("band", "twisted"):
        for k in range(24):
            a = math.tau * k / 24
            b = a + 0.22
            pen.line(
                line(inner * math.cos(a), 138 + inner * math.sin(a), outer * math.cos(b), 138 + outer * math.sin(b)),
                darker(pen.material.raw, 0.5),
                2.4,
            )
    else:
        pen.line(circle(0, 138, 50.5), pen.second, 5)
    kind = pen.item.details["stone"]
    if kind == "round":
        pen.raw(circle(0, 66, 29))
        _gem(pen, polygon(0, 66, 25, 10), 0, 66, 25)
    elif kind == "emerald":
        pen.raw(rect(-28, 40, 56, 48, 5))
        _gem(pen, rect(-23, 45, 46, 38, 7), 0, 64, 24)
    elif kind == "trio":
        for x, y, size in ((-31.0, 80.0, 14.0), (31.0, 80.0, 14.0), (0.0, 68.0, 21.0)):
            pen.raw(circle(x, y, size + 3))
            _gem(pen, polygon(x, y, size, 8), x, y, size)
    else:
        for k in range(6):
            x, y = 20 * math.sin(math.tau * k / 6), 64 - 20 * math.cos(math.tau * k / 6)
            _gem(pen, circle(x, y, 11), x, y, 11)
        _bead(pen, 0, 64, 9)
    if pen.has("band", "twisted"):
        _bead(pen, -36, 100, 6)
        _bead(pen, 36, 100, 6)
    pen.tag(82, 184, 52, 158)


def necklace(pen: Pen) -> None:
    """Draw a necklace with a pendant."""
    points = [(-72 + 144 * t, 24 + 118 * (1 - (2 * t - 1) ** 2) ** 0.8) for t in (k / 22 for k in range(23))]
    if pen.has("chain", "beads"):
        for number, (x, y) in enumerate(points):
            if number % 3 == 1:
                _bead(pen, x, y, 6)
            else:
                pen.raw(circle(x, y, 5))
    else:
        chain = open_path([*points])
        pen.line(chain, darker(pen.material.raw, 0.45), 5)
        pen.line(chain, pen.material.raw, 3.2, "5 2.5")
        for k in (4, 7, 15, 18):
            _bead(pen, *points[k], 5.5)
    kind = pen.item.details["pendant"]
    shapes = {
        "drop": "M112 146C120 162 136 172 136 186A24 24 0 0 1 88 186C88 172 104 162 112 146Z",
        "heart": "M112 204L84 176A16 16 0 0 1 112 158A16 16 0 0 1 140 176Z",
        "disc": circle(0, 176, 27),
        "bar": rect(-10, 148, 20, 62, 5),
    }
    pen.raw(circle(0, 146, 6))
    pen.raw(shapes[kind])
    pen.add('<g transform="translate(112 180) scale(.74) translate(-112 -180)">')
    pen.flat(shapes[kind], pen.main)
    pen.flat(shapes[kind], "url(#gloss)")
    pen.add("</g>")
    pen.line(shapes[kind], darker(pen.material.raw, 0.45), 1.8)
    pen.tag(74, 172, 64, 72)


def earrings(pen: Pen) -> None:
    """Draw a pair of earrings."""
    kind = pen.item.details["shape"]
    for x in (-62.0, 14.0):
        pen.line(open_path([(x, 46), (x - 2, 26, x + 8, 26), (x + 16, 30, x + 12, 44)]), pen.material.raw, 4)
        if kind == "hoops":
            pen.raw(circle(x, 98, 44) + circle(x, 98, 36), "evenodd")
            _gem(pen, circle(x, 138, 15), x, 138, 15)
            _bead(pen, x - 20, 130, 6)
            _bead(pen, x + 20, 130, 6)
        elif kind == "drops":
            pen.raw(circle(x, 56, 11))
            _bead(pen, x, 78, 7)
            pen.line(line(x, 66, x, 100), pen.material.raw, 3)
            _gem(
                pen,
                closed(
                    [
                        (x, 90),
                        (x + 8, 112, x + 22, 128, x + 20, 148),
                        (x + 18, 172, x, 172),
                        (x - 18, 172, x - 20, 148),
                        (x - 22, 128, x - 8, 112, x, 90),
                    ]
                ),
                x,
                146,
                18,
            )
            pen.line(ellipse(x, 146, 23, 29), pen.material.raw, 2.4)
        elif kind == "studs":
            pen.raw(star(x, 90, 36, 27, 6))
            for k in range(6):
                px, py = x + 19 * math.sin(math.tau * k / 6), 90 - 19 * math.cos(math.tau * k / 6)
                _gem(pen, circle(px, py, 9.5), px, py, 9.5)
            _bead(pen, x, 90, 9)
        else:
            pen.raw(closed([(x, 48), (x + 34, 92), (x - 34, 92)]))
            _gem(pen, circle(x, 76, 11), x, 76, 11)
            for k in range(-2, 3):
                low = 160 - 14 * abs(k)
                pen.line(line(x + 15 * k, 92, x + 15 * k, low), pen.main, 6)
                _bead(pen, x + 15 * k, low, 6.5)
    pen.tag(86, 176, 26, 46)
