"""Writes to the catalogue: the items of a batch encoded and stored in the update log, each with its own result.

What is acknowledged is on disk. All of an item is worked out before any of it is stored, and one item's fault is no
other's. Reading items is left to `service.items`, applying the log to `service.following`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from indexer.product_encoding import KEPT_BYTES, compact_picture, entities_of, texts_of, thumbnail
from indexer.updates import (
    Change,
    EncodedProduct,
    Kind,
    LogUnavailableError,
    Outcome,
    Result,
    State,
    UpdateLog,
    patched,
)
from models.product import ENTITY_FIELDS
from service.batching import MicroBatcher
from service.embed import Embedder
from service.errors import (
    PROBLEMS,
    DeadlineError,
    FieldError,
    InvalidRequestError,
    ProblemType,
    ServiceError,
    UnavailableError,
)
from service.images import PictureReader
from service.items import Item, ItemResult, refused
from service.pools import BoundedPool
from service.query import PictureData, PicturePart, PictureUrl
from service.search import SearchEngine
from service.telemetry import Metrics
from service.versions import Versions

R = TypeVar("R")

_ENCODED_AT_ONCE: Final = 16  # items of one batch, and pictures of all, so that they leave room for searches
_STORED_AT_ONCE: Final = 64  # batches in one transaction
_TRIES: Final = 5  # of an item whose product others change meanwhile
_STORED: Final = 200
# What vectors do not depend on, besides attributes that are no entities.
_LIGHT: Final = frozenset({"price", "currency", "in_stock", "url", "group", "attributes"})

_Stored = list[Outcome] | LogUnavailableError


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture of a product: how it is referred to, its vector `(d,) float16`, its thumbnail, and its file if new."""

    reference: str
    vector: NDArray[np.float16]
    thumbnail: bytes
    file: bytes | None


