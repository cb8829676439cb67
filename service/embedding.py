"""Vectors for those who keep them elsewhere: of words and pictures, as searches have them and as they are indexed.

They come out of the embedder like all others, and so wait in the same queues and are due as much.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from models.encoder import Entities, Vectors
from service.embed import Account, Embedder, together
from service.query import PicturePart, Query, TextPart
from service.served import Served
from service.understand import LinkedEntity

EmbeddingKind = Literal["query", "product"]
"""What a vector is for: to search with, or to be found."""

MOST_EMBEDDED: Final = 64
"""Things one request may have embedded."""

LONGEST_PRODUCT_TEXT: Final = 52_000  # a title and a description, each as long as may be
MOST_CHARACTERS: Final = 200_000
"""Of the texts of one request together."""

_AT_ONCE: Final = 16  # of one request, so that they leave room for searches


@dataclass(frozen=True, slots=True)
class ToEmbed:
    """Words or a picture, and the entities that the caller states."""

    part: TextPart | PicturePart
    entities: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector `(d,) float32` of unit length, and the entities that words were read with."""

    vector: Vectors
    links: Sequence[LinkedEntity]


def read_all(
    served: Served, wanted: Sequence[ToEmbed], kind: EmbeddingKind
) -> list[tuple[ToEmbed, list[LinkedEntity]]]:
    """Return each as it is to be embedded, and its entities, `query` of a link being its place.

    Of a query, synonyms are read as what they mean, and the entities that its words name are there as well.
    """
    return [_read(served, at, one, kind) for at, one in enumerate(wanted)]


def _read(served: Served, at: int, one: ToEmbed, kind: EmbeddingKind) -> tuple[ToEmbed, list[LinkedEntity]]:
    query = Query((one.part,), entities=one.entities, linking="auto" if kind == "query" else "off")
    if kind == "query":
        query, _, links = served.read(query)
    else:
        links = served.reader.read(query)
    (part,) = query.parts
    read = replace(one, part=part) if isinstance(part, TextPart) else one
    return read, [replace(link, query=at) for link in links]


class Embedding:
    """Embeds what one request asks for.

    Args:
        embedder: Does it.
        served: Whose encoder, and whose cache.
        account: Of the request.
        kind: What of a query may be asked again, and is kept in the cache; products are embedded once.
    """

    def __init__(self, embedder: Embedder, served: Served, account: Account, kind: EmbeddingKind) -> None:
        self._embedder = embedder
        self._served = served
        self._account = account
        self._kept = kind == "query"
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def all(self, read: Sequence[tuple[ToEmbed, Sequence[LinkedEntity]]]) -> list[Embedded]:
        """Return what becomes of each, embedded with these entities.

        Raises:
            ServiceError: one cannot be had or read, or too much waits; then there is nothing of the others either.
        """
        return await together([self._one(at, one.part, links) for at, (one, links) in enumerate(read)])

    async def _one(self, at: int, part: TextPart | PicturePart, links: Sequence[LinkedEntity]) -> Embedded:
        async with self._turns:
            if isinstance(part, PicturePart):
                return Embedded(await self._picture(part), links)
            return Embedded(await self._text(part.text, self._served.reader.entities_of(at, links)), links)

    async def _text(self, text: str, entities: Entities) -> Vectors:
        if self._kept:
            return (await self._embedder.text(text, entities, self._served.cache, self._account)).vector
        return (await self._embedder.fresh_text(text, entities, self._account.due)).vector

    async def _picture(self, part: PicturePart) -> Vectors:
        if self._kept:
            return (await self._embedder.picture(part, self._served.cache, self._account)).vector
        return (await self._embedder.fresh_part(part, self._account.due)).vector
