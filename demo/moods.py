"""Backgrounds as SVG: a quiet studio and a lifestyle mood for each season, in several variants.

Drawn once per process and cut by `demo.picture`; each is `SIDE` units square.
"""

import math
import random

from demo.items import generator
from demo.palette import darker, lighter, mix
from demo.shapes import CENTRE, circle, ellipse, star

SIDE = 272
STUDIO_VARIANTS = 4
MOOD_VARIANTS = 6

_TINTS = {"All year": "#e9e7e4", "Spring": "#e6efdd", "Summer": "#fbeecb", "Autumn": "#f0dfca", "Winter": "#dce6f1"}


def _at(path_x: float) -> float:
    """Shapes count x from the middle of their sheet; return that offset for a plain x."""
    return path_x - CENTRE


def _gradient(name: str, top: str, bottom: str) -> str:
    return (
        f'<linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="{top}"/>'
        f'<stop offset="1" stop-color="{bottom}"/></linearGradient>'
    )


def _fill(path: str, colour: str, opacity: float = 1.0) -> str:
    return f'<path d="{path}" fill="{colour}" fill-opacity="{opacity}"/>'


def _stroke(path: str, colour: str, width: float) -> str:
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _frond(path: str, colour: str, place: tuple[int, int], turn: float) -> str:
    """Return one leaf of a plant, drawn from the origin and turned by degrees at `place`."""
    return f'<path d="{path}" fill="{colour}" transform="translate({place[0]} {place[1]}) rotate({turn})"/>'


def _leaf(x: float, y: float, size: float, turn: float, colour: str) -> str:
    return (
        f'<g transform="translate({x:.1f} {y:.1f}) rotate({turn:.0f}) scale({size / 20:.2f})">'
        f'<path d="M0 -12Q11 -4 0 14Q-11 -4 0 -12Z" fill="{colour}"/>'
        f'<path d="M0 -9V18" stroke="{darker(colour, 0.3)}" stroke-width="1.4"/></g>'
    )


def _flower(x: float, y: float, size: float, colour: str = "#f7a8c4") -> str:
    petals = "".join(
        circle(
            _at(x) + size * 0.55 * math.sin(math.tau * k / 5), y - size * 0.55 * math.cos(math.tau * k / 5), size * 0.42
        )
        for k in range(5)
    )
    return _fill(petals, colour) + _fill(circle(_at(x), y, size * 0.26), "#f6d365")


def _flake(x: float, y: float, size: float, colour: str = "#ffffff") -> str:
    arms = "".join(
        f"M{x:.1f} {y:.1f}L{x + size * math.sin(math.tau * k / 6):.1f} {y - size * math.cos(math.tau * k / 6):.1f}"
        for k in range(6)
    )
    return f'<path d="{arms}" stroke="{colour}" stroke-width="{size / 5:.1f}" stroke-linecap="round"/>'


def _props(season: str, rng: random.Random) -> str:
    """Return a few small things of the season in the lower corners."""
    parts: list[str] = []
    for side in rng.sample((0, 1, 2), 2):
        x = (38, 226, 60)[side] + rng.uniform(-8, 8)
        y = rng.uniform(208, 234) if side < 2 else rng.uniform(36, 52)
        size = rng.uniform(13, 19)
        match season:
            case "Winter":
                parts.append(_flake(x, y, size, "#ffffff") + _flake(x + 20, y - 14, size * 0.6, "#ffffff"))
            case "Autumn":
                leaves = ("#d2691e", "#c0392b", "#e0a030")
                parts.append(_leaf(x, y, size * 1.2, rng.uniform(0, 360), rng.choice(leaves)))
                parts.append(_leaf(x + 16, y + 6, size, rng.uniform(0, 360), rng.choice(leaves)))
            case "Spring":
                parts.append(_flower(x, y, size) + _flower(x + 20, y + 9, size * 0.7, "#fbd0df"))
            case "Summer":
                parts.append(
                    _fill(star(_at(x), y, size, size * 0.62, 12), "#ffc93c")
                    + _fill(circle(_at(x), y, size * 0.5), "#ffde7d")
                )
            case _:
                pass
    return "".join(parts)