class Writer:
    """Stores changes of products.

    Args:
        engine: Whose encoder and catalogue they are for.
        embedder: Encodes products.
        pictures: Reads their pictures.
        log: Where changes are stored; its own.
        versions: What they are applied to.
        metrics: Told of queues.
        limits: How many batches may wait, and for how many seconds one may take.
    """

    def __init__(
        self,
        engine: SearchEngine,
        embedder: Embedder,
        pictures: PictureReader,
        log: UpdateLog,
        versions: Versions,
        metrics: Metrics,
        limits: tuple[int, float],
    ) -> None:
        self._engine = engine
        self._embedder = embedder
        self._pictures = pictures
        self._log = log
        self._versions = versions
        max_waiting, self._timeout_s = limits
        self._pool = BoundedPool("write", threads=2, max_waiting=max_waiting)
        self._gate = asyncio.Semaphore(_ENCODED_AT_ONCE)
        self._store: MicroBatcher[Sequence[Change], _Stored] = MicroBatcher(
            self._store_all,
            name="store",
            max_batch=_STORED_AT_ONCE,
            max_waiting=max_waiting,
            observe=metrics.batch,
            tell=lambda stay: metrics.waited(stay.name, stay.waited_s),
        )
        self._metrics = metrics
        metrics.watch_depth("store", lambda: self._store.depth)

    async def write(self, items: Sequence[Item | ItemResult], *, wait: bool) -> list[ItemResult]:
        """Store the items and return all results, in order; with `wait`, when searches here see them.

        Raises:
            UnavailableError: the log cannot be reached: nothing of the batch may be relied on.
            OverloadedError: too much waits already.
            DeadlineError: it took too long: what was stored is not known.
        """
        try:
            async with asyncio.timeout(self._timeout_s) as clock:
                results = [item if isinstance(item, ItemResult) else None for item in items]
                for _ in range(_TRIES):
                    left = [(at, item) for at, item in enumerate(items) if isinstance(item, Item) and not results[at]]
                    if left:
                        for (at, _), result in zip(left, await self._attempt([i for _, i in left]), strict=True):
                            results[at] = result
                done = [result or _outrun(item) for result, item in zip(results, items, strict=True)]
                if wait:
                    await self._versions.reach(max((result.seq or 0 for result in done), default=0))
        except TimeoutError as error:
            if not clock.expired():
                raise
            msg = f"The batch was not stored within {self._timeout_s:g} s."
            raise DeadlineError(msg) from error
        self._metrics.written(result.status for result in done)
        return done

    async def version(self, product_id: str) -> int:
        """Return a product's version, once the catalogue that is searched is at least as new.

        Raises:
            UnavailableError: the log cannot be reached.
        """
        [state] = await self._states([product_id])
        await self._caught_up()
        return state.version

    async def close(self) -> None:
        """Store what was admitted, let the threads end, and let go of the log."""
        await self._store.close()
        self._pool.close()
        await asyncio.to_thread(self._log.close)

    async def _attempt(self, items: Sequence[Item]) -> list[ItemResult | None]:
        """Return the items' results; None for one whose product changed while it was worked out."""
        asked = [item.product_id for item in items if self._needs_state(item)]
        states = dict(zip(asked, await self._states(asked), strict=True)) if asked else {}
        if any(self._needs_product(item) for item in items):
            await self._caught_up()
        gate = asyncio.Semaphore(_ENCODED_AT_ONCE)

        async def prepared(item: Item) -> Change | ItemResult:
            async with gate:
                return await self._prepared(item, states.get(item.product_id))

        ready = await asyncio.gather(*map(prepared, items))
        outcomes = iter(await self._stored([change for change in ready if isinstance(change, Change)]))
        return [
            one if isinstance(one, ItemResult) else _result(item, one, next(outcomes))
            for item, one in zip(items, ready, strict=True)
        ]

    async def _prepared(self, item: Item, state: State | None) -> Change | ItemResult:
        """Return the change an item asks for, or its result, where it asks for something that cannot be."""
        if state is not None and item.if_version is not None and item.if_version != state.version:
            return _conflict(item, state.version)
        if state is not None and item.kind != Kind.PUT and not self._exists(item.product_id, state):
            return refused(f"{item.path}.id", item.product_id, ProblemType.NOT_FOUND, "there is no such product")
        try:
            return await self._change(item, state)
        except ServiceError as error:
            faults = error.errors or (FieldError(item.path, error.detail),)
            return ItemResult(item.product_id, PROBLEMS[error.problem][0], errors=faults)

    async def _change(self, item: Item, state: State | None) -> Change:
        if item.kind == Kind.DELETE:
            return Change(item.product_id, Kind.DELETE, if_version=item.if_version)
        if item.fields is not None and self._is_light(item):
            return Change(item.product_id, Kind.PATCH, orjson.dumps(item.fields), item.if_version)
        encoded = await self._encoded(item)
        payload = await self._pool.run(encoded.to_bytes)
        # What was worked out of a product's present state is stored only if that is its state still.
        derived_from = state.version if state is not None and item.fields is not None else item.if_version
        return Change(item.product_id, Kind.PUT, payload, derived_from)

    async def _encoded(self, item: Item) -> EncodedProduct:
        """Return the product that an item comes to with its vectors, those of pictures it keeps as they are."""
        held = self._versions.view.encoded(item.product_id) if self._needs_product(item) else None
        product = item.product
        if product is None:
            if held is None:  # deleted this moment
                raise InvalidRequestError("there is no such product", path=f"{item.path}.id")
            product = patched(held.product, item.fields or {})
        encoder = self._engine.served.encoder
        [text], [entities] = texts_of([product], encoder), entities_of([product], encoder)
        terms = await self._embedder.fresh_text(text, entities)
        kept = {} if held is None else dict(zip(held.product.images, _pictures_of(held), strict=True))
        files = await self._files(item.product_id) if kept else {}
        pictures = await asyncio.gather(
            *(self._picture(ref, kept, f"{item.path}.images[{n}]") for n, ref in enumerate(product.images))
        )
        vectors = np.array([picture.vector for picture in pictures], np.float16).reshape(-1, encoder.dim)
        return EncodedProduct(
            product=product.model_copy(update={"images": tuple(picture.reference for picture in pictures)}),
            text=terms.vector.astype(np.float16),
            images=vectors,
            thumbnails=tuple(picture.thumbnail for picture in pictures),
            fingerprint=encoder.fingerprint,
            pictures={
                picture.reference: file
                for picture in pictures
                if (file := picture.file or files.get(picture.reference)) is not None
            },
        )

    async def _picture(self, reference: str, kept: dict[str, _Picture], path: str) -> _Picture:
        """Return the picture behind a reference: one the product has, a data-URI or a URL.

        Raises:
            ServiceError: it is none of these, or cannot be had or read.
        """
        if reference in kept:
            return kept[reference]
        is_data = reference.startswith("data:")
        if not is_data and not reference.startswith(("http://", "https://")):
            msg = "is no picture that the product has: send a data-URI or an http(s) URL"
            raise InvalidRequestError(msg, path=path)
        stated = PictureData(reference) if is_data else PictureUrl(reference)
        async with self._gate:
            file = await self._pictures.load(PicturePart(stated, 1.0, path))
            content = file.data
            if len(content) > KEPT_BYTES:
                async with self._pictures.decoded(content, path) as image:
                    content = await self._pool.run(compact_picture, image)
            async with self._pictures.decoded(content, path) as image:
                small = await self._pool.run(thumbnail, image)
                vector = await self._embedder.encode_picture(image)
        return _Picture(
            f"sha256:{file.sha256.hex()}" if is_data else reference, vector.astype(np.float16), small, content
        )

    async def _files(self, product_id: str) -> Mapping[str, bytes]:
        """Return the picture files that came with a product, by reference: what replaces it must keep them."""
        entry = await self._asked(lambda: self._log.whole(product_id))
        return {} if entry is None else EncodedProduct.from_bytes(entry.payload).pictures

    def _needs_state(self, item: Item) -> bool:
        """Return whether the log must be asked before an item is stored; storing refuses what else cannot be."""
        if item.kind == Kind.PUT:
            return False
        return self._needs_product(item) or not self._in_bundle(item.product_id)

    def _needs_product(self, item: Item) -> bool:
        """Return whether an item cannot be worked out without the product as it is."""
        if item.product is not None:
            return not all(reference.startswith("data:") for reference in item.product.images)
        return item.fields is not None and not self._is_light(item)

    def _is_light(self, item: Item) -> bool:
        """Return whether a patch changes nothing that vectors depend on."""
        fields = item.fields or {}
        attributes = fields.get("attributes") or {}
        entities = set(self._engine.served.encoder.vocabularies) - ENTITY_FIELDS
        return set(fields) <= _LIGHT and isinstance(attributes, dict) and entities.isdisjoint(attributes)

    def _exists(self, product_id: str, state: State) -> bool:
        """Return whether there is such a product: the log knows, or else the bundle does."""
        if state.kind is not None:
            return state.kind == Kind.PUT
        return self._in_bundle(product_id)

    def _in_bundle(self, product_id: str) -> bool:
        return self._versions.view.bundle.products.row_of(product_id) is not None

    async def _states(self, product_ids: Sequence[str]) -> list[State]:
        return await self._asked(lambda: self._log.states(product_ids))

    async def _caught_up(self) -> None:
        """Wait until all that the log holds now is applied here."""
        tail = await self._asked(self._log.tail)
        await self._versions.reach(tail.seq)

    async def _asked(self, ask: Callable[[], R]) -> R:
        try:
            return await self._pool.run(ask)
        except LogUnavailableError as error:
            raise _unavailable(error) from error

    async def _stored(self, changes: Sequence[Change]) -> list[Outcome]:
        if not changes:
            return []
        stored = await self._store.submit(changes)
        if isinstance(stored, LogUnavailableError):
            raise _unavailable(stored)
        return stored

    def _store_all(self, batches: Sequence[Sequence[Change]]) -> list[_Stored]:
        """Store the changes of all batches that wait, together; a failure is everyone's."""
        try:
            outcomes = self._log.append([change for batch in batches for change in batch])
        except LogUnavailableError as error:
            return [error] * len(batches)
        rest = iter(outcomes)
        return [[next(rest) for _ in batch] for batch in batches]


