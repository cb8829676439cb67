"""Bundles that come, go and fail while searches go on: no answer is lost, none mixes two, none is of a bad bundle."""

import asyncio
import gc
import itertools
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from indexer.build import BuildOptions, build
from indexer.bundle import FILES, Bundle
from indexer.live import LiveCatalogue
from indexer.manifest import MANIFEST, Manifest, record_file
from indexer.publish import history, publish
from service.api.views import BundlesResponse
from service.app import create_app
from service.settings import Settings

TOLD = TypeAdapter(BundlesResponse)
PATIENCE_S = 60.0
TOLERANCE_S = 2.0
WATCH_MS = 40
PRODUCTS = 18
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("quick_builds")


@pytest.fixture(scope="module")
def asgi(support):
    return support("asgi")


@pytest.fixture(scope="module")
def shops(tmp_path_factory, weightless, support):
    """A data folder with two bundles of the same ids: titles begin with Alpha in the one, with Beta in the other."""
    feeds, folder = support("feeds"), tmp_path_factory.mktemp("shops")
    encoder = weightless(32, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
    rows = feeds.products(PRODUCTS, pictures=1)
    feeds.write_pictures(folder, rows)
    ids = {}
    for word in ("Alpha", "Beta"):
        titled = [{**row, "title": f"{word} {row['title']}"} for row in rows]
        pq.write_table(pa.Table.from_pylist(titled), folder / "catalogue.parquet")
        ids[word] = build(encoder, BuildOptions(folder, folder / "data")).manifest.id
    return SimpleNamespace(data=folder / "data", encoder=encoder, ids=ids, words={name: w for w, name in ids.items()})


class Place:
    """A data folder of one's own, in which Alpha is published."""

    def __init__(self, shops, folder):
        shutil.copytree(shops.data, folder, symlinks=True)
        self.folder = folder
        self.alpha, self.beta = shops.ids["Alpha"], shops.ids["Beta"]
        publish(folder, self.alpha)

    def bundle(self, name):
        return self.folder / "bundles" / name

    def point(self, target):
        """Let `current` lead somewhere, whatever is there: `publish` would look at it first."""
        fresh = self.folder / ".fresh"
        fresh.symlink_to(target)
        fresh.replace(self.folder / "current")

    def beside(self, roles):
        text = roles if isinstance(roles, str) else json.dumps(roles)
        (self.folder / "beside.json").write_text(text)


@pytest.fixture
def place(shops, tmp_path):
    return Place(shops, tmp_path / "data")


def app_of(shops, folder, encoder=None, **settings):
    given = {"data_dir": folder, "update_log": "off", "watch_ms": WATCH_MS, "ready_cache_ms": 0, **settings}
    bundle = Bundle.open((folder / "current").resolve())
    return create_app(Settings.model_validate(given), (encoder or shops.encoder, bundle))


@pytest.fixture
def service(shops, place):
    """Start a service over the place: `with service(update_log="file") as client:`."""
    return lambda **given: TestClient(app_of(shops, place.folder, **given))


@pytest.fixture
def client(service):
    with service() as opened:
        yield opened


@pytest.fixture(scope="module")
def settled(shops, tmp_path_factory):
    """A service and its place, for tests of what changes nothing."""
    place = Place(shops, tmp_path_factory.mktemp("settled") / "data")
    with TestClient(app_of(shops, place.folder)) as client:
        yield client, place
        assert primary(client) == place.alpha
        assert {path.name for path in place.folder.iterdir() if path.name[0] != "."} == {
            "bundles", "current", "encoded", "gates.jsonl", "history.jsonl", "rejects.jsonl",
        }  # fmt: skip


def until(condition, patience_s=PATIENCE_S):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.03)


def told(client):
    answer = client.get("/v1/bundles")
    assert answer.status_code == 200, answer.text
    TOLD.validate_python(answer.json(), strict=True)
    return answer.json()


def role(client, name):
    return next(bundle for bundle in told(client)["bundles"] if bundle["id"] == name)


def primary(client):
    return told(client)["primary"]


def degraded(client):
    answer = client.get("/readyz")
    assert answer.status_code == 200, answer.text
    return answer.json()["degraded"]


