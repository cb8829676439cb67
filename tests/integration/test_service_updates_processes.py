"""Updates through real services: two over one Redis, one that is killed again and again, and builds in between."""

import base64
import contextlib
import io
import random
import shutil
import signal
import statistics
import threading
import time

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from indexer.build import BuildOptions, build
from indexer.bundle import Bundle, current_bundle
from indexer.publish import publish, rollback
from indexer.updates_cli import fold_of, opened_log
from models.checkpoint import Card, load_encoder, save_checkpoint
from service.app import create_app
from service.settings import Settings

PATIENCE_S = 60.0
KILLS = 5
MODES = ("hybrid", "vector", "lexical")


@pytest.fixture(scope="module")
def published(tmp_path_factory, support):
    """A data folder with a published bundle of a model with random weights, and the model's folder."""
    folder = tmp_path_factory.mktemp("published")
    tiny, feeds = support("tiny"), support("feeds")
    model = tiny.eiclip(folder)
    card = Card(name="tiny", licence="Apache-2.0", backbone="tiny", image=model.backbone.recipe, entities=model.design)
    save_checkpoint(folder / "model", model, card)
    feeds.write_feed(folder / "feed", 12, pictures=1)
    encoder = load_encoder(str(folder / "model"), "cpu")
    built = build(encoder, BuildOptions(catalogue=folder / "feed", data_dir=folder / "data"))
    publish(folder / "data", built.manifest.id, force=True)
    return folder


@pytest.fixture(scope="module")
def until(support):
    """Wait for a condition: `until(lambda: ...)` returns the seconds that took."""
    return support("nursery").until


@pytest.fixture(scope="module")
def start(support, published, tmp_path_factory):
    """Start a service: `start("--data-dir", folder)`."""
    nursery = support("nursery").Nursery(published / "data", published / "model", tmp_path_factory.mktemp("logs"))
    yield nursery.start
    nursery.close()


def partial(product_id, **fields):
    return {"id": product_id, "partial": True, **fields}


def base64_of(picture):
    return base64.b64encode(picture).decode()


def data_uri(picture):
    return f"data:image/jpeg;base64,{base64_of(picture)}"


@pytest.fixture(scope="module")
def pictures(support):
    feeds = support("feeds")
    return [feeds.jpeg(feeds.picture(2_000 + n, ("green", "purple")[n % 2])) for n in range(4)]


# --- two services on one Redis ---


@pytest.fixture(scope="module")
def redis(tmp_path_factory, support):
    server = support("redis_server").RedisServer(tmp_path_factory.mktemp("redis"), durable=True)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def pair(start, redis, published):
    """Two services that share a log."""
    flags = ("--data-dir", published / "data", "--update-log", redis.url)
    return start(*flags), start(*flags)


def assert_same(one, other, picture):
    """Make sure that two services have the same products and find the same."""
    assert one.products() == other.products()
    for asked in (
        *({"q": "zebra mug", "mode": mode} for mode in MODES),
        {"image": {"data": base64_of(picture)}},
        {"query": [{"product": "p3"}]},
        {"q": "red", "filter": {"price": {"lt": 15}}},
    ):
        found = [{hit["id"]: hit["score"] for hit in each.search(**asked, limit=100)["hits"]} for each in (one, other)]
        assert found[0] == pytest.approx(found[1], abs=1e-5), asked
    facets = [each.search(facets=["brand", "category", "price"], limit=1)["facets"] for each in (one, other)]
    assert facets[0] == facets[1]


def shows(service, product_id, fields):
    """Return whether a search finds the product with these values; None: whether it finds none."""
    hits = service.search(filter={"id": product_id}, facets=["price"])["hits"]
    if fields is None or not hits:
        return fields is None and not hits
    return {name: hits[0]["product"][name] for name in fields} == fields


@pytest.mark.clock
@pytest.mark.slow
def test_each_service_sees_what_the_other_stored_within_a_second(pair, pictures, until):
    waits = []
    for number in range(12):
        here, there = pair[number % 2], pair[1 - number % 2]
        name = f"new-{number}"
        whole = {"id": name, "title": "Zebra lamp", "price": 1.0, "images": [data_uri(pictures[number % 4])]}
        steps = [
            (whole, {"price": 1.0}),
            (partial(name, price=2.0, in_stock=False), {"price": 2.0, "in_stock": False}),
            (partial(name, title="Zebra light", if_version=2), {"title": "Zebra light", "price": 2.0}),
            *([({"id": name, "delete": True}, None)] if number % 3 == 0 else []),
        ]
        for item, seen in steps:
            assert here.put(item).json()["results"][0]["status"] == 200
            waits.append(until(lambda there=there, name=name, seen=seen: shows(there, name, seen)))
    assert max(waits) < 1
    assert statistics.median(waits) < 0.3
    assert_same(*pair, pictures[1])


