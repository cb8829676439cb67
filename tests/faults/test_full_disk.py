"""A disk without room: for a build, a publication, the update log and the service's own log lines.

Files may not grow beyond a limit that the system keeps (`RLIMIT_FSIZE`), wherever the process writes; it can be lifted
while the process runs, as room can be made on a disk.
"""

import json
import os
import resource
import signal
import sqlite3
from contextlib import closing

import pytest

from indexer.bundle import Bundle, current_bundle
from indexer.publish import history, publish

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

LIMITED = """
import json, resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
raise RuntimeError(json.dumps(command(*{words!r}, "--data-dir", folder)))
"""


def command(stepper, folder, limit, *words):
    """Run the indexer with files of at most `limit` bytes; return its exit status and what it said."""
    code = LIMITED.format(limit=limit, words=list(map(str, words)))
    return json.loads(stepper.run(folder, code)["failed"])


def assert_told(said):
    status, out, err = said
    assert status == 1
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("Error: ")
    return line.lower()


def whole_bundles(data_dir):
    found = [path for path in (data_dir / "bundles").iterdir() if not path.name.startswith(".")]
    for path in found:
        Bundle.open(path).close()
    return {path.name for path in found}


@pytest.mark.parametrize("limit", [0, 600, 3_000, 12_000])
def test_a_build_without_room_says_so_in_a_line_and_leaves_nothing_behind(two_bundles, stepper, plain_feed, limit):
    """Each limit is too little for another kind of file: the first is for all."""
    folder, first, second = two_bundles
    words = ("build", "--catalogue", plain_feed, "--encoder", "weightless", "--publish")
    line = assert_told(command(stepper, folder, limit, *words))
    assert "too large" in line or "no space" in line
    assert whole_bundles(folder) == {first, second}
    assert list((folder / "bundles").glob(".building-*")) == []
    assert current_bundle(folder).name == first


def test_a_publication_without_room_changes_nothing_and_the_next_one_works(two_bundles, stepper):
    folder, first, second = two_bundles
    moves = history(folder)
    size = (folder / "history.jsonl").stat().st_size
    for limit in (0, size, size + 40):
        assert_told(command(stepper, folder, limit, "publish", second, "--force"))
        assert current_bundle(folder).name == first
        assert history(folder) == moves
    publish(folder, second, force=True)
    assert len(history(folder)) == len(moves) + 1


def test_changes_without_room_are_refused_and_none_that_was_acknowledged_is_lost(nursery, data_dir, unharmed):
    stored = {}

    def put(number):
        answer = service.put({"id": f"n{number}", "title": "Zebra lamp", "description": "long " * 5_000}, wait=False)
        if answer.status_code == 200:
            stored[f"n{number}"] = answer.json()["results"][0]["version"]
        return answer

    with nursery.running("--data-dir", data_dir) as service:
        unharmed.check(service)
        assert put(0).status_code == 200
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        answers = [put(number) for number in range(1, 30)]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(stored) > 1
        assert refused
        assert {answer.status_code for answer in refused} == {503}
        assert refused[0].json()["type"].endswith("unavailable")
        unharmed.check(service)
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, UNLIMITED)
        assert service.put({"id": "after", "title": "Zebra lamp"}).json()["results"][0]["status"] == 200
        stored["after"] = 1
        unharmed.check(service)
    with closing(sqlite3.connect(data_dir / "updates.sqlite")) as direct:
        assert direct.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with nursery.running("--data-dir", data_dir) as again:
        found = {hit["id"] for hit in again.search(sort=["id:asc"], limit=100)["hits"]}
        assert found == {*stored, *(f"p{n}" for n in range(12))}


MUTED = """
import os, signal
kept = os.dup(2)
full = os.open("/dev/full", os.O_WRONLY)
signal.signal(signal.SIGUSR1, lambda *_: (os.dup2(full, 1), os.dup2(full, 2)))
signal.signal(signal.SIGUSR2, lambda *_: (os.dup2(kept, 1), os.dup2(kept, 2)))
"""


def test_log_lines_without_room_cost_no_answer(nursery, published, unharmed):
    with nursery.running("--data-dir", published / "data", "--update-log", "off", prepare=MUTED) as service:
        unharmed.check(service)
        os.kill(service.pid, signal.SIGUSR1)
        lines = len(service.lines)
        for _ in range(20):
            assert service.found(q="red mug")
            assert service.client.get("/v1/nowhere").status_code == 404
        unharmed.check(service)
        assert len(service.lines) <= lines + 1
        os.kill(service.pid, signal.SIGUSR2)
        assert service.found(q="red mug")
        assert len(service.lines) > lines
