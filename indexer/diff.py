"""What changed from one bundle to another: settings, products, categories, and whom a product stands beside.

Catalogues are compared column by column. Whether a change is for the better is left to `indexer.gate` and judged
queries.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from indexer.against import category_counts, common_rows, differing
from indexer.bundle import Bundle
from indexer.evaluate import K, sample_rows
from indexer.manifest import SPACES, FusionWeights, Space
from indexer.products import SCHEMA
from indexer.ranking import rank

_ALONE: Final[Mapping[Space, FusionWeights]] = {
    "image": FusionWeights(image=1, text=0),
    "text": FusionWeights(image=0, text=1),
}
_FIELDS: Final = tuple(name for name in SCHEMA.names if name != "id")
_MOVED: Final = 10  # categories told of

Rows = NDArray[np.int64]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ids(_Record):
    """Which products: those added and removed, and the fields that changed of others."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]


class Difference(_Record):
    """From the bundle `before` to the bundle `after`.

    Attributes:
        same_content: whether their digests are equal.
        settings: what the manifests state otherwise, each with both values: encoder, recipes, weights, log position.
        products: how many there were and are.
        added: products that only `after` has.
        removed: those that only `before` has.
        changed: products of both with a field that differs; `fields` tells by field.
        categories: those whose counts moved most, before and after.
        neighbours: of sampled products of both, the share of the ten nearest that are the same, by space.
        sampled: how many were.
        ids: which; None: not asked for.
    """

    before: str
    after: str
    same_content: bool
    settings: Mapping[str, tuple[str, str]]
    products: tuple[int, int]
    added: int
    removed: int
    changed: int
    fields: Mapping[str, int]
    categories: Mapping[str, tuple[int, int]]
    neighbours: Mapping[Space, float]
    sampled: int
    ids: Ids | None = None


def compare(before: Bundle, after: Bundle, *, with_ids: bool = False, sample: int = 100, seed: int = 0) -> Difference:
    """Return what changed from one open bundle to another; neighbours of `sample` products are compared."""
    new, old = common_rows(after.products, before.products)
    changes = {
        name: found for name in _FIELDS if (found := differing(after.products, before.products, name, new, old)).any()
    }
    any_change = np.logical_or.reduce(list(changes.values())) if changes else np.zeros(len(new), np.bool_)
    chosen = sample_rows(np.random.default_rng(seed), len(new), sample)
    return Difference(
        before=before.manifest.id,
        after=after.manifest.id,
        same_content=before.manifest.digest == after.manifest.digest,
        settings=_settings(before, after),
        products=(len(before.products), len(after.products)),
        added=len(after.products) - len(new),
        removed=len(before.products) - len(old),
        changed=int(any_change.sum()),
        fields={name: int(found.sum()) for name, found in changes.items()},
        categories=_categories(before, after),
        neighbours=_neighbours(before, after, old[chosen], new[chosen]),
        sampled=len(chosen),
        ids=_ids(before, after, changes, (old, new)) if with_ids else None,
    )


def _settings(before: Bundle, after: Bundle) -> Mapping[str, tuple[str, str]]:
    stated = [_stated(bundle) for bundle in (before, after)]
    names = dict.fromkeys(name for each in stated for name in each)
    pairs = {name: (stated[0].get(name, "-"), stated[1].get(name, "-")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _stated(bundle: Bundle) -> dict[str, str]:
    manifest = bundle.manifest
    stated = {
        "encoder": f"{manifest.encoder.name} ({manifest.encoder.fingerprint[:12]})",
        "text fields": ", ".join(manifest.encoder.text_fields),
        "entity groups": ", ".join(manifest.encoder.entity_groups),
        "log position": manifest.log_position or "-",
        "exact rows": str(manifest.exact_rows),
    }
    stated |= {f"recipe of {space}": index.recipe for space, index in manifest.indexes.items()}
    stated |= {f"width of {space}": str(index.width or "-") for space, index in manifest.indexes.items()}
    for kind, weights in manifest.fusion.items():
        stated |= {f"weight of {part}, {kind} queries": f"{value:g}" for part, value in weights}
    return stated


def _categories(before: Bundle, after: Bundle) -> Mapping[str, tuple[int, int]]:
    """Return the categories whose counts moved most, those that moved most first."""
    old, new = (category_counts(bundle.products) for bundle in (before, after))
    pairs = {name: (old.get(name, 0), new.get(name, 0)) for name in {**old, **new}}
    moved = [name for name, (one, other) in pairs.items() if one != other]
    moved.sort(key=lambda name: (-abs(pairs[name][1] - pairs[name][0]), name))
    return {name: pairs[name] for name in moved[:_MOVED]}


def _neighbours(before: Bundle, after: Bundle, old: Rows, new: Rows) -> Mapping[Space, float]:
    """Return how many of the ten products nearest to sampled ones are the same, by space."""
    found: dict[Space, float] = {}
    for space in SPACES:
        shares = []
        for old_row, new_row in zip(old.tolist(), new.tolist(), strict=True):
            one, other = _nearest(before, space, old_row), _nearest(after, space, new_row)
            if one and other:
                shares.append(len(one & other) / max(len(one), len(other)))
        if shares:
            found[space] = round(float(np.mean(shares)), 4)
    return found


def _nearest(bundle: Bundle, space: Space, row: int) -> set[str]:
    """Return the ids of the ten products nearest to that of `row`; none where it has no vector there."""
    if space == "image" and not bundle.picture_count(row):
        return set()
    place = row if space == "text" else int(bundle.image_starts[row])
    q = np.asarray(bundle.vectors[space][place], np.float32)
    rows = rank(bundle, q, _ALONE[space], K + 1).rows
    return {bundle.products.id_of(int(near)) for near in rows if near != row} if len(rows) > 1 else set()


def _ids(before: Bundle, after: Bundle, changes: Mapping[str, NDArray[np.bool_]], common: tuple[Rows, Rows]) -> Ids:
    old, new = common
    changed: dict[str, list[str]] = {}
    for name, where in changes.items():
        for row in new[where].tolist():
            changed.setdefault(after.products.id_of(row), []).append(name)
    return Ids(
        added=_others(after, new),
        removed=_others(before, old),
        changed={product_id: tuple(names) for product_id, names in changed.items()},
    )


def _others(bundle: Bundle, rows: Rows) -> tuple[str, ...]:
    """Return the ids of the products that are not at `rows`."""
    others: Sequence[int] = np.setdiff1d(np.arange(len(bundle.products)), rows).tolist()
    return tuple(bundle.products.id_of(row) for row in others)


def words(found: Difference) -> str:
    """Return a difference in words."""
    if found.same_content:
        head = f"{found.before} and {found.after} hold the same"
    else:
        head = f"{found.before} ({found.products[0]:,} products) to {found.after} ({found.products[1]:,})"
    lines = [head, f"  products: {found.added:,} added, {found.removed:,} removed, {found.changed:,} changed"]
    lines += [f"    {name}: {number:,}" for name, number in found.fields.items()]
    lines += [f"  {name}: {one} -> {other}" for name, (one, other) in found.settings.items()]
    lines += [f"  category {name}: {one:,} -> {other:,}" for name, (one, other) in found.categories.items()]
    lines += [
        f"  {space} neighbours: {share:.1%} of the ten nearest are the same ({found.sampled} products sampled)"
        for space, share in found.neighbours.items()
    ]
    if found.ids is not None:
        lines += [f"+ {one}" for one in found.ids.added] + [f"- {one}" for one in found.ids.removed]
        lines += [f"~ {one}: {', '.join(names)}" for one, names in found.ids.changed.items()]
    return "\n".join(lines)
