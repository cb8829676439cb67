"""A shop with categories, some of them wrong or not stated, and services over it."""

import base64
import json
from types import SimpleNamespace

import pytest

from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from tests.support.categories import serve


@pytest.fixture(scope="module")
def feeds(support):
    return support("feeds")


@pytest.fixture(scope="module")
def opened(weightless, feeds, tmp_path_factory):
    """Build a shop of rows and open it: `opened(rows)`."""
    bundles = []

    def make(rows):
        folder = tmp_path_factory.mktemp("shop")
        feeds.write_pictures(folder / "feed", rows)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "feed" / "catalogue.jsonl").write_text(lines)
        encoder = weightless(64, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
        built = build(encoder, BuildOptions(folder / "feed", folder / "data"))
        bundles.append(Bundle.open(built.path))
        return SimpleNamespace(rows=rows, bundle=bundles[-1], encoder=encoder, feed=folder / "feed")

    yield make
    for bundle in bundles:
        bundle.close()


@pytest.fixture(scope="module")
def shop(opened, feeds):
    """48 products, eight of each category but for those that `stated` below changes."""
    rows = feeds.products(48, pictures=1)
    for number, category in {8: None, 10: "dress", 21: "lamp", 34: "Bag"}.items():
        rows[number]["category"] = category  # 8 is a mug, 10 and 34 are bags, 21 a mug
    for row in rows[:4]:
        row["images"] = []
    for number in range(12, 24):
        rows[number]["group"] = f"g{number // 2}"
    return opened(rows)


@pytest.fixture(scope="module")
def client(shop):
    with serve(shop) as client:
        yield client


@pytest.fixture(scope="module")
def bare(opened, feeds):
    """A client of a shop whose products state no category."""
    rows = [{**row, "category": None} for row in feeds.products(12, pictures=1)]
    with serve(opened(rows)) as client:
        yield client


@pytest.fixture
def live(shop, tmp_path):
    """A client of a shop whose products may be changed."""
    with serve(shop, update_log="auto", data_dir=tmp_path, write_timeout_ms=20_000) as client:
        yield client


@pytest.fixture(scope="module")
def picture(shop):
    """Return a product's picture as a request has it."""
    return lambda number: {"data": base64.b64encode((shop.feed / f"images/p{number}-0.jpg").read_bytes()).decode()}
