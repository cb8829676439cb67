"""The invented brands of the shop, and why each name is hard to read in a query.

How a brand's mark looks is derived from its place in the list by `demo.emblems`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Trap(StrEnum):
    """What else the words of a brand may mean."""

    NONE = "none"
    WORD = "word"
    SHARED = "shared"
    COLOUR = "colour"
    MATERIAL = "material"
    CATEGORY = "category"
    SEASON = "season"


@dataclass(frozen=True, slots=True)
class Brand:
    """A maker of products.

    Attributes:
        name: the catalogue's value.
        trap: why the name is ambiguous; `Trap.NONE` for coined words.
        plain: the single word or words of the name that descriptions use in their everyday sense.
        level: price level, 1 is the shop's middle.
    """

    name: str
    trap: Trap
    plain: str = ""
    level: float = 1.0


_NAMES: dict[Trap, tuple[str, ...]] = {
    Trap.WORD: (
        "Ember", "Harbor", "Guesswork", "Compass", "Driftwood", "Lantern", "Honest", "Corner", "Monday",
        "Biscuit", "Echo", "Postcard", "Gravel", "Afterglow", "Whistle",
    ),
    Trap.SHARED: (
        "Canada Heron", "Golden Heron", "Golden Fox", "Canada Pine", "Silver Fox", "Silver Lake",
        "North Harbor", "Ember & Oak", "Oak Street", "Lantern Street", "Monday Fox", "Pine & Heron",
    ),
    Trap.COLOUR: ("Ruby", "Olive", "Coral", "Ivory", "Indigo", "Navy Yard", "Hazel", "Plum"),
    Trap.MATERIAL: ("Denim & Co", "Linen House", "Velvet Room", "Cotton Row", "Copper", "Suede Street"),
    Trap.CATEGORY: ("Topline", "Top Drawer", "Second Watch", "Belt & Braces", "Potting Shed", "Tie Breaker"),
    Trap.SEASON: ("Summer Fields", "First Winter", "Autumn Lane", "Spring Tide"),
    Trap.NONE: (
        "Veltrona", "Quorvex", "Zantelli", "Mirabeq", "Ostrella", "Kyndrix", "Balvoro", "Fennimar", "Jorvessa",
        "Lumareo", "Tessquin", "Ulvaro", "Brisnova", "Corvanti", "Dravelle", "Ezmira", "Halvenk", "Ilovane",
        "Norquil", "Pravessi", "Wexmoor",
    ),
}  # fmt: skip
_PLAIN = {
    "Ember", "Harbor", "Guesswork", "Compass", "Driftwood", "Lantern", "Honest", "Corner", "Monday", "Biscuit",
    "Echo", "Postcard", "Gravel", "Afterglow", "Whistle", "Ruby", "Olive", "Coral", "Ivory", "Indigo", "Hazel",
    "Plum", "Copper",
}  # fmt: skip
_LEVELS = (1.0, 0.7, 1.6, 0.85, 1.25, 2.4, 0.6, 1.1)


def _build() -> tuple[Brand, ...]:
    brands: list[Brand] = []
    for trap, names in _NAMES.items():
        for name in names:
            plain = name.lower() if name in _PLAIN else ""
            brands.append(Brand(name, trap, plain, _LEVELS[len(brands) % len(_LEVELS)]))
    return tuple(brands)


BRANDS = _build()
BRAND_NUMBER = {brand.name: number for number, brand in enumerate(BRANDS)}
BRAND_BY_NAME = {brand.name: brand for brand in BRANDS}
AMBIGUOUS = tuple(brand for brand in BRANDS if brand.trap is not Trap.NONE)
