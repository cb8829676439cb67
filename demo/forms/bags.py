"""Drawn forms of bags: backpack, handbag, clutch, suitcase."""

from demo.palette import darker
from demo.pen import Pen
from demo.shapes import Segment, both, both_open, circle, closed, ellipse, line, middle_rect, open_path, rect, sym


def backpack(pen: Pen) -> None:
    """Draw a backpack."""
    pen.line(open_path([(-16, 40), (-16, 20, 0, 20), (16, 20, 16, 40)]), pen.second, 7)
    pen.line(both_open([(46, 70), (80, 96, 62, 176)]), darker(pen.main, 0.45), 11)
    roll = pen.has("closure", "roll")
    top = 48.0 if roll else 34.0
    pen.body(sym([(0, top), (46, top, 58, 78), (60, 188), (58, 200, 44, 202), (0, 202)]))
    if pen.has("closure", "flap"):
        pen.body(sym([(0, 34), (48, 34, 58, 78), (58, 102), (40, 118, 0, 118)]))
        pen.line(both_open([(24, 60), (24, 134)]), pen.second, 8)
        pen.metal(rect(17, 118, 14, 15, 2) + rect(-31, 118, 14, 15, 2))
    elif pen.has("closure", "zip"):
        pen.zip(open_path([(-52, 104), (-54, 50, 0, 50), (54, 50, 52, 104)]))
    else:
        pen.trim(rect(-56, 34, 112, 24, 11))
        pen.line(line(-48, 46, 48, 46), darker(pen.second, 0.4))
        pen.line(line(0, 34, 0, 96), darker(pen.second, 0.4), 7)
        pen.metal(rect(-9, 88, 18, 14, 2))
    if pen.has("pockets", "one"):
        pen.trim(rect(-42, 140, 84, 52, 10))
        pen.line(line(-42, 156, 42, 156), darker(pen.second, 0.45), 2.4)
    else:
        pen.trim(rect(-50, 146, 46, 44, 8) + rect(4, 146, 46, 44, 8))
        pen.line(line(-50, 158, -4, 158) + line(4, 158, 50, 158), darker(pen.second, 0.45), 2.4)
    pen.season(line(-56, 197, 56, 197))
    pen.emblem(0, 80 if not roll else 122, 34)


def handbag(pen: Pen) -> None:
    """Draw a handbag."""
    shape = pen.item.details["shape"]
    top = 104.0
    if pen.has("handle", "handle"):
        arc = both_open([(34, top + 4), (34, 50, 0, 50)])
        pen.line(arc, darker(pen.second, 0.45), 12)
        pen.line(arc, pen.second, 9)
    elif pen.has("handle", "chain"):
        arc = both_open([(50, top + 8), (54, 34, 0, 30)])
        pen.line(arc, darker(pen.hardware, 0.45), 7)
        pen.line(arc, pen.hardware, 4.4, "6 5")
    else:
        pen.line(both_open([(54, top + 6), (90, 40, 30, 16), (14, 8, 0, 8)]), pen.second, 5)
    if shape == "trapezoid":
        body, band = (
            sym([(0, top), (52, top), (76, 192), (74, 198), (0, 198)]),
            closed([(-72, 176), (72, 176), (76, 194), (74, 198), (-74, 198), (-76, 194)]),
        )
        low = 172.0
    elif shape == "half moon":
        body, band = (
            sym([(0, top), (66, top), (88, 190, 0, 198)]),
            sym([(0, 178), (40, 174, 62, 158), (44, 196, 0, 198)]),
        )
        low = 152.0
    else:
        body, band = middle_rect(top - 8, 70, 100, 7), middle_rect(176, 70, 20, 6)
        low = 170.0
    pen.body(body)
    pen.trim(band)
    pen.line(line(-50, top + 14, 50, top + 14), pen.ink, 2.2)
    pen.metal(rect(-8, top + 6, 16, 14, 3))
    pen.season(line(-58, low, 58, low) if shape != "half moon" else line(-62, top + 4, 62, top + 4))
    pen.emblem(0, top + 46, 34)


