"""Queries made from a small hand-made catalogue: their answers, kinds, seeds and halves."""

from collections import defaultdict

import pytest

from models.entities import EntityStatistics
from models.linking_queries import Kind, half_of, linking_queries, names_of, plain_uses
from models.linking_words import MORE_PHRASES, PLAIN_PHRASES
from models.product import Product
from models.surfaces import value_words

BRANDS = ("Veltrona", "Ruby", "Arrow", "Golden Heron", "Denim & Co", "Zantelli", "24", "Harbour Lights")


def catalogue(count):
    return [
        Product(
            id=str(n),
            title=f"{BRANDS[n % 8]} {('lamp', 'kettle')[n % 2]}",
            description="Points like an arrow to the sky. Lovely in ruby." if n % 8 != 2 else "Lovely.",
            brand=BRANDS[n % 8],
            category=("Lamps", "Kettles")[n % 2],
            season=("Summer", "Winter")[n // 2 % 2],
            composition=("Copper", "Glass")[n // 4 % 2],
            attributes={"colour": ("ruby", "blue")[n % 3 % 2]},
        )
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def statistics():
    return EntityStatistics.collect(catalogue(160))


@pytest.fixture(scope="module")
def queries(statistics):
    return linking_queries(statistics, catalogue(48), seed=1, count=40)


@pytest.fixture(scope="module")
def by_kind(queries):
    found = defaultdict(list)
    for query in queries:
        found[query.kind].append(query)
    return found


def test_every_kind_is_made(by_kind):
    assert set(by_kind) == set(Kind)
    assert all(len({q.text.casefold() for q in found}) == len(found) <= 120 for found in by_kind.values())


def test_names_are_known_for_what_they_are(statistics):
    names = names_of(statistics, "brand")
    assert {name.value for name in names.values() if name.cued} == {"Ruby", "24"}
    assert {name.value for name in names.values() if name.ambiguous} >= {"Ruby", "24", "Arrow", "Harbour Lights"}
    assert not names["Veltrona"].ambiguous
    assert "heron" in names["Golden Heron"].short
    assert "golden" in names["Golden Heron"].short
    assert names["Veltrona"].short == ()


def test_a_short_form_that_two_brands_share_is_nobodys():
    brands = ("Canada Heron", "Golden Heron")
    products = [Product(id=str(n), title="Lamp", brand=brands[n % 2]) for n in range(20)]
    names = names_of(EntityStatistics.collect(products), "brand")
    assert names["Canada Heron"].short == ("canada",)


def test_brand_queries_hold_the_name_and_answer_it(by_kind):
    for kind in (Kind.BRAND, Kind.AMBIGUOUS):
        for query in by_kind[kind]:
            assert query.entities == {("brand", query.about)}
            assert query.groups == {"brand"}
            assert set(value_words(query.about)) <= set(value_words(query.text))
    assert {q.about for q in by_kind[Kind.BRAND]} == {"Veltrona", "Zantelli", "Golden Heron"}


def test_a_name_that_is_a_colour_or_a_number_gets_a_cue(by_kind):
    cued = [q for q in by_kind[Kind.AMBIGUOUS] if q.about in {"Ruby", "24"}]
    assert cued
    assert all({"by", "from", "brand"} & set(value_words(q.text)) for q in cued)


def test_misspelt_names_are_none_of_the_catalogues_words(by_kind):
    assert by_kind[Kind.MISSPELT]
    for query in by_kind[Kind.MISSPELT]:
        assert "".join(value_words(query.about)) not in "".join(value_words(query.text))


def test_unknown_names_have_no_answer(by_kind):
    assert all(not q.entities and q.about not in BRANDS for q in by_kind[Kind.UNKNOWN])


def test_a_name_the_catalogue_has_is_not_unknown():
    products = [Product(id="1", title="Zara lamp", brand="Zara", category="Lamps")]
    found = linking_queries(EntityStatistics.collect(products), products, count=200)
    unknown = {q.about for q in found if q.kind == Kind.UNKNOWN}
    assert len(unknown) > 20
    assert "Zara" not in unknown


def test_stated_values_are_answers_where_they_are_said(by_kind):
    assert all(("season", q.about) in q.entities for q in by_kind[Kind.SEASON])
    assert all(("composition", q.about) in q.entities for q in by_kind[Kind.COMPOSITION])
    assert all({group for group, _ in q.entities} == {"category"} for q in by_kind[Kind.CATEGORY])


def test_the_five_words_come_in_several_phrases(by_kind):
    words = [q.about for q in by_kind[Kind.PHRASE]]
    assert {word: words.count(word) for word in words} == dict.fromkeys(PLAIN_PHRASES, 2 * 12)
    assert set(words) == {"top", "guess", "diesel", "lee", "free"}
    assert not {f for forms in PLAIN_PHRASES.values() for f in forms} & {f for fs in MORE_PHRASES.values() for f in fs}
    assert all(q.about in value_words(q.text) for q in by_kind[Kind.PHRASE])


def test_plain_uses_are_lower_case_and_on_products_of_others(statistics):
    names = list(names_of(statistics, "brand").values())
    texts = {
        "Veltrona": "Points like an arrow to the sky. Goes with Arrow shirts.",
        "Arrow": "An arrow again.",
        "Zantelli": "Shirts from arrow.",
    }
    products = [Product(id=b, title="x", brand=b, description=text) for b, text in texts.items()]
    assert list(plain_uses(products, names, "brand")) == [("Arrow", "Points like an arrow to the sky")]


def test_the_same_seed_gives_the_same_queries(statistics, queries):
    assert linking_queries(statistics, catalogue(48), seed=1, count=40) == queries
    assert linking_queries(statistics, catalogue(48), seed=2, count=40) != queries


def test_halves_share_no_brand(statistics):
    asked = {}
    for half in ("tune", "report"):
        found = linking_queries(statistics, catalogue(48), count=40, half=half)
        asked[half] = {q.about for q in found if q.kind in {Kind.BRAND, Kind.AMBIGUOUS, Kind.MISSPELT}}
        assert all(half_of(value) == half for value in asked[half])
    assert not asked["tune"] & asked["report"]
    assert asked["tune"] | asked["report"] <= set(BRANDS)
