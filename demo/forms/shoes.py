"""Drawn forms of shoes, seen from the side with the toe to the right."""

from demo.palette import darker
from demo.pen import Pen
from demo.shapes import Segment, circle, closed, ellipse, line, open_path, rect


def sneakers(pen: Pen) -> None:
    """Draw a sneaker."""
    high = pen.has("height", "high")
    top = 56.0 if high else 98.0
    upper: list[Segment] = [
        (-84, 168), (-90, 130, -82, top + 4), (-60, top - 6, -32, top + 6), (-22, 112 if high else 114, 14, 126),
        (50, 138, 78, 142), (94, 150, 92, 168),
    ]  # fmt: skip
    pen.flat(
        closed([(-80, top + 6), (-58, top - 12, -32, top + 6), (-50, top + 20, -80, top + 6)]), darker(pen.second, 0.45)
    )
    pen.body(closed(upper))
    pen.trim(closed([(56, 138), (94, 138, 92, 168), (44, 168), (44, 146, 56, 138)]))
    pen.trim(closed([(-84, 168), (-88, 140, -83, 112), (-64, 116, -58, 168)]))
    if pen.has("sole", "chunky"):
        pen.flat(
            closed(
                [
                    (-94, 160),
                    (96, 160),
                    (104, 178, 92, 196),
                    (60, 188, 40, 196),
                    (0, 186, -30, 197),
                    (-66, 190, -92, 198),
                    (-102, 180, -94, 160),
                ]
            ),
            "#f4f3ee",
        )
        pen.line(open_path([(-94, 172), (-40, 182, 0, 174), (50, 182, 98, 172)]), "#a9abb3", 2.4)
        pen.line(
            closed(
                [
                    (-94, 160),
                    (96, 160),
                    (104, 178, 92, 196),
                    (60, 188, 40, 196),
                    (0, 186, -30, 197),
                    (-66, 190, -92, 198),
                    (-102, 180, -94, 160),
                ]
            ),
            "#8c8e96",
            1.6,
        )
    else:
        pen.flat(rect(-90, 166, 186, 13, 6), "#f4f3ee")
        pen.line(rect(-90, 166, 186, 13, 6), "#8c8e96", 1.6)
    if pen.has("closure", "laces"):
        rows = (
            [(-22, 102), (-8, 112), (8, 120), (24, 127)]
            if not high
            else [(-36, 72), (-28, 88), (-18, 103), (-2, 114), (16, 123)]
        )
        for x, y in rows:
            pen.line(line(x - 10, y + 12, x + 6, y - 3), "#6f6f78", 5.5)
            pen.line(line(x - 10, y + 12, x + 6, y - 3), "#ffffff", 4)
    elif pen.has("closure", "straps"):
        for x, y in ((-24, 108), (6, 121)):
            pen.trim(closed([(x - 16, y + 26), (x - 4, y - 12), (x + 14, y - 6), (x + 2, y + 32)]))
    else:
        pen.flat(closed([(-40, top + 20), (-16, 112), (-22, 144), (-44, 136)]), "#3a3c44")
        pen.line(line(-36, top + 26, -42, 134) + line(-28, 110, -34, 136) + line(-22, 116, -27, 140), "#8d909a", 1.6)
    pen.season(open_path([(-82, top + 4), (-58, top - 6, -34, top + 6)]))
    pen.emblem(-50, 134 if not high else 116)


