"""Spans below a request's: in order, where they belong, and none where nothing is traced."""

import asyncio
import contextvars
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode
from structlog.testing import capture_logs

from service import tracing
from service.batching import Stay
from service.errors import StartupError
from service.otlp import Collected, collector
from service.settings import Settings, load_settings

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Traces:
    """Keeps the spans that have ended, in order."""

    def __init__(self, sampler=None):
        self._ended = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._ended))

    @property
    def ended(self):
        return self._ended.get_finished_spans()

    def request(self):
        """The span of a request, as FastAPI makes it current."""
        return self.provider.get_tracer("test").start_as_current_span("POST")

    async def close(self):
        pass


def by_name(spans):
    return {span.name: span for span in spans}


def seconds(span):
    return (span.end_time - span.start_time) / 1e9


def test_stages_follow_each_other_and_the_last_is_divided():
    traces = Traces()
    with traces.request() as request, tracing.below_request(traces, "r1") as said:
        tracing.stage("filter")
        tracing.stage("retrieve")
        time.sleep(0.03)
        tracing.last_stage("rank", 0.02)
        tracing.answer(200, "POST", "/v1/search")
    assert said == {"trace_id": trace.format_trace_id(request.get_span_context().trace_id)}
    assert [span.name for span in traces.ended] == ["filter", "retrieve", "rank", "POST /v1/search"]
    spans = by_name(traces.ended)
    root = spans.pop("POST /v1/search")
    assert {span.parent.span_id for span in spans.values()} == {root.context.span_id}
    assert spans["filter"].end_time <= spans["retrieve"].start_time
    assert spans["retrieve"].end_time == spans["rank"].start_time
    assert seconds(spans["rank"]) == pytest.approx(0.02, abs=0.005)
    assert root.attributes["catalens.request_id"] == "r1"
    assert root.attributes["http.route"] == "/v1/search"


def test_what_took_place_within_a_stage_hangs_below_it():
    traces = Traces()
    with traces.request(), tracing.below_request(traces, "r1"):
        tracing.within("decode", 0.01)  # before any stage: part of the request
        tracing.stage("encode")
        tracing.count("cache_misses")
        tracing.count("cache_misses")
        tracing.batch(Stay("text", 0.002, 0.01, 7))
        tracing.stage("retrieve")
        tracing.note(found=3, degraded=("cache",))
    spans = by_name(traces.ended)
    assert spans["decode"].parent.span_id == spans["POST"].context.span_id
    assert spans["batch"].parent.span_id == spans["encode"].context.span_id
    assert seconds(spans["batch"]) == pytest.approx(0.01, abs=1e-6)
    assert dict(spans["batch"].attributes) == {
        "catalens.batch_kind": "text", "catalens.batch_size": 7, "catalens.batch_waited_ms": 2.0,
    }  # fmt: skip
    assert spans["encode"].attributes["catalens.cache_misses"] == 2
    assert spans["POST"].attributes["catalens.degraded"] == ("cache",)
    assert "catalens.cache_misses" not in spans["retrieve"].attributes


@pytest.mark.parametrize(("status", "failed"), [(200, False), (422, False), (500, True), (504, True)])
def test_the_stage_that_runs_fails_with_an_error_of_ours(status, failed):
    traces = Traces()
    with traces.request(), tracing.below_request(traces, "r1"):
        tracing.stage("encode")
        tracing.answer(status, "POST", None)
    assert (by_name(traces.ended)["encode"].status.status_code is StatusCode.ERROR) is failed


def test_a_stage_ends_with_its_request_even_if_nothing_is_answered():
    traces = Traces()

    def fail():
        with traces.request(), tracing.below_request(traces, "r1"):
            tracing.stage("encode")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [span.name for span in traces.ended] == ["encode", "POST"]


def test_a_request_of_a_thousand_parts_has_a_few_spans():
    traces = Traces()
    with traces.request(), tracing.below_request(traces, "r1"):
        for _ in range(1_000):
            tracing.within("batch", 0.001)
    spans = traces.ended
    assert len(spans) == 65
    assert spans[-1].attributes["catalens.spans_left_out"] == 936


