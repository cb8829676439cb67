"""Folding the update log into a catalogue on its way to the next bundle: the feed as the log has changed it.

What the log holds of a product counts for more than its row in the feed, however often the catalogue is built: a
product that was deleted stays so, one that was put is there though the feed lacks it. Entries that are older than the
feed itself are left out with `as_of`. An entry replaced while a build runs has a later one behind the bundle's
position, which whoever serves the bundle applies.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson

from indexer.catalogue import BytesImage, CatalogueRow, ImageSource, RejectedRow, UrlImage
from indexer.updates import EncodedProduct, Entry, Kind, Position, UpdateLog, patched

_AT_ONCE = 100  # entries read at a time: pictures come with them


@dataclass
class _Held:
    """Which entries the log has of a product, by number; 0: none."""

    base: int = 0
    deleted: bool = False
    patch: int = 0


class Fold:
    """The changes of a log up to now, to be folded into a feed.

    Args:
        log: the log.
        as_of: leave out what was stored until then, in seconds since 1970: the feed has it.

    Attributes:
        as_of: see above.
        position: the place in the log that a bundle built with this fold stands at.
        put: products the log had whole.
        changed: products of the feed that it changed.
        deleted: products of the feed that it left out.
    """

    def __init__(self, log: UpdateLog, as_of: float | None = None) -> None:
        self._log = log
        self.as_of = as_of
        self.position: Position = log.tail()
        self.put = self.changed = self.deleted = 0
        self._held: dict[str, _Held] = {}
        for entry in self._entries():
            if entry.kind != Kind.DAMAGED and (as_of is None or entry.at > as_of):
                held = self._held.setdefault(entry.product_id, _Held())
                if entry.kind == Kind.PATCH:
                    held.patch = entry.seq
                else:
                    held.base, held.deleted = entry.seq, entry.kind == Kind.DELETE

    def rows(self, feed: Iterable[CatalogueRow | RejectedRow]) -> Iterator[CatalogueRow | RejectedRow]:
        """Yield the rows of `feed` as the log has changed them, then the products that only the log has."""
        seen: set[str] = set()
        for row in feed:
            held = self._held.get(row.product.id) if isinstance(row, CatalogueRow) else None
            if held is None or isinstance(row, RejectedRow):
                yield row
                continue
            seen.add(row.product.id)
            if held.deleted:
                self.deleted += 1
                continue
            yield self._changed(row, held)
        for product_id, held in self._held.items():
            if product_id not in seen and held.base and not held.deleted:
                whole = self._whole(held, None)
                if whole is not None:
                    yield self._patched(whole, held)

    def _changed(self, row: CatalogueRow, held: _Held) -> CatalogueRow:
        whole = self._whole(held, row) if held.base else None
        if whole is None:
            self.changed += 1
        return self._patched(whole or row, held)

    def _whole(self, held: _Held, row: CatalogueRow | None) -> CatalogueRow | None:
        """Return the product that was put, pictures it kept coming from `row`; None if it was replaced meanwhile."""
        entry = self._entry(held.base)
        if entry is None:
            return None
        self.put += 1
        encoded = EncodedProduct.from_bytes(entry.payload)
        own = {} if row is None else dict(zip(row.product.images, row.images, strict=True))
        small = zip(encoded.product.images, encoded.thumbnails, strict=True)
        images = tuple(_source(encoded, reference, own.get(reference), thumbnail) for reference, thumbnail in small)
        return CatalogueRow(row.row if row is not None else 0, encoded.product, images)

    def _patched(self, row: CatalogueRow, held: _Held) -> CatalogueRow:
        entry = self._entry(held.patch)
        if entry is None:
            return row
        return CatalogueRow(row.row, patched(row.product, orjson.loads(entry.payload)), row.images)

    def _entry(self, seq: int) -> Entry | None:
        found = self._log.read(seq - 1, 1) if seq else []
        return found[0] if found and found[0].seq == seq else None

    def _entries(self) -> Iterator[Entry]:
        after = 0
        while entries := self._log.read(after, _AT_ONCE):
            yield from (entry for entry in entries if entry.seq <= self.position.seq)
            after = entries[-1].seq


def _source(encoded: EncodedProduct, reference: str, own: ImageSource | None, thumbnail: bytes) -> ImageSource:
    """Return where a picture is to be had: with the product, in the feed, at its URL, or else the thumbnail."""
    if reference in encoded.pictures:
        return BytesImage(reference, encoded.pictures[reference])
    if own is not None:
        return own
    return UrlImage(reference) if reference.startswith(("http://", "https://")) else BytesImage(reference, thumbnail)
