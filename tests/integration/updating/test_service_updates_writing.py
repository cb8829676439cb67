"""Live updates over HTTP: what whole products, some of the fields, and deletions do."""

import base64
import hashlib
import io
from contextlib import closing

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from indexer.updates import EncodedProduct, Kind
from indexer.updates_sqlite import SqliteLog
from service.api.views import DeletedResponse
from tests.support.updating import (
    LAMP,
    MODES,
    ODD,
    Counting,
    assert_problem,
    at_once,
    changing,
    data_uri,
    encoded,
    everything,
    ids,
    in_bundle,
    metrics_of,
    partial,
    path_of,
    product,
    row_of,
    searched_with,
    stored,
    version,
)

pytestmark = pytest.mark.usefixtures("no_long_waits")


@pytest.fixture
def entries(tmp_path):
    """What the log holds, by product and whether it is a patch: `entries()["lamp", False]`."""

    def read():
        with closing(SqliteLog(tmp_path / "updates.sqlite")) as log:
            found = log.read(0, 10_000)
        return {(entry.product_id, entry.kind == Kind.PATCH): entry for entry in found}

    return read


# --- whole products ---


def test_a_new_product_with_pictures_is_found_shown_and_seen(live, shop, drawn, search, entries):
    files = [drawn(1, "green"), drawn(2, "purple")]
    references = [f"sha256:{hashlib.sha256(file).hexdigest()}" for file in files]
    assert stored(live, {**LAMP, "images": [data_uri(file) for file in files]}) == [1]
    shown = product(live, "lamp")
    assert {name: shown[name] for name in LAMP} == LAMP
    assert shown["images"] == ["/v1/products/lamp/images/0", "/v1/products/lamp/images/1"]
    for at, file in zip(shown["images"], files, strict=True):
        answer = live.get(at)
        assert answer.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(answer.content)) as thumbnail, Image.open(io.BytesIO(file)) as original:
            assert thumbnail.size == original.size
    assert ids(search(live, q="zebra lamp", limit=1)) == ["lamp"]
    for file in files:
        assert ids(searched_with(live, file))[0] == "lamp"
    held = EncodedProduct.from_bytes(entries()["lamp", False].payload)
    assert held.product.images == tuple(references)
    assert held.pictures == dict(zip(references, files, strict=True))
    pictures = [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
    assert np.array_equal(encoded(live, "lamp").images, shop.encoder.encode_images(pictures).astype(np.float16))


def test_a_product_needs_no_pictures_and_its_words_are_read_as_in_building(live, shop, search):
    assert stored(live, LAMP) == [1]
    assert product(live, "lamp")["images"] == []
    assert live.get("/v1/products/lamp/images/0").status_code == 404
    [text] = shop.encoder.encode_texts(["Zebra lamp. Stands on a desk"], [{"brand": "Ruby", "category": "lamp"}])
    assert np.array_equal(encoded(live, "lamp").text, text.astype(np.float16))
    for mode in MODES:
        assert ids(search(live, q="zebra lamp", mode=mode, limit=1)) == ["lamp"]


def test_pictures_named_by_their_references_keep_their_vectors(service, shop, bundle, search):
    images, _ = in_bundle(bundle, "p3")
    encoder = Counting(shop.encoder)
    with service(encoder=encoder) as client:
        thumbnails = [client.get(f"/v1/products/p3/images/{n}").content for n in (0, 1)]
        encoder.counted()
        assert stored(client, {**row_of(shop, 3), "title": "Zebra lamp"}) == [1]
        assert encoder.counted() == (1, 0)
        assert np.array_equal(encoded(client, "p3").images, images)
        assert [client.get(f"/v1/products/p3/images/{n}").content for n in (0, 1)] == thumbnails
        assert ids(search(client, q="zebra lamp", limit=1)) == ["p3"]
        assert ids(searched_with(client, shop.picture("images/p3-1.jpg")))[0] == "p3"
        assert stored(client, {**row_of(shop, 3), "images": ["images/p3-1.jpg"]}) == [2]
        assert encoder.counted()[1] == 1  # of the search with a picture
        assert np.array_equal(encoded(client, "p3").images, images[1:])
        assert client.get("/v1/products/p3/images/0").content == thumbnails[1]
        assert client.get("/v1/products/p3/images/1").status_code == 404


def test_new_pictures_may_stand_among_kept_ones(live, shop, bundle, drawn):
    images, _ = in_bundle(bundle, "p3")
    new = drawn(3)
    named = ["images/p3-1.jpg", data_uri(new), "images/p3-0.jpg"]
    stored(live, {**row_of(shop, 3), "images": named})
    [vector] = shop.encoder.encode_images([Image.open(io.BytesIO(new)).convert("RGB")])
    assert np.array_equal(encoded(live, "p3").images, np.stack([images[1], vector.astype(np.float16), images[0]]))
    reference = f"sha256:{hashlib.sha256(new).hexdigest()}"
    stored(live, {**row_of(shop, 3), "images": [reference, reference]})
    assert np.array_equal(encoded(live, "p3").images, np.stack([vector, vector]).astype(np.float16))


def test_a_product_stated_again_as_it_was_is_found_as_it_was(live, shop, bundle, search):
    asked = [
        *({"q": "red mug", "mode": mode, "limit": 100} for mode in MODES),
        {"query": [{"product": "p3"}, {"text": "green", "weight": 0.5}], "limit": 100},
        {"filter": {"brand": "Ruby"}, "limit": 100, "sort": ["price:asc"]},
    ]
    before = [{hit["id"]: hit["score"] for hit in search(live, **one)["hits"]} for one in asked]
    stored(live, *(row_of(shop, number) for number in (3, 5, 7, 20)))
    for number in (3, 5, 7, 20):
        product_id = shop.rows[number]["id"]
        now = encoded(live, product_id)
        images, text = in_bundle(bundle, product_id)
        assert np.array_equal(now.images, images)
        assert np.array_equal(now.text, text)
    for one, was in zip(asked, before, strict=True):
        assert {hit["id"]: hit["score"] for hit in search(live, **one)["hits"]} == pytest.approx(was, abs=2e-3)


def test_a_whole_product_leaves_nothing_of_what_was_before(live):
    stored(live, {"id": "p3", "title": "Bare"})
    bare = dict.fromkeys(
        ["brand", "category", "season", "composition", "price", "currency", "in_stock", "url", "group"]
    )
    assert product(live, "p3") == {
        **bare, "id": "p3", "title": "Bare", "description": "", "images": [], "attributes": {},
    }  # fmt: skip


def test_large_pictures_are_kept_compact_and_small_ones_as_they_came(live, shop, entries):
    buffer = io.BytesIO()
    Image.effect_noise((1_600, 1_200), 90).convert("RGB").save(buffer, "JPEG", quality=95)
    large = buffer.getvalue()
    assert len(large) > 256 << 10
    stored(live, {**LAMP, "images": [data_uri(large)]})
    held = EncodedProduct.from_bytes(entries()["lamp", False].payload)
    [(reference, kept)] = held.pictures.items()
    assert reference == held.product.images[0] == f"sha256:{hashlib.sha256(large).hexdigest()}"
    assert len(kept) < len(large) / 2
    with Image.open(io.BytesIO(kept)) as image:
        assert (image.format, image.width / image.height) == ("JPEG", 4 / 3)
        assert 512 <= max(image.size) <= 1_024
        [vector] = shop.encoder.encode_images([image.convert("RGB")])
    assert np.array_equal(held.images[0], vector.astype(np.float16))
    with Image.open(io.BytesIO(live.get("/v1/products/lamp/images/0").content)) as thumbnail:
        assert thumbnail.size == (256, 192)


def test_a_picture_file_outlives_changes_of_words(live, drawn, entries):
    file = drawn(4)
    stored(live, {**LAMP, "images": [data_uri(file)]})
    stored(live, partial("lamp", title="Zebra lamps"))
    stored(live, {**LAMP, "title": "Zebra light", "images": [f"sha256:{hashlib.sha256(file).hexdigest()}"]})
    held = EncodedProduct.from_bytes(entries()["lamp", False].payload)
    assert held.product.title == "Zebra light"
    assert list(held.pictures.values()) == [file]  # for the next build, which would else encode the thumbnail


# --- some of the fields ---


def test_price_stock_and_what_vectors_do_not_depend_on_are_changed_without_encoding(service, shop, bundle, search):
    images, text = in_bundle(bundle, "p3")
    encoder = Counting(shop.encoder)
    with service(encoder=encoder) as client:
        encoder.counted()
        assert stored(client, partial("p3", price=0.5, in_stock=False)) == [1]
        assert ids(search(client, filter={"price": {"lt": 1}})) == ["p3"]
        assert ids(search(client, sort=["price:asc"], limit=2)) == ["p3", "p0"]
        found = search(client, filter={"id": ["p3", "p4"]}, facets=["in_stock", "price"])["facets"]
        assert {value["value"]: value["count"] for value in found["in_stock"]["values"]} == {False: 1, True: 1}
        assert (found["price"]["statistics"]["min"], found["price"]["statistics"]["max"]) == (0.5, 14.0)
        light = {
            "price": None, "currency": "USD", "url": "https://x.example", "group": "g",
            "attributes": {"colour": "pink", "watts": 40, "tags": ["a", "b"], "split": None},
        }  # fmt: skip
        assert stored(client, partial("p3", **light)) == [2]
        for one in (
            {"price": {"exists": False}}, {"currency": "usd"}, {"group": "g"}, {"colour": "pink"}, {"tags": "b"},
            {"watts": {"gt": 39}}, {"split": {"exists": False}},
        ):  # fmt: skip
            assert ids(search(client, filter=one, fields=["id"])) == ["p3"], one
        shown = product(client, "p3")
        assert {name: shown[name] for name in light} == {
            **light, "attributes": {"colour": "pink", "watts": 40, "tags": ["a", "b"]},
        }  # fmt: skip
        assert shown["in_stock"] is False
        assert shown["title"] == shop.rows[3]["title"]
        assert encoder.counted() == (0, 0)
        assert np.array_equal(encoded(client, "p3").images, images)
        assert np.array_equal(encoded(client, "p3").text, text)


def test_a_price_that_changes_over_and_over_is_one_entry(live, search, entries):
    for price in range(100):
        stored(live, partial("p3", price=float(price)), partial("p4", in_stock=price % 2 == 1), wait=False)
    assert version(live, "p3") == version(live, "p4") == 100
    assert set(entries()) == {("p3", True), ("p4", True)}
    assert product(live, "p3")["price"] == 99
    assert ids(search(live, filter={"price": 99})) == ["p3"]


@pytest.mark.parametrize(
    ("fields", "text", "entities"),
    [
        ({"title": "Zebra lamp"}, "Zebra lamp. {description}", {}),
        ({"description": "Zebra lamp."}, "{title}. Zebra lamp", {}),
        ({"description": None}, "{title}", {}),
        ({"brand": "Northmost"}, "{title}. {description}", {"brand": "Northmost"}),
        ({"brand": None}, "{title}. {description}", {"brand": None}),
        ({"category": "bag", "price": 3.0, "title": "Zebra"}, "Zebra. {description}", {"category": "bag"}),
    ],
)
def test_changed_words_and_entities_are_encoded_anew_and_pictures_are_not(
    service, shop, bundle, search, fields, text, entities
):
    row = shop.rows[3]
    read = {"brand": row["brand"], "category": row["category"], **entities}
    known = {group: value for group, value in read.items() if value is not None}
    [vector] = shop.encoder.encode_texts([text.format(**row)], [known])
    images, was = in_bundle(bundle, "p3")
    encoder = Counting(shop.encoder)
    with service(encoder=encoder) as client:
        encoder.counted()
        assert stored(client, partial("p3", **fields)) == [1]
        assert encoder.counted() == (1, 0)
        now = encoded(client, "p3")
        assert np.array_equal(now.text, vector.astype(np.float16))
        assert not np.array_equal(now.text, was)
        assert np.array_equal(now.images, images)
        shown = product(client, "p3")
        assert {name: shown[name] or None for name in fields} == fields
        if "Zebra" in text:
            for mode in MODES:
                assert ids(search(client, q="zebra", mode=mode, limit=1)) == ["p3"]


def test_pictures_may_be_changed_alone(live, shop, bundle, drawn):
    images, text = in_bundle(bundle, "p3")
    file = drawn(5)
    stored(live, partial("p3", images=[data_uri(file), "images/p3-0.jpg"]))
    [vector] = shop.encoder.encode_images([Image.open(io.BytesIO(file)).convert("RGB")])
    assert np.array_equal(encoded(live, "p3").images, np.stack([vector.astype(np.float16), images[0]]))
    assert np.array_equal(encoded(live, "p3").text, text)
    assert ids(searched_with(live, file))[0] == "p3"
    stored(live, partial("p3", images=[]))
    assert product(live, "p3")["images"] == []
    assert "p3" not in ids(searched_with(live, file))[:1]


def test_light_and_heavy_changes_of_one_product_add_up(live, shop, search):
    stored(live, partial("p3", price=1.0, attributes={"watts": 1}))
    stored(live, partial("p3", title="Zebra lamp"))
    stored(live, partial("p3", in_stock=True, attributes={"watts": 2, "colour": None}))
    stored(live, partial("p3", season="spring"))
    stored(live, partial("p3", attributes={"colour": "pink"}))
    shown = product(live, "p3")
    assert {**shown, "images": 2} == {
        **row_of(shop, 3), "title": "Zebra lamp", "price": 1.0, "in_stock": True, "season": "spring", "group": None,
        "attributes": {"split": shop.rows[3]["split"], "watts": 2.0, "colour": "pink"}, "images": 2,
    }  # fmt: skip
    assert version(live, "p3") == 5
    assert ids(search(live, q="zebra", filter={"price": 1, "season": "spring", "watts": 2})) == ["p3"]


def test_who_change_other_fields_of_a_product_at_once_all_succeed(live):
    fields = [
        {"title": "Zebra lamp"}, {"description": "New."}, {"season": "spring"}, {"brand": "Northmost"},
        {"price": 1.0}, {"in_stock": True}, {"attributes": {"watts": 40}},
    ]  # fmt: skip
    answers = at_once(live, [changing(partial("p3", **one)) for one in fields])
    results = [answer.json()["results"][0] for answer in answers]
    assert [result["status"] for result in results] == [200] * len(fields)
    assert sorted(result["version"] for result in results) == list(range(1, len(fields) + 1))
    assert version(live, "p3") == len(fields)
    shown = product(live, "p3")
    for one in fields:
        for name, value in one.items():
            assert shown[name] == value or shown[name]["watts"] == 40


# --- deletions ---


def assert_gone(client, search, product_id, picture):
    """Make sure that no way of searching leads to the product."""
    searches = [
        *({"q": "zebra lamp", "mode": mode} for mode in MODES),
        {"q": "zebra lamp", "explain": True, "diversity": 0.5},
        {"q": "zebra lamp", "sort": ["price:asc"], "collapse": "group"},
        {"q": "zebra lamp", "filter": {"not": {"price": {"gt": 1_000}}}},
        {"q": "zebra lamp", "filter": {"id": product_id}},
        {"filter": {"not": {"category": "nothing"}}},
        {"filter": {"price": {"exists": True}}},
        {"filter": {"id": product_id}},
        {"filter": {"not": {"id": "p0"}}, "collapse": "group"},
        {"sort": ["price:asc"]},
        {"sort": ["id:desc"]},
        {"image": {"data": base64.b64encode(picture).decode()}},
        {"image": {"data": base64.b64encode(picture).decode()}, "q": "lamp", "filter": {"not": {"brand": "Nobody"}}},
        {"query": [{"product": "p3"}, {"text": "zebra lamp"}]},
        {"query": [{"product": "p3"}]},
    ]
    for asked in searches:
        assert product_id not in ids(search(client, **asked, limit=100)), asked
    assert product_id not in ids(searched_with(client, picture))
    assert product_id not in ids(client.get("/v1/products/p3/similar?limit=100").json())
    for at in ("", "?version=true", "/similar", "/images/0"):
        assert_problem(client.get(f"{path_of(product_id)}{at}"), 404, "not-found", "id")
    answer = client.post("/v1/search", json={"query": [{"text": "red"}, {"product": product_id}]})
    assert_problem(answer, 422, "invalid-request", "query[1].product")


@pytest.mark.parametrize("how", ["batch", "DELETE"])
@pytest.mark.parametrize("whose", ["the bundle's", "a new one", "a changed one"])
def test_a_deleted_product_is_found_no_more(live, shop, search, drawn, how, whose):
    product_id, picture = "lamp", drawn(6)
    if whose == "a new one":
        stored(live, {**LAMP, "images": [data_uri(picture)]})
    else:
        product_id, picture = ODD, shop.picture("images/p5-0.jpg")
        if whose == "a changed one":
            stored(live, partial(ODD, title="Zebra lamp", price=3.0))
    assert product_id in everything(live, search)
    assert ids(searched_with(live, picture))[0] == product_id
    count = search(live, sort=["id:asc"])["found"]
    changes = version(live, product_id)
    if how == "batch":
        assert stored(live, {"id": product_id, "delete": True}) == [changes + 1]
    else:
        answer = live.delete(path_of(product_id), params={"wait": True})
        assert answer.status_code == 200, answer.text
        TypeAdapter(DeletedResponse).validate_python(answer.json(), strict=True)
        assert (answer.json()["id"], answer.json()["version"]) == (product_id, changes + 1)
    assert_gone(live, search, product_id, picture)
    found = search(live, facets=["brand", "price"], limit=1)
    assert found["found"] == count - 1
    assert sum(value["count"] for value in found["facets"]["brand"]["values"]) == count - 1
    assert found["facets"]["price"]["statistics"]["count"] == count - 1
    assert live.get("/readyz").status_code == 200


def test_what_was_deleted_may_be_put_again_and_its_versions_go_on(live, search):
    stored(live, LAMP)
    stored(live, {"id": "lamp", "delete": True})
    assert stored(live, {"id": "lamp", "title": "Zebra light"}) == [3]
    assert ids(search(live, q="zebra", limit=1)) == ["lamp"]
    assert product(live, "lamp")["price"] is None
    assert everything(live, search) >= {"lamp", "p0"}


def test_a_shop_may_be_emptied_and_filled_again(service, shop, search):
    with service() as client:
        stored(client, *({"id": row["id"], "delete": True} for row in shop.rows))
        for asked in (
            *({"q": "red mug", "mode": mode} for mode in MODES),
            {"sort": ["price:asc"], "facets": ["brand"]},
        ):
            found = search(client, **asked)
            assert (found["hits"], found["found"]) == ([], 0)
        assert searched_with(client, shop.picture("images/p3-0.jpg"))["hits"] == []
        assert client.get("/readyz").status_code == 200
        assert metrics_of(client)["catalens_index_products", ()] == 0
    with service() as client:
        assert search(client, q="red mug")["hits"] == []
        assert client.get("/readyz").status_code == 200
        stored(client, LAMP)
        assert ids(search(client, q="zebra")) == ["lamp"]
        assert everything(client, search) == {"lamp"}
