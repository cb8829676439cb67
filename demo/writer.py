"""Writes a shop to a folder: pictures, feed, queries, photos of several products, and `shop.json` last.

Products are made by worker processes in chunks and written in order as they come, so memory does not grow
with the shop (but for four bytes per product and attribute).
"""

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from demo.items import Item, item
from demo.picture import jpeg, picture
from demo.postings import Postings
from demo.queries import queries
from demo.scenes import HEIGHT, WIDTH, scene
from demo.taxonomy import SLOT_NAMES
from demo.text import description, title

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

VERSION = 1
"""Raised whenever the same seed would give other products, pictures or words."""
_CHUNK = 20
_ROW_GROUP = 1_000
_MOST_SCENES = 200
_STARTED = ".unfinished"

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "title", "description", "brand", "category", "season", "composition")),
        ("price", pa.float64()),
        ("currency", pa.string()),
        ("in_stock", pa.bool_()),
        ("url", pa.string()),
        ("group", pa.string()),
        ("images", pa.list_(pa.string())),
        *((name, pa.string()) for name in ("split", "colour", "second_colour", "pattern", *SLOT_NAMES)),
    ]
)


class ShopError(Exception):
    """A shop cannot be written there; the message says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to generate.

    Attributes:
        products: how many, at least 1.
        seed: the shop's seed; product ids carry it.
        out: folder that receives the shop.
        workers: processes that draw; 1 draws in this one.
    """

    products: int
    seed: int
    out: Path
    workers: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What a shop holds."""

    products: int
    images: int
    queries: int
    scenes: int


def row(one: Item) -> dict[str, object]:
    """Return the feed's row of `one`; a detail its category lacks is None."""
    return {
        "id": one.id,
        "title": title(one),
        "description": description(one),
        "brand": one.brand,
        "category": one.category,
        "season": one.season,
        "composition": one.composition.value,
        "price": one.price,
        "currency": one.currency,
        "in_stock": one.in_stock,
        "url": f"https://shop.example/products/{one.id}",
        "group": one.group,
        "images": [f"images/{one.id}-{view}.jpg" for view in range(one.views)],
        "split": one.split,
        "colour": one.colour,
        "second_colour": one.second_colour,
        "pattern": one.pattern.value,
        **{name: one.details.get(name) for name in SLOT_NAMES},
    }


def _make(numbers: range, *, seed: int, out: Path) -> list[dict[str, object]]:
    """Draw and store the pictures of some products and return their rows. Runs in a worker process."""
    rows: list[dict[str, object]] = []
    for number in numbers:
        one = item(seed, number)
        for view in range(one.views):
            (out / "images" / f"{one.id}-{view}.jpg").write_bytes(jpeg(picture(one, view)))
        rows.append(row(one))
    return rows


def _photograph(number: int, *, seed: int, products: int, out: Path) -> dict[str, object]:
    """Draw and store a photo of several products and return its line. Runs in a worker process."""
    photo = scene(seed, number, products)
    name = f"s{seed}-{number:04d}"
    (out / "scenes" / f"{name}.jpg").write_bytes(jpeg(photo.picture))
    objects = [
        {"id": one.id, "category": one.category, "box": list(box)}
        for one, box in zip(photo.items, photo.boxes, strict=True)
    ]
    return {
        "scene_id": name,
        "image": f"scenes/{name}.jpg",
        "width": WIDTH,
        "height": HEIGHT,
        "split": photo.split,
        "caption": photo.caption,
        "objects": objects,
    }


class _Spread(Protocol):
    """Like `map`: applies a function to jobs, wherever it runs, and gives the results in order."""

    def __call__(self, function: Callable[[_Job], _Result], jobs: Iterable[_Job], /) -> Iterator[_Result]: ...


@contextmanager
def _workers(plan: Plan) -> Iterator[_Spread]:
    """Give a `map` over the plan's worker processes, or over this process where more would not pay."""
    if plan.workers <= 1 or plan.products <= _CHUNK:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(plan.workers) as pool:
        yield pool.imap


def _feed(plan: Plan, spread: _Spread, *, progress: bool) -> tuple[Postings, int]:
    postings, images, waiting = Postings(), 0, list[dict[str, object]]()
    chunks = (range(start, min(start + _CHUNK, plan.products)) for start in range(0, plan.products, _CHUNK))
    bar = tqdm(total=plan.products, unit="product", desc="Drawing", disable=not progress)
    with pq.ParquetWriter(plan.out / "catalogue.parquet", SCHEMA, compression="zstd") as feed, bar:
        for rows in spread(partial(_make, seed=plan.seed, out=plan.out), chunks):
            for _ in rows:
                one = item(plan.seed, postings.count)
                postings.add(one)
                images += one.views
            waiting.extend(rows)
            bar.update(len(rows))
            if len(waiting) >= _ROW_GROUP:
                feed.write_table(pa.Table.from_pylist(waiting, schema=SCHEMA))
                waiting.clear()
        if waiting:
            feed.write_table(pa.Table.from_pylist(waiting, schema=SCHEMA))
    return postings, images


def _queries(plan: Plan, postings: Postings) -> int:
    count = 0
    with (plan.out / "queries.jsonl").open("w", encoding="utf-8") as file:
        for query in queries(plan.seed, postings):
            file.write(json.dumps(query, ensure_ascii=False) + "\n")
            count += 1
    return count


def _scenes(plan: Plan, spread: _Spread, *, progress: bool) -> int:
    count = min(_MOST_SCENES, plan.products // 10)
    make = partial(_photograph, seed=plan.seed, products=plan.products, out=plan.out)
    bar = tqdm(total=count, unit="photo", desc="Photos", disable=not progress)
    with (plan.out / "scenes.jsonl").open("w", encoding="utf-8") as file, bar:
        for line in spread(make, range(count)):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            bar.update()
    return count


def _prepare(out: Path) -> None:
    """Make room for a shop in `out`, which must be new, empty, or hold an earlier shop.

    Raises:
        ShopError: `out` holds something else.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not ((out / "shop.json").is_file() or (out / _STARTED).is_file()):
        msg = f"{out} is not empty and holds no generated shop"
        raise ShopError(msg)
    (out / _STARTED).touch()
    (out / "shop.json").unlink(missing_ok=True)
    for name in ("images", "scenes"):
        if (out / name).exists():
            shutil.rmtree(out / name)
        (out / name).mkdir()


def generate(plan: Plan, *, progress: bool = False) -> Counts:
    """Write the shop of `plan`; the same seed and number of products always give the same bytes.

    A folder with `shop.json` holds a complete shop: it is written last and removed first.

    Raises:
        ShopError: the folder holds something else or cannot be written.
    """
    try:
        _prepare(plan.out)
        return _write(plan, progress=progress)
    except OSError as error:
        msg = f"cannot write to {plan.out}: {error.strerror or error}"
        raise ShopError(msg) from error


def _write(plan: Plan, *, progress: bool) -> Counts:
    with _workers(plan) as spread:
        postings, images = _feed(plan, spread, progress=progress)
        scenes = _scenes(plan, spread, progress=progress)
    counts = Counts(plan.products, images, _queries(plan, postings), scenes)
    about = {
        "seed": plan.seed,
        "version": VERSION,
        "products": counts.products,
        "images": counts.images,
        "queries": counts.queries,
        "scenes": counts.scenes,
        "feed": "catalogue.parquet",
    }
    temporary = plan.out / "shop.json.tmp"
    temporary.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    temporary.replace(plan.out / "shop.json")
    (plan.out / _STARTED).unlink()
    return counts
