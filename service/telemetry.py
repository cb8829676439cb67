"""What the service tells of itself: Prometheus metrics in a registry per app, and structured logs.

Stages carry the same names here as in an answer's `timings_ms`. Texts that people search for are only logged
when the settings ask for it. What each metric means is in docs/observability.md.
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import Final

import orjson
import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from structlog.dev import plain_traceback
from structlog.typing import Processor

from service.errors import ProblemType
from service.settings import LogFormat, LogLevel

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SERVER_TIMING: Final = "server-timing"

# 1 ms to 10 s, the longest that a search may take unless told otherwise; neighbours differ by a factor of two at most.
_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_MOST_BUNDLES: Final = 4  # that have series of their own: those being served, and some that were before
_LOOK_S: Final = 0.05  # between two looks at the event loop
ROLLBACKS: Final = ("errors", "zero_results", "slow")


class Metrics:
    """The metrics of one app, in a registry of their own."""

    def __init__(self) -> None:
        # Prometheus needs no line for each series that says when it began.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own fault
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._bundles: dict[str, None] = {}
        self._shed: dict[tuple[str, str, int], tuple[Counter, Counter]] = {}
        self._requests = self._counter("requests", "Answers given.", "method", "route", "status")
        self._in_flight = self._gauge("requests_in_flight", "Requests being answered.")
        self._problems = self._counter("problems", "Answers that were problems.", "problem")
        for problem in ProblemType:
            self._problems.labels(problem.value)  # 0 until there is one: Prometheus sees no first one appear
        self._latency = self._histogram("request_duration_seconds", "Time to answer.", _SECONDS, "route", "status")
        self._stages = self._histogram("stage_duration_seconds", "Time in a stage.", _SECONDS, "stage")
        self._searches = self._counter("searches", "Searches answered.", "bundle", "model", "kind", "filter_strategy")
        self._search_seconds = self._histogram("search_duration_seconds", "Time of a search.", _SECONDS, "bundle")
        self._fruitless = self._counter("searches_without_hits", "Searches that found nothing.", "bundle")
        self._waits = self._histogram("batch_wait_seconds", "Time until an item's batch began.", _SECONDS, "kind")
        self._batch_sizes = self._histogram("batch_size", "Items encoded at once.", _SIZES, "kind")
        self._batch_seconds = self._histogram("batch_duration_seconds", "Time of a batch.", _SECONDS, "kind")
        self._cache = self._counter("cache_lookups", "Lookups of query vectors.", "result")
        self._results = self._counter("result_cache_lookups", "Lookups of whole answers.", "result")
        self._runtimes = self._gauge("encoder_runtime_info", "1 for what a tower runs on.", "tower", "runtime")
        self._swaps = self._counter("swaps", "Bundles that were to be served.", "outcome")
        self._rollbacks = self._counter("rollbacks", "Bundles that were taken back by this process itself.", "reason")
        for reason in ROLLBACKS:
            self._rollbacks.labels(reason)
        self._shadow = self._histogram(
            "shadow_overlap_ratio", "Of the first ten hits, how many a shadow has, too.", _SHARES, "bundle"
        )
        self._shadow_answers = self._counter("shadow_answers", "Searches that a shadow was asked.", "bundle", "outcome")
        self._degraded = self._counter("degraded_answers", "Answers given without a part.", "part")
        self._unreadable = self._counter("picture_failures", "Pictures that could not be had or read.", "reason")
        self._written = self._counter("writes", "Changes of products asked for.", "status")
        self._depth = self._gauge("queue_depth", "Items waiting or running at a stage.", "stage")
        self._info = self._gauge("index_info", "1 for the index being served.", "bundle", "model", "fingerprint")
        self._products = self._gauge("index_products", "Products in the index being served.")
        self._since = self._gauge("index_start_time_seconds", "When serving the index began, in seconds since 1970.")
        self._most_waiting = self._gauge("queue_limit", "Items that may wait or run at one stage.")
        self._loop_lag = self._histogram("event_loop_lag_seconds", "How late the event loop was.", _SECONDS)
        self._version = self._gauge("build_info", "1 for the release that runs.", "version")
        self._applied = self._counter("updates_applied", "Changes of products applied.")
        self._apply_seconds = self._histogram("updates_apply_duration_seconds", "Time to apply some.", _SECONDS)
        self._changed = self._gauge("updates_rows", "Products changed since the index was built, searched one by one.")
        self._behind = self._gauge("updates_behind", "Changes in the log that are not applied yet.")

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"catalens_{name}", says, labels, registry=self.registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"catalens_{name}", says, labels, registry=self.registry)

    def _histogram(self, name: str, says: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"catalens_{name}", says, labels, registry=self.registry, buckets=buckets)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer; `route` is the template, never the path."""
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(route, str(status)).observe(seconds)

    def answering(self) -> AbstractContextManager[object]:
        """Count a request as being answered within the context."""
        return self._in_flight.track_inprogress()

    def problem(self, problem: ProblemType) -> None:
        """Count one answer that was a problem."""
        self._problems.labels(problem.value).inc()

    def shed(self, method: str, route: str, status: int) -> None:
        """Count one search that was refused unseen; it took no time, which would hide what the others take."""
        asked = (method, route, status)
        if asked not in self._shed:  # finding a series takes several times as long as counting in it
            self._shed[asked] = (
                self._requests.labels(method, route, str(status)),
                self._problems.labels(ProblemType.OVERLOADED.value),
            )
        for series in self._shed[asked]:
            series.inc()

    def search(self, *, bundle: str, model: str, kind: str, strategy: str, found: int, seconds: float) -> None:
        """Count one answered search: what it was answered from, what it was made of, and what it found."""
        self._keep_series_of(bundle)
        self._searches.labels(bundle, model, kind, strategy).inc()
        self._search_seconds.labels(bundle).observe(seconds)
        if not found:
            self._fruitless.labels(bundle).inc()

    def _keep_series_of(self, bundle: str) -> None:
        """Let go of the series of the bundle that has answered nothing for longest, where there are too many."""
        if next(reversed(self._bundles), None) == bundle:
            return
        self._bundles.pop(bundle, None)
        self._bundles[bundle] = None
        self._fruitless.labels(bundle)
        if len(self._bundles) > _MOST_BUNDLES:
            oldest = next(iter(self._bundles))
            del self._bundles[oldest]
            for metric in (self._searches, self._search_seconds, self._fruitless):
                metric.remove_by_labels({"bundle": oldest})

    def stages(self, timings_ms: Mapping[str, float]) -> None:
        """Count the stages of one answer, `{stage: milliseconds}`."""
        for stage, milliseconds in timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1000)

    def batch(self, kind: str, size: int, seconds: float) -> None:
        """Count one batch."""
        self._batch_sizes.labels(kind).observe(size)
        self._batch_seconds.labels(kind).observe(seconds)

    def waited(self, kind: str, seconds: float) -> None:
        """Count the seconds one item waited until its batch began."""
        self._waits.labels(kind).observe(seconds)

    def picture_failed(self, reason: str) -> None:
        """Count one picture that could not be had or read."""
        self._unreadable.labels(reason).inc()

    def written(self, statuses: Iterable[int]) -> None:
        """Count the changes of a batch by what became of them, as HTTP's statuses."""
        for status in statuses:
            self._written.labels(str(status)).inc()

    def loop_late(self, seconds: float) -> None:
        """Count one look at how late the event loop is."""
        self._loop_lag.observe(seconds)

    def running(self, version: str, *, max_waiting: int) -> None:
        """Say which release runs, and how many may wait at one of its stages."""
        self._version.labels(version).set(1)
        self._most_waiting.set(max_waiting)

    def cache(self, result: str) -> None:
        """Count one lookup: `hit`, `miss`, `corrupt` or `unavailable`."""
        self._cache.labels(result).inc()

    def degraded(self, part: str) -> None:
        """Count one answer that went without `part`."""
        self._degraded.labels(part).inc()

    def encoding(self, runtimes: Mapping[str, str]) -> None:
        """Say on what each tower of the encoder runs, tower to runtime."""
        for tower, runtime in runtimes.items():
            self._runtimes.labels(tower, runtime).set(1)

    def swap(self, outcome: str) -> None:
        """Count one bundle that was to be served: `swapped` or `refused`."""
        self._swaps.labels(outcome).inc()

    def rolled_back(self, reason: str) -> None:
        """Count one bundle that was taken back: one of ROLLBACKS."""
        self._rollbacks.labels(reason).inc()

    def shadow(self, bundle: str, overlap: float | None) -> None:
        """Count one answer of a shadow: the share of the primary answer's first ten hits that it has, too.

        None: it had no answer.
        """
        self._shadow_answers.labels(bundle, "failed" if overlap is None else "answered").inc()
        if overlap is not None:
            self._shadow.labels(bundle).observe(overlap)

    def result(self, result: str) -> None:
        """Count one lookup of a whole answer: `hit`, `miss`, `corrupt` or `unavailable`."""
        self._results.labels(result).inc()

    def watch_products(self, count: Callable[[], float]) -> None:
        """Ask `count` for the products being served whenever metrics are read."""
        self._products.set_function(count)

    def watch_depth(self, stage: str, depth: Callable[[], float]) -> None:
        """Ask `depth` for the queue of a stage whenever metrics are read."""
        self._depth.labels(stage).set_function(depth)

    def serving(self, *, bundle: str, model: str, fingerprint: str) -> None:
        """Say which index is served."""
        self._info.clear()
        self._info.labels(bundle, model, fingerprint).set(1)
        self._since.set_to_current_time()

    def applied(self, changes: int, changed: int, seconds: float) -> None:
        """Count changes applied together; `changed` products stand beside the index now."""
        self._applied.inc(changes)
        self._changed.set(changed)
        self._apply_seconds.observe(seconds)

    def behind(self, changes: int) -> None:
        """Say how many changes are not applied yet."""
        self._behind.set(changes)

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)


