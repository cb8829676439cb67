"""What every benchmark writes down: the figures, and what made them."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson

OUT = Path("out")
PACKAGES = ("faiss-cpu", "fastapi", "hnswlib", "numpy", "torch", "usearch", "uvicorn")


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
    """Return what a reader needs to judge the figures: command, commit, seed, machine, versions."""
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
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(_total_memory() / 2**30, 1),
        "processor": _processor(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _processor() -> str:
    """Return the processor's own name where Linux tells it, else its architecture."""
    stated = Path("/proc/cpuinfo")
    lines = stated.read_text().splitlines() if stated.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write(name: str, seed: int, figures: Mapping[str, object]) -> Path:
    """Write `out/bench-<name>.json` and return its path."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"bench-{name}.json"
    stated = {"environment": environment(seed), "figures": figures}
    path.write_bytes(orjson.dumps(stated, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))
    return path


def read(name: str) -> dict[str, Any] | None:
    """Return the figures of `out/bench-<name>.json`, None where that has not been measured."""
    path = OUT / f"bench-{name}.json"
    return dict(orjson.loads(path.read_bytes())["figures"]) if path.exists() else None
