"""Services in processes of their own, to be attacked, frozen and killed, and looked at from outside.

They are forked from one process that has imported everything: a new interpreter would take most of the time. What a
child runs is `python -m service`, with the flags and in the environment it is given.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import orjson

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0

_ADDRESS = re.compile(r"running on (http://\S+)")

# Reads lines of {"flags": [...], "log": file, "prepare": code}; answers each with the number of a process that runs
# `code` and then serves with `flags`. Where the log is none, the process writes its own to what the code opened.
_NURSERY = """
import os, signal, sys
import orjson
from service.__main__ import main
from service.app import create_app
from service.served import open_artefacts
from service.settings import Settings

said = os.dup(1)
os.dup2(2, 1)
open_artefacts(Settings(data_dir=sys.argv[1], encoder=sys.argv[2], device="cpu", runtime="torch"))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin.buffer:
    asked = orjson.loads(line)
    child = os.fork()
    if not child:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        exec(asked["prepare"], {"__name__": "prepare"})
        main(asked["flags"], prog_name="service")
    os.write(said, b"%d\\n" % child)
"""


class Service:
    """A service that runs in the process `pid` and writes its log lines into the file `log`."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self.address = self._said_address()
        self.client = httpx.Client(base_url=self.address, timeout=PATIENCE_S)

    def _said_address(self) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if found := _ADDRESS.search(self.log.read_text() if self.log.exists() else ""):
                return found.group(1)
            assert self.runs(), self.log.read_text()
            time.sleep(0.02)
        raise AssertionError(f"it did not start: {self.log.read_text()}")

    @property
    def place(self) -> tuple[str, int]:
        """Host and port, for a socket."""
        host, port = self.address.removeprefix("http://").split(":")
        return host, int(port)

    @property
    def lines(self) -> list[dict[str, object]]:
        """What it has logged so far."""
        return [orjson.loads(line) for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]

    def runs(self) -> bool:
        """Return whether the process is there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def end(self, how: int = signal.SIGKILL) -> None:
        """Send the signal and wait until the process is no more."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, how)
        until(lambda: not self.runs())
        self.client.close()

    def resident_mib(self) -> float:
        """Return the memory it holds now."""
        return self._status("VmRSS")

    def peak_mib(self) -> float:
        """Return the most memory it has held since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak be what is held now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
        raise AssertionError(f"no {name}")

    def search(self, **asked: object) -> dict[str, object]:
        """Return the answer to a search, which must be good."""
        answer = self.client.post("/v1/search", json=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def found(self, **asked: object) -> list[str]:
        """Return the ids that a search finds."""
        return [hit["id"] for hit in self.search(**asked)["hits"]]

    def product(self, product_id: str) -> dict[str, object] | None:
        """Return a product and its version, None if there is none."""
        answer = self.client.get(f"/v1/products/{product_id}", params={"version": True})
        assert answer.status_code in {200, 404}, answer.text
        return {**answer.json()["product"], "version": answer.json()["version"]} if answer.status_code == 200 else None

    def products(self) -> dict[str, dict[str, object] | None]:
        """Return all products by id."""
        found = self.search(sort=["id:asc"], limit=100)
        assert len(found["hits"]) == found["found"]
        return {hit["id"]: self.product(hit["id"]) for hit in found["hits"]}

    def put(self, *items: dict[str, object], wait: bool = True) -> httpx.Response:
        """Store changes of products."""
        return self.client.put("/v1/products", params={"wait": wait}, json={"products": items})


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> float:
    """Wait for the condition; return the seconds that took."""
    began = time.perf_counter()
    while not condition():
        assert time.perf_counter() - began < patience_s, "waited in vain"
        time.sleep(0.005)
    return time.perf_counter() - began


# So that what is freed goes back to the system at once, and memory that does not is held by somebody (glibc).
_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(256 << 10), "MALLOC_TRIM_THRESHOLD_": str(256 << 10)}


class Nursery:
    """Starts services over the bundle in `data_dir`, with the encoder in the folder `model`."""

    def __init__(self, data_dir: Path, model: Path, logs: Path) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CATALENS_")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _NURSERY, str(data_dir), str(model)],
            cwd=ROOT,
            env={**clean, **_MEMORY, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._fixed = ("--encoder", model, "--device", "cpu", "--runtime", "torch", "--port", 0, "--drain-ms", 0)
        self._logs = logs
        self._services: list[Service] = []
        self._forked = 0

    def fork(self, *flags: object, prepare: str = "") -> tuple[int, Path]:
        """Return the number of a new process that runs the code `prepare` and then serves, and its log file."""
        self._forked += 1
        log = self._logs / f"service-{self._forked}.log"
        asked = {"flags": list(map(str, (*self._fixed, *flags))), "log": str(log), "prepare": prepare}
        self._process.stdin.write(orjson.dumps(asked) + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline()), log

    def start(self, *flags: object, prepare: str = "") -> Service:
        """Start a service and wait until it answers."""
        self._services.append(Service(*self.fork(*flags, prepare=prepare)))
        return self._services[-1]

    @contextlib.contextmanager
    def running(self, *flags: object, prepare: str = "") -> Iterator[Service]:
        """Start a service that ends with the context."""
        service = self.start(*flags, prepare=prepare)
        try:
            yield service
        finally:
            service.end()

    def close(self) -> None:
        """End all of it."""
        for service in self._services:
            service.end()
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
