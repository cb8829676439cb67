"""Prepared pixels on disk: every picture is decoded and resized once, and an epoch only copies bytes.

The cache is one `.npy` of `(pictures, h, w, 3) uint8`, named by the digest of the pictures' bytes and the
recipe, so that a changed picture or recipe never meets an old file, and runs on the same data share one.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from tqdm import tqdm

from models.picture import PictureError, decode_picture
from models.product import Product
from models.recipe import PixelRecipe, Pixels
from models.train.feed import DataError, Feed, Item

_LAYOUT = "1"  # changes when decoding or the layout of the file changes
_AT_ONCE = 64

Prepare = Callable[[Sequence[Image]], Pixels]
Shown = Pixels | NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class PictureTable:
    """The products of one split and their prepared pictures.

    Attributes:
        products: in the order of the feed.
        digests: SHA-256 of each picture's bytes, per product.
        starts: `(n + 1,) int64`; product i has the pictures `starts[i]..starts[i + 1]`, at least one.
        pixels: `(pictures, h, w, 3) uint8`, memory-mapped.
        trunk: `(pictures, views, f) float16`, memory-mapped: what a trunk that is held makes of each picture and, with
            two views, of its mirror image; None where the trunk is trained.
    """

    products: tuple[Product, ...]
    digests: tuple[tuple[str, ...], ...]
    starts: NDArray[np.int64]
    pixels: Pixels
    trunk: NDArray[np.float16] | None = None

    def __len__(self) -> int:
        return len(self.products)

    def shown(self, pictures: NDArray[np.int64], mirrored: NDArray[np.bool_] | None = None) -> Shown:
        """Return what the image tower is shown of `pictures` `(n,)`.

        Args:
            pictures: rows of `pixels`.
            mirrored: which of them are to be mirrored; followed only by what a trunk has made of them already.

        Returns:
            `(n, h, w, 3) uint8`, or `(n, f) float16` where the trunk is held.
        """
        if self.trunk is None:
            return np.array(self.pixels[pictures])
        if mirrored is None or self.trunk.shape[1] == 1:
            return np.array(self.trunk[pictures, 0])
        return np.array(self.trunk[pictures, mirrored.astype(np.int64)])

    def first_pictures(self) -> Shown:
        """Return what the image tower is shown of the first picture of every product."""
        return self.shown(self.starts[:-1])


def user_cache_dir() -> Path:
    """Return where prepared pixels are kept unless the configuration says otherwise."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "catalens" / "pixels"


def picture_table(
    feed: Feed,
    split: str,
    recipe: PixelRecipe,
    prepare: Prepare,
    *,
    cache_dir: Path,
    pictures: int | None = None,
    limit: int | None = None,
) -> PictureTable:
    """Return the products of `split` with their prepared pictures, preparing them where they are not yet.

    Args:
        feed: the catalogue.
        split: train, val or test.
        recipe: names the preparation in the cache.
        prepare: the backbone's own preparation of images.
        cache_dir: made if needed.
        pictures: of each product, at most.
        limit: products, at most.

    Raises:
        DataError: a row or a picture cannot be read.
    """
    products, digests = [], []
    for item in feed.items(split, pictures=pictures, limit=limit):
        products.append(item.product)
        digests.append(tuple(hashlib.sha256(data).hexdigest() for data in item.pictures))
    counts = np.array([len(names) for names in digests], dtype=np.int64)
    path = cache_dir / f"{_key(recipe, digests)}.npy"
    if not path.is_file():
        items = feed.items(split, pictures=pictures, limit=limit)
        _write(path, items, prepare, (int(counts.sum()), *recipe.size, 3))
    pixels = np.load(path, mmap_mode="r")
    return PictureTable(tuple(products), tuple(digests), np.concatenate([[0], counts.cumsum()]), pixels)


def _key(recipe: PixelRecipe, digests: Sequence[Sequence[str]]) -> str:
    digest = hashlib.sha256(f"{_LAYOUT}:{recipe.model_dump_json()}".encode())
    for name in chain.from_iterable(digests):
        digest.update(bytes.fromhex(name))
    return digest.hexdigest()


def _write(path: Path, items: Iterator[Item], prepare: Prepare, shape: tuple[int, ...]) -> None:
    """Fill `path` by way of a temporary file, so that only whole caches are ever found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="partial-") as folder:
        partial = Path(folder) / path.name
        out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        pictures = ((item.product.id, data) for item in items for data in item.pictures)
        with (
            ThreadPoolExecutor() as pool,
            tqdm(total=shape[0], desc="preparing pictures", unit="picture", disable=None, leave=False) as bar,
        ):
            row = 0
            while block := list(islice(pictures, _AT_ONCE)):
                images = list(pool.map(lambda pair: _prepared(prepare, *pair), block))
                out[row : row + len(images)] = np.concatenate(images)
                row += len(images)
                bar.update(len(images))
        out.flush()
        del out
        partial.replace(path)


def _prepared(prepare: Prepare, product_id: str, data: bytes) -> Pixels:
    try:
        return prepare([decode_picture(data)])
    except PictureError as error:
        raise DataError(f"product {product_id}: picture: {error}") from error
