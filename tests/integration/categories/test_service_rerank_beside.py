"""Ranking by category together with what else a search may ask, and after updates."""

import pytest

from indexer import ranking
from tests.support.categories import ALL, BAGS, MUGS, STATED_MUGS, UNNAMED, ids, named, of, refusal

pytestmark = pytest.mark.usefixtures("quick_builds")


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
