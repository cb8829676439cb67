"""Pictures: every entity and detail is to be seen, and the same product looks the same everywhere."""

import io
import itertools
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from demo.emblems import emblem_parts
from demo.forms import FORMS, drawing
from demo.items import Item, item
from demo.materials import MATERIALS, Composition
from demo.moods import MOOD_VARIANTS, SIDE, STUDIO_VARIANTS, mood, studio
from demo.patterns import Pattern, tile
from demo.picture import PIXELS, background, contact_shadow, cutout, jpeg, picture, rasterise, turned
from demo.taxonomy import CATEGORIES, SEASONS

SMALL = 112
"""The side, in pixels, at which a small model sees the pictures."""


def first_of_each_category() -> dict[str, Item]:
    found: dict[str, Item] = {}
    number = 0
    while len(found) < len(CATEGORIES):
        one = item(4, number)
        found.setdefault(one.category, one)
        number += 1
    return found


FIRST = first_of_each_category()


def seen(one: Item, *, back: bool = False) -> NDArray[np.float64]:
    """The product on grey at 112 pixels."""
    ground = Image.new("RGB", (PIXELS, PIXELS), "#dcdcdc")
    sheet = rasterise(drawing(one, back=back))
    ground.paste(sheet, (0, 0), sheet)
    return np.asarray(ground.resize((SMALL, SMALL), Image.Resampling.BOX), dtype=np.float64)


def changed(first: NDArray[np.float64], second: NDArray[np.float64]) -> int:
    """How many of 12,544 pixels differ clearly."""
    return int((np.abs(first - second).max(axis=2) > 40).sum())


def test_every_category_has_a_form_of_its_own() -> None:
    assert set(FORMS) == set(CATEGORIES)
    assert len(CATEGORIES) >= 24
    assert len(set(FORMS.values())) == len(FORMS)


@pytest.mark.parametrize("category", sorted(CATEGORIES))
def test_every_detail_is_visible(category: str) -> None:
    one = FIRST[category]
    for slot, values in one.kind.slots.items():
        views = {value: seen(replace(one, details={**one.details, slot: value})) for value in values}
        for first, second in itertools.combinations(values, 2):
            assert changed(views[first], views[second]) >= 40, (slot, first, second)


@pytest.mark.parametrize("category", sorted(CATEGORIES))
def test_brand_colours_and_composition_are_visible(category: str) -> None:
    one = FIRST[category]
    plain = seen(one)
    brand = "Veltrona" if emblem_parts(one.brand) != emblem_parts("Veltrona") else "Quorvex"
    assert changed(plain, seen(replace(one, brand=brand))) >= 50
    colour = "green" if one.colour not in {"green", "teal", "olive"} else "red"
    assert changed(plain, seen(replace(one, colour=colour))) >= 250
    second = "yellow" if one.second_colour not in {"yellow", "beige", "orange"} else "navy"
    assert changed(plain, seen(replace(one, second_colour=second))) >= 60
    other = next(made for made in one.kind.compositions if made is not one.composition)
    difference = np.abs(plain - seen(replace(one, composition=other))).max(axis=2)
    assert (difference > 8).sum() >= 300, other


@pytest.mark.parametrize("category", ["Dress", "Scarf", "Sandals", "Clutch", "Watch", "Sunglasses", "Pot", "Lamp"])
def test_patterns_are_visible(category: str) -> None:
    one = replace(FIRST[category], colour="white", second_colour="navy")
    views = [seen(replace(one, pattern=pattern)) for pattern in one.kind.patterns]
    for first, second in itertools.combinations(views, 2):
        assert changed(first, second) >= 80


@pytest.mark.parametrize("category", sorted(CATEGORIES))
def test_the_season_shows_on_the_product_and_behind_it(category: str) -> None:
    one = FIRST[category]
    views = {season: seen(replace(one, season=season)) for season in SEASONS}
    for first, second in itertools.combinations(SEASONS, 2):
        assert changed(views[first], views[second]) >= 8, (first, second)


