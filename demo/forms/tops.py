"""Drawn forms of light garments for the upper body: T-shirt, top, shirt, sweater, hoodie."""

from demo.forms.torso import Cut, cuffs, dressed, half_torso, hem_line, neckband, sleeve
from demo.palette import darker, lighter
from demo.pen import Pen
from demo.shapes import both, both_open, closed, line, middle_rect, open_path, rect, sym


def t_shirt(pen: Pen) -> None:
    """Draw a T-shirt."""
    details = pen.item.details
    cut = Cut(neck=details["neckline"], sleeves=details["sleeves"], loose=0.5)
    dressed(pen, cut)
    cuffs(pen, cut.sleeves, cut.loose)
    neckband(pen, cut.neck)
    pen.season(hem_line(cut))
    if pen.back:
        pen.emblem(0, 74)
        return
    if pen.has("pockets", "chest pocket"):
        pen.trim(closed([(-33, 88), (-9, 88), (-9, 110), (-21, 117), (-33, 110)]))
    pen.emblem(19, 104)


def top(pen: Pen) -> None:
    """Draw a sleeveless top on straps."""
    hem_y = {"straight": 184, "peplum": 190, "cropped": 148}[pen.item.details["hem"]]
    neck = 72.0 if not pen.back else 60.0
    waist = 36 if pen.has("hem", "peplum") else 40
    half = [(0, neck), (14, neck, 20, 62), (34, 66), (36, 84, 44, 94)]
    if pen.has("hem", "peplum"):
        half += [(waist, 142), (50, 160, 60, hem_y), (30, hem_y + 12, 0, hem_y + 8)]
    else:
        half += [(waist, 130), (42, hem_y), (20, hem_y + 5, 0, hem_y + 5)]
    width = 5.0 if pen.has("strap", "thin") else 13.0
    if pen.has("strap", "halter"):
        straps, width = both_open([(27, 66), (16, 44, 4, 34)]), 8.0
    else:
        straps = both_open([(27, 66), (25, 50, 26, 36)])
    pen.line(straps, darker(pen.second, 0.4), width + 2)
    pen.line(straps, pen.second, width)
    pen.body(sym(half))
    pen.line(both_open([(0, neck), (14, neck, 20, 62), (34, 66)]), pen.second, 5)
    if pen.has("hem", "peplum"):
        pen.line(both_open([(0, 146), (20, 146, waist, 142)]), pen.ink, 2.5)
        pen.line(
            both_open([(12, 148), (16, 174, 22, hem_y + 4)]) + both_open([(26, 147), (36, 170, 44, hem_y)]), opacity=0.6
        )
    pen.season(both_open([(0, hem_y), (20, hem_y, 41 if waist == 40 else 56, hem_y - 5)]))
    pen.emblem(0 if pen.back else 16, 100)


def _shirt_collar(pen: Pen) -> None:
    if pen.has("collar", "band") or pen.back:
        pen.trim(closed([(-20, 40), (-8, 34, 8, 34, 20, 40), (17, 52), (6, 48, -6, 48, -17, 52)]))
    else:
        pen.trim(both([(2, 56), (20, 38), (34, 48), (22, 72)]))


def shirt(pen: Pen) -> None:
    """Draw a buttoned shirt."""
    details = pen.item.details
    cut = Cut(neck="high", sleeves=details["sleeves"], armpit=47, waist=46, hem=48, hem_y=188)
    dressed(pen, cut)
    cuffs(pen, cut.sleeves, 0.0, 10)
    pen.season(hem_line(cut))
    _shirt_collar(pen)
    if pen.back:
        pen.line(line(-44, 72, 44, 72), opacity=0.7)
        pen.emblem(0, 96)
        return
    pen.line(line(-5, 58, -5, 196) + line(5, 58, 5, 196), opacity=0.6, width=1.4)
    for y in range(68, 192, 20):
        pen.button(0, y)
    if not pen.has("pockets", "none"):
        pen.trim(rect(-36, 92, 23, 24, 3))
        pen.line(line(-36, 99, -13, 99))
    if pen.has("pockets", "two"):
        pen.trim(rect(13, 92, 23, 24, 3))
        pen.line(line(13, 99, 36, 99))
        pen.emblem(25, 138)
    else:
        pen.emblem(26, 104)


def _cables(pen: Pen) -> None:
    for x in (-30, -10):
        for y in range(78, 180, 14):
            left = open_path([(x, y), (x + 9, y + 4, x, y + 14)]) + open_path(
                [(x + 8, y), (x - 1, y + 4, x + 8, y + 14)]
            )
            pen.line(left, lighter(pen.main, 0.4), 5)
            pen.line(left, pen.ink, 1.6)


def sweater(pen: Pen) -> None:
    """Draw a knitted sweater with ribbed edges."""
    details = pen.item.details
    cut = Cut(neck=details["neckline"], sleeves="long", armpit=50, waist=50, hem=44, hem_y=180, loose=1)
    dressed(pen, cut)
    if pen.has("front", "cable") and not pen.back:
        _cables(pen)
    pen.trim(closed([(-46, 176), (46, 176), (44, 192), (-44, 192)]))
    pen.line("".join(line(x, 178, x, 190) for x in range(-40, 44, 8)), darker(pen.second, 0.35), 1.4)
    cuffs(pen, "long", 1, 13)
    if cut.neck == "high":
        pen.trim(rect(-21, 26, 42, 26, 7))
        pen.line(line(-19, 40, 19, 40), darker(pen.second, 0.35))
    else:
        neckband(pen, cut.neck, 8)
    pen.season(line(-46, 172, 46, 172))
    if pen.has("front", "half zip") and not pen.back:
        start = {"round": 61, "v": 80, "high": 34}[cut.neck]
        pen.zip(line(0, start, 0, 112))
    pen.emblem(0 if pen.back else 23, 78 if pen.back else 108)


def hoodie(pen: Pen) -> None:
    """Draw a hooded sweatshirt."""
    cut = Cut(neck="high", sleeves="long", armpit=50, waist=49, hem=46, hem_y=182, loose=1)
    hood = sym([(0, 20), (34, 20, 38, 52), (34, 66), (14, 76, 0, 76)])
    if pen.back:
        dressed(pen, cut)
        pen.body(sym([(0, 26), (38, 28, 36, 54), (20, 88, 0, 92)]))
    else:
        pen.body(hood)
        pen.trim(sym([(0, 30), (23, 30, 25, 54), (14, 70, 0, 72)]))
        pen.flat(sym([(0, 38), (16, 38, 17, 54), (10, 64, 0, 66)]), darker(pen.second, 0.6))
        dressed_body = sym([(0, 76), (24, 70, 34, 56), *half_torso(cut)[2:]])
        pen.body(both(sleeve("long", 1)[0]) + dressed_body)
    cuffs(pen, "long", 1, 12)
    pen.trim(middle_rect(178, 47, 13, 4))
    pen.season(line(-46, 174, 46, 174))
    if pen.back:
        pen.emblem(0, 122)
        return
    if pen.has("pockets", "kangaroo"):
        pen.trim(sym([(0, 138), (24, 138), (38, 166), (38, 172), (0, 172)]))
    if pen.has("front", "zip"):
        pen.zip(line(0, 76, 0, 190))
    pen.line(both_open([(8, 73), (10, 90, 8, 102)]), "#f4f1e8", 2.6)
    pen.emblem(24, 110)
