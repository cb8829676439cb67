"""A service as it looks to who watches it: metrics as dashboard, alerts and guide name them, headers, traces, logs."""

import json
import re
import socket
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import structlog
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from service import otlp
from service.app import create_app
from service.lifecycle import Lifecycle
from service.otlp import Collected
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "catalens.json").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
STAGES = {"total", "decode", "encode", "filter", "retrieve", "rank"}
TRACE = "0af7651916cd43dd8448eb211c80319c"
FROM_PROMETHEUS = {"job", "instance"}


class Broken:
    """An encoder that reads no texts."""

    def __init__(self, encoder):
        self._encoder = encoder

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def text_terms(self, texts, entities=None):
        raise RuntimeError("secret detail")


@pytest.fixture(scope="module")
def start(shop, bundle, tmp_path_factory):
    """Start a service whose updates are in a folder of its own: `start(lifecycle=..., redis_url=...)`."""
    with ExitStack() as closing:

        def started(*, encoder=shop.encoder, lifecycle=None, traces=None, **settings):
            given = {"data_dir": tmp_path_factory.mktemp("observed"), "update_log": "file", **settings}
            app = create_app(Settings.model_validate(given), (encoder, bundle), lifecycle, traces)
            return closing.enter_context(TestClient(app, raise_server_exceptions=False))

        yield started


def ask_all_there_is(client, shop):
    """Send one request of every kind that leaves a mark of its own."""
    picture = shop.picture("images/p9-0.jpg")
    for asked in (
        {"q": "red mug"}, {"q": "red mug"}, {"q": "red mug", "limit": 3}, {"query": [{"text": "mug"}, {"id": "p1"}]},
        {"filter": {"price": {"lt": 20}}, "facets": ["brand"]}, {"q": "mug", "filter": {"brand": "Nobody"}},
        {"limit": -1},
    ):  # fmt: skip
        client.post("/v1/search", json=asked)
    client.post("/v1/search/image", files={"image": picture})
    client.post("/v1/search/image", files={"image": picture[:300]})
    client.post("/v1/classify", json={"q": "red mug"})
    client.get("/v1/suggest", params={"q": "re"})
    client.get("/v1/products/p1")
    client.get("/v1/products/p1/similar")
    client.get("/v1/products/none")
    client.get("/v1/nowhere")
    written = [{"id": "p1", "price": 3.5, "partial": True}, {"id": "p2", "price": "dear", "partial": True}]
    client.put("/v1/products?wait=true", json={"products": written})
    client.get("/readyz")


@pytest.fixture(scope="module")
def exposed(start, shop):
    """What services expose after all kinds of requests: one that is well, one without its Redis, one that is broken."""
    well = start()
    without_redis = start(redis_url="redis://127.0.0.1:1/0")
    broken = start(encoder=Broken(shop.encoder), lifecycle=Lifecycle(draining=True))
    for client in (well, without_redis, broken):
        ask_all_there_is(client, shop)
    return [client.get("/metrics").text for client in (well, without_redis, broken)]


@pytest.fixture(scope="module")
def samples(exposed):
    """Of each name of a sample, the labels it was seen with."""
    seen = {"up": [{}]}
    for text in exposed:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                seen.setdefault(sample.name, []).append(sample.labels)
    return seen


