"""Bundles that come and go, one after the other and twenty times in a row: no answer is lost, none mixes two."""

import gc
import itertools
import json
import resource
import sys
import threading
import time
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from indexer.bundle import Bundle
from indexer.publish import history, publish
from service.app import create_app
from service.settings import Settings
from tests.support.swapping import (
    PRODUCTS,
    WATCH_MS,
    Place,
    activate,
    activated,
    assert_of_one_bundle,
    assert_problem,
    degraded,
    metrics_of,
    primary,
    search,
    sign,
    told,
    until,
)

TOLERANCE_S = 2.0

pytestmark = pytest.mark.usefixtures("quick_builds")


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
