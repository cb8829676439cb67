"""The gate before a bundle that is activated: in this process, or in one of its own that stands back.

To judge a bundle is seconds of work in Python, or minutes for a large one, which is better done apart
(`service.apart`). That process loads the encoder once more, on the CPU, for as long.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from indexer.gate import Gate
from indexer.publish import PublishError, publish
from models.encoder import Encoder
from service.apart import run_apart
from service.settings import Settings, variable
from service.updates import log_of


class Judge(Protocol):
    """Publishes bundles that pass the gate."""

    async def publish(self, bundle_id: str, *, force: bool) -> None:
        """Make a bundle the current one if it passes, or in any case with `force`.

        Raises:
            PublishError: it does not pass; says why.
            ValueError: a file of the gate cannot be read.
            OSError: a file of the data folder cannot.
        """
        ...


class JudgeHere:
    """Judges in a thread, with the encoder that serves and the log that is followed.

    Args:
        settings: Name the data folder and the log.
        encoder: Returns the encoder.
    """

    def __init__(self, settings: Settings, encoder: Callable[[], Encoder]) -> None:
        self._settings = settings
        self._encoder = encoder

    async def publish(self, bundle_id: str, *, force: bool) -> None:
        """See `Judge`."""
        await asyncio.to_thread(self._publish, bundle_id, force=force)

    def _publish(self, bundle_id: str, *, force: bool) -> None:
        log = log_of(self._settings)
        try:
            publish(self._settings.data_dir, bundle_id, force=force, gate=Gate(self._encoder(), log=log))
        finally:
            if log is not None:
                log.close()


class JudgeApart:
    """Judges by `python -m indexer publish` in a process of its own.

    Args:
        settings: Name the data folder, the encoder and the log.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def publish(self, bundle_id: str, *, force: bool) -> None:
        """See `Judge`. A process whose caller is cancelled is ended."""
        forced = ["--force"] if force else []
        command = [sys.executable, "-m", "indexer", "publish", bundle_id, "--device", "cpu", "--json", *forced]
        ended = await run_apart(command, self._environment())
        if ended.status:
            raise PublishError(ended.reason)

    def _environment(self) -> dict[str, str]:
        settings = self._settings
        stated = {
            "data_dir": str(Path(settings.data_dir).absolute()),
            "encoder": settings.encoder,
            "update_log": settings.update_log.get_secret_value(),
            "update_log_name": settings.update_log_name,
            "redis_url": settings.redis_url.get_secret_value() if settings.redis_url is not None else None,
        }
        given = {variable(name): value for name, value in stated.items() if value is not None}
        return {**os.environ, **given}