def expressions():
    """Every expression of the dashboard and the alerts, with where it stands and the labels it is shown with."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"], set(re.findall(r"{{\s*(\w+)\s*}}", annotation["textFormat"]))
    for rule in ALERTS["groups"][0]["rules"]:
        yield rule["alert"], rule["expr"], set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"]))


def faults(expression, shown, samples):
    """Return what `expression` names that no service has."""
    found, labels = [], set(FROM_PROMETHEUS)
    for metric, matchers in expression.selectors:
        series = samples.get(metric)
        if series is None:
            found.append(metric)
            continue
        labels |= set().union(*series)
        for label, operator, wanted in matchers:
            if label in FROM_PROMETHEUS:
                continue
            values = [one[label] for one in series if label in one]
            pattern = re.escape(wanted) if operator == "=" else wanted
            if not values or (operator in {"=", "=~"} and not any(re.fullmatch(pattern, value) for value in values)):
                found.append(f"{metric}{{{label}{operator}{wanted!r}}}")
    return found + sorted((expression.labels | shown) - labels)


@pytest.mark.parametrize(("where", "text", "shown"), [pytest.param(*e, id=e[0]) for e in expressions()])
def test_dashboard_and_alerts_name_what_a_service_exposes(where, text, shown, samples, support):
    expression = support("promql").parse(text)
    assert expression.selectors, where
    assert faults(expression, shown, samples) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("rate(catalens_request_total[5m])", "catalens_request_total"),
        ("sum by (routes) (rate(catalens_requests_total[5m]))", "routes"),
        ('catalens_requests_total{state="200"}', "catalens_requests_total{state='200'}"),
        ('catalens_requests_total{route=~"/v2/.*"}', "catalens_requests_total{route=~'/v2/.*'}"),
        ('catalens_index_info / on (job) group_left (brand) up{job="catalens"}', "brand"),
    ],
)
def test_a_wrong_name_would_be_noticed(text, fault, samples, support):
    assert faults(support("promql").parse(text), set(), samples) == [fault]


def documented():
    """The guide's table of metrics: name, type and labels."""
    guide = (ROOT / "docs" / "observability.md").read_text()
    rows = re.findall(r"^\| `(catalens_\w+)` \| (\w+) \|([^|]*)\| [^|]{15,} \|$", guide, re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def test_the_guide_has_every_metric_with_its_type_and_labels_and_no_other(exposed, samples):
    there = dict(re.findall(r"^# TYPE (catalens_\w+) (\w+)$", "\n".join(exposed), re.MULTILINE))
    written = documented()
    assert {name: kind for name, (kind, _) in written.items()} == there
    for name, (kind, labels) in written.items():
        series = samples.get(f"{name}_count" if kind == "histogram" else name, [])
        assert all(set(one) == labels for one in series), name


def test_searches_say_what_they_were_answered_from(samples, bundle, shop):
    of_bundle = {"bundle": bundle.manifest.id, "model": shop.encoder.name}
    assert {"kind": "text", "filter_strategy": "none", **of_bundle} in samples["catalens_searches_total"]
    assert {"kind": "browse", "filter_strategy": "exact", **of_bundle} in samples["catalens_searches_total"]
    assert {"reason": "corrupt"} in samples["catalens_picture_failures_total"]
    assert [one["status"] for one in samples["catalens_writes_total"]][:2] == ["200", "422"]
    assert {"part": "cache"} in samples["catalens_degraded_answers_total"]


def durations(header):
    """Read `Server-Timing` by its grammar: names and durations."""
    assert re.fullmatch(r"[a-z]+;dur=\d+(\.\d+)?(, [a-z]+;dur=\d+(\.\d+)?)*", header)
    return {name: float(ms) for name, ms in re.findall(r"([a-z]+);dur=([\d.]+)", header)}


def test_an_answered_search_states_its_stages_in_a_header(client):
    answer = client.post("/v1/search", json={"q": "a mug of one's own", "limit": 2})
    assert durations(answer.headers["server-timing"]) == pytest.approx(answer.json()["timings_ms"], abs=1e-3)


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/livez", 200), ("/v1/products/p1", 200), ("/v1/products/none", 404)]
)
def test_every_other_answer_states_its_total(client, path, status):
    began = time.perf_counter()
    answer = client.get(path)
    [(name, ms)] = durations(answer.headers["server-timing"]).items()
    assert (name, answer.status_code) == ("total", status)
    assert 0 < ms < (time.perf_counter() - began) * 1000


