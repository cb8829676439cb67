"""What goes on while bundles are swapped: updates, searches, other processes and the event loop."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from indexer.live import LiveCatalogue
from indexer.publish import publish
from tests.support.swapping import (
    activated,
    app_of,
    assert_of_one_bundle,
    degraded,
    primary,
    role,
    search,
    until,
)

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.usefixtures("quick_builds")


@pytest.fixture(scope="module")
def asgi(support):
    return support("asgi")


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


# Bundles that are being opened


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
