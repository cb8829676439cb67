"""Brand marks as drawn emblems: an outer shape, an inner glyph and a pair of colours, one combination per brand.

A mark is 32 units across where it stands on a product, so it survives scaling the picture to half its size.
Choosing where it stands is left to `demo.forms`.
"""

from functools import lru_cache

from demo.brands import BRAND_NUMBER
from demo.shapes import CENTRE, circle, ellipse, polygon, rect, star

_PAIRS = (
    ("#d81e3a", "#ffffff"), ("#1447c4", "#ffd21f"), ("#0d8a4f", "#ffffff"), ("#1b1b22", "#ffd21f"),
    ("#7a1fa8", "#7dffb8"), ("#ff8a00", "#1a1a5e"), ("#00a3c7", "#ffffff"), ("#ffd21f", "#b3121f"),
    ("#ffffff", "#d81e3a"), ("#ff4f9a", "#16213f"), ("#16213f", "#5ee6ff"), ("#7b4a1e", "#ffe7b0"),
)  # fmt: skip
"""Outer and inner colour."""

_SHAPES = (
    circle(-112, 0, 16),
    rect(-126.5, -14.5, 29, 29, 5),
    polygon(-112, 2, 18.5, 3),
    polygon(-112, 0, 18, 4),
    polygon(-112, 0, 16.5, 6),
    star(-112, 0, 18, 12.5, 8),
    "M-14 -15H14V2Q14 12 0 18Q-14 12 -14 2Z",
    "M0 -18Q16 -2 13 8A13.5 13.5 0 0 1 -13 8Q-16 -2 0 -18Z",
    "M-17 -11H17V11H-17L-11 0Z",
)
"""Outer shapes around the origin, about 34 units across."""

_GLYPHS = (
    star(-112, 0, 9, 3.8, 5),
    "M0 -9Q8 -2 6 4A6.5 6.5 0 0 1 -6 4Q-6 0 -2 -2Q-1 -6 0 -9Z",
    "M-9 -2.5H-2.5V-9H2.5V-2.5H9V2.5H2.5V9H-2.5V2.5H-9Z",
    "M-9 7L-3 -6L1 2L4 -3L9 7Z",
    "M-9 -4Q-4.5 -9 0 -4T9 -4V0Q4.5 5 0 0T-9 0ZM-9 4Q-4.5 0 0 4T9 4V8Q4.5 11 0 8T-9 8Z",
    "M5 -8A9 9 0 1 0 5 8A7 7 0 1 1 5 -8Z",
    "M0 8L-8 0A4.6 4.6 0 0 1 0 -6A4.6 4.6 0 0 1 8 0Z",
    "M2 -10L-6 2H0L-2 10L7 -2H1Z",
    rect(-121, -8, 18, 4.4) + rect(-121, -2.2, 18, 4.4) + rect(-121, 3.6, 18, 4.4),
    "M-8 8V-6L-4 0L0 -8L4 0L8 -6V8Z",
    circle(-112, 0, 5.5),
    "M-9 0Q0 -10 9 0Q0 10 -9 0Z",
    "M0 -9L8 0H3.5V9H-3.5V0H-8Z",
    circle(-116.5, -4, 4) + circle(-107.5, -4, 4) + circle(-112, 4.5, 4),
    "M-8 -8H8V-3H2.5V9H-2.5V-3H-8Z",
    ellipse(-112, 0, 3.2, 9) + ellipse(-112, 0, 9, 3.2),
)


def emblem_parts(brand: str) -> tuple[int, int, int]:
    """Return the numbers of outer shape, glyph and colour pair of `brand`: no two brands share shape and pair."""
    number = BRAND_NUMBER[brand]
    shape, row = number % len(_SHAPES), number // len(_SHAPES)
    return shape, (number * 7 + row) % len(_GLYPHS), (row + 3 * shape) % len(_PAIRS)


@lru_cache(maxsize=256)
def emblem(brand: str) -> str:
    """Return the mark of `brand` as SVG around the origin, about 36 units across with its white rim."""
    shape, glyph, pair = emblem_parts(brand)
    outer, inner = _PAIRS[pair]
    lift = 2.5 if shape in {2, 7} else 0
    return (
        f'<path d="{_SHAPES[shape]}" fill="{outer}" stroke="#22222a" stroke-width="5" stroke-linejoin="round"/>'
        f'<path d="{_SHAPES[shape]}" fill="{outer}" stroke="#ffffff" stroke-width="2.6" stroke-linejoin="round"/>'
        f'<path d="{_GLYPHS[glyph]}" fill="{inner}" transform="translate(0 {lift})"/>'
    )


def emblem_at(brand: str, x: float, y: float, size: float = 32) -> str:
    """Return the mark of `brand` with its middle at the sheet point `(x + 112, y)`, `size` units across."""
    return f'<g transform="translate({x + CENTRE:.1f} {y:.1f}) scale({size / 36:.3f})">{emblem(brand)}</g>'
