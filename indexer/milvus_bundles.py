"""Bundles in Milvus: copied there, made the one that aliases lead to, taken back, removed.

The alias `catalens_<space>` leads to the collection of the published bundle, `catalens_<space>_before` to the one
before: for whoever searches in Milvus without this program. The service names the collection of the very bundle it
serves, for rows mean nothing without it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from indexer.bundle import Bundle
from indexer.manifest import SPACES, Space
from indexer.milvus import MilvusIndex, collection_name
from indexer.milvus_client import Kind, Milvus, MilvusError, Stated
from indexer.milvus_fields import product_fields

Tell = Callable[[int], object]

BLOCK: Final = 2_000  # rows read and written at a time
_SAMPLE: Final = 16
_ALIKE: Final = 1e-3
_BEFORE: Final = "_before"


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection of ours, how many rows it has, and the aliases that lead to it."""

    name: str
    stated: Stated
    rows: int
    aliases: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return it as `--json` prints it."""
        return {"name": self.name, "rows_found": self.rows, "aliases": list(self.aliases), **asdict(self.stated)}


def alias_of(space: Space) -> str:
    """Return the alias that leads to the published collection of a space."""
    return f"catalens_{space}"


def _suited(bundle: Bundle, space: Space) -> Kind:
    """Return what suits a bundle: exact where its own index is, else a graph."""
    return Kind.EXACT if bundle.manifest.indexes[space].recipe == "SQfp16" else Kind.HNSW


def index_of(milvus: Milvus, bundle: Bundle, space: Space, kind: Kind | None = None) -> MilvusIndex:
    """Return the index of a space of `bundle` in Milvus, which need not be there yet."""
    rows, dim = bundle.vectors[space].shape
    encoder = bundle.manifest.encoder.fingerprint
    stated = Stated(bundle.manifest.id, space, rows, dim, kind or _suited(bundle, space), encoder)
    return MilvusIndex(milvus, collection_name(bundle.manifest.id, space), stated)


def push(milvus: Milvus, bundle: Bundle, tell: Tell, kind: Kind | None = None, *, again: bool = False) -> list[str]:
    """Copy a bundle's vectors to Milvus and return the names of its collections; `tell` is given the rows written.

    One that is there and complete is left as it is, unless it is to be written `again`; one that is not is completed.

    Raises:
        MilvusError: Milvus did not answer, or a collection of this name holds something else.
    """
    names = []
    for space in SPACES:
        index = index_of(milvus, bundle, space, kind)
        if index.ntotal:
            names.append(index.name)
            _push(milvus, bundle, space, index, tell, again=again)
    return names


def _push(milvus: Milvus, bundle: Bundle, space: Space, index: MilvusIndex, tell: Tell, *, again: bool) -> None:
    found = milvus.stated(index.name)
    if found is None:
        milvus.create(index.name, index.stated)
    elif found != index.stated:
        msg = f"Milvus at {milvus.uri}: {index.name} holds {found}: drop it first"
        raise MilvusError(msg)
    elif not again and _complete(milvus, index):
        tell(index.ntotal)
        return
    for start in range(0, index.ntotal, BLOCK):
        stop = min(index.ntotal, start + BLOCK)
        products = np.arange(start, stop) if space == "text" else bundle.image_rows[start:stop]
        first = int(products[0])
        fields = product_fields(bundle.fields, first, int(products[-1]) + 1)
        index.upsert(
            range(start, stop),
            bundle.vectors[space][start:stop].astype(np.float32),
            products.tolist(),
            [fields[row - first] for row in products.tolist()],
        )
        tell(stop - start)
    milvus.finish(index.name)
    _check(bundle, space, index)


def _complete(milvus: Milvus, index: MilvusIndex) -> bool:
    milvus.load(index.name)
    return milvus.count(index.name) >= index.ntotal


def _check(bundle: Bundle, space: Space, index: MilvusIndex) -> None:
    """Make sure that rows written are found: vectors of a sample find one as near as themselves.

    Raises:
        MilvusError: they do not.
    """
    rows = np.unique(np.linspace(0, index.ntotal - 1, _SAMPLE).astype(np.int64))
    vectors = bundle.vectors[space][rows].astype(np.float32)
    own = (vectors * vectors).sum(axis=1)
    found, _ = index.search(vectors, 1)
    if (found[:, 0] < own - _ALIKE).any():
        msg = f"rows of {index.name} do not find themselves: Milvus lost some of what was written"
        raise MilvusError(msg)


def publish(milvus: Milvus, bundle: Bundle) -> None:
    """Have the aliases lead to a bundle that was copied to Milvus before.

    Raises:
        MilvusError: it is not there, or not all of it.
    """
    indexes = {space: index_of(milvus, bundle, space) for space in SPACES}
    having = {space: index for space, index in indexes.items() if index.ntotal}
    for index in having.values():
        index.check_complete()
    for space, index in having.items():
        _point(milvus, alias_of(space), index.name)


def _point(milvus: Milvus, alias: str, name: str) -> None:
    before = milvus.target(alias)
    if before == name:
        return
    if before is not None:
        milvus.point(alias + _BEFORE, before)
    milvus.point(alias, name)


def rollback(milvus: Milvus) -> dict[str, str]:
    """Have the aliases lead to what they led to before, and return that, alias to collection.

    Raises:
        MilvusError: there was nothing before.
    """
    turned = {}
    for space in SPACES:
        alias = alias_of(space)
        now, before = milvus.target(alias), milvus.target(alias + _BEFORE)
        if now is not None and before is not None:
            turned[alias] = (now, before)
    if not turned:
        msg = f"Milvus at {milvus.uri}: nothing was published before"
        raise MilvusError(msg)
    for alias, (now, before) in turned.items():
        milvus.point(alias, before)
        milvus.point(alias + _BEFORE, now)
    return {alias: before for alias, (_, before) in turned.items()}


def collections(milvus: Milvus) -> list[Collection]:
    """Return all collections of this program."""
    aliases = [alias_of(space) + end for space in SPACES for end in ("", _BEFORE)]
    targets = {alias: milvus.target(alias) for alias in aliases}
    found = []
    for name in milvus.names():
        if not name.startswith("catalens_"):
            continue
        stated = milvus.stated(name)
        if stated is not None:
            milvus.load(name)
            leading = tuple(alias for alias, target in targets.items() if target == name)
            found.append(Collection(name, stated, milvus.count(name), leading))
    return found


def drop(milvus: Milvus, bundle_id: str) -> list[str]:
    """Remove the collections of a bundle and return their names.

    Raises:
        MilvusError: there are none, or the bundle is published.
    """
    mine = [one for one in collections(milvus) if one.stated.bundle == bundle_id]
    live = [one.name for one in mine if any(not alias.endswith(_BEFORE) for alias in one.aliases)]
    if live or not mine:
        msg = f"Milvus at {milvus.uri}: {bundle_id} is {'published' if live else 'not there'}"
        raise MilvusError(msg)
    for one in mine:
        for alias in one.aliases:
            milvus.unpoint(alias)
        milvus.drop(one.name)
    return [one.name for one in mine]