def boots(pen: Pen) -> None:
    """Draw a boot."""
    top = {"ankle": 96.0, "calf": 62.0, "knee": 20.0}[pen.item.details["height"]]
    block = pen.has("heel", "block")
    ground = 180.0 if block else 186.0
    pen.flat(closed([(-70, top), (-40, top - 10, 6, top), (-40, top + 10, -70, top)]), darker(pen.second, 0.5))
    pen.body(
        closed(
            [
                (-70, top),
                (-66, 120, -74, ground),
                (86, ground),
                (94, 150, 54, 142),
                (18, 132, 10, 112),
                (4, 90, 6, top),
                (-30, top + 8, -70, top),
            ]
        )
    )
    pen.trim(closed([(-70, top), (-30, top + 8, 6, top), (6, top + 13), (-30, top + 21, -69, top + 13)]))
    pen.season(open_path([(-68, top + 2), (-30, top + 9, 5, top + 2)]))
    sole = "#3a2a20"
    if block:
        pen.flat(rect(-74, ground, 162, 8, 3), sole)
        pen.flat(closed([(-74, ground), (-30, ground), (-34, 206), (-70, 206)]), sole)
    else:
        pen.flat(rect(-76, ground, 166, 12, 4), sole)
    pen.line(line(-74, ground - 3, 88, ground - 3), pen.second, 4)
    if pen.has("closure", "laces"):
        for k in range(int((150 - top) // 15)):
            y = top + 24 + 13 * k
            x = 2 + max(0.0, y - 104) * 0.9
            pen.line(line(x - 24, y + 6, x + 1, y - 2), "#565660", 5)
            pen.line(line(x - 24, y + 6, x + 1, y - 2), "#fff7dd", 3.5)
    elif pen.has("closure", "zip"):
        pen.zip(line(-14, top + 22, -10, 164))
    else:
        pen.flat(closed([(-44, top + 16), (-14, top + 18), (-22, 140), (-38, 140)]), "#2f3038")
        pen.line("".join(line(x, top + 22, x * 0.6 - 12, 136) for x in (-38, -30, -22)), "#85878f", 1.5)
    pen.emblem(44, 162, 31)


def pumps(pen: Pen) -> None:
    """Draw a pump."""
    toe = pen.item.details["toe"]
    if pen.has("heel", "stiletto"):
        pen.trim(closed([(-84, 130), (-58, 140), (-70, 200), (-78, 200)]))
    elif pen.has("heel", "block"):
        pen.trim(closed([(-86, 128), (-46, 142), (-50, 200), (-82, 200)]))
    else:
        pen.trim(closed([(-86, 128), (-40, 140), (10, 176, 40, 190), (44, 200), (-84, 200)]))
    pen.flat(closed([(-78, 84), (-40, 104, 34, 150), (10, 150), (-60, 120)]), darker(pen.second, 0.45))
    end: list[Segment] = (
        [(92, 186, 100, 196), (70, 200)] if toe == "pointed" else [(92, 172, 92, 190), (90, 200, 76, 200)]
    )
    pen.body(
        closed(
            [
                (-86, 132),
                (-94, 100, -80, 82),
                (-66, 98, -50, 116),
                (-6, 150, 34, 148),
                (62, 158),
                *end,
                (42, 200),
                (0, 178, -40, 146),
                (-60, 134, -86, 132),
            ]
        )
    )
    if toe == "peep":
        pen.flat(closed([(74, 180), (94, 176, 94, 192), (84, 198, 72, 194)]), "#e8b98f")
        pen.line(closed([(74, 180), (94, 176, 94, 192), (84, 198, 72, 194)]), pen.ink, 1.6)
    pen.line(open_path([(42, 201), (70, 202), (92 if toe != "pointed" else 100, 198)]), "#3a2a20", 4)
    if pen.has("strap", "ankle strap"):
        loop = open_path([(-82, 84), (-76, 58, -44, 62), (-20, 68, -22, 80), (-40, 92, -80, 84)])
        pen.line(loop, darker(pen.second, 0.4), 9)
        pen.line(loop, pen.second, 6.5)
        pen.metal(rect(-32, 70, 13, 13, 2))
    pen.season(open_path([(-78, 86), (-66, 98, -50, 116), (-6, 150, 34, 148)]))
    pen.emblem(40, 175, 30)


def _foot_straps(pen: Pen, base: float) -> None:
    """Draw the straps over the foot down to `base`."""
    if pen.has("strap", "two bands"):
        pen.body(closed([(-54, base), (-50, 92, -22, 92), (2, 98, 4, base)]))
        pen.body(closed([(22, base), (26, 112, 52, 112), (80, 118, 86, base)]))
        pen.metal(circle(-24, 112, 6))
    elif pen.has("strap", "crossed"):
        pen.body(closed([(86, base), (64, 112, 4, 92), (-14, 106), (40, 130, 60, base)]))
        pen.body(closed([(-32, base), (-8, 106, 44, 98), (56, 112), (14, 126, -2, base)]))
    else:
        pen.body(closed([(-26, 92), (-16, 84), (44, 116), (52, 132), (34, 132)]))
        pen.body(closed([(20, base), (26, 116, 52, 116), (80, 120, 86, base)]))


def sandals(pen: Pen) -> None:
    """Draw a sandal."""
    sole = pen.item.details["sole"]
    if not pen.has("strap", "two bands"):
        loop = ellipse(-52, 98, 32, 13)
        pen.line(loop, darker(pen.main, 0.45), 11)
        pen.line(loop, pen.main, 8.5)
        pen.body(closed([(-90, 172), (-92, 130, -86, 98), (-70, 98), (-74, 130, -62, 172)]))
        pen.metal(rect(-58, 104, 14, 14, 3))
    _foot_straps(pen, 176)
    if sole == "wedge":
        pen.trim(closed([(-92, 140), (-56, 146), (10, 172, 60, 168), (96, 168), (94, 194, 72, 197), (-86, 200)]))
        pen.line(open_path([(-92, 140), (-56, 146), (10, 172, 60, 168), (96, 168)]), "#d9b68c", 7)
    else:
        pen.trim(rect(-92, 170, 188, 13 if sole == "flat" else 32, 7))
        pen.line(line(-88, 169, 92, 169), "#d9b68c", 6)
    if sole == "platform":
        pen.line(line(-88, 190, 92, 190), darker(pen.second, 0.5), 2.4)
    pen.season(line(-86, 192, 74, 190) if sole == "wedge" else line(-88, 178, 92, 178))
    x, y = {"two bands": (-24, 142), "crossed": (24, 118), "t-bar": (54, 144)}[pen.item.details["strap"]]
    pen.emblem(x, y, 31)
