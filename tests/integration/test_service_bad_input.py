"""Every kind of bad input gets a clear problem that names the field, and the next good request works."""

import base64
import io
import json
import struct
import zlib

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter

from service.api.views import ProblemView

PROBLEM = TypeAdapter(ProblemView)


def png_stating(width, height):
    """A PNG whose header states a size, with next to nothing behind it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


def jpeg(size=(64, 64)):
    buffer = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def encoded(data):
    return base64.b64encode(data).decode()


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'

BAD_JSON = {
    "limit -1": ({"q": "red", "limit": -1}, 422, "limit"),
    "limit 0": ({"q": "red", "limit": 0}, 422, "limit"),
    "limit 101": ({"q": "red", "limit": 101}, 422, "limit"),
    "limit as text": ({"q": "red", "limit": "5"}, 422, "limit"),
    "limit as truth": ({"q": "red", "limit": True}, 422, "limit"),
    "limit of 10**30": ({"q": "red", "limit": 10**30}, 422, "limit"),
    "offset 1001": ({"q": "red", "offset": 1001}, 422, "offset"),
    "unknown field": ({"q": "red", "colour": "red"}, 422, "colour"),
    "unknown field with a strange name": ({"q": "red", "a.b": 1}, 422, '["a.b"]'),
    "unknown field of half a character": ({"q": "red", "\ud800": 1}, 422, "body"),
    "unknown field inside": ({"query": [{"text": "red", "wait": 1}]}, 422, "query[0].wait"),
    "unknown product field": ({"q": "red", "fields": ["id", "sku"]}, 422, "fields[1]"),
    "no product fields": ({"q": "red", "fields": []}, 422, "fields"),
    "unknown linking": ({"q": "red", "entity_linking": "maybe"}, 422, "entity_linking"),
    "100 KB of text": ({"q": "red " * 25_000}, 422, "q"),
    "2001 characters": ({"q": "r" * 2001}, 422, "q"),
    "NUL": ({"q": "re\x00d"}, 422, "q"),
    "NUL in a part": ({"query": [{"text": "red"}, {"text": "\x00"}]}, 422, "query[1].text"),
    "half a surrogate pair": ({"q": "red \ud83d"}, 422, "q"),
    "no text": ({"q": ""}, 422, "q"),
    "white space": ({"q": " \t\n\u00a0\u2003"}, 422, "q"),
    "text as a number": ({"q": 7}, 422, "q"),
    "empty object": ({}, 422, "q"),
    "only null": ({"q": None}, 422, "q"),
    "empty query": ({"query": []}, 422, "query"),
    "too many parts": ({"query": [{"text": "red"}] * 17}, 422, "query"),
    "weight NaN": ({"query": [{"text": "red", "weight": float("nan")}]}, 422, "query[0].weight"),
    "weight infinite": ({"query": [{"text": "red", "weight": float("inf")}]}, 422, "query[0].weight"),
    "weight 101": ({"query": [{"text": "red", "weight": 101}]}, 422, "query[0].weight"),
    "weight of 10**400": ({"query": [{"text": "red", "weight": 10**400}]}, 422, "query[0].weight"),
    "all weights negative": ({"query": [{"text": "red", "weight": -1}]}, 422, "query[0]"),
    "all weights zero": ({"query": [{"text": "red", "weight": 0}, {"text": "blue", "weight": 0}]}, 422, "query[0]"),
    "parts that cancel": ({"query": [{"text": "red"}, {"text": "red", "weight": -1}]}, 422, "query"),
    "an empty part": ({"query": [{"weight": 1}]}, 422, "query[0]"),
    "a part of two kinds": ({"query": [{"text": "red", "product": "p1"}]}, 422, "query[0]"),
    "an unknown product": ({"query": [{"text": "red"}, {"product": "nope"}]}, 422, "query[1].product"),
    "entities without words": ({"query": [{"product": "p1"}], "entities": {"brand": "Ruby"}}, 422, "entities"),
    "an empty entity": ({"q": "red", "entities": {"brand": " "}}, 422, "entities.brand"),
    "an entity as a list": ({"q": "red", "entities": {"brand": ["Ruby"]}}, 422, "entities.brand"),
    "an unknown strict entity": (
        {"q": "red", "entities": {"brand": "Nobody"}, "entity_linking": "strict"}, 422, "entities.brand",
    ),
    "image by URL and data": ({"image": {"url": "https://a.example/a.jpg", "data": "AAAA"}}, 422, "image"),
    "image by nothing": ({"image": {}}, 422, "image"),
    "image as text": ({"image": "AAAA"}, 422, "image"),
    "image URL": ({"image": {"url": "https://a.example/a.jpg"}}, 422, "image.url"),
    "image URL in a part": ({"query": [{"image": {"url": "http://127.0.0.1/"}}]}, 422, "query[0].image.url"),
    "not base64": ({"image": {"data": "not base64!"}}, 422, "image.data"),
    "base64 with letters of no alphabet": ({"image": {"data": "ÄÖÜ="}}, 422, "image.data"),
    "base64 cut short": ({"image": {"data": encoded(jpeg())[:-3]}}, 422, "image.data"),
    "a data-URI without base64": ({"image": {"data": "data:image/png,abc"}}, 422, "image.data"),
    "an empty data-URI": ({"image": {"data": "data:image/png;base64,"}}, 422, "image.data"),
    "a 900-megapixel PNG": ({"image": {"data": encoded(png_stating(30_000, 30_000))}}, 413, "image.data"),
    "a truncated JPEG": ({"image": {"data": encoded(jpeg()[:-200])}}, 422, "image.data"),
    "an SVG": ({"image": {"data": encoded(SVG)}}, 415, "image.data"),
    "a text": ({"query": [{"image": {"data": encoded(b"hello")}}]}, 415, "query[0].image.data"),
    "a PNG of nothing": ({"image": {"data": encoded(png_stating(9, 9)[:-30])}}, 422, "image.data"),
}  # fmt: skip

BAD_BODIES = {
    "no body": (b"", "application/json", 422, "body"),
    "no body and no type": (b"", None, 422, "body"),
    "not JSON": (b"{", "application/json", 400, "body"),
    "bad UTF-8": (b'{"q": "\xff\xfe"}', "application/json", 400, "body"),
    "a list": (b"[]", "application/json", 422, "body"),
    "a string": (b'"red"', "application/json", 422, "body"),
    "null": (b"null", "application/json", 422, "body"),
    "nested too deep": (b'{"q":' + b"[" * 100_000, "application/json", 400, "body"),
    "a number too long": (b'{"limit": ' + b"9" * 10_000 + b"}", "application/json", 400, "body"),
    "JSON called text": (b'{"q": "red"}', "text/plain", 415, "body"),
    "JSON called nothing": (b'{"q": "red"}', None, 415, "body"),
    "a form for JSON": (b"q=red", "application/x-www-form-urlencoded", 415, "body"),
    "a type that is none": (b'{"q": "red"}', ";;;", 415, "body"),
}

PICTURE = {"image": ("p.jpg", jpeg())}
BAD_FORMS = {
    "no file": ({}, {"q": "red"}, 415, "body"),
    "no image but a file": ({"picture": jpeg()}, {}, 422, "image"),
    "an unknown field": (PICTURE, {"colour": "red"}, 422, "colour"),
    "limit -1": (PICTURE, {"limit": "-1"}, 422, "limit"),
    "limit not a number": (PICTURE, {"limit": "ten"}, 422, "limit"),
    "weight 2": (PICTURE, {"q": "red", "weight": "2"}, 422, "weight"),
    "weight nan": (PICTURE, {"q": "red", "weight": "nan"}, 422, "weight"),
    "entities not JSON": (PICTURE, {"q": "red", "entities": "{"}, 422, "entities"),
    "entities a list": (PICTURE, {"q": "red", "entities": "[]"}, 422, "entities"),
    "NUL in words": (PICTURE, {"q": "a\x00b"}, 422, "q"),
    "100 KB of words": (PICTURE, {"q": "red " * 25_000}, 422, "q"),
    "an empty file": ({"image": ("p.jpg", b"")}, {}, 422, "image"),
    "an SVG named .jpg": ({"image": ("p.jpg", SVG, "image/jpeg")}, {}, 415, "image"),
    "a truncated JPEG": ({"image": ("p.jpg", jpeg()[:-200])}, {}, 422, "image"),
    "a 900-megapixel PNG": ({"image": ("p.png", png_stating(30_000, 30_000))}, {}, 413, "image"),
    "two files": ([("image", jpeg()), ("image", jpeg())], {}, 400, "body"),
    "the image as text": ({}, {"image": "AAAA"}, 415, "body"),
}

BAD_PATHS = {
    "nowhere": ("GET", "/v1/nowhere", 404, None),
    "no such file": ("GET", "/../../etc/passwd", 404, None),
    "an encoded way out": ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404, None),
    "no such product": ("GET", "/v1/products/nope", 404, "id"),
    "no such product to be like": ("GET", "/v1/products/nope/similar", 404, "id"),
    "no such picture": ("GET", "/v1/products/p1/images/9", 404, "n"),
    "picture -1": ("GET", "/v1/products/p1/images/-1", 422, "n"),
    "picture of 10**30": ("GET", f"/v1/products/p1/images/{10**30}", 404, "n"),
    "picture x": ("GET", "/v1/products/p1/images/x", 422, "n"),
    "limit -1": ("GET", "/v1/products/p1/similar?limit=-1", 422, "limit"),
    "unknown parameter": ("GET", "/v1/products/p1/similar?sort=price", 422, "sort"),
    "GET for a search": ("GET", "/v1/search", 405, None),
    "PATCH for a product": ("PATCH", "/v1/products/p1", 405, None),
    "POST to a file": ("POST", "/index.html", 405, None),
    "bad UTF-8 in an id": ("GET", "/v1/products/%ff%fe", 404, "id"),
    "NUL in an id": ("GET", "/v1/products/a%00b", 404, "id"),
}


def assert_problem(answer, status, path):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    PROBLEM.validate_python(problem, strict=True)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:catalens:problem:")
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["detail"]
    if path is not None:
        assert any(path in error["path"] for error in problem["errors"]), problem


def assert_works(client):
    assert client.post("/v1/search", json={"q": "red mug"}).status_code == 200


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_searches(client, name):
    asked, status, path = BAD_JSON[name]
    body = json.dumps(asked).encode()
    assert_problem(client.post("/v1/search", content=body, headers={"content-type": "application/json"}), status, path)
    assert_works(client)


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_bodies(client, name):
    body, media, status, path = BAD_BODIES[name]
    headers = {} if media is None else {"content-type": media}
    assert_problem(client.post("/v1/search", content=body, headers=headers), status, path)
    assert_works(client)


@pytest.mark.parametrize("name", BAD_FORMS)
def test_bad_forms(client, name):
    files, data, status, path = BAD_FORMS[name]
    assert_problem(client.post("/v1/search/image", files=files, data=data), status, path)
    assert_works(client)


@pytest.mark.parametrize("name", BAD_PATHS)
def test_bad_paths(client, name):
    method, path, status, field = BAD_PATHS[name]
    answer = client.request(method, path)
    assert_problem(answer, status, field)
    assert_works(client)


def test_405_says_what_is_allowed(client):
    assert client.get("/v1/search").headers["allow"] == "POST"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the parser drops the open part
def test_a_form_cut_short_is_refused(client):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x\r\n", b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\nabc'):
        answer = client.post("/v1/search/image", content=body, headers=headers)
        assert answer.status_code in {400, 422}, answer.text
        assert_problem(answer, answer.status_code, None)
    no_boundary = client.post("/v1/search/image", content=b"abc", headers={"content-type": "multipart/form-data"})
    assert_problem(no_boundary, 400, None)
    assert_works(client)


def test_ten_thousand_form_parts_are_refused(client):
    part = b'--x\r\ncontent-disposition: form-data; name="q"\r\n\r\nred\r\n'
    body = part * 10_000 + b"--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert_problem(client.post("/v1/search/image", content=body, headers=headers), 400, "body")
    assert_works(client)


def test_a_thousand_faults_are_told_in_a_few(client):
    answer = client.post("/v1/search", json={f"field{n}": 1 for n in range(1000)})
    assert_problem(answer, 422, "field0")
    assert len(answer.json()["errors"]) == 20


def test_a_fault_does_not_repeat_what_was_sent(client):
    answer = client.post("/v1/search", json={"q": "red", "k" * 100_000: 1})
    assert_problem(answer, 422, "kkk")
    assert len(answer.content) < 4_000


def test_bodies_over_the_limit_are_refused_stated_or_streamed(open_service):
    client = open_service(max_body_bytes=1_000)
    stated = client.post("/v1/search", json={"q": "r" * 2_000})
    assert_problem(stated, 413, "body")
    assert stated.headers["connection"] == "close"

    def stream():
        for _ in range(100):
            yield b" " * 100

    headers = {"content-type": "application/json"}
    assert_problem(client.post("/v1/search", content=stream(), headers=headers), 413, "body")
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert_problem(client.post("/v1/search/image", content=stream(), headers=form), 413, "body")
    assert_problem(client.get("/v1/nowhere", headers={"content-length": "5000"}), 413, "body")
    assert_works(client)


def test_a_length_that_is_no_number_is_no_length(client):
    answer = client.post(
        "/v1/search", content=b'{"q": "red"}', headers={"content-length": "x", "content-type": "application/json"}
    )
    assert answer.status_code == 200


def test_pictures_over_the_configured_limits_are_refused(open_service):
    client = open_service(max_image_bytes=2_000, max_image_px=4_096)
    assert client.post("/v1/search/image", files={"image": jpeg((20, 20))}).status_code == 200
    assert_problem(client.post("/v1/search/image", files={"image": jpeg((64, 64))}), 413, "image")
    small = io.BytesIO()
    Image.new("RGB", (65, 64)).save(small, "PNG")
    assert_problem(client.post("/v1/search/image", files={"image": small.getvalue()}), 413, "image")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
field_names = st.sampled_from(
    ["q", "image", "query", "entities", "entity_linking", "limit", "offset", "fields", "explain", "x"]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.dictionaries(field_names, json_values, max_size=5))
def test_any_json_is_answered_or_refused_clearly(client, asked):
    answer = client.post("/v1/search", content=json.dumps(asked), headers={"content-type": "application/json"})
    assert answer.status_code in {200, 400, 413, 415, 422}, answer.text
    orjson.loads(answer.content)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.binary(max_size=300))
def test_any_bytes_as_a_picture_are_refused_clearly(client, data):
    answer = client.post("/v1/search/image", files={"image": ("p.jpg", data)})
    assert_problem(answer, answer.status_code, "image")
    assert answer.status_code in {413, 415, 422}
