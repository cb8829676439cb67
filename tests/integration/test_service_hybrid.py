"""Words matched as words: alone, beside vectors, explained, and misspelt."""

import numpy as np
import pytest

from indexer.manifest import QueryKind
from indexer.ranking import score_rows


def test_lexical_search_finds_what_has_the_words(client, bundle, search):
    found = search(client, q="purple watch", mode="lexical", limit=48)
    scores = bundle.lexical.scores("purple watch")
    expected = np.flatnonzero(scores)
    assert found["found"] == len(expected)
    order = expected[np.lexsort((expected, -scores[expected]))]
    assert [hit["id"] for hit in found["hits"]] == [bundle.products.id_of(int(row)) for row in order]
    assert found["hits"][0]["score"] == pytest.approx(1.0)
    assert found["timings_ms"]["encode"] < 50


def test_a_slip_of_the_pen(client, search):
    right, wrong = (search(client, q=q, mode="lexical", limit=48) for q in ("purple sneaker", "purpel sneekers"))
    assert {hit["id"] for hit in wrong["hits"]} == {hit["id"] for hit in right["hits"]}


def test_no_such_word(client, search):
    found = search(client, q="xylophone zzz", mode="lexical", facets=["brand"])
    assert (found["hits"], found["found"]) == ([], 0)


def test_hybrid_scores_are_the_weighted_sum_and_their_terms_say_so(client, shop, bundle, search):
    asked = {"q": "green watch", "entity_linking": "off", "limit": 48, "explain": True}
    found = search(client, **asked, lexical_weight=0.35)
    q = shop.encoder.encode_texts(["green watch"], [{}])[0]
    vectors, _ = score_rows(bundle, q, bundle.manifest.fusion[QueryKind.TEXT], np.arange(48))
    lexical = bundle.lexical.scores("green watch")
    expected = 0.65 * vectors + 0.35 * lexical / lexical.max()
    for hit in found["hits"]:
        row = bundle.products.row_of(hit["id"])
        assert hit["score"] == pytest.approx(expected[row], abs=1e-4)
        terms = {term["name"]: term["score"] for term in hit["explain"]["terms"]}
        assert terms["lexical"] == pytest.approx(0.35 * lexical[row] / lexical.max(), abs=1e-4)
        assert sum(terms.values()) == pytest.approx(hit["score"], abs=1e-4)


def test_vector_mode_is_a_lexical_weight_of_nothing(client, search):
    vector = search(client, q="green watch", mode="vector")
    assert vector["hits"] == search(client, q="green watch", lexical_weight=0.0)["hits"]
    assert vector["hits"] != search(client, q="green watch", lexical_weight=0.9)["hits"]


def test_pictures_and_unwanted_words_are_not_matched_as_words(client, search):
    parts = [{"text": "green watch"}, {"text": "mug", "weight": -0.5}]
    explained = search(client, query=parts, lexical_weight=0.5, explain=True)["hits"][0]["explain"]["terms"]
    assert [term["query"] for term in explained if term["name"] == "lexical"] == [0]
    similar = client.get("/v1/products/p3/similar", params={"explain": "true"}).json()["hits"][0]["explain"]["terms"]
    assert "lexical" not in {term["name"] for term in similar}


def test_texts_share_the_weight(client, search):
    parts = [{"text": "green watch", "weight": 3.0}, {"text": "ruby mug", "weight": 1.0}]
    found = search(client, query=parts, mode="lexical", explain=True, limit=48)
    best = {0: 0.0, 1: 0.0}
    for hit in found["hits"]:
        for term in hit["explain"]["terms"]:
            best[term["query"]] = max(best[term["query"]], term["score"])
    assert best == {0: pytest.approx(0.75), 1: pytest.approx(0.25)}


def test_a_filter_and_facets_in_lexical_mode(client, search):
    found = search(client, q="watch", mode="lexical", filter={"season": "winter"}, facets=["category"], limit=48)
    assert {hit["product"]["season"] for hit in found["hits"]} == {"winter"}
    assert found["facets"]["category"]["values"] == [{"value": "watch", "count": found["found"]}]
    assert found["facets"]["category"]["exact"]
    assert found["filter_strategy"] == "exact"


def test_collapsing_ends_where_no_more_is_found(client, search):
    found = search(client, q="watch", mode="lexical", collapse="season", limit=20)
    assert found["found"] == len(found["hits"]) == 2
    found = search(client, q="watch", collapse="season", limit=20)
    assert len(found["hits"]) == 2


def test_diversity_of_words_alone(client, search):
    plain, diverse = (
        [hit["id"] for hit in search(client, q="purple sneaker", mode="lexical", diversity=d)["hits"]] for d in (0, 0.8)
    )
    assert plain[0] == diverse[0]
    assert plain != diverse


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"filter": {"season": "winter"}, "mode": "lexical"}, "mode"),
        ({"query": [{"text": "watch"}, {"product": "p3"}], "mode": "lexical"}, "mode"),
        ({"q": "watch", "mode": "fuzzy"}, "mode"),
        ({"q": "watch", "mode": "vector", "lexical_weight": 0.5}, "lexical_weight"),
        ({"q": "watch", "lexical_weight": 1.5}, "lexical_weight"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(client, asked, path):
    answer = client.post("/v1/search", json=asked)
    assert answer.status_code == 422, answer.text
    assert [error["path"] for error in answer.json()["errors"]] == [path]
