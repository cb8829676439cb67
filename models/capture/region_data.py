"""Regions of composites and pictures of a catalogue as vectors of a frozen encoder, computed once and kept on disk.

What the head and CAPTURE are trained on: boxes are the true ones, each side moved a little as a detector's would be.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from tqdm import tqdm

from models.capture.regions import cut_region
from models.checkpoint import DataCard
from models.encoder import Encoder, Vectors
from models.picture import PictureError, decode_picture
from models.train.feed import DataError, Feed

_LAYOUT: Final = "1"  # changes when cutting, encoding or the layout of the files changes
_AT_ONCE: Final = 64

Box = tuple[float, float, float, float]


class LabelledProducts(Protocol):
    """A picture with the boxes of its products in pixels, and their ids."""

    @property
    def picture(self) -> Image:
        """RGB."""
        ...

    @property
    def boxes(self) -> NDArray[np.float32]:
        """`(k, 4)`: left, top, right, bottom; right and bottom exclusive."""
        ...

    @property
    def products(self) -> tuple[str, ...]:
        """Of each box."""
        ...


class Composes(Protocol):
    """Makes composite `number`, the same one whenever it is asked."""

    def composite(self, number: int) -> LabelledProducts:
        """Return it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class RegionTable:
    """Regions of composites.

    Attributes:
        vectors: `(n, d) float32`, unit rows, of the cut-out regions.
        boxes: `(n, 4) float32`, as cut out, in fractions of the composite.
        products: of each region.
        starts: `(m + 1,)`; composite i has the regions `starts[i]..starts[i + 1]`.
        digest: of all that decides them, 64 hex digits.
    """

    vectors: Vectors
    boxes: NDArray[np.float32]
    products: tuple[str, ...]
    starts: NDArray[np.int64]
    digest: str

    def __len__(self) -> int:
        return len(self.products)

    @classmethod
    def read(cls, path: Path, digest: str) -> Self:
        """Return the table in the file at `path`."""
        with np.load(path) as file:
            products = tuple(file["products"].tolist())
            return cls(file["vectors"], file["boxes"], products, file["starts"], digest)


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueVectors:
    """Pictures of a catalogue.

    Attributes:
        ids: of the products.
        groups: what the variants of each product share; its id where nothing is stated.
        titles: of the products.
        vectors: `(n, d) float32`, unit rows.
        starts: `(m + 1,)`; product i has the pictures `starts[i]..starts[i + 1]`, at least one.
        digest: of the products, the pictures and the encoder, 64 hex digits.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    titles: tuple[str, ...]
    vectors: Vectors
    starts: NDArray[np.int64]
    digest: str

    def __len__(self) -> int:
        return len(self.ids)

    def held_back(self, share: float) -> NDArray[np.bool_]:
        """Return which products are held back from training, `(m,)`: by whole groups, the same in every run."""
        drawn = [int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 2**32 for group in self.groups]
        return np.array(drawn) < share


def user_cache_dir() -> Path:
    """Return where vectors are kept unless the configuration says otherwise."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "catalens" / "regions"


def jittered(box: Box, rng: np.random.Generator, jitter: float) -> Box:
    """Return `box`, in fractions, with each side moved by a normal draw of `jitter` times the box's extent."""
    left, top, right, bottom = box
    extent = np.array([right - left, bottom - top] * 2)
    moved = (np.array(box) + rng.normal(size=4) * jitter * extent).clip(0, 1)
    if moved[2] - moved[0] <= 0 or moved[3] - moved[1] <= 0:
        return box
    return tuple(moved.tolist())


def region_table(
    composer: Composes,
    count: int,
    encoder: Encoder,
    jitter: float,
    *,
    said: dict[str, object],
    cache_dir: Path,
) -> RegionTable:
    """Return the regions of composites 0..count-1 of `composer`, computing them where they are not yet.

    Args:
        composer: makes them.
        count: how many.
        encoder: reads the regions.
        jitter: of the boxes' sides, as a share of the box.
        said: all that decides what `composer` makes, as JSON values: names the cache.
        cache_dir: made if needed.
    """
    head = json.dumps([_LAYOUT, said, count, jitter, encoder.fingerprint], sort_keys=True)
    digest = hashlib.sha256(head.encode()).hexdigest()
    path = cache_dir / f"{digest}.npz"
    if not path.is_file():
        _write_regions(path, composer, count, encoder, jitter)
    return RegionTable.read(path, digest)


