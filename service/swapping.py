"""New bundles, while searches go on: served as soon as they are ready, in place of others or beside them.

`current` in the data folder says which bundle answers, `beside.json` which others are served and for what; both are
looked at all the time, so that every process that shares the folder follows them. A bundle that cannot be served leaves
the ones that are as they are, and what is wrong with it is kept to be told. Making a bundle ready is left to
`service.opening`, choosing among what is served to `service.versions`, the gate that a bundle passes before it is
published to `service.judging`, going back from one that does harm to `service.guarding`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from indexer.bundle import BUNDLES, CURRENT, BundleError, current_bundle
from indexer.publish import PublishError, bundle_folder, rollback, rollback_target
from service.beside import FILE as BESIDE
from service.beside import BesideError, read_beside, write_beside
from service.errors import InvalidRequestError, NotFoundError, RefusedBundleError, UnavailableError
from service.guarding import Guard
from service.judging import Judge
from service.memory import give_back
from service.opening import Opener, report_of
from service.settings import Settings
from service.telemetry import Metrics
from service.versions import Beside, Version, Versions

_LAST_ANSWERS_S: Final = 1.0  # for answers from a bundle that is served no more, before its memory goes back
_AGAIN_S: Final = (
    60.0  # after which a bundle that was refused is tried again, should the reason have been a passing one
)
_CATCH_UP_S: Final = 10.0  # at most, for updates
_log = structlog.stdlib.get_logger("catalens.swapping")


class Swapper:
    """Keeps what is served as the data folder says.

    Args:
        settings: Name the folder.
        versions: What is served; changed here and nowhere else.
        opener: Opens what is to be served.
        judge: Publishes what is to be activated.
        metrics: Told of swaps.
        guard: Told of swaps; goes back from what does harm.
    """

    def __init__(
        self,
        settings: Settings,
        versions: Versions,
        opener: Opener,
        judge: Judge,
        metrics: Metrics,
        guard: Guard,
    ) -> None:
        self._settings = settings
        self._judge = judge
        self._data_dir = settings.data_dir
        self._versions = versions
        self._opener = opener
        self._metrics = metrics
        self._guard = guard
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
            await self._publish(path, partial(self._judge.publish, path.name, force=force))

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
            await self._publish(path, partial(asyncio.to_thread, rollback, self._data_dir))

    async def _publish(self, path: Path, move: Callable[[], Awaitable[object]]) -> None:
        """Open a bundle, make it the current one by `move`, and serve it.

        Raises:
            RefusedBundleError: one of these fails; then nothing has changed.
        """
        version = await self._opened(path)
        try:
            await move()
        except (PublishError, ValueError, OSError) as error:  # a gate file that cannot be read is a ValueError
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
            await self._opener.read_synonyms(self._versions.all)
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
            changed_at = self._changed_at(path.name)
            try:
                await self._swap(await self._opened(path))
            except RefusedBundleError as error:
                self._refuse(path.name, error.detail, changed_at)

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
                if await self._guard.act():
                    await self.look()
            except Exception:  # noqa: BLE001 - the task's boundary: what is served stays so
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
        """Return what is served of a bundle, or else the bundle ready to be served.

        Raises:
            RefusedBundleError: it cannot be served.
        """
        served = {version.id: version for version in self._versions.all}
        return served.get(path.name) or await self._opener.open(path)

    async def _swap(self, version: Version) -> None:
        """Answer from `version` from now on; what was seen in the one before is seen in it."""
        before = self._versions.primary
        if before is version:
            return
        async with self._caught_up(version):
            beside = {name: stated for name, stated in self._versions.beside.items() if name != version.id}
            self._versions.change(version, beside)
        report_of(version, before, self._metrics)
        self._metrics.swap("swapped")
        self._forget(version.id)
        _log.info("bundle_swapped", bundle=version.id, before=before.id, products=version.served.bundle.count)
        await self._guard.swapped(version.id, before.id)
        self._retire(before)

    @asynccontextmanager
    async def _caught_up(self, version: Version) -> AsyncIterator[None]:
        """Within the context, a version is no older than what anyone was told is seen; it is to be served there.

        From now on nobody is told of an update before this version has it, too; what they were told of before is waited
        for, but not for ever, should the log be gone.
        """
        before = self._versions.primary.follower
        self._versions.coming = version
        try:
            if version.follower is not None and before is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CATCH_UP_S):
                        await version.follower.reach(before.applied)
            yield
        finally:
            self._versions.coming = None

    async def _arrange(self, roles: Mapping[str, Beside], *, strict: bool) -> None:
        """Serve these beside the primary one; `strict`: or none of them, if one cannot be."""
        beside: dict[str, tuple[Version, Beside]] = {}
        for name, role in roles.items():
            changed_at = self._changed_at(name)
            try:
                if strict or self._is_news(name):
                    version = await self._opened(self._folder(name))
                    async with self._caught_up(version):
                        beside[name] = (version, role)
                        self._versions.change(self._versions.primary, {**self._versions.beside, **beside})
                    self._forget(name)
            except (RefusedBundleError, NotFoundError) as error:
                if strict:
                    raise
                self._refuse(name, error.detail, changed_at)
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

    def _refuse(self, name: str, reason: str, changed_at: float = 0.0) -> None:
        """Keep why what should be served is not, for those who ask; it is not tried again at each look."""
        self._versions.refused[name] = reason
        self._refused_at[name] = (changed_at, time.monotonic())

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


async def _retired(version: Version) -> None:
    await asyncio.to_thread(version.close)
    del version
    await asyncio.sleep(_LAST_ANSWERS_S)
    await asyncio.to_thread(give_back)
