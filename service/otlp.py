"""Sends spans to an OpenTelemetry collector: OTLP over HTTP, in batches, from a thread of its own.

Requests never wait for it. What a collector does not take in time is dropped; of its being away, the log says so
once in a while. The only module that needs the packages of the extra `trace`.
"""

import asyncio
import logging
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from service.settings import Settings

_PATH: Final = "/v1/traces"
_LAST_S: Final = 2.0  # for sending what is left when the service ends
_SAY_AGAIN_S: Final = 60.0
_log = structlog.stdlib.get_logger("catalens.traces")


class Collected:
    """Spans on their way to an exporter.

    OpenTelemetry's own variables are heeded: `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*` and, by
    the exporter for a collector, `OTEL_EXPORTER_OTLP_*`.

    Args:
        exporter: Sends a batch of spans.
        show_queries: Whether spans may hold the words that people search for.
    """

    def __init__(self, exporter: SpanExporter, *, show_queries: bool = False) -> None:
        self.provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        if not show_queries:
            self.provider.add_span_processor(_NoQueries())
        self._exporter = exporter
        self.provider.add_span_processor(BatchSpanProcessor(exporter))

    async def close(self) -> None:
        """Send what is left, and give up on a collector that does not take it."""
        closing = threading.Thread(target=self.provider.shutdown, name="traces-end", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _LAST_S)
        if closing.is_alive():
            await asyncio.to_thread(self._exporter.shutdown)  # which ends its waiting to try again


class _NoQueries(SpanProcessor):
    """Takes out of FastAPI's spans what a request's query string says."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        del parent_context
        if span.attributes and "url.query" in span.attributes:
            span.set_attribute("url.query", "REDACTED")


class _Seldom(logging.Handler):
    """Passes on one of OpenTelemetry's complaints a minute: of a dead collector it complains without end."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SAY_AGAIN_S
            _log.warning("traces_not_sent", detail=record.getMessage())


def collector(settings: Settings) -> Collected:
    """Return what sends spans to the collector that `settings` name."""
    logger = logging.getLogger("opentelemetry")
    logger.handlers, logger.propagate = [_Seldom()], False
    endpoint = f"{(settings.otlp_endpoint or '').rstrip('/')}{_PATH}"
    return Collected(OTLPSpanExporter(endpoint=endpoint), show_queries=settings.log_queries)


def _resource() -> Resource:
    try:
        stated = {"service.name": "catalens", "service.version": version("catalens")}
    except PackageNotFoundError:
        stated = {"service.name": "catalens"}
    return Resource.create(stated).merge(OTELResourceDetector().detect())
