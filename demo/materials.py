"""How each composition looks: a texture tile laid over the colour, a sheen, and its natural raw colour.

No filters are used: a tile and a gradient cost a tenth of turbulence and scale cleanly.
"""

from dataclasses import dataclass
from enum import StrEnum

from demo.shapes import circle

Stops = tuple[tuple[float, str, float], ...]
"""Gradient stops: offset 0..1, colour, opacity 0..1."""


class Composition(StrEnum):
    """What a product is made of."""

    COTTON = "Cotton"
    WOOL = "Wool"
    LINEN = "Linen"
    SILK = "Silk"
    DENIM = "Denim"
    LEATHER = "Leather"
    SUEDE = "Suede"
    POLYESTER = "Polyester"
    NYLON = "Nylon"
    VELVET = "Velvet"
    FLEECE = "Fleece"
    CANVAS = "Canvas"
    RUBBER = "Rubber"
    STEEL = "Steel"
    GOLD = "Gold"
    SILVER = "Silver"
    COPPER = "Copper"
    CERAMIC = "Ceramic"
    GLASS = "Glass"
    WOOD = "Wood"
    BAMBOO = "Bamboo"
    ACETATE = "Acetate"
    IRON = "Cast iron"


SOFT: Stops = ((0, "#fff", 0.16), (0.45, "#fff", 0), (1, "#000", 0.2))
_GLOSS: Stops = (
    (0, "#000", 0.16), (0.14, "#fff", 0.6), (0.24, "#fff", 0.08), (0.75, "#000", 0.04), (1, "#000", 0.34),
)  # fmt: skip
_METAL: Stops = (
    (0, "#000", 0.3), (0.15, "#fff", 0.5), (0.3, "#000", 0.1), (0.5, "#fff", 0.32), (0.68, "#000", 0.22),
    (0.85, "#fff", 0.3), (1, "#000", 0.35),
)  # fmt: skip
_SHIMMER: Stops = (
    (0, "#fff", 0.1), (0.2, "#fff", 0.55), (0.33, "#000", 0.14), (0.5, "#fff", 0.5), (0.66, "#000", 0.2),
    (0.82, "#fff", 0.4), (1, "#000", 0.25),
)  # fmt: skip
_POLISH: Stops = ((0, "#fff", 0.1), (0.25, "#fff", 0.42), (0.42, "#fff", 0.02), (1, "#000", 0.38))
_FOLDS: Stops = (
    (0, "#000", 0.3), (0.3, "#fff", 0.22), (0.55, "#000", 0.26), (0.8, "#fff", 0.2), (1, "#000", 0.35),
)  # fmt: skip
_REFLEX: Stops = (
    (0, "#fff", 0.2), (0.12, "#fff", 0.85), (0.2, "#fff", 0.1), (0.7, "#fff", 0.05), (0.8, "#fff", 0.6),
    (0.88, "#fff", 0.05), (1, "#000", 0.25),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Material:
    """The look of one composition.

    Attributes:
        tile: width, height and SVG of the texture, or None for a smooth surface.
        sheen: light across the surface, from `sheen_from` to `sheen_to` in fractions of its bounding box.
        raw: the colour of the bare material, for parts that carry no paint or dye.
        stitch: colour of the visible seams, empty for none.
        opacity: of the colour itself; below 1 only for glass.
    """

    tile: tuple[int, int, str] | None
    sheen: Stops = SOFT
    sheen_to: tuple[float, float] = (0.8, 1)
    raw: str = "#b9bdc4"
    stitch: str = ""
    opacity: float = 1.0


def _strokes(path: str, colour: str, opacity: float, width: float) -> str:
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-opacity="{opacity}" stroke-width="{width}"'
        ' stroke-linecap="round"/>'
    )


def _area(path: str, colour: str, opacity: float) -> str:
    return f'<path d="{path}" fill="{colour}" fill-opacity="{opacity}"/>'


def _spots(points: str, radius: float, colour: str, opacity: float) -> str:
    pairs = [tuple(float(v) for v in point.split(",")) for point in points.split()]
    path = "".join(circle(x - 112, y, radius) for x, y in pairs)
    return f'<path d="{path}" fill="{colour}" fill-opacity="{opacity}"/>'


