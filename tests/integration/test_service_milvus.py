"""A service whose vectors are in Milvus, here Milvus Lite: the same answers, with it and when it is away."""

import json
import socket
import threading
import time
from contextlib import ExitStack, closing

import numpy as np
import pytest
from starlette.testclient import TestClient

pytest.importorskip("pymilvus", reason="the extra `milvus` is not installed")

from milvus_lite.server_manager import server_manager_instance

from indexer.bundle import Bundle
from indexer.milvus_bundles import index_of, push
from indexer.milvus_client import Milvus, MilvusError
from service.app import create_app
from service.errors import StartupError
from service.filters import Filters
from service.pushdown import expression
from service.served import open_artefacts
from service.settings import Settings

FILTERS = [
    {},
    {"brand": "RUBY"},
    {"brand": ["Ruby", 'nobody\'s \\ "own"'], "price": {"gte": 20, "lt": 50.5}},
    {"not": {"brand": "Ruby"}},
    {"price": {"not": {"gt": 40}}},
    {"price": [19, 25.0]},
    {"in_stock": True},
    {"in_stock": {"exists": False}},
    {"not": {"weight": {"lt": 3}}},
    {"weight": {"lt": 3}, "washable": False},
    {"washable": {"not": True}},
    {"sizes": ["XL", "größe"]},
    {"not": {"sizes": {"in": ["XL"], "exists": True}}},
    {"or": [{"season": "Winter"}, {"colour": ["red", "Green"]}]},
    {"and": [{"season": "winter"}, {"not": {"colour": "red"}}]},
    {"id": ["p5", "p3", "none"]},
    {"not": {"id": "p3"}},
    {"id": "none"},
]
UNTOLD = [
    {"brand": ""},
    {"brand": []},
    {"brand": "line\nbreak"},
    {"brand": "x" * 2_000},
    {"brand": [f"b{n}" for n in range(2_000)]},
    {'we"ird': 1},
]


class Door:
    """A way to a port that can be shut, so that whoever uses it waits for answers which do not come."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open = threading.Event()
        self._open.set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._open.set()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._server.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._port))
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with one, other:
            try:
                while data := one.recv(65_536):
                    self._open.wait()
                    other.sendall(data)
            except OSError:
                return


@pytest.fixture(scope="module")
def shop(tmp_path_factory, weightless, support, make_shop, quick_builds):
    """60 products, some of them with numbers, truth values and several words among their attributes."""
    feeds = support("feeds")
    rows = feeds.products(60)
    for number, row in enumerate(rows):
        row["weight"] = number / 4 if number % 3 else None
        row["washable"] = number % 4 == 1 if number % 2 else None
        row["sizes"] = None if number % 7 == 0 else ["XL", "s"] if number % 5 else ["Größe"]
        row['we"ird'] = 1
    encoder = weightless(32, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
    return make_shop(tmp_path_factory.mktemp("shop"), encoder, rows, feeds)


@pytest.fixture
def bundle(shop):
    """The shop's bundle, of which no filter is answered without its indexes."""
    with Bundle.open(shop.path) as opened:
        opened.restate(opened.manifest.model_copy(update={"exact_rows": 0}))
        yield opened


@pytest.fixture(scope="module")
def lite(shop, tmp_path_factory):
    """The address of Milvus Lite, to which the shop was pushed."""
    path = str(tmp_path_factory.mktemp("milvus") / "lite.db")
    with Bundle.open(shop.path) as opened:
        push(Milvus(path, timeout_s=60.0), opened, lambda _: None)
    return server_manager_instance.start_and_get_uri(path)


@pytest.fixture
def door(lite):
    with closing(Door(int(lite.rsplit(":", 1)[1]))) as opened:
        yield opened


