"""Bundles that pass for good and do harm: services go back from them by themselves, once, and say why."""

import json
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.manifest import MANIFEST, read_manifest, record_file, write_durably
from indexer.publish import history, publish, rollback
from service.app import create_app
from service.retrieve import retrieve
from service.settings import Settings

PATIENCE_S = 60.0
WATCH_MS = 30
LEAST = 10

pytestmark = pytest.mark.usefixtures("quick_builds")


@pytest.fixture(scope="module")
def shops(tmp_path_factory, weightless, support):
    """A data folder with two bundles of one catalogue, and their encoder."""
    feeds, folder = support("feeds"), tmp_path_factory.mktemp("shops")
    encoder = weightless(32, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
    rows = feeds.products(18, pictures=1)
    feeds.write_pictures(folder, rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "catalogue.parquet")
    old, new = (build(encoder, BuildOptions(folder, folder / "data")).manifest.id for _ in range(2))
    return SimpleNamespace(data=folder / "data", encoder=encoder, old=old, new=new)


@pytest.fixture
def place(shops, tmp_path):
    """A data folder of one's own, in which the old bundle is published."""
    folder = shutil.copytree(shops.data, tmp_path / "data", symlinks=True)
    publish(folder, shops.old)
    return SimpleNamespace(folder=folder, old=shops.old, new=shops.new)


@pytest.fixture
def service(shops, place):
    def start(**given):
        settings = Settings.model_validate(
            {
                "data_dir": place.folder,
                "update_log": "off",
                "watch_ms": WATCH_MS,
                "result_cache_bytes": 0,
                "rollback_least_searches": LEAST,
                **given,
            }
        )
        return TestClient(create_app(settings, (shops.encoder, Bundle.open((place.folder / "current").resolve()))))

    return start


def sign(folder):
    manifest = read_manifest(folder)
    files = {name: record_file(folder / name) for name in manifest.files}
    write_durably(folder / MANIFEST, manifest.model_copy(update={"files": files}).to_bytes())


def empty_words(folder):
    """No product has any word."""
    path = folder / "lexical" / "scores.npy"
    np.save(path, np.zeros_like(np.load(path)))
    sign(folder)


def misplace_mugs(folder):
    """Whoever searches for a mug is led to a product that there is not."""
    terms = json.loads((folder / "lexical" / "terms.json").read_bytes())["terms"]
    starts, path = np.load(folder / "lexical" / "starts.npy"), folder / "lexical" / "rows.npy"
    rows, mug = np.load(path), terms.index("mug")
    rows[starts[mug] : starts[mug + 1]] = 1_000_000
    np.save(path, rows)
    sign(folder)


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def primary(client):
    return client.get("/v1/bundles").json()["primary"]


def ask(client, times=2 * LEAST, **asked):
    """Search and return the statuses."""
    return [client.post("/v1/search", json={"q": "red mug", "limit": 1, **asked}).status_code for _ in range(times)]


def rollbacks(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return {s.labels["reason"]: s.value for s in samples if s.name == "catalens_rollbacks_total" and s.value}


def swapped(client, place):
    """Publish the new bundle, whatever the gate says, and wait until it is served."""
    publish(place.folder, place.new, force=True)
    until(lambda: primary(client) == place.new)


def gone_back(client, place, reason, says):
    until(lambda: primary(client) == place.old)
    entry = history(place.folder)[-1]
    assert (entry.action, entry.bundle, entry.previous) == ("rollback", place.old, place.new)
    assert entry.automatic
    assert says in entry.reason
    assert rollbacks(client) == {reason: 1}


def test_a_bundle_without_words_is_taken_back(service, place):
    empty_words(place.folder / "bundles" / place.new)
    with service() as client:
        assert set(ask(client, mode="lexical")) == {200}
        swapped(client, place)
        ask(client, mode="lexical")
        gone_back(client, place, "zero_results", "100.0% of ")
        assert set(ask(client, mode="lexical")) == {200}


def test_a_bundle_that_fails_is_taken_back(service, place):
    misplace_mugs(place.folder / "bundles" / place.new)
    with service() as client:
        ask(client, q="blue dress", mode="lexical", times=40)
        swapped(client, place)
        assert 500 in ask(client, mode="lexical")
        gone_back(client, place, "errors", "searches failed, 0.0% before")
        assert set(ask(client, mode="lexical")) == {200}


def test_a_bundle_whose_index_is_slow_is_taken_back(service, place, monkeypatch):
    whole = retrieve

    def slowly(served, *given):
        time.sleep(0.13 if served.bundle_id == place.new else 0)
        return whole(served, *given)

    monkeypatch.setattr("service.search.retrieve", slowly)
    with service() as client:
        ask(client)
        swapped(client, place)
        ask(client, times=LEAST)
        gone_back(client, place, "slow", "the index took ")


def test_a_good_bundle_stays(service, place):
    with service() as client:
        ask(client)
        swapped(client, place)
        ask(client)
        time.sleep(5 * WATCH_MS / 1000)
        assert primary(client) == place.new
        assert rollbacks(client) == {}
        assert history(place.folder)[-1].action == "publish"


def test_only_one_of_several_services_goes_back_and_all_follow(service, place):
    empty_words(place.folder / "bundles" / place.new)
    with service() as one, service() as other:
        both = (one, other)
        for client in both:
            ask(client, mode="lexical")
        swapped(one, place)
        until(lambda: primary(other) == place.new)
        for client in both * LEAST:
            ask(client, 1, mode="lexical")
        for client in both:
            until(lambda client=client: primary(client) == place.old)
        time.sleep(5 * WATCH_MS / 1000)
        assert [entry.action for entry in history(place.folder)] == ["publish", "publish", "rollback"]
        assert sum(sum(rollbacks(client).values()) for client in both) == 1


def test_what_was_taken_back_stays_once_it_is_forced(service, place):
    """A person has decided: the service does not quarrel."""
    empty_words(place.folder / "bundles" / place.new)
    with service() as client:
        ask(client, mode="lexical")
        swapped(client, place)
        ask(client, mode="lexical")
        until(lambda: primary(client) == place.old)
        refused = client.post(f"/v1/bundles/{place.new}/activate")
        assert refused.status_code == 409
        assert "a service took it back by itself" in refused.json()["detail"]
        assert client.post(f"/v1/bundles/{place.new}/activate", params={"force": True}).status_code == 200
        ask(client, mode="lexical")
        time.sleep(5 * WATCH_MS / 1000)
        assert primary(client) == place.new
        assert sum(rollbacks(client).values()) == 1


def test_what_was_rolled_back_to_is_not_left_again(service, place):
    empty_words(place.folder / "bundles" / place.old)
    publish(place.folder, place.old, force=True)
    with service() as client:
        swapped(client, place)
        ask(client)
        rollback(place.folder)
        until(lambda: primary(client) == place.old)
        ask(client, mode="lexical")
        time.sleep(5 * WATCH_MS / 1000)
        assert primary(client) == place.old
        assert rollbacks(client) == {}


def test_it_may_be_turned_off(service, place):
    empty_words(place.folder / "bundles" / place.new)
    with service(rollback_watch_s=0) as client:
        ask(client, mode="lexical")
        swapped(client, place)
        ask(client, mode="lexical")
        time.sleep(5 * WATCH_MS / 1000)
        assert primary(client) == place.new


def test_where_there_is_nothing_to_go_back_to_it_stays_and_says_so(service, place):
    empty_words(place.folder / "bundles" / place.new)
    with service() as client:
        ask(client, mode="lexical")
        swapped(client, place)
        shutil.rmtree(place.folder / "bundles" / place.old)
        ask(client, mode="lexical")
        time.sleep(10 * WATCH_MS / 1000)
        assert primary(client) == place.new
        assert set(ask(client)) == {200}


def test_the_gate_of_the_service_encodes_anew_with_its_own_encoder(service, place):
    folder = place.folder / "bundles" / place.new
    path = folder / "vectors" / "text.npy"
    np.save(path, np.load(path)[::-1])
    sign(folder)
    with service() as client:
        refused = client.post(f"/v1/bundles/{place.new}/activate")
        assert refused.status_code == 409
        assert "shuffled rows" in refused.json()["detail"]
        (place.folder / "gate.toml").write_text("[bars]\nnonsense = 1\n")
        refused = client.post(f"/v1/bundles/{place.new}/activate")
        assert refused.status_code == 409
        assert "gate.toml: nonsense" in refused.json()["detail"]
        assert primary(client) == place.old
