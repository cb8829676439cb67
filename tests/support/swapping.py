"""Data folders with two bundles, services over them, and what these tell: for tests of swapping one for the other."""

import itertools
import json
import shutil
import time
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter

from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.manifest import MANIFEST, Manifest, record_file
from indexer.publish import publish
from service.api.views import BundlesResponse
from service.app import create_app
from service.settings import Settings

TOLD = TypeAdapter(BundlesResponse)
PATIENCE_S = 60.0
WATCH_MS = 40
PRODUCTS = 18


def two_bundles(folder, weightless, feeds):
    """Build two bundles of the same ids: titles begin with Alpha in the one, with Beta in the other."""
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


def app_of(shops, folder, encoder=None, **settings):
    given = {"data_dir": folder, "update_log": "off", "watch_ms": WATCH_MS, "ready_cache_ms": 0, **settings}
    bundle = Bundle.open((folder / "current").resolve())
    return create_app(Settings.model_validate(given), (encoder or shops.encoder, bundle))


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


def sign(folder, **changes):
    """Write the manifest anew, so that it states the files as they are."""
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    files = {name: record_file(folder / name) for name in manifest.files}
    (folder / MANIFEST).write_bytes(manifest.model_copy(update={"files": files, **changes}).to_bytes())


def flipped(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