async def test_tasks_of_a_request_share_its_trace_and_those_beside_do_not():
    traces = Traces()

    async def part(name):
        tracing.within(name, 0.0)

    async def beside():
        with tracing.aside():
            tracing.stage("of another search")
            await part("aside")

    with traces.request(), tracing.below_request(traces, "r1"):
        tracing.stage("encode")
        await asyncio.gather(part("one"), part("two"), beside())
    spans = by_name(traces.ended)
    assert set(spans) == {"one", "two", "encode", "POST"}
    assert spans["one"].parent == spans["two"].parent == spans["encode"].context


@pytest.mark.parametrize("traces", [None, Traces(ALWAYS_OFF)], ids=["no traces", "not sampled"])
def test_nothing_happens_where_a_request_is_not_traced(traces):
    around = traces.request() if traces else tracing.aside()
    with around, tracing.below_request(traces, "r1") as said:
        tracing.stage("encode")
        tracing.within("decode", 0.1)
        tracing.batch(Stay("text", 0.0, 0.0, 1))
        tracing.count("cache_hits")
        tracing.note(found=1)
        tracing.last_stage("rank", 0.1)
        tracing.answer(200, "POST", "/")
    assert set(said) == ({"trace_id"} if traces else set())
    assert traces is None or traces.ended == ()


def test_after_its_request_nothing_is_traced():
    traces = Traces()
    with traces.request(), tracing.below_request(traces, "r1"):
        pass
    tracing.stage("late")
    assert contextvars.copy_context().run(lambda: len(traces.ended)) == 1


def test_without_a_collector_nothing_is_opened_nor_imported():
    assert tracing.open_traces(Settings()) is None
    code = (
        "import sys, service.middleware\n"
        "assert not [name for name in sys.modules if name.startswith(('service.otlp', 'opentelemetry.exporter'))]\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_without_its_packages_a_collector_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "service.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(StartupError, match=r"pip install 'catalens\[trace\]'"):
        tracing.open_traces(Settings(otlp_endpoint="http://localhost:4318"))


@pytest.mark.parametrize("url", ["http://localhost:4318", "https://collector.example/base/", "http://[::1]:4318"])
def test_a_collector_is_named_by_its_url(url):
    assert load_settings({"otlp_endpoint": url}).otlp_endpoint == url


@pytest.mark.parametrize(
    "url",
    ["localhost:4318", "grpc://localhost:4317", "http://", "http://user:hunter2@host", "http://host:99999",
     "http://host:0", "http://host/?token=hunter2", "http://[::1"],
)  # fmt: skip
def test_another_url_is_refused_and_not_repeated(url):
    with pytest.raises(StartupError, match="otlp-endpoint: must be http://HOST:PORT") as refused:
        load_settings({"otlp_endpoint": url})
    assert "hunter2" not in str(refused.value)


async def test_spans_say_whose_they_are_and_the_environment_knows_better(monkeypatch):
    exporter = InMemorySpanExporter()
    traces = Collected(exporter)
    traces.provider.get_tracer("test").start_span("one").end()
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop-search,deployment.environment.name=test")
    other = Collected(exporter)
    other.provider.get_tracer("test").start_span("two").end()
    await traces.close()
    exporter._stopped = False  # it was told to end with the first
    await other.close()
    one, two = exporter.get_finished_spans()
    assert one.resource.attributes["service.name"] == "catalens"
    assert two.resource.attributes["service.name"] == "shop-search"
    assert two.resource.attributes["deployment.environment.name"] == "test"


def test_complaints_about_a_collector_are_passed_on_once_in_a_while():
    logger = logging.getLogger("opentelemetry")
    before = logger.handlers, logger.propagate
    try:
        traces = collector(Settings(otlp_endpoint="http://localhost:4318"))
        traces.provider.shutdown()
        with capture_logs() as logs:
            for number in range(50):
                logging.getLogger("opentelemetry.exporter.somewhere").error("try %d failed", number)
    finally:
        logger.handlers, logger.propagate = before
    assert [(line["event"], line["detail"]) for line in logs] == [("traces_not_sent", "try 0 failed")]
