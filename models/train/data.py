"""Training examples: which picture, which words and which entities of each product, step by step.

Every choice is drawn from (seed, epoch, step) alone, so a resumed run sees what an uninterrupted one would
have seen. How entities reach the model is left to it: all systems are shown the same examples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.encoder import Entities
from models.product import Product, TextField, canonical_text
from models.train.config import AugmentConfig, EntityDropout, NearConfig, TextMix
from models.train.pixels import PictureTable

_QUERY_UNITS = (1, 5)  # one to four
_MARKS = ",.;:-()"


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of distinct products.

    Attributes:
        pixels: `(n, h, w, 3) uint8`, or `(n, f) float16` of a trunk that is held.
        zooms: `(n, 2, 3) float32`, the affine map of each picture's augmentation, for `affine_grid`.
        texts: the words of each.
        entities: the entities of each that were not withheld.
        products: row of each product in its table.
        suits: `(n, n) bool`, True where the picture of the row also shows what the text of the column asks for,
            being a short query that names no one product.
        left_out: share of the tokens of each text that the model is not shown.
        draw: seed of which.
    """

    pixels: Tensor
    zooms: Tensor
    texts: tuple[str, ...]
    entities: tuple[Entities, ...]
    products: tuple[int, ...]
    suits: Tensor
    left_out: float = 0.0
    draw: int = 0


@dataclass(frozen=True, slots=True)
class _Reading:
    """The words and entities an example is given; `asked`: the units of a short query, else None."""

    words: str
    entities: Mapping[str, str]
    asked: frozenset[str] | None = None


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
    near: NearConfig


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
        pictures = rng.integers(starts, ends)
        kinds = rng.choice(self._kinds, size=len(rows), p=self._shares)
        products = [self._table.products[row] for row in rows]
        readings = [self._read(product, str(kind), rng) for product, kind in zip(products, kinds, strict=True)]
        zooms = _zooms(rng, len(rows), self._sampling.augment)
        return Batch(
            pixels=torch.from_numpy(self._table.shown(pictures, mirrored=zooms[:, 0, 0] < 0)),
            zooms=torch.from_numpy(zooms),
            texts=tuple(reading.words for reading in readings),
            entities=tuple(self._kept(reading.entities, rng) for reading in readings),
            products=tuple(int(row) for row in rows),
            suits=self._suits(products, readings),
            left_out=self._sampling.augment.words,
            draw=int(rng.integers(2**31)),
        )

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self._sampling.seed, epoch, 0])
        order = rng.permutation(len(self._table))
        group = self._sampling.near.group
        if group is None:
            return order
        values = [self._table.products[row].entities((group,)).get(group) for row in order]
        return order[near_each_other(values, self._sampling.near.size, rng)]

    def _read(self, product: Product, kind: str, rng: np.random.Generator) -> _Reading:
        stated = product.entities(self._sampling.groups)
        match kind:
            case "title":
                return _Reading(product.title, stated)
            case "description" if product.description:
                return _Reading(product.description, stated)
            case "query":
                units = _units(product.title, stated)
                count = min(int(rng.integers(*_QUERY_UNITS)), len(units))
                asked = [units[k] for k in rng.permutation(len(units))[:count]]
                named = {group: value for group, value in stated.items() if value in asked}
                return _Reading(" ".join(asked), named, frozenset(map(str.casefold, asked)))
        return _Reading(canonical_text(product, self._sampling.text_fields) or product.title, stated)

    def _suits(self, products: Sequence[Product], readings: Sequence[_Reading]) -> Tensor:
        """Return which pictures show what each short query asks for, `(n, n) bool`."""
        shown = [
            {unit.casefold() for unit in _units(product.title, product.entities(self._sampling.groups))}
            for product in products
        ]
        suits = torch.zeros(len(products), len(products), dtype=torch.bool)
        for column, reading in enumerate(readings):
            if reading.asked is not None:
                suits[:, column] = torch.tensor([reading.asked <= units for units in shown])
        return suits

    def _kept(self, stated: Mapping[str, str], rng: np.random.Generator) -> Mapping[str, str]:
        """Withhold entities; the draws do not depend on what is stated."""
        draws = rng.random(1 + len(self._sampling.groups))
        if draws[0] < self._sampling.dropout.whole:
            return {}
        pairs = zip(self._sampling.groups, draws[1:], strict=True)
        return {g: stated[g] for g, draw in pairs if g in stated and draw >= self._sampling.dropout.each}


def _units(title: str, stated: Mapping[str, str]) -> list[str]:
    """Return the entities of a product as whole units, and the words of its title that are no part of one."""
    taken = {word.casefold() for value in stated.values() for word in value.split()}
    words = (word.strip(_MARKS) for word in title.split())
    return [*dict.fromkeys(stated.values()), *(word for word in words if word and word.casefold() not in taken)]


def near_each_other(values: Sequence[str | None], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return an order of the positions of `values` in which `size` of one value at a time stand together.

    What is left of each value when no whole run can be made of it, and what has none, makes up mixed runs. The
    runs come in random order; the positions of a run keep theirs.
    """
    waiting: dict[str, list[int]] = {}
    runs: list[list[int]] = []
    mixed: list[int] = []
    for position, value in enumerate(values):
        if value is None:
            mixed.append(position)
            continue
        run = waiting.setdefault(value, [])
        run.append(position)
        if len(run) == size:
            runs.append(waiting.pop(value))
    mixed += [position for run in waiting.values() for position in run]
    mixed = [mixed[k] for k in rng.permutation(len(mixed))]
    runs += [mixed[start : start + size] for start in range(0, len(mixed), size)]
    return np.array([position for k in rng.permutation(len(runs)) for position in runs[k]], dtype=np.int64)


def _zooms(rng: np.random.Generator, count: int, augment: AugmentConfig) -> NDArray[np.float32]:
    zooms = np.zeros((count, 2, 3), dtype=np.float32)
    zooms[:, 0, 0] = zooms[:, 1, 1] = rng.uniform(1 - augment.scale, 1 + augment.scale, count)
    zooms[:, :, 2] = rng.uniform(-2 * augment.shift, 2 * augment.shift, (count, 2))  # the side spans -1..1
    if augment.mirror:
        zooms[:, 0, 0] *= np.where(rng.random(count) < augment.mirror, -1, 1)
    return zooms
