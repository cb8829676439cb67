"""A Redis that is dead, slow, flushed, full or poisoned, under the cache of query vectors and under the update log."""

import os
import signal
import socket
import time

import numpy as np
import orjson
import pytest
import redis

from indexer.updates import EncodedProduct
from models.encoder import TextTerms
from models.product import Product
from service.terms import pack_terms

DIM = 24  # of the tiny encoder
TIMEOUT_MS = 250
BACK_S = 10.0
SOON_S = 10.0
SEEN_S = 10.0
LOOKS_S = 1.1  # at least as often the service looks whether its log is the same
PRODUCTS = 12


@pytest.fixture(scope="module")
def start_redis(tmp_path_factory, support):
    started = []

    def start(**options):
        started.append(support("redis_server").RedisServer(tmp_path_factory.mktemp("redis"), **options))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.kill()


def until(condition, patience_s=SEEN_S):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def direct(server):
    return redis.Redis(unix_socket_path=str(server.socket), socket_timeout=30)


# --- the cache ---


@pytest.fixture(scope="module")
def cached(nursery, published, unharmed, start_redis):
    """A service whose cache is in Redis, and that Redis."""
    server = start_redis()
    flags = ("--redis-url", server.url, "--update-log", "off", "--cache-timeout-ms", TIMEOUT_MS)
    flags += ("--result-cache-bytes", 0)  # else the vectors would be asked for but once
    started = nursery.start("--data-dir", published / "data", *flags)
    unharmed.check(started)
    return started, server


@pytest.fixture
def attacked(cached, unharmed):
    """The service whose cache is attacked, and its Redis: afterwards the service is what it was, cache and all."""
    service, server = cached
    yield service, server
    until_cached(service)
    unharmed.check(service)


def degraded(service):
    return service.search(q="red mug", limit=1)["degraded"]


def until_cached(service):
    deadline = time.monotonic() + BACK_S
    while degraded(service):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def fill(service, server):
    """Have the cache hold some vectors; return their keys."""
    for words in ("red mug", "blue bag", "watch"):
        service.search(q=words)
    with direct(server) as client:
        deadline = time.monotonic() + BACK_S
        while len(keys := client.keys("catalens:*")) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    return keys


def test_a_dead_redis_is_gone_without_and_its_successor_is_used(attacked, unharmed):
    service, server = attacked
    server.kill()
    for _ in range(8):
        assert degraded(service) == ["cache"]
        unharmed.check(service)
    assert service.client.get("/readyz").json()["degraded"] == ["cache"]
    server.start()


def test_a_redis_that_answers_nothing_costs_little_and_for_a_short_while(attacked, unharmed):
    service, server = attacked
    server.freeze()
    try:
        began = time.monotonic()
        for number in range(12):
            assert service.search(q=f"red mug {number}")["degraded"] == ["cache"]
        assert time.monotonic() - began < 5 * TIMEOUT_MS / 1_000 + SOON_S  # five tries in a row, then none
        unharmed.check(service)
    finally:
        server.thaw()


def test_a_redis_that_sleeps_is_not_waited_for(attacked, unharmed):
    service, server = attacked
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(server.socket))
        other.sendall(b"DEBUG SLEEP 1.5\r\n")
        time.sleep(0.05)
        began = time.monotonic()
        assert degraded(service) == ["cache"]
        unharmed.check(service)
        assert time.monotonic() - began < SOON_S


def test_a_flushed_redis_is_filled_again(attacked):
    service, server = attacked
    fill(service, server)
    with direct(server) as client:
        client.flushall()
        assert degraded(service) == []
        assert fill(service, server)


def test_a_full_redis_is_read_on_and_no_answer_suffers(attacked, unharmed):
    service, server = attacked
    fill(service, server)
    with direct(server) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        try:
            for number in range(20):
                answer = service.search(q=f"blue watch {number}")
                assert answer["hits"]
            unharmed.check(service)
        finally:
            client.config_set("maxmemory", 0)


UNIT = np.eye(1, DIM, dtype=np.float32)
POISONS = {
    "nothing": b"",
    "garbage": os.urandom(500),
    "a pickle": b"\x80\x04\x95\x1c\0\0\0\0\0\0\0\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.",
    "JSON": b'{"names": ["text"], "gates": {}}',
    "another dimension": pack_terms(TextTerms(("words",), np.eye(1, DIM + 1, dtype=np.float32), {})),
    "no number": pack_terms(TextTerms(("words",), np.full((1, DIM), np.nan, np.float32), {})),
    "infinity": pack_terms(TextTerms(("words",), np.full((1, DIM), np.inf, np.float32), {})),
    "no unit length": pack_terms(TextTerms(("words",), UNIT * 2, {})),
    "a value of 64 MB": bytes(64 << 20),
}


