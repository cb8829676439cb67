"""Single metrics: what they count, what series they keep, and how late an event loop is."""

import asyncio
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.batching import MicroBatcher
from service.errors import ProblemType
from service.telemetry import Metrics, event_loop_watched, server_timing


@pytest.fixture
def anyio_backend():
    return "asyncio"


def samples(metrics):
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(metrics, name, **labels):
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def search(metrics, bundle, **changed):
    given = {"model": "m", "kind": "text", "strategy": "none", "found": 3, "seconds": 0.004}
    metrics.search(bundle=bundle, **{**given, **changed})


def test_searches_are_counted_by_bundle_model_kind_and_filter():
    metrics = Metrics()
    search(metrics, "one")
    search(metrics, "one", found=0)
    search(metrics, "two", model="n", kind="image", strategy="exact", seconds=2.5)
    by = {"bundle": "one", "model": "m", "kind": "text", "filter_strategy": "none"}
    assert value(metrics, "catalens_searches_total", **by) == 2
    assert value(metrics, "catalens_searches_total", **{**by, "bundle": "two"}) is None
    assert value(metrics, "catalens_searches_without_hits_total", bundle="one") == 1
    assert value(metrics, "catalens_searches_without_hits_total", bundle="two") == 0
    assert value(metrics, "catalens_search_duration_seconds_bucket", bundle="one", le="0.003") == 0
    assert value(metrics, "catalens_search_duration_seconds_bucket", bundle="one", le="0.005") == 2
    assert value(metrics, "catalens_search_duration_seconds_sum", bundle="two") == 2.5


def test_only_the_latest_bundles_keep_their_series():
    metrics = Metrics()
    for bundle in ("a", "b", "c", "d", "a", "e"):  # b has answered nothing for longest
        search(metrics, bundle)
    kept = {dict(labels)["bundle"] for name, labels in samples(metrics) if "search" in name}
    assert kept == {"a", "c", "d", "e"}
    assert value(metrics, "catalens_search_duration_seconds_count", bundle="a") == 2


def test_every_kind_of_problem_is_there_before_it_happens():
    metrics = Metrics()
    assert all(value(metrics, "catalens_problems_total", problem=kind.value) == 0 for kind in ProblemType)
    metrics.problem(ProblemType.OVERLOADED)
    assert value(metrics, "catalens_problems_total", problem="overloaded") == 1


def test_writes_and_pictures_and_waits_are_counted():
    metrics = Metrics()
    metrics.written([200, 200, 422])
    metrics.picture_failed("corrupt")
    metrics.waited("text", 0.25)
    assert value(metrics, "catalens_writes_total", status="200") == 2
    assert value(metrics, "catalens_writes_total", status="422") == 1
    assert value(metrics, "catalens_picture_failures_total", reason="corrupt") == 1
    assert value(metrics, "catalens_batch_wait_seconds_bucket", kind="text", le="0.2") == 0
    assert value(metrics, "catalens_batch_wait_seconds_bucket", kind="text", le="0.3") == 1


def test_requests_are_in_flight_until_they_are_answered_or_fail():
    metrics = Metrics()
    with metrics.answering(), metrics.answering():
        assert value(metrics, "catalens_requests_in_flight") == 2
    with pytest.raises(KeyError), metrics.answering():
        raise KeyError
    assert value(metrics, "catalens_requests_in_flight") == 0


def test_serving_begins_now_and_the_release_is_told():
    metrics = Metrics()
    before = time.time()
    metrics.serving(bundle="one", model="m", fingerprint="f")
    metrics.running("1.2.3", max_waiting=77)
    assert before <= value(metrics, "catalens_index_start_time_seconds") <= time.time()
    assert value(metrics, "catalens_build_info", version="1.2.3") == 1
    assert value(metrics, "catalens_queue_limit") == 77


def test_no_series_says_when_it_began():
    metrics = Metrics()
    search(metrics, "one")
    assert b"_created" not in metrics.render()


@pytest.mark.anyio
async def test_a_blocked_event_loop_is_late():
    metrics, tasks = Metrics(), asyncio.all_tasks()
    async with event_loop_watched(metrics.loop_late):
        await asyncio.sleep(0.1)
        time.sleep(0.6)  # noqa: ASYNC251 - the very thing that is to be noticed
        await asyncio.sleep(0.05)
    assert value(metrics, "catalens_event_loop_lag_seconds_count") >= 1
    assert 0.4 <= value(metrics, "catalens_event_loop_lag_seconds_sum") <= 2.0
    assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize(
    ("timings", "header"),
    [
        ({"total": 12.3456, "encode": 0.0}, "total;dur=12.346, encode;dur=0.000"),
        ({"total": 123456789.5}, "total;dur=123456789.500"),
        ({"total": 0.00001}, "total;dur=0.000"),
    ],
)
def test_the_header_of_timings_has_the_form_of_its_specification(timings, header):
    assert server_timing(timings) == header


@pytest.mark.clock
@pytest.mark.anyio
async def test_an_item_is_told_how_long_it_waited_and_how_many_were_with_it():
    shut, stays = threading.Event(), []

    def run(items):
        assert shut.wait(10)
        return items

    batcher = MicroBatcher(run, name="text", max_batch=8, max_waiting=8, tell=stays.append)
    first = asyncio.ensure_future(batcher.submit(0))
    await asyncio.sleep(0.1)
    others = [asyncio.ensure_future(batcher.submit(number)) for number in (1, 2, 3)]
    await asyncio.sleep(0.2)
    shut.set()
    assert await asyncio.gather(first, *others) == [0, 1, 2, 3]
    await batcher.close()
    one, *together = stays
    assert (one.name, one.size) == ("text", 1)
    assert one.waited_s < 0.25 < one.ran_s
    assert [stay.size for stay in together] == [3, 3, 3]
    assert all(stay.ran_s < 0.19 < stay.waited_s for stay in together)