@pytest.mark.slow
def test_what_both_write_at_once_comes_to_the_same_and_an_old_version_is_refused_by_both(pair, pictures):
    stored = []  # of p6

    def write(service, number):
        for n in range(15):
            items = partial("p5", title=f"Zebra {number} {n}"), partial("p6", price=float(n), season=f"s{number}")
            results = service.put(*items).json()["results"]
            assert {result["status"] for result in results} <= {200, 409}  # the other may have been first too often
            stored.extend(result["version"] for result in results[1:] if result["status"] == 200)
            service.put({"id": "new-0", "title": f"Zebra {number} {n}"}, wait=False)
            service.put({"id": "new-0", "delete": True}, wait=False)

    threads = [threading.Thread(target=write, args=(service, number)) for number, service in enumerate(pair)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = len(stored)
    assert sorted(stored) == list(range(1, last + 1))
    assert last >= 15
    assert [service.product("p6")["version"] for service in pair] == [last, last]
    assert_same(*pair, pictures[1])
    before = pair[0].product("p6")
    for service in pair:
        for late in (partial("p6", price=99.0, if_version=last - 1), {"id": "p6", "delete": True, "if_version": 0}):
            [result] = service.put(late).json()["results"]
            assert (result["status"], result["version"]) == (409, last)
        assert service.product("p6") == before


class Writing:
    """Stores new products and prices until it is told to stop, and searches in between; keeps what was answered."""

    def __init__(self, service, name):
        self.name, self.added, self.price, self.refused, self.searched = name, [], None, [], []
        self._service, self._stop = service, threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self):
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"{self.name}-{number}"
            items = ({"id": name, "title": f"Zebra {number}"}, partial(self.name, price=float(number)))
            answer = self._service.put(*items, wait=False)
            self.searched.append(self._service.client.post("/v1/search", json={"q": "zebra mug"}).status_code)
            if answer.status_code == 200:
                self.added += [name] if answer.json()["stored"] == 2 else pytest.fail(answer.text)
                self.price = number
            else:
                self.refused.append(answer)
                time.sleep(0.05)

    def stop(self):
        self._stop.set()
        self._thread.join()


def assert_goes_on_without_its_log(service, until):
    until(lambda: service.search(q="zebra")["degraded"] == ["updates"], 5)
    for mode in MODES:
        assert service.search(q="zebra lamp", mode=mode)["hits"]
    ready = service.client.get("/readyz")
    assert (ready.status_code, ready.json()["degraded"]) == (200, ["updates"])
    assert service.client.get("/v1/products/p3").status_code == 200
    for answer in (
        service.put(partial("p3", price=1.0)),
        service.client.delete("/v1/products/p3"),
        service.client.get("/v1/products/p3?version=true"),
    ):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["type"] == "urn:catalens:problem:unavailable"


@pytest.mark.slow
def test_a_killed_redis_stops_writes_but_no_search_and_loses_nothing(pair, redis, pictures, until):
    writers = [Writing(service, name) for service, name in zip(pair, ("p3", "p4"), strict=True)]
    until(lambda: all(len(writer.added) >= 10 for writer in writers))
    redis.kill()
    until(lambda: all(writer.refused for writer in writers))
    for writer in writers:
        assert writer.refused[-1].json()["type"] == "urn:catalens:problem:unavailable"
    for service in pair:
        assert_goes_on_without_its_log(service, until)
    before = [len(writer.added) for writer in writers]
    redis.start()
    until(lambda: all(len(writer.added) >= n + 10 for writer, n in zip(writers, before, strict=True)))
    for writer in writers:
        writer.stop()
        assert set(writer.searched) == {200}
    for number, service in enumerate(pair):
        until(lambda service=service: service.search(q="zebra")["degraded"] == [], 5)
        assert service.put(partial("p0", price=float(number))).json()["stored"] == 1
    for service in pair:
        until(lambda service=service: shows(service, "p0", {"price": 1.0}), 5)
        for writer in writers:
            assert service.product(writer.name)["price"] == writer.price
            assert [name for name in writer.added if service.product(name) is None] == []
    many = [{"id": name, "delete": True} for writer in writers for name in writer.added]
    assert pair[0].put(*many).json()["stored"] == len(many)  # so that the rest fits on one page
    until(lambda: pair[1].search(filter={"id": many[-1]["id"]}, sort=["id:asc"])["found"] == 0, 5)
    assert_same(*pair, pictures[1])


