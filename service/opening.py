"""A bundle made ready to be served: opened, verified, of the right encoder, brought up to date, warmed with queries."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import structlog

from indexer.bundle import Bundle, BundleError
from models.encoder import Encoder
from models.pacing import standing_back
from service.cache import Cache
from service.elsewhere import search_elsewhere
from service.errors import RefusedBundleError, ServiceError, StartupError
from service.query import Query, TextPart
from service.readiness import NotReadyError, expect_found, probe_row
from service.search import SearchEngine
from service.served import check_name, serve, shake_hands
from service.settings import Settings
from service.synonyms import TableFile
from service.telemetry import Metrics
from service.updates import follow, log_of
from service.versions import Version

P = ParamSpec("P")
R = TypeVar("R")

_TITLES: Final = 16  # queries to warm with where nobody has searched yet
_RESTS: Final = 4  # times as long as a query took, at most, before the next one: while others search, they come first
_LONGEST_REST_S: Final = 0.25
_LOOK_S: Final = 0.003
_log = structlog.stdlib.get_logger("catalens.opening")


class Opener:
    """Opens bundles.

    Args:
        settings: Name the update log.
        engine: Searches in what is to be served, to warm it; while it is busy, the work stands back.
        cache: Of query vectors.
        metrics: Told of what is refused.
        synonyms: What queries are read with.
    """

    def __init__(
        self, settings: Settings, engine: SearchEngine, cache: Cache, metrics: Metrics, synonyms: TableFile
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._cache = cache
        self._metrics = metrics
        self._synonyms = synonyms
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="open")

    @property
    def encoder(self) -> Encoder:
        """The encoder that serves, whatever bundle is served."""
        return self._engine.served.encoder

    async def open(self, path: Path) -> Version:
        """Return the bundle in a folder, ready to be served.

        Raises:
            RefusedBundleError: it cannot be served.
        """
        version = opened = None
        try:
            bundle = await self._behind(Bundle.open, path)
            check_name(path, bundle)
            encoder = self.encoder
            shake_hands(encoder, bundle)
            elsewhere = await self._behind(search_elsewhere, bundle, self._settings)
            version = Version(await self._behind(serve, encoder, bundle, self._cache, self._metrics, elsewhere))
            await self._behind(version.read_with, self._synonyms.table)
            await start_following(version, bundle, self._settings)
            await self._warm(version)
            opened = version
        except (BundleError, StartupError, NotReadyError, RefusedBundleError, OSError) as error:
            self._metrics.swap("refused")
            _log.error("bundle_refused", bundle=path.name, reason=str(error), still=self._engine.served.bundle_id)
            raise RefusedBundleError(str(error), path="id") from error
        finally:
            if opened is None and version is not None:
                await asyncio.to_thread(version.close)
        return opened

    async def read_synonyms(self, versions: Iterable[Version]) -> None:
        """Read queries with the table of synonyms as it is now, in all of these."""
        await asyncio.to_thread(self._synonyms.refresh)
        table = self._synonyms.table
        for version in versions:
            if not version.reads_with(table):
                await self._behind(version.read_with, table)

    async def _behind(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return `call(...)`, computed in the one thread that opens bundles."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, partial(self._stood_back, call, *args, **kwargs)
        )

    def _stood_back(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        with standing_back(lambda: self._engine.busy):
            return call(*args, **kwargs)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _warm(self, version: Version) -> None:
        """Let a bundle answer the latest queries, and find a product of its own."""
        served = version.served
        await self._behind(served.bundle.fields.prepare)
        await self._behind(expect_found, served.bundle, probe_row(served.bundle))
        for query in list(self._engine.recent) or _of_titles(version):
            begun = time.monotonic()
            try:
                await self._engine.rehearse(query, version.served)
            except (ServiceError, TimeoutError):
                continue  # a field that this catalogue does not state, or just now too much to do
            except Exception as error:
                msg = f"a search fails in it: {type(error).__name__}: {error}"
                raise RefusedBundleError(msg) from error
            await self._rest(_RESTS * (time.monotonic() - begun))

    async def _rest(self, most_s: float) -> None:
        """Wait while others search, but for so long at most."""
        for _ in range(int(min(most_s, _LONGEST_REST_S) / _LOOK_S)):
            if not self._engine.busy:
                return
            await asyncio.sleep(_LOOK_S)


async def start_following(version: Version, bundle: Bundle, settings: Settings, metrics: Metrics | None = None) -> None:
    """Have a version apply all that the update log holds, and what comes; nothing where updates are off."""
    log = log_of(settings)
    if log is not None:
        await asyncio.to_thread(follow(version, bundle, log, metrics).start)


def report_of(version: Version, before: Version | None, metrics: Metrics) -> None:
    """Let metrics tell of `version` instead of the one before."""
    if before is not None and before.follower is not None:
        before.follower.metrics = None
    if version.follower is not None:
        version.follower.metrics = metrics
    encoder = version.served.encoder
    metrics.serving(bundle=version.id, model=encoder.name, fingerprint=encoder.fingerprint)


def _of_titles(version: Version) -> Sequence[Query]:
    bundle = version.served.bundle
    rows = range(0, len(bundle.products), max(1, len(bundle.products) // _TITLES))
    return [Query((TextPart(bundle.products[row].title, 1.0, "q"),)) for row in rows][:_TITLES]