def search(client, headers=None, **asked):
    answer = client.post("/v1/search", json={"q": "red mug", "limit": 3, **asked}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def assert_of_one_bundle(shops, answer):
    """The hits of an answer are those of the bundle that it names."""
    word = shops.words[answer["index"]["bundle"]]
    assert answer["hits"]
    assert {hit["product"]["title"].split()[0] for hit in answer["hits"]} == {word}
    return word


def activate(client, name, **params):
    return client.post(f"/v1/bundles/{name}/activate", params=params)


def activated(client, name):
    answer = activate(client, name)
    assert answer.status_code == 200, answer.text
    assert answer.json()["primary"] == name


def assert_problem(answer, status, kind, path=None):
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert problem["type"] == f"urn:catalens:problem:{kind}"
    if path is not None:
        assert [error["path"] for error in problem["errors"]] == [path]
    return problem["detail"]


def metrics_of(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = itertools.chain.from_iterable(family.samples for family in families)
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


# One after the other


def test_a_published_bundle_is_served_in_time_and_told_of(service, place, shops):
    with service(watch_ms=150) as client:
        before = told(client)
        assert before["primary"] == place.alpha
        assert [(b["role"], b["current"]) for b in before["bundles"]] == [("primary", True), ("none", False)]
        assert {b["products"] for b in before["bundles"]} == {PRODUCTS}
        publish(place.folder, place.beta)
        began = time.monotonic()
        until(lambda: primary(client) == place.beta)
        assert time.monotonic() - began < 0.15 + TOLERANCE_S
        assert assert_of_one_bundle(shops, search(client)) == "Beta"
        assert [(b["role"], b["current"]) for b in told(client)["bundles"]] == [("none", False), ("primary", True)]
        seen = metrics_of(client)
        assert seen["catalens_swaps_total", (("outcome", "swapped"),)] == 1
        info = [dict(labels)["bundle"] for (name, labels), value in seen.items() if name == "catalens_index_info"]
        assert info == [place.beta]


def test_every_route_answers_from_the_bundle_that_is_served(client, place, shops):
    for name, word in ((place.beta, "Beta"), (place.alpha, "Alpha")):
        activated(client, name)
        assert client.get("/v1/products/p3").json()["product"]["title"].startswith(word)
        assert client.get("/readyz").json()["index"]["bundle"] == name
        assert client.get("/v1/suggest", params={"q": word[:3]}).json()["suggestions"]
        assert client.post("/v1/classify", json={"q": "red mug"}).json()["index"]["bundle"] == name
        similar = client.get("/v1/products/p3/similar").json()
        assert assert_of_one_bundle(shops, similar) == word
        picture = client.get("/v1/products/p3/images/0")
        found = client.post("/v1/search/image", files={"image": ("p.jpg", picture.content)})
        assert assert_of_one_bundle(shops, found.json()) == word


def test_activating_publishes_and_rolling_back_goes_back(client, place):
    activated(client, place.beta)
    assert (place.folder / "current").resolve().name == place.beta
    back = client.post("/v1/bundles/rollback")
    assert back.status_code == 200
    assert back.json()["primary"] == place.alpha
    assert (place.folder / "current").resolve().name == place.alpha
    assert [(entry.action, entry.bundle) for entry in history(place.folder)] == [
        ("publish", place.alpha), ("publish", place.beta), ("rollback", place.alpha),
    ]  # fmt: skip
    activated(client, place.alpha)  # again changes nothing
    assert primary(client) == place.alpha


def test_there_may_be_nothing_to_go_back_to(client, place):
    assert "no bundle was current before" in assert_problem(client.post("/v1/bundles/rollback"), 409, "bundle-refused")
    assert primary(client) == place.alpha
    assert degraded(client) == []


@pytest.mark.parametrize("name", ["20200101T000000Z-00000000", "current", "..%2fcurrent", "20", "x" * 200])
def test_a_bundle_that_is_not_there_is_not_found(settled, name):
    client, place = settled
    for answer in (
        activate(client, name),
        client.put(f"/v1/bundles/{name}", json={}),
        client.delete(f"/v1/bundles/{name}"),
    ):
        assert answer.status_code == 404
    assert activate(client, place.beta[:-1]).status_code == 404
    assert primary(client) == place.alpha


def test_an_answer_is_never_kept_across_bundles(client, place, shops):
    def ask():
        answer = client.post("/v1/search", json={"q": "red mug", "limit": 3})
        return answer.headers["x-cache"], assert_of_one_bundle(shops, answer.json())

    assert [ask(), ask()] == [("miss", "Alpha"), ("hit", "Alpha")]
    activated(client, place.beta)
    assert [ask(), ask()] == [("miss", "Beta"), ("hit", "Beta")]
    activated(client, place.alpha)
    assert ask() == ("hit", "Alpha")


def test_a_bundle_whose_report_is_poor_needs_force(client, place):
    report = json.loads((place.bundle(place.beta) / "report.json").read_text())
    report["ann"]["text"]["recall_at_10"] = 0.5
    (place.bundle(place.beta) / "report.json").write_text(json.dumps(report))
    sign(place.bundle(place.beta))
    assert "0.450 below 0.950" in assert_problem(activate(client, place.beta), 409, "bundle-refused", "id")
    assert primary(client) == place.alpha
    assert activate(client, place.beta, force=True).json()["primary"] == place.beta
    assert history(place.folder)[-1].forced


# Twenty, while searches go on


@pytest.fixture(scope="module")
def twenty(shops, tmp_path_factory):
    """A service whose bundle is swapped twenty times while four callers search all the time, and what came of it."""
    place = Place(shops, tmp_path_factory.mktemp("twenty") / "data")
    stopping, answers, queries = threading.Event(), [], itertools.count()

    def searching(client):
        while not stopping.wait(0.03):
            q = ("red mug", "blue dress", f"bag {next(queries)}")[next(queries) % 3]
            answer = client.post("/v1/search", json={"q": q, "limit": 5})
            answers.append((answer.status_code, answer.json()))

    def alive():
        return sorted(o.path.name for o in gc.get_objects() if type(o) is Bundle and place.folder in o.path.parents)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.served.load_encoder", lambda *_: shops.encoder)
        settings = Settings(data_dir=place.folder, update_log="file", watch_ms=WATCH_MS, ready_cache_ms=0)
        with TestClient(create_app(settings)) as client, ThreadPoolExecutor(4) as pool:
            callers = [pool.submit(searching, client) for _ in range(4)]
            used = []
            for n in range(20):
                name = (place.beta, place.alpha)[n % 2]
                if n % 4:
                    activated(client, name)
                else:
                    publish(place.folder, name)
                    until(lambda name=name: primary(client) == name)
                used.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
            stopping.set()
            for caller in callers:
                caller.result()
            until(lambda: len([t for t in threading.enumerate() if t.name == "updates"]) == 1)
            deadline = time.monotonic() + 5
            while len(held := alive()) > 1 and time.monotonic() < deadline:
                time.sleep(0.05)
            return SimpleNamespace(
                answers=answers, held=held, primary=primary(client), used=used, metrics=metrics_of(client)
            )


def test_no_search_fails_while_bundles_are_swapped_and_no_answer_mixes_two(twenty, shops):
    assert {status for status, _ in twenty.answers} == {200}
    words = Counter(assert_of_one_bundle(shops, answer) for _, answer in twenty.answers)
    assert min(words["Alpha"], words["Beta"]) > 20
    assert twenty.metrics["catalens_swaps_total", (("outcome", "swapped"),)] == 20


def test_nothing_of_a_bundle_is_held_once_it_is_served_no_more(twenty):
    assert twenty.held == [twenty.primary]


def test_memory_does_not_grow_with_every_swap(twenty):
    """The most that was ever used: twenty bundles and what was made of them would be far more."""
    unit = 1 if sys.platform == "darwin" else 1024
    assert (twenty.used[-1] - twenty.used[9]) * unit < 32 << 20


def test_what_the_collector_is_spared_is_let_go_of_all_the_same(shops, tmp_path, monkeypatch):
    """A server freezes what there is when it starts: a cycle that held on to its bundle would hold it for ever."""
    place = Place(shops, tmp_path / "data")
    monkeypatch.setattr("service.served.load_encoder", lambda *_: shops.encoder)
    settings = Settings(data_dir=place.folder, update_log="file", watch_ms=WATCH_MS, ready_cache_ms=0)
    with TestClient(create_app(settings)) as client:
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            (first,) = [weakref.ref(version.served.bundle) for version in client.app_state["versions"].all]
            assert first() is not None
            activated(client, place.beta)
            until(lambda: first() is None)
        finally:
            gc.enable()
            gc.unfreeze()


# Updates


def changed(client, **change):
    answer = client.put("/v1/products?wait=true", json={"products": [change]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["stored"] == 1, answer.text


def price(client, **asked):
    [hit] = search(client, filter={"id": "p3"}, limit=1, **asked)["hits"]
    return hit["product"]["price"]


def test_updates_are_seen_in_every_bundle_whenever_they_came(service, place):
    with service(update_log="file") as client:
        changed(client, id="p3", partial=True, price=1.5)
        changed(client, id="lamp", title="Zebra rocket lamp")
        assert client.delete("/v1/products/p4?wait=true").status_code == 200
        assert client.put(f"/v1/bundles/{place.beta}", json={}).status_code == 200
        assert price(client, bundle=place.beta) == price(client) == 1.5
        changed(client, id="p3", partial=True, price=2.5)
        assert price(client, bundle=place.beta) == price(client) == 2.5
        assert client.delete(f"/v1/bundles/{place.beta}").status_code == 200
        changed(client, id="p3", partial=True, price=3.5)
        for name in (place.beta, place.alpha, place.beta):
            activated(client, name)
            assert price(client) == 3.5
            assert search(client, q="zebra rocket lamp")["hits"][0]["id"] == "lamp"
            assert client.get("/v1/products/p4").status_code == 404
            assert primary(client) == name
        changed(client, id="p3", partial=True, price=4.5)
        assert client.post("/v1/bundles/rollback").status_code == 200
        assert price(client) == 4.5


@pytest.fixture
def slow_beta(place, monkeypatch):
    """Beta is slow at applying updates, and so behind when it is to take over from Alpha."""
    whole = LiveCatalogue.apply

    def slowly(catalogue, entries):
        time.sleep(0.15 if catalogue._bundle.path.name == place.beta else 0)
        return whole(catalogue, entries)

    monkeypatch.setattr(LiveCatalogue, "apply", slowly)


def test_what_was_acknowledged_is_seen_across_swaps_by_every_reader(service, place, slow_beta):
    with service(update_log="file") as client:
        stopping, acknowledged, stale = threading.Event(), [0.0], []

        def writing():
            while not stopping.wait(0.2):
                changed(client, id="p3", partial=True, price=acknowledged[-1] + 1)
                acknowledged.append(acknowledged[-1] + 1)

        def reading(read):
            while not stopping.wait(0.01):
                least = acknowledged[-1]
                if (got := read()) < least:
                    stale.append((least, got))

        changed(client, id="p3", partial=True, price=0.0)
        reads = (lambda: client.get("/v1/products/p3").json()["product"]["price"], lambda: price(client))
        with ThreadPoolExecutor(3) as pool:
            tasks = [pool.submit(writing), *(pool.submit(reading, read) for read in reads)]
            for n in range(8):
                activated(client, (place.beta, place.alpha)[n % 2])
            stopping.set()
            for task in tasks:
                task.result()
        assert stale == []
        assert len(acknowledged) > 5


def test_a_bundle_becomes_ready_though_changes_come_faster_than_it_applies_them(service, place, slow_beta):
    with service(update_log="file") as client, ThreadPoolExecutor(1) as pool:
        stopping, began = threading.Event(), time.monotonic()

        def writing():
            n = 0
            while not stopping.wait(0.03) and time.monotonic() < began + 8:
                n += 1
                client.put("/v1/products", json={"products": [{"id": "p3", "partial": True, "price": float(n)}]})
            return n

        writer = pool.submit(writing)
        time.sleep(0.2)
        activated(client, place.beta)
        took_s = time.monotonic() - began
        stopping.set()
        last = writer.result()
        assert took_s < 5
        changed(client, id="p4", partial=True, price=1.0)
        assert price(client) == last


# Bundles that are refused


def sign(folder, **changes):
    """Write the manifest anew, so that it states the files as they are."""
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    files = {name: record_file(folder / name) for name in manifest.files}
    (folder / MANIFEST).write_bytes(manifest.model_copy(update={"files": files, **changes}).to_bytes())


def flipped(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))


def pickled(folder):
    """An array whose reading would run code."""
    bad = np.array([os.system], dtype=object)
    with (folder / "vectors/text.npy").open("wb") as file:
        np.save(file, bad, allow_pickle=True)
    sign(folder)


def plain_pickle(folder):
    (folder / "vectors/image_rows.npy").write_bytes(pickle.dumps(os.system))
    sign(folder)


def of_another_encoder(folder, **changes):
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    sign(folder, encoder=manifest.encoder.model_copy(update=changes))


def of_format(folder, number):
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"format_version": 3', f'"format_version": {number}'))


def garbled(folder, name):
    (folder / name).write_bytes(b"\x93NUMPY garbage" * 20)
    sign(folder)


DAMAGES = {
    "cut short": (lambda folder: os.truncate(folder / "text.faiss", 100), "text.faiss: 100 bytes"),
    "a byte of the manifest": (lambda folder: flipped(folder, MANIFEST), MANIFEST),
    "an empty manifest": (lambda folder: (folder / MANIFEST).write_bytes(b""), MANIFEST),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), MANIFEST),
    "a file is missing": (lambda folder: (folder / "vectors/text.npy").unlink(), "vectors/text.npy: missing"),
    "a link in place of a file": (
        lambda folder: ((folder / "entities.json").unlink(), (folder / "entities.json").symlink_to("/etc/passwd")),
        "symbolic link",
    ),
    "an array with pickles in it": (pickled, "vectors/text.npy"),
    "a pickle in place of an array": (plain_pickle, "vectors/image_rows.npy"),
    "another encoder": (lambda folder: of_another_encoder(folder, fingerprint="0" * 64), "made by the encoder"),
    "another dimension": (lambda folder: of_another_encoder(folder, dim=16), "vectors/text.npy"),
    "a format of before": (lambda folder: of_format(folder, 2), "format version 2"),
    "a format to come": (lambda folder: of_format(folder, 4), "format version 4"),
    "garbage, signed": (lambda folder: garbled(folder, "products.parquet"), "products.parquet"),
    "an index of garbage, signed": (lambda folder: garbled(folder, "image.faiss"), "image.faiss"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_bundle_leaves_the_old_one_and_a_good_one_is_taken_later(client, place, shops, damage):
    spoil, reason = DAMAGES[damage]
    folder = place.bundle(place.beta)
    kept = place.folder / "kept"
    shutil.copytree(folder, kept)
    spoil(folder)
    assert reason in assert_problem(activate(client, place.beta), 409, "bundle-refused", "id")
    assert degraded(client) == []  # it was asked for, and refused to who asked: nothing is wrong with the service
    place.point(f"bundles/{place.beta}")
    until(lambda: degraded(client) == ["bundle"])
    assert reason in role(client, place.beta)["problem"]
    assert primary(client) == place.alpha
    assert search(client)["degraded"] == []
    assert assert_of_one_bundle(shops, search(client)) == "Alpha"
    refusals = metrics_of(client)["catalens_swaps_total", (("outcome", "refused"),)]
    time.sleep(3 * WATCH_MS / 1000)
    assert metrics_of(client)["catalens_swaps_total", (("outcome", "refused"),)] == refusals  # it is not tried again

    shutil.rmtree(folder)
    kept.rename(folder)
    os.utime(folder)
    until(lambda: primary(client) == place.beta)
    assert degraded(client) == []
    assert role(client, place.beta)["problem"] is None
    assert assert_of_one_bundle(shops, search(client)) == "Beta"


@pytest.mark.parametrize("name", sorted(FILES))
def test_one_wrong_bit_in_any_file_is_one_too_many(settled, name):
    client, place = settled
    folder = place.bundle(place.beta)
    flipped(folder, name)
    assert f"{name}: damaged" in assert_problem(activate(client, place.beta), 409, "bundle-refused", "id")
    assert primary(client) == place.alpha
    assert (place.folder / "current").resolve().name == place.alpha
    flipped(folder, name)  # back again


def test_a_report_of_garbage_is_refused(client, place):
    for content in (b"", b"\x93NUMPY", b"{}", b"[]"):
        (place.bundle(place.beta) / "report.json").write_bytes(content)
        sign(place.bundle(place.beta))
        assert_problem(activate(client, place.beta), 409, "bundle-refused", "id")
    assert primary(client) == place.alpha


def test_a_repair_anywhere_in_a_bundle_is_noticed(client, place):
    path = place.bundle(place.beta) / "vectors/text.npy"
    good = path.read_bytes()
    flipped(place.bundle(place.beta), "vectors/text.npy")
    place.point(f"bundles/{place.beta}")
    until(lambda: degraded(client) == ["bundle"])
    time.sleep(0.05)
    path.write_bytes(good)
    until(lambda: primary(client) == place.beta)
    assert degraded(client) == []


@pytest.mark.parametrize("target", ["outside", "nowhere", "the folder itself", "a file", "no link"])
def test_a_current_that_leads_nowhere_good_is_refused_and_a_good_one_is_taken(client, place, target):
    match target:
        case "outside":
            shutil.copytree(place.bundle(place.beta), place.folder.parent / "outside" / place.beta)
            place.point(f"../outside/{place.beta}")
        case "nowhere":
            place.point("bundles/gone")
        case "the folder itself":
            place.point("bundles")
        case "a file":
            place.point(f"bundles/{place.beta}/{MANIFEST}")
        case "no link":
            (place.folder / "current").unlink()
            (place.folder / "current").write_text(place.beta)
    until(lambda: degraded(client) == ["bundle"])
    assert "current" in told(client)["problem"]
    assert primary(client) == place.alpha
    place.point(f"bundles/{place.beta}")
    until(lambda: primary(client) == place.beta)
    assert degraded(client) == []
    assert told(client)["problem"] is None


def test_a_current_that_is_gone_changes_nothing(client, place):
    (place.folder / "current").unlink()
    time.sleep(3 * WATCH_MS / 1000)
    assert (primary(client), degraded(client)) == (place.alpha, [])
    activated(client, place.beta)


def test_a_bundle_under_another_name_is_refused_once(client, place):
    shutil.copytree(place.bundle(place.beta), place.bundle("copy"))
    place.point("bundles/copy")
    until(lambda: degraded(client) == ["bundle"])
    assert place.beta in role(client, "copy")["problem"]
    assert_problem(activate(client, "copy"), 409, "bundle-refused")
    time.sleep(3 * WATCH_MS / 1000)
    assert primary(client) == place.alpha
    assert ("catalens_swaps_total", (("outcome", "swapped"),)) not in metrics_of(client)


def test_a_refused_bundle_that_is_published_again_is_told_of_again(client, place):
    of_another_encoder(place.bundle(place.beta), fingerprint="0" * 64)
    for _ in range(2):
        publish(place.folder, place.beta, force=True)
        until(lambda: degraded(client) == ["bundle"])
        assert "made by the encoder" in role(client, place.beta)["problem"]
        publish(place.folder, place.alpha, force=True)
        until(lambda: degraded(client) == [])
        assert primary(client) == place.alpha


def test_a_slow_encoder_is_no_fault_of_the_bundle(shops, place, asgi):
    encoder = asgi.Gated(shops.encoder)
    with TestClient(app_of(shops, place.folder, encoder, request_timeout_ms=200)) as client:
        encoder.shut()
        publish(place.folder, place.beta)
        time.sleep(0.6)
        encoder.open.set()
        until(lambda: primary(client) == place.beta)
        assert degraded(client) == []


def test_searches_go_on_while_a_bundle_is_being_opened(shops, place, asgi):
    encoder = asgi.Gated(shops.encoder)
    with TestClient(app_of(shops, place.folder, encoder)) as client:
        expected = search(client)
        encoder.shut()
        publish(place.folder, place.beta)
        assert encoder.entered.wait(10)  # it is being warmed
        assert search(client)["hits"] == expected["hits"]
        assert search(client, mode="lexical")["index"]["bundle"] == place.alpha
        encoder.open.set()
        until(lambda: primary(client) == place.beta)


def test_ending_while_a_bundle_is_being_opened_leaves_nothing_behind(shops, place, asgi):
    def followers():
        return [thread for thread in threading.enumerate() if thread.name == "updates"]

    encoder, before = asgi.Gated(shops.encoder), len(followers())
    with TestClient(app_of(shops, place.folder, encoder, update_log="file")):
        encoder.shut()
        publish(place.folder, place.beta)
        assert encoder.entered.wait(10)
        assert len(followers()) == before + 2
        threading.Timer(0.3, encoder.open.set).start()
    until(lambda: len(followers()) == before, 3)


# Beside the primary one


def test_a_bundle_beside_answers_who_names_it(client, place, shops):
    refused = client.post("/v1/search", json={"q": "red mug", "bundle": place.beta})
    assert place.alpha in assert_problem(refused, 422, "invalid-request", "bundle")
    answer = client.put(f"/v1/bundles/{place.beta}", json={})
    assert answer.status_code == 200
    assert role(client, place.beta)["role"] == "beside"
    for name in (place.alpha, place.beta):
        assert shops.ids[assert_of_one_bundle(shops, search(client, bundle=name))] == name
        similar = client.get("/v1/products/p3/similar", params={"bundle": name})
        assert shops.ids[assert_of_one_bundle(shops, similar.json())] == name
    assert search(client)["index"]["bundle"] == place.alpha
    assert client.delete(f"/v1/bundles/{place.beta}").status_code == 200
    assert client.post("/v1/search", json={"q": "red mug", "bundle": place.beta}).status_code == 422
    assert client.delete(f"/v1/bundles/{place.beta}").status_code == 404


def test_a_share_of_searches_goes_to_it_and_each_visitor_stays(client, place, shops):
    assert client.put(f"/v1/bundles/{place.beta}", json={"share": 0.3}).status_code == 200
    assert role(client, place.beta)["share"] == 0.3
    visitors = [f"visitor-{n}" for n in range(60)]
    rounds = [
        [assert_of_one_bundle(shops, search(client, {"X-Visitor-Id": visitor})) for visitor in visitors]
        for _ in range(2)
    ]
    assert rounds[0] == rounds[1]
    assert rounds[0].count("Beta") / len(visitors) == pytest.approx(0.3, abs=0.24)
    nameless = [assert_of_one_bundle(shops, search(client)) for _ in range(80)]
    assert nameless.count("Beta") / len(nameless) == pytest.approx(0.3, abs=0.21)  # 4 sigma
    assert search(client, {"X-Visitor-Id": "visitor-1"}, bundle=place.alpha)["index"]["bundle"] == place.alpha
    picture = client.get("/v1/products/p3/images/0").content
    found = {
        client.post("/v1/search/image", files={"image": ("p.jpg", picture)}, headers={"X-Visitor-Id": visitor}).json()[
            "index"
        ]["bundle"]
        for visitor in visitors[:12]
    }
    assert found == {place.alpha, place.beta}


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"share": 1.5}, "share"), ({"share": -0.1}, "share"), ({"shadow": 2}, "shadow"), ({"share": "half"}, "share"),
        ({"shares": 0.5}, "shares"),
    ],
)  # fmt: skip
def test_a_role_that_is_none_is_refused_by_name(settled, asked, path):
    client, place = settled
    assert_problem(client.put(f"/v1/bundles/{place.beta}", json=asked), 422, "invalid-request", path)
    assert not (place.folder / "beside.json").exists()