# --- a service that is killed ---

OWNED = (("p0", "p1", "p2", "whole-0"), ("p4", "p5", "p6", "whole-1"))
LIGHT = ("p0", "p4")


def unlike(one, other):
    """Return how much two pictures of one size differ, 0 to 255."""
    pixels = [np.asarray(Image.open(io.BytesIO(data)), np.float32) for data in (one, other)]
    return float(np.abs(pixels[0] - pixels[1]).mean())


class Stream:
    """Writes to products of its own, each in turn, until the service dies; the n-th write of each says n everywhere."""

    def __init__(self, service, products, acknowledged, pictures):
        self.begun = threading.Event()
        self._service, self._products, self._pictures = service, products, pictures
        self._acknowledged = acknowledged  # product -> number of its last write that was
        self.thread = threading.Thread(target=self._write)
        self.thread.start()

    def _batches(self):
        light, heavy, beside, whole = self._products
        yield self._batch(light)
        yield self._batch(heavy, beside, title=True)
        [item] = self._batch(whole, title=True)
        picture = data_uri(self._pictures[int(item["price"]) % len(self._pictures)])
        yield [{**item, "partial": False, "images": [picture]}]

    def _batch(self, *products, title=False):
        number = self._acknowledged[products[0]] + 1
        fields = {"price": float(number), "attributes": {"number": number}}
        return [partial(name, **fields, **({"title": f"Zebra {number}"} if title else {})) for name in products]

    def _write(self):
        with contextlib.suppress(httpx.TransportError):  # it was killed
            while True:
                for items in self._batches():
                    results = self._service.put(*items, wait=False).json()["results"]
                    number = int(items[0]["price"])
                    assert [(result["status"], result["version"]) for result in results] == [(200, number)] * len(items)
                    self._acknowledged.update((item["id"], number) for item in items)
                self.begun.set()


def assert_has(service, product_id, acknowledged):
    """Make sure a product is as its last acknowledged write left it, or the next, and wholly so; return which."""
    shown = service.product(product_id)
    number = 0 if shown is None else shown["version"]
    assert number in {acknowledged, acknowledged + 1}, product_id
    if number:
        assert (shown["price"], shown["attributes"]["number"]) == (number, number)
        assert product_id in LIGHT or shown["title"] == f"Zebra {number}"
        [hit] = service.search(filter={"id": product_id, "price": number, "number": number})["hits"]
        assert hit["product"] == {name: value for name, value in shown.items() if name != "version"}
    return number


@pytest.mark.slow
def test_a_service_that_is_killed_again_and_again_has_all_it_acknowledged(start, published, tmp_path, pictures):
    folder = tmp_path / "data"
    shutil.copytree(published / "data", folder, symlinks=True)
    acknowledged = dict.fromkeys((name for products in OWNED for name in products), 0)
    rng = random.Random("kills")
    service = start("--data-dir", folder)
    for _ in range(KILLS):
        streams = [Stream(service, products, acknowledged, pictures) for products in OWNED]
        for stream in streams:
            assert stream.begun.wait(PATIENCE_S)
        time.sleep(rng.uniform(0, 0.4))
        service.end()
        for stream in streams:
            stream.thread.join()
        service = start("--data-dir", folder)
        for name, number in acknowledged.items():
            acknowledged[name] = assert_has(service, name, number)
        for _, heavy, beside, whole in OWNED:
            assert acknowledged[heavy] == acknowledged[beside]  # they came together
            served = service.client.get(f"/v1/products/{whole}/images/0").content
            assert unlike(served, pictures[acknowledged[whole] % len(pictures)]) < 5
        assert service.search(q="zebra")["degraded"] == []
    assert min(acknowledged.values()) >= KILLS
    assert unlike(pictures[0], pictures[2]) > 10
    service.end(signal.SIGTERM)


# --- builds in between ---


