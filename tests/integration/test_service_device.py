"""A service whose vectors are on a device: torch's CPU in the place of a GPU, reached in the same way."""

import time

import pytest
import torch
from starlette.testclient import TestClient

from indexer.bundle import Bundle
from indexer.exact_torch import TorchIndex
from indexer.placing import place
from service.app import create_app
from service.settings import Settings

FREE = 8 << 30


@pytest.fixture
def serve(shop, monkeypatch, tmp_path):
    """Start a service where a GPU has so much memory free: `serve(FREE)`; None: there is none."""
    monkeypatch.setattr("indexer.standby.RETRY_S", 0.05)
    monkeypatch.setattr("service.elsewhere.place", lambda index, vectors, _, free: place(index, vectors, "cpu", free))

    def start(free, **settings):
        monkeypatch.setattr("service.elsewhere.free_bytes", lambda _: free)
        bundle = Bundle.open(shop.path)
        bundle.restate(bundle.manifest.model_copy(update={"exact_rows": 0}))
        given = {"data_dir": tmp_path, "update_log": "off", "result_cache_bytes": 0, **settings}
        return TestClient(create_app(Settings.model_validate(given), (shop.encoder, bundle)))

    return start


@pytest.fixture
def scans(monkeypatch):
    """The searches on the device: whether each was filtered."""
    seen, real = [], TorchIndex.search

    def search(self, xq, k, *, width=None, among=None):
        seen.append(among is not None)
        return real(self, xq, k, width=width, among=among)

    monkeypatch.setattr(TorchIndex, "search", search)
    return seen


def ask(client, **more):
    asked = {"q": "green sneaker", "mode": "vector", "limit": 5, **more}
    answer = client.post("/v1/search", json=asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return [hit["id"] for hit in found["hits"]], found["degraded"]


@pytest.mark.parametrize("stated", [None, {"price": {"lt": 50}}])
def test_answers_are_those_of_the_cpu(serve, scans, stated):
    more = {} if stated is None else {"filter": stated}
    with serve(None) as client:
        own = ask(client, **more)
    assert scans == []
    with serve(FREE) as client:
        assert ask(client, **more) == own
    assert scans[-2:] == [stated is not None] * 2  # texts and pictures


@pytest.mark.parametrize(("free", "device"), [(FREE, "cpu"), (1_000, "auto"), (1_000, "cuda")])
def test_told_so_or_without_room_the_cpu_searches(serve, scans, free, device):
    with serve(free, index_device=device) as client:
        assert ask(client)[1] == []
    assert scans == []


def test_a_device_that_fails_costs_no_answer(serve, monkeypatch):
    with serve(FREE) as client:
        own = ask(client)
        product = torch.Tensor.__matmul__

        def broken(a, b):
            raise torch.OutOfMemoryError("out of memory")

        monkeypatch.setattr(torch.Tensor, "__matmul__", broken)
        assert ask(client) == (own[0], ["index"])
        monkeypatch.setattr(torch.Tensor, "__matmul__", product)
        end = time.monotonic() + 5
        while ask(client)[1]:
            assert time.monotonic() < end
            time.sleep(0.05)
