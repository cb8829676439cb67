"""Searching over HTTP: every way to ask, and answers judged by brute force over what is stored."""

import base64

import numpy as np
import pytest

from indexer.manifest import QueryKind
from models.picture import decode_picture


def brute_force(bundle, q, kind, links=(), words=()):
    """Score every product by the formula, in float64, from the stored vectors, entities in common, and words.

    `links` are the answer's own, of a query that is one text: each counts by its probability and their number.
    `words` are the query's wanted texts, each with its share.
    """
    weights = bundle.manifest.fusion[kind]
    lexical = weights.lexical if words else 0.0
    matching = np.zeros(len(bundle.products))
    for text, share in words:
        scores = bundle.lexical.scores(text)
        matching += share * scores / scores.max()
    images = bundle.vectors["image"].astype(np.float64) @ q
    texts = bundle.vectors["text"].astype(np.float64) @ q
    scores = {}
    for row in range(len(bundle.products)):
        own = images[bundle.image_rows == row]
        product = bundle.products[row]
        common = sum(link["probability"] for link in links if getattr(product, link["group"]) == link["value"])
        scores[product.id] = (
            (1 - lexical) * (weights.text * texts[row] + (weights.image * own.max() if len(own) else 0.0))
            + lexical * matching[row]
            + weights.entities * common / max(len(links), 1)
        )
    return scores


def unit(vector):
    return vector / np.linalg.norm(vector)


def assert_best(found, scores, limit):
    expected = sorted(scores.values(), reverse=True)[:limit]
    assert [hit["score"] for hit in found["hits"]] == pytest.approx(expected, abs=1e-4)
    for hit in found["hits"]:
        assert hit["score"] == pytest.approx(scores[hit["id"]], abs=1e-4)


def test_words_find_what_brute_force_finds(client, shop, bundle, search):
    found = search(client, q="green sneaker", entity_linking="off", limit=10)
    q = shop.encoder.encode_texts(["green sneaker"], [{}])[0].astype(np.float64)
    assert_best(found, brute_force(bundle, q, QueryKind.TEXT, words=[("green sneaker", 1.0)]), 10)
    assert found["index"] == {"bundle": bundle.manifest.id, "model": shop.encoder.name}
    assert found["degraded"] == []
    assert found["found"] == 48


def test_linked_entities_change_the_vector_as_the_encoder_says(client, shop, bundle, search):
    found = search(client, q="golden goat sneaker", limit=5)
    links = {link["group"]: link for link in found["linked_entities"]}
    assert links["brand"]["value"] == "Golden Goat"
    assert links["brand"]["surface"] == "golden goat"
    assert (links["brand"]["start"], links["brand"]["end"]) == (0, 11)
    assert links["brand"]["source"] == "linked"
    assert links["brand"]["known"] is True
    assert links["category"]["value"] == "sneaker"
    entities = {"brand": "Golden Goat", "category": "sneaker"}
    q = shop.encoder.encode_texts(["golden goat sneaker"], [entities])[0].astype(np.float64)
    assert_best(
        found, brute_force(bundle, q, QueryKind.TEXT, found["linked_entities"], [("golden goat sneaker", 1.0)]), 5
    )
    assert found["hits"][0]["product"]["brand"] == "Golden Goat"
    assert found["hits"][0]["product"]["category"] == "sneaker"


def test_the_caller_s_entity_wins_and_null_drops_a_group(client, shop, bundle, search):
    found = search(client, q="golden goat sneaker", entities={"brand": "ruby", "category": None}, explain=True, limit=5)
    [link] = found["linked_entities"]
    assert link == {
        "query": 0, "group": "brand", "value": "Ruby", "surface": None, "start": None, "end": None,
        "probability": 1.0, "source": "caller", "known": True,
    }  # fmt: skip
    q = shop.encoder.encode_texts(["golden goat sneaker"], [{"brand": "Ruby"}])[0].astype(np.float64)
    assert_best(
        found, brute_force(bundle, q, QueryKind.TEXT, found["linked_entities"], [("golden goat sneaker", 1.0)]), 5
    )
    names = {term["name"] for term in found["hits"][0]["explain"]["terms"]}
    assert names == {"words", "brand", "lexical"}


def test_linking_off_uses_the_caller_s_entities_alone(client, search):
    found = search(client, q="golden goat sneaker", entity_linking="off", entities={"category": "mug"})
    assert [(link["group"], link["value"]) for link in found["linked_entities"]] == [("category", "mug")]


