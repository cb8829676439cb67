"""Counting a catalogue, against counts made by hand and by brute force."""

import json
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import entity_counting
from models.entities import EntityStatistics, EntityStatisticsError
from models.product import Product

PRODUCTS = [
    Product(id="1", title="Ember wool coat", brand="Ember", category="Coat", composition="Wool"),
    Product(id="2", title="Coat by Ember", description="Warm.", brand="Ember", category="Coat"),
    Product(
        id="3",
        title="Veltro lamp",
        description="Glows like an ember. An ember at home.",
        brand="Veltro",
        category="Lamp",
        attributes={"colour": "ruby"},
    ),
    Product(
        id="4",
        title="Ruby lamp in ruby",
        description="Ember-coloured.",
        brand="Ruby",
        category="Lamp",
        attributes={"colour": ("ruby", "red"), "watts": 40.0, "led": True},
    ),
    Product(id="5", title="Ruby ring", brand="Ruby", category="Ring", attributes={"colour": "red"}),
    Product(id="6", title="Ember thing without a maker"),
]


@pytest.fixture(scope="module")
def statistics():
    return EntityStatistics.collect(PRODUCTS)


def test_values(statistics):
    assert statistics.products == 6
    assert statistics.groups == ("brand", "category", "season", "composition")
    assert statistics.vocabulary["brand"] == {"Ember": 2, "Veltro": 1, "Ruby": 2}
    assert statistics.vocabulary["category"] == {"Coat": 2, "Lamp": 2, "Ring": 1}
    assert statistics.vocabulary["season"] == {}
    assert statistics.vocabulary["colour"] == {"ruby": 2, "red": 2}
    assert "watts" not in statistics.vocabulary


def test_uses_of_a_brand_that_is_a_word(statistics):
    ember = statistics.evidence["ember"]
    assert ember.title == {"brand=Ember": 2}
    assert ember.description == {"plain": 2}
    assert ember.held == {"brand=Ember": 2}
    assert ember.left == {"an": {"plain": 2}, "by": {"brand": 1}}
    assert ember.right == {"wool": {"brand": 1}, "-coloured": {"plain": 1}, "at": {"plain": 1}}


def test_uses_of_a_brand_that_is_a_colour(statistics):
    ruby = statistics.evidence["ruby"]
    assert ruby.title == {"brand=Ruby": 2}
    # Product 4 has brand and colour: there the two readings agree, and the entity is counted.
    assert ruby.held == {"brand=Ruby": 2, "colour=ruby": 1}


def test_only_surfaces_with_an_open_question_are_kept(statistics):
    assert set(statistics.evidence) == {"ember", "ruby"}


def test_pairs_of_open_readings(statistics):
    assert statistics.pairs["brand=Ember"] == {"category=Coat": 2, "composition=Wool": 1}
    assert statistics.pairs["brand=Ruby"] == {
        "category=Lamp": 1, "category=Ring": 1, "colour=ruby": 1, "colour=red": 2,
    }  # fmt: skip
    assert "brand=Veltro" not in statistics.pairs


def test_contexts(statistics):
    title = statistics.contexts["title"]
    # "in ruby" on a product of the brand Ruby in ruby is taken as the brand: the label cannot tell.
    assert title["left"]["brand"] == {"^": 4, "by": 1, "in": 1}
    assert title["right"]["brand"] == {"@composition": 1, "$": 2, "@category": 3}
    plain = statistics.contexts["description"]
    assert plain["left"]["plain"] == {"an": 2, "^": 1}
    assert plain["right"]["plain"] == {"$": 1, "at": 1, "-w": 1}


def test_words(statistics):
    assert statistics.words["ember"] == 5
    assert statistics.words["lamp"] == 2
    assert "wool" not in statistics.words