@pytest.mark.parametrize("name", [*POISONS, "a list", "cut in half", "one bit flipped"])
def test_a_poisoned_value_is_a_miss(attacked, unharmed, gives_back, name):
    service, server = attacked
    # What a connection had read of a large value when it was given up waits for the garbage collector.
    with gives_back(service, mib=250 if name == "a value of 64 MB" else 24), direct(server) as client:
        client.flushall()
        for key in fill(service, server):
            value = client.get(key)
            client.delete(key)
            if name == "a list":
                client.rpush(key, b"a", b"b")
            elif name == "cut in half":
                client.set(key, value[: len(value) // 2])
            elif name == "one bit flipped":
                client.set(key, value[:-1] + bytes([value[-1] ^ 1]))
            else:
                client.set(key, POISONS[name])
        unharmed.check(service)
        for words in ("red mug", "blue bag", "watch"):
            assert service.search(q=words)["hits"]


# --- the update log ---


@pytest.fixture(scope="module")
def following(nursery, published, unharmed, start_redis):
    """A service whose update log is in Redis, and that Redis."""
    server = start_redis(durable=True)
    started = nursery.start("--data-dir", published / "data", "--update-log", server.url)
    unharmed.check(started)
    return started, server


def shown(service, product_id):
    """Return the title of the product as searches have it."""
    hits = service.search(filter={"id": product_id})["hits"]
    return hits[0]["product"]["title"] if hits else None


def put(service, product_id, title="Zebra lamp"):
    answer = service.put({"id": product_id, "title": title}).json()
    assert [result["status"] for result in answer["results"]] == [200], answer
    return answer["results"][0]["version"]


def test_a_log_that_answers_nothing_takes_no_changes_and_loses_none(following, unharmed):
    service, server = following
    put(service, "before")
    server.freeze()
    try:
        refused = service.put({"id": "during", "title": "Zebra lamp"}, wait=False)
        assert refused.status_code == 503
        assert refused.json()["type"].endswith("unavailable")
        assert shown(service, "before") == "Zebra lamp"
        unharmed.check(service)
    finally:
        server.thaw()
    until(lambda: service.put({"id": "after", "title": "Zebra lamp"}, wait=False).status_code == 200)
    until(lambda: shown(service, "after") == "Zebra lamp")
    assert shown(service, "before") == "Zebra lamp"


def test_a_log_that_was_flushed_is_another_and_what_it_held_is_gone(following, unharmed):
    service, server = following
    put(service, "held")
    with direct(server) as client:
        client.flushall()
    until(lambda: shown(service, "held") is None)
    assert put(service, "held", "Zebra light") == 1
    assert shown(service, "held") == "Zebra light"
    unharmed.check(service)


def test_a_full_log_refuses_and_takes_again_when_there_is_room(following, unharmed):
    service, server = following
    put(service, "before")
    with direct(server) as client:
        client.config_set("maxmemory", "100kb")
        try:
            refused = service.put({"id": "during", "title": "Zebra lamp"}, wait=False)
            assert refused.status_code == 503
            assert "update log" in refused.json()["detail"]
            assert shown(service, "before") == "Zebra lamp"
            unharmed.check(service)
        finally:
            client.config_set("maxmemory", 0)
    put(service, "after")
    assert shown(service, "during") is None


def entry(**fields):
    return {"id": "evil", "kind": "put", "version": 1, "at": 0, "payload": b"{}", **fields}


def encoded(text, images=None, **fields):
    """Return the payload of a product with these vectors, as any who may write to the log could."""
    images = np.zeros((0, text.shape[0]), np.float16) if images is None else images
    product = Product(id="evil", title="Zebra lamp", images=tuple(f"i{n}" for n in range(len(images))))
    thumbnails = tuple(b"jpeg" for _ in range(len(images)))
    stated = orjson.loads(EncodedProduct(product, text, images, thumbnails, "FINGERPRINT").to_bytes())
    return {**stated, **fields}


EVIL = {
    "a payload that is no JSON": entry(payload=b"\x80\x04pickle"),
    "a payload of another form": entry(payload=b'{"product": 5}'),
    "a payload of 16 MB": entry(payload=b" " * (16 << 20)),
    "a patch that is a list": entry(id="p3", kind="patch", payload=b"[1]"),
    "a patch of a product to what it cannot be": entry(id="p3", kind="patch", payload=b'{"title": {"a": 1}}'),
    "no payload": {name: value for name, value in entry().items() if name != "payload"},
    "no kind": {name: value for name, value in entry().items() if name != "kind"},
    "an unknown kind": entry(kind="explode"),
    "a version that is no number": entry(version="many"),
    "a time that is none": entry(at="now"),
    "an id of half a character": entry(id=b"\xff\xfe"),
}
VECTORS = {
    "a vector that is no number": encoded(np.full(DIM, np.nan, np.float16)),
    "an infinite vector": encoded(np.full(DIM, np.inf, np.float16)),
    "a vector of another dimension": encoded(np.ones(DIM + 1, np.float16)),
    "a vector of no length": encoded(np.zeros(DIM, np.float16)),
    "a vector of great length": encoded(np.full(DIM, 1_000, np.float16)),
    "a picture's vector that is no number": encoded(
        np.eye(1, DIM, dtype=np.float16)[0], np.full((1, DIM), np.nan, np.float16)
    ),
}


@pytest.fixture
def poisoned(following, unharmed):
    """The service whose log is poisoned, and its Redis; afterwards the log is a new one, and all is well."""
    service, server = following
    put(service, "before")
    yield service, server
    with direct(server) as client:
        client.flushall()
    until(lambda: shown(service, "before") is None)
    put(service, "again")
    assert service.client.get("/readyz").json()["degraded"] == []
    unharmed.check(service)


def test_poisoned_entries_hold_nothing_up(poisoned, unharmed):
    """What comes after each is shown; what they say of products changes no answer; and each is told of."""
    service, server = poisoned
    fingerprint = service.client.get("/metrics").text.split('fingerprint="')[1].split('"')[0]
    for name in [*EVIL, *VECTORS]:
        vectors = {**VECTORS.get(name, {}), "fingerprint": fingerprint}
        fields = EVIL.get(name) or entry(payload=orjson.dumps(vectors))
        with direct(server) as client:
            seq = client.hincrby("catalens:{default}:facts", "seq", 1)
            client.xadd("catalens:{default}:updates", fields, id=f"{seq}-0")
        assert service.put({"id": "after", "title": name}, wait=False).status_code == 200, name
        until(lambda name=name: shown(service, "after") == name)
        for mode in ("hybrid", "vector"):
            scores = [hit["score"] for hit in service.search(q="Ruby green mug no 8", mode=mode, limit=100)["hits"]]
            assert all(isinstance(score, float) and -1.1 <= score <= 1.1 for score in scores), name
            assert len(scores) >= PRODUCTS + 2, name
        assert [line["seq"] for line in service.lines if line["event"] == "update_not_applied"][-1] == seq, name
    assert service.client.get("/readyz").json()["degraded"] == ["updates"]
    unharmed.check(service)


FACTS = {
    "an epoch that is none": ("catalens:{default}:facts", "epoch", b"\xff\xfe"),
    "a number that is none": ("catalens:{default}:facts", "seq", b"many"),
    "a trimmed number that is none": ("catalens:{default}:facts", "trimmed", b"many"),
    "a state that is none": ("catalens:{default}:products", "p3", b"garbage"),
}


@pytest.mark.parametrize("name", [*FACTS, "a stream that is a list", "facts that are a list"])
def test_poisoned_books_stop_changes_but_no_search(poisoned, unharmed, name):
    service, server = poisoned
    with direct(server) as client:
        if name in FACTS:
            key, field, value = FACTS[name]
            client.hset(key, field, value)
        else:
            key = "catalens:{default}:updates" if "stream" in name else "catalens:{default}:facts"
            client.delete(key)
            client.rpush(key, b"a")
    time.sleep(LOOKS_S)
    answer = service.put({"id": "p3", "price": 5, "partial": True}, wait=False)
    assert answer.status_code in {200, 503}, answer.text
    unharmed.check(service)


def test_a_service_starts_over_a_poisoned_log(nursery, published, unharmed, start_redis):
    server = start_redis()
    with direct(server) as client:
        client.hset("catalens:{default}:facts", mapping={"epoch": "e", "seq": 1})
        client.xadd("catalens:{default}:updates", entry(kind="explode"), id="1-0")
    with nursery.running("--data-dir", published / "data", "--update-log", server.url) as service:
        unharmed.check(service)
        assert service.client.get("/readyz").json()["degraded"] == ["updates"]


def test_a_killed_redis_under_both_loses_nothing(nursery, published, unharmed, start_redis):
    server = start_redis(durable=True)
    with nursery.running("--data-dir", published / "data", "--redis-url", server.url) as service:
        put(service, "before")
        server.kill()
        assert service.put({"id": "during", "title": "t"}, wait=False).status_code == 503
        unharmed.check(service)
        server.start()
        until(lambda: service.put({"id": "after", "title": "t"}, wait=False).status_code == 200)
        until(lambda: shown(service, "after") == "t")
        assert shown(service, "before") == "Zebra lamp"
        os.kill(service.pid, signal.SIGTERM)
        until(lambda: not service.runs())
