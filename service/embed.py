"""Parts of a query to vectors: from the cache, from the bundle, or through the batchers to the encoder."""

import asyncio
import math
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from PIL.Image import Image

from indexer.manifest import FusionWeights, QueryKind
from indexer.searchable import Searchable
from models.encoder import Encoder, Entities, TextTerms, Vectors
from service import tracing
from service.batching import MicroBatcher, Stay
from service.cache import CacheUnavailableError
from service.errors import InvalidRequestError
from service.images import PictureReader
from service.instances import BLIND, Instances, Look, Seeing
from service.mixture import EncodedPart
from service.query import PicturePart, ProductPart, Query, TextPart
from service.runtimes import on_cpu
from service.served import Served
from service.settings import Settings
from service.telemetry import Metrics
from service.terms import TermsCache
from service.understand import LinkedEntity

IMAGE_TERM: Final = "image"
PRODUCT_TERM: Final = "product"
CACHE: Final = "cache"
_IN_PLACE_S: Final = 0.003  # of a batch in the event loop's thread


T = TypeVar("T")
Words = tuple[str, Entities]


@dataclass(slots=True)
class Account:
    """What encoding one query took, and what it went without.

    Attributes:
        due: When its answer is wanted, as `time.monotonic` counts it.
        decode_s: Seconds until its slowest picture was fetched and decoded.
        degraded: Names of the parts that did not answer.
    """

    due: float = math.inf
    decode_s: float = 0.0
    degraded: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Job:
    query: Query
    links: Sequence[LinkedEntity]
    served: Served
    account: Account
    look: Look | None

    def look_into(self, number: int) -> Look | None:
        """Return what is to look for products in the part of that number."""
        return self.look if self.look is not None and self.look.part == number else None


class Embedder:
    """Turns the parts of a query into terms, through a cache and one batcher for texts and one for pictures.

    Attributes:
        instances: Looks for products in the pictures.
    """

    def __init__(
        self,
        encoder: Encoder,
        pictures: PictureReader,
        settings: Settings,
        metrics: Metrics,
        seeing: Seeing = BLIND,
    ) -> None:
        self._encoder = encoder
        self._pictures = pictures
        self._metrics = metrics
        self._texts: MicroBatcher[Words, TextTerms] = MicroBatcher(
            self._encode_texts,
            name="text",
            max_batch=settings.max_batch_texts,
            max_waiting=settings.max_waiting,
            hung_s=settings.encode_hung_ms / 1000,
            observe=metrics.batch,
            tell=self._tell,
        )
        self._images: MicroBatcher[Image, Vectors] = MicroBatcher(
            self._encode_images,
            name="image",
            max_batch=settings.max_batch_images,
            max_waiting=settings.max_waiting,
            hung_s=settings.encode_hung_ms / 1000,
            observe=metrics.batch,
            tell=self._tell,
        )
        self.instances = Instances(seeing, self.encode_picture, settings, metrics)
        if on_cpu(encoder):
            self._texts.in_place(_IN_PLACE_S)
            self._images.in_place(_IN_PLACE_S)
        metrics.watch_depth("encode_text", lambda: self._texts.depth)
        metrics.watch_depth("encode_image", lambda: self._images.depth)

    def _tell(self, stay: Stay) -> None:
        self._metrics.waited(stay.name, stay.waited_s)
        tracing.batch(stay)

    def _encode_texts(self, items: Sequence[Words]) -> Sequence[TextTerms]:
        return self._encoder.text_terms([text for text, _ in items], [entities for _, entities in items])

    def _encode_images(self, images: Sequence[Image]) -> Sequence[Vectors]:
        return list(self._encoder.encode_images(images))

    async def encode(
        self,
        query: Query,
        links: Sequence[LinkedEntity],
        served: Served,
        account: Account,
        look: Look | None = None,
    ) -> list[EncodedPart]:
        """Return the parts of `query` as vectors, their texts read with `links`; have its picture looked into.

        Raises:
            ServiceError: a part names no product, its picture cannot be read, or too much waits.
        """
        job = _Job(query, links, served, account, look)
        return await together([self._part(job, number) for number in range(len(query.parts))])

    async def _part(self, job: "_Job", number: int) -> EncodedPart:
        part = job.query.parts[number]
        if isinstance(part, TextPart):
            entities = job.served.reader.entities_of(number, job.links)
            terms = await self.text(part.text, entities, job.served.cache, job.account)
            values: dict[str, str] = {link.group: link.value for link in job.links if link.query == number}
        elif isinstance(part, PicturePart):
            look = job.look_into(number)
            terms, values = await self.picture(part, job.served.cache, job.account, look), {}
        else:
            bundle = job.served.bundle
            terms = product_terms(bundle, row_of(bundle, part), bundle.manifest.fusion[kind_of(job.query)])
            values = {PRODUCT_TERM: part.product_id}
        return EncodedPart(number, part.weight, terms, values)

    async def text(self, text: str, entities: Entities, cache: TermsCache, account: Account) -> TextTerms:
        """Return the terms of words read with `entities`."""
        key = cache.text_key(text, entities)
        known = await _ask(cache, key, account)
        if known is not None:
            return known
        terms = await self.fresh_text(text, entities, account.due)
        cache.put(key, terms)
        return terms

    async def fresh_text(self, text: str, entities: Entities, due: float = math.inf) -> TextTerms:
        """Return the terms of words, encoded now."""
        return await self._texts.submit((text, entities), due)

    async def picture(
        self, part: PicturePart, cache: TermsCache, account: Account, look: Look | None = None
    ) -> TextTerms:
        """Return the single term of a picture, and have it looked into meanwhile.

        A picture seen before is neither decoded nor encoded again.

        Raises:
            ServiceError: the picture cannot be had or read.
        """
        began = time.perf_counter()
        file = await self._pictures.load(part)
        key = cache.picture_key(file.sha256)
        known = await _ask(cache, key, account)
        if look is not None and await look.remembers(file.sha256):
            look = None
        if known is not None and look is None:
            return known
        async with self._pictures.decoded(file.data, part.path) as image:
            decode_s = time.perf_counter() - began
            account.decode_s = max(account.decode_s, decode_s)
            tracing.within("decode", decode_s)
            if look is None:
                return await self._fresh(image, key, cache, account)
            looking = asyncio.create_task(look.into(image, file.sha256))  # first: it has a thread of its own
            try:
                terms = known or await self._fresh(image, key, cache, account)
                await looking
            finally:
                looking.cancel()
        return terms

    async def _fresh(self, image: Image, key: str, cache: TermsCache, account: Account) -> TextTerms:
        """Return the single term of a picture, encoded now and kept under `key`."""
        terms = single_term(IMAGE_TERM, await self._images.submit(image, account.due))
        cache.put(key, terms)
        return terms

    async def fresh_picture(self, data: bytes) -> TextTerms:
        """Return the single term of a picture file, decoded and encoded now.

        Raises:
            ServiceError: it is no picture the service reads.
        """
        async with self._pictures.decoded(data, "image") as image:
            return single_term(IMAGE_TERM, await self.encode_picture(image))

    async def fresh_part(self, part: PicturePart, due: float = math.inf) -> TextTerms:
        """Return the single term of a picture, had, decoded and encoded now.

        Raises:
            ServiceError: it cannot be had or read.
        """
        file = await self._pictures.load(part)
        async with self._pictures.decoded(file.data, part.path) as image:
            return single_term(IMAGE_TERM, await self.encode_picture(image, due))

    async def encode_picture(self, image: Image, due: float = math.inf) -> Vectors:
        """Return the vector of a picture, `(d,) float32`, encoded now."""
        return await self._images.submit(image, due)

    async def close(self) -> None:
        """Answer what was admitted and end the worker threads."""
        await asyncio.gather(self._texts.close(), self._images.close(), self.instances.close())