def test_an_unknown_stated_entity_is_shown_as_unknown_and_refused_when_strict(client, search):
    found = search(client, q="sneaker", entities={"brand": "Nobody"}, explain=True)
    by_group = {link["group"]: link for link in found["linked_entities"]}
    assert by_group["brand"]["known"] is False
    [brand] = [term for term in found["hits"][0]["explain"]["terms"] if term["name"] == "brand"]
    assert brand == {"query": 0, "name": "brand", "value": "Nobody", "gate": None, "score": 0.0}
    refused = client.post(
        "/v1/search", json={"q": "sneaker", "entities": {"brand": "Nobody"}, "entity_linking": "strict"}
    )
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == "entities.brand"
    assert search(client, q="sneaker", entities={"brand": "RUBY"}, entity_linking="strict")["hits"]


def test_a_picture_finds_its_own_product_however_it_is_sent(client, shop, bundle):
    data = shop.picture("images/p9-0.jpg")
    encoded = base64.b64encode(data).decode()
    in_lines = base64.encodebytes(data).decode()
    ways = [
        client.post("/v1/search", json={"image": {"data": encoded}}),
        client.post("/v1/search", json={"image": {"data": f"data:image/jpeg;base64,{encoded}"}}),
        client.post("/v1/search", json={"image": {"data": in_lines}}),
        client.post("/v1/search", json={"query": [{"image": {"data": encoded}, "weight": 3}]}),
        client.post("/v1/search/image", files={"image": ("p.jpg", data)}),
        client.post("/v1/search/image", files={"image": ("wrong.svg", data, "text/plain")}),
    ]
    answers = [way.json()["hits"] for way in ways]
    assert all(hits == answers[0] for hits in answers)
    q = shop.encoder.encode_images([decode_picture(data)])[0].astype(np.float64)
    assert_best(ways[0].json(), brute_force(bundle, q, QueryKind.IMAGE), 20)
    assert answers[0][0]["id"] == "p9"


def test_words_and_a_picture_are_an_equal_mixture(client, shop, bundle, search):
    data = shop.picture("images/p9-0.jpg")
    encoded = base64.b64encode(data).decode()
    found = search(client, q="watch", image={"data": encoded}, entity_linking="off", limit=8)
    text = shop.encoder.encode_texts(["watch"])[0].astype(np.float64)
    picture = shop.encoder.encode_images([decode_picture(data)])[0].astype(np.float64)
    assert_best(found, brute_force(bundle, unit(text + picture), QueryKind.MIXED, words=[("watch", 0.5)]), 8)
    same = client.post(
        "/v1/search/image", files={"image": data}, data={"q": "watch", "entity_linking": "off", "limit": "8"}
    )
    assert same.json()["hits"] == found["hits"]


def test_the_form_weighs_the_picture_against_the_words(client, shop, bundle):
    data = shop.picture("images/p9-0.jpg")
    asked = {"q": "watch", "weight": "0.25", "entity_linking": "off", "limit": "5", "explain": "true"}
    found = client.post("/v1/search/image", files={"image": data}, data=asked).json()
    text = shop.encoder.encode_texts(["watch"])[0].astype(np.float64)
    picture = shop.encoder.encode_images([decode_picture(data)])[0].astype(np.float64)
    assert_best(
        found, brute_force(bundle, unit(0.75 * text + 0.25 * picture), QueryKind.MIXED, words=[("watch", 0.75)]), 5
    )


def test_the_form_takes_entities_as_json_and_fields_repeatedly(client, shop):
    data = {"q": "golden goat", "entities": '{"brand": null}', "fields": ["id", "title"]}
    found = client.post("/v1/search/image", files={"image": shop.picture("images/p9-0.jpg")}, data=data).json()
    assert all(link["group"] != "brand" for link in found["linked_entities"])
    assert set(found["hits"][0]["product"]) == {"id", "title"}


def test_negative_weights_push_away(client, shop, bundle, search):
    parts = [{"text": "red sneaker"}, {"text": "red", "weight": -0.8}, {"product": "p3", "weight": 0.5}]
    found = search(client, query=parts, entity_linking="off", limit=6)
    weights = bundle.manifest.fusion[QueryKind.MIXED]
    row = bundle.products.row_of("p3")
    own = unit(bundle.vectors["image"][bundle.image_rows == row].astype(np.float64).mean(axis=0))
    product = unit(weights.image * own + weights.text * bundle.vectors["text"][row].astype(np.float64))
    words, red = shop.encoder.encode_texts(["red sneaker", "red"]).astype(np.float64)
    q = unit(words - 0.8 * red + 0.5 * product)
    assert_best(found, brute_force(bundle, q, QueryKind.MIXED, words=[("red sneaker", 1 / 1.5)]), 6)


def test_weights_only_count_relative_to_each_other(client, search):
    one = search(client, query=[{"text": "red"}, {"text": "mug", "weight": 0.5}])
    two = search(client, query=[{"text": "red", "weight": 20}, {"text": "mug", "weight": 10}])
    assert [hit["id"] for hit in one["hits"]] == [hit["id"] for hit in two["hits"]]
    assert [hit["score"] for hit in one["hits"]] == pytest.approx([hit["score"] for hit in two["hits"]], abs=2e-6)