@asynccontextmanager
async def event_loop_watched(*tell: Callable[[float], None]) -> AsyncIterator[None]:
    """Measure, some times a second, how many seconds the event loop is late, and tell it."""

    async def watch() -> None:
        while True:
            due = time.perf_counter() + _LOOK_S
            await asyncio.sleep(_LOOK_S)
            late_s = max(0.0, time.perf_counter() - due)
            for one in tell:
                one(late_s)

    watching = asyncio.get_running_loop().create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def server_timing(timings_ms: Mapping[str, float]) -> str:
    """Return stages and their milliseconds as the header `Server-Timing` has them (W3C Server Timing, section 3)."""
    return ", ".join(f"{stage};dur={milliseconds:.3f}" for stage, milliseconds in timings_ms.items())


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Send structlog's and the standard library's lines to stderr in one format. For a process's start.

    Our own lines, one for each request, go there straight, past the standard library, in half the time.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *_last(log_format), _encoded],
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(level.value),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last(log_format)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in ("catalens", "uvicorn"):
        logging.getLogger(name).setLevel(level.value.upper())


class _Lines(structlog.BytesLogger):
    """Writes lines to stderr, under the name of a logger."""

    def __init__(self, name: str) -> None:
        super().__init__(sys.stderr.buffer)
        self.name = name

    def msg(self, message: bytes) -> None:
        """Write a line; one that cannot be written is lost, and takes no request with it."""
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _encoded(_: object, __: str, line: object) -> bytes:
    """Return a rendered line as bytes; the last processor's work."""
    return str(line).encode("utf-8", "backslashreplace")


def _json(event: object, default: Callable[[object], object]) -> str:
    try:
        return orjson.dumps(event, default=default).decode()
    except TypeError:  # half a surrogate pair, or a number of a hundred digits
        return json.dumps(event, default=default)


def _last(log_format: LogFormat) -> list[Processor]:
    if log_format is LogFormat.CONSOLE:
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
