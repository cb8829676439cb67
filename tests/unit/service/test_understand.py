"""Which entities a query is read with, against a small catalogue linked by the real linker."""

import pytest

from models.entities import EntityLinker, EntityStatistics
from models.product import Product
from service.errors import InvalidRequestError
from service.query import ProductPart, Query, TextPart
from service.understand import LinkedEntity, Reader, Spellings, named_entities

ENCODER = {"brand": ("T-Shirt Kings", "Ruby Row"), "category": ("mug", "shirt")}


@pytest.fixture(scope="module")
def reader():
    products = [
        Product(id=f"{brand}{category}{n}", title=f"{brand} {category}", brand=brand, category=category)
        for brand in ("T-Shirt Kings", "Ruby Row", "Nordlicht")
        for category in ("mug", "shirt")
        for n in range(5)
    ]
    statistics = EntityStatistics.collect(products)
    return Reader(EntityLinker(statistics), Spellings(statistics.vocabulary, ENCODER))


def query(*texts, **more):
    return Query(tuple(TextPart(text, 1.0, f"query[{n}].text") for n, text in enumerate(texts)), **more)


def read(reader, asked):
    return {(link.query, link.group): (link.value, link.source, link.known) for link in reader.read(asked)}


def test_names_in_the_words_are_linked_with_their_place(reader):
    links = reader.read(query("ruby row mug"))
    assert {(link.group, link.value, link.surface, link.start, link.end) for link in links} == {
        ("brand", "Ruby Row", "ruby row", 0, 8),
        ("category", "mug", "mug", 9, 12),
    }
    assert all(0 < link.probability <= 1 and link.source == "linked" for link in links)


def test_what_the_encoder_has_no_vector_for_is_linked_but_not_known(reader):
    links = reader.read(query("nordlicht mug"))
    assert read(reader, query("nordlicht mug"))[0, "brand"] == ("Nordlicht", "linked", False)
    assert reader.entities_of(0, links) == {"category": "mug"}


def test_the_caller_wins_per_group_in_any_spelling(reader):
    asked = query("ruby row mug", entities={"brand": "t shirt KINGS"})
    assert read(reader, asked) == {
        (0, "brand"): ("T-Shirt Kings", "caller", True),
        (0, "category"): ("mug", "linked", True),
    }
    assert reader.entities_of(0, reader.read(asked)) == {"brand": "T-Shirt Kings", "category": "mug"}


def test_null_drops_a_group_and_off_drops_all_links(reader):
    assert read(reader, query("ruby row mug", entities={"brand": None})) == {(0, "category"): ("mug", "linked", True)}
    assert reader.read(query("ruby row mug", linking="off")) == []


def test_stated_entities_go_with_every_text_and_with_nothing_else(reader):
    parts = (TextPart("mug", 1.0, "q"), ProductPart("x", 1.0, "query[0]"), TextPart("shirt", 1.0, "query[1]"))
    asked = Query(parts, entities={"brand": "Ruby Row"}, linking="off")
    assert set(read(reader, asked)) == {(0, "brand"), (2, "brand")}


def test_strict_refuses_what_the_encoder_does_not_know(reader):
    for group, value in (("brand", "Nordlicht"), ("brand", "Nobody"), ("planet", "Mars")):
        asked = query("mug", entities={group: value}, linking="strict")
        with pytest.raises(InvalidRequestError) as refused:
            reader.read(asked)
        assert refused.value.errors[0].path == f"entities.{group}"
        assert value in refused.value.detail
    links = read(reader, query("ruby row mug", entities={"brand": "RUBY ROW"}, linking="strict"))
    assert links[0, "brand"] == ("Ruby Row", "caller", True)
    assert links[0, "category"][1] == "linked"


def test_a_value_nobody_knows_keeps_its_spelling(reader):
    assert read(reader, query("mug", entities={"brand": "  Nöbody & Co"}))[0, "brand"] == (
        "  Nöbody & Co", "caller", False,
    )  # fmt: skip
    assert read(reader, query("mug", entities={"brand": "!!!"}))[0, "brand"] == ("!!!", "caller", False)


def test_one_value_of_a_group_is_used_the_likeliest(reader):
    links = [link for link in reader.read(query("ruby row or t-shirt kings mug")) if link.group == "brand"]
    assert len(links) == 1


def test_a_query_must_point_somewhere():
    with pytest.raises(InvalidRequestError) as nothing:
        Query(())
    assert nothing.value.errors[0].path == "q"
    with pytest.raises(InvalidRequestError) as nowhere:
        Query((TextPart("mug", -1.0, "query[0].text"), TextPart("cup", 0.0, "query[1].text")))
    assert nowhere.value.errors[0].path == "query[0]"
    with pytest.raises(InvalidRequestError) as wordless:
        Query((ProductPart("x", 1.0, "query[0].product"),), entities={"brand": "Ruby"})
    assert wordless.value.errors[0].path == "entities"
    Query((ProductPart("x", 1.0, "query[0].product"),), entities={"brand": None})


def test_entities_count_by_the_weight_of_their_part_and_their_probability():
    def link(number, group, probability):
        return LinkedEntity(number, group, f"{group}-value", "x", 0, 1, probability, "linked", known=True)

    parts = (
        TextPart("a", 3.0, "q"), TextPart("b", 1.0, "query[0].text"), TextPart("c", -2.0, "query[1].text"),
    )  # fmt: skip
    links = [link(0, "brand", 0.5), link(0, "category", 1.0), link(1, "brand", 0.8), link(2, "brand", 1.0)]
    named = [(number, entity.group, entity.weight) for number, entity in named_entities(Query(parts), links)]
    assert named == [
        (0, "brand", pytest.approx(0.75 * 0.5 / 2)),
        (0, "category", pytest.approx(0.75 / 2)),
        (1, "brand", pytest.approx(0.25 * 0.8)),
    ]


def test_a_name_in_prose_counts_for_little_unless_the_caller_states_it():
    prose = " ".join(["smells like autumn in the workshop,"] * 8)  # 48 words
    read = LinkedEntity(0, "season", "Autumn", "autumn", 12, 18, 0.9, "linked", known=True)
    stated = LinkedEntity(0, "season", "Autumn", None, None, None, 1.0, "caller", known=True)
    parts = (TextPart(prose, 1.0, "q"),)
    weights = [entity.weight for link in (read, stated) for _, entity in named_entities(Query(parts), [link])]
    assert weights == [pytest.approx(0.9 * 12 / 48), 1.0]
