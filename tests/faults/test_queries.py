"""Queries that ask for too much: numbers, nesting, sets and names without measure. Answered, or refused by name."""

import json
import threading
import time

import httpx
import pytest

SOON_S = 10.0
ALIVE_S = 2.5  # the most that another caller may wait meanwhile, on a busy machine
JSON = {"content-type": "application/json"}


def ask(service, body, path="/v1/search"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    began = time.perf_counter()
    answer = service.client.post(path, content=content, headers=JSON)
    assert time.perf_counter() - began < SOON_S, "it took too long"
    return answer


def assert_refused(answer, path, statuses=(422,)):
    assert answer.status_code in statuses, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(path in error["path"] for error in answer.json()["errors"]), answer.json()["errors"]
    assert len(answer.content) < 20_000


BEYOND = [-1, 10**9, 2**31, 2**63, 2**64, 10**1_000, 1.5, 1e9, float("nan"), float("inf"), "1e9", True, [1], {}]


@pytest.mark.parametrize("field", ["limit", "offset"])
def test_a_number_beyond_its_bounds_is_refused(attacked, field):
    for number in BEYOND:
        assert_refused(ask(attacked, {"q": "red", field: number}), field)


@pytest.mark.parametrize("number", ["1" * 4_301, "-" + "1" * 4_301, "1" * 1_000_000])
def test_a_number_of_more_digits_than_are_read_is_no_json(attacked, number):
    assert_refused(ask(attacked, b'{"q": "red", "limit": ' + number.encode() + b"}"), "body", (400,))


NO_NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" * 400, b"-" + b"9" * 4_200]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"q": "red", "filter": {"price": %b}}', "filter.price"),
        (b'{"q": "red", "filter": {"price": {"lt": %b}}}', "filter.price.lt"),
        (b'{"q": "red", "filter": {"or": [{"price": [1, %b]}]}}', "filter.or[0].price"),
        (b'{"q": "red", "diversity": %b}', "diversity"),
        (b'{"q": "red", "lexical_weight": %b}', "lexical_weight"),
        (b'{"query": [{"text": "red", "weight": %b}]}', "query[0].weight"),
        (b'{"q": "red", "rerank": {"min_confidence": %b}}', "rerank.min_confidence"),
    ],
)
def test_a_number_that_is_none_is_refused_wherever_it_stands(attacked, body, path):
    for number in NO_NUMBERS:
        assert_refused(ask(attacked, body % number), path)