def test_what_cannot_be_beside_is_refused_and_nothing_is_written(client, place):
    assert_problem(client.put(f"/v1/bundles/{place.alpha}", json={"share": 0.1}), 422, "invalid-request", "id")
    flipped(place.bundle(place.beta), "text.faiss")
    assert_problem(client.put(f"/v1/bundles/{place.beta}", json={"share": 0.1}), 409, "bundle-refused", "id")
    assert not (place.folder / "beside.json").exists()
    assert (degraded(client), primary(client)) == ([], place.alpha)


def test_a_folder_that_cannot_be_written_to_is_said_so(client, place):
    (place.folder / f".beside.json-{os.getpid()}").mkdir()
    assert_problem(client.put(f"/v1/bundles/{place.beta}", json={"share": 1.0}), 503, "unavailable")
    assert {search(client)["index"]["bundle"] for _ in range(5)} == {place.alpha}
    assert role(client, place.beta)["role"] == "none"


def test_a_shadow_is_compared_and_answers_nobody(client, place):
    queries = [f"{colour} {thing}" for colour in ("red", "green", "blue") for thing in ("mug", "bag", "top", "watch")]
    assert client.put(f"/v1/bundles/{place.beta}", json={}).status_code == 200
    expected = 0.0
    for q in queries:
        ids = [{hit["id"] for hit in search(client, q=q, bundle=name, limit=10)["hits"]} for name in shops_of(place)]
        expected += len(ids[0] & ids[1]) / 10
    assert client.put(f"/v1/bundles/{place.beta}", json={"shadow": 1.0}).status_code == 200
    label = ("bundle", place.beta)

    def compared():
        return metrics_of(client).get(("catalens_shadow_answers_total", (label, ("outcome", "answered"))), 0)

    for n, q in enumerate(queries):
        assert search(client, q=q, limit=10, explain=True)["index"]["bundle"] == place.alpha
        until(lambda n=n: compared() == n + 1)
    seen = metrics_of(client)
    assert seen["catalens_shadow_overlap_ratio_count", (label,)] == len(queries)
    assert seen["catalens_shadow_overlap_ratio_sum", (label,)] == pytest.approx(expected)
    assert 0 < expected <= len(queries)