def _pictures_of(encoded: EncodedProduct) -> list[_Picture]:
    parts = zip(encoded.product.images, encoded.images, encoded.thumbnails, strict=True)
    return [_Picture(reference, vector, small, None) for reference, vector, small in parts]


def _unavailable(error: LogUnavailableError) -> UnavailableError:
    msg = "The update log cannot be reached: nothing of this request is known to be stored; send it again."
    unavailable = UnavailableError(msg, retry_after_s=1)
    unavailable.__cause__ = error
    return unavailable


def _conflict(item: Item, version: int) -> ItemResult:
    message = f"the product has version {version}"
    return refused(f"{item.path}.if_version", item.product_id, ProblemType.CONFLICT, message, version)


def _outrun(item: Item | ItemResult) -> ItemResult:
    if isinstance(item, ItemResult):
        return item
    message = "the product was changed by others each time this was worked out"
    return refused(item.path, item.product_id, ProblemType.CONFLICT, message)


def _result(item: Item, change: Change, outcome: Outcome) -> ItemResult | None:
    """Return an item's result; None where its product changed while the change was worked out of it."""
    if outcome.result == Result.STORED:
        return ItemResult(item.product_id, _STORED, outcome.version, outcome.seq)
    if outcome.result == Result.GONE:
        return refused(f"{item.path}.id", item.product_id, ProblemType.NOT_FOUND, "there is no such product")
    if item.if_version is None and change.if_version is not None:
        return None
    return _conflict(item, outcome.version)
