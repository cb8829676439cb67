"""Names built to hurt, and marks that tell brands apart."""

import collections
import re
import xml.etree.ElementTree as ET

from demo.brands import AMBIGUOUS, BRANDS, Trap
from demo.emblems import emblem, emblem_at, emblem_parts
from demo.materials import Composition
from demo.palette import COLOURS
from demo.taxonomy import CATEGORIES, SEASONS


def words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", name.lower()))


def test_there_are_enough_brands_and_each_name_is_unique() -> None:
    assert len(BRANDS) >= 60
    assert len({brand.name for brand in BRANDS}) == len(BRANDS)
    assert len(AMBIGUOUS) >= 30


def test_every_trap_is_set() -> None:
    by_trap = collections.defaultdict(list)
    for brand in BRANDS:
        by_trap[brand.trap].append(brand.name)
    assert set(by_trap) == set(Trap)
    counts = collections.Counter(word for name in by_trap[Trap.SHARED] for word in words(name))
    assert sum(count > 1 for count in counts.values()) >= 5
    seasons = {season.lower() for season in SEASONS}
    assert all(words(name) & seasons for name in by_trap[Trap.SEASON])
    materials = {made.lower() for made in Composition}
    assert all(words(name) & materials for name in by_trap[Trap.MATERIAL])
    categories = {name.lower() for name in CATEGORIES}
    assert any(words(name) & categories for name in by_trap[Trap.CATEGORY])
    said = {word for colour in COLOURS.values() for ways in (colour.name, *colour.words) for word in words(ways)}
    assert all(words(name) & said for name in by_trap[Trap.COLOUR])


def test_marks_differ_in_shape_or_colours() -> None:
    parts = [emblem_parts(brand.name) for brand in BRANDS]
    assert len({(shape, pair) for shape, _, pair in parts}) == len(BRANDS)
    assert len({emblem(brand.name) for brand in BRANDS}) == len(BRANDS)


def test_marks_are_well_formed_and_sit_where_asked() -> None:
    for brand in BRANDS:
        svg = ET.fromstring(emblem_at(brand.name, 10, 50, 36))
        assert svg.attrib["transform"] == "translate(122.0 50.0) scale(1.000)"
        assert len(svg) == 3
