"""A command in a process of its own that stands back: at low priority, on one thread, ended with whoever asked for it.

What takes seconds of Python would, in the process that answers, take every second turn at the interpreter from the
event loop; in another one it takes what is left of the machine.
"""

import asyncio
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Final

_NICENESS: Final = 10
_ERROR: Final = "Error: "


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit status, negative if it was killed, what it printed, and what it complained of."""

    status: int
    said: bytes
    complaint: bytes

    @property
    def reason(self) -> str:
        """Why it failed, in the one line that a command ends with."""
        return self._last.removeprefix(_ERROR)

    @property
    def explained(self) -> bool:
        """Whether it failed as commands do that know why."""
        return self.status == 1 and self._last.startswith(_ERROR)

    @property
    def _last(self) -> str:
        return (self.complaint.decode(errors="replace").strip().splitlines() or [f"exit status {self.status}"])[-1]


async def run_apart(command: Sequence[str], env: Mapping[str, str] = os.environ, limit_s: float | None = None) -> Ended:
    """Run a command to its end; if the caller is cancelled, the command is killed.

    Raises:
        subprocess.TimeoutExpired: it took longer than `limit_s`, and was killed.
    """
    child = _Child(command, {**env, "OMP_NUM_THREADS": "1"}, limit_s)
    # Not by the event loop: it forks, for which a large process stands still.
    running = asyncio.ensure_future(asyncio.to_thread(child.run))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.to_thread(child.end)
        await asyncio.gather(running, return_exceptions=True)
        raise


class _Child:
    """The process, run in a thread that waits for it."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], limit_s: float | None) -> None:
        self._command = command
        self._env = env
        self._limit_s = limit_s
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = True

    def run(self) -> Ended:
        with self._lock:
            if not self._wanted:
                return Ended(-1, b"", b"")
            self._process = process = started(self._command, self._env)
        try:
            said, complaint = process.communicate(timeout=self._limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return Ended(process.returncode, said, complaint)

    def end(self) -> None:
        """End it, or never let it begin."""
        with self._lock:
            self._wanted = False
            if self._process is not None:
                self._process.kill()


def started(command: Sequence[str], env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a command that stands back."""
    process = subprocess.Popen(  # noqa: S603 - callers start their own interpreter
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with suppress(OSError):  # it may have ended
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
    return process
