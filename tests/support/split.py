"""Processes that share a batch: started with torchrun's environment, each running a snippet of Python."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

SUPPORT = Path(__file__).parent


def environment(**extra: str) -> dict[str, str]:
    """Return this process's environment with one thread and the local network only."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **extra}


def run_shared(code: str, folder: Path, size: int = 2) -> None:
    """Run `code` in `size` processes at once, `FOLDER` and `SUPPORT` being paths it may use."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    head = f"from pathlib import Path\nimport sys\nFOLDER = Path({str(folder)!r})\nsys.path.append({str(SUPPORT)!r})\n"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", head + code],
            stderr=subprocess.PIPE,
            env=environment(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="127.0.0.1", MASTER_PORT=port
            ),
        )
        for rank in range(size)
    ]
    try:
        deadline = time.monotonic() + 300
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            if any(process.poll() for process in running):
                break  # one has failed, and the others would wait for it
            time.sleep(0.05)
    finally:
        for process in running:
            process.kill()
        said = [process.communicate()[1].decode() for process in running]
    assert [process.returncode for process in running] == [0] * size, "\n".join(said)
