"""Follows the update log in a thread of its own, and has the engine answer from the catalogue as it is now.

Every change takes effect as soon as its thread comes to it: milliseconds after it was stored here, and as long after
as it takes to hear of it where another process stored it. The more a step costs, the longer the pause behind it, so
that searches keep most of the processor.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
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
_PAUSE_S: Final = (0.1, 0.3)
_PAUSE_TIMES: Final = 3.0  # as long as applying took
_RETRY_S: Final = 0.5
_log = structlog.stdlib.get_logger("catalens.updates")


class Follower:
    """Applies what the log holds to a catalogue, until it is closed.

    Args:
        log: what to follow.
        catalogue: what to apply it to.
        show: is given every new view.
        metrics: told how far it has come; None while nobody wants to know.

    Attributes:
        coming: how far the view has come that is being shown, or was last.
    """

    def __init__(
        self, log: UpdateLog, catalogue: LiveCatalogue, show: Callable[[View], None], metrics: Metrics | None
    ) -> None:
        self.coming: Position | None = None
        self._log = log
        self._catalogue = catalogue
        self._show = show
        self.metrics = metrics
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
    def closed(self) -> bool:
        """Whether it follows no more."""
        return self._ending.is_set()

    @property
    def view(self) -> View:
        """The catalogue as far as it has come."""
        return self._catalogue.view

    @property
    def applied(self) -> int:
        """The number of the last entry applied."""
        return 0 if self._place is None else self._place.seq

    def start(self) -> None:
        """Apply what is there already, as far as the log can be reached, and go on in the thread.

        What comes meanwhile is the thread's: it may come faster than it is applied.
        """
        try:
            end = self._log.tail().seq
        except LogUnavailableError:
            end = 0
        while self._step(0.0) and self.applied < end:
            pass
        self._thread.start()

    async def reach(self, seq: int) -> None:
        """Wait until the entry of this number is applied."""
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        with self._lock:
            if self.applied >= seq or self._ending.is_set():
                return
            self._waiting.append((seq, partial(_set, event, loop)))
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
            took_s = self._step(_WAIT_S)
            if took_s:
                least, most = _PAUSE_S
                self._ending.wait(min(most, max(least, _PAUSE_TIMES * took_s)))
            elif not self._available:
                self._ending.wait(_RETRY_S)

    def _step(self, wait_s: float) -> float:
        """Apply the next entries; return the seconds that took, 0 if there were none."""
        try:
            after = self._where()
            entries = self._log.read(after, _MOST_ENTRIES, wait_s)
        except LogUnavailableError as error:
            if self._available:
                _log.warning("log_unavailable", error=str(error))
            self._available = False
            return 0.0
        except Exception:  # noqa: BLE001 - the thread's boundary: it tries again, and `degraded` tells
            if self._available:
                _log.exception("log_unreadable")
            self._available = False
            return 0.0
        if not self._available:
            _log.info("log_available_again")
        self._available = True
        return self._apply(entries) if entries else 0.0

    def _where(self) -> int:
        """Return the number of the last entry applied; where the log is another one, of the last the bundle holds.

        A log that ends before what was applied lost some, as a Redis may that is not durable: it is another one, too.
        """
        if self._place is not None and self._available and time.monotonic() < self._looked + _LOOK_S:
            return self._place.seq
        tail = self._log.tail()
        self._looked = time.monotonic()
        if self._place is None or self._place.epoch != tail.epoch or tail.seq < self._place.seq:
            before, self.coming = self._place, Position(tail.epoch, min(tail.seq, self._catalogue.start(tail)))
            if before is not None:
                _log.warning("log_is_another", before=str(before), now=str(tail))
                self._show(self._catalogue.reset())
            self._place = self.coming
            self._complete = True
        trimmed = self._log.trimmed()
        if self._complete and trimmed > self._place.seq:
            self._complete = False
            _log.error("updates_missing", trimmed=trimmed, applied=self._place.seq)
        if self.metrics is not None:
            self.metrics.behind(max(0, tail.seq - self._place.seq))
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

    def _apply(self, entries: Sequence[Entry]) -> float:
        """Apply some entries, tell who waits for them, and return the seconds that took."""
        epoch = "" if self._place is None else self._place.epoch
        began = time.perf_counter()
        view = self._applied(entries)
        self.coming = Position(epoch, entries[-1].seq)
        self._show(view)
        self._place = self.coming
        self._wake()
        took_s = time.perf_counter() - began
        if self.metrics is not None:
            self.metrics.applied(len(entries), self._catalogue.changed, took_s)
        return took_s

    def _applied(self, entries: Sequence[Entry]) -> View:
        """Return the catalogue with `entries`, without one that cannot be applied: it holds none of the others up."""
        try:
            return self._catalogue.apply(entries)
        except Exception:  # noqa: BLE001 - the thread's boundary: it goes on, and `degraded` tells
            if len(entries) > 1:
                for entry in entries:
                    self._applied([entry])
            else:
                self._complete = False
                _log.exception("update_not_applied", seq=entries[0].seq, product_id=entries[0].product_id)
            return self._catalogue.view


def _set(event: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    """Set the event of one who waits in `loop`; where that has ended meanwhile, nobody does."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)
