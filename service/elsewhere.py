"""Where the indexes of a bundle are searched: in this process on the CPU, on a GPU, or in Milvus.

Products, words, filters and facets are always the bundle's own; only the lists of nearest vectors come from elsewhere.
While they cannot be had, the bundle's own indexes make them, and answers name `index` in `degraded`.
"""

import functools
import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

from indexer.bundle import Bundle
from indexer.exact_torch import free_bytes
from indexer.index import FaissIndex
from indexer.manifest import Space
from indexer.placing import place
from indexer.pushdown import Pushed, under
from indexer.searchable import Searchable
from indexer.standby import StandbyIndex
from service.errors import StartupError
from service.filters import Filters
from service.pushdown import expression
from service.query import Filter
from service.settings import Settings

INDEX: Final = "index"  # what `degraded` names
CPU: Final = "cpu"
AUTO: Final = "auto"
_KEPT: Final = 256  # filters whose expression and masks are kept
_Kept = Mapping[Space, Pushed]


class Elsewhere:
    """What of a bundle's indexes is elsewhere, made once `bundle.indexes` lead there. Safe to use from threads.

    Args:
        bundle: whose indexes they are.
        told: whether they can be told filters.
    """

    def __init__(self, bundle: Bundle, *, told: bool) -> None:
        self._indexes = [index for index in bundle.indexes.values() if isinstance(index, StandbyIndex)]
        self._told = told
        # Not a method of its own: with a circle the bundle and what is on a card would outlive their last use.
        self._pushed = functools.lru_cache(_KEPT)(functools.partial(_compiled, bundle, Filters(bundle.fields)))

    @property
    def lacking(self) -> frozenset[str]:
        """What answers go without at present."""
        return frozenset() if all(index.available for index in self._indexes) else frozenset({INDEX})

    def under(self, catalogue: Searchable, stated: Filter | None) -> Searchable:
        """Return a catalogue above the bundle for searches under a filter, of which indexes that can be are told."""
        if stated is None or not self._told:
            return catalogue
        pushed = self._pushed(json.dumps(stated, sort_keys=True))
        return catalogue if pushed is None else under(catalogue, pushed)


def _compiled(bundle: Bundle, filters: Filters, text: str) -> _Kept | None:
    """Return what tells Milvus of a filter in each space, and which rows that admits; None where it cannot be told."""
    stated = json.loads(text)
    said = expression(stated, bundle.fields, bundle.products)
    if said is None:
        return None
    admitted = filters.mask(stated)
    return {"text": Pushed(said, admitted), "image": Pushed(said, admitted[bundle.image_rows])}


def expect_elsewhere(settings: Settings) -> None:
    """Make sure that there is what `settings` have vectors be searched with.

    Raises:
        StartupError: there is no such device, or the package for Milvus is missing.
    """
    if settings.milvus_uri is not None:
        if find_spec("pymilvus") is None:
            msg = "milvus_uri: pymilvus is not installed: install catalens with the extra `milvus`"
            raise StartupError(msg)
    elif settings.index_device not in {AUTO, CPU} and free_bytes(settings.index_device) is None:
        msg = f"index_device: torch finds no {settings.index_device} here"
        raise StartupError(msg)


def search_elsewhere(bundle: Bundle, settings: Settings) -> Elsewhere | None:
    """Have the indexes of a bundle be searched where `settings` say; None where that is here.

    Raises:
        StartupError: there is no such device, or the package for Milvus is missing.
    """
    expect_elsewhere(settings)
    if settings.milvus_uri is not None:
        _to_milvus(bundle, settings)
    else:
        _to_device(bundle, settings.index_device)
    if not any(isinstance(index, StandbyIndex) for index in bundle.indexes.values()):
        return None
    return Elsewhere(bundle, told=settings.milvus_uri is not None)


def _to_device(bundle: Bundle, wanted: str) -> None:
    if wanted == CPU:
        return
    device = "cuda" if wanted == AUTO else wanted
    if free_bytes(device) is None:
        return
    indexes = dict(bundle.indexes)
    for space, index in bundle.indexes.items():
        if isinstance(index, FaissIndex):
            indexes[space] = place(index, bundle.vectors[space], device, free_bytes(device))
    bundle.indexes = indexes


def _to_milvus(bundle: Bundle, settings: Settings) -> None:
    from indexer.milvus_bundles import index_of  # noqa: PLC0415 - an extra
    from indexer.milvus_client import Milvus  # noqa: PLC0415

    token = settings.milvus_token.get_secret_value() if settings.milvus_token is not None else ""
    milvus = Milvus(settings.milvus_uri or "", token, settings.milvus_timeout_ms / 1000)
    bundle.indexes = {
        space: StandbyIndex(index_of(milvus, bundle, space), index, "Milvus") if index.ntotal else index
        for space, index in bundle.indexes.items()
    }
