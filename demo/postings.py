"""Which products have which attribute: the ground truth queries are judged by.

Four bytes per product and attribute, so a shop of a million products fits in memory.
"""

from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from demo.items import Item
from demo.patterns import Pattern

Condition = tuple[str, str]
"""An attribute's name and value: `brand`, `colour`, a slot of `demo.taxonomy` ..."""


def conditions(item: Item) -> list[Condition]:
    """Return all that is true of `item`."""
    return [
        ("brand", item.brand),
        ("category", item.category),
        ("season", item.season),
        ("composition", item.composition.value),
        ("colour", item.colour),
        ("second_colour", item.second_colour),
        ("pattern", item.pattern.value),
        *item.details.items(),
    ]


class Postings:
    """For each attribute the numbers of the products that have it, in rising order."""

    def __init__(self) -> None:
        self._lists: dict[Condition, array[int]] = {}
        self.count = 0

    def add(self, item: Item) -> None:
        """Take `item` in; numbers must come in rising order."""
        for condition in conditions(item):
            self._lists.setdefault(condition, array("I")).append(item.number)
        self.count += 1

    def matching(self, wanted: Iterable[Condition]) -> list[int]:
        """Return the numbers of the products for which all of `wanted` holds, in rising order."""
        lists = sorted((self._lists.get(condition, array("I")) for condition in wanted), key=len)
        found: NDArray[np.uint32] = (
            np.frombuffer(lists[0], dtype=np.uint32) if len(lists[0]) else np.empty(0, np.uint32)
        )
        for other in lists[1:]:
            if not found.size:
                break
            found = np.intersect1d(found, np.frombuffer(other, dtype=np.uint32), assume_unique=True)
        return [int(number) for number in found]


def patterned(item: Item) -> bool:
    """Tell whether the pattern of `item` has a name worth searching for."""
    return item.pattern is not Pattern.PLAIN