def test_json_returns_what_it_was_given_and_does_not_depend_on_order(statistics):
    text = statistics.to_json()
    assert EntityStatistics.from_json(text) == statistics
    assert EntityStatistics.from_json(text.encode()).to_json() == text
    assert EntityStatistics.collect(PRODUCTS[::-1]).to_json() == text
    assert json.loads(text)["version"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version"),
        ({"format": "other"}, "format"),
        ({"products": -1}, "products"),
        ({"surprise": 1}, "surprise"),
        ({"words": {"a": "b"}}, "words.a"),
    ],
)
def test_other_files_are_refused_with_the_place(statistics, change, message):
    text = json.dumps(json.loads(statistics.to_json()) | change)
    with pytest.raises(EntityStatisticsError, match=message):
        EntityStatistics.from_json(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", b"\xff\xfe"])
def test_what_is_no_statistics_is_refused(text):
    with pytest.raises(EntityStatisticsError, match="not entity statistics"):
        EntityStatistics.from_json(text)


def test_an_iterator_is_refused_but_anything_read_twice_is_not():
    with pytest.raises(TypeError, match="read twice"):
        EntityStatistics.collect(iter(PRODUCTS))

    class Feed:
        def __iter__(self):
            yield from PRODUCTS

    assert EntityStatistics.collect(Feed()) == EntityStatistics.collect(PRODUCTS)


def test_an_empty_catalogue():
    empty = EntityStatistics.collect([])
    assert empty.products == 0
    assert EntityStatistics.from_json(empty.to_json()) == empty


def test_attributes_can_be_entity_groups_and_entity_fields_mere_attributes():
    found = EntityStatistics.collect(PRODUCTS, ("colour",))
    assert found.groups == ("colour",)
    assert found.vocabulary["brand"] == {"Ember": 2, "Veltro": 1, "Ruby": 2}
    assert set(found.evidence) == {"ruby"}


def test_open_ended_attributes_are_not_counted(monkeypatch):
    monkeypatch.setattr(entity_counting, "_MAX_ATTRIBUTE_VALUES", 3)
    products = [
        Product(id=str(i), title="x", brand=f"b{i}", attributes={"sku": f"s{i}", "size": "SML"[i % 3]})
        for i in range(9)
    ]
    found = EntityStatistics.collect(products)
    assert "sku" not in found.vocabulary
    assert found.vocabulary["size"] == {"S": 3, "M": 3, "L": 3}
    assert len(found.vocabulary["brand"]) == 9


def test_memory_for_words_and_neighbours_is_bounded(monkeypatch):
    monkeypatch.setattr(entity_counting, "_MAX_WORDS_HELD", 50)
    monkeypatch.setattr(entity_counting, "_MAX_NEIGHBOURS_HELD", 10)
    monkeypatch.setattr(entity_counting, "_MAX_NEIGHBOURS", 5)
    products = [Product(id=str(i), title=f"Ember word{i} common", brand="Ember") for i in range(100)]
    products.append(Product(id="p", title="Lamp", description="an ember", brand="Other"))
    found = EntityStatistics.collect(products)
    assert found.words["common"] == 100
    assert len(found.evidence["ember"].right) == 5


def test_spellings_of_a_value_count_together():
    products = [
        Product(id="1", title="NIKE cap", brand="Nike"),
        Product(id="2", title="Nike cap", brand="NIKE"),
        Product(id="3", title="Nike shoe", brand="Nike"),
        Product(id="4", title="Cap", description="not by nike", brand="Other"),
    ]
    found = EntityStatistics.collect(products)
    assert found.evidence["nike"].title == {"brand=Nike": 3}
    assert found.evidence["nike"].description == {"plain": 1}


BRANDS = ["Ember", "Olive", "Fox", "Vel"]
WORDS = ["ember", "olive", "fox", "lamp", "warm", "in", "a"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(" ".join)
CATALOGUES = st.lists(
    st.tuples(st.sampled_from(BRANDS), st.sampled_from(["olive", "grey"]), TEXTS, TEXTS), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(CATALOGUES)
def test_counts_equal_brute_force(rows):
    products = [
        Product(id=str(i), title=title, description=text, brand=brand, attributes={"colour": colour})
        for i, (brand, colour, title, text) in enumerate(rows)
    ]
    found = EntityStatistics.collect(products)
    for brand in ("Ember", "Fox"):
        word = brand.lower()
        uses = {
            source: Counter(
                f"brand={brand}" if p.brand == brand else "plain"
                for p in products
                if re.search(rf"\b{word}\b", getattr(p, source))
            )
            for source in ("title", "description")
        }
        stated = any(p.brand == brand for p in products)
        if stated and (uses["title"]["plain"] or uses["description"]["plain"]):
            assert found.evidence[word].title == uses["title"]
            assert found.evidence[word].description == uses["description"]
        else:
            assert word not in found.evidence
    for p_word, count in found.words.items():
        assert count == sum(p_word in f"{p.title} {p.description}".split() for p in products)
