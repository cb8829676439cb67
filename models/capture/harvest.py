"""Cuts out all products of a catalogue: photos in, rows of `models.capture.cutouts` out, in the order of the feed.

Several processes share the work a block at a time, so no more than a block is ever in memory. How one photo is cut is
left to `models.capture.cutting`.
"""

import multiprocessing
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from tqdm import tqdm

from models.capture.cutouts import CutoutRow, encode_cutout
from models.capture.cutting import RULES, CuttingRules, Refusal, cut_out, surroundings
from models.picture import PictureError, decode_picture
from models.product import Product
from models.train.feed import Feed

_BLOCK = 64  # photos for each process
_BACKDROPS = 8  # one busy photo in so many is kept as a backdrop


@dataclass(slots=True)
class Harvest:
    """What became of the photos.

    Attributes:
        photos: how many were read.
        cut: how many products were cut out.
        backdrops: how many backdrops were kept.
        refused: photos without a cut-out, by reason.
    """

    photos: int = 0
    cut: int = 0
    backdrops: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, int | dict[str, int]]:
        """Return the counts for programs, reasons by how often they were met."""
        refused = {str(reason): count for reason, count in self.refused.most_common()}
        return {"photos": self.photos, "cut": self.cut, "backdrops": self.backdrops, "refused": refused}


@dataclass(frozen=True, slots=True)
class _Photo:
    product: Product
    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Yield:
    """Of one photo: the product, or why it was refused and perhaps what was around it."""

    product: bytes | None = None
    refusal: Refusal | None = None
    backdrop: bytes | None = None


def harvest(
    feed: Feed,
    split: str,
    counts: Harvest,
    *,
    rules: CuttingRules = RULES,
    pictures: int | None = None,
    limit: int | None = None,
    workers: int = 1,
) -> Iterator[CutoutRow]:
    """Yield the cut-outs of the products of `split`, and some backdrops; `counts` is kept up to date.

    Args:
        feed: the catalogue.
        split: train, val or test.
        counts: filled as photos pass.
        rules: how photos are cut.
        pictures: of each product, at most; None for all.
        limit: products, at most; None for all.
        workers: processes; what is cut does not depend on their number.

    Raises:
        DataError: a row of the catalogue or a file of a picture cannot be read.
    """
    photos = (
        _Photo(item.product, number, data)
        for item in feed.items(split, pictures=pictures, limit=limit)
        for number, data in enumerate(item.pictures)
    )
    cut = partial(_cut, rules=rules)
    with tqdm(desc="cutting", unit="photo", disable=None, leave=False) as bar:
        if workers == 1:
            for photo in photos:
                yield from _rows(photo, split, cut(photo), counts)
                bar.update()
            return
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            while block := list(islice(photos, _BLOCK * workers)):
                for photo, found in zip(block, pool.imap(cut, block, chunksize=8), strict=True):
                    yield from _rows(photo, split, found, counts)
                    bar.update()


def _cut(photo: _Photo, rules: CuttingRules) -> _Yield:
    try:
        picture = decode_picture(photo.data)
    except PictureError:
        return _Yield(refusal=Refusal.UNREADABLE)
    found = cut_out(picture, rules)
    if not isinstance(found, Refusal):
        return _Yield(product=encode_cutout(found))
    if found is Refusal.BUSY and zlib.crc32(f"{photo.product.id} {photo.number}".encode()) % _BACKDROPS == 0:
        around = surroundings(picture)
        return _Yield(refusal=found, backdrop=encode_cutout(around) if around else None)
    return _Yield(refusal=found)


def _rows(photo: _Photo, split: str, found: _Yield, counts: Harvest) -> Iterator[CutoutRow]:
    product = photo.product
    names = (product.id, split, product.group or product.id, product.title)
    counts.photos += 1
    if found.refusal is not None:
        counts.refused[found.refusal] += 1
    if found.product is not None:
        counts.cut += 1
        yield CutoutRow(*names, picture=found.product)
    if found.backdrop is not None:
        counts.backdrops += 1
        yield CutoutRow(*names, picture=found.backdrop, backdrop=True)