def test_backgrounds_differ_by_season_and_variant() -> None:
    means = {season: np.asarray(background(season, "mood", 0), dtype=float) for season in SEASONS}
    for first, second in itertools.combinations(SEASONS, 2):
        assert np.abs(means[first] - means[second]).mean() > 10
    assert len({mood("Spring", variant) for variant in range(MOOD_VARIANTS)}) == MOOD_VARIANTS
    assert len({studio("Winter", variant) for variant in range(STUDIO_VARIANTS)}) == STUDIO_VARIANTS
    assert background("Winter", "studio", 1).size == (SIDE, SIDE)


def test_every_drawing_is_well_formed_and_inside_the_sheet() -> None:
    for one in FIRST.values():
        for back in {False, one.kind.back}:
            ET.fromstring(drawing(one, back=back))
            box = rasterise(drawing(one, back=back)).getbbox()
            assert box is not None
            assert box[2] - box[0] > 60
            assert box[3] - box[1] > 60
            alpha = np.asarray(rasterise(drawing(one, back=back)).getchannel("A"))
            border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
            assert (border > 0).mean() < 0.05, one.category


def test_the_back_of_a_garment_differs_from_its_front() -> None:
    for one in FIRST.values():
        if one.kind.back and one.category != "Skirt":  # a skirt without buttons is the same all round
            assert changed(seen(one), seen(one, back=True)) > 40, one.category


def test_pictures_are_rgb_deterministic_and_differ_by_view() -> None:
    one = next(item(2, number) for number in range(50) if item(2, number).views == 3)
    views = [picture(one, view) for view in range(3)]
    assert all(view.mode == "RGB" and view.size == (PIXELS, PIXELS) for view in views)
    cutout.cache_clear()
    assert [picture(one, view).tobytes() for view in range(3)] == [view.tobytes() for view in views]
    assert len({view.tobytes() for view in views}) == 3


def test_drawing_a_picture_leaves_the_cached_parts_alone() -> None:
    one = item(2, 1)
    sheet = cutout(one).tobytes()
    ground = background(one.season, "studio", 0).tobytes()
    picture(one, 0)
    assert cutout(one).tobytes() == sheet
    assert background(one.season, "studio", 0).tobytes() == ground


def test_jpeg_decodes_to_the_same_picture() -> None:
    image = picture(item(2, 3), 0)
    with Image.open(io.BytesIO(jpeg(image))) as decoded:
        assert decoded.format == "JPEG"
        error = np.abs(np.asarray(decoded, dtype=float) - np.asarray(image, dtype=float)).mean()
    assert error < 4


def test_turning_moves_a_point_where_geometry_says() -> None:
    sheet = Image.new("RGBA", (PIXELS, PIXELS))
    sheet.paste((255, 0, 0, 255), (150, 110, 155, 115))
    box = turned(sheet, 90, 1.0, (0, 0)).getbbox()
    assert box is not None
    assert abs((box[0] + box[2]) / 2 - 112.5) < 1.5
    assert abs((box[1] + box[3]) / 2 - (112 - 40.5)) < 1.5
    box = turned(sheet, 0, 0.5, (10, 0)).getbbox()
    assert box is not None
    assert abs((box[0] + box[2]) / 2 - (112 + 40.5 * 0.5 + 10)) < 1.5


def test_no_shadow_without_a_product() -> None:
    canvas = Image.new("RGB", (PIXELS, PIXELS), "white")
    contact_shadow(canvas, Image.new("L", canvas.size), 0.8)
    assert canvas.getextrema() == ((255, 255),) * 3


def test_tiles_repeat_without_leaving_the_two_colours() -> None:
    for pattern in Pattern:
        made = tile(pattern, "#ffffff", "#000000")
        assert (made is None) == (pattern in {Pattern.PLAIN, Pattern.COLOUR_BLOCK})
        if made:
            ET.fromstring(f"<svg>{made[2]}</svg>")
    assert set(MATERIALS) == set(Composition)
    assert len(Composition) >= 10
