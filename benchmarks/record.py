"""What every benchmark writes down: the figures, and what made them."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import orjson

OUT = Path("out")


def timed_ms(call: Callable[[], object], repeats: int, warmup: int = 2) -> list[float]:
    """Return the milliseconds of each of `repeats` calls, after `warmup` calls that are not counted."""
    for _ in range(warmup):
        call()
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        spent.append((time.perf_counter() - start) * 1e3)
    return spent


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 of `values`, in their unit."""
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99)}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median with the fastest and slowest, in their unit."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def environment(seed: int) -> dict[str, object]:
    """Return what a reader needs to judge the figures: command, commit, seed, processor, versions."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - git is found on the PATH like any tool
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "command": " ".join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "commit": commit or None,
        "seed": seed,
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def write(name: str, seed: int, figures: Mapping[str, object]) -> Path:
    """Write `out/bench-<name>.json` and return its path."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"bench-{name}.json"
    path.write_bytes(orjson.dumps({"environment": environment(seed), "figures": figures}, option=orjson.OPT_INDENT_2))
    return path
