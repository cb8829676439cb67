"""Every product in a photo, through the service: each is searched for as its own cut-out picture would be."""

import base64
import io
import threading

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from models.capture.finder import InstanceFinder
from models.capture.regions import Detection, cut_region
from service.app import create_app
from service.pressure import Level, Pressure
from service.retrieve import likeness
from service.settings import Settings

PASTED = {"p1": (20, 20), "p2": (330, 40), "p3": (180, 250)}
PAPER = 230  # as light as what is pasted gets: the white around it is lighter


@pytest.fixture(scope="module")
def blobs(support):
    return support("blobs").BlobDetector()


@pytest.fixture(scope="module")
def start(shop, bundle, blobs):
    """Start a service that looks into pictures: `start(detector=..., most_instances=2, ...)`."""
    opened = []

    def started(*, detector=blobs, head=None, **given):
        base = {"data_dir": shop.data_dir, "update_log": "off", "most_wait_ms": 60_000, "request_timeout_ms": 60_000}
        settings = Settings.model_validate({**base, **given})
        options = {"least_confidence": settings.instance_confidence, "most": settings.most_instances}
        finder = None if detector is None else InstanceFinder(detector, head, shop.encoder, **options)
        client = TestClient(create_app(settings, (shop.encoder, bundle), finder=finder))
        opened.append(client)
        return client.__enter__()

    yield started
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def seeing(start):
    """A service that looks into pictures and keeps no answers."""
    return start(result_cache_bytes=0)


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def solid(shop, product):
    """A product's picture, a little darker, so that it is one region whatever it shows."""
    picture = Image.open(io.BytesIO(shop.picture(f"images/{product}-0.jpg")))
    return picture.point(lambda value: min(value, PAPER))


@pytest.fixture(scope="module")
def photo(shop):
    """Three products on white."""
    image = Image.new("RGB", (500, 440), "white")
    for product, place in PASTED.items():
        image.paste(solid(shop, product), place)
    return image


@pytest.fixture(scope="module")
def one_large(shop):
    return solid(shop, "p1")


def form(client, image, status=200, **asked):
    answer = client.post("/v1/search/image", files={"image": ("a.png", png(image))}, data=asked)
    assert answer.status_code == status, answer.text
    return answer.json()


def as_json(client, image, status=200, **asked):
    data = base64.b64encode(png(image)).decode()
    answer = client.post("/v1/search", json={"image": {"data": data}, **asked})
    assert answer.status_code == status, answer.text
    return answer.json()


def without_timings(answer):
    return {name: value for name, value in answer.items() if name not in {"timings_ms", "instances"}}


def colour_of(shop, product):
    [colour] = [row["colour"] for row in shop.rows if row["id"] == product]
    return colour


def test_each_product_is_found_in_its_place(seeing, photo):
    answer = form(seeing, photo, limit=5)
    assert len(answer["instances"]) == len(PASTED)
    for product, (left, top) in PASTED.items():
        at = pytest.approx([left / photo.width, top / photo.height], abs=0.02)
        [own] = [one for one in answer["instances"] if one["box"][:2] == at]
        assert product in [hit["id"] for hit in own["hits"][:3]]
        assert len(own["hits"]) == 5
        assert own["found"] >= 5
        assert 0.5 < own["confidence"] <= 1
    assert answer["timings_ms"]["detect"] > 0


ASKED = [
    {"limit": 3, "offset": 2},
    {"filter": {"price": {"lt": 40}}, "facets": ["brand", "price"]},
    {"q": "red mug by ruby", "explain": True},
    {"q": "mug", "entities": {"brand": "Ruby"}, "lexical_weight": 0.5, "mode": "hybrid"},
    {"rerank": {"category": "mug", "action": "filter"}, "fields": ["id", "title"]},
    {"sort": ["price:asc"], "collapse": "brand", "diversity": 0.3},
]


