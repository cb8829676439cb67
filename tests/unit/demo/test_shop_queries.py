"""Queries and their right answers, judged by brute force over the written feed."""

import collections
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from demo.brands import BRAND_BY_NAME, Trap
from demo.items import item
from demo.postings import Postings, conditions
from demo.queries import KINDS, queries
from demo.text import colour_words

GROUPS = ("brand", "category", "season", "composition")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def many() -> tuple[list[dict], dict[str, object]]:
    """The queries of a shop of 2,000 products, and its items by id."""
    postings = Postings()
    items = [item(9, number) for number in range(2_000)]
    for one in items:
        postings.add(one)
    return list(queries(9, postings)), {one.id: one for one in items}


def test_counts_per_kind(many) -> None:
    counts = collections.Counter(query["kind"] for query in many[0])
    wanted = {"brand": 300, "ambiguous_brand": 200, "plain_word": 150, "attribute": 300, "product": 400}
    assert {kind: counts[kind] for kind in wanted} == wanted
    assert counts["description"] == 400
    assert counts["category"] >= 180
    assert set(counts) == {kind.name for kind in KINDS} | {"description"}


def test_spans_name_the_values(many) -> None:
    for query in many[0]:
        end = 0
        for entity in query["entities"]:
            assert entity["start"] >= end
            end = entity["end"]
            assert query["text"][entity["start"] : end] == entity["surface"]
            assert entity["surface"].lower() == entity["value"].lower()
            assert entity["group"] in GROUPS


def test_every_relevant_product_has_the_entities_and_no_other_has_them_all(many) -> None:
    found, items = many
    for query in found:
        relevant = set(query["relevant"])
        assert relevant
        assert relevant <= set(items)
        wanted = [(entity["group"], entity["value"]) for entity in query["entities"]]
        for name in relevant:
            assert set(wanted) <= set(conditions(items[name]))
        if query["kind"] in {"brand", "category"}:
            brute = {name for name, one in items.items() if set(wanted) <= set(conditions(one))}
            assert relevant == brute, query["text"]


def test_attribute_queries_against_brute_force(many) -> None:
    """A query of the form "<colour> <pattern> <category>" is right for exactly the products it fits."""
    found, items = many
    patterns = {one.pattern.value for one in items.values()} - {"plain"}
    colours = {one.colour for one in items.values()}
    judged = 0
    for query in found:
        words = query["text"].lower().split()
        if query["kind"] != "attribute" or len(words) != 3 or words[0] not in colours or words[1] not in patterns:
            continue
        judged += 1
        brute = [
            name for name, one in items.items() if (one.colour, one.pattern.value, one.category.lower()) == tuple(words)
        ]
        assert query["relevant"] == brute
    assert judged >= 20


def test_brand_queries_name_unmistakable_brands_and_ambiguous_ones_the_others(many) -> None:
    for query in many[0]:
        brands = [entity["value"] for entity in query["entities"] if entity["group"] == "brand"]
        if query["kind"] == "brand":
            assert len(brands) == 1
            assert BRAND_BY_NAME[brands[0]].trap is Trap.NONE
        if query["kind"] == "ambiguous_brand":
            assert len(brands) == 1
            assert BRAND_BY_NAME[brands[0]].trap is not Trap.NONE


def test_plain_word_queries_use_brand_words_but_name_no_brand(many) -> None:
    plain = {brand.plain for brand in BRAND_BY_NAME.values() if brand.plain} | {"top", "watch", "tie"}
    loaded = 0
    for query in many[0]:
        if query["kind"] == "plain_word":
            assert [entity["group"] for entity in query["entities"]] == ["category"]
            loaded += bool(plain & set(query["text"].lower().replace(",", "").replace(":", "").split()))
    assert loaded == 150


def test_a_bare_colour_before_a_category_means_the_colour(many) -> None:
    """So a brand called like a colour never stands there without a cue."""
    for query in many[0]:
        if query["kind"] != "ambiguous_brand":
            continue
        brand = next(entity for entity in query["entities"] if entity["group"] == "brand")
        if BRAND_BY_NAME[brand["value"]].trap is Trap.COLOUR:
            cued = any(cue in query["text"].lower() for cue in ("by ", "from ", "brand "))
            items = many[1]
            colours = {way for name in query["relevant"] for way in colour_words(items[name].colour)}
            assert cued or any(colour in query["text"].lower() for colour in colours), query["text"]


def test_texts_are_unique_within_a_kind_and_tidy(many) -> None:
    texts = collections.Counter((query["kind"], query["text"].lower()) for query in many[0])
    assert max(texts.values()) == 1
    for query in many[0]:
        assert query["text"] == " ".join(query["text"].split())
        assert " ," not in query["text"]
    assert len({query["qid"] for query in many[0]}) == len(many[0])


def test_product_and_description_queries_take_the_split_of_their_product(many) -> None:
    for query in many[0]:
        if query["kind"] == "description":
            (name,) = query["relevant"]
            assert query["split"] == many[1][name].split
            assert query["entities"] == []
        if query["kind"] == "product":
            assert query["split"] in {many[1][name].split for name in query["relevant"]}
            assert {"brand", "category"} <= {entity["group"] for entity in query["entities"]}


def test_postings_match_brute_force() -> None:
    items = [item(6, number) for number in range(400)]
    postings = Postings()
    for one in items:
        postings.add(one)
    for one in items[:60]:
        wanted = conditions(one)[:3]
        brute = [other.number for other in items if set(wanted) <= set(conditions(other))]
        assert postings.matching(wanted) == brute
    assert postings.matching([("brand", "nobody")]) == []
    assert postings.matching([("category", "Shirt"), ("category", "Lamp"), ("brand", "Ember")]) == []


def test_written_queries_refer_to_the_written_feed(shop: Path) -> None:
    rows = {row["id"]: row for row in pq.read_table(shop / "catalogue.parquet").to_pylist()}
    found = lines(shop / "queries.jsonl")
    for query in found:
        assert query["relevant"]
        for name in query["relevant"]:
            for entity in query["entities"]:
                assert rows[name][entity["group"]] == entity["value"]
        if query["kind"] == "description":
            assert query["text"] == rows[query["relevant"][0]]["description"]


def test_a_tiny_shop_has_queries_too() -> None:
    postings = Postings()
    postings.add(item(1, 0))
    found = list(queries(1, postings))
    assert {query["relevant"][0] for query in found} == {"s1-000000"}
