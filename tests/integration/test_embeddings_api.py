"""Vectors over HTTP: those of the index, those of searches, in order; and what is refused, and where."""

import asyncio
import base64
import time

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter

from indexer.product_encoding import entities_of, texts_of
from models.picture import decode_picture
from service.api.views import EmbeddingsResponse
from service.app import create_app
from service.auth import add_key
from service.embedding import MOST_CHARACTERS, MOST_EMBEDDED
from service.scopes import Scope
from service.settings import Settings

FORM = TypeAdapter(EmbeddingsResponse)
PATH = "/v1/embeddings"
HALF = 1e-3  # between numbers of 32 bits and of 16, at most, of a vector of length one


def embed(client, *inputs, **asked):
    answer = client.post(PATH, json={"input": list(inputs), **asked})
    assert answer.status_code == 200, answer.text
    FORM.validate_python(answer.json(), strict=True)
    return answer.json()


def vectors(answer):
    assert [(each["object"], each["index"]) for each in answer["data"]] == [
        ("embedding", at) for at in range(len(answer["data"]))
    ]
    return np.array([each["embedding"] for each in answer["data"]], np.float32)


def in_base64(data):
    return {"image": {"data": base64.b64encode(data).decode()}}


def lookups(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        sample.labels["result"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "catalens_cache_lookups_total"
    }


def test_a_products_text_and_entities_and_pictures_give_the_vectors_of_the_index(client, shop, bundle):
    products = [bundle.products[row] for row in range(20)]
    texts, entities = texts_of(products, shop.encoder), entities_of(products, shop.encoder)
    stated = [{"text": text, "entities": dict(own)} for text, own in zip(texts, entities, strict=True)]
    before = lookups(client)
    made = vectors(embed(client, *stated, kind="product"))
    np.testing.assert_allclose(made, bundle.vectors["text"][:20].astype(np.float32), atol=HALF)
    row = bundle.products.row_of("p9")
    shown = [in_base64(shop.picture(name)) for name in shop.rows[9]["images"]]
    made = vectors(embed(client, *shown, kind="product"))
    own = bundle.vectors["image"][bundle.image_starts[row] : bundle.image_starts[row + 1]]
    np.testing.assert_allclose(made, own.astype(np.float32), atol=HALF)
    assert lookups(client) == before, "what is embedded once is not kept"


def test_a_query_gives_the_vector_it_is_searched_with(client, shop, bundle, search):
    words = "golden goat sneaker"
    answer = embed(client, "anything", words, in_base64(shop.picture("images/p3-0.jpg")))
    assert answer["linked_entities"] == [{**link, "query": 1} for link in search(client, q=words)["linked_entities"]]
    linked = {link["group"]: link["value"] for link in answer["linked_entities"]}
    assert linked["brand"] == "Golden Goat"
    made = vectors(answer)
    expected = shop.encoder.encode_texts([words], [linked])[0]
    np.testing.assert_allclose(made[1], expected, atol=1e-6)
    [picture] = shop.encoder.encode_images([decode_picture(shop.picture("images/p3-0.jpg"))])
    np.testing.assert_allclose(made[2], picture, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1.0, atol=1e-5)
    assert (answer["model"], answer["fingerprint"]) == (shop.encoder.name, shop.encoder.fingerprint)
    assert answer["index"]["bundle"] == bundle.manifest.id
    assert answer["degraded"] == []


def test_words_of_a_product_are_taken_as_they_are_and_stated_entities_win(client, shop):
    words = "golden goat sneaker"
    plain = embed(client, words, kind="product")
    assert plain["linked_entities"] == []
    np.testing.assert_allclose(vectors(plain)[0], shop.encoder.encode_texts([words], [{}])[0], atol=1e-6)
    stated = {"text": words, "entities": {"brand": "ruby", "category": None}}
    answer = embed(client, stated)
    assert [(link["group"], link["value"], link["source"]) for link in answer["linked_entities"]] == [
        ("brand", "Ruby", "caller")
    ]
    expected = shop.encoder.encode_texts([words], [{"brand": "Ruby"}])[0]
    np.testing.assert_allclose(vectors(answer)[0], expected, atol=1e-6)


def test_base64_and_a_bare_string_are_the_same_numbers(client):
    numbers = vectors(embed(client, "red mug", "blue mug"))
    answer = embed(client, "red mug", "blue mug", encoding_format="base64")
    read = [np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in answer["data"]]
    np.testing.assert_array_equal(np.stack(read), numbers)
    for asked in (
        {"input": "red mug", "model": answer["model"]},
        {"input": {"text": "red mug", "image": None}, "model": None},
    ):
        np.testing.assert_array_equal(vectors(client.post(PATH, json=asked).json()), numbers[:1])


def test_as_many_as_may_be_come_in_order(client, shop):
    words = [f"mug no {n}" for n in range(MOST_EMBEDDED)]
    made = vectors(embed(client, *words, kind="product"))
    np.testing.assert_allclose(made, shop.encoder.encode_texts(words), atol=1e-6)


MUG = {"text": "red mug"}
REFUSED = {
    "nothing": ({}, 422, "input"),
    "no inputs": ({"input": []}, 422, "input"),
    "too many": ({"input": ["mug"] * (MOST_EMBEDDED + 1)}, 422, "input"),
    "a number": ({"input": [MUG, 7]}, 422, "input[1]"),
    "null": ({"input": [None]}, 422, "input[0]"),
    "no words": ({"input": [{"text": None}]}, 422, "input[0]"),
    "white space": ({"input": ["mug", " \t"]}, 422, "input[1].text"),
    "both": ({"input": [{**MUG, **in_base64(b"x")}]}, 422, "input[0]"),
    "entities of a picture": ({"input": [{**in_base64(b"x"), "entities": {"brand": "Ruby"}}]}, 422, "input[0]"),
    "a picture that is none": ({"input": [MUG, MUG, in_base64(b"nonsense")]}, 415, "input[2].image.data"),
    "half a picture": ({"input": [MUG, "cut"]}, 422, "input[1].image.data"),
    "no base64": ({"input": [{"image": {"data": "?"}}, MUG]}, 422, "input[0].image.data"),
    "a URL": ({"input": [{"image": {"url": "https://shop.example/a.jpg"}}]}, 422, "input[0].image.url"),
    "words of a query too long": ({"input": [MUG, "m" * 2_001]}, 422, "input[1].text"),
    "words of a product too long": ({"input": ["m" * 52_001], "kind": "product"}, 422, "input[0].text"),
    "words too long together": ({"input": ["m" * (MOST_CHARACTERS // 4)] * 5, "kind": "product"}, 422, "input"),
    "unknown kind": ({"input": ["mug"], "kind": "passage"}, 422, "kind"),
    "unknown format": ({"input": ["mug"], "encoding_format": "int8"}, 422, "encoding_format"),
    "another model": ({"input": ["mug"], "model": "text-embedding-3-small"}, 422, "model"),
    "unknown field": ({"input": ["mug"], "dimensions": 256}, 422, "dimensions"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_refused_whole_and_where_it_is(client, shop, case):
    asked, status, path = REFUSED[case]
    if case == "half a picture":
        asked = {"input": [MUG, in_base64(shop.picture("images/p3-0.jpg")[:-300])]}
    answer = client.post(PATH, json=asked)
    assert answer.status_code == status, answer.text
    assert path in [error["path"] for error in answer.json()["errors"]]


def test_long_words_of_a_product_are_embedded(client):
    made = vectors(embed(client, "mug " * 12_499 + "mugs", kind="product"))
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1.0, atol=1e-5)


def test_it_needs_the_right_to_search(open_service, tmp_path):
    keys = tmp_path / "keys.json"
    header = {scope: {"x-api-key": add_key(keys, scope.value, [scope])} for scope in (Scope.SEARCH, Scope.WRITE)}
    client = open_service(keys_file=keys)
    asked = {"input": ["mug"]}
    assert client.post(PATH, json=asked).status_code == 401
    assert client.post(PATH, json=asked, headers=header[Scope.WRITE]).status_code == 403
    assert client.post(PATH, json=asked, headers=header[Scope.SEARCH]).status_code == 200


def test_it_waits_in_the_queues_of_searches_leaves_them_room_and_is_due(support, shop, bundle):
    asgi = support("asgi")
    encoder = asgi.Gated(shop.encoder)
    settings = Settings.model_validate({"data_dir": shop.data_dir, "update_log": "off", "max_waiting": 40})

    async def scenario():
        async with asgi.running(create_app(settings, (encoder, bundle))) as client:
            encoder.shut()
            depth = client.state["metrics"].registry.get_sample_value
            asked = {"input": [f"cup {n}" for n in range(MOST_EMBEDDED)]}
            many = asyncio.ensure_future(client.post(PATH, json=asked))
            stage = {"stage": "encode_text"}
            await asgi.until(lambda: depth("catalens_queue_depth", stage) == 16)
            began = time.monotonic()
            hurried = await client.post(PATH, json={"input": ["mug"]}, headers={"X-Request-Timeout-Ms": "200"})
            assert hurried.status_code in {503, 504}
            assert time.monotonic() - began < 60
            encoder.open.set()
            answer = await many
            assert answer.status_code == 200
            assert len(answer.json()["data"]) == MOST_EMBEDDED

    asyncio.run(scenario())
