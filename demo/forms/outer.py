"""Drawn forms of outerwear: jacket and coat."""

from demo.forms.torso import Cut, cuffs, dressed
from demo.palette import darker
from demo.pen import Pen
from demo.shapes import both, both_open, closed, line, middle_rect, rect, sym


def _collar(pen: Pen, kind: str) -> None:
    """Draw the collar of a jacket or coat, seen from the front or the back."""
    if kind == "hood":
        pen.body(sym([(0, 16), (36, 16, 40, 50), (30, 66), (14, 74, 0, 76)]))
        if not pen.back:
            pen.trim(sym([(0, 28), (23, 28, 25, 52), (14, 68, 0, 70)]))
    elif kind == "stand":
        pen.trim(closed([(-22, 26), (22, 26), (26, 56), (-26, 56)]))
        pen.line(line(-23, 41, 23, 41), darker(pen.second, 0.4))
    elif kind == "ribbed" or pen.back:
        pen.trim(closed([(-24, 36), (-8, 28, 8, 28, 24, 36), (22, 54), (8, 48, -8, 48, -22, 54)]))
        pen.line("".join(line(x, 36, x, 48) for x in range(-18, 20, 6)), darker(pen.second, 0.4), 1.3)
    elif kind == "shawl":
        pen.trim(both([(0, 128), (4, 60), (20, 34), (36, 50, 34, 84), (22, 110, 0, 128)]))
    else:
        pen.trim(both([(0, 116), (6, 58), (20, 34), (34, 46), (42, 70), (30, 72), (36, 84)]))


def jacket(pen: Pen) -> None:
    """Draw a hip-length jacket."""
    details = pen.item.details
    cut = Cut(neck="high", sleeves="long", armpit=52, waist=50, hem=48, hem_y=172, loose=1)
    dressed(pen, cut)
    cuffs(pen, "long", 1, 12)
    pen.trim(middle_rect(168, 49, 13, 3))
    pen.season(line(-48, 163, 48, 163))
    if pen.back:
        pen.line(line(-48, 80, 48, 80), opacity=0.7)
        _collar(pen, details["collar"])
        pen.emblem(0, 108, 34)
        return
    if pen.has("closure", "zip"):
        pen.zip(line(0, 52, 0, 180))
    else:
        pen.line(line(-6, 54, -6, 180) + line(6, 54, 6, 180))
        for y in range(66, 180, 18):
            pen.button(0, y, 4, pen.hardware)
    _collar(pen, details["collar"])
    if pen.has("pockets", "patch"):
        pen.body(rect(-42, 124, 28, 28, 3) + rect(14, 124, 28, 28, 3))
        pen.line(line(-42, 132, -14, 132) + line(14, 132, 42, 132))
    elif pen.has("pockets", "slanted"):
        pen.line(both_open([(20, 150), (38, 124)]), darker(pen.main, 0.7), 7)
        pen.line(both_open([(20, 150), (38, 124)]), pen.hardware, 3)
    pen.emblem(27, 102)


def coat(pen: Pen) -> None:
    """Draw a coat."""
    details = pen.item.details
    hem = 206.0 if pen.has("length", "long") else 170.0
    cut = Cut(
        neck="high",
        sleeves="long",
        armpit=50,
        waist=46,
        hem=58 if hem > 190 else 52,
        waist_y=122,
        hem_y=hem - 5,
        loose=0.7,
    )
    dressed(pen, cut)
    cuffs(pen, "long", 0.7, 9)
    pen.season(both_open([(0, hem - 5), (30, hem - 5, cut.hem - 2, hem - 10)]) + both_open([(88, 168), (70, 171)]))
    if pen.back:
        pen.line(line(0, 140, 0, hem))
        _collar(pen, details["collar"])
        pen.emblem(0, 104, 34)
        return
    if pen.has("closure", "double"):
        pen.line(line(14, 70, 14, hem))
        for y in range(122, int(hem) - 8, 22):
            pen.button(-12, y, 4.6)
            pen.button(12, y, 4.6)
    elif pen.has("closure", "single"):
        pen.line(line(5, 70, 5, hem))
        for y in range(94 if pen.has("collar", "hood") else 126, int(hem) - 8, 20):
            pen.button(0, y, 4.8)
    else:
        pen.line(line(8, 70, 2, hem))
        pen.trim(middle_rect(128, 47, 11, 2))
        pen.trim(
            closed([(2, 132), (12, 134), (20, 176), (8, 178)]) + closed([(-6, 132), (4, 134), (-6, 168), (-18, 164)])
        )
        pen.trim(rect(-8, 124, 18, 19, 4))
    _collar(pen, details["collar"])
    pen.line(both_open([(20, 158), (36, 150)]), opacity=0.8)
    pen.emblem(31, 106)