def studio(season: str, variant: int) -> str:
    """Return a plain studio backdrop tinted for `season`; `variant` in `range(STUDIO_VARIANTS)`."""
    rng = generator("studio", season, variant)
    tint = mix(_TINTS[season], rng.choice(("#ffffff", "#e8e4ef", "#f5efe6", "#e4ecec")), 0.3)
    floor = rng.uniform(178, 200)
    ground = f"M0 {floor:.0f}Q136 {floor - 9:.0f} 272 {floor:.0f}V272H0Z"
    wall, shade = (lighter(tint, 0.45), tint), (lighter(tint, 0.3), darker(tint, 0.12))
    return _sheet(wall, shade, f'<path d="{ground}" fill="url(#lower)"/>{_props(season, rng)}')


def _sheet(upper: tuple[str, str], lower: tuple[str, str], content: str) -> str:
    """Return a square SVG filled with the gradient `upper`; `content` may use `url(#lower)`."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE}" height="{SIDE}">'
        f"<defs>{_gradient('upper', *upper)}{_gradient('lower', *lower)}</defs>"
        f'<rect width="{SIDE}" height="{SIDE}" fill="url(#upper)"/>{content}</svg>'
    )


def _winter(rng: random.Random) -> tuple[str, str, str]:
    parts: list[str] = []
    for k, colour in ((2, "#cfdcec"), (1, "#e3ecf6")):
        start, bend = 190 - 22 * k + rng.uniform(-8, 8), rng.uniform(40, 120)
        ridge = f"M0 {start:.0f}Q{bend:.0f} {140 - 22 * k:.0f} 150 {175 - 20 * k:.0f}T272 {165 - 16 * k:.0f}"
        parts.append(_fill(f"{ridge}V272H0Z", colour))
    for _ in range(5):
        x, y, h = rng.uniform(0, 272), rng.uniform(140, 190), rng.uniform(40, 76)
        for k in range(3):
            w, top = h * (0.24 + 0.1 * k), y - h + h * 0.24 * k
            parts.append(
                _fill(
                    f"M{x:.0f} {top:.0f}L{x + w:.0f} {top + h * 0.48:.0f}H{x - w:.0f}Z",
                    mix("#54788c", "#dfeaf2", 0.25 * (2 - k)),
                )
            )
    parts.append(_fill("M0 206Q70 184 140 202T272 196V272H0Z", "#f8fbff"))
    parts.extend(_flake(rng.uniform(0, 272), rng.uniform(0, 230), rng.uniform(3, 8)) for _ in range(34))
    return "#a9c3de", "#e4edf6", "".join(parts)


def _summer(rng: random.Random) -> tuple[str, str, str]:
    x, y = rng.uniform(40, 232), rng.uniform(34, 60)
    parts = [_fill(circle(_at(x), y, r), "#fff1a8", o) for r, o in ((52, 0.3), (38, 0.45), (25, 1))]
    parts.append(_fill("M0 138H272V200H0Z", "#4fb6d8") + _fill("M0 138H272V150H0Z", "#3b9fc9"))
    parts.extend(
        _fill(ellipse(_at(rng.uniform(0, 272)), rng.uniform(146, 186), rng.uniform(12, 30), 1.6), "#ffffff", 0.6)
        for _ in range(12)
    )
    parts.append(
        _fill("M0 196Q60 182 140 194T272 188V272H0Z", "#f3dca4")
        + _fill("M0 198Q60 184 140 196T272 190V194Q200 194 140 201T0 203Z", "#ffffff", 0.8)
    )
    palm = rng.choice((14, 258))
    parts.extend(
        _frond("M0 0Q34 -22 66 6Q34 -6 0 0Z", "#3f9d5a", (palm, 72), turn if palm < 100 else 180 + turn)
        for turn in range(-80, 90, 32)
    )
    parts.append(_stroke(f"M{palm} 72Q{palm + 8} 140 {palm - 2} 205", "#9a6b3f", 8))
    return "#8fd3f0", "#e8f7fb", "".join(parts)


def _autumn(rng: random.Random) -> tuple[str, str, str]:
    colours = ("#d9762b", "#c8452f", "#e5a93a", "#a8552a", "#d99a2b")
    parts = [
        _fill("M0 178Q80 150 150 172T272 160V272H0Z", "#b9894c")
        + _fill("M0 204Q90 186 170 202T272 196V272H0Z", "#a06d3a")
    ]
    for _ in range(6):
        x, y, r = rng.uniform(0, 272), rng.uniform(80, 128), rng.uniform(22, 36)
        parts.append(f'<path d="M{x:.0f} {y:.0f}V{y + 80:.0f}" stroke="#6b4429" stroke-width="7"/>')
        colour = rng.choice(colours)
        crowns = ((0, -0.4), (-0.55, 0.2), (0.55, 0.2), (0, 0.3))
        blob = "".join(circle(_at(x + dx * r), y + dy * r, r * 0.72) for dx, dy in crowns)
        parts.append(_fill(blob, colour, 0.95))
    parts.extend(
        _leaf(rng.uniform(0, 272), rng.uniform(10, 264), rng.uniform(10, 17), rng.uniform(0, 360), rng.choice(colours))
        for _ in range(24)
    )
    return "#f4cf9a", "#fbeed4", "".join(parts)


def _spring(rng: random.Random) -> tuple[str, str, str]:
    parts = [
        _fill("M0 186Q70 164 150 182T272 172V272H0Z", "#b9dd94")
        + _fill("M0 210Q90 194 180 208T272 202V272H0Z", "#93c76d")
    ]
    side = rng.choice((0, 1))
    for number in range(3):
        y = rng.uniform(8, 46) + 22 * number
        far = rng.uniform(110, 190)
        x0, x1 = (-4, far) if side == 0 else (276, 272 - far)
        bough = f"M{x0} {y:.0f}Q{(x0 + x1) / 2:.0f} {y + 24:.0f} {x1:.0f} {y - 6:.0f}"
        parts.append(_stroke(bough, "#8a6247", 4))
        for k in range(8):
            t = (k + rng.random()) / 8
            px, py = x0 + (x1 - x0) * t, y + 48 * t * (1 - t) - 6 * t * t
            parts.append(
                _flower(
                    px + rng.uniform(-8, 8),
                    py + rng.uniform(-9, 9),
                    rng.uniform(7, 12),
                    rng.choice(("#f7a8c4", "#fbcfe0", "#f58fb4")),
                )
            )
    parts.extend(
        _flower(
            rng.uniform(0, 272), rng.uniform(206, 264), rng.uniform(4, 7), rng.choice(("#ffffff", "#f9e27d", "#f7a8c4"))
        )
        for _ in range(16)
    )
    parts.extend(_fill(ellipse(_at(rng.uniform(0, 272)), rng.uniform(20, 240), 3.4, 2), "#fbcfe0") for _ in range(22))
    return "#cfeaf3", "#f7fbf0", "".join(parts)


def _indoors(rng: random.Random) -> tuple[str, str, str]:
    wall, wood = rng.choice(
        (("#dcd6cd", "#b98d63"), ("#cfd8d6", "#a97f5b"), ("#ddd3d8", "#9c7353"), ("#d6d9c9", "#c39a6d"))
    )
    parts = [_fill("M0 196H272V272H0Z", wood)]
    boards = "".join(f"M{x} 196L{(x - 136) * 1.7 + 136:.0f} 272" for x in range(-40, 330, 34))
    parts.append(_stroke(boards, darker(wood, 0.25), 1.6))
    parts.append(_fill("M0 190H272V198H0Z", lighter(wall, 0.55)))
    x = rng.choice((22, 158))
    parts.append(
        _fill(f"M{x} 24H{x + 92}V122H{x}Z", "#f7fbff")
        + _fill(f"M{x + 6} 30H{x + 43}V116H{x + 6}ZM{x + 49} 30H{x + 86}V116H{x + 49}Z", "#cfe6f2")
    )
    other = 214 if x < 100 else 44
    parts.extend(
        _frond("M0 0Q14 -30 0 -62Q-14 -30 0 0Z", mix("#5f9a6a", "#8fbf7f", (turn + 70) / 150), (other, 168), turn)
        for turn in range(-70, 80, 28)
    )
    parts.append(_fill(f"M{other - 20} 164H{other + 20}L{other + 14} 206H{other - 14}Z", "#c9785a"))
    return lighter(wall, 0.3), wall, "".join(parts)


_MOODS = {"Winter": _winter, "Summer": _summer, "Autumn": _autumn, "Spring": _spring, "All year": _indoors}


def mood(season: str, variant: int) -> str:
    """Return a lifestyle background for `season`; `variant` in `range(MOOD_VARIANTS)`."""
    top, bottom, content = _MOODS[season](generator("mood", season, variant))
    return _sheet((top, bottom), (top, bottom), content)
