"""A bundle that follows an update log: entries in, the catalogue as it is now out.

A product that was put, or patched in more than numbers, gets a row in a new segment, and its old row dies; a patched
price or stock changes where it stands. Small segments are merged into larger ones, so there are few of them however
many changes come. Only one thread applies; views may be read by all.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import orjson

from indexer.bundle import Bundle
from indexer.layers import Layer, Segment, values_of
from indexer.updates import EncodedProduct, Entry, Kind, Position, patched
from indexer.updates import Fields as Patch
from indexer.view import View
from models.product import AttributeValue

Encode = Callable[[EncodedProduct], EncodedProduct]

FANOUT: Final = 4  # segments of about one size before they are merged into one


@dataclass
class _Plan:
    """What a batch of entries comes to.

    Attributes:
        added: products that get a row of their own, by id.
        died: rows of layers that are replaced or deleted.
        values: numbers and booleans that change where they stand: layer, row and values by field.
    """

    added: dict[str, EncodedProduct] = field(default_factory=dict)
    died: dict[int, set[int]] = field(default_factory=dict)
    values: dict[int, list[tuple[int, Mapping[str, AttributeValue | None]]]] = field(default_factory=dict)


class LiveCatalogue:
    """The catalogue of a bundle as the entries of a log have changed it.

    Args:
        bundle: what it begins with.
        encode: makes vectors of a product anew, where another encoder made those of its entry.

    Attributes:
        view: what it is now.
        changed: how many products have rows above the bundle.
    """

    def __init__(self, bundle: Bundle, encode: Encode) -> None:
        self._bundle = bundle
        self._encode = encode
        self.view: View = self.reset()

    @property
    def changed(self) -> int:
        """Products that stand above the bundle."""
        return sum(layer.n - layer.died for layer in self.view.layers[1:])

    def reset(self) -> View:
        """Return to the bundle as it was built, for another log to be applied."""
        self.view = View(self._bundle, [Layer.of(self._bundle)])
        return self.view

    def start(self, tail: Position) -> int:
        """Return the number of the last entry, of the log that ends at `tail`, which the bundle holds already."""
        return tail.after(self._bundle.manifest.log_position)

    def apply(self, entries: Iterable[Entry]) -> View:
        """Apply `entries`, in order, and return what the catalogue is now. Applying one twice does no harm.

        Raises:
            ValueError: one of them cannot be applied; then none is.
        """
        plan = _Plan()
        for entry in entries:
            if entry.kind == Kind.DAMAGED:
                msg = f"entry {entry.seq} of the update log cannot be read"
                raise ValueError(msg)
            if entry.kind == Kind.PATCH:
                self._patch(plan, entry.product_id, orjson.loads(entry.payload))
                continue
            self._kill(plan, entry.product_id)
            if entry.kind == Kind.PUT:
                encoded = EncodedProduct.from_bytes(entry.payload)
                stated = self._bundle.manifest.encoder
                encoded = encoded if encoded.fingerprint == stated.fingerprint else self._encode(encoded)
                encoded.expect(stated.dim)
                plan.added[entry.product_id] = encoded
        self.view = self._view(plan)
        return self.view

    def _kill(self, plan: _Plan, product_id: str) -> None:
        plan.added.pop(product_id, None)
        place = self._place(plan, product_id)
        if place is not None:
            number, row = place
            plan.died.setdefault(number, set()).add(row)

    def _place(self, plan: _Plan, product_id: str) -> tuple[int, int] | None:
        """Return layer and row of a product that neither is dead nor dies with this batch."""
        for number in range(len(self.view.layers) - 1, -1, -1):
            row = self.view.layers[number].row_of(product_id)
            if row is not None:
                return None if row in plan.died.get(number, ()) else (number, row)
        return None

    def _patch(self, plan: _Plan, product_id: str, patch: Patch) -> None:
        """Change a product that is there; one that is not was deleted by a build since, with its feed."""
        if product_id in plan.added:
            plan.added[product_id] = _patched(plan.added[product_id], patch)
            return
        place = self._place(plan, product_id)
        if place is None:
            return
        number, row = place
        values = values_of(patch, self._bundle.fields)
        if values is not None:
            plan.values.setdefault(number, []).append((row, values))
            return
        layer = self.view.layers[number]
        for changed, stated in plan.values.get(number, ()):
            if changed == row:
                layer = layer.with_values([(row, stated)], self._bundle.fields)
        encoded = layer.encoded(row, self._bundle.manifest.encoder.fingerprint)
        plan.died.setdefault(number, set()).add(row)
        plan.added[product_id] = _patched(encoded, patch)

    def _view(self, plan: _Plan) -> View:
        layers = [self._changed(number, layer, plan) for number, layer in enumerate(self.view.layers)]
        if plan.added:
            layers.append(Layer.of(Segment(list(plan.added.values()), self._bundle)))
        return View(self._bundle, [layers[0], *self._merged(layers[1:])])

    def _changed(self, number: int, layer: Layer, plan: _Plan) -> Layer:
        if number in plan.values:
            layer = layer.with_values(plan.values[number], self._bundle.fields)
        return layer.without(plan.died[number]) if number in plan.died else layer

    def _merged(self, layers: Sequence[Layer]) -> list[Layer]:
        """Return the segments with the living products of small ones joined, as in a log-structured merge tree."""
        kept = [layer for layer in layers if layer.died < layer.n]
        while len(small := _smallest(kept)) >= FANOUT:
            fingerprint = self._bundle.manifest.encoder.fingerprint
            living = [
                layer.encoded(row, fingerprint) for layer in small for row in np.flatnonzero(~layer.dead).tolist()
            ]
            kept = [*kept[: -len(small)], Layer.of(Segment(living, self._bundle))]
        return kept


def _smallest(layers: Sequence[Layer]) -> Sequence[Layer]:
    """Return the last layers, all those that are not larger by FANOUT than the very last."""
    levels = [int(math.log(layer.n - layer.died, FANOUT)) for layer in layers]
    larger = [at for at, level in enumerate(levels) if level > levels[-1]]
    return layers[larger[-1] + 1 if larger else 0 :]


def _patched(encoded: EncodedProduct, patch: Patch) -> EncodedProduct:
    """Return a product with fields changed that its vectors do not depend on."""
    return replace(encoded, product=patched(encoded.product, patch))
