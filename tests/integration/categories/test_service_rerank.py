"""What becomes of the hits of another category than the query's: left out, put behind, or let be."""

from collections import Counter

import numpy as np
import pytest

from indexer import ranking
from indexer.ranking import FilterStrategy, Scored
from service.categorise import Guess, Reranked, demoted
from tests.support.categories import ALL, BAGS, STATED_MUGS, UNNAMED, ids, named, of, refusal

pytestmark = pytest.mark.usefixtures("quick_builds")


# --- leaving others out ---


def test_a_filter_leaves_products_of_the_category(client, search):
    found = search(client, q=UNNAMED, rerank=named("watch", "filter"), limit=ALL)
    assert Counter(of(found)) == {"watch": 8}
    assert found["found"] == 8
    assert found["rerank"]["action"] == "filter"
    assert found["rerank"]["reason"] == ""
    assert found["rerank"]["category"] == {
        "name": "watch",
        "probability": 1.0,
        "source": "caller",
        "alternatives": [],
    }


def test_products_that_state_none_or_a_wrong_one_pass_where_the_judges_say_so(client, shop, search):
    """8 states none, 21 states a category too rare to be judged wrong, 10 and 34 are bags; 10 is said to be a dress."""
    mugs = search(client, q=UNNAMED, rerank=named("mug", "filter"), limit=ALL)
    assert set(ids(mugs)) == STATED_MUGS | {"p8"}
    bags = search(client, q=UNNAMED, rerank=named("bag", "filter"), limit=ALL)
    assert shop.bundle.categories.wrong[10] > 0.5
    assert set(ids(bags)) == BAGS  # with 10
    dresses = search(client, q=UNNAMED, rerank=named("dress", "filter"), limit=ALL)
    assert "p10" in ids(dresses)  # it is what it states
    lamps = search(client, q=UNNAMED, rerank=named("lamp", "filter"), limit=ALL)
    assert ids(lamps) == ["p21"]


def test_a_filters_pages_are_full(client, search):
    pages = [
        search(client, q=UNNAMED, rerank=named("mug", "filter"), limit=3, offset=offset) for offset in (0, 3, 6, 9)
    ]
    assert [len(page["hits"]) for page in pages] == [3, 3, 1, 0]
    assert {page["found"] for page in pages} == {7}


def test_a_filter_keeps_pages_full_where_few_are_looked_at(client, search, monkeypatch):
    monkeypatch.setattr(ranking, "MIN_CANDIDATES", 2)
    found = search(client, q="top top top", mode="vector", rerank=named("mug", "filter"), limit=7)
    assert set(ids(found)) == STATED_MUGS | {"p8"}


@pytest.mark.parametrize("category", ["MUG", "Mug", "mUg", " mug "])
def test_a_category_is_known_whatever_its_case(client, search, category):
    found = search(client, q=UNNAMED, rerank=named(category, "filter"), limit=ALL)
    assert set(ids(found)) == STATED_MUGS | {"p8"}
    assert found["rerank"]["category"]["name"] == "mug"  # as the catalogue spells it


def test_auto_is_what_the_words_name(client, search):
    found = search(client, q="red mug", rerank={"action": "filter"}, limit=ALL)
    assert set(ids(found)) == STATED_MUGS | {"p8"}
    assert found["rerank"]["category"]["source"] == "linked"


@pytest.mark.parametrize(
    "asked",
    [
        {"q": "a watch for every day", "entity_linking": "off"},
        {"q": "watch", "mode": "lexical", "entity_linking": "off"},
        {"query": [{"product": "p8"}]},
    ],
)
def test_auto_is_what_the_best_hits_are(client, search, asked):
    best = Counter(of(search(client, **asked, limit=20)))
    found = search(client, **asked, rerank={"action": "filter", "min_confidence": 0}, limit=ALL)
    assert found["rerank"]["action"] == "filter"
    category = found["rerank"]["category"]
    assert category["source"] == "hits"
    assert best[category["name"]] >= 3
    assert set(of(found)) - {None} == {category["name"]}
    assert 0 < category["probability"] <= 1


def test_the_page_asked_for_does_not_change_the_vote(client, search):
    asked = {"q": UNNAMED, "rerank": {"min_confidence": 0}}
    found = [
        search(client, **asked, limit=limit, offset=offset)["rerank"] for limit, offset in ((1, 0), (40, 0), (5, 20))
    ]
    assert found[0] == found[1] == found[2]


def test_facets_and_what_is_found_agree_with_the_filter(client, search):
    found = search(client, q=UNNAMED, rerank=named("mug", "filter"), facets=["category", "brand", "price"], limit=ALL)
    hits = [hit["product"] for hit in found["hits"]]
    assert found["found"] == len(hits) == 7
    assert found["filter_strategy"] == "exact"
    for name in ("category", "brand"):
        counted = {value["value"]: value["count"] for value in found["facets"][name]["values"]}
        assert counted == Counter(hit[name] for hit in hits if hit[name] is not None)
        assert found["facets"][name]["exact"]
    assert found["facets"]["price"]["statistics"]["min"] == min(hit["price"] for hit in hits)


