"""The sixteen colours of the shop: how each is drawn, and the words that name it.

Which colour a product gets is decided in `demo.items`; where it is drawn in `demo.forms`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour a shop would list.

    Attributes:
        name: the catalogue's value.
        hex: `#rrggbb` as drawn.
        words: other ways a description names it; some hold the name of a brand on purpose.
    """

    name: str
    hex: str
    words: tuple[str, ...] = ()


_ALL = (
    Colour("black", "#26262c", ("jet black", "coal black")),
    Colour("white", "#f8f7f3", ("ivory white", "chalk white")),
    Colour("grey", "#8d939b", ("gravel grey", "pebble grey")),
    Colour("red", "#c9202b", ("ruby red", "cherry red")),
    Colour("orange", "#ef7d1a", ("ember orange", "pumpkin orange")),
    Colour("yellow", "#f6cb2c", ("lemon yellow", "honey yellow")),
    Colour("green", "#2f9b4b", ("clover green", "leaf green")),
    Colour("olive", "#74752b", ("olive green", "muted olive")),
    Colour("teal", "#0f8f8d", ("deep teal", "lagoon teal")),
    Colour("blue", "#2d74d6", ("harbor blue", "cornflower blue")),
    Colour("navy", "#1c2856", ("indigo navy", "navy blue")),
    Colour("purple", "#7b3fa3", ("plum purple", "violet purple")),
    Colour("pink", "#f191b8", ("rose pink", "candy pink")),
    Colour("brown", "#754729", ("hazel brown", "chestnut brown")),
    Colour("beige", "#dcc6a2", ("biscuit beige", "sand beige")),
    Colour("coral", "#ff7464", ("coral pink", "soft coral")),
)
COLOURS = {colour.name: colour for colour in _ALL}
COLOUR_NAMES = tuple(COLOURS)

_TOO_ALIKE = 150.0
"""Weighted RGB distance under which two colours are not put side by side on one product."""


def channels(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of `#rrggbb`, each 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mix(first: str, second: str, share: float) -> str:
    """Return the colour `share` (0..1) of the way from `first` to `second`, as `#rrggbb`."""
    pairs = zip(channels(first), channels(second), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def darker(colour: str, share: float = 0.35) -> str:
    """Return `colour` mixed with near-black; `share` in 0..1."""
    return mix(colour, "#15131a", share)


def lighter(colour: str, share: float = 0.35) -> str:
    """Return `colour` mixed with white; `share` in 0..1."""
    return mix(colour, "#ffffff", share)


def brightness(colour: str) -> float:
    """Return the perceived brightness of `#rrggbb`, 0..255."""
    red, green, blue = channels(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def distance(first: str, second: str) -> float:
    """Return a weighted RGB distance of two `#rrggbb` colours; 0 means equal."""
    red, green, blue = ((a - b) ** 2 for a, b in zip(channels(first), channels(second), strict=True))
    return float((2 * red + 4 * green + 3 * blue) ** 0.5)


CONTRASTS = {a.name: tuple(b.name for b in _ALL if distance(a.hex, b.hex) >= _TOO_ALIKE) for a in _ALL}
"""For each colour the second colours that stand out on it."""
