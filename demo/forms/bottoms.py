"""Drawn forms of dress, skirt, trousers and shorts."""

from demo.forms.torso import Cut, cuffs, dressed, neckband
from demo.palette import darker
from demo.pen import Pen
from demo.shapes import Segment, backwards, both, both_open, line, middle_rect, open_path, rect, sym


def _tiers(pen: Pen, top: float, bottom: float, narrow: float, wide: float) -> None:
    """Draw three ruffled tiers widening downwards."""
    step = (bottom - top) / 3
    for number in (2, 1, 0):
        y = top + step * number
        a = narrow + (wide - narrow) * number / 3
        b = narrow + (wide - narrow) * (number + 1) / 3 + 4
        low = y + step + 3
        waves: list[Segment] = [(0, low)]
        waves += [
            (b * (k + 0.5) / 4, low + (7 if k % 2 else -2), b * (k + 1) / 4, low - (2 if k == 3 else 0))
            for k in range(4)
        ]
        pen.body(sym([(0, y), (a, y), *backwards(waves)]))


def dress(pen: Pen) -> None:
    """Draw a dress."""
    details = pen.item.details
    cut = Cut(neck=details["neckline"], sleeves=details["sleeves"], armpit=40, waist=31, hem=32, waist_y=112, hem_y=118)
    if pen.has("shape", "a-line"):
        skirt = sym([(0, 114), (31, 114), (52, 160, 70, 202), (34, 214, 0, 212)])
    else:
        skirt = sym([(0, 114), (31, 114), (44, 140, 40, 206), (20, 209, 0, 209)])
    if pen.has("shape", "tiered"):
        dressed(pen, cut)
        _tiers(pen, 116, 204, 32, 58)
    else:
        dressed(pen, cut, extra=skirt)
    if pen.has("shape", "a-line"):
        pen.line(both_open([(10, 124), (18, 160, 22, 208)]) + both_open([(22, 124), (38, 160, 47, 205)]), opacity=0.45)
    if cut.sleeves != "none":
        cuffs(pen, cut.sleeves, 0, 5)
    neckband(pen, cut.neck, 4)
    pen.trim(middle_rect(110, 33, 11, 2))
    low = {"a-line": (206, 64), "straight": (202, 38), "tiered": (200, 56)}[details["shape"]]
    pen.season(both_open([(0, low[0]), (low[1] / 2, low[0] + 1, low[1], low[0] - 5)]))
    pen.emblem(0 if pen.back else 17, 78 if pen.back else 92, 31)


def skirt(pen: Pen) -> None:
    """Draw a skirt."""
    details = pen.item.details
    low = {"mini": 132.0, "midi": 168.0, "maxi": 204.0}[details["length"]]
    wide = {"pleated": 66.0, "pencil": 38.0, "a-line": 76.0, "tiered": 66.0}[details["shape"]]
    if pen.has("length", "mini"):
        wide = 38 + (wide - 38) * 0.75
    if pen.has("shape", "tiered"):
        _tiers(pen, 46, low, 36, wide)
    elif pen.has("shape", "pencil"):
        pen.body(sym([(0, 46), (36, 46), (52, 80, 46, 110), (wide, low), (0, low + 2)]))
    else:
        pen.body(
            sym([(0, 46), (36, 46), (wide * 0.75, (46 + low) / 2 - 4, wide, low - 6), (wide / 2, low + 6, 0, low + 4)])
        )
    if pen.has("shape", "pleated"):
        pen.line("".join(line(k * 8, 52, k * wide / 4.6, low - 2) for k in range(-4, 5)), darker(pen.main, 0.6), 2.4)
    pen.trim(middle_rect(38, 37, 13, 3))
    pen.season(both_open([(0, low - 4), (wide / 2, low - 3, wide - 4, low - 12)]))
    if pen.has("front", "buttons") and not pen.back:
        for y in range(62, int(low) - 8, 17):
            pen.button(0, y, 4.2)
    pen.emblem(25, 72, 31)


def _leg(kind: str, low: float) -> list[Segment]:
    bottom = {"straight": (44, 18), "wide": (66, 14), "tapered": (34, 18)}[kind]
    knee = {"straight": 45, "wide": 50, "tapered": 43}[kind]
    return [(0, 34), (34, 34), (46, 60, 47, 80), (knee, 130), (bottom[0], low), (bottom[1], low), (3, 92), (0, 92)]


def trousers(pen: Pen) -> None:
    """Draw trousers."""
    details = pen.item.details
    outline = _leg(details["leg"], 208)
    pen.body(sym([*outline[:-2], (3, 92), (0, 88)]))
    out = outline[4][0]
    stripe: list[Segment] = [(40, 44), (44, 62, 43, 82), (outline[3][0] - 4, 130), (out - 4, 206)]
    pen.line(both_open(stripe), pen.second, 4.5)
    pen.season(both_open([(out - 2, 203), (outline[5][0] + 2, 203)]))
    pen.line(line(0, 46, 0, 88))
    if pen.has("pockets", "cargo"):
        pen.body(both([(20, 116), (47, 116), (47, 146), (20, 146)]))
        pen.line(both_open([(20, 125), (47, 125)]), pen.ink, 2.4)
    pen.trim(middle_rect(28, 35, 12, 3))
    if not pen.back:
        _waist(pen, 34)
        pen.line(both_open([(18, 42), (22, 58, 40, 60)]), opacity=0.8)
    else:
        pen.line(rect(-32, 56, 22, 22, 3) + rect(10, 56, 22, 22, 3))
    pen.emblem(-21, 82)


def _waist(pen: Pen, y: float) -> None:
    if pen.has("waist", "drawstring"):
        pen.line(
            both_open([(0, y), (14, y - 6, 13, y + 8), (6, y + 10, 0, y)])
            + both_open([(0, y), (7, y + 14, 6, y + 28)]),
            "#fbf7ea",
            3.4,
        )
        pen.line(both_open([(0, y), (7, y + 14, 6, y + 28)]), "#6d665a", 0.8)
    else:
        pen.button(0, y, 5, pen.hardware)


def shorts(pen: Pen) -> None:
    """Draw shorts."""
    low = 122.0 if pen.has("length", "short") else 178.0
    half: list[Segment] = [
        (0, 50),
        (42, 50),
        (54, 84),
        (62 if low < 150 else 60, low - 4),
        (8, low + 4),
        (2, 104),
        (0, 100),
    ]
    pen.body(sym(half))
    pen.line(line(0, 62, 0, 100))
    edge = [(60.0, low - 8), (9.0, low)]
    if pen.has("hem", "rolled"):
        pen.line(both_open(edge), darker(pen.second, 0.4), 15, cap="butt")
        pen.line(both_open(edge), pen.second, 12.5, cap="butt")
    else:
        pen.line(both_open(edge), pen.second, 3.5)
    pen.season(both_open([(58, low - 20), (9, low - 13)]))
    pen.trim(middle_rect(42, 43, 14, 3))
    if not pen.back:
        _waist(pen, 49)
        pen.line(both_open([(22, 58), (26, 74, 48, 76)]), opacity=0.8)
    else:
        pen.line(open_path([(10, 72), (34, 72), (34, 94), (10, 94), (10, 72)]))
    pen.emblem(-30, 88)