@pytest.fixture
def traced(start):
    """Start a service that keeps its spans: a client, and a function that returns the spans so far by name."""

    def started(*, show_queries=False, **settings):
        exporter = InMemorySpanExporter()
        traces = Collected(exporter, show_queries=show_queries)

        def spans():
            traces.provider.force_flush()
            return {span.name: span for span in exporter.get_finished_spans()}

        return start(traces=traces, log_queries=show_queries, **settings), spans

    return started


def test_a_search_is_a_span_of_its_stages_in_the_caller_s_trace(traced, bundle):
    client, spans = traced()
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        answer = client.post(
            "/v1/search",
            json={"q": "a private matter", "filter": {"price": {"lt": 40}}},
            headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
        )
    seen = spans()
    root = seen.pop("POST /v1/search")
    assert root.kind is SpanKind.SERVER
    assert format(root.context.trace_id, "032x") == TRACE
    assert format(root.parent.span_id, "016x") == "b7ad6b7169203331"
    stated = dict(root.attributes)
    assert stated["http.request.method"] == "POST"
    assert stated["http.route"] == stated["url.path"] == "/v1/search"
    assert stated["http.response.status_code"] == 200
    assert stated["catalens.request_id"] == answer.headers["x-request-id"]
    assert stated["catalens.bundle"] == bundle.manifest.id
    assert stated["catalens.found"] == answer.json()["found"]
    assert set(seen) == {"filter", "encode", "batch", "retrieve", "rank"}
    assert {seen[stage].parent.span_id for stage in set(seen) - {"batch"}} == {root.context.span_id}
    assert seen["batch"].parent.span_id == seen["encode"].context.span_id
    assert seen["batch"].attributes["catalens.batch_size"] == 1
    assert seen["encode"].attributes["catalens.cache_misses"] == 1
    for stage in ("filter", "retrieve", "rank"):
        took_ms = (seen[stage].end_time - seen[stage].start_time) / 1e6
        assert took_ms == pytest.approx(answer.json()["timings_ms"][stage], abs=5)
    assert {line["trace_id"] for line in logs if line.get("request_id")} == {TRACE}
    assert "private" not in repr([root.attributes, *(dict(span.attributes) for span in seen.values())])


def test_a_picture_is_decoded_within_the_encoding_and_found_in_the_cache_the_next_time(traced, shop):
    client, spans = traced(result_cache_bytes=0)
    files = {"image": shop.picture("images/p9-0.jpg")}
    client.post("/v1/search/image", files=files)
    first = spans()
    assert first["decode"].parent.span_id == first["encode"].context.span_id
    assert first["batch"].attributes["catalens.batch_kind"] == "image"
    client.post("/v1/search/image", files=files)
    assert spans()["encode"].attributes["catalens.cache_hits"] == 1


def test_an_answer_from_the_cache_says_so(traced):
    client, spans = traced()
    asked = {"q": "a mug, twice"}
    for cached in ("miss", "hit"):
        client.post("/v1/search", json=asked)
        assert spans()["POST /v1/search"].attributes["catalens.result_cache"] == cached


def test_failures_are_told_from_callers_mistakes_and_without_details(traced, shop):
    client, spans = traced(encoder=Broken(shop.encoder))
    client.get("/v1/products/none")
    client.post("/v1/search", json={"q": "red mug"})
    seen = spans()
    mistake, failure = seen["GET /v1/products/{id}"], seen["POST /v1/search"]
    assert mistake.attributes["catalens.problem"] == "not-found"
    assert mistake.status.status_code is StatusCode.UNSET
    assert failure.attributes["catalens.problem"] == "internal-error"
    assert failure.status.status_code is seen["encode"].status.status_code is StatusCode.ERROR
    assert "secret" not in "".join(span.to_json() for span in seen.values())


