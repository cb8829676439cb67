"""One training as a process of its own: alone in its folder, ended with the study, its time counted."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import IO

_LOCK_FILE = "lock"
_POLL_S = 0.1


class StoppedError(ValueError):
    """The study was told to end while a process ran or waited."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How a process ended, and the seconds it took by the clock and of all cores."""

    status: int
    wall_s: float
    cpu_s: float


@contextmanager
def locked(folder: Path, stop: Event) -> Iterator[IO[bytes]]:
    """Wait until no process trains in `folder`, then hold its lock.

    A process given the file keeps the lock for as long as it lives, even when this one is killed.

    Raises:
        StoppedError: `stop` was set meanwhile.
    """
    with (folder / _LOCK_FILE).open("ab") as file:
        while not _try_lock(file):
            if stop.wait(_POLL_S):
                raise StoppedError("stopped while another process trained it")
        yield file


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def run_process(command: Sequence[str], env: Mapping[str, str], log: IO[bytes], lock: IO[bytes], stop: Event) -> Usage:
    """Run `command` to its end, its output going to `log`; when `stop` is set it is terminated."""
    started = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(lock.fileno(),)
    )
    while True:
        if stop.wait(_POLL_S):
            os.kill(process.pid, signal.SIGTERM)  # Popen.terminate() would also reap it, and its usage be lost
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            return Usage(process.returncode, time.monotonic() - started, usage.ru_utime + usage.ru_stime)