def clutch(pen: Pen) -> None:
    """Draw an evening clutch."""
    shape = pen.item.details["shape"]
    if shape == "envelope":
        pen.body(middle_rect(76, 86, 100, 6))
        pen.body(closed([(-86, 76), (86, 76), (0, 146)]))
        pen.line(open_path([(-86, 78), (0, 146), (86, 78)]), pen.second, 5)
    elif shape == "oval":
        pen.body(ellipse(0, 126, 88, 52))
        pen.line(ellipse(0, 126, 85, 49), pen.second, 5)
        pen.line(line(-84, 114, 84, 114), pen.ink, 2)
    else:
        pen.body(sym([(0, 66), (74, 66, 92, 140), (40, 182, 0, 182)]))
        pen.line(
            "".join(line(x * 0.16, 178, x, 92 + abs(x) * 0.36) for x in (-70, -36, 0, 36, 70)), pen.ink, 2, opacity=0.7
        )
        pen.line(both_open([(0, 66), (74, 66, 91, 139)]), pen.second, 6)
    if pen.has("clasp", "ball"):
        y = {"envelope": 148, "oval": 72, "fan": 62}[shape]
        pen.metal(circle(-7, y, 8))
        pen.metal(circle(7, y - 2, 8))
    elif pen.has("clasp", "ring"):
        pen.line(line(-70, 110, -84, 70), pen.hardware, 5)
        pen.metal(circle(-84, 54, 20) + circle(-84, 54, 14), "evenodd")
    else:
        y = {"envelope": 92, "oval": 92, "fan": 88}[shape]
        pen.trim(both([(2, y), (22, y - 22, 38, y - 18), (44, y, 38, y + 18), (22, y + 22, 2, y)]))
        pen.trim(rect(-7, y - 9, 14, 18, 4))
    pen.season(
        {
            "envelope": line(-80, 171, 80, 171),
            "oval": both_open([(0, 170), (48, 168, 74, 142)]),
            "fan": both_open([(0, 176), (40, 176, 84, 142)]),
        }[shape]
    )
    pen.emblem(44, 150 if shape == "envelope" else 138, 32)


def suitcase(pen: Pen) -> None:
    """Draw a suitcase."""
    if pen.has("handle", "trolley"):
        pen.line(open_path([(-26, 70), (-26, 18), (26, 18), (26, 70)]), "#6b6f78", 7)
        pen.line(open_path([(-26, 70), (-26, 18), (26, 18), (26, 70)]), pen.hardware, 4)
        pen.flat(rect(-30, 12, 60, 11, 5), "#34363d")
    else:
        pen.line(open_path([(-20, 64), (-20, 44), (20, 44), (20, 64)]), "#34363d", 9)
    for x in (-52, 38):
        pen.flat(rect(x, 196, 14, 14, 5), "#2c2d33")
    shell: list[Segment] = [(0, 60), (54, 60), (66, 62, 66, 76), (66, 184), (66, 200, 52, 200), (0, 200)]
    pen.body(sym(shell))
    if pen.has("shell", "ribbed"):
        pen.line("".join(line(x, 68, x, 192) for x in range(-50, 51, 20)), darker(pen.main, 0.55), 3.4)
        pen.line("".join(line(x + 2.6, 68, x + 2.6, 192) for x in range(-50, 51, 20)), "#ffffff", 1.3, opacity=0.5)
        pen.line(sym(shell), pen.second, 4)
    elif pen.has("shell", "cornered"):
        pen.trim(
            both([(66, 60), (66, 92), (38, 64), (38, 60), (56, 58)])
            + both([(66, 200), (66, 168), (38, 196), (38, 200)])
        )
    else:
        pen.trim(rect(-44, 58, 15, 144, 2) + rect(29, 58, 15, 144, 2))
        pen.metal(rect(-47, 90, 21, 18, 3) + rect(26, 90, 21, 18, 3))
    pen.season(line(-60, 186, 60, 186))
    pen.emblem(0, 128, 36)