def _write_regions(path: Path, composer: Composes, count: int, encoder: Encoder, jitter: float) -> None:
    products: list[str] = []
    boxes: list[Box] = []
    counts: list[int] = []

    def cut() -> Iterator[Image]:
        for number in tqdm(range(count), desc="composing", unit="picture", disable=None, leave=False):
            composite, rng = composer.composite(number), np.random.default_rng([7, number])
            width, height = composite.picture.size
            counts.append(len(composite.products))
            products.extend(composite.products)
            for box in np.asarray(composite.boxes, np.float64).reshape(-1, 4) / [width, height, width, height]:
                boxes.append(jittered(tuple(box.tolist()), rng, jitter))
                yield cut_region(composite.picture, boxes[-1])

    vectors = encoded(encoder, cut())
    rows = np.asarray(boxes, np.float32).reshape(-1, 4)
    _keep(path, vectors=vectors, boxes=rows, products=np.array(products), starts=np.cumsum([0, *counts]))


def encoded(encoder: Encoder, pictures: Iterator[Image]) -> Vectors:
    """Return the vectors `(n, d)` of RGB pictures, a block of which is in memory at a time."""
    parts = [np.empty((0, encoder.dim), np.float32)]
    while block := list(islice(pictures, _AT_ONCE)):
        parts.append(encoder.encode_images(block))
    return np.concatenate(parts)


def _keep(path: Path, **arrays: NDArray[np.generic]) -> None:
    """Write an `.npz` by way of a temporary file, so that only whole ones are ever found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="partial-") as folder:
        partial = Path(folder) / path.name
        np.savez(partial, allow_pickle=False, **arrays)
        partial.replace(path)


def catalogue_vectors(
    feed: Feed, split: str, encoder: Encoder, *, cache_dir: Path, pictures: int | None = None, limit: int | None = None
) -> CatalogueVectors:
    """Return the pictures of `split` as vectors, encoding them where they are not yet.

    Args:
        feed: the catalogue.
        split: train, val or test.
        encoder: reads the pictures.
        cache_dir: made if needed.
        pictures: of each product, at most.
        limit: products, at most.

    Raises:
        DataError: a row or a picture cannot be read.
    """
    named, counts, digest = [], [], hashlib.sha256(f"{_LAYOUT}:{encoder.fingerprint}".encode())
    for item in feed.items(split, pictures=pictures, limit=limit):
        product = item.product
        named.append((product.id, product.group or product.id, product.title))
        counts.append(len(item.pictures))
        digest.update(json.dumps(named[-1]).encode())
        for data in item.pictures:
            digest.update(hashlib.sha256(data).digest())
    name = digest.hexdigest()
    path = cache_dir / f"{name}.npz"
    if not path.is_file():
        read = _decoded(feed, split, pictures, limit)
        bar = tqdm(read, total=sum(counts), desc="encoding", unit="picture", disable=None, leave=False)
        _keep(path, vectors=encoded(encoder, iter(bar)))
    with np.load(path) as file:
        vectors = file["vectors"]
    ids, groups, titles = zip(*named, strict=True)
    return CatalogueVectors(ids, groups, titles, vectors, np.cumsum([0, *counts]), name)


def _decoded(feed: Feed, split: str, pictures: int | None, limit: int | None) -> Iterator[Image]:
    for item in feed.items(split, pictures=pictures, limit=limit):
        for data in item.pictures:
            try:
                yield decode_picture(data)
            except PictureError as error:
                raise DataError(f"product {item.product.id}: picture: {error}") from error


def data_card(feed: Feed, digests: Sequence[str], licence: str | None) -> DataCard:
    """Return what a card says of what was read; the counts are the training's to say."""
    together = hashlib.sha256("".join(digests).encode()).hexdigest()
    return DataCard(name=feed.name, fingerprint=together, products={}, origin=feed.origin(), licence=licence)


def rows_of(products: Sequence[str], ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of each of `products` among `ids`, `(n,)`.

    Raises:
        DataError: one is not among them.
    """
    places = {product: row for row, product in enumerate(ids)}
    try:
        return np.array([places[product] for product in products], np.int64)
    except KeyError as error:
        raise DataError(f"the cut-outs hold product {error.args[0]!r}, which the catalogue's split lacks") from error