class Shop:
    """A folder of bundles, built again and again from one feed, and served in between."""

    def __init__(self, folder, encoder, feeds):
        self.rows = feeds.products(8, pictures=1)
        feeds.write_pictures(folder / "feed", self.rows)
        pq.write_table(pa.Table.from_pylist(self.rows), folder / "feed" / "catalogue.parquet")
        self._feed, self.data_dir, self._encoder = folder / "feed", folder / "data", encoder

    def index(self):
        """Build as `python -m indexer build` does; return the manifest."""
        log = opened_log("auto", None, "default", self.data_dir)
        options = BuildOptions(catalogue=self._feed, data_dir=self.data_dir, updates=fold_of(log, None))
        built = build(self._encoder, options)
        if log is not None:
            log.close()
        return built.manifest

    def publish(self, manifest):
        publish(self.data_dir, manifest.id, force=True)

    @contextlib.contextmanager
    def served(self):
        settings = Settings(data_dir=self.data_dir, ready_cache_ms=0)
        with (
            Bundle.open(current_bundle(self.data_dir)) as bundle,
            TestClient(create_app(settings, (self._encoder, bundle))) as client,
        ):
            yield client


def store(client, *items):
    assert client.put("/v1/products?wait=true", json={"products": items}).json()["failed"] == 0


def catalogue(client):
    """Return all products with their versions."""
    found = client.post("/v1/search", json={"sort": ["id:asc"], "limit": 100}).json()["hits"]
    answers = [client.get(f"/v1/products/{hit['id']}?version=true").json() for hit in found]
    return {each["product"]["id"]: {**each["product"], "version": each["version"]} for each in answers}


def applied(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = {sample.name: sample.value for family in families for sample in family.samples}
    return samples["catalens_updates_applied_total"]


def assert_changed(client, picture, **prices):
    """Make sure p1 is gone, p2 has another title, there is a lamp, and prices are these."""
    shown = catalogue(client)
    assert set(shown) == {f"p{n}" for n in range(8)} - {"p1"} | {"lamp"}
    assert (shown["p2"]["title"], shown["lamp"]["title"]) == ("Zebra mug", "Zebra lamp")
    assert {name: shown[name]["price"] for name in prices} == prices
    assert client.get("/v1/products/p1").status_code == 404
    for mode in MODES:
        found = client.post("/v1/search", json={"q": "Golden Goat red top no 1", "mode": mode}).json()["hits"]
        assert "p1" not in {hit["id"] for hit in found}
    found = client.post("/v1/search/image", files={"image": ("p.jpg", picture)}).json()
    assert (found["hits"][0]["id"], found["degraded"]) == ("lamp", [])
    assert client.get("/v1/products/lamp/images/0").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_what_was_deleted_or_changed_stays_so_however_often_the_feed_is_indexed(
    tmp_path, weightless, support, pictures
):
    shop, picture = Shop(tmp_path, weightless(32), support("feeds")), pictures[1]
    assert shop.rows[1]["title"] == "Golden Goat red top no 1"
    first = shop.index()
    shop.publish(first)
    assert (first.log_position, first.counts.products) == (None, 8)
    with shop.served() as client:
        lamp = {"id": "lamp", "title": "Zebra lamp", "price": 9.0, "images": [data_uri(picture)]}
        store(client, {"id": "p1", "delete": True}, partial("p2", title="Zebra mug"), partial("p3", price=3.5), lamp)
        second = shop.index()
        store(client, partial("p4", price=4.5), partial("lamp", price=8.0))  # behind where the new bundle stands
        assert_changed(client, picture, p3=3.5, p4=4.5, lamp=8.0)
        before = catalogue(client)
    shop.publish(second)
    assert second.counts.products == 8
    with shop.served() as client:
        assert applied(client) == 2
        assert_changed(client, picture, p3=3.5, p4=4.5, lamp=8.0)
        assert catalogue(client) == before
        store(client, partial("p5", price=5.5), {"id": "p1", "title": "Back"}, partial("p3", price=2.5))
        store(client, {"id": "p1", "delete": True})
    shop.index()
    shop.publish(shop.index())
    with shop.served() as client:
        assert applied(client) == 0
        assert_changed(client, picture, p3=2.5, p4=4.5, p5=5.5, lamp=8.0)
        after = catalogue(client)
        assert [after[name]["version"] for name in ("p2", "p3", "lamp", "p7")] == [1, 2, 2, 0]
        assert client.delete("/v1/products/p1").status_code == 404
        store(client, {"id": "p1", "title": "Back", "if_version": 3})
        store(client, {"id": "p1", "delete": True, "if_version": 4})
    rollback(shop.data_dir)
    with shop.served() as client:
        assert_changed(client, picture, p3=2.5, p4=4.5, p5=5.5, lamp=8.0)
        assert catalogue(client) == after
