"""`python -m service` as a process: a real model, real sockets, signals, and clear refusals to start."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexer.build import BuildOptions, build
from indexer.publish import publish
from models.checkpoint import Card, load_encoder, save_checkpoint
from service.errors import StartupError
from service.served import open_artefacts
from service.settings import Settings

ROOT = Path(__file__).parents[2]
ADDRESS = re.compile(r"running on (http://\S+)")


@pytest.fixture(scope="session")
def published(tmp_path_factory, support):
    """A data folder with a published bundle of a model with random weights, and the model's folder."""
    folder = tmp_path_factory.mktemp("published")
    tiny, feeds = support("tiny"), support("feeds")
    model = tiny.eiclip(folder)
    card = Card(name="tiny", licence="Apache-2.0", backbone="tiny", image=model.backbone.recipe, entities=model.design)
    save_checkpoint(folder / "model", model, card)
    rows = feeds.products(12, pictures=1)
    feeds.write_pictures(folder / "feed", rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "feed" / "catalogue.parquet")
    encoder = load_encoder(str(folder / "model"), "cpu")
    built = build(encoder, BuildOptions(catalogue=folder / "feed", data_dir=folder / "data"))
    publish(folder / "data", built.manifest.id, force=True)
    return folder


def test_artefacts_are_opened_only_when_they_belong_together(published, tmp_path, support):
    settings = Settings(data_dir=published / "data", encoder=str(published / "model"), device="cpu", runtime="torch")
    encoder, bundle = open_artefacts(settings)
    with bundle:
        assert bundle.manifest.encoder.fingerprint == encoder.fingerprint
    with pytest.raises(StartupError, match="none"):
        open_artefacts(settings.model_copy(update={"encoder": str(tmp_path / "none")}))
    with pytest.raises(StartupError, match="device"):
        open_artefacts(settings.model_copy(update={"device": "cuda:99"}))