def shops_of(place):
    return place.alpha, place.beta


def test_a_file_that_was_edited_by_hand_is_followed(client, place):
    place.beside({place.beta: {"share": 1}})
    until(lambda: role(client, place.beta)["share"] == 1)
    assert search(client)["index"]["bundle"] == place.beta
    place.beside({place.beta: {"shadow": 0.5}})
    until(lambda: role(client, place.beta)["shadow"] == 0.5)
    assert search(client)["index"]["bundle"] == place.alpha
    (place.folder / "beside.json").unlink()
    until(lambda: role(client, place.beta)["role"] == "none")


@pytest.mark.parametrize("text", ["{", "[]", '{"BETA": {"share": 7}}', '{"BETA": {"share": 1}, "x": {"share": 1}}'])
def test_a_damaged_file_is_told_of_and_holds_nothing_else_up(client, place, text):
    place.beside({place.beta: {"share": 1.0}})
    until(lambda: role(client, place.beta)["share"] == 1)
    place.beside(text.replace("BETA", place.beta))
    until(lambda: degraded(client) == ["bundle"])
    assert search(client)["index"]["bundle"] == place.beta  # as it was
    publish(place.folder, place.beta)
    until(lambda: primary(client) == place.beta)
    place.beside({place.alpha: {"share": 0.25}})
    until(lambda: degraded(client) == [])
    assert role(client, place.alpha)["share"] == 0.25