# --- putting others behind ---


@pytest.mark.parametrize("mode", ["hybrid", "vector", "lexical"])
def test_demoting_puts_others_behind_and_finds_the_same(client, search, mode):
    for q in (UNNAMED, "red top", "Ruby purple"):
        plain = search(client, q=q, mode=mode, limit=ALL)
        found = search(client, q=q, mode=mode, rerank=named("sneaker", "demote"), limit=ALL)
        assert found["rerank"]["action"] == "demote"
        assert found["found"] == plain["found"]
        assert sorted(ids(found)) == sorted(ids(plain))
        fits = [category == "sneaker" for category in of(found)]
        assert fits == sorted(fits, reverse=True)
        own = [hit for hit in plain["hits"] if hit["product"]["category"] == "sneaker"]
        assert [hit["id"] for hit in own] == ids(found)[: len(own)]  # in the order they had, with the scores
        assert [hit["score"] for hit in own] == [hit["score"] for hit in found["hits"][: len(own)]]


def test_demoting_is_what_is_done_unless_asked_otherwise(client, search):
    found = search(client, q="red mug", rerank={}, limit=ALL)
    assert found["rerank"]["action"] == "demote"
    assert set(ids(found)[:7]) == STATED_MUGS | {"p8"}
    assert len(found["hits"]) == 48


def test_without_rerank_nothing_is_said_of_it(client, search):
    assert search(client, q="red mug")["rerank"] is None


@pytest.mark.parametrize("mode", ["hybrid", "vector", "lexical"])
def test_terms_add_up_to_the_score_of_demoted_hits_too(client, search, mode):
    asked = {"q": "red sneaker by Ruby", "mode": mode, "explain": True, "limit": ALL}
    found = search(client, **asked, rerank=named("mug", "demote"))
    plain = {hit["id"]: hit["score"] for hit in search(client, **asked)["hits"]}
    best = max(plain.values())
    demoted = 0
    for hit in found["hits"]:
        terms = hit["explain"]["terms"]
        assert sum(term["score"] for term in terms) == pytest.approx(hit["score"], abs=1e-4)
        [other] = [term for term in terms if term["name"] == "other category"]
        assert (other["query"], other["value"], other["gate"]) == (0, "mug", None)
        assert other["score"] == pytest.approx(hit["score"] - plain[hit["id"]], abs=1e-5)
        if hit["id"] in STATED_MUGS:
            assert other["score"] == 0
        elif hit["id"] != "p8":
            assert other["score"] <= -0.99 * best
            demoted += 1
    assert demoted >= 4


@pytest.mark.parametrize(("source", "near"), [("caller", 0.9), ("hits", (0.9 - 0.6) / 0.5)])
@pytest.mark.parametrize(
    ("probability", "other", "lost"),
    [
        (1.0, 0.0, {"mug": 0.0, "dress": 1.0, "lamp": 1.0}),
        (0.8, 0.1, {"mug": 0.0, "dress": 0.36 * (1 - 0.1 / 0.8), "lamp": 0.36}),
        (0.5, 0.5, {"mug": 0.0, "dress": 0.0, "lamp": 0.0}),
        (0.0, 0.0, {"mug": 0.0, "dress": 0.0, "lamp": 0.0}),
    ],
)
def test_an_unsure_guess_costs_little_and_its_alternative_less(shop, probability, other, lost, source, near):
    """Of a best score of 0.9, by hand: (2 p - 1)^2, less what the alternative is likely over p.

    What is nearly as good as the best loses in proportion to what it lacks, unless the caller named the category.
    """
    categories = [row["category"] for row in shop.rows]
    rows = np.array([max(n for n, c in enumerate(categories) if c == name) for name in lost])
    scores = np.array([0.9, 0.6, 0.3], np.float32)
    scored = Scored(rows, scores, np.zeros(3, np.int32), np.zeros((3, 0), np.float32), FilterStrategy.NONE, 3)
    guess = Guess("mug", probability, source, (("dress", other),))
    after = demoted(shop.bundle, scored, Reranked(guess, "demote"))
    most = {"mug": 0.0 if source == "hits" else 0.9, "dress": near, "lamp": 0.9}
    np.testing.assert_allclose(scores - after.scores, [most[name] * share for name, share in lost.items()], atol=1e-6)
    np.testing.assert_allclose(after.added[:, -1], after.scores - scores, atol=1e-6)