def test_a_damaged_bundle_is_not_served(published, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(published / "data", copy, symlinks=True)
    [bundle] = (copy / "bundles").iterdir()
    damaged = bytearray((bundle / "text.faiss").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (bundle / "text.faiss").write_bytes(damaged)
    settings = Settings(data_dir=copy, encoder=str(published / "model"), device="cpu", runtime="torch")
    with pytest.raises(StartupError, match=r"text\.faiss"):
        open_artefacts(settings)


class Service:
    """A service in a process of its own."""

    def __init__(self, *flags, **environ):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CATALENS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", "--port", "0", "--device", "cpu", *map(str, flags)],
            cwd=ROOT,
            env={**clean, "OMP_NUM_THREADS": "1", "CATALENS_RUNTIME": "torch", **environ},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def address(self):
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            for line in self.lines:
                if found := ADDRESS.search(line):
                    return found.group(1)
            assert self.process.poll() is None, self.lines
            time.sleep(0.05)
        raise AssertionError(f"it did not start: {self.lines}")

    def ended(self):
        code = self.process.wait(60)
        self._reader.join(10)
        return code

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.ended()
        self.process.stderr.close()


@pytest.fixture
def start():
    with contextlib.ExitStack() as closing:

        def run(*flags, **environ):
            service = Service(*flags, **environ)
            closing.callback(service.stop)
            return service

        yield run


@pytest.mark.slow
def test_it_serves_finishes_what_is_running_on_sigterm_and_exits_well(start, published):
    service = start("--encoder", published / "model", "--data-dir", published / "data", "--drain-ms", 3_000)
    address = service.address()
    with httpx.Client(base_url=address, timeout=30) as client:
        assert client.get("/readyz").json()["status"] == "ready"
        found = client.post("/v1/search", json={"q": "red mug", "explain": True}).json()
        assert found["index"]["model"] == "tiny"
        assert len(found["hits"]) == 12
        assert client.get("/").status_code == 200
        statuses = []
        asking = threading.Event()
        asking.set()

        def ask():
            with httpx.Client(base_url=address, timeout=30) as own:
                while asking.is_set():
                    statuses.append(own.post("/v1/search", json={"q": "mug"}).status_code)

        askers = [threading.Thread(target=ask) for _ in range(6)]
        for asker in askers:
            asker.start()
        while len(statuses) < 20:
            time.sleep(0.01)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        leaving = client.get("/readyz")
        assert leaving.status_code == 503
        assert leaving.headers["connection"] == "close"
        assert [check["name"] for check in leaving.json()["checks"] if not check["ok"]] == ["staying"]
        seen = len(statuses)
        while len(statuses) < seen + 20:
            time.sleep(0.01)
        asking.clear()  # as a load balancer does that was told "not ready"
        for asker in askers:
            asker.join(60)
    assert service.ended() == 0
    assert set(statuses) == {200}
    lines = [json.loads(line) for line in service.lines]
    started = next(line for line in lines if line["event"] == "started")
    assert started["ready"] is True
    assert started["products"] == 12
    assert not any("Traceback" in line for line in service.lines)


@pytest.mark.slow
def test_a_body_that_never_ends_is_given_up(start, published):
    service = start(
        "--encoder", published / "model", "--data-dir", published / "data", "--body-timeout-ms", "300",
        CATALENS_MAX_BODY_BYTES="2000",
    )  # fmt: skip
    host, port = service.address().removeprefix("http://").split(":")

    def send(head, body=b""):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(head.encode() + b"\r\n" + body)
            with contextlib.suppress(ConnectionResetError):
                return connection.recv(65_536).decode()
        return ""

    post = "POST /v1/search HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
    assert send(f"{post}content-length: 500\r\n", b'{"q": ').startswith("HTTP/1.1 408")
    assert send(f"{post}content-length: 900000000\r\n").startswith("HTTP/1.1 413")
    chunk = b"200\r\n" + b" " * 512 + b"\r\n"
    assert send(f"{post}transfer-encoding: chunked\r\n", chunk * 8).startswith("HTTP/1.1 413")
    good = b'{"q": "red"}'
    assert send(f"{post}content-length: {len(good)}\r\n", good).startswith("HTTP/1.1 200")


@pytest.mark.parametrize(
    ("flags", "environ", "said"),
    [
        (["--port", "eighty"], {}, "CATALENS_PORT or --port"),
        ([], {"CATALENS_PROT": "80"}, "unknown setting CATALENS_PROT"),
        ([], {"CATALENS_MAX_WAITING": "-1"}, "CATALENS_MAX_WAITING or --max-waiting"),
        (["--data-dir", "/nonexistent"], {}, "no bundle is published in /nonexistent"),
        (["--synonyms-file", "/nonexistent"], {}, "/nonexistent: there is no such file of synonyms"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(start, flags, environ, said):
    service = start(*flags, **environ)
    assert service.ended() == 2
    [line] = service.lines
    assert line.startswith("error: ")
    assert said in line


@pytest.mark.slow
def test_artefacts_that_do_not_fit_are_one_clear_line(start, published, tmp_path, support):
    missing = start("--encoder", tmp_path / "none", "--data-dir", published / "data")
    tiny = support("tiny")
    model = tiny.eiclip(tmp_path, seed=1)
    card = Card(name="other", licence="Apache-2.0", backbone="tiny", image=model.backbone.recipe, entities=model.design)
    save_checkpoint(tmp_path / "other", model, card)
    foreign = start("--encoder", tmp_path / "other", "--data-dir", published / "data")
    assert missing.ended() == foreign.ended() == 2
    for service in (missing, foreign):
        [line] = service.lines
        assert line.startswith("error: ")
    assert "was made by the encoder tiny" in foreign.lines[0]


@pytest.mark.slow
def test_a_port_that_is_taken_is_said_so(start, published):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        service = start("--encoder", published / "model", "--data-dir", published / "data", "--port", port)
        assert service.ended() != 0
    assert any("address already in use" in line for line in service.lines)
    assert not any("Traceback" in line for line in service.lines)


def test_an_unknown_flag_is_refused(start):
    service = start("--speed", "11")
    assert service.ended() == 2
    assert any("No such option" in line for line in service.lines)
