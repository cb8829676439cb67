"""Threads that work beside the event loop give way to it: answers, and refusals, then leave on time under any load."""

import os
import threading
from contextlib import suppress
from typing import Final

WORK: Final = 5
"""Niceness of threads whose work somebody waits for."""

BACKGROUND: Final = 10
"""Niceness of threads that bring things up to date."""


def give_way(niceness: int = WORK) -> None:
    """Let the calling thread have the processor after the event loop; where threads have no priority, do nothing.

    On Linux alone priorities are a thread's own: elsewhere this would slow the whole process.
    """
    if os.uname().sysname == "Linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
