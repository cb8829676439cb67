"""What the service tells of itself: Prometheus metrics in a registry per app, and structured logs.

Stages carry the same names here as in an answer's `timings_ms`. Texts that people search for are only logged
when the settings ask for it.
"""

import logging
import sys
from collections.abc import Callable, Mapping

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from structlog.dev import plain_traceback
from structlog.typing import Processor

from service.settings import LogFormat, LogLevel

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = self._counter("requests", "Answers given.", "method", "route", "status")
        self._latency = self._histogram("request_duration_seconds", "Time to answer.", _SECONDS, "route", "status")
        self._stages = self._histogram("stage_duration_seconds", "Time in a stage.", _SECONDS, "stage")
        self._batch_sizes = self._histogram("batch_size", "Items encoded at once.", _SIZES, "kind")
        self._batch_seconds = self._histogram("batch_duration_seconds", "Time of a batch.", _SECONDS, "kind")
        self._cache = self._counter("cache_lookups", "Lookups of query vectors.", "result")
        self._degraded = self._counter("degraded_answers", "Answers given without a part.", "part")
        self._depth = self._gauge("queue_depth", "Items waiting or running at a stage.", "stage")
        self._info = self._gauge("index_info", "1 for the index being served.", "bundle", "model", "fingerprint")
        self._products = self._gauge("index_products", "Products in the index being served.")
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

    def stages(self, timings_ms: Mapping[str, float]) -> None:
        """Count the stages of one answer, `{stage: milliseconds}`."""
        for stage, milliseconds in timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1000)

    def batch(self, kind: str, size: int, seconds: float) -> None:
        """Count one batch."""
        self._batch_sizes.labels(kind).observe(size)
        self._batch_seconds.labels(kind).observe(seconds)

    def cache(self, result: str) -> None:
        """Count one lookup: `hit`, `miss`, `corrupt` or `unavailable`."""
        self._cache.labels(result).inc()

    def degraded(self, part: str) -> None:
        """Count one answer that went without `part`."""
        self._degraded.labels(part).inc()

    def watch_depth(self, stage: str, depth: Callable[[], float]) -> None:
        """Ask `depth` for the queue of a stage whenever metrics are read."""
        self._depth.labels(stage).set_function(depth)

    def serving(self, *, bundle: str, model: str, fingerprint: str, products: int) -> None:
        """Say which index is served."""
        self._info.clear()
        self._info.labels(bundle, model, fingerprint).set(1)
        self.products(products)

    def products(self, count: int) -> None:
        """Say how many products are served."""
        self._products.set(count)

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


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Send structlog's and the standard library's lines to stderr in one format. For a process's start."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
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


def _last(log_format: LogFormat) -> list[Processor]:
    if log_format is LogFormat.CONSOLE:
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