def test_a_bad_bundle_in_the_file_is_told_of_as_long_as_it_is_there_and_bad(client, place):
    path = place.bundle(place.beta) / "text.faiss"
    good = path.read_bytes()
    for mend in (lambda: place.beside({}), lambda: path.write_bytes(good)):
        path.write_bytes(b"bad")
        place.beside({place.beta: {"share": 0.5}})
        until(lambda: degraded(client) == ["bundle"])
        assert "text.faiss" in role(client, place.beta)["problem"]
        time.sleep(0.05)
        mend()
        until(lambda: degraded(client) == [])
        path.write_bytes(good)
    until(lambda: role(client, place.beta)["role"] == "beside")
    assert role(client, place.beta)["problem"] is None


def test_the_one_that_won_is_beside_no_more(client, place):
    assert client.put(f"/v1/bundles/{place.beta}", json={"share": 0.5}).status_code == 200
    activated(client, place.beta)
    assert {search(client)["index"]["bundle"] for _ in range(10)} == {place.beta}
    publish(place.folder, place.alpha)
    until(lambda: primary(client) == place.alpha)
    time.sleep(3 * WATCH_MS / 1000)
    assert role(client, place.beta)["role"] == "none"
    assert {search(client, explain=True)["index"]["bundle"] for _ in range(10)} == {place.alpha}


