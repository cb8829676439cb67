"""Products, their pictures and their likes over HTTP, whatever their ids look like."""

import io
from urllib.parse import quote

import pytest
from PIL import Image
from pydantic import TypeAdapter

from service.api.views import ProductResponse

ODD = "odd/id %2F?#ü"


def path_of(product_id):
    return f"/v1/products/{quote(product_id, safe='')}"


def test_a_product_is_shown_as_the_feed_states_it(client, shop, bundle):
    answer = client.get("/v1/products/p3")
    assert answer.status_code == 200
    TypeAdapter(ProductResponse).validate_python(answer.json(), strict=True)
    product = answer.json()["product"]
    assert product["title"] == shop.rows[3]["title"]
    assert product["attributes"] == {"colour": shop.rows[3]["colour"], "split": shop.rows[3]["split"]}
    assert answer.json()["index"]["bundle"] == bundle.manifest.id


def test_an_id_may_hold_slashes_percent_signs_and_letters_of_any_script(client):
    answer = client.get(path_of(ODD))
    assert answer.json()["product"]["id"] == ODD
    [first, second] = answer.json()["product"]["images"]
    assert client.get(first).headers["content-type"] == "image/jpeg"
    assert client.get(second).content != client.get(first).content
    found = client.get(f"{path_of(ODD)}/similar?limit=3").json()
    assert len(found["hits"]) == 3
    assert ODD not in {hit["id"] for hit in found["hits"]}


def test_a_route_s_words_at_the_end_of_an_id_are_part_of_the_id(client):
    for product_id in ("p3/similar", "p3/images/0"):
        answer = client.get(path_of(product_id))
        assert answer.status_code == 404
        assert product_id in answer.json()["detail"]


def test_a_picture_is_a_small_jpeg_of_the_product(client, shop):
    answer = client.get("/v1/products/p3/images/1")
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as thumbnail:
        assert thumbnail.format == "JPEG"
        assert max(thumbnail.size) <= 256
        with Image.open(io.BytesIO(shop.picture("images/p3-1.jpg"))) as original:
            assert thumbnail.size == original.size


def test_a_picture_once_seen_is_not_sent_again(client):
    first = client.get("/v1/products/p3/images/0")
    etag = first.headers["etag"]
    assert "max-age" in first.headers["cache-control"]
    for stated in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = client.get("/v1/products/p3/images/0", headers={"if-none-match": stated})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == etag
    other = client.get("/v1/products/p3/images/1", headers={"if-none-match": etag})
    assert other.status_code == 200
    assert other.headers["etag"] != etag


def test_a_product_without_pictures_has_none(client):
    assert client.get("/v1/products/p7").json()["product"]["images"] == []
    assert client.get("/v1/products/p7/images/0").status_code == 404


def test_similar_is_the_search_for_the_product_without_itself(client):
    similar = client.get("/v1/products/p3/similar?limit=10").json()["hits"]
    asked = {"query": [{"product": "p3"}], "limit": 11}
    searched = client.post("/v1/search", json=asked).json()["hits"]
    assert searched[0]["id"] == "p3"
    assert [hit["id"] for hit in similar] == [hit["id"] for hit in searched[1:]]
    assert [hit["score"] for hit in similar] == [hit["score"] for hit in searched[1:]]


def test_similar_pages_and_explains(client):
    whole = client.get("/v1/products/p3/similar?limit=10&explain=true").json()["hits"]
    second = client.get("/v1/products/p3/similar?limit=5&offset=5&fields=id&fields=title").json()["hits"]
    assert [hit["id"] for hit in second] == [hit["id"] for hit in whole[5:]]
    assert set(second[0]["product"]) == {"id", "title"}
    for hit in whole:
        [term] = hit["explain"]["terms"]
        assert (term["name"], term["value"]) == ("product", "p3")
        assert term["score"] == pytest.approx(hit["score"], abs=1e-4)


def test_a_product_without_pictures_has_likes_by_its_words(client):
    hits = client.get("/v1/products/p7/similar?limit=5").json()["hits"]
    assert len(hits) == 5