@pytest.fixture
def open_service(shop, bundle, tmp_path):
    """Start a service over the shop: `open_service(milvus_uri=...)` returns a client of it."""
    with ExitStack() as closing_all:

        def start(**settings):
            given = {"data_dir": tmp_path, "update_log": "off", "ready_cache_ms": 0, "result_cache_bytes": 0}
            app = create_app(Settings.model_validate(given | settings), (shop.encoder, bundle))
            return closing_all.enter_context(TestClient(app))

        yield start


@pytest.fixture
def asked_of_milvus(monkeypatch):
    """The expressions that Milvus was told, in order."""
    told, real = [], Milvus.search

    def search(self, name, xq, limit, expression, width):
        told.append(expression)
        return real(self, name, xq, limit, expression, width)

    monkeypatch.setattr(Milvus, "search", search)
    return told


@pytest.mark.parametrize("stated", FILTERS, ids=json.dumps)
def test_what_milvus_is_told_admits_what_the_filter_admits(bundle, lite, stated):
    milvus = Milvus(lite, timeout_s=60.0)
    mask = Filters(bundle.fields).mask(stated)
    said = expression(stated, bundle.fields, bundle.products)
    for space, admitted in (("text", mask), ("image", mask[bundle.image_rows])):
        index = index_of(milvus, bundle, space)
        hits = milvus.search(index.name, bundle.vectors[space][:1].astype(np.float32), index.ntotal, said, None)[0]
        assert {row for row, _ in hits} == set(np.flatnonzero(admitted).tolist())


@pytest.mark.parametrize("stated", UNTOLD, ids=lambda stated: json.dumps(stated)[:30])
def test_what_milvus_cannot_be_told_is_not_told(bundle, stated):
    Filters(bundle.fields).mask(stated)
    assert expression(stated, bundle.fields, bundle.products) is None


