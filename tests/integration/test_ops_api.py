"""What those who run the service are told of a bundle: its report and history, and a map of its products."""

import asyncio
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from indexer.bundle import Bundle
from indexer.checks import Check
from indexer.gate import Gate, Verdict
from indexer.layout import MOST, lay_out
from indexer.manifest import read_manifest
from indexer.publish import HistoryEntry, publish
from service import apart, mapping
from service.api.operating_views import MapResponse, ReportResponse
from service.api.views import ProblemView
from service.app import create_app
from service.auth import add_key
from service.errors import UnavailableError
from service.mapping import Maps
from service.scopes import Scope
from service.settings import Settings

REPORT, MAP, PROBLEM = map(TypeAdapter, (ReportResponse, MapResponse, ProblemView))
NOWHERE = "20000101T000000Z-00000000"
PATIENCE_S = 60.0

pytestmark = pytest.mark.usefixtures("no_long_waits")


@pytest.fixture(scope="module")
def whole(shop, tmp_path_factory):
    """A data folder in which the shop is published: it passed the gate."""
    folder = tmp_path_factory.mktemp("whole") / "data"
    shutil.copytree(shop.path, folder / "bundles" / shop.path.name)
    publish(folder, shop.path.name, gate=Gate(shop.encoder))
    return folder


