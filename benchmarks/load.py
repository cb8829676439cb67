"""Many clients at once against a real service process, words and pictures mixed.

Cost model: a closed loop of `clients` callers on the same cores as the service, each waiting for its answer
before asking again, so the rate is what the machine can do with both, and latency is `clients / rate`. It shows
errors, restarts and memory growth; it is not an open-loop latency figure.
"""

import asyncio
import base64
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import httpx
import numpy as np

from benchmarks.record import percentiles
from benchmarks.server import Server

MEMORY_EVERY_S = 1.0


@dataclass
class Tally:
    """What the clients saw: latencies in milliseconds by kind, and every answer that was not a 200."""

    latencies_ms: dict[str, list[float]] = field(default_factory=lambda: {"text": [], "image": []})
    failures: Counter[str] = field(default_factory=Counter)
    resident_bytes: list[int] = field(default_factory=list)


def requests_of(texts: Sequence[str], pictures: Sequence[bytes], seed: int) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield an endless mix of search requests, three texts for each picture, each unlike the last to any cache."""
    rng = random.Random(seed)
    for number in count():
        if number % 4 == 3:
            data = rng.choice(pictures) + rng.randbytes(8)  # behind the end of the picture: other bytes, same pixels
            yield "image", {"image": {"data": base64.b64encode(data).decode()}}
        else:
            yield "text", {"q": f"{rng.choice(texts)} {rng.randrange(10**6)}"}


async def _client(
    http: httpx.AsyncClient, mix: Iterator[tuple[str, dict[str, object]]], end: float, tally: Tally
) -> None:
    while time.monotonic() < end:
        kind, body = next(mix)
        start = time.perf_counter()
        try:
            answer = await http.post("/v1/search", json=body)
        except httpx.HTTPError as error:
            tally.failures[type(error).__name__] += 1
            continue
        if answer.status_code == httpx.codes.OK:
            tally.latencies_ms[kind].append((time.perf_counter() - start) * 1e3)
        else:
            tally.failures[str(answer.status_code)] += 1


async def _watch_memory(server: Server, end: float, tally: Tally) -> None:
    while time.monotonic() < end:
        tally.resident_bytes.append(server.resident_bytes)
        await asyncio.sleep(MEMORY_EVERY_S)


async def drive(server: Server, clients: int, seconds: float, mix: Iterator[tuple[str, dict[str, object]]]) -> Tally:
    """Run `clients` callers for `seconds` against the service."""
    tally = Tally()
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients)
    base_url = f"http://{server.address.host}:{server.address.port}"
    async with httpx.AsyncClient(base_url=base_url, limits=limits, timeout=30.0) as http:
        callers = [_client(http, mix, end, tally) for _ in range(clients)]
        await asyncio.gather(_watch_memory(server, end, tally), *callers)
    return tally


def figures(tally: Tally, clients: int, seconds: float) -> dict[str, object]:
    """Return the tally as plain figures; memory growth compares the last fifth of the run with its second fifth."""
    memory = np.asarray(tally.resident_bytes, dtype=np.float64)
    fifth = max(1, len(memory) // 5)
    answered = sum(len(values) for values in tally.latencies_ms.values())
    return {
        "clients": clients,
        "seconds": seconds,
        "answered": answered,
        "per_second": answered / seconds,
        "failures": dict(tally.failures),
        "latency_ms": {kind: percentiles(values) for kind, values in tally.latencies_ms.items() if values},
        "resident_mib": {"start": float(memory[0] / 2**20), "end": float(memory[-1] / 2**20)},
        "memory_growth": float(np.median(memory[-fifth:]) / np.median(memory[fifth : 2 * fifth + 1])),
    }