def search(client, **asked):
    answer = client.post("/v1/search", json={"limit": 5, **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()


def hits(found):
    return [(hit["id"], pytest.approx(hit["score"], abs=1e-4)) for hit in found["hits"]]


@pytest.mark.parametrize(
    "asked",
    [
        {"q": "green sneaker"},
        {"query": [{"product": "p7"}]},
        {"q": "green sneaker", "filter": {"brand": "ruby", "price": {"lt": 60}}},
        {"q": "dress", "filter": {"not": {"weight": {"lt": 9}}}, "mode": "vector"},
        {"q": "dress", "filter": {"brand": [f"b{n}" for n in range(1_500)] + ["Ruby"]}, "mode": "vector"},
    ],
    ids=["words", "product", "told", "not", "untold"],
)
def test_answers_are_those_of_the_bundle(open_service, lite, asked, asked_of_milvus):
    own = search(open_service(), **asked)
    assert asked_of_milvus == []
    found = search(open_service(milvus_uri=lite, milvus_timeout_ms=60_000), **asked)
    assert hits(found) == hits(own)
    assert found["degraded"] == []
    assert (asked_of_milvus[-1] != "") == ("filter" in asked)


def test_filters_go_to_milvus_as_expressions(open_service, lite, asked_of_milvus):
    client = open_service(milvus_uri=lite, milvus_timeout_ms=60_000)
    search(client, q="sneaker", filter={"brand": "RUBY", "in_stock": True}, mode="vector")
    assert asked_of_milvus[-1] == '((brand in ["ruby"] and (array_contains(stated, "in_stock") and in_stock == true)))'


def test_the_event_loop_never_waits_for_milvus(open_service, lite, monkeypatch):
    """A Milvus on another machine takes no processor time here; so does one that repeats its answers."""
    client = open_service(milvus_uri=lite, milvus_timeout_ms=60_000)
    threads, answers, real = [], {}, Milvus.search

    def repeated(self, name, *asked):
        threads.append(threading.current_thread().name)
        if name not in answers:
            answers[name] = real(self, name, *asked)
        return answers[name]

    monkeypatch.setattr(Milvus, "search", repeated)
    for _ in range(12):
        search(client, q="green sneaker", mode="vector")
    assert len(threads) == 24
    assert all(name.startswith("rank") for name in threads)


def test_updates_are_seen_whatever_milvus_holds(open_service, lite, tmp_path, asked_of_milvus, no_long_waits):
    client = open_service(milvus_uri=lite, milvus_timeout_ms=60_000, update_log="file", data_dir=tmp_path)
    asked = {"q": "ruby red dress", "filter": {"price": {"gte": 10, "lt": 40}}, "sort": ["price:asc"], "limit": 9}
    assert [hit["id"] for hit in search(client, **asked)["hits"]] == [f"p{n}" for n in range(9)]
    patches = [{"id": "p3", "price": 99.0, "partial": True}, {"id": "p50", "price": 11.5, "partial": True}]
    answer = client.put("/v1/products", json={"products": patches}, params={"wait": True})
    assert answer.json()["stored"] == 2, answer.text
    assert client.delete("/v1/products/p4", params={"wait": True}).status_code == 200
    found = search(client, **asked)
    assert [hit["id"] for hit in found["hits"]] == ["p0", "p1", "p50", "p2", "p5", "p6", "p7", "p8", "p9"]
    told = asked_of_milvus[-1]  # of pictures, two for each product: those that Milvus's own price is no longer true of
    assert told.endswith("price < 40.0))) and row not in [6,7,8,9]) or row in [100,101]")
    assert found["degraded"] == []


@pytest.mark.clock
def test_milvus_that_hangs_or_dies_costs_no_answer(open_service, door, monkeypatch):
    monkeypatch.setattr("indexer.standby.RETRY_S", 0.1)
    client = open_service(milvus_uri=f"http://127.0.0.1:{door.port}", milvus_timeout_ms=300)
    whole = search(client, q="green sneaker")
    assert whole["degraded"] == []
    door.shut()
    began = time.monotonic()
    hung = search(client, q="green sneaker")
    assert time.monotonic() - began < 3
    assert hung["degraded"] == ["index"]
    assert hits(hung) == hits(whole)
    began = time.monotonic()
    assert search(client, q="green sneaker")["degraded"] == ["index"]
    assert time.monotonic() - began < 0.25  # nobody waits for it again
    assert client.get("/readyz").json()["degraded"] == ["index"]
    door.open()
    wait_until(lambda: search(client, q="green sneaker")["degraded"] == [])


@pytest.mark.parametrize("what", ["dead", "of another shop"])
def test_a_service_starts_without_milvus(open_service, tmp_path, what):
    uri = "http://127.0.0.1:1" if what == "dead" else str(tmp_path / "empty.db")
    client = open_service(milvus_uri=uri, milvus_timeout_ms=2_000)
    found = search(client, q="green sneaker")
    assert found["degraded"] == ["index"]
    assert found["hits"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"milvus_uri": "lite.db"}, "milvus_uri: pymilvus is not installed: install catalens with the extra `milvus`"),
        ({"index_device": "cuda:99"}, "index_device: torch finds no cuda:99 here"),
    ],
)
def test_what_is_not_there_ends_the_start(tmp_path, monkeypatch, given, said):
    monkeypatch.setattr("service.elsewhere.find_spec", lambda _: None)
    with pytest.raises(StartupError) as refused:
        open_artefacts(Settings(data_dir=tmp_path, **given))
    assert str(refused.value) == said


def test_half_a_bundle_in_milvus_is_not_searched(bundle, tmp_path):
    milvus = Milvus(str(tmp_path / "half.db"), timeout_s=60.0)
    push(milvus, bundle, lambda _: None)
    whole = index_of(milvus, bundle, "text")
    whole.search(np.ones((1, 32), np.float32), 1)
    whole.delete(range(30))
    with pytest.raises(MilvusError, match=r"holds 30 of 60 rows: push it again"):
        index_of(milvus, bundle, "text").search(np.ones((1, 32), np.float32), 1)
    push(milvus, bundle, lambda _: None)
    assert index_of(milvus, bundle, "text").search(np.ones((1, 32), np.float32), 60)[1].min() == 0


def wait_until(condition, within_s=10.0):
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