_KNIT = (10, 9, _strokes("M0 0L5 6L10 0", "#000", 0.3, 2.2) + _strokes("M0 3L5 9L10 3", "#fff", 0.28, 1.6))
_TWILL = (7, 7, _strokes("M-2 9L9 -2M-2 2L2 -2M5 9L9 5", "#fff", 0.34, 1.5))
_SLUB = (
    26,
    24,
    _strokes("M0 4H18M9 13H26M2 20H12", "#000", 0.24, 1.3) + _strokes("M5 0V15M14 8V24M21 2V12", "#fff", 0.34, 1.3),
)
_GRAIN = (15, 14, _strokes("M2 3Q5 0 8 3T13 3M1 10Q4 7 7 10T14 11M9 6L11 8", "#000", 0.26, 1.3))
_NAP = (18, 16, _spots("3,3 11,6 6,11 15,13", 1.5, "#000", 0.22) + _spots("7,5 14,2 2,14 11,12", 1.5, "#fff", 0.25))
_MESH = (9, 9, _spots("2.5,2.5 7,7", 1.4, "#000", 0.3))
_QUILT = (
    40,
    32,
    _strokes("M0 0Q20 3 40 0", "#000", 0.4, 2.2)
    + _area("M0 3H40V13H0Z", "#fff", 0.22)
    + _area("M0 22H40V32H0Z", "#000", 0.13),
)
_PILE = (46, 30, _area("M0 0H13V30H0Z", "#fff", 0.2) + _area("M23 0H36V30H23Z", "#000", 0.2))
_CURLS = (
    15,
    14,
    _strokes("M2 5A3 3 0 1 1 6 7M9 12A3 3 0 1 1 13 12", "#fff", 0.45, 1.6)
    + _strokes("M9 3A2.5 2.5 0 1 1 12 6", "#000", 0.2, 1.4),
)
_BASKET = (
    12,
    12,
    _area("M0 0H6V6H0ZM6 6H12V12H6Z", "#000", 0.17) + _area("M6 0H12V2H6ZM0 6H6V8H0Z", "#fff", 0.3),
)
_STUDS = (14, 14, _spots("5,5 12,12", 2.4, "#000", 0.2) + _spots("4.3,4.3 11.3,11.3", 1.3, "#fff", 0.45))
_BRUSHED = (22, 16, _strokes("M0 3H14M8 8H22M2 13H11", "#fff", 0.35, 1) + _strokes("M4 5H20M0 10H9", "#000", 0.16, 1))
_SPECKS = (24, 22, _spots("4,5 17,3 11,13 21,17 5,19", 1.3, "#000", 0.3))
_RINGS = (44, 26, _strokes("M0 4Q11 0 22 4T44 4M0 12Q11 9 22 12T44 12M0 21Q11 25 22 21T44 21", "#3a1d08", 0.42, 1.8))
_CANES = (
    15,
    46,
    _strokes("M1 0V46", "#2c2408", 0.5, 1.8)
    + _strokes("M2 14H14", "#2c2408", 0.4, 2.2)
    + _strokes("M6 0V46", "#fff", 0.3, 3),
)
_TORTOISE = (
    26,
    22,
    '<path d="M2 3Q9 0 11 6T4 11Q-2 9 2 3ZM14 11Q22 8 24 14T17 20Q11 18 14 11Z" fill="#1c0d04" fill-opacity=".42"/>',
)
_PITS = (9, 8, _spots("2,2 6,5", 1.3, "#000", 0.42) + _spots("5,1.5 1.5,6", 0.9, "#fff", 0.3))

MATERIALS: dict[Composition, Material] = {
    Composition.COTTON: Material(None),
    Composition.WOOL: Material(_KNIT),
    Composition.LINEN: Material(_SLUB),
    Composition.SILK: Material(None, _SHIMMER, (1, 0.45)),
    Composition.DENIM: Material(_TWILL, stitch="#e9a23b"),
    Composition.LEATHER: Material(_GRAIN, _POLISH, (1, 0.7), "#6b4226"),
    Composition.SUEDE: Material(_NAP, ((0, "#fff", 0.05), (1, "#000", 0.22)), raw="#8a6446"),
    Composition.POLYESTER: Material(_MESH),
    Composition.NYLON: Material(_QUILT),
    Composition.VELVET: Material(_PILE, _FOLDS, (0.3, 1)),
    Composition.FLEECE: Material(_CURLS),
    Composition.CANVAS: Material(_BASKET),
    Composition.RUBBER: Material(_STUDS, _GLOSS, (1, 0.3), "#33343a"),
    Composition.STEEL: Material(_BRUSHED, _METAL, (1, 0.1), "#c3c9d1"),
    Composition.GOLD: Material(None, _METAL, (1, 0.25), "#e9b92f"),
    Composition.SILVER: Material(None, _METAL, (1, 0.25), "#d3d8e0"),
    Composition.COPPER: Material(None, _METAL, (1, 0.25), "#c46f3f"),
    Composition.CERAMIC: Material(_SPECKS, _GLOSS, (1, 0.2), "#efe6d8"),
    Composition.GLASS: Material(None, _REFLEX, (1, 0.08), "#d8ecf0", opacity=0.66),
    Composition.WOOD: Material(_RINGS, raw="#b07a45"),
    Composition.BAMBOO: Material(_CANES, raw="#d6b56a"),
    Composition.ACETATE: Material(_TORTOISE, _GLOSS, (1, 0.5), "#7a4a22"),
    Composition.IRON: Material(_PITS, ((0, "#fff", 0.2), (0.4, "#000", 0), (1, "#000", 0.4)), raw="#3b3b40"),
}