@pytest.fixture
def data_dir(whole, folder):
    """What the service looks at, as good as new."""
    shutil.rmtree(folder, ignore_errors=True)
    return shutil.copytree(whole, folder, symlinks=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("own") / "data"


@contextmanager
def served(shop, data_dir, **settings):
    given = {"data_dir": data_dir, "update_log": "off", "watch_ms": 3_600_000, **settings}
    with Bundle.open(shop.path) as bundle:
        app = create_app(Settings.model_validate(given), (shop.encoder, bundle))
        with TestClient(app) as opened:
            yield opened


@pytest.fixture(scope="module")
def service(shop, folder):
    with served(shop, folder) as client:
        yield client


@pytest.fixture
def own(data_dir, service):
    """A service over a data folder that may be harmed."""
    return service


@pytest.fixture
def quick_maps(monkeypatch):
    """As where scikit-learn is not installed: it takes a second to load. And not behind all other tests."""
    monkeypatch.setattr(mapping, "method_here", lambda: "PCA")
    monkeypatch.setattr(apart, "_NICENESS", 0)


@pytest.fixture
def started(monkeypatch):
    """The processes that were started to make maps."""
    found, start = [], apart.started

    def remembered(command, env):
        found.append(start(command, env))
        return found[-1]

    monkeypatch.setattr(apart, "started", remembered)
    return found


def told(client, bundle):
    answer = client.get(f"/v1/bundles/{bundle}/report")
    assert answer.status_code == 200, answer.text
    REPORT.validate_python(answer.json(), strict=True)
    return answer.json()


def mapped(client, bundle, **asked):
    answer = client.get(f"/v1/bundles/{bundle}/map", params=asked)
    assert answer.status_code == 200, answer.text
    MAP.validate_python(answer.json(), strict=True)
    return answer.json()


def refused(answer, status, kind, path="id"):
    assert answer.status_code == status, answer.text
    problem = answer.json()
    PROBLEM.validate_python(problem, strict=True)
    assert problem["type"] == f"urn:catalens:problem:{kind}"
    assert [error["path"] for error in problem["errors"]] == ([path] if path else [])
    return problem["detail"]


def verdict(bundle, at, *, failed=()):
    checks = [Check(name=name, outcome="failed", says=f"{name} is bad", measured=0.5, bar=0.9) for name in failed]
    checks += [Check(name="words", outcome="passed", says="fine"), Check(name="golden", outcome="skipped", says="none")]
    return Verdict(
        at=at, bundle=bundle, digest="0" * 64, against=NOWHERE, encoder=None, golden=None, checks=tuple(checks)
    )


def write(path, entries):
    path.write_bytes(b"".join(entry.model_dump_json().encode() + b"\n" for entry in entries))


def at(minute):
    return f"2026-11-26T10:{minute:02d}:00+00:00"


class TestReport:
    def test_is_all_that_lies_in_the_data_folder(self, own, data_dir, shop):
        found = told(own, shop.path.name)
        manifest = read_manifest(shop.path)
        stated = json.loads(manifest.model_dump_json())
        shown = found["manifest"]
        assert shown.pop("size_bytes") == sum(p.stat().st_size for p in shop.path.rglob("*") if p.is_file())
        assert shown == {name: stated[name] for name in shown}
        assert shown["counts"]["products"] == len(shop.rows)
        assert found["report"] == json.loads((shop.path / "report.json").read_bytes())
        assert set(found["report"]["gates"]) == {"brand", "category"}
        assert (found["id"], found["role"], found["current"], found["problem"]) == (
            shop.path.name,
            "primary",
            True,
            None,
        )
        [judged] = found["verdicts"]
        [kept] = map(json.loads, (data_dir / "gates.jsonl").read_text().splitlines())
        assert (judged["at"], judged["compared_with"]) == (kept["at"], None)
        assert (judged["passed"], judged["forced"]) == (True, False)
        assert [(c["name"], c["outcome"], c["says"], c["value"], c["bar"]) for c in judged["checks"]] == [
            (c["name"], c["outcome"], c["says"], c["measured"], c["bar"]) for c in kept["checks"]
        ]
        assert {c["outcome"]: c["passed"] for c in judged["checks"]} == {"passed": True, "skipped": None}
        assert found["history"] == list(map(json.loads, (data_dir / "history.jsonl").read_text().splitlines()))

    def test_tells_the_latest_lines_about_the_bundle_first(self, own, data_dir, shop):
        mine = shop.path.name
        write(data_dir / "gates.jsonl", [verdict(name, at(m)) for m in range(30) for name in (mine, NOWHERE)])
        moves = [
            HistoryEntry(at=at(m), action="publish", bundle=bundle, previous=previous)
            for m, (bundle, previous) in enumerate([(mine, NOWHERE), (NOWHERE, mine), (NOWHERE, NOWHERE)] * 12)
        ]
        write(data_dir / "history.jsonl", moves)
        found = told(own, mine)
        assert [judged["at"] for judged in found["verdicts"]] == [at(m) for m in range(29, 9, -1)]
        assert [move["at"] for move in found["history"]] == [at(m) for m in range(35, -1, -1) if m % 3 != 2][:20]

    def test_says_which_verdict_was_overruled(self, own, data_dir, shop):
        mine = shop.path.name
        judged = [
            verdict(mine, at(m), failed=["prices", "model"][:n]) for m, n in ((1, 2), (2, 1), (2, 1), (5, 1), (6, 0))
        ]
        write(data_dir / "gates.jsonl", judged)
        moves = [
            HistoryEntry(at=at(3), action="publish", bundle=mine, previous=None, forced=True, problems=("prices",)),
            HistoryEntry(at=at(4), action="publish", bundle=NOWHERE, previous=mine, forced=True, problems=("words",)),
            HistoryEntry(at=at(7), action="publish", bundle=mine, previous=NOWHERE),
        ]
        write(data_dir / "history.jsonl", moves)
        found = told(own, mine)["verdicts"][::-1]
        assert [entry["passed"] for entry in found] == [False, False, False, False, True]
        assert [entry["forced"] for entry in found] == [False, False, True, False, False]
        assert found[0]["checks"][0] == {
            "name": "prices", "outcome": "failed", "passed": False, "says": "prices is bad", "value": 0.5, "bar": 0.9,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "content", "lacking"),
        [
            ("report.json", b"[1, 2]", {"report"}),
            ("report.json", b"{", {"report"}),
            ("report.json", None, {"report"}),
            ("manifest.json", b"{}", {"manifest"}),
            ("text.faiss", b"", set()),
        ],
    )
    def test_of_a_damaged_bundle_says_what_can_be_read_and_what_is_wrong(
        self, own, data_dir, shop, name, content, lacking
    ):
        path = data_dir / "bundles" / shop.path.name / name
        path.write_bytes(content) if content is not None else path.unlink()
        found = told(own, shop.path.name)
        assert name in found["problem"]
        assert {part for part in ("report", "manifest") if found[part] is None} == lacking
        assert len(found["verdicts"]) == len(found["history"]) == 1
        refused(own.get(f"/v1/bundles/{shop.path.name}/map"), 409, "bundle-refused")

    def test_of_a_damaged_history_too(self, own, data_dir, shop):
        (data_dir / "history.jsonl").write_text("nothing\nof this\n")
        found = told(own, shop.path.name)
        assert "line 1 is damaged" in found["problem"]
        assert found["history"] == []
        assert found["report"]

    @pytest.mark.parametrize("name", [NOWHERE, ".building-1", "%2E%2E", "2"])
    @pytest.mark.parametrize("what", ["report", "map"])
    def test_of_what_is_no_bundle_there_is_none(self, client, shop, name, what):
        assert "There is no bundle" in refused(client.get(f"/v1/bundles/{name}/{what}"), 404, "not-found")


