"""Goes back by itself from a bundle that does harm: at most once for each, and in one of all processes only."""

import asyncio
from contextlib import suppress
from pathlib import Path

import structlog

from indexer.publish import PublishError, may_be_taken_back, take_back
from service.telemetry import Metrics
from service.watching import Watch

_log = structlog.stdlib.get_logger("catalens.guarding")


class Guard:
    """Moves `current` back when the bundle that was swapped in last does harm.

    Args:
        data_dir: Where `current` is.
        watch: Says whether it does.
        metrics: Told of it.
    """

    def __init__(self, data_dir: Path, watch: Watch, metrics: Metrics) -> None:
        self._data_dir = data_dir
        self._watch = watch
        self._metrics = metrics

    async def swapped(self, bundle: str, before: str) -> None:
        """Watch a bundle that was swapped in, if it was published: what was rolled back to is to stay."""
        self._watch.end()
        with suppress(PublishError, OSError):
            if await asyncio.to_thread(may_be_taken_back, self._data_dir, bundle):
                self._watch.begin(bundle, before)

    async def act(self) -> bool:
        """Go back if there is harm; return whether `current` may have moved."""
        harm, bundle = self._watch.harm(), self._watch.watched
        if harm is None or bundle is None:
            return False
        self._watch.end()
        try:
            entry = await asyncio.to_thread(take_back, self._data_dir, bundle, harm.says)
        except (PublishError, ValueError, OSError) as error:
            _log.error("bundle_not_taken_back", bundle=bundle, reason=harm.says, problem=str(error))
            return False
        if entry is not None:
            self._metrics.rolled_back(harm.reason.value)
            _log.error("bundle_taken_back", bundle=bundle, back_to=entry.bundle, reason=harm.says)
        return True
