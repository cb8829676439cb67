"""Decides what product number i of seed s is: category, brand, colours, details, price.

Independent of how many products a shop has: a block of six numbers is cut into styles, and a style of
several numbers is one design in several colours. Drawing is left to `demo.forms`, words to `demo.text`.
"""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from demo.brands import BRANDS, Brand
from demo.materials import Composition
from demo.palette import COLOUR_NAMES, CONTRASTS
from demo.patterns import Pattern
from demo.taxonomy import CATEGORIES, CATEGORY_NAMES, SEASONS, Category

BLOCK = 6
_CUTS = ((1, 1, 1, 1, 1, 1), (2, 1, 1, 1, 1), (3, 1, 1, 1), (2, 2, 1, 1))
_CURRENCIES = ("EUR", "EUR", "EUR", "USD", "GBP")


@dataclass(frozen=True, slots=True)
class Item:
    """All that is decided of one product before it is drawn and described.

    Attributes:
        number: its place in the shop, from 0.
        id: unique across seeds.
        group: the style it is a colour variant of, None for a style in one colour.
        split: `train`, `val` or `test`; equal within a group.
        details: slot to value, see `demo.taxonomy`.
        views: number of pictures, 1..3.
    """

    number: int
    seed: int
    id: str
    group: str | None
    split: str
    category: str
    brand: str
    season: str
    composition: Composition
    pattern: Pattern
    colour: str
    second_colour: str
    details: Mapping[str, str] = field(hash=False)
    price: float
    currency: str
    in_stock: bool
    views: int

    @property
    def kind(self) -> Category:
        """The category as an object."""
        return CATEGORIES[self.category]


def generator(*key: object) -> random.Random:
    """Return a generator seeded by `key`, the same in every process."""
    return random.Random(":".join(str(part) for part in key))


def split_of(key: str) -> str:
    """Return `train` (80%), `val` (10%) or `test` (10%) by a digest of `key`."""
    value = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % 100
    return "train" if value < 80 else "val" if value < 90 else "test"


@dataclass(frozen=True, slots=True)
class _Style:
    category: Category
    brand: Brand
    season: str
    composition: Composition
    pattern: Pattern
    details: Mapping[str, str]
    colours: tuple[tuple[str, str], ...]
    price: float
    currency: str


def _brand_fits(brand: Brand, category: Category, season: str, composition: str) -> bool:
    """Tell whether no entity of the product is a word of its own brand: "Top Drawer" sells no tops."""
    words = brand.name.lower().replace("&", " ").split()
    taken = {category.name.lower(), category.name.lower().rstrip("s"), season.lower(), composition.lower()}
    return not taken.intersection(words)


def _colour_pairs(rng: random.Random, brand: Brand, count: int) -> tuple[tuple[str, str], ...]:
    firsts = [name for name in COLOUR_NAMES if name not in brand.name.lower().split()]
    pairs: list[tuple[str, str]] = []
    for first in rng.sample(firsts, count):
        seconds = [name for name in CONTRASTS[first] if name not in brand.name.lower().split()]
        pairs.append((first, rng.choice(seconds)))
    return tuple(pairs)


def _style(rng: random.Random, size: int) -> _Style:
    category = CATEGORIES[rng.choice(CATEGORY_NAMES)]
    composition = rng.choice(category.compositions)
    season = rng.choice(SEASONS)
    brand = rng.choice(BRANDS)
    while not _brand_fits(brand, category, season, composition):
        brand = rng.choice(BRANDS)
    plain = Pattern.PLAIN in category.patterns and rng.random() < 0.25
    pattern = Pattern.PLAIN if plain else rng.choice(category.patterns)
    details = {slot: rng.choice(tuple(values)) for slot, values in category.slots.items()}
    low, high = category.price
    price = (low + (high - low) * rng.random() ** 2) * brand.level
    return _Style(
        category, brand, season, composition, pattern, details, _colour_pairs(rng, brand, size),
        max(1.0, round(price)) - rng.choice((0.01, 0.05, 0.1, 0.0)), rng.choice(_CURRENCIES),
    )  # fmt: skip


@lru_cache(maxsize=64)
def _block(seed: int, number: int) -> tuple[tuple[_Style, int, int], ...]:
    """Return style, its number within the block and the colour's number, for the six products of a block."""
    cut = generator(seed, "block", number).choice(_CUTS)
    places: list[tuple[_Style, int, int]] = []
    for place, size in enumerate(cut):
        style = _style(generator(seed, "style", number, place), size)
        places.extend((style, place, colour) for colour in range(size))
    return tuple(places)


def item(seed: int, number: int) -> Item:
    """Return product `number` (from 0) of the shop with this seed."""
    style, place, variant = _block(seed, number // BLOCK)[number % BLOCK]
    rng = generator(seed, "item", number)
    key = f"s{seed}-g{number // BLOCK}-{place}"
    colour, second = style.colours[variant]
    return Item(
        number=number,
        seed=seed,
        id=f"s{seed}-{number:06d}",
        group=key if len(style.colours) > 1 else None,
        split=split_of(key),
        category=style.category.name,
        brand=style.brand.name,
        season=style.season,
        composition=style.composition,
        pattern=style.pattern,
        colour=colour,
        second_colour=second,
        details=style.details,
        price=round(style.price, 2),
        currency=style.currency,
        in_stock=rng.random() < 0.88,
        views=rng.choices((1, 2, 3), (0.12, 0.76, 0.12))[0],
    )
