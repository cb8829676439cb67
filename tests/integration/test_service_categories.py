"""What category a query is of, over HTTP, and what becomes of the hits of another."""

import base64
import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from indexer import ranking
from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.ranking import FilterStrategy, Scored
from service.api.views import ClassifyResponse
from service.app import create_app
from service.categorise import Guess, Reranked, demoted, kind_vectors
from service.mixture import EncodedPart, mix
from service.query import Query, TextPart
from service.settings import Settings

ANSWER = TypeAdapter(ClassifyResponse)
ALL = 100
UNNAMED = "red and blue model for every day"  # words that name no category

pytestmark = pytest.mark.usefixtures("quick_builds")


@pytest.fixture(scope="module")
def feeds(support):
    return support("feeds")


@pytest.fixture(scope="module")
def opened(weightless, feeds, tmp_path_factory):
    """Build a shop of rows and open it: `opened(rows)`."""
    bundles = []

    def make(rows):
        folder = tmp_path_factory.mktemp("shop")
        feeds.write_pictures(folder / "feed", rows)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "feed" / "catalogue.jsonl").write_text(lines)
        encoder = weightless(64, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
        built = build(encoder, BuildOptions(folder / "feed", folder / "data"))
        bundles.append(Bundle.open(built.path))
        return SimpleNamespace(rows=rows, bundle=bundles[-1], encoder=encoder, feed=folder / "feed")

    yield make
    for bundle in bundles:
        bundle.close()


@pytest.fixture(scope="module")
def shop(opened, feeds):
    """48 products, eight of each category but for those that `stated` below changes."""
    rows = feeds.products(48, pictures=1)
    for number, category in {8: None, 10: "dress", 21: "lamp", 34: "Bag"}.items():
        rows[number]["category"] = category  # 8 is a mug, 10 and 34 are bags, 21 a mug
    for row in rows[:4]:
        row["images"] = []
    for number in range(12, 24):
        rows[number]["group"] = f"g{number // 2}"
    return opened(rows)


def serve(shop, **given):
    settings = Settings.model_validate({"update_log": "off", "ready_cache_ms": 0, **given})
    return TestClient(create_app(settings, (shop.encoder, shop.bundle)))


@pytest.fixture(scope="module")
def client(shop):
    with serve(shop) as client:
        yield client


@pytest.fixture(scope="module")
def bare(opened, feeds):
    """A client of a shop whose products state no category."""
    rows = [{**row, "category": None} for row in feeds.products(12, pictures=1)]
    with serve(opened(rows)) as client:
        yield client


@pytest.fixture
def live(shop, tmp_path):
    """A client of a shop whose products may be changed."""
    with serve(shop, update_log="auto", data_dir=tmp_path, write_timeout_ms=20_000) as client:
        yield client


@pytest.fixture(scope="module")
def picture(shop):
    """Return a product's picture as a request has it."""
    return lambda number: {"data": base64.b64encode((shop.feed / f"images/p{number}-0.jpg").read_bytes()).decode()}


def classify(client, **asked):
    answer = client.post("/v1/classify", json=asked)
    assert answer.status_code == 200, answer.text
    ANSWER.validate_python(answer.json(), strict=True)
    return answer.json()["category"]


def ids(found):
    return [hit["id"] for hit in found["hits"]]


def of(found):
    return [hit["product"]["category"] for hit in found["hits"]]


def refusal(answer):
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"].endswith(":invalid-request")
    return [error["path"] for error in answer.json()["errors"]]


def named(category, action, **more):
    return {"category": category, "action": action, **more}


BAGS = {f"p{i}" for i in range(48) if (i // 2) % 6 == 5}
MUGS = {f"p{i}" for i in range(48) if (i // 2) % 6 == 4}
STATED_MUGS = MUGS - {"p8", "p21"}


# --- what category it is ---


def test_words_that_name_a_category(client):
    category = classify(client, q="a red mug by Ruby")
    assert (category["name"], category["source"], category["alternatives"]) == ("mug", "linked", [])
    assert 0.5 <= category["probability"] <= 1
    assert classify(client, q="MUGS")["name"] == "mug"


def test_a_category_that_the_caller_states_as_an_entity(client):
    category = classify(client, q=UNNAMED, entities={"category": "Watch"})
    assert (category["name"], category["probability"], category["source"]) == ("watch", 1.0, "linked")


def is_judged(category, shop, source):
    """Check what holds of whatever the judges say."""
    others = [other["probability"] for other in category["alternatives"]]
    assert category["source"] == source
    assert 1 <= len(others) <= 4
    assert others == sorted(others, reverse=True)
    assert 0 <= min(others) <= max(others) <= category["probability"]
    assert 0 < category["probability"] <= category["probability"] + sum(others) <= 1 + 1e-5
    names = [category["name"], *(other["name"] for other in category["alternatives"])]
    assert len(set(names)) == len(names)
    assert set(names) <= set(shop.bundle.categories.names)
    return category["name"]


@pytest.mark.parametrize(
    "asked",
    [
        {"q": UNNAMED},
        {"q": "something blue"},
        {"q": "7"},
        {"q": "Diesel Lane"},
        {"q": "zebra"},
        {"q": "mug", "entity_linking": "off"},
        {"q": "mug", "entities": {"category": None}},
    ],
)
def test_words_that_name_none_are_judged(client, shop, asked):
    is_judged(classify(client, **asked), shop, "words")


def test_words_are_judged_by_what_they_mean(client, shop):
    for name in ("mug", "watch", "sneaker", "top"):
        asked = {"q": f"a {name} for every day", "entity_linking": "off"}
        assert is_judged(classify(client, **asked), shop, "words") == name


def test_a_picture_is_judged(client, shop, picture):
    seen = {is_judged(classify(client, image=picture(number)), shop, "picture") for number in range(4, 48, 4)}
    assert len(seen) > 1


def test_words_and_a_picture_are_judged_together(client, shop, picture):
    is_judged(classify(client, q=UNNAMED, image=picture(9)), shop, "both")
    sure = classify(client, q="mug handle", image=picture(9), entity_linking="off")
    assert is_judged(sure, shop, "both") == "mug"


def test_a_name_counts_for_more_than_a_picture(client, picture):
    category = classify(client, q="watch", image=picture(9))
    assert (category["name"], category["source"]) == ("watch", "linked")


def test_words_are_no_surer_than_short_ones_were_found_to_be(client, shop):
    least, most = shop.bundle.categories.of_queries.y[[0, -1]]
    sure = [classify(client, q=q, entity_linking="off")["probability"] for q in (UNNAMED, "mug", "watch", "7")]
    assert least - 1e-6 <= min(sure) <= max(sure) <= most + 1e-6 < 1


def test_the_judges_do_not_see_a_category_that_the_query_is_read_with(shop):
    read = shop.encoder.text_terms(["red thing"], [{"brand": "Ruby", "category": "mug"}])[0]
    mixture = mix([EncodedPart(0, 1.0, read, {})])
    found = kind_vectors(Query((TextPart("red thing", 1.0, "q"),)), mixture)
    [own] = shop.encoder.encode_texts(["red thing"], [{"brand": "Ruby"}])
    np.testing.assert_allclose(found["text"], own, atol=1e-6)


def test_the_first_is_the_likeliest_however_short_the_words(client, shop, feeds):
    for number in range(40):
        colour = list(feeds.COLOURS)[number % 6]
        is_judged(classify(client, q=f"{colour} {number} thing"), shop, "words")


def test_what_is_no_picture_is_not_classified(client):
    answer = client.post("/v1/classify", json={"image": {"data": "nonsense"}})
    assert answer.status_code == 415
    assert [error["path"] for error in answer.json()["errors"]] == ["image.data"]


@pytest.mark.parametrize("asked", [{"q": UNNAMED}, {"q": "dress"}])
def test_a_catalogue_without_categories_tells_none(bare, asked):
    assert classify(bare, **asked) is None


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({}, "q"),
        ({"q": None}, "q"),
        ({"q": "  "}, "q"),
        ({"entities": {"category": "mug"}}, "q"),
        ({"image": {}}, "image"),
        ({"q": "mug", "limit": 3}, "limit"),
        ({"q": "mug", "query": [{"text": "mug"}]}, "query"),
        ({"q": "mug", "entity_linking": "strict", "entities": {"category": "zebra"}}, "entities.category"),
    ],
)
def test_what_cannot_be_classified_is_refused_with_its_path(client, asked, path):
    assert refusal(client.post("/v1/classify", json=asked)) == [path]


def test_the_documentation_has_it_with_its_problems(client):
    described = client.get("/openapi.json").json()
    asked = described["paths"]["/v1/classify"]["post"]
    assert set(asked["responses"]) == set(described["paths"]["/v1/search"]["post"]["responses"])
    assert {"200", "422", "500", "503", "504"} <= set(asked["responses"])
    assert "rerank" in described["components"]["schemas"]["SearchRequest"]["properties"]


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


# --- together with what else a search may ask ---


@pytest.mark.parametrize("action", ["filter", "demote"])
def test_with_a_filter(client, search, action):
    stated = {"price": {"lt": 40}, "in_stock": True}
    found = search(client, q=UNNAMED, filter=stated, rerank=named("mug", action), limit=ALL)
    assert all(hit["product"]["price"] < 40 and hit["product"]["in_stock"] for hit in found["hits"])
    mugs = {i for i in ids(found) if i in STATED_MUGS | {"p8"}}
    assert mugs == {f"p{i}" for i in (8, 9)}  # 20 is not in stock
    assert set(ids(found)[:2]) == mugs
    assert len(found["hits"]) == (2 if action == "filter" else found["found"]) == found["found"]


def test_with_sorting(client, search):
    found = search(client, q=UNNAMED, sort=["price:desc"], rerank=named("mug", "filter"), limit=ALL)
    prices = [hit["product"]["price"] for hit in found["hits"]]
    assert prices == sorted(prices, reverse=True)
    assert set(ids(found)) == STATED_MUGS | {"p8"}
    found = search(client, q=UNNAMED, sort=["season:asc"], rerank=named("mug", "demote"), limit=ALL)
    seasons = [hit["product"]["season"] for hit in found["hits"]]
    assert seasons == sorted(seasons)
    for season in ("summer", "winter"):  # within a season the score decides
        fits = [hit["id"] in STATED_MUGS | {"p8"} for hit in found["hits"] if hit["product"]["season"] == season]
        assert fits == sorted(fits, reverse=True)


@pytest.mark.parametrize("action", ["filter", "demote"])
def test_with_collapsing(client, search, action):
    asked = {"q": UNNAMED, "collapse": "brand", "limit": ALL}
    found = search(client, **asked, rerank=named("mug", action))
    brands = [hit["product"]["brand"] for hit in found["hits"]]
    assert len(set(brands)) == len(brands)
    best = search(client, q=UNNAMED, rerank=named("mug", action), limit=ALL)["hits"]
    firsts = {hit["product"]["brand"]: hit["id"] for hit in reversed(best)}
    assert {hit["product"]["brand"]: hit["id"] for hit in found["hits"]} == firsts
    assert len(brands) == (4 if action == "filter" else 5)  # of one brand there is no mug
    assert set(ids(found)[:4]) <= STATED_MUGS | {"p8"}


@pytest.mark.parametrize("action", ["filter", "demote"])
def test_with_diversity(client, search, action):
    found = search(client, q=UNNAMED, diversity=0.5, rerank=named("mug", action), limit=ALL)
    plain = search(client, q=UNNAMED, rerank=named("mug", action), limit=ALL)
    assert sorted(ids(found)) == sorted(ids(plain))


@pytest.mark.parametrize("action", ["filter", "demote"])
@pytest.mark.parametrize("more", [{}, {"collapse": "group"}, {"mode": "vector"}, {"sort": ["season:asc"]}])
def test_pages_belong_to_one_order(client, search, action, more):
    asked = {"q": "red top", "rerank": named("bag", action), **more}
    whole = ids(search(client, **asked, limit=ALL))
    pages = [ids(search(client, **asked, limit=5, offset=offset)) for offset in range(0, len(whole) + 5, 5)]
    assert [one for page in pages for one in page] == whole
    assert len(set(whole)) == len(whole)


def test_pages_belong_to_one_order_where_few_are_looked_at(client, search, monkeypatch):
    """As in a large catalogue, of which a page's candidates are a small part."""
    monkeypatch.setattr(ranking, "MIN_CANDIDATES", 4)
    monkeypatch.setattr(ranking, "OVERSAMPLE", 1)
    asked = {"q": "red top", "mode": "vector", "entity_linking": "off", "rerank": named("bag", "demote")}
    pages = [ids(search(client, **asked, limit=4, offset=offset)) for offset in range(0, 24, 4)]
    shown = [one for page in pages for one in page]
    assert len(set(shown)) == len(shown) == 24


def test_with_parts_and_excluded_ones(client, search, picture):
    parts = [{"image": picture(9)}, {"text": "red", "weight": 0.5}, {"product": "p2", "weight": -0.5}]
    found = search(client, query=parts, rerank=named("mug", "filter"), limit=ALL)
    assert set(ids(found)) == STATED_MUGS | {"p8"}
    asked = {"query": [{"image": picture(9)}], "rerank": {"action": "filter", "min_confidence": 0}}
    found = search(client, **asked, limit=ALL)
    category = found["rerank"]["category"]
    assert category["source"] == "hits"
    assert set(of(found)) - {None} == {category["name"]}


def test_words_that_are_not_wanted_name_no_category(client, search):
    parts = [{"text": "red thing"}, {"text": "mug", "weight": -0.5}]
    found = search(client, query=parts, rerank={"min_confidence": 0}, limit=ALL)
    assert found["rerank"]["category"]["source"] == "hits"


def test_the_form_with_a_picture_has_it_too(client, shop):
    file = (shop.feed / "images/p9-0.jpg").read_bytes()

    def ask(rerank, **more):
        data = {"limit": str(ALL), "rerank": rerank, **more}
        return client.post("/v1/search/image", files={"image": file}, data=data)

    found = ask('{"category": "Mug", "action": "filter"}').json()
    assert set(ids(found)) == STATED_MUGS | {"p8"}
    assert found["rerank"]["category"]["source"] == "caller"
    found = ask('{"min_confidence": 0}', q=UNNAMED).json()
    assert (found["rerank"]["action"], found["rerank"]["category"]["source"]) == ("demote", "hits")
    assert refusal(ask('{"category": "zebra"}')) == ["rerank.category"]
    assert refusal(ask("{")) == ["rerank"]
    assert refusal(ask('{"boost": 1}')) == ["rerank.boost"]


def test_the_similar_do_not_take_it(client):
    assert client.get("/v1/products/p9/similar", params={"rerank": "{}"}).status_code == 422


# --- after updates ---


def put(client, *items):
    answer = client.put("/v1/products", params={"wait": True}, json={"products": list(items)})
    assert [result["status"] for result in answer.json()["results"]] == [200] * len(items), answer.text


def item(product_id, category, title="Zebra thing"):
    return {"id": product_id, "title": title, **({} if category is None else {"category": category})}


def test_products_that_came_later_count_by_what_they_state(live, search):
    put(live, item("new", "MUG"), item("silent", None, "mug"), item("p9", "bag"), item("p8", "watch"))
    for action in ("filter", "demote"):
        found = search(live, q=UNNAMED, rerank=named("mug", action), limit=ALL)
        mugs = STATED_MUGS - {"p9"} | {"new"}
        assert set(ids(found)[: len(mugs)]) == mugs
        assert found["found"] == (len(mugs) if action == "filter" else 50)
    bags = ids(search(live, q=UNNAMED, rerank=named("bag", "filter"), limit=ALL))
    assert set(bags) == BAGS | {"p9"}
    watches = search(live, q=UNNAMED, rerank=named("watch", "filter"), limit=ALL)
    assert "p8" in ids(watches)
    assert set(of(watches)) == {"watch"}


def test_terms_add_up_after_updates(live, search):
    put(live, item("new", "mug"), item("p0", "bag"))
    found = search(live, q="zebra top", rerank=named("top", "demote"), explain=True, limit=ALL)
    assert {"new", "p0"} <= set(ids(found))
    for hit in found["hits"]:
        assert sum(term["score"] for term in hit["explain"]["terms"]) == pytest.approx(hit["score"], abs=1e-4)


def test_a_category_that_came_later_may_be_named(live, search):
    asked = {"q": UNNAMED, "rerank": named("Tent", "filter")}
    assert refusal(live.post("/v1/search", json=asked)) == ["rerank.category"]
    put(live, item("tent", "tent"))
    found = search(live, **asked)
    assert ids(found) == ["tent"]
    assert found["rerank"]["category"]["name"] == "tent"


def test_the_deleted_are_never_shown(live, search):
    for gone in ("p8", "p9", "p34"):
        assert live.delete(f"/v1/products/{gone}", params={"wait": True}).status_code == 200
    for category in ("mug", "bag"):
        for action in ("filter", "demote"):
            found = search(live, q=UNNAMED, rerank=named(category, action), facets=["category"], limit=ALL)
            assert not {"p8", "p9", "p34"} & set(ids(found))
            assert found["found"] == len(found["hits"])
    mugs = search(live, q=UNNAMED, rerank=named("mug", "filter"), limit=ALL)
    assert set(ids(mugs)) == STATED_MUGS - {"p9"}


def test_a_category_of_which_all_are_deleted(live, search):
    put(live, *({"id": product_id, "delete": True} for product_id in MUGS))
    asked = {"q": UNNAMED, "rerank": named("mug", "filter")}
    assert refusal(live.post("/v1/search", json=asked)) == ["rerank.category"]
    found = search(live, q="red mug", rerank={"action": "filter"}, limit=ALL)  # the word is still a category's name
    assert found["rerank"]["action"] == "none"
    assert found["rerank"]["reason"] == "not sure enough"
    assert len(found["hits"]) == 48 - len(MUGS)
    assert not MUGS & set(ids(found))
