"""Follows the update log in a thread of its own, and has the engine answer from the catalogue as it is now.

Every change takes effect as soon as its thread comes to it: milliseconds after it was stored here, and as long after
as it takes to hear of it where another process stored it. The more a step costs, the longer the pause behind it, so
that searches keep most of the processor.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from indexer.live import LiveCatalogue
from indexer.updates import Entry, LogUnavailableError, Position, UpdateLog
from indexer.view import View
from service.telemetry import Metrics

UPDATES: Final = "updates"  # what `degraded` names while the log cannot be read

_MOST_ENTRIES: Final = 1_000  # applied at once
_WAIT_S: Final = 0.5  # for news
_LOOK_S: Final = 1.0  # how often it is looked whether the log is still the same
_PAUSE_S: Final = (0.02, 0.3)
_PAUSE_TIMES: Final = 3.0  # as long as applying took
_RETRY_S: Final = 0.5
_log = structlog.stdlib.get_logger("catalens.updates")


class Follower:
    """Applies what the log holds to a catalogue, until it is closed.

    Args:
        log: what to follow.
        catalogue: what to apply it to.
        show: is given every new view.
        metrics: told how far it has come.
    """

    def __init__(
        self, log: UpdateLog, catalogue: LiveCatalogue, show: Callable[[View], None], metrics: Metrics
    ) -> None:
        self._log = log
        self._catalogue = catalogue
        self._show = show
        self._metrics = metrics
        self._place: Position | None = None
        self._looked = 0.0
        self._available = True
        self._complete = True
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, Callable[[], object]]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="updates", daemon=True)

    @property
    def available(self) -> bool:
        """Whether the log could be read when it was last tried, and has all that the bundle lacks."""
        return self._available and self._complete

    @property
    def view(self) -> View:
        """The catalogue as far as it has come."""
        return self._catalogue.view

    @property
    def applied(self) -> int:
        """The number of the last entry applied."""
        return 0 if self._place is None else self._place.seq

    def start(self) -> None:
        """Apply what is there already, as far as the log can be reached, and go on in the thread."""
        while self._step(0.0):
            pass
        self._thread.start()

    async def reach(self, seq: int) -> None:
        """Wait until the entry of this number is applied."""
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        with self._lock:
            if self.applied >= seq or self._ending.is_set():
                return
            self._waiting.append((seq, lambda: loop.call_soon_threadsafe(event.set)))
        await event.wait()

    def close(self) -> None:
        """End the thread and let go of the log."""
        self._ending.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(10.0)
        self._log.close()

    def _run(self) -> None:
        while not self._ending.is_set():
            began = time.perf_counter()
            if self._step(_WAIT_S):
                least, most = _PAUSE_S
                self._ending.wait(min(most, max(least, _PAUSE_TIMES * (time.perf_counter() - began))))
            elif not self._available:
                self._ending.wait(_RETRY_S)

    def _step(self, wait_s: float) -> bool:
        """Apply the next entries; return whether there were any."""
        try:
            after = self._where()
            entries = self._log.read(after, _MOST_ENTRIES, wait_s)
        except LogUnavailableError as error:
            if self._available:
                _log.warning("log_unavailable", error=str(error))
            self._available = False
            return False
        if not self._available:
            _log.info("log_available_again")
        self._available = True
        if entries:
            self._apply(entries)
        return bool(entries)

    def _where(self) -> int:
        """Return the number of the last entry applied; where the log is another one, of the last the bundle holds."""
        if self._place is not None and self._available and time.monotonic() < self._looked + _LOOK_S:
            return self._place.seq
        tail = self._log.tail()
        self._looked = time.monotonic()
        if self._place is None or self._place.epoch != tail.epoch:
            if self._place is not None:
                _log.warning("log_is_another", before=self._place.epoch, now=tail.epoch)
            self._place = Position(tail.epoch, self._catalogue.start(tail))
            trimmed = self._log.trimmed()
            self._complete = trimmed <= self._place.seq
            if not self._complete:
                _log.error("updates_missing", trimmed=trimmed, bundle_holds=self._place.seq)
        self._metrics.behind(max(0, tail.seq - self._place.seq))
        return self._place.seq

    def _wake(self) -> None:
        """Tell those who wait for an entry that is applied now; all of them, when nothing more will be."""
        with self._lock:
            ready = [wake for seq, wake in self._waiting if seq <= self.applied or self._ending.is_set()]
            self._waiting = [
                waiting for waiting in self._waiting if waiting[0] > self.applied and not self._ending.is_set()
            ]
        for wake in ready:
            wake()

    def _apply(self, entries: list[Entry]) -> None:
        epoch = "" if self._place is None else self._place.epoch
        began = time.perf_counter()
        self._show(self._catalogue.apply(entries))
        self._place = Position(epoch, entries[-1].seq)
        self._wake()
        self._metrics.applied(len(entries), self._catalogue.changed, time.perf_counter() - began)