async def _ask(cache: TermsCache, key: str, account: Account) -> TextTerms | None:
    try:
        known = await cache.get(key)
    except CacheUnavailableError:
        account.degraded.add(CACHE)
        return None
    tracing.count("cache_misses" if known is None else "cache_hits")
    return known


def kind_of(query: Query) -> QueryKind:
    """Return what a query is made of, which decides how texts and pictures are weighed."""
    if all(isinstance(part, TextPart) for part in query.parts):
        return QueryKind.TEXT
    if all(isinstance(part, PicturePart) for part in query.parts):
        return QueryKind.IMAGE
    return QueryKind.MIXED


def row_of(bundle: Searchable, part: ProductPart) -> int:
    """Return the row of the product a part names.

    Raises:
        InvalidRequestError: the catalogue has no such product.
    """
    row = bundle.products.row_of(part.product_id)
    if row is None:
        msg = f"There is no product {part.product_id!r}."
        raise InvalidRequestError(msg, path=part.path)
    return row


def single_term(name: str, vector: Vectors) -> TextTerms:
    """Return a unit vector `(d,)` as the one term it is made of."""
    return TextTerms((name,), np.asarray(vector, np.float32)[None, :], {})


def product_terms(bundle: Searchable, row: int, weights: FusionWeights) -> TextTerms:
    """Return what looks like the product of `row`: its text and the mean of its pictures, weighted as in scores.

    normalise(w_image * normalise(mean of picture vectors) + w_text * text vector); a product without pictures
    is its text alone.
    """
    text = bundle.vectors["text"][row].astype(np.float32)
    pictures = bundle.vectors["image"][bundle.image_starts[row] : bundle.image_starts[row + 1]]
    if not len(pictures):
        return single_term(PRODUCT_TERM, unit(text))
    picture = unit(pictures.astype(np.float32).mean(axis=0))
    return single_term(PRODUCT_TERM, unit(weights.image * picture + weights.text * text))


def unit(vector: Vectors) -> Vectors:
    """Return `vector` at length one; one of length zero as it is."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else vector


async def together(waiting: Sequence[Coroutine[object, object, T]]) -> list[T]:
    """Return all results, awaited side by side; at the first failure the others are cancelled and it is raised."""
    if len(waiting) == 1:
        return [await waiting[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in waiting]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
