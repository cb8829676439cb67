"""New bundles, while searches go on: opened, verified, brought up to date, warmed with real queries, then served.

`current` in the data folder says which bundle answers, `beside.json` which others are served and for what; both are
looked at all the time, so that every process that shares the folder follows them. A bundle that cannot be served leaves
the ones that are as they are, and what is wrong with it is kept to be told. Choosing among what is served is left to
`service.versions`, the gate that a bundle passes before it is published to `indexer.publish`.
"""

import asyncio
import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from indexer.bundle import BUNDLES, CURRENT, Bundle, BundleError, current_bundle
from indexer.publish import PublishError, bundle_folder, publish, rollback, rollback_target
from service.beside import FILE as BESIDE
from service.beside import BesideError, read_beside, write_beside
from service.cache import Cache
from service.errors import (
    InvalidRequestError,
    NotFoundError,
    RefusedBundleError,
    ServiceError,
    StartupError,
    UnavailableError,
)
from service.query import Query, TextPart
from service.readiness import NotReadyError, expect_found, probe_row
from service.search import SearchEngine
from service.served import check_name, serve, shake_hands
from service.settings import Settings
from service.telemetry import Metrics
from service.updates import follow, log_of
from service.versions import Beside, Version, Versions

_LAST_ANSWERS_S: Final = 1.0  # for answers from a bundle that is served no more, before its memory goes back
_AGAIN_S: Final = (
    60.0  # after which a bundle that was refused is tried again, should the reason have been a passing one
)
_CATCH_UP_S: Final = 10.0  # at most, for updates
_TITLES: Final = 16  # queries to warm with where nobody has searched yet
_log = structlog.stdlib.get_logger("catalens.swapping")


