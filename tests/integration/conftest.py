"""A small shop, indexed once per session with an encoder without weights, and services over it."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog
from pydantic import TypeAdapter
from starlette.testclient import TestClient

import indexer.build
from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.evaluate import measure
from models.encoder import Encoder
from service import following
from service.api.views import SearchResponse
from service.app import create_app
from service.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def quiet_logs():
    """Keep log lines off the output: rendering tracebacks for a console takes seconds."""
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.testing.CapturingLoggerFactory()
    )
    yield
    structlog.reset_defaults()


@dataclass(frozen=True)
class Shop:
    """A built bundle, its encoder, and the rows and folder of the feed it was built from."""

    folder: Path
    data_dir: Path
    path: Path
    encoder: Encoder
    rows: list[dict[str, object]]

    def picture(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("CATALENS_")]:
        monkeypatch.delenv(name)


def build_shop(folder: Path, encoder: Encoder, rows: list[dict[str, object]], feeds) -> Shop:
    feed = folder / "feed"
    feeds.write_pictures(feed, rows)
    pq.write_table(pa.Table.from_pylist(rows), feed / "catalogue.parquet")
    built = build(encoder, BuildOptions(catalogue=feed, data_dir=folder / "data"))
    return Shop(feed, folder / "data", built.path, encoder, rows)


@pytest.fixture(scope="session")
def shop(tmp_path_factory, weightless, support) -> Shop:
    """48 products with two pictures each; one with an awkward id, one without pictures."""
    feeds = support("feeds")
    rows = feeds.products(48)
    rows[5]["id"] = "odd/id %2F?#ü"
    rows[7]["images"] = []
    encoder = weightless(64, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
    return build_shop(tmp_path_factory.mktemp("shop"), encoder, rows, feeds)


@pytest.fixture(scope="session")
def make_shop():
    """Build another shop: `make_shop(folder, encoder, rows, feeds)`."""
    return build_shop


@pytest.fixture(scope="session")
def bundle(shop):
    with Bundle.open(shop.path) as opened:
        yield opened


@pytest.fixture(scope="module")
def no_long_waits():
    """Followers wait for news in short spells, so that services close soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "_WAIT_S", 0.05)
        yield


@pytest.fixture(scope="module")
def quick_builds(no_long_waits):
    """Builds measure themselves on less."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexer.build, "measure", partial(measure, sample=10))
        patch.setattr(indexer.build, "calibrate_lexical_weight", lambda _bundle, _encoder, weights, **_: weights)
        yield


@pytest.fixture
def open_service(shop, bundle):
    """Start a service over the shop: `open_service(max_waiting=1)` returns a client of it."""
    with ExitStack() as closing:

        def start(*, encoder: Encoder = shop.encoder, **settings: object) -> TestClient:
            given = {"data_dir": shop.data_dir, "update_log": "off", "ready_cache_ms": 0, **settings}
            app = create_app(Settings.model_validate(given), (encoder, bundle))
            return closing.enter_context(TestClient(app))

        yield start


@pytest.fixture(scope="session")
def client(shop, bundle):
    """One service that the tests which leave it as it is may share."""
    settings = Settings.model_validate({"data_dir": shop.data_dir, "update_log": "off"})
    with TestClient(create_app(settings, (shop.encoder, bundle))) as opened:
        yield opened


@pytest.fixture(scope="session")
def search():
    """`search(client, q="red dress")` returns the answer, whose form is checked."""
    form = TypeAdapter(SearchResponse)

    def ask(client: TestClient, **asked: object) -> dict[str, object]:
        answer = client.post("/v1/search", json=asked)
        assert answer.status_code == 200, answer.text
        form.validate_python(answer.json(), strict=True)
        return answer.json()

    return ask
