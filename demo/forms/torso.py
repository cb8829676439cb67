"""The upper body of garments: neckline, shoulders, sleeves. Shared by tops, dresses and outerwear."""

from dataclasses import dataclass

from demo.palette import darker
from demo.pen import Pen
from demo.shapes import Outline, Segment, both, both_open, sym

SHOULDER = (50.0, 53.0)


@dataclass(frozen=True, slots=True)
class Cut:
    """Measures of a garment's upper body, in sheet units from the middle.

    Attributes:
        neck: `round`, `v`, `square` or `high`.
        sleeves: `none`, `short`, `elbow` or `long`.
        armpit: half width under the arms.
        waist: half width at `waist_y`.
        hem: half width at `hem_y`.
        loose: how far sleeves stand off, 0..1.
    """

    neck: str = "round"
    sleeves: str = "short"
    armpit: float = 46
    waist: float = 44
    hem: float = 46
    waist_y: float = 130
    hem_y: float = 190
    loose: float = 0.0


def neck_curve(neck: str, *, back: bool = False) -> list[Segment]:
    """Return the right half of a neckline, from the middle to the shoulder."""
    if back or neck == "high":
        return [(0, 46), (12, 46, 19, 40)]
    if neck == "v":
        return [(0, 80), (19, 40)]
    if neck == "square":
        return [(0, 68), (22, 68), (22, 40)]
    return [(0, 60), (17, 60, 20, 40)]


def sleeve(length: str, loose: float = 0.0) -> tuple[list[Segment], list[Segment]]:
    """Return the right sleeve and the line of its cuff (outer end first)."""
    sx, sy = SHOULDER
    ends = {
        "short": ((80, 96), (60, 108)),
        "elbow": ((86, 128), (64, 135)),
        "long": ((90, 180), (68, 184)),
    }
    (ox, oy), (ix, iy) = ends[length]
    outer, inner = (ox + 6 * loose, oy), (ix - 2 * loose, iy)
    outline: list[Segment] = [(sx, sy), (sx + 20, sy + 8, *outer), inner, (54, 100, 46, 92)]
    return outline, [outer, inner]


def half_torso(cut: Cut, *, back: bool = False) -> list[Segment]:
    """Return the right half of the torso without sleeves, from the neckline's middle to the hem's middle."""
    if cut.sleeves == "none":
        side: list[Segment] = [(38, 46), (34, 74, cut.armpit, 92)]
    else:
        side = [SHOULDER, (48, 74, cut.armpit, 92)]
    return [
        *neck_curve(cut.neck, back=back),
        *side,
        (cut.waist, cut.waist_y),
        (cut.waist, (cut.waist_y + cut.hem_y) / 2, cut.hem, cut.hem_y),
        (cut.hem / 2, cut.hem_y + 5, 0, cut.hem_y + 5),
    ]


def dressed(pen: Pen, cut: Cut, extra: str = "") -> None:
    """Draw torso and sleeves in one piece of cloth; `extra` is more path data of the same cloth."""
    pen.flat(sym([(0, 36), (14, 36, 21, 40), *neck_curve(cut.neck, back=pen.back)[::-1]]), darker(pen.main, 0.55))
    path = sym(half_torso(cut, back=pen.back)) + extra
    if cut.sleeves != "none":
        path = both(sleeve(cut.sleeves, cut.loose)[0]) + path
    pen.body(path)


def neckband(pen: Pen, neck: str, width: float = 5.5) -> None:
    """Bind the neckline in the second colour."""
    path = both_open(neck_curve(neck, back=pen.back))
    pen.line(path, darker(pen.second, 0.4), width + 2)
    pen.line(path, pen.second, width)


def cuffs(pen: Pen, length: str, loose: float = 0.0, width: float = 7) -> None:
    """Edge the sleeves in the second colour."""
    edge = sleeve(length, loose)[1]
    pen.line(both_open(edge), darker(pen.second, 0.4), width + 2, cap="butt")
    pen.line(both_open(edge), pen.second, width, cap="butt")


def hem_line(cut: Cut, rise: float = 6) -> str:
    """Return the line along the hem, `rise` above its edge."""
    half: Outline = [(0, cut.hem_y + 5 - rise), (cut.hem / 2, cut.hem_y + 5 - rise, cut.hem - 2, cut.hem_y - rise)]
    return both_open(half)
