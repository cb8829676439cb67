"""What CAPTURE is shown, step by step: regions of composites with their products' titles for a caption.

Every choice is drawn from (seed, epoch, step) alone: which words are masked, which regions hidden, which captions
swapped, and which instances are to be found among catalogue pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.capture.capture_words import MASK, PAD, TEXT, Words
from models.capture.region_data import CatalogueVectors, RegionTable, rows_of

BETWEEN: Final = "; "
"""Between the titles of a caption."""
_WHOLE: Final = (0.0, 0.0, 1.0, 1.0)

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hiding:
    """Shares of what is hidden.

    Attributes:
        words: masked, of those that may be.
        regions: hidden.
        captions: swapped for another photo's.
    """

    words: float = 0.15
    regions: float = 0.15
    captions: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Photos with captions as the network reads them.

    Attributes:
        vectors: `(n, r, d) float32`.
        boxes: `(n, r, 4) float32`.
        there: `(n, r) bool`.
        words: `(n, L) int64`.
    """

    vectors: Tensor
    boxes: Tensor
    there: Tensor
    words: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Pretext:
    """Photos with something hidden.

    Attributes:
        seen: words masked, captions swapped.
        words: `(n, L) int64` as they were, of the caption that stands in each row.
        masked: `(n, L) bool`, which of them are to be said; none of a swapped caption.
        hidden: `(n, r) bool`, which regions are not shown and to be described; none beside a swapped caption.
        captions: `(n,) int64`, row of the photo whose caption stands in each row.
    """

    seen: Seen
    words: Tensor
    masked: Tensor
    hidden: Tensor
    captions: Tensor

    @property
    def matched(self) -> Tensor:
        """Which rows have their own caption, `(n,) bool`."""
        return self.captions == torch.arange(len(self.captions))


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Instances of photos, and a catalogue picture of each one's product.

    Attributes:
        instances: one region each, and the caption of the whole photo.
        catalogue: one region each, the whole picture, and the product's title.
        products: `(n,) int64`.
    """

    instances: Seen
    catalogue: Seen
    products: Tensor


class CaptureExamples:
    """Batches of composites, addressed by epoch and step."""

    def __init__(
        self, regions: RegionTable, catalogue: CatalogueVectors, words: Words, *, most: int, seed: int
    ) -> None:
        self._regions, self._catalogue, self._words = regions, catalogue, words
        self._most, self._seed = most, seed
        self.products = rows_of(regions.products, catalogue.ids)
        self.captions = captions_of(regions, catalogue)

    def order(self, composites: Rows, epoch: int) -> Rows:
        """Return `composites` in the order of `epoch`."""
        return np.random.default_rng([self._seed, epoch]).permutation(composites)

    def pretext(self, rows: Rows, rng: np.random.Generator, hiding: Hiding) -> Pretext:
        """Return composites `rows` with something hidden of each."""
        vectors, boxes, there = self._padded(rows)
        captions = swapped(len(rows), hiding.captions, rng)
        words = self._words.rows([self.captions[rows[place]] for place in captions], self._most)
        own = captions == np.arange(len(rows))
        masked = (rng.random(words.shape) < hiding.words) & (words != PAD) & (words != TEXT) & own[:, None]
        hidden = (rng.random(there.shape) < hiding.regions) & there & own[:, None]
        shown = np.where(masked, MASK, words)
        seen = Seen(*(torch.from_numpy(one) for one in (vectors, boxes, there, shown)))
        rest = (words, masked, hidden, captions)
        return Pretext(seen, *(torch.from_numpy(one) for one in rest))

    def pairs(self, rows: Rows, rng: np.random.Generator, count: int) -> Pairs:
        """Return `count` instances at most of composites `rows`, each with a picture of its product."""
        starts = self._regions.starts
        every = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in rows])
        chosen = np.sort(rng.permutation(every)[:count])
        products = self.products[chosen]
        first, last = self._catalogue.starts[products], self._catalogue.starts[products + 1]
        pictures = rng.integers(first, last)
        return Pairs(
            self.instances(chosen),
            self.pictures(pictures, [self._catalogue.titles[product] for product in products]),
            torch.from_numpy(products),
        )

    def instances(self, regions: Rows) -> Seen:
        """Return single regions, each with the caption of its photo."""
        composites = np.searchsorted(self._regions.starts, regions, side="right") - 1
        captions = [self.captions[row] for row in composites]
        return seen(self._regions.vectors[regions], self._regions.boxes[regions], captions, self._words, self._most)

    def pictures(self, pictures: Rows, titles: Sequence[str]) -> Seen:
        """Return catalogue pictures, each with its product's title."""
        boxes = np.tile(np.array(_WHOLE, np.float32), (len(pictures), 1))
        return seen(self._catalogue.vectors[pictures], boxes, titles, self._words, self._most)

    def _padded(self, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        starts, counts = self._regions.starts[rows], np.diff(self._regions.starts)[rows]
        places = starts[:, None] + np.arange(counts.max())
        there = np.arange(counts.max()) < counts[:, None]
        places = np.where(there, places, 0)
        return self._regions.vectors[places] * there[..., None], self._regions.boxes[places] * there[..., None], there


def seen(
    vectors: NDArray[np.float32], boxes: NDArray[np.float32], captions: Sequence[str], words: Words, most: int
) -> Seen:
    """Return single regions `(n, d)` with `boxes (n, 4)` and the words of each one's caption, cut at `most`."""
    there = np.ones((len(vectors), 1), bool)
    rows = words.rows(captions, most)
    return Seen(*(torch.from_numpy(one) for one in (vectors[:, None], boxes[:, None], there, rows)))


def captions_of(regions: RegionTable, catalogue: CatalogueVectors) -> list[str]:
    """Return the caption of every composite: the titles of its products, in their order."""
    titles = dict(zip(catalogue.ids, catalogue.titles, strict=True))
    named = [titles[product] for product in regions.products]
    return [BETWEEN.join(named[a:b]) for a, b in zip(regions.starts[:-1], regions.starts[1:], strict=True)]


def swapped(count: int, share: float, rng: np.random.Generator) -> Rows:
    """Return whose caption stands in each of `count` rows: about `share` of them have another's, each one's once."""
    captions = np.arange(count)
    chosen = np.flatnonzero(rng.random(count) < share)
    if len(chosen) > 1:
        captions[chosen] = np.roll(chosen, 1)
    return captions
