"""What searches come to in each bundle, and whether a bundle that was swapped in does harm.

After a swap the new bundle's errors, searches that find nothing, and time in its index are compared with those of the
bundle before it, of the minutes before. One that does clearly worse is to be taken back. Moving `current` and swapping
are left to `service.guarding` and `service.swapping`; what a gate can find out before a swap, to `indexer.gate`.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from service.answer import Answer
from service.errors import DeadlineError, ServiceError
from service.settings import Settings

_KEPT: Final = 4_000  # searches remembered of a bundle
_MOST_BUNDLES: Final = 4
_LEAST_FAILURES: Final = 5  # fewer may be chance, whatever share of the searches they are
_SLOWER_BY_S: Final = 0.1  # less is no harm, however many times as long it is
_NOTHING_FOUND: Final = 0.9  # of the searches: harm, where it is not known how many found nothing before


class Reason(StrEnum):
    """Why a bundle is taken back."""

    ERRORS = "errors"
    ZERO_RESULTS = "zero_results"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Harm:
    """What a bundle does worse; `says` has the figures."""

    reason: Reason
    says: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What searches came to.

    Attributes:
        searches: How many.
        failures: Those that were answered by an error of ours.
        errors: Their share.
        fruitless: Share of the answered ones that found nothing.
        p95_s: Seconds in the index that 95 of 100 answered ones took at most; NaN without any.
    """

    searches: int
    failures: int
    errors: float
    fruitless: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class _Search:
    at: float
    failed: bool
    fruitless: bool
    seconds: float


class Signals:
    """Remembers what the latest searches came to, by bundle. All on one event loop.

    Args:
        now: The time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._searches: dict[str, deque[_Search]] = {}

    def answered(self, bundle: str, answer: Answer) -> None:
        """Take note of an answer: what it found, and how long one search of its index took."""
        timings = answer.timings
        seconds = (timings.filter + timings.retrieve + timings.rank) / 1000 / answer.retrievals
        self.note(bundle, fruitless=not answer.found, seconds=seconds)

    def failed(self, bundle: str, error: Exception) -> None:
        """Take note of a search that ended in an error, if it is one of ours: not the caller's, and no refusal."""
        if isinstance(error, DeadlineError) or not isinstance(error, ServiceError):
            self.note(bundle, failed=True)

    def note(self, bundle: str, *, failed: bool = False, fruitless: bool = False, seconds: float = math.nan) -> None:
        """Take note of a search."""
        searches = self._searches.get(bundle)
        if searches is None:
            searches = self._searches[bundle] = deque(maxlen=_KEPT)
            if len(self._searches) > _MOST_BUNDLES:
                del self._searches[next(iter(self._searches))]
        searches.append(_Search(self._now(), failed, fruitless, seconds))

    def of(self, bundle: str, since: float) -> Figures:
        """Return what searches came to since a time."""
        seen = [search for search in self._searches.get(bundle, ()) if search.at >= since]
        answered = [search for search in seen if not search.failed]
        failures = len(seen) - len(answered)
        return Figures(
            searches=len(seen),
            failures=failures,
            errors=failures / max(len(seen), 1),
            fruitless=sum(search.fruitless for search in answered) / max(len(answered), 1),
            p95_s=float(np.percentile([s.seconds for s in answered], 95)) if answered else math.nan,
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """When a bundle is taken back.

    Attributes:
        watch_s: For how long after a swap; 0: never. What came before is looked at as far back.
        least: Searches without which nothing is concluded.
        errors: Share of searches by which errors may rise.
        fruitless: Share of searches by which those that find nothing may rise.
        slowdown: How many times as long the index may take.
    """

    watch_s: float
    least: int
    errors: float
    fruitless: float
    slowdown: float

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return what the settings say."""
        return cls(
            watch_s=settings.rollback_watch_s,
            least=settings.rollback_least_searches,
            errors=settings.rollback_errors,
            fruitless=settings.rollback_zero_results,
            slowdown=settings.rollback_slowdown,
        )


@dataclass(frozen=True, slots=True)
class _Watched:
    bundle: str
    since: float
    before: Figures


class Watch:
    """Says whether the bundle that was swapped in last does harm.

    Args:
        signals: Of all bundles.
        limits: When it does.
        now: The time in seconds, as `signals` have it.
    """

    def __init__(self, signals: Signals, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._signals = signals
        self._limits = limits
        self._now = now
        self._watched: _Watched | None = None

    @property
    def watched(self) -> str | None:
        """The bundle that is watched."""
        return None if self._watched is None else self._watched.bundle

    def begin(self, bundle: str, before: str) -> None:
        """Watch `bundle` from now on, which took the place of `before`."""
        if self._limits.watch_s:
            now = self._now()
            self._watched = _Watched(bundle, now, self._signals.of(before, now - self._limits.watch_s))

    def end(self) -> None:
        """Watch no more."""
        self._watched = None

    def harm(self) -> Harm | None:
        """Return what harm the watched bundle does; None: none that is clear yet."""
        watched, limits = self._watched, self._limits
        if watched is None:
            return None
        found = self._signals.of(watched.bundle, watched.since)
        if found.searches >= limits.least and (harm := _harm(found, watched.before, limits)) is not None:
            return harm
        if self._now() - watched.since > limits.watch_s:
            self.end()
        return None


def _harm(now: Figures, before: Figures, limits: Limits) -> Harm | None:
    """Return what is worse than before by more than it may be; little is held against a bundle if little is known."""
    known = before.searches >= limits.least
    errors = before.errors if known else 0.0
    if now.failures >= _LEAST_FAILURES and now.errors > errors + limits.errors:
        says = f"{now.errors:.1%} of {now.searches} searches failed, {errors:.1%} before"
        return Harm(Reason.ERRORS, says)
    fruitless = before.fruitless + limits.fruitless if known else _NOTHING_FOUND
    if now.fruitless > fruitless:
        was = f"{before.fruitless:.1%} before" if known else f"where {fruitless:.0%} is too much"
        return Harm(Reason.ZERO_RESULTS, f"{now.fruitless:.1%} of {now.searches} searches found nothing, {was}")
    if known and now.p95_s > max(limits.slowdown * before.p95_s, before.p95_s + _SLOWER_BY_S):
        says = (
            f"the index took {now.p95_s * 1e3:.0f} ms (p95 of {now.searches} searches), {before.p95_s * 1e3:.0f} before"
        )
        return Harm(Reason.SLOW, says)
    return None