class TestMap:
    def test_is_made_once_for_all_who_ask_and_kept_among_the_latest(self, own, shop, data_dir, quick_maps, started):
        folder = data_dir / "maps"
        folder.mkdir()
        for n in range(12):
            (folder / f"{n}.json").touch()
            os.utime(folder / f"{n}.json", (1_000 - n, 1_000 - n))
        with ThreadPoolExecutor(3) as threads:
            several = list(threads.map(lambda limit: mapped(own, shop.path.name, limit=limit), (48, 10, MOST)))
        assert len(started) == 1
        made = lay_out(shop.path, 48, "PCA").columns
        assert sorted(made["id"]) == sorted(row["id"] for row in shop.rows)
        for found, many in zip(several, (48, 10, 48), strict=True):
            assert (found["bundle"], found["method"], found["of"]) == (shop.path.name, "PCA", 48)
            assert found["points"] == {name: column[:many] for name, column in made.items()}
        [kept] = {path.name for path in folder.iterdir()} - {f"{n}.json" for n in range(7)}
        assert kept == f"{read_manifest(shop.path).digest[:32]}-2000-pca.json"

    def test_is_not_made_again_unless_what_is_kept_is_damaged(self, own, shop, data_dir, quick_maps, started):
        first = mapped(own, shop.path.name)
        [kept] = (data_dir / "maps").iterdir()
        stored = json.loads(kept.read_bytes())
        stored["columns"]["title"][0] = "kept"
        kept.write_text(json.dumps(stored))
        assert mapped(own, shop.path.name, limit=1)["points"]["title"] == ["kept"]
        assert len(started) == 1
        kept.write_bytes(kept.read_bytes()[:100])
        assert mapped(own, shop.path.name) == first
        assert [process.returncode for process in started] == [0, 0]

    def test_is_answered_where_it_cannot_be_kept(self, own, shop, data_dir, quick_maps):
        (data_dir / "maps").write_text("no folder")
        assert mapped(own, shop.path.name)["of"] == 48

    def test_is_made_while_searches_go_on(self, own, shop, search):
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(mapped, own, shop.path.name)
            answers = 0
            while not coming.done():
                answers += bool(search(own, q="red mug")["hits"])
                time.sleep(0.05)
        assert coming.result()["method"] == "PCA"  # there are too few products for anything else
        assert answers

    @pytest.mark.parametrize("limit", [0, MOST + 1, "many"])
    def test_of_more_or_less_than_there_may_be_is_refused(self, client, shop, limit):
        answer = client.get(f"/v1/bundles/{shop.path.name}/map", params={"limit": limit})
        refused(answer, 422, "invalid-request", "limit")

    def test_of_a_bundle_with_damaged_vectors_says_so(self, own, shop, data_dir, quick_maps):
        path = data_dir / "bundles" / shop.path.name / "vectors" / "text.npy"
        path.write_bytes(b"x" * path.stat().st_size)
        detail = refused(own.get(f"/v1/bundles/{shop.path.name}/map"), 409, "bundle-refused")
        assert "cannot be read" in detail
        assert not (data_dir / "maps").exists()

    def test_that_takes_too_long_is_given_up(self, own, shop, quick_maps, started, monkeypatch):
        monkeypatch.setattr(mapping, "_LIMIT_S", 0.01)
        answer = own.get(f"/v1/bundles/{shop.path.name}/map")
        assert "longer than 0.01 s" in refused(answer, 503, "unavailable", None)
        assert answer.headers["retry-after"] == "60"
        assert started[0].returncode < 0

    def test_is_made_at_low_priority_and_no_more_when_the_service_ends(self, shop, data_dir, started):
        """Nobody waits for the one that made the first: it is made all the same."""

        async def ended():
            maps = Maps(data_dir)
            asked = [asyncio.ensure_future(maps.of(shop.path.name, read_manifest(shop.path), 9)) for _ in range(2)]
            await until(lambda: started and os.getpriority(os.PRIO_PROCESS, started[0].pid) == 10)
            asked[0].cancel()
            await asyncio.sleep(0)
            assert started[0].poll() is None
            await maps.close()
            assert started[0].returncode < 0
            return await asyncio.gather(*asked, return_exceptions=True)

        gone, left = asyncio.run(ended())
        assert isinstance(gone, asyncio.CancelledError)
        assert isinstance(left, UnavailableError)
        assert not (data_dir / "maps").exists()


async def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.005)


def test_only_those_who_run_the_service_are_told(shop, data_dir, tmp_path):
    path = tmp_path / "keys.json"
    keys = {scope: add_key(path, scope.value, [scope]) for scope in Scope}
    with served(shop, data_dir, keys_file=path) as client:
        for what in ("report", "map?limit=0"):
            address = f"/v1/bundles/{shop.path.name}/{what}"
            got = {scope: client.get(address, headers={"x-api-key": key}).status_code for scope, key in keys.items()}
            assert got == {Scope.SEARCH: 403, Scope.WRITE: 403, Scope.ADMIN: 200 if what == "report" else 422}
            assert client.get(address).status_code == 401
