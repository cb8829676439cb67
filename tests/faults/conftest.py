"""A small shop, services over it in processes of their own, and what each must still be after an attack."""

import contextlib
import json
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexer.build import BuildOptions, build
from indexer.publish import publish
from models.checkpoint import Card, load_encoder, save_checkpoint

PRODUCTS = 12
SETTLED_S = 10.0


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("CATALENS_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def feeds(support):
    return support("feeds")


@pytest.fixture(scope="session")
def published(tmp_path_factory, support, feeds):
    """A folder of a model with random weights, a feed of twelve products, and a data folder that has both published."""
    folder, tiny = tmp_path_factory.mktemp("published"), support("tiny")
    model = tiny.eiclip(folder)
    card = Card(name="tiny", licence="Apache-2.0", backbone="tiny", image=model.backbone.recipe, entities=model.design)
    save_checkpoint(folder / "model", model, card)
    rows = feeds.products(PRODUCTS, pictures=1)
    feeds.write_pictures(folder / "feed", rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "feed" / "catalogue.parquet")
    encoder = load_encoder(str(folder / "model"), "cpu")
    built = build(encoder, BuildOptions(catalogue=folder / "feed", data_dir=folder / "data"))
    publish(folder / "data", built.manifest.id, force=True)
    return folder


@pytest.fixture(scope="session")
def plain_feed(tmp_path_factory, feeds):
    """A feed of products without entities, which a bundle is made of in a moment."""
    folder = tmp_path_factory.mktemp("plain") / "feed"
    rows = feeds.products(PRODUCTS, pictures=1)
    feeds.write_pictures(folder, rows)
    plain = [{name: row[name] for name in ("id", "title", "images")} for row in rows]
    pq.write_table(pa.Table.from_pylist(plain), folder / "catalogue.parquet")
    return folder


@pytest.fixture
def two_bundles(plain_feed, tmp_path, weightless):
    """A data folder with two bundles, the first of which is current; and their names."""
    options = BuildOptions(catalogue=plain_feed, data_dir=tmp_path / "data")
    first, second = (build(weightless(16), options).manifest.id for _ in range(2))
    publish(tmp_path / "data", first, force=True)
    return tmp_path / "data", first, second


@pytest.fixture(scope="session")
def stepper(support):
    """A process that works on data folders in children that may be killed."""
    started = support("steps").Stepper()
    yield started
    started.close()


@pytest.fixture(scope="session")
def nursery(published, support, tmp_path_factory):
    opened = support("nursery").Nursery(published / "data", published / "model", tmp_path_factory.mktemp("logs"))
    yield opened
    opened.close()


@pytest.fixture
def data_dir(published, tmp_path):
    """A data folder of one's own, with the same bundle published."""
    shutil.copytree(published / "data", tmp_path / "data", symlinks=True)
    return tmp_path / "data"


class Unharmed:
    """What a service answers before it is attacked, and must answer after each attack."""

    def __init__(self, picture):
        self._picture = picture
        self._answers, self._told = {}, {}

    def _answer(self, service):
        ids = {"id": [f"p{n}" for n in range(PRODUCTS)]}
        found = [
            service.search(q="Ruby green mug no 8", mode=mode, filter=ids, fields=["id"], explain=True)["hits"]
            for mode in ("hybrid", "vector", "lexical")
        ]
        form = {"filter": json.dumps(ids), "fields": "id"}
        pictured = service.client.post("/v1/search/image", files={"image": self._picture}, data=form)
        assert pictured.status_code == 200, pictured.text
        return [*found, pictured.json()["hits"]]

    @staticmethod
    def _errors(service):
        return service.log.read_bytes().count(b'"unexpected_error"')

    def forgive(self, service):
        """Take no offence at the errors that were logged so far."""
        self._told[service.pid] = self._errors(service)

    def check(self, service):
        """Make sure that the service runs, is ready and answers as it did when it was first asked."""
        assert service.runs()
        ready = service.client.get("/readyz")
        assert ready.status_code == 200, ready.text
        answer = self._answer(service)
        assert answer[2][0]["id"] == "p8"
        assert answer == self._answers.setdefault(service.pid, answer)
        before, self._told[service.pid] = self._told.get(service.pid, 0), self._errors(service)
        assert self._told[service.pid] == before, service.log.read_text()


@pytest.fixture(scope="session")
def unharmed(published):
    return Unharmed((published / "feed" / "images" / "p5-0.jpg").read_bytes())


@pytest.fixture(scope="module")
def service(nursery, published, unharmed):
    """A service as it is by default, without an update log; the tests of a module attack the same one."""
    started = nursery.start("--data-dir", published / "data", "--update-log", "off", "--ready-cache-ms", 0)
    unharmed.check(started)
    return started


@pytest.fixture
def attacked(service, unharmed):
    """The module's service: whatever a test does to it, it must be what it was."""
    yield service
    unharmed.check(service)


@pytest.fixture(scope="session")
def gives_back(support):
    """Make sure that a service comes back to the memory it had: `with gives_back(service, mib=40): ...`."""
    until = support("nursery").until

    @contextlib.contextmanager
    def watched(service, *, mib):
        before = service.resident_mib()
        yield
        try:
            until(lambda: service.resident_mib() < before + mib, SETTLED_S)
        except AssertionError as error:
            raise AssertionError(f"{before:.0f} MiB before, {service.resident_mib():.0f} after") from error

    return watched
