"""Searches at a given rate, with and without a stream of updates beside them, by turns, against one service process.

Cost model: an open loop; a search is due at its time whether or not the earlier ones were answered, and its latency
counts from then, so waiting is not left out. Callers share the cores with the service. Phases without and with updates
alternate, so that whatever else the machine does falls on both.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.load import requests_of
from benchmarks.record import percentiles
from benchmarks.server import running_service
from indexer.bundle import BUNDLES, CURRENT

WARM_UP_S = 3.0
WATCHED = 50
LOOKS, LOOK_S = 500, 0.01


@dataclass(frozen=True, slots=True)
class Streams:
    """What is sent: searches and updates per second, updates in one request, and the share that are whole products."""

    searches: float
    updates: float
    batch: int
    whole: float


@dataclass
class Tally:
    """Latencies in milliseconds from when a request was due, what failed, and how long updates took to be seen."""

    searches_ms: list[float] = field(default_factory=list)
    updates_ms: list[float] = field(default_factory=list)
    seen_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@contextmanager
def lent(data_dir: Path) -> Iterator[Path]:
    """Give a data folder with the same bundles whose updates are its own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / BUNDLES).symlink_to((data_dir / BUNDLES).resolve())
        (Path(folder) / CURRENT).symlink_to((data_dir / CURRENT).readlink())
        yield Path(folder)


def figures(
    data_dir: Path, encoder: str, port: int, streams: Streams, seconds: float, seed: int, products: Sequence[Any]
) -> dict[str, object]:
    """Return latencies of both kinds of phase, and the ratio of their 99th percentiles.

    Args:
        data_dir: holds the published bundle; it is not changed.
        encoder: of that bundle.
        port: for the service.
        streams: what is sent.
        seconds: of each kind of phase, in all; six phases alternate.
        seed: of what is asked and changed.
        products: the bundle's.
    """
    with lent(data_dir) as folder, running_service(folder, encoder, port):
        quiet, busy = asyncio.run(_phases(port, streams, seconds / 3, seed, products))
    return {
        "streams": {"searches_s": streams.searches, "updates_s": streams.updates, "batch": streams.batch},
        "whole_share": streams.whole,
        "without_updates_ms": percentiles(quiet.searches_ms),
        "with_updates_ms": percentiles(busy.searches_ms),
        "p99_ratio": float(np.percentile(busy.searches_ms, 99) / np.percentile(quiet.searches_ms, 99)),
        "update_ms": percentiles(busy.updates_ms),
        "seen_ms": percentiles(busy.seen_ms),
        "updates_sent": len(busy.updates_ms) * streams.batch,
        "failures": quiet.failures + busy.failures,
    }


async def _phases(
    port: int, streams: Streams, seconds: float, seed: int, products: Sequence[Any]
) -> tuple[Tally, Tally]:
    rng = random.Random(seed)
    texts = [product.title for product in products]
    watched, changing = products[:WATCHED], products[WATCHED:]  # what is looked for is not changed meanwhile
    searches = ({"q": body["q"]} for kind, body in requests_of(texts, [b""], seed) if kind == "text")
    quiet, busy = Tally(), Tally()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as http:

        async def search(tally: Tally, due: float) -> None:
            answer = await http.post("/v1/search", json=next(searches))
            tally.searches_ms.append((time.perf_counter() - due) * 1e3)
            if not answer.is_success:
                tally.failures.append(f"search {answer.status_code}")

        async def update(tally: Tally, due: float) -> None:
            changed = [_changed(rng, product, streams.whole) for product in rng.sample(changing, streams.batch)]
            answer = await http.put("/v1/products", json={"products": changed})
            tally.updates_ms.append((time.perf_counter() - due) * 1e3)
            if not answer.is_success or answer.json()["failed"]:
                tally.failures.append(f"update {answer.status_code}: {answer.text[:200]}")

        async def watch(tally: Tally, due: float) -> None:
            """Change one product and look at it until the change is seen."""
            product_id, price = rng.choice(watched).id, float(rng.randrange(10**6))
            await http.put("/v1/products", json={"products": [{"id": product_id, "price": price, "partial": True}]})
            asked = {"filter": {"id": product_id, "price": price}, "limit": 1}
            for _ in range(LOOKS):
                if (await http.post("/v1/search", json=asked)).json()["found"]:
                    tally.seen_ms.append((time.perf_counter() - due) * 1e3)
                    return
                await asyncio.sleep(LOOK_S)
            tally.failures.append(f"a change of {product_id} was not seen")

        await _at_rate(streams.searches, WARM_UP_S, rng, lambda due: search(Tally(), due))
        for _ in range(3):
            await _at_rate(streams.searches, seconds, rng, lambda due: search(quiet, due))
            await asyncio.gather(
                _at_rate(streams.searches, seconds, rng, lambda due: search(busy, due)),
                _at_rate(streams.updates / streams.batch, seconds, rng, lambda due: update(busy, due)),
                _at_rate(0.5, seconds, rng, lambda due: watch(busy, due)),
            )
    return quiet, busy


def _changed(rng: random.Random, product: Any, whole: float) -> dict[str, object]:  # noqa: ANN401 - a Product
    """Return a change: a price and a stock, or for the share `whole` all of a product, with other words."""
    price, in_stock = round(rng.uniform(1, 500), 2), rng.random() < 0.5
    if rng.random() >= whole:
        return {"id": product.id, "price": price, "in_stock": in_stock, "partial": True}
    stated = product.model_dump(mode="json", exclude_none=True)
    return {**stated, "description": f"{product.description} {rng.randrange(1000)}", "price": price}


async def _at_rate(
    per_second: float, seconds: float, rng: random.Random, send: Callable[[float], Awaitable[None]]
) -> None:
    """Send as a Poisson process of a rate for so long, and wait for all answers; `send` gets the time it was due."""
    began = due = time.perf_counter()
    sent = []
    while (due := due + rng.expovariate(per_second)) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        sent.append(asyncio.ensure_future(send(due)))
    await asyncio.gather(*sent)