@pytest.mark.parametrize("asked", ASKED, ids="-".join)
def test_whatever_is_asked_holds_for_each_product_as_for_its_cut_out_picture(seeing, photo, asked):
    answer = as_json(seeing, photo, instances="all", **asked)
    assert len(answer["instances"]) == len(PASTED)
    for one in answer["instances"]:
        alone = as_json(seeing, cut_region(photo, one["box"]), instances="off", **asked)
        assert [hit["id"] for hit in one["hits"]] == [hit["id"] for hit in alone["hits"]]
        assert [hit["score"] for hit in one["hits"]] == pytest.approx([hit["score"] for hit in alone["hits"]], abs=2e-5)
        assert [hit["product"] for hit in one["hits"]] == [hit["product"] for hit in alone["hits"]]
        same = ("facets", "found", "filter_strategy", "rerank")
        assert {name: one[name] for name in same} == {name: alone[name] for name in same}
        for hit in one["hits"] if asked.get("explain") else []:
            assert sum(term["score"] for term in hit["explain"]["terms"]) == pytest.approx(hit["score"], abs=1e-5)


class Mirror:
    """A head that leads every vector to where it is."""

    fingerprint = "m" * 64

    def __init__(self, encoder):
        self.encoder = encoder.fingerprint

    def apply(self, vectors):
        return vectors


def test_what_a_head_has_led_is_compared_with_pictures_alone(start, seeing, shop, bundle, photo):
    led = start(head=Mirror(shop.encoder), result_cache_bytes=0)
    pictures = np.asarray(bundle.vectors["image"], np.float32)
    for one in form(led, photo, limit=5, explain=True)["instances"]:
        [vector] = shop.encoder.encode_images([cut_region(photo, one["box"])])
        rows = [bundle.products.row_of(hit["id"]) for hit in one["hits"]]
        nearest = [(pictures[slice(*bundle.image_starts[[row, row + 1]])] @ vector).max() for row in rows]
        assert [hit["score"] for hit in one["hits"]] == pytest.approx(nearest, abs=2e-3)
        for hit in one["hits"]:
            assert sum(term["score"] for term in hit["explain"]["terms"]) == pytest.approx(hit["score"], abs=1e-5)
    for asked in ({"q": "red mug"}, {"q": "red mug", "lexical_weight": 0}):  # with words, as without a head
        one, other = (as_json(client, photo, instances="all", **asked)["instances"] for client in (led, seeing))
        assert [each["hits"] for each in one] == [each["hits"] for each in other]


@pytest.mark.parametrize("asked", [{}, {"q": "red mug", "explain": True}])
def test_the_hits_of_the_whole_picture_are_what_they_are_without(seeing, photo, asked):
    into, past = (as_json(seeing, photo, instances=mode, **asked) for mode in ("auto", "off"))
    assert past["instances"] is None
    assert without_timings(into) == without_timings(past)
    assert past["timings_ms"]["detect"] == 0


@pytest.mark.parametrize("send", [form, as_json])
def test_a_picture_alone_is_looked_into_and_one_with_words_where_that_is_asked(seeing, photo, send):
    assert len(send(seeing, photo)["instances"]) == 3
    assert send(seeing, photo, q="red")["instances"] is None
    assert len(send(seeing, photo, q="red", instances="auto")["instances"]) == 3
    assert send(seeing, photo, instances="off")["instances"] is None


def test_one_that_fills_the_picture_is_the_whole_picture_unless_all_are_asked_for(seeing, one_large):
    whole = form(seeing, one_large)
    assert whole["instances"] == []
    assert whole["degraded"] == []
    [one] = form(seeing, one_large, instances="all")["instances"]
    assert one["box"] == pytest.approx([0, 0, 1, 1], abs=0.02)


class Halves:
    """A detector that takes the left and the right of whatever it sees for products, which overlap."""

    fingerprint = "2" * 64

    def detect(self, pictures):
        return [[Detection((0.0, 0.1, 0.55, 0.9), 0.9), Detection((0.45, 0.1, 1.0, 0.9), 0.8)] for _ in pictures]


