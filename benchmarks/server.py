"""Servers under test, each a process of its own: started, waited for, asked what they did, and ended."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.wire import Address, Connection, get

READY_S = 120.0
HOST = "127.0.0.1"
TICKS_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    address: Address
    pid: int

    @property
    def cpu_s(self) -> float:
        """Processor seconds its process has taken so far (Linux)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICKS_S

    @property
    def resident_bytes(self) -> int:
        """Resident memory of its process (Linux)."""
        return resident_bytes(self.pid)

    def ask(self, request: bytes, status: int = 200) -> bytes:
        """Return the body of the answer to one request.

        Raises:
            RuntimeError: it is of another status.
        """
        connection = Connection(self.address, timeout_s=60.0)
        try:
            answer = connection.ask(request)
        finally:
            connection.close()
        if answer.status != status:
            msg = f"status {answer.status}: {answer.body[:200]!r}"
            raise RuntimeError(msg)
        return answer.body

    def metric(self, name: str, **labels: str) -> float:
        """Return a sample of `/metrics`, 0 where there is none."""
        for family in text_string_to_metric_families(self.ask(get("/metrics")).decode()):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return 0.0


def resident_bytes(pid: int) -> int:
    """Return the resident memory of process `pid` in bytes (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


@contextmanager
def running_service(
    data_dir: Path, encoder: str, port: int, flags: Sequence[str] = (), cores: frozenset[int] = frozenset()
) -> Iterator[Server]:
    """Start `python -m service`, wait until it is ready, and end it.

    Args:
        data_dir: holds the published bundle.
        encoder: of that bundle.
        port: to listen on.
        flags: more of the service's own.
        cores: that it is held to; none: all.

    Raises:
        RuntimeError: the service ended, or was not ready in time.
    """
    stated = ["--data-dir", str(data_dir), "--encoder", encoder, "--port", str(port), "--log-level", "warning"]
    with running([sys.executable, "-m", "service", *stated, *flags], port, "/readyz", cores) as server:
        yield server


@contextmanager
def running(
    command: Sequence[str], port: int, ready_path: str, cores: frozenset[int] = frozenset()
) -> Iterator[Server]:
    """Start a command that serves HTTP, wait until `ready_path` answers with 200, and end it.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    quiet = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(command, env=quiet, stdout=subprocess.DEVNULL) as process:
        try:
            if cores:
                os.sched_setaffinity(process.pid, cores)
            server = Server(Address(HOST, port), process.pid)
            _wait_until_ready(server, process, ready_path)
            yield server
        finally:
            process.terminate()


def _wait_until_ready(server: Server, process: "subprocess.Popen[bytes]", path: str) -> None:
    end = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end:
        try:
            server.ask(get(path))
        except (OSError, RuntimeError):
            time.sleep(0.2)
        else:
            return
    msg = f"the server did not become ready (exit status {process.poll()})"
    raise RuntimeError(msg)
