"""The app: lifespan, routes, middleware and error handlers put together. No work of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.middleware import Middleware

from indexer.bundle import Bundle
from models.capture.finder import InstanceFinder
from models.encoder import Encoder
from service import problems
from service.admission import Admission, Deadlines
from service.api import bundles, embeddings, health, operating, products, search
from service.api.answering import Kept, Repeats
from service.api.documented import document
from service.api.state import AppState
from service.cache import Cache, InProcessCache, NoCache, RedisCache
from service.elsewhere import search_elsewhere
from service.embed import Embedder
from service.gate import door
from service.guarding import Guard
from service.images import PictureReader
from service.instances import Seeing, finder_of, runs_on
from service.judging import Judge, JudgeHere
from service.lifecycle import Lifecycle
from service.mapping import Maps
from service.middleware import BodyLimit, RawProductPaths, RequestContext
from service.opening import Opener, report_of, start_following
from service.pools import BoundedPool
from service.pressure import Pressure
from service.query import Query, TextPart
from service.readiness import Readiness, probe_row
from service.release import release
from service.results import Results
from service.runtimes import running
from service.search import SearchEngine
from service.served import open_artefacts, serve, shake_hands
from service.settings import Settings
from service.shedding import Shedder, Shedding
from service.swapping import Swapper
from service.synonyms import table_of
from service.telemetry import Metrics, event_loop_watched
from service.tracing import Traces, open_traces, telemetry_of
from service.updates import log_of
from service.versions import Version, Versions
from service.watching import Limits, Signals, Watch
from service.writing import Writer

STOREFRONT: Final = Path(__file__).parent / "storefront"
OPERATOR: Final = Path(__file__).parent / "ops"

Artefacts = tuple[Encoder, Bundle]
Opened = tuple[Encoder, Bundle, InstanceFinder | None]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[AppState]]

_DESCRIPTION: Final = (
    "Product search by words, pictures and both. Errors are RFC 9457 problems; every answer carries `x-request-id`."
)
_log = structlog.stdlib.get_logger("catalens.app")


def create_app(
    settings: Settings,
    artefacts: Artefacts | None = None,
    lifecycle: Lifecycle | None = None,
    traces: Traces | None = None,
    finder: InstanceFinder | None = None,
    judge: Judge | None = None,
) -> FastAPI:
    """Return the app that serves the published bundle of `settings`, or the given encoder and bundle.

    With these, `finder` is what finds products in pictures; None: nothing does. Opening them, where they are not given,
    happens when the app starts; so does warming up. Spans go to the collector of `settings`, or to the given place.
    `judge` is what bundles pass that are to be activated; None: a gate in this process.

    Raises:
        StartupError: the packages that tracing needs are missing.
    """
    metrics = Metrics()
    metrics.running(release(), max_waiting=settings.max_waiting)
    traces = traces or open_traces(settings)
    life = lifecycle or Lifecycle()
    pressure = Pressure(settings.most_wait_ms / 1000)
    kept = Kept(settings.result_cache_bytes // 2)
    shedder = Shedder(
        pressure=pressure, lifecycle=life, known=kept.has, metrics=metrics, timeout_ms=settings.request_timeout_ms
    )
    given = None if artefacts is None else (*artefacts, finder)
    del artefacts
    app = FastAPI(
        title="Catalens",
        version=release(),
        description=_DESCRIPTION,
        lifespan=_observed(_lifespan(settings, given, metrics, life, pressure, judge), metrics, pressure, traces),
        telemetry=telemetry_of(traces),
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(RawProductPaths),
            Middleware(Shedding, shedder=shedder),
            Middleware(RequestContext, metrics, life, traces),
            *door(settings, metrics.registry),
            Middleware(Deadlines, timeout_ms=settings.request_timeout_ms),
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_ms / 1000),
            Middleware(Repeats, metrics=metrics, kept=kept),
            Middleware(Admission, pressure=pressure),
        ],
        form_limits={"max_files": 1, "max_fields": 64, "max_part_size": 1 << 20},
    )
    app.state.shedder = shedder  # for the protocol that reads requests
    routers = [routes.router for routes in (search, embeddings, products, bundles, operating, health)]
    problems.install(app, [route for router in routers for route in router.routes])
    for router in routers:
        app.include_router(router)
    app.frontend("/", directory=STOREFRONT, fallback=None)
    app.frontend("/ops", directory=OPERATOR, fallback=None)
    document(app)
    return app


def _observed(lifespan: Lifespan, metrics: Metrics, pressure: Pressure, traces: Traces | None) -> Lifespan:
    """Return `lifespan` with the event loop being watched, and the last spans sent when it is over."""

    @asynccontextmanager
    async def observed(app: FastAPI) -> AsyncIterator[AppState]:
        async with AsyncExitStack() as closing:
            if traces is not None:
                closing.push_async_callback(traces.close)
            await closing.enter_async_context(event_loop_watched(metrics.loop_late, pressure.late))
            yield await closing.enter_async_context(lifespan(app))

    return observed


def _lifespan(
    settings: Settings,
    artefacts: Opened | None,
    metrics: Metrics,
    life: Lifecycle,
    pressure: Pressure,
    judge: Judge | None,
) -> Lifespan:
    given = [artefacts]  # taken out when the app starts: the bundle of the start may be let go of while it runs
    del artefacts

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[AppState]:
        async with AsyncExitStack() as closing:
            state = await _open(settings, given, metrics, life, pressure, judge, closing)
            _build_routes(app)
            await _warm_up(state)
            yield state

    return lifespan


async def _open(
    settings: Settings,
    given: list[Opened | None],
    metrics: Metrics,
    life: Lifecycle,
    pressure: Pressure,
    judge: Judge | None,
    closing: AsyncExitStack,
) -> AppState:
    """Open what requests need, `given` first, which is emptied; `closing` lets go of it, the latest first."""
    artefacts = given.pop() if given else None
    encoder, bundle, finder = await asyncio.to_thread(_opened, settings) if artefacts is None else artefacts
    del artefacts
    shake_hands(encoder, bundle)
    metrics.encoding({**running(encoder), **runs_on(finder)})
    cache = open_cache(settings)
    closing.push_async_callback(cache.close)
    pictures = PictureReader(settings, metrics)
    closing.callback(pictures.close)
    ranking = BoundedPool("rank", threads=settings.rank_threads, max_waiting=settings.max_waiting)
    closing.callback(ranking.close)
    metrics.watch_depth("rank", lambda: ranking.depth)
    embedder = Embedder(encoder, pictures, settings, metrics, Seeing(finder, cache))
    closing.push_async_callback(embedder.close)
    elsewhere = await asyncio.to_thread(search_elsewhere, bundle, settings)
    version = Version(serve(encoder, bundle, cache, metrics, elsewhere))
    synonyms = await asyncio.to_thread(table_of, settings)
    version.read_with(synonyms.table)
    versions = Versions(version)
    results = Results(_result_cache(settings, cache), metrics)
    metrics.watch_products(lambda: versions.primary.served.bundle.count)
    timeout_ms = settings.request_timeout_ms
    engine = SearchEngine(
        versions, embedder, ranking, pressure, metrics, timeout_ms=timeout_ms, log_queries=settings.log_queries
    )
    readiness = Readiness(engine, embedder, ranking, life, keep_ms=settings.ready_cache_ms, timeout_ms=timeout_ms)
    opener = Opener(settings, engine, cache, metrics, synonyms)
    closing.callback(opener.close)
    signals = Signals()
    guard = Guard(settings.data_dir, Watch(signals, Limits.of(settings)), metrics)
    judge = judge or JudgeHere(settings, lambda: opener.encoder)
    swapper = Swapper(settings, versions, opener, judge, metrics, guard)
    closing.push_async_callback(swapper.close)
    maps = Maps(settings.data_dir)
    closing.push_async_callback(maps.close)
    await start_following(version, bundle, settings, metrics)
    report_of(version, None, metrics)
    swapper.start()
    writer = None
    log = log_of(settings)
    if log is not None:
        limits = (settings.max_waiting, settings.write_timeout_ms / 1000)
        writer = Writer(engine, embedder, pictures, log, versions, metrics, limits)
        closing.push_async_callback(writer.close)
    return {
        "engine": engine,
        "readiness": readiness,
        "metrics": metrics,
        "writer": writer,
        "swapper": swapper,
        "results": results,
        "signals": signals,
        "versions": versions,
        "settings": settings,
        "maps": maps,
    }


def _opened(settings: Settings) -> Opened:
    """Open what `settings` name.

    Raises:
        StartupError: something of it is not there, or is damaged.
    """
    encoder, bundle = open_artefacts(settings)
    return encoder, bundle, finder_of(settings, encoder)


def _build_routes(app: FastAPI) -> None:
    """Have every route ready: the framework builds them, for a tenth of a second, when they are first looked for."""
    nowhere = {"type": "http", "method": "GET", "path": "/-", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(nowhere)


async def _warm_up(state: AppState) -> None:
    """Do everything once that the first request would otherwise wait for, and log whether it works."""
    verdict = await state["readiness"].verdict()
    served = verdict.served
    failed = [f"{check.name}: {check.detail}" for check in verdict.checks if not check.ok]
    if not failed:
        words = TextPart(served.bundle.products[probe_row(served.bundle)].title, 1.0, "q")
        await state["engine"].search(Query((words,), explain=True))
    await asyncio.to_thread(served.bundle.fields.prepare)
    _log.info(
        "started",
        bundle=served.bundle_id,
        model=served.encoder.name,
        products=len(served.bundle.products),
        ready=verdict.ready,
        failed=failed,
    )


def open_cache(settings: Settings) -> Cache:
    """Return the cache that `settings` ask for."""
    if settings.redis_url is not None:
        return RedisCache(
            settings.redis_url.get_secret_value(), timeout_ms=settings.cache_timeout_ms, ttl_s=settings.cache_ttl_s
        )
    return InProcessCache(settings.cache_bytes) if settings.cache_bytes else NoCache()


def _result_cache(settings: Settings, cache: Cache) -> Cache | None:
    """Return where whole answers are kept: in Redis beside query vectors, else in memory of their own."""
    if not settings.result_cache_bytes:
        return None
    return cache if settings.redis_url is not None else InProcessCache(settings.result_cache_bytes // 2)