@pytest.fixture(scope="module")
def halving(start):
    return start(detector=Halves(), result_cache_bytes=0)


@pytest.mark.parametrize("product", ["p1", "p4", "p10", "p21"])
def test_parts_of_one_product_are_not_products(halving, shop, product):
    """A picture of the catalogue is as like itself as can be, and its halves are less so."""
    image = Image.open(io.BytesIO(shop.picture(f"images/{product}-0.jpg")))
    answer = form(halving, image)
    assert (answer["instances"], answer["hits"][0]["id"]) == ([], product)
    assert len(form(halving, image, instances="all")["instances"]) == 2


def test_two_products_are_two_though_each_fills_its_half(halving, shop):
    image = Image.new("RGB", (320, 200), "white")
    for left, product in ((20, "p1"), (180, "p4")):
        image.paste(Image.open(io.BytesIO(shop.picture(f"images/{product}-0.jpg"))), (left, 20))
    assert len(form(halving, image)["instances"]) == 2


def test_likeness_is_that_of_the_nearest_picture(bundle):
    vectors = np.random.default_rng(0).standard_normal((5, bundle.manifest.encoder.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    every = vectors @ np.asarray(bundle.vectors["image"][:], np.float32).T
    np.testing.assert_allclose(likeness(bundle, vectors), every.max(axis=1), atol=1e-3)


def test_one_that_is_a_small_part_of_the_picture_is_searched_for_by_itself(seeing, shop):
    image = Image.new("RGB", (500, 440), "white")
    image.paste(solid(shop, "p4"), (300, 200))
    [one] = form(seeing, image)["instances"]
    assert colour_of(shop, one["hits"][0]["id"]) == colour_of(shop, "p4")


@pytest.mark.parametrize("mode", ["auto", "all"])
def test_where_nothing_is_found_there_is_the_whole_picture(seeing, mode):
    answer = form(seeing, Image.new("RGB", (64, 64), "white"), instances=mode)
    assert answer["instances"] == []
    assert answer["hits"]


def test_the_surest_are_searched_for_and_no_more(start, photo):
    client = start(most_instances=2)
    answer = form(client, photo)
    sure = [one["confidence"] for one in answer["instances"]]
    assert len(sure) == 2
    assert sure == sorted(sure, reverse=True)
    assert form(start(instance_confidence=0.99), photo)["instances"] == []


PICTURE = {"data": base64.b64encode(png(Image.new("RGB", (8, 8), "red"))).decode()}


@pytest.mark.parametrize("mode", ["auto", "all"])
@pytest.mark.parametrize(
    "query",
    [
        {"q": "red mug"},
        {"query": [{"product": "p1"}]},
        {"query": [{"image": PICTURE}, {"image": PICTURE}]},
        {"query": [{"text": "mug"}, {"image": PICTURE, "weight": -0.5}]},
        {"filter": {"in_stock": True}},
    ],
    ids=["words", "product", "two pictures", "away from a picture", "browsing"],
)
def test_instances_need_one_picture(seeing, query, mode):
    refused = seeing.post("/v1/search", json={**query, "instances": mode})
    assert refused.status_code == 422
    assert [error["path"] for error in refused.json()["errors"]] == ["instances"]
    assert seeing.post("/v1/search", json={**query, "instances": "off"}).status_code == 200


def test_an_unknown_mode_is_refused(seeing, photo):
    assert form(seeing, photo, 422, instances="some")["errors"][0]["path"] == "instances"


def test_a_picture_beside_what_is_not_wanted_is_looked_into(seeing, photo):
    data = base64.b64encode(png(photo)).decode()
    query = [{"text": "red"}, {"image": {"data": data}, "weight": 2}, {"image": PICTURE, "weight": -0.2}]
    answer = seeing.post("/v1/search", json={"query": query, "instances": "all"}).json()
    assert len(answer["instances"]) == 3


# Without a detector, or with one that does not do


def test_without_a_detector_a_picture_is_searched_for_as_a_whole(start, photo):
    client = start(detector=None)
    answer = form(client, photo)
    assert (answer["instances"], answer["degraded"]) == (None, [])
    answer = form(client, photo, instances="all")
    assert (answer["instances"], answer["degraded"]) == (None, ["instances"])
    assert 'tower="instances"' not in client.get("/metrics").text


class Failing:
    """A detector that is broken."""

    fingerprint = "0" * 64

    def detect(self, pictures):
        raise RuntimeError("no memory")


class Stuck:
    """A detector that does not come back until it is let go."""

    fingerprint = "1" * 64

    def __init__(self):
        self.open = threading.Event()

    def detect(self, pictures):
        assert self.open.wait(60)
        return [[] for _ in pictures]


def assert_left_out(answer, expected):
    assert answer["instances"] is None
    assert answer["degraded"] == ["instances"]
    assert answer["hits"] == expected["hits"]


def test_a_detector_that_fails_costs_the_boxes_and_nothing_else(start, seeing, photo):
    client, expected = start(detector=Failing()), form(seeing, photo)
    for _ in range(2):  # such an answer is not kept
        assert_left_out(form(client, photo), expected)
    assert 'catalens_degraded_answers_total{part="instances"} 2.0' in client.get("/metrics").text


def test_a_detector_that_hangs_is_not_waited_for(start, seeing, photo):
    stuck, expected = Stuck(), form(seeing, photo)
    client = start(detector=stuck, most_wait_ms=200)
    try:
        for _ in range(3):
            assert_left_out(form(client, photo), expected)
        assert client.get("/readyz").status_code == 200
    finally:
        stuck.open.set()


def test_under_pressure_nothing_is_looked_for(start, seeing, photo, support, monkeypatch):
    detector, expected = support("blobs").BlobDetector(), form(seeing, photo)
    client = start(detector=detector)
    monkeypatch.setattr(Pressure, "level", Level.NO_RERANK)
    assert_left_out(form(client, photo), expected)
    assert as_json(client, photo, q="red")["degraded"] == []  # it was not asked for
    assert detector.calls == 0


# What is remembered


def test_a_picture_is_looked_into_once_whatever_else_is_asked(start, photo, support):
    detector = support("blobs").BlobDetector()
    client = start(detector=detector)
    first = form(client, photo, limit=4)
    again = [form(client, photo, limit=4, offset=offset) for offset in (0, 4)]
    assert detector.calls == 1
    assert again[0]["instances"] == first["instances"]
    assert [one["box"] for one in again[1]["instances"]] == [one["box"] for one in first["instances"]]
    seen = [[hit["id"] for hit in answer["instances"][0]["hits"]] for answer in (again[0], again[1])]
    assert not set(seen[0]) & set(seen[1])
    form(client, photo, instances="all")
    assert detector.calls == 2


def test_instances_make_another_answer(start, photo):
    client = start()
    answers = {mode: form(client, photo, q="red", instances=mode) for mode in ("off", "auto")}
    assert answers["off"]["instances"] is None
    assert len(answers["auto"]["instances"]) == 3
    assert form(client, photo, q="red")["instances"] is None


def test_what_was_looked_into_shows_in_metrics(start, photo, one_large):
    client = start(result_cache_bytes=0)
    for image in (photo, one_large):
        form(client, image)
    text = client.get("/metrics").text
    assert 'catalens_batch_size_count{kind="detect"} 2.0' in text
    assert 'catalens_stage_duration_seconds_count{stage="detect"}' in text
    assert 'catalens_queue_depth{stage="detect"} 0.0' in text
    assert 'catalens_encoder_runtime_info{runtime="detector",tower="instances"} 1.0' in text
