"""The parts of a search in a bare loop: what `benchmarks.throughput` compares the service with."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexer.bundle import Bundle
from indexer.manifest import QueryKind
from indexer.ranking import NO_WORDS, Words, rank
from models.encoder import Encoder, Entities
from models.entities import EntityLinker
from service.query import Query, TextPart
from service.understand import Reader, Spellings, matched_texts, named_entities

LIMIT = 20  # hits of a page, as the service gives by default

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a bare loop went: answers and processor milliseconds of each."""

    per_second: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts that were read already: their words, the encoder's entities, and what ranking knows of their words."""

    texts: Sequence[str]
    entities: Sequence[Entities]
    words: Sequence[Words]


def read_texts(encoder: Encoder, bundle: Bundle, texts: Sequence[str]) -> Texts:
    """Return `texts` as the service reads them."""
    reader = Reader(EntityLinker(bundle.statistics), Spellings(bundle.statistics.vocabulary, encoder.vocabularies))
    queries = [Query((TextPart(text, 1.0, "q"),)) for text in texts]
    links = [reader.read(query) for query in queries]
    words = [
        Words(
            [entity for _, entity in named_entities(query, found)],
            [(text, share) for _, text, share in matched_texts(query)],
        )
        for query, found in zip(queries, links, strict=True)
    ]
    return Texts(texts, [reader.entities_of(0, found) for found in links], words)


def decoded(pictures: Sequence[bytes]) -> list[Image.Image]:
    """Return picture files as RGB."""
    return [Image.open(BytesIO(picture)).convert("RGB") for picture in pictures]


def pace_of_texts(encoder: Encoder, bundle: Bundle, read: Texts, batch: int, seconds: float) -> Pace:
    """Encode batches of texts and rank each, for so long."""

    def run(places: Sequence[int]) -> None:
        terms = encoder.text_terms([read.texts[i] for i in places], [read.entities[i] for i in places])
        for i, one in zip(places, terms, strict=True):
            rank(bundle, one.vector, bundle.manifest.fusion[QueryKind.TEXT], LIMIT, read.words[i])

    return _pace(run, len(read.texts), batch, seconds)


def pace_of_pictures(
    encoder: Encoder, bundle: Bundle, pictures: Sequence[Image.Image], batch: int, seconds: float
) -> Pace:
    """Encode batches of pictures and rank each, for so long."""

    def run(places: Sequence[int]) -> None:
        for vector in encoder.encode_images([pictures[i] for i in places]):
            rank(bundle, vector, bundle.manifest.fusion[QueryKind.IMAGE], LIMIT, NO_WORDS)

    return _pace(run, len(pictures), batch, seconds)


def _pace(run: Callable[[Sequence[int]], None], items: int, batch: int, seconds: float) -> Pace:
    batches = _batches(items, batch)
    run(next(batches))  # what is only done once is not counted
    done, began, cpu_began = 0, time.perf_counter(), time.process_time()
    while (spent := time.perf_counter() - began) < seconds:
        run(next(batches))
        done += batch
    return Pace(done / spent, (time.process_time() - cpu_began) / done * 1e3)


def _batches(items: int, batch: int) -> Iterator[list[int]]:
    """Yield batches of places, endlessly."""
    places = cycle(range(items))
    while True:
        yield list(islice(places, batch))
