"""Bundles that are bad or not there, and roles that are none: refused and told of, and the old bundle answers on."""

import os
import pickle
import shutil
import time

import numpy as np
import pytest
from starlette.testclient import TestClient

from indexer.bundle import FILES
from indexer.manifest import MANIFEST, Manifest
from indexer.publish import publish
from tests.support.swapping import (
    WATCH_MS,
    Place,
    activate,
    activated,
    app_of,
    assert_of_one_bundle,
    assert_problem,
    degraded,
    flipped,
    metrics_of,
    primary,
    role,
    search,
    sign,
    told,
    until,
)

pytestmark = pytest.mark.usefixtures("quick_builds")


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


# Bundles that are refused


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