class Swapper:
    """Keeps what is served as the data folder says.

    Args:
        settings: Name the folder.
        versions: What is served; changed here and nowhere else.
        engine: Searches in what is to be served, to warm it.
        cache: Of query vectors.
        metrics: Told of swaps.
    """

    def __init__(
        self, settings: Settings, versions: Versions, engine: SearchEngine, cache: Cache, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._data_dir = settings.data_dir
        self._versions = versions
        self._engine = engine
        self._cache = cache
        self._metrics = metrics
        self._lock = asyncio.Lock()
        self._refused_at: dict[str, tuple[float, float]] = {}
        self._current: str | None = None
        self._unread: frozenset[str] = frozenset()
        self._stated_beside: frozenset[str] = frozenset()
        self._retiring: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at the data folder from now on."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Look no more, and end what follows the update log."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        for version in self._versions.all:
            await asyncio.to_thread(version.close)

    async def activate(self, bundle_id: str, *, force: bool) -> None:
        """Publish a bundle and serve it from now on; with `force`, whatever its report says.

        Raises:
            NotFoundError: there is no such bundle.
            RefusedBundleError: it cannot be served, or its report misses the gate.
        """
        async with self._lock:
            path = self._folder(bundle_id)
            await self._publish(path, partial(publish, self._data_dir, path.name, force=force))

    async def rollback(self) -> None:
        """Publish and serve the bundle that was current before the present one.

        Raises:
            RefusedBundleError: there is none, or it cannot be served.
        """
        async with self._lock:
            try:
                target = await asyncio.to_thread(rollback_target, self._data_dir)
                path = await asyncio.to_thread(bundle_folder, self._data_dir, target)
            except (PublishError, BundleError, OSError) as error:
                raise RefusedBundleError(str(error)) from error
            await self._publish(path, partial(rollback, self._data_dir))

    async def _publish(self, path: Path, move: Callable[[], object]) -> None:
        """Open a bundle, make it the current one by `move`, and serve it.

        Raises:
            RefusedBundleError: one of these fails; then nothing has changed.
        """
        version = await self._opened(path)
        try:
            await asyncio.to_thread(move)
        except (PublishError, BundleError, OSError) as error:
            await self._drop(version)
            raise RefusedBundleError(str(error), path="id") from error
        await self._swap(version)
        await self._follow_beside()

    async def place(self, bundle_id: str, role: Beside | None) -> None:
        """Serve a bundle beside the primary one for what `role` says; None: no more.

        Raises:
            NotFoundError: there is no such bundle.
            InvalidRequestError: it is the primary one, or the shares of all exceed 1.
            RefusedBundleError: it cannot be served.
        """
        async with self._lock:
            name = self._folder(bundle_id).name if role is not None else bundle_id
            roles = {other: stated for other, (_, stated) in self._versions.beside.items()}
            if role is None:
                if roles.pop(name, None) is None:
                    msg = f"Bundle {name!r} is not served beside another."
                    raise NotFoundError(msg, path="id")
            elif name == self._versions.primary.id:
                msg = f"Bundle {name!r} is the primary one already."
                raise InvalidRequestError(msg, path="id")
            else:
                roles[name] = role
            if sum(stated.share for stated in roles.values()) > 1:
                msg = "share: all shares together exceed 1."
                raise InvalidRequestError(msg, path="share")
            await self._arrange(roles, strict=True)
            self._stated_beside = frozenset(roles)
            try:
                await asyncio.to_thread(write_beside, self._data_dir, roles)
            except OSError as error:
                await self._follow_beside()
                msg = f"{BESIDE} cannot be written: {error.strerror}; what is served stays as it was."
                raise UnavailableError(msg) from error

    async def look(self) -> None:
        """Serve what the data folder says now."""
        async with self._lock:
            await self._follow_current()
            await self._follow_beside()
            wanted = {self._current, *self._stated_beside, *self._unread}
            for name in [name for name in self._versions.refused if name not in wanted]:
                self._forget(name)

    async def _follow_current(self) -> None:
        try:
            path = await asyncio.to_thread(current_bundle, self._data_dir)
        except (BundleError, OSError) as error:
            self._refuse(CURRENT, str(error))
            self._current = CURRENT
            return
        self._current = None if path is None else path.name
        if path is not None and path.name != self._versions.primary.id and self._is_news(path.name):
            try:
                await self._swap(await self._opened(path))
            except RefusedBundleError as error:
                self._refuse(path.name, error.detail)

    async def _follow_beside(self) -> None:
        try:
            roles = await asyncio.to_thread(read_beside, self._data_dir)
        except (BesideError, OSError) as error:
            self._refuse(BESIDE, str(error))
            self._unread = frozenset({BESIDE})
            return
        self._unread = frozenset()
        if roles.pop(self._versions.primary.id, None) is not None:
            with suppress(OSError):  # what the file says of the primary bundle is of no account
                await asyncio.to_thread(write_beside, self._data_dir, roles)
        self._stated_beside = frozenset(roles)
        served = {name: role for name, (_, role) in self._versions.beside.items()}
        changed = [name for name in {*roles, *served} if roles.get(name) != served.get(name)]
        if any(self._is_news(name) for name in changed):
            await self._arrange(roles, strict=False)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.watch_ms / 1000)
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - the task's boundary: what is served stays so, and the next look may do better
                _log.exception("look_failed")

    def _folder(self, bundle_id: str) -> Path:
        try:
            folder = bundle_folder(self._data_dir, bundle_id)
        except BundleError:
            folder = None
        if folder is None or folder.name != bundle_id:
            msg = f"There is no bundle {bundle_id!r}."
            raise NotFoundError(msg, path="id")
        return folder

    def _is_news(self, name: str) -> bool:
        """Return whether a bundle was not refused before as it is now, or so long ago that it may have been chance."""
        if name not in self._refused_at:
            return True
        changed_at, refused_at = self._refused_at[name]
        return changed_at != self._changed_at(name) or time.monotonic() > refused_at + _AGAIN_S

    async def _opened(self, path: Path) -> Version:
        """Return a bundle ready to be served: verified, of this encoder, up to date, and warm.

        Raises:
            RefusedBundleError: it cannot be served.
        """
        if path.name in self._versions.beside:
            return self._versions.beside[path.name][0]
        if path.name == self._versions.primary.id:
            return self._versions.primary
        version = opened = None
        try:
            bundle = await asyncio.to_thread(Bundle.open, path)
            check_name(path, bundle)
            encoder = self._engine.served.encoder
            shake_hands(encoder, bundle)
            version = Version(await asyncio.to_thread(serve, encoder, bundle, self._cache, self._metrics))
            await start_following(version, bundle, self._settings)
            await self._warm(version)
            opened = version
        except (BundleError, StartupError, NotReadyError, RefusedBundleError, OSError) as error:
            self._metrics.swap("refused")
            _log.error("bundle_refused", bundle=path.name, reason=str(error), still=self._versions.primary.id)
            raise RefusedBundleError(str(error), path="id") from error
        finally:
            if opened is None and version is not None:
                await asyncio.to_thread(version.close)
        return opened

    async def _warm(self, version: Version) -> None:
        """Let a bundle answer the latest queries, and find a product of its own."""
        served = version.served
        await asyncio.to_thread(served.bundle.fields.prepare)
        await asyncio.to_thread(expect_found, served.bundle, probe_row(served.bundle))
        for query in list(self._engine.recent) or _of_titles(version):
            try:
                await self._engine.rehearse(query, version.served)
            except (ServiceError, TimeoutError):
                continue  # a field that this catalogue does not state, or just now too much to do
            except Exception as error:
                msg = f"a search fails in it: {type(error).__name__}: {error}"
                raise RefusedBundleError(msg) from error

    async def _swap(self, version: Version) -> None:
        """Answer from `version` from now on; what was seen in the one before is seen in it."""
        before = self._versions.primary
        if before is version:
            return
        await self._catch_up(version)
        beside = {name: stated for name, stated in self._versions.beside.items() if name != version.id}
        self._versions.change(version, beside)
        report_of(version, before, self._metrics)
        self._metrics.swap("swapped")
        self._forget(version.id)
        _log.info("bundle_swapped", bundle=version.id, before=before.id, products=version.served.bundle.count)
        self._retire(before)

    async def _catch_up(self, version: Version) -> None:
        """Wait until a version has applied all that the primary one has; not for ever, should the log be gone."""
        before = self._versions.primary.follower
        with suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP_S):
                while version.follower is not None and before is not None:
                    if version.follower.applied >= before.applied:
                        return
                    await version.follower.reach(before.applied)

    async def _arrange(self, roles: Mapping[str, Beside], *, strict: bool) -> None:
        """Serve these beside the primary one; `strict`: or none of them, if one cannot be."""
        beside: dict[str, tuple[Version, Beside]] = {}
        for name, role in roles.items():
            try:
                if strict or self._is_news(name):
                    version = await self._opened(self._folder(name))
                    await self._catch_up(version)
                    beside[name] = (version, role)
                    self._forget(name)
            except (RefusedBundleError, NotFoundError) as error:
                if strict:
                    raise
                self._refuse(name, error.detail)
        gone = [version for name, (version, _) in self._versions.beside.items() if name not in beside]
        self._versions.change(self._versions.primary, beside)
        for version in gone:
            self._retire(version)

    async def _drop(self, version: Version) -> None:
        if version not in self._versions.all:
            await asyncio.to_thread(version.close)

    def _retire(self, version: Version) -> None:
        """Let go of a version; its memory goes back when the last answer from it is given."""
        task = asyncio.get_running_loop().create_task(_retired(version))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _refuse(self, name: str, reason: str) -> None:
        """Keep why what should be served is not, for those who ask; it is not tried again at each look."""
        self._versions.refused[name] = reason
        self._refused_at[name] = (self._changed_at(name), time.monotonic())

    def _forget(self, name: str) -> None:
        """Tell no more of what was refused: it is served now, or need not be."""
        self._versions.refused.pop(name, None)
        self._refused_at.pop(name, None)

    def _changed_at(self, name: str) -> float:
        """Return when anything of a bundle was last written."""
        folder = self._data_dir / BUNDLES / name
        try:
            return max(entry.stat().st_mtime for entry in (folder, *folder.rglob("*")))
        except OSError:
            return 0.0