def test_starting_again_serves_what_the_folder_says(service, place):
    with service() as client:
        activated(client, place.beta)
        assert client.put(f"/v1/bundles/{place.alpha}", json={"share": 0.5}).status_code == 200
    with service() as client:
        assert primary(client) == place.beta
        until(lambda: role(client, place.alpha)["share"] == 0.5)


# Several processes

SERVICE = """
import importlib.util, os, sys
import structlog, uvicorn
from indexer.bundle import Bundle
from service.app import create_app
from service.settings import Settings

def support(name):
    spec = importlib.util.spec_from_file_location(name, f"{sys.argv[1]}/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

_, _, data, socket = sys.argv
feeds = support("feeds")
encoder = support("weightless").WeightlessEncoder(32, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
app = create_app(Settings(data_dir=data, watch_ms=40), (encoder, Bundle.open(os.path.realpath(f"{data}/current"))))
uvicorn.run(app, uds=socket, log_config=None, ws="none")
"""


@pytest.fixture
def two_processes(service, place, tmp_path):
    """Clients of two services over one folder: one in this process, one in another."""
    socket = tmp_path / "socket"
    command = [sys.executable, "-c", SERVICE, str(ROOT / "tests/support"), str(place.folder), str(socket)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CATALENS_")}
    process = subprocess.Popen(
        command, cwd=ROOT, env={**environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: socket.exists() or process.poll() is not None, 60)
        assert process.poll() is None
        transport = httpx.HTTPTransport(uds=str(socket))
        with (
            service(update_log="auto") as one,
            httpx.Client(transport=transport, base_url="http://test", timeout=30) as other,
        ):
            yield one, other
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_all_processes_that_share_a_folder_follow_it(two_processes, place, shops):
    one, other = two_processes
    publish(place.folder, place.beta)
    for client in two_processes:
        until(lambda client=client: primary(client) == place.beta)
    activated(one, place.alpha)
    until(lambda: primary(other) == place.alpha)
    assert other.put(f"/v1/bundles/{place.beta}", json={"share": 0.5}).status_code == 200
    until(lambda: role(one, place.beta)["share"] == 0.5)
    visitors = [f"visitor-{n}" for n in range(20)]
    chosen = [
        [assert_of_one_bundle(shops, search(client, {"X-Visitor-Id": visitor})) for visitor in visitors]
        for client in two_processes
    ]
    assert chosen[0] == chosen[1]
    assert set(chosen[0]) == {"Alpha", "Beta"}
    changed(one, id="p3", partial=True, price=9.5)
    until(lambda: price(other, bundle=place.beta) == price(other, bundle=place.alpha) == 9.5)
    assert other.delete(f"/v1/bundles/{place.beta}").status_code == 200
    until(lambda: role(one, place.beta)["role"] == "none")
    assert one.post("/v1/bundles/rollback").json()["primary"] == place.beta
    until(lambda: primary(other) == place.beta)
    assert price(other) == 9.5


def test_an_event_loop_is_not_held_up_by_a_swap(shops, place, asgi):
    """Opening, verifying and warming happen beside the loop: another task runs all the while."""

    async def scenario():
        async with asgi.running(app_of(shops, place.folder)) as client:
            lags, swapping = [], True

            async def beat():
                while swapping:
                    began = time.perf_counter()
                    await asyncio.sleep(0.005)
                    lags.append(time.perf_counter() - began)

            beating = asyncio.create_task(beat())
            for name in (place.beta, place.alpha) * 2:
                assert (await client.post(f"/v1/bundles/{name}/activate")).status_code == 200
            swapping = False
            await beating
        assert len(lags) > 10
        assert sorted(lags)[len(lags) * 9 // 10] < 0.25

    asyncio.run(scenario())
