"""What a request's trace shows below the request itself: the stages of a search, and what took place within them.

The span of the request is FastAPI's. Where a request is not traced, each function here looks up one variable and
returns. Where spans go to is left to `service.otlp`, which is only imported when the settings name a collector.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode, Tracer, TracerProvider

from service.batching import Stay
from service.errors import StartupError
from service.settings import Settings

Value = str | bool | int | float | Sequence[str]

PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that are asked all the time, and never traced."""

_PREFIX: Final = "catalens."
_MOST_WITHIN: Final = 64  # spans of one request besides its stages: a write has a thousand items


class Traces(Protocol):
    """Where the spans of an app go."""

    @property
    def provider(self) -> TracerProvider:
        """What makes them."""
        ...

    async def close(self) -> None:
        """Send what is left, as far as that is quickly done."""
        ...


def open_traces(settings: Settings) -> Traces | None:
    """Return what sends spans to the collector that the settings name; None where they name none.

    Raises:
        StartupError: the packages for it are not installed.
    """
    if settings.otlp_endpoint is None:
        return None
    try:
        from service.otlp import collector  # noqa: PLC0415 - optional packages, and nobody else is to wait for them
    except ImportError as error:
        msg = f"traces need the packages of the extra `trace`: pip install 'catalens[trace]' ({error})"
        raise StartupError(msg) from error
    return collector(settings)


def telemetry_of(traces: Traces | None) -> TelemetryConfig:
    """Return how FastAPI is to trace requests: as these say, or not at all, whatever the process has set up.

    Its own metrics and logs stay off: Catalens has its own, and FastAPI's may hold what people search for.
    """
    config = TelemetryConfig(metrics=False, logs=False, operation_spans=False, auto_configure=False)
    if traces is None:
        return {**config, "tracing": False}
    return {**config, "tracer_provider": traces.provider, "exclude": lambda scope: scope["path"] in PROBES}


class _Below:
    """The spans below that of one request. All on one event loop."""

    def __init__(self, tracer: Tracer, request: Span) -> None:
        self._tracer = tracer
        self._request = request
        self._context: Context = trace.set_span_in_context(request)
        self._stage: Span | None = None
        self._counts: dict[str, int] = {}
        self._within = 0

    def stage(self, name: str) -> None:
        self.end()
        self._stage = self._tracer.start_span(name, self._context)

    def end(self, at_ns: int | None = None) -> None:
        if self._stage is not None:
            self._stage.end(at_ns)
        self._stage, self._counts = None, {}

    def last(self, name: str, seconds: float) -> None:
        began = time.time_ns() - _ns(seconds)
        self.end(began)
        self._tracer.start_span(name, self._context, start_time=began).end()

    def within(self, name: str, seconds: float, **attributes: Value) -> None:
        self._within += 1
        if self._within > _MOST_WITHIN:
            self._request.set_attribute(f"{_PREFIX}spans_left_out", self._within - _MOST_WITHIN)
            return
        parent = self._context if self._stage is None else trace.set_span_in_context(self._stage)
        now = time.time_ns()
        self._tracer.start_span(name, parent, attributes=_named(attributes), start_time=now - _ns(seconds)).end(now)

    def count(self, what: str) -> None:
        self._counts[what] = self._counts.get(what, 0) + 1
        (self._stage or self._request).set_attribute(f"{_PREFIX}{what}", self._counts[what])

    def note(self, **attributes: Value) -> None:
        self._request.set_attributes(_named(attributes))

    def answer(self, status: int, method: str, route: str | None) -> None:
        if route is not None:  # FastAPI says so as well, but of what it routes only
            self._request.update_name(f"{method} {route}")
            self._request.set_attribute("http.route", route)
        if self._stage is not None and status >= 500:
            self._stage.set_status(StatusCode.ERROR)
        self.end()


_below: ContextVar[_Below | None] = ContextVar("catalens_spans", default=None)


@contextmanager
def below_request(traces: Traces | None, request_id: str) -> Iterator[dict[str, str]]:
    """Let the functions of this module work for FastAPI's span of a request, if it is traced.

    Gives what log lines are to say of the trace: its `trace_id`; nothing where there is none.
    """
    span = trace.get_current_span()
    context = span.get_span_context()
    if traces is None or not context.is_valid:
        yield {}
        return
    said = {"trace_id": trace.format_trace_id(context.trace_id)}
    if not span.is_recording():  # the caller, or the share of requests to trace, says no
        yield said
        return
    below = _Below(traces.provider.get_tracer("catalens"), span)
    below.note(request_id=request_id)
    token = _below.set(below)
    try:
        yield said
    finally:
        below.end()
        _below.reset(token)


@contextmanager
def aside() -> Iterator[None]:
    """Let what is done within the context be no part of the request, even if one brought it about."""
    token = _below.set(None)
    try:
        yield
    finally:
        _below.reset(token)


def stage(name: str) -> None:
    """Begin a stage of the request; the one before it ends."""
    if (below := _below.get()) is not None:
        below.stage(name)


def last_stage(name: str, seconds: float) -> None:
    """End the stage that runs: its last `seconds` were a stage of their own."""
    if (below := _below.get()) is not None:
        below.last(name, seconds)


def within(name: str, seconds: float, **attributes: Value) -> None:
    """Note what has just ended and took `seconds`, as a part of the stage that runs."""
    if (below := _below.get()) is not None:
        below.within(name, seconds, **attributes)


def batch(stay: Stay) -> None:
    """Note that an item of the request was computed in a batch."""
    if (below := _below.get()) is not None:
        waited_ms = round(stay.waited_s * 1000, 3)
        below.within("batch", stay.ran_s, batch_kind=stay.name, batch_size=stay.size, batch_waited_ms=waited_ms)


def count(what: str) -> None:
    """Count one more of something in the stage that runs: a cache hit."""
    if (below := _below.get()) is not None:
        below.count(what)


def note(**attributes: Value) -> None:
    """Say something of the whole request."""
    if (below := _below.get()) is not None:
        below.note(**attributes)


def answer(status: int, method: str, route: str | None) -> None:
    """End the stage that runs, for the answer is on its way; it failed where the answer is an error of ours."""
    if (below := _below.get()) is not None:
        below.answer(status, method, route)


def _named(attributes: dict[str, Value]) -> dict[str, Value]:
    return {f"{_PREFIX}{name}": value for name, value in attributes.items()}


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
