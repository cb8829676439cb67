"""A wall clock that is put forward and back by years: nothing that lasts is measured by it."""

import time

import pytest

YEARS_S = 10 * 365 * 86_400.0
PREPARE = """
import time
from pathlib import Path
usual = time.time

def shifted():
    try:
        return usual() + float(Path(PLACE).read_text() or 0)
    except (OSError, ValueError):
        return usual()

time.time = shifted
time.time_ns = lambda: int(shifted() * 1e9)
"""
SOON_S = 10.0


@pytest.fixture
def redis(tmp_path_factory, support):
    server = support("redis_server").RedisServer(tmp_path_factory.mktemp("redis"), durable=True)
    server.start()
    yield server
    server.kill()


def year_of(service):
    """Return the year that the service believes it is: it looks once a second."""
    return int(service.client.get("/livez").headers["date"].split()[3])


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_a_clock_that_jumps_changes_no_answer_and_no_order(nursery, data_dir, unharmed, tmp_path, redis, support, kind):
    """Cached vectors stay, deadlines stay what they are, changes are shown at once and in their order."""
    until = support("nursery").until
    place = tmp_path / "clock"
    log = redis.url if kind == "redis" else "file"
    flags = ("--data-dir", data_dir, "--update-log", log, "--redis-url", redis.url, "--cache-timeout-ms", 2_000)
    with nursery.running(*flags, prepare=PREPARE.replace("PLACE", repr(str(place)))) as service:
        unharmed.check(service)
        versions = []
        for number, shift in enumerate([0.0, YEARS_S, -YEARS_S, 0.0, YEARS_S]):
            place.write_text(str(shift))
            began = time.monotonic()
            answer = service.put({"id": "lamp", "title": f"Zebra lamp {number}", "price": number})
            assert answer.json()["results"][0]["status"] == 200
            versions.append(answer.json()["results"][0]["version"])
            [hit] = service.search(filter={"id": "lamp"})["hits"]
            assert hit["product"]["title"] == f"Zebra lamp {number}"
            assert service.search(q="red mug")["degraded"] == []
            assert service.client.get("/readyz").json()["degraded"] == []
            unharmed.check(service)
            assert time.monotonic() - began < SOON_S
        assert versions == [1, 2, 3, 4, 5]
        until(lambda: year_of(service) == time.gmtime(time.time() + YEARS_S).tm_year)  # it did jump
        counted = service.client.get("/metrics").text
        assert 'catalens_cache_lookups_total{result="corrupt"}' not in counted
        hits = [line for line in counted.splitlines() if line.startswith('catalens_cache_lookups_total{result="hit"}')]
        assert float(hits[0].split()[1]) > 10
    with nursery.running(*flags) as again:
        [hit] = again.search(filter={"id": "lamp"})["hits"]
        assert hit["product"]["title"] == "Zebra lamp 4"