async def start_following(version: Version, bundle: Bundle, settings: Settings) -> None:
    """Have a version apply all that the update log holds, and what comes; nothing where updates are off."""
    log = log_of(settings)
    if log is not None:
        await asyncio.to_thread(follow(version, bundle, log).start)


def report_of(version: Version, before: Version | None, metrics: Metrics) -> None:
    """Let metrics tell of `version` instead of the one before."""
    if before is not None and before.follower is not None:
        before.follower.metrics = None
    if version.follower is not None:
        version.follower.metrics = metrics
    served = version.served
    metrics.serving(
        bundle=served.bundle_id,
        model=served.encoder.name,
        fingerprint=served.encoder.fingerprint,
        products=served.bundle.count,
    )


async def _retired(version: Version) -> None:
    await asyncio.to_thread(version.close)
    del version
    await asyncio.sleep(_LAST_ANSWERS_S)
    await asyncio.to_thread(_give_back)


def _give_back() -> None:
    """Return freed memory to the system, where the C library can (glibc)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _of_titles(version: Version) -> Sequence[Query]:
    bundle = version.served.bundle
    rows = range(0, len(bundle.products), max(1, len(bundle.products) // _TITLES))
    return [Query((TextPart(bundle.products[row].title, 1.0, "q"),)) for row in rows][:_TITLES]