DEEP = {
    "not, 17 levels": (b'{"filter": ' + b'{"not":' * 17 + b"{}" + b"}" * 18, "filter", (422,)),
    "not, 1,000 levels": (b'{"filter": ' + b'{"not":' * 1_000 + b"{}" + b"}" * 1_001, "", (400, 422)),
    "not in a condition, 900 levels": (
        b'{"filter": {"price": ' + b'{"not":' * 900 + b'{"eq": 1}' + b"}" * 902, "", (400, 422),
    ),
    "and, 1,000 levels": (b'{"filter": ' + b'{"and":[' * 1_000 + b"{}" + b"]}" * 1_000 + b"}", "", (400, 422)),
    "100,000 brackets": (b'{"filter": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body", (400, 413)),
    "100,000 open brackets": (b'{"q": ' + b"[" * 100_000, "body", (400, 413)),
    "100,000 open braces": (b'{"a":' * 100_000, "body", (400, 413)),
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_what_nests_deep_is_refused(attacked, name):
    body, path, statuses = DEEP[name]
    assert_refused(ask(attacked, body), path, statuses)


def test_sixteen_levels_are_right(attacked):
    """An even number of times not is nothing."""
    deep = {"id": "p3"}
    for _ in range(16):
        deep = {"not": deep}
    assert [hit["id"] for hit in ask(attacked, {"filter": deep}).json()["hits"]] == ["p3"]


SETS = {
    "10,000 ids": ({"filter": {"id": [*(f"x{n}" for n in range(9_999)), "p3"]}}, ["p3"]),
    "10,000 prices": ({"filter": {"price": [*range(-9_999, 0), 13.0]}}, ["p3"]),
    "the same value 10,000 times": ({"filter": {"id": ["p3"] * 10_000}}, ["p3"]),
    "256 conditions": ({"filter": {"or": [{"id": f"p{n}"} for n in range(3, 4)] + [{"id": "x"}] * 254}}, ["p3"]),
    "no value": ({"filter": {"id": []}}, []),
}


@pytest.mark.parametrize("name", SETS)
def test_a_set_as_large_as_may_be_is_searched_rightly(attacked, name):
    asked, found = SETS[name]
    assert [hit["id"] for hit in ask(attacked, asked).json()["hits"]] == found


LARGE = {
    "100,000 ids": ({"filter": {"id": [f"x{n}" for n in range(100_000)]}}, "filter.id"),
    "a million prices": ({"filter": {"price": {"in": [0] * 1_000_000}}}, ""),
    "257 conditions": ({"filter": {"or": [{"id": "x"}] * 257}}, "filter"),
    "10,000 fields": ({"filter": {f"f{n}": 1 for n in range(10_000)}}, "filter.f"),
    "100,000 unknown fields": ({f"f{n}": 1 for n in range(100_000)}, ""),
    "17 parts": ({"query": [{"text": "red"}] * 17}, "query"),
    "10,000 parts": ({"query": [{"text": "red"}] * 10_000}, "query"),
    "33 facets": ({"q": "red", "facets": ["brand"] * 33}, "facets"),
    "9 sorts": ({"q": "red", "sort": ["price:asc"] * 9}, "sort"),
    "33 entities": ({"q": "red", "entities": {f"g{n}": "v" for n in range(33)}}, "entities"),
    "a field of a megabyte": ({"q": "red", "filter": {"x" * 1_000_000: 1}}, "filter.x"),
    "a facet of a megabyte": ({"q": "red", "facets": ["x" * 1_000_000]}, "facets[0]"),
    "a collapse of a megabyte": ({"q": "red", "collapse": "x" * 1_000_000}, "collapse"),
    "a sort of a megabyte": ({"q": "red", "sort": ["x" * 1_000_000 + ":asc"]}, "sort[0]"),
    "a product of a megabyte": ({"query": [{"product": "x" * 1_000_000}]}, "query[0].product"),
    "an entity of a megabyte": ({"q": "red", "entities": {"brand": "x" * 1_000_000}}, "entities.brand"),
    "words of a megabyte": ({"q": "red " * 250_000}, "q"),
}


@pytest.mark.parametrize("name", LARGE)
def test_more_than_may_be_is_refused_by_name(attacked, gives_back, name):
    asked, path = LARGE[name]
    with gives_back(attacked, mib=24):
        assert_refused(ask(attacked, asked), path, (413, 422))


MONSTERS = {
    "nine million objects": b'{"q": "red", "filter": {"and": [' + b"{}," * 9_000_000 + b"{}]}}",
    "fourteen million numbers": b'{"q": "red", "filter": {"price": [' + b"1," * 14_000_000 + b"1]}}",
    "a million names": b"{" + b",".join(b'"k%d":1' % n for n in range(1_000_000)) + b"}",
}


@pytest.mark.parametrize("name", MONSTERS)
def test_a_body_within_its_bytes_may_hold_no_million_values(attacked, gives_back, name):
    """Thirty megabytes of JSON become gigabytes of objects, and nobody else is answered while they are made."""
    over, waits = threading.Event(), [0.0]

    def look():
        with httpx.Client(base_url=attacked.address, timeout=60) as client:
            while not over.is_set():
                began = time.perf_counter()
                client.get("/livez")
                waits.append(time.perf_counter() - began)
                time.sleep(0.01)

    looking = threading.Thread(target=look)
    with gives_back(attacked, mib=80):
        attacked.forget_peak()
        before = attacked.resident_mib()
        looking.start()
        try:
            assert_refused(ask(attacked, MONSTERS[name]), "", (413, 422))
        finally:
            over.set()
            looking.join()
        assert max(waits) < ALIVE_S
        assert attacked.peak_mib() < before + 150


def test_what_filters_are_remembered_by_is_small(attacked, gives_back):
    with gives_back(attacked, mib=24):
        for number in range(20):
            assert ask(attacked, {"filter": {"brand": f"{number}{'x' * 3_000_000}"}}).json()["hits"] == []


WORDS = {
    "a thousand words of one letter": " ".join("abcdefgh"[n % 8] for n in range(1_000)),
    "slips in every word": " ".join(["mgu", "dres", "sneeker", "wacth", "bga", "Rubby"] * 60)[:2_000],
    "one word of 2,000 letters": "m" * 2_000,
    "one letter with 1,999 accents": "e" + "\u0301" * 1_999,
    "letters that are a phrase each": "\ufdfa" * 2_000,
    "right to left and back": "\u202e\u202d" * 990 + "mug",
    "faces": "\U0001f469\u200d\U0001f469\u200d\U0001f466" * 400,
    "a regular expression": "(a+)+$" * 300,
    "SQL, a path and a template": "'; DROP TABLE products;-- ../../etc/passwd {{7*7}} ${jndi:ldap://x}",
    "every brand, again and again": " ".join(["Diesel Lane", "Golden Goat", "Canada Geese", "Ruby"] * 45)[:2_000],
}


@pytest.mark.parametrize("name", WORDS)
def test_words_of_any_kind_are_searched_in_a_moment(attacked, name):
    for mode in ("hybrid", "lexical"):
        assert ask(attacked, {"q": WORDS[name], "mode": mode, "explain": True}).status_code == 200
    began = time.perf_counter()
    answer = attacked.client.get("/v1/suggest", params={"q": WORDS[name][:200]})
    assert answer.status_code == 200
    assert time.perf_counter() - began < SOON_S


def test_of_two_equal_names_the_later_counts(attacked):
    twice = ask(attacked, b'{"q": "blue", "q": "red mug", "limit": 3, "fields": ["id"]}').json()["hits"]
    assert twice == ask(attacked, {"q": "red mug", "limit": 3, "fields": ["id"]}).json()["hits"]


SURROGATES = [
    (b'{"q": "red \\ud83d"}', "q"),
    (b'{"q": "red", "collapse": "\\udc00"}', "collapse"),
    (b'{"q": "red", "facets": ["\\udc00"]}', "facets[0]"),
    (b'{"q": "red", "filter": {"\\udc00": 1}}', "filter"),
    (b'{"q": "red", "entities": {"brand": "\\udc00"}}', "entities.brand"),
    (b'{"q": "red", "rerank": {"category": "\\udc00"}}', "rerank.category"),
    (b'{"query": [{"product": "\\udc00"}]}', "query[0].product"),
    (b'{"\\udc00": 1}', ""),
]


@pytest.mark.parametrize(("body", "path"), SURROGATES)
def test_half_a_character_is_refused(attacked, body, path):
    assert_refused(ask(attacked, body), path)


def test_half_a_character_is_no_value_of_any_product(attacked):
    assert ask(attacked, b'{"filter": {"brand": "\\udc00"}}').status_code in {200, 422}


def test_ids_that_nobody_has_are_not_found_however_long(attacked):
    for product_id in ("x" * 60_000, "%00", "%ff", "..%2f..%2fetc%2fpasswd", "%F0%9F%98%80" * 1_000):
        answer = attacked.client.get(f"/v1/products/{product_id}/similar")
        assert answer.status_code in {400, 404}, answer.text[:300]
        assert len(answer.content) < 5_000
