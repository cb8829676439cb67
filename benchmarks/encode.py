"""Encoding alone: milliseconds for each text and picture, by batch size, and on every runtime there is here.

Cost model: one call of the encoder, decoding left out. Larger batches use the cores better until they no longer
fit the caches; a single item is what one shopper waits for. Runtimes take turns, call by call, so that what else
the machine does meets them all alike: read the ratios.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from PIL.Image import Image

from benchmarks.record import spread, timed_ms
from models.encoder import Encoder, Vectors
from models.runtime.artefacts import Artefacts
from models.runtime.encoders import TowerEncoder
from models.runtime.names import RuntimeName, RuntimeUnavailableError, TowerKind
from models.runtime.opening import Source

BATCHES = (1, 8, 32)
RUNTIME_BATCHES = (1, 32)


def figures(encoder: Encoder, texts: Sequence[str], images: Sequence[Image], repeats: int) -> dict[str, object]:
    """Return the median, fastest and slowest milliseconds of a call, by kind and batch size, and by runtime."""
    rows: dict[str, object] = {}
    for batch in BATCHES:
        some_texts = [texts[i % len(texts)] for i in range(batch)]
        some_images = [images[i % len(images)] for i in range(batch)]
        rows[f"text_b{batch}"] = spread(timed_ms(partial(encoder.encode_texts, some_texts), repeats))
        rows[f"image_b{batch}"] = spread(timed_ms(partial(encoder.encode_images, some_images), repeats))
    measured = {"encoder": encoder.name, "dimensions": encoder.dim, "milliseconds_per_call": rows}
    if isinstance(encoder, TowerEncoder):
        measured["runtimes"] = runtime_figures(encoder, texts, images, repeats)
    return measured


def runtime_figures(
    encoder: TowerEncoder, texts: Sequence[str], images: Sequence[Image], repeats: int
) -> dict[str, object]:
    """Return the same of every runtime, how many times as fast as torch it is, and its smallest cosine with torch."""
    rows: dict[str, object] = {}
    for kind in TowerKind:
        with TemporaryDirectory() as folder:
            encoders, unavailable = _on_runtimes(encoder, kind, Path(folder))
        rows[f"{kind}_unavailable"] = unavailable
        for batch in RUNTIME_BATCHES:
            some_texts = [texts[i % len(texts)] for i in range(batch)]
            some_images = [images[i % len(images)] for i in range(batch)]
            calls: dict[str, Callable[[], Vectors]] = {
                name: partial(one.encode_texts, some_texts)
                if kind is TowerKind.TEXT
                else partial(one.encode_images, some_images)
                for name, one in encoders.items()
            }
            rows[f"{kind}_b{batch}"] = _side_by_side(calls, repeats)
    return rows


def _on_runtimes(
    encoder: TowerEncoder, kind: TowerKind, folder: Path
) -> tuple[dict[str, TowerEncoder], dict[str, str]]:
    """Return the encoder with one tower on each runtime, torch first, and why there is none on the others."""
    source = Source(encoder.backbone, encoder.fingerprint, Artefacts(folder))
    own = encoder.backbone.towers
    encoders, unavailable = {}, {}
    for name in RuntimeName:
        try:
            tower = source.open(name, kind, max(RUNTIME_BATCHES))
        except RuntimeUnavailableError as error:
            unavailable[str(name)] = str(error)
        else:
            towers = replace(own, text=tower) if kind is TowerKind.TEXT else replace(own, image=tower)
            encoders[str(name)] = encoder.with_towers(towers)
    return encoders, unavailable


def _side_by_side(calls: Mapping[str, Callable[[], Vectors]], repeats: int) -> dict[str, object]:
    vectors = {name: call() for name, call in calls.items()}
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            spent[name] += timed_ms(call, repeats=1, warmup=0)
    exact, eager = vectors[RuntimeName.TORCH], median(spent[RuntimeName.TORCH])
    return {
        name: {
            **spread(spent[name]),
            "times_as_fast": eager / median(spent[name]),
            "cosine": float((vectors[name] * exact).sum(axis=1).min()),
        }
        for name in calls
    }
