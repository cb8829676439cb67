"""Patterns of cloth and glaze as SVG tiles in the second colour.

`colour-block` is no tile but a two-colour fill; `demo.pen` draws it.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

from demo.palette import darker, lighter, mix
from demo.shapes import circle, ellipse, star

Tile = tuple[int, int, str]
"""Width and height of the repeat in sheet units, and its SVG."""


class Pattern(StrEnum):
    """What is printed or woven on a product's main surface."""

    PLAIN = "plain"
    STRIPED = "striped"
    PINSTRIPED = "pinstriped"
    CHECKED = "checked"
    DOTTED = "dotted"
    FLORAL = "floral"
    CHEVRON = "chevron"
    CAMOUFLAGE = "camouflage"
    COLOUR_BLOCK = "colour-block"
    STARRED = "starred"
    LEOPARD = "leopard"


def _checked(main: str, second: str) -> Tile:
    half = mix(main, second, 0.55)
    return (
        28,
        28,
        (
            f'<path d="M0 0H14V28H0Z" fill="{half}"/><path d="M0 0H28V14H0Z" fill="{half}"/>'
            f'<path d="M0 0H14V14H0Z" fill="{second}"/>'
        ),
    )


def _floral(main: str, second: str) -> Tile:
    leaf = mix(darker(main, 0.4), "#3c8a4c", 0.5)
    heart = lighter(main, 0.25) if main != second else main

    def flower(x: float, y: float, size: float) -> str:
        petals = "".join(
            circle(x - 112 + dx * size, y + dy * size, size * 0.62)
            for dx, dy in ((0, -0.8), (0.76, -0.25), (0.47, 0.65), (-0.47, 0.65), (-0.76, -0.25))
        )
        core = circle(x - 112, y, size * 0.42)
        return f'<path d="{petals}" fill="{second}"/><path d="{core}" fill="{heart}"/>'

    leaves = f'<path d="M18 4Q24 0 29 5Q22 9 18 4ZM4 32Q2 25 8 23Q11 29 4 32Z" fill="{leaf}"/>'
    return 40, 40, leaves + flower(11, 12, 8) + flower(30, 31, 7)


def _camouflage(main: str, second: str) -> Tile:
    dark, light = darker(main, 0.45), mix(main, second, 0.5)
    return (
        56,
        50,
        (
            f'<path d="M4 6Q14 -2 22 6T40 8Q48 14 38 20T18 18Q2 18 4 6Z" fill="{second}"/>'
            f'<path d="M30 26Q40 22 50 28T48 42Q40 50 32 42T30 26Z" fill="{dark}"/>'
            f'<path d="M2 28Q10 22 20 28T22 44Q12 50 6 42T2 28Z" fill="{light}"/>'
            f'<path d="M42 2Q52 -2 54 6T46 10Q40 8 42 2Z" fill="{dark}"/>'
            f'<path d="M22 34Q30 30 32 36T24 42Q18 40 22 34Z" fill="{second}"/>'
        ),
    )


def _leopard(main: str, second: str) -> Tile:
    heart = darker(mix(main, second, 0.4), 0.15)

    def spot(x: float, y: float, turn: float) -> str:
        return (
            f'<g transform="translate({x} {y}) rotate({turn})"><path d="{ellipse(-112, 0, 4.5, 3.2)}" fill="{heart}"/>'
            f'<path d="M-6 -1Q-4 -6 1 -5.5M4.5 -4Q8 0 4 4.5M0 5.5Q-5 6 -6.5 2" fill="none" stroke="{second}"'
            ' stroke-width="3.2" stroke-linecap="round"/></g>'
        )

    return 34, 30, spot(9, 8, 10) + spot(26, 22, 130)


def _starred(second: str) -> Tile:
    figures = star(-103, 10, 8, 3.4, 5) + star(-84, 27, 6.5, 2.8, 5, 20)
    return 38, 36, f'<path d="{figures}" fill="{second}"/>'


def _chevron(second: str) -> Tile:
    stroke = f'stroke="{second}" stroke-width="6.5" stroke-linejoin="miter"'
    return 30, 20, f'<path d="M-2 16L15 4L32 16" fill="none" {stroke}/>'


_TILES: Mapping[Pattern, Callable[[str, str], Tile]] = {
    Pattern.STRIPED: lambda _, second: (28, 26, f'<path d="M0 7H28V19H0Z" fill="{second}"/>'),
    Pattern.PINSTRIPED: lambda _, second: (13, 26, f'<path d="M5 0H8.4V26H5Z" fill="{second}"/>'),
    Pattern.CHECKED: _checked,
    Pattern.DOTTED: lambda _, second: (
        26,
        26,
        f'<path d="{circle(-105, 7, 5.2)}{circle(-92, 20, 5.2)}" fill="{second}"/>',
    ),
    Pattern.FLORAL: _floral,
    Pattern.CHEVRON: lambda _, second: _chevron(second),
    Pattern.CAMOUFLAGE: _camouflage,
    Pattern.STARRED: lambda _, second: _starred(second),
    Pattern.LEOPARD: _leopard,
}


def tile(pattern: Pattern, main: str, second: str) -> Tile | None:
    """Return width, height and SVG of the repeating tile, or None for patterns without one.

    `main` is the `#rrggbb` beneath the tile, `second` the colour of the pattern itself.
    """
    make = _TILES.get(pattern)
    return make(main, second) if make else None
