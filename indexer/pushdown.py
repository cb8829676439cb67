"""Filters that an index elsewhere can apply by itself: the expression, and which rows it admits there.

A search still says which rows it wants (`among`); the expression is a short way of saying most of that. Indexes in
memory take the mask and need none of this.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from indexer.asking import Mask
from indexer.index import SearchIndex
from indexer.manifest import Space
from indexer.searchable import Searchable


@dataclass(frozen=True, slots=True)
class Pushed:
    """A filter in the language of an index.

    Attributes:
        expression: what it is told.
        admitted: `(ntotal,) bool`, the rows that the expression admits, as they were when the index was made.
    """

    expression: str
    admitted: Mask


@runtime_checkable
class FilterIndex(Protocol):
    """An index that can be told filters in a language of its own."""

    def under(self, pushed: Pushed) -> SearchIndex:
        """Return the same index for searches under a filter, whose masks may differ from it in some rows."""
        ...


def under(bundle: Searchable, pushed: Mapping[Space, Pushed]) -> Searchable:
    """Return the same catalogue for searches under a filter; its indexes are told of it, those that can be."""
    other = copy.copy(bundle)
    indexes: dict[Space, SearchIndex] = {}
    for space, index in bundle.indexes.items():
        indexes[space] = index.under(pushed[space]) if isinstance(index, FilterIndex) else index
    other.indexes = indexes  # type: ignore[misc]  # what serves it has a mapping there; the protocol only reads it
    return other
