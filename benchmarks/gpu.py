"""Exact search and encoding on a GPU, over what the card can do; on a CPU the same, to see that it runs.

Cost model: a scan reads `2 n d` bytes of vectors once for a batch of queries. The memory's own bandwidth is measured by
copying, which reads and writes every byte. With few queries a scan should take little longer than reading does
(`of_bandwidth` near 1); with more, arithmetic and choosing the best count. A filter that admits a quarter of the rows
or more is masked while all are read, a narrower one picks its rows out first.
"""

import threading
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from benchmarks.record import percentiles, timed_ms
from benchmarks.vectors import Floats, Structured
from indexer.asking import Mask
from indexer.exact_torch import TorchIndex
from indexer.faiss_gpu import cards, has_cagra
from models.encoder import Encoder

K: Final = 100
BATCHES: Final = (1, 8, 64, 256)
SHARES: Final = (None, 0.5, 0.05, 0.001)
CALLERS: Final = 32
IMAGE_BATCHES: Final = (32, 256)
COPIED_BYTES: Final = {"cuda": 4 << 30, "cpu": 256 << 20}


def figures(rows: int, d: int, device: str, encoder: Encoder, repeats: int, seed: int) -> dict[str, Any]:
    """Return bandwidths, queries by the second by batch and filter, and pictures encoded by the second."""
    where = torch.device(device)
    made = Structured(d, seed)
    xb, xq = made.rows(rows), made.queries(max(BATCHES))
    bandwidth = copied_bytes_by_second(where, repeats)
    index = TorchIndex.build(xb, device)
    rng = np.random.default_rng(seed)
    masks = {share: None if share is None else rng.random(rows) < share for share in SHARES}
    scans = [scan(index, xq[:batch], share, masks[share], bandwidth, repeats) for share in SHARES for batch in BATCHES]
    found = {
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu",
        "faiss_cards": cards(),
        "faiss_cagra": has_cagra(),
        "vectors": rows,
        "dimensions": d,
        "k": K,
        "copy_gb_by_s": bandwidth / 1e9,
        "scans": scans,
        "callers": callers(index, xq, repeats),
        "images_by_s": {str(batch): images_by_second(encoder, batch, repeats, seed) for batch in IMAGE_BATCHES},
    }
    index.close()
    return found


def copied_bytes_by_second(device: torch.device, repeats: int) -> float:
    """Return the bytes read and written by the second while memory of the device is copied."""
    size = COPIED_BYTES[device.type]
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return 2 * size / (min(timed_ms(copy, repeats)) / 1e3)


def scan(
    index: TorchIndex, xq: Floats, share: float | None, among: Mask | None, bandwidth: float, repeats: int
) -> dict[str, Any]:
    """Return the time of one search for a batch, queries by the second, and the bandwidth it comes to."""
    times = timed_ms(lambda: index.search(xq, K, among=among), repeats)
    seconds = median(times) / 1e3
    read = index.memory_bytes / seconds
    return {
        "batch": len(xq),
        "admitted": share,
        "ms": percentiles(times),
        "queries_by_s": len(xq) / seconds,
        **({"read_gb_by_s": read / 1e9, "of_bandwidth": read / bandwidth} if among is None else {}),
    }


def callers(index: TorchIndex, xq: Floats, repeats: int) -> dict[str, Any]:
    """Return the searches by the second of many callers, each with one query at a time: what waits is one batch."""
    waits: list[float] = []

    def ask(number: int) -> None:
        for turn in range(repeats):
            at = (number * repeats + turn) % len(xq)
            began = time.perf_counter()
            index.search(xq[at : at + 1], K)
            waits.append((time.perf_counter() - began) * 1e3)

    threads: Sequence[threading.Thread] = [threading.Thread(target=ask, args=(n,)) for n in range(CALLERS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "callers": CALLERS,
        "searches_by_s": CALLERS * repeats / (time.perf_counter() - began),
        "ms": percentiles(waits),
    }


def images_by_second(encoder: Encoder, batch: int, repeats: int, seed: int) -> float:
    """Return the pictures of 224 pixels encoded by the second, batch after batch; resized too, but not decoded."""
    rng = np.random.default_rng(seed)
    pictures = [Image.fromarray(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)) for _ in range(batch)]
    return batch / (median(timed_ms(lambda: encoder.encode_images(pictures), repeats)) / 1e3)