def test_a_filter_takes_nothing_from_scores(client, search):
    found = search(client, q="red sneaker", rerank=named("mug", "filter"), explain=True, limit=ALL)
    plain = {hit["id"]: hit["score"] for hit in search(client, q="red sneaker", limit=ALL)["hits"]}
    for hit in found["hits"]:
        assert hit["score"] == pytest.approx(plain[hit["id"]], abs=1e-5)
        assert "other category" not in [term["name"] for term in hit["explain"]["terms"]]
        assert sum(term["score"] for term in hit["explain"]["terms"]) == pytest.approx(hit["score"], abs=1e-4)


# --- less than was asked for ---


@pytest.mark.parametrize("action", ["filter", "demote"])
def test_an_unsure_guess_changes_nothing_and_says_why(client, search, action):
    plain = search(client, q=UNNAMED, limit=ALL)
    found = search(client, q=UNNAMED, rerank={"action": action, "min_confidence": 1}, limit=ALL)
    assert found["rerank"]["action"] == "none"
    assert found["rerank"]["reason"] == "not sure enough"
    assert found["rerank"]["category"]["source"] == "hits"
    assert found["rerank"]["category"]["probability"] < 1
    assert found["hits"] == plain["hits"]


@pytest.mark.parametrize("action", ["filter", "demote"])
def test_a_category_that_the_caller_names_is_sure(client, search, action):
    found = search(client, q=UNNAMED, rerank=named("mug", action, min_confidence=1))
    assert found["rerank"]["action"] == action


@pytest.mark.parametrize("action", ["filter", "demote"])
def test_confidence_is_enough_where_it_is_reached(client, search, action):
    sure = search(client, q=UNNAMED, rerank={"min_confidence": 0})["rerank"]["category"]["probability"]
    for least, expected in ((max(0.0, sure - 0.01), action), (sure + 0.01, "none")):
        found = search(client, q=UNNAMED, rerank={"action": action, "min_confidence": least})
        assert found["rerank"]["action"] == expected


def test_a_filter_that_leaves_nothing_demotes_and_says_why(client, search):
    stated = {"category": "top"}
    found = search(client, q=UNNAMED, filter=stated, rerank=named("mug", "filter"), limit=ALL)
    assert found["rerank"]["action"] == "demote"
    assert found["rerank"]["reason"] == "no product of the category meets the filter"
    plain = search(client, q=UNNAMED, filter=stated, limit=ALL)
    assert ids(found) == ids(plain)
    assert found["found"] == 8


def test_a_filter_never_empties_what_words_find(client, search):
    """One product has the word, and is of another category."""
    [hit] = search(client, q="919", mode="lexical")["hits"]
    assert hit["product"]["category"] == "top"
    found = search(client, q="919", mode="lexical", rerank=named("mug", "filter"))
    assert ids(found) == [hit["id"]]
    assert found["rerank"]["action"] == "demote"
    assert found["rerank"]["reason"]


def test_where_nothing_tells_the_category_nothing_changes(client, search):
    asked = {"q": "zzzzqqq", "mode": "lexical"}
    found = search(client, **asked, rerank={"action": "filter", "min_confidence": 0}, limit=ALL)
    assert found["rerank"] == {"category": None, "action": "none", "reason": "nothing tells the category"}
    assert found["hits"] == search(client, **asked, limit=ALL)["hits"]


def test_a_catalogue_without_categories_has_nothing_to_rerank_by(bare, search):
    found = search(bare, q="red dress", rerank={"action": "filter", "min_confidence": 0}, limit=ALL)
    assert (found["rerank"]["category"], found["rerank"]["action"]) == (None, "none")
    assert len(found["hits"]) == 12
    asked = {"q": "red dress", "rerank": named("dress", "filter")}
    assert refusal(bare.post("/v1/search", json=asked)) == ["rerank.category"]


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"q": "mug", "rerank": {"category": "zebra"}}, "rerank.category"),
        ({"q": "mug", "rerank": {"category": "?!"}}, "rerank.category"),
        ({"q": "mug", "rerank": {"category": ""}}, "rerank.category"),
        ({"q": "mug", "rerank": {"category": None}}, "rerank.category"),
        ({"q": "mug", "rerank": {"action": "drop"}}, "rerank.action"),
        ({"q": "mug", "rerank": {"min_confidence": 1.5}}, "rerank.min_confidence"),
        ({"q": "mug", "rerank": {"min_confidence": "0.5"}}, "rerank.min_confidence"),
        ({"q": "mug", "rerank": {"boost": 2}}, "rerank.boost"),
        ({"q": "mug", "rerank": "auto"}, "rerank"),
        ({"rerank": {}}, "q"),
        ({"filter": {"brand": "Ruby"}, "rerank": {}}, "rerank"),
        ({"facets": ["brand"], "rerank": named("mug", "filter")}, "rerank"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(client, asked, path):
    assert refusal(client.post("/v1/search", json=asked)) == [path]
