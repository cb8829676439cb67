"""Training examples: which picture, which words and which entities of each product, step by step.

Every choice is drawn from (seed, epoch, step) alone, so a resumed run sees what an uninterrupted one would
have seen. How entities reach the model is left to it: all systems are shown the same examples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.encoder import Entities
from models.product import Product, TextField, canonical_text
from models.train.config import AugmentConfig, EntityDropout, TextMix
from models.train.pixels import PictureTable

_QUERY_WORDS = (2, 5)  # two to four


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of distinct products.

    Attributes:
        pixels: `(n, h, w, 3) uint8`.
        zooms: `(n, 2, 3) float32`, the affine map of each picture's augmentation, for `affine_grid`.
        texts: the words of each.
        entities: the entities of each that were not withheld.
        products: row of each product in its table.
    """

    pixels: Tensor
    zooms: Tensor
    texts: tuple[str, ...]
    entities: tuple[Entities, ...]
    products: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """The parts of the configuration that say how examples are drawn."""

    seed: int
    batch_size: int
    text_fields: tuple[TextField, ...]
    groups: tuple[str, ...]
    text_mix: TextMix
    dropout: EntityDropout
    augment: AugmentConfig


class Examples:
    """Batches of product-unique examples, addressed by epoch and step."""

    def __init__(self, table: PictureTable, sampling: Sampling) -> None:
        self._table = table
        self._sampling = sampling
        self._shares = list(sampling.text_mix.shares().values())
        self._kinds = list(sampling.text_mix.shares())
        self._batch = min(sampling.batch_size, len(table))
        self._order = lru_cache(maxsize=2)(self._shuffled)

    @property
    def steps(self) -> int:
        """Steps of an epoch; the products left over by whole batches wait for another epoch's order."""
        return len(self._table) // self._batch

    def batch(self, epoch: int, step: int) -> Batch:
        """Return the batch of `step` in `epoch`, both from 0: the same arguments give the same batch."""
        rng = np.random.default_rng([self._sampling.seed, epoch, 1 + step])
        rows = self._order(epoch)[step * self._batch : (step + 1) * self._batch]
        starts, ends = self._table.starts[rows], self._table.starts[rows + 1]
        pixels = self._table.pixels[rng.integers(starts, ends)]
        kinds = rng.choice(self._kinds, size=len(rows), p=self._shares)
        products = [self._table.products[row] for row in rows]
        return Batch(
            pixels=torch.from_numpy(np.array(pixels)),
            zooms=torch.from_numpy(_zooms(rng, len(rows), self._sampling.augment)),
            texts=tuple(self._words(p, str(kind), rng) for p, kind in zip(products, kinds, strict=True)),
            entities=tuple(self._kept(product, rng) for product in products),
            products=tuple(int(row) for row in rows),
        )

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._sampling.seed, epoch, 0]).permutation(len(self._table))

    def _words(self, product: Product, kind: str, rng: np.random.Generator) -> str:
        match kind:
            case "title":
                return product.title
            case "description" if product.description:
                return product.description
            case "query":
                return _query(product.title, rng)
        return canonical_text(product, self._sampling.text_fields) or product.title

    def _kept(self, product: Product, rng: np.random.Generator) -> Mapping[str, str]:
        """Withhold entities; the draws do not depend on what the product states."""
        draws = rng.random(1 + len(self._sampling.groups))
        if draws[0] < self._sampling.dropout.whole:
            return {}
        stated = product.entities(self._sampling.groups)
        pairs = zip(self._sampling.groups, draws[1:], strict=True)
        return {g: stated[g] for g, draw in pairs if g in stated and draw >= self._sampling.dropout.each}


def _query(title: str, rng: np.random.Generator) -> str:
    words = title.split()
    count = min(int(rng.integers(*_QUERY_WORDS)), len(words))
    kept = np.sort(rng.choice(len(words), size=count, replace=False))
    return " ".join(words[k] for k in kept)


def _zooms(rng: np.random.Generator, count: int, augment: AugmentConfig) -> NDArray[np.float32]:
    zooms = np.zeros((count, 2, 3), dtype=np.float32)
    zooms[:, 0, 0] = zooms[:, 1, 1] = rng.uniform(1 - augment.scale, 1 + augment.scale, count)
    zooms[:, :, 2] = rng.uniform(-2 * augment.shift, 2 * augment.shift, (count, 2))  # the side spans -1..1
    return zooms