@pytest.mark.parametrize("shown", [False, True])
def test_words_are_in_spans_only_when_the_settings_ask_for_it(traced, shown):
    client, spans = traced(show_queries=shown)
    client.post("/v1/search", json={"q": "hushhush"})
    client.get("/v1/suggest", params={"q": "hushhush"})
    words = "".join(span.to_json() for span in spans().values())
    assert ("hushhush" in words) is shown
    assert ("q=hushhush" in spans()["GET /v1/suggest"].attributes["url.query"]) is shown


def test_probes_and_requests_not_to_be_sampled_leave_no_spans(traced):
    client, spans = traced()
    for path in ("/livez", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200
    client.post("/v1/search", json={"q": "mug"}, headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"})
    assert spans() == {}


class Collector(ThreadingHTTPServer):
    """A collector that reads what is sent to it, as its protocol says."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.paths, self.requests = [], []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.paths.append((self.path, self.headers["content-type"], self.headers["x-token"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def quick(monkeypatch):
    """Send spans soon, and wait for nobody at the end."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setattr(otlp, "_LAST_S", 0.3)


def test_a_collector_gets_the_spans(shop, bundle, tmp_path, monkeypatch, quick):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=hunter2")
    with Collector() as collector:
        threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        settings = Settings(data_dir=tmp_path, update_log="off", otlp_endpoint=f"{collector.url}/")
        with TestClient(create_app(settings, (shop.encoder, bundle))) as client:
            client.post("/v1/search", json={"q": "red mug"})
        collector.shutdown()
    assert set(collector.paths) == {("/v1/traces", "application/x-protobuf", "hunter2")}
    resources = [resource for request in collector.requests for resource in request.resource_spans]
    names = {
        span.name: format(int.from_bytes(span.trace_id), "032x")
        for resource in resources
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert set(names) == {"POST /v1/search", "filter", "encode", "batch", "retrieve", "rank"}
    assert len(set(names.values())) == 1
    stated = {pair.key: pair.value.string_value for pair in resources[0].resource.attributes}
    assert stated["service.name"] == "catalens"


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_a_dead_collector_slows_nobody_down_and_is_complained_of_once(how, shop, bundle, tmp_path, quick):
    with socket.create_server(("127.0.0.1", 0)) as deaf, capture_logs() as logs:
        port = deaf.getsockname()[1]
        if how == "refuses":
            deaf.close()
        settings = Settings(data_dir=tmp_path, update_log="off", otlp_endpoint=f"http://127.0.0.1:{port}")
        with TestClient(create_app(settings, (shop.encoder, bundle))) as client:
            client.post("/v1/search", json={"q": "red mug"})
            time.sleep(0.1)  # the exporter is at it
            took = []
            for number in range(30):
                began = time.perf_counter()
                assert client.post("/v1/search", json={"q": f"red mug {number}"}).status_code == 200
                took.append(time.perf_counter() - began)
            ended = time.perf_counter()
        assert time.perf_counter() - ended < 5
    assert max(took) < 2  # an attempt to send takes up to ten seconds
    complaints = [line for line in logs if line["event"] == "traces_not_sent" and str(port) in line["detail"]]
    assert len(complaints) == (1 if how == "refuses" else 0)


def test_every_line_of_a_request_says_whose_it_is_and_no_line_tells_a_secret(start, shop):
    secret = "redis://:hunter2@127.0.0.1:1/0"
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        client = start(encoder=Broken(shop.encoder), redis_url=secret, update_log=secret, log_queries=True)
        logs.clear()
        for asked in ({"q": "red mug"}, {"filter": {"price": {"lt": 20}}}, {"limit": -1}):
            client.post("/v1/search", json=asked, headers={"x-request-id": "mine"})
        client.put("/v1/products", json={"products": [{"id": "p1", "delete": True}]}, headers={"x-request-id": "mine"})
    lines = [line for line in logs if line["event"] != "log_unavailable"]  # said by the follower, between requests
    assert {"request", "query", "unexpected_error"} <= {line["event"] for line in lines}
    assert {line.get("request_id") for line in lines} == {"mine"}
    assert "hunter2" not in repr(logs)
