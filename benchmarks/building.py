"""Building alone: how near the pipeline comes to its slower half, and what a second build costs.

Reading and decoding is timed without an encoder, encoding on pictures decoded beforehand, then whole builds; the first
stage of a build (read, decode, encode, keep, write) can be no faster than the slower of the two. The encoder sleeps for
each picture and text, as a CPU does while a GPU works, unless another is named: on a CPU that encodes and decodes, both
share the cores, and the sum of what they take is the bound, not the larger. Ratios are medians of turns, each of which
measures all three; a second build follows in which a hundredth of the products have another title.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.made_shop import MadeEncoder, write_feed
from indexer.build import BuildOptions, Built, build
from indexer.catalogue import read_catalogue
from indexer.encode import BlockEncoder, Decoded, LocalEngine
from indexer.store import Store
from indexer.work import EncodeOptions, Step, steps
from models.checkpoint import load_encoder
from models.encoder import Encoder

SLEEPING = "sleeping"
FIRST_STAGE = "read and encode"


@dataclass(frozen=True, slots=True)
class Shop:
    """The made catalogue: how many products, pictures of each, and pixels of a picture's side."""

    products: int
    pictures: int
    side: int
    seed: int

    def write(self, feed: Path, changed: int = 0) -> None:
        """Write its feed, so many products of which have another title."""
        feed.parent.mkdir(parents=True)
        write_feed(feed, self.products, self.seed, pictures=self.pictures, side=self.side, changed=changed)


def figures(shop: Shop, encoder: str, pace_s: float, turns: int) -> dict[str, Any]:
    """Return rates in products a second, the pipeline's share of the slower half, and what a second build takes."""
    products = shop.products
    chosen: Encoder = MadeEncoder(64, pace_s) if encoder == SLEEPING else load_encoder(encoder, "auto")
    options = EncodeOptions()
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        feed = Path(folder) / "feed" / "catalogue.parquet"
        shop.write(feed)
        for turn in range(turns):
            data = Path(folder) / f"data-{turn}"
            decode_s, prepared = _decoded(feed, chosen, options, data / "alone", products // 4)
            encode_s = _encoded(prepared, chosen, options) * products / len(prepared)
            del prepared
            built = build(chosen, BuildOptions(feed, data, encoding=options))
            stage_s = built.report.stages_s[FIRST_STAGE]
            found.append({"decode_s": decode_s, "encode_s": encode_s, "stage_s": stage_s,
                          "ratio": max(decode_s, encode_s) / stage_s})  # fmt: skip
        second = _second(Path(folder), data, chosen, built, shop)
    return {
        "products": products,
        "pictures": products * shop.pictures,
        "side": shop.side,
        "encoder": chosen.name,
        "pace_s": pace_s if encoder == SLEEPING else None,
        "turns": found,
        "decode_alone_per_s": products / median(turn["decode_s"] for turn in found),
        "encode_alone_per_s": products / median(turn["encode_s"] for turn in found),
        "pipeline_per_s": products / median(turn["stage_s"] for turn in found),
        "pipeline_over_slower_half": median(turn["ratio"] for turn in found),
        "second_build": second,
    }


def _steps(feed: Path, encoder: Encoder, options: EncodeOptions, folder: Path) -> Iterator[Step[Decoded]]:
    engine = LocalEngine(encoder, options)
    return steps(read_catalogue(feed), encoder, Store(folder), engine.prepare, options)


def _decoded(
    feed: Path, encoder: Encoder, options: EncodeOptions, folder: Path, kept: int
) -> tuple[float, list[Decoded]]:
    """Return the seconds of reading and decoding all, and some of what came of it."""
    began = time.perf_counter()
    some: list[Decoded] = []
    for step in _steps(feed, encoder, options, folder):
        if step.work is not None and len(some) < kept:
            some.append(step.work)
    return time.perf_counter() - began, some


def _encoded(prepared: list[Decoded], encoder: Encoder, options: EncodeOptions) -> float:
    """Return the seconds of encoding what is decoded."""
    began = time.perf_counter()
    with BlockEncoder(encoder, options) as encoding:
        for product in prepared:
            encoding.add(product)
        encoding.finish()
    return time.perf_counter() - began


def _second(folder: Path, data: Path, encoder: Encoder, first: Built, shop: Shop) -> dict[str, Any]:
    """Build again, a hundredth of the products changed."""
    feed = folder / "changed" / "catalogue.parquet"
    changed = shop.products // 100
    shop.write(feed, changed)
    second = build(encoder, BuildOptions(feed, data))
    before, after = first.report.stages_s, second.report.stages_s
    return {
        "changed": changed,
        "encoded": second.encoded,
        "stages_s": {"first": before, "second": after},
        "first_stage_share": after[FIRST_STAGE] / before[FIRST_STAGE],
        "share": sum(after.values()) / sum(before.values()),
    }