@pytest.mark.parametrize(
    "asked",
    [
        {"q": "diesel lane red dress"},
        {"q": "golden goat", "entities": {"category": "mug"}},
        {"query": [{"text": "ruby red watch"}, {"product": "p3", "weight": 0.7}, {"text": "blue", "weight": -0.4}]},
        {"query": [{"product": "p7"}]},
        {"q": "mug", "query": [{"text": "bag", "weight": 2}]},
    ],
)
def test_explained_terms_add_up_to_the_score(client, asked, search):
    found = search(client, **asked, explain=True, limit=48)
    assert len(found["hits"]) == 48
    for hit in found["hits"]:
        terms = hit["explain"]["terms"]
        assert sum(term["score"] for term in terms) == pytest.approx(hit["score"], abs=1e-4)
    queries = {term["query"] for term in found["hits"][0]["explain"]["terms"]}
    assert queries == set(range(len(queries)))


def test_terms_say_what_they_are(client, shop, search):
    encoded = base64.b64encode(shop.picture("images/p9-0.jpg")).decode()
    found = search(client, q="golden goat", image={"data": encoded}, query=[{"product": "p3"}], explain=True, limit=1)
    terms = {(term["query"], term["name"]): term for term in found["hits"][0]["explain"]["terms"]}
    assert set(terms) == {(0, "words"), (0, "brand"), (0, "lexical"), (1, "image"), (2, "product")}
    assert terms[0, "brand"]["value"] == "Golden Goat"
    assert 0 < terms[0, "brand"]["gate"] < 1
    assert terms[2, "product"]["value"] == "p3"
    assert terms[0, "words"]["gate"] is None


def test_hits_are_not_explained_unless_asked(client, search):
    assert all("explain" not in hit for hit in search(client, q="mug")["hits"])


def test_pages_join_without_gap_or_overlap(client, search):
    whole = search(client, q="red", limit=30)["hits"]
    pages = [search(client, q="red", limit=7, offset=offset)["hits"] for offset in range(0, 30, 7)]
    joined = [hit for page in pages for hit in page][:30]
    assert [hit["id"] for hit in joined] == [hit["id"] for hit in whole]
    assert search(client, q="red", offset=1000)["hits"] == []


def test_a_product_is_one_hit_however_many_pictures_it_has(client, search):
    ids = [hit["id"] for hit in search(client, q="red", limit=48)["hits"]]
    assert len(ids) == len(set(ids)) == 48


def test_fields_restrict_the_product(client, search):
    found = search(client, q="red", fields=["title", "images", "price"])
    assert all(set(hit["product"]) == {"title", "images", "price"} for hit in found["hits"])


def test_a_hit_shows_the_whole_product_as_the_feed_states_it(client, shop, search):
    [hit] = search(client, query=[{"product": "p3"}], limit=1)["hits"]
    row = shop.rows[3]
    assert hit["product"] == {
        "id": "p3", "title": row["title"], "description": row["description"], "brand": row["brand"],
        "category": row["category"], "season": row["season"], "composition": row["composition"],
        "price": row["price"], "currency": "EUR", "in_stock": row["in_stock"], "url": row["url"], "group": None,
        "images": ["/v1/products/p3/images/0", "/v1/products/p3/images/1"],
        "attributes": {"colour": row["colour"], "split": row["split"]},
    }  # fmt: skip


def test_stages_are_timed_and_fit_into_the_total(client, shop, search):
    encoded = base64.b64encode(shop.picture("images/p11-0.jpg")).decode()
    timings = search(client, q="red", image={"data": encoded})["timings_ms"]
    stages = [timings[name] for name in ("decode", "encode", "retrieve", "rank")]
    assert all(stage >= 0 for stage in stages)
    assert timings["decode"] > 0
    assert sum(stages) <= timings["total"] + 0.01


def test_control_characters_and_spaces_are_cleaned_from_words(client, search):
    tidy = search(client, q="red mug", limit=5)
    untidy = search(client, q="  red \t\r\n mug\x07 ", limit=5)
    assert [hit["id"] for hit in tidy["hits"]] == [hit["id"] for hit in untidy["hits"]]


def test_the_same_question_again_comes_from_the_cache(open_service, shop, search):
    client = open_service(result_cache_bytes=0)
    first = search(client, q="something new", explain=True)
    again = search(client, q=" something   new ", explain=True)
    assert again["hits"] == first["hits"]
    lookups = client.get("/metrics").text
    assert 'catalens_cache_lookups_total{result="hit"} 1.0' in lookups
