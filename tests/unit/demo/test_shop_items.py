"""What product i of seed s is."""

import collections
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.brands import BRANDS
from demo.items import BLOCK, item, split_of
from demo.palette import COLOURS, CONTRASTS, brightness, darker, distance, lighter, mix
from demo.taxonomy import CATEGORIES, SEASONS

SAMPLE = [item(3, number) for number in range(3_000)]


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), number=st.integers(0, 10_000_000))
def test_a_product_depends_on_seed_and_number_only(seed: int, number: int) -> None:
    assert item(seed, number) == item(seed, number)
    one = item(seed, number)
    assert one.number == number
    assert one.id == f"s{seed}-{number:06d}"


def test_ids_are_unique_across_seeds() -> None:
    ids = [item(seed, number).id for seed in range(4) for number in range(50)]
    assert len(set(ids)) == len(ids)
    assert item(1, 7) != item(2, 7)


def test_every_category_season_brand_and_colour_occurs() -> None:
    assert {one.category for one in SAMPLE} == set(CATEGORIES)
    assert {one.season for one in SAMPLE} == set(SEASONS)
    assert {one.brand for one in SAMPLE} == {brand.name for brand in BRANDS}
    assert {one.colour for one in SAMPLE} == set(COLOURS)


def test_items_keep_to_their_category() -> None:
    for one in SAMPLE:
        assert one.composition in one.kind.compositions
        assert one.pattern in one.kind.patterns
        assert set(one.details) == set(one.kind.slots)
        assert all(value in one.kind.slots[slot] for slot, value in one.details.items())


def test_no_brand_holds_a_word_of_its_own_product() -> None:
    for one in SAMPLE:
        words = set(re.findall(r"[a-z]+", one.brand.lower()))
        assert one.category.lower() not in words
        assert one.composition.lower() not in words
        assert one.season.lower() not in words
        assert {one.colour, one.second_colour}.isdisjoint(words)


def test_a_group_is_one_style_in_several_colours() -> None:
    groups = collections.defaultdict(list)
    for one in SAMPLE:
        if one.group:
            groups[one.group].append(one)
    complete = [g for g in groups.values() if g[0].number // BLOCK < len(SAMPLE) // BLOCK]
    assert len(complete) > 100
    for group in complete:
        assert len(group) > 1
        assert len({one.colour for one in group}) == len(group)
        assert len({(o.brand, o.category, o.season, o.composition, o.pattern, o.price, o.split) for o in group}) == 1
        assert all(one.details == group[0].details for one in group)
    assert sum(one.group is None for one in SAMPLE) > len(SAMPLE) / 2


def test_splits_are_eighty_ten_ten() -> None:
    shares = collections.Counter(split_of(f"key-{number}") for number in range(20_000))
    assert shares["train"] / 20_000 == pytest.approx(0.8, abs=0.02)
    assert shares["val"] / 20_000 == pytest.approx(0.1, abs=0.015)
    assert shares["test"] / 20_000 == pytest.approx(0.1, abs=0.015)


def test_prices_views_and_stock_are_plausible() -> None:
    assert all(0.5 < one.price < 2_000 for one in SAMPLE)
    assert all(round(one.price, 2) == one.price for one in SAMPLE)
    views = collections.Counter(one.views for one in SAMPLE)
    assert set(views) == {1, 2, 3}
    assert views[2] > len(SAMPLE) * 0.7
    assert 0.8 < sum(one.in_stock for one in SAMPLE) / len(SAMPLE) < 0.95


def test_two_colours_of_a_product_contrast() -> None:
    for one in SAMPLE:
        assert distance(COLOURS[one.colour].hex, COLOURS[one.second_colour].hex) >= 150
    assert all(len(others) >= 8 for others in CONTRASTS.values())
    assert all(first in CONTRASTS[second] for first, others in CONTRASTS.items() for second in others)


def test_colour_arithmetic() -> None:
    assert mix("#000000", "#ffffff", 0.5) == "#808080"
    assert mix("#102030", "#ffffff", 0) == "#102030"
    assert brightness("#ffffff") == pytest.approx(255)
    assert distance("#ff0000", "#ff0000") == 0
    assert distance("#000000", "#0a0000") == pytest.approx((2 * 100) ** 0.5)
    assert brightness(darker("#808080")) < brightness("#808080") < brightness(lighter("#808080"))
