"""Products to vectors, on this machine: pictures decoded ahead in threads while the encoder works on earlier ones.

`LocalEngine` streams: it holds the pictures of a few batches at most, whatever the catalogue's size. What is encoded
together depends on nothing but the products of a block (`indexer.work`), for the last bits of a vector depend on it.
Reading the feed is left to `indexer.catalogue`, keeping what comes out to `indexer.store`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image

from indexer.categories import GROUP
from indexer.product_encoding import thumbnail
from indexer.store import Encoding, Halves
from indexer.work import Block, EncodeOptions, Row, Step, Work
from indexer.writing import check_unit
from models.encoder import Encoder, Vectors
from models.picture import PictureError, PictureLimits, decode_picture


@dataclass(frozen=True, slots=True)
class _Picture:
    image: Image.Image
    thumbnail: bytes


@dataclass(frozen=True, slots=True)
class Decoded:
    """Work whose pictures are decoded.

    Attributes:
        key: of the product.
        text: that is encoded, with these entities.
        entities: see `text`.
        pictures: those that could be decoded, in order.
        problems: of the others, by number, what is wrong.
    """

    key: bytes
    text: str
    entities: Mapping[str, str]
    pictures: tuple[_Picture, ...]
    problems: Mapping[int, str]

    @property
    def pixels(self) -> int:
        """Pixels held."""
        return sum(p.image.width * p.image.height for p in self.pictures)


def decode(work: Work, limits: PictureLimits) -> Decoded:
    """Return `work` with its pictures decoded, those that could be had."""
    pictures: list[_Picture] = []
    problems: dict[int, str] = {}
    for number, content in enumerate(work.pictures):
        try:
            if content is not None:
                image = decode_picture(content, limits)
                pictures.append(_Picture(image, thumbnail(image)))
        except PictureError as error:
            problems[number] = str(error)
    return Decoded(work.key, work.text, work.entities, tuple(pictures), problems)


class LocalEngine:
    """Encodes in this process, as products are read."""

    def __init__(self, encoder: Encoder, options: EncodeOptions) -> None:
        self._encoder = encoder
        self._options = options

    def prepare(self, work: Work) -> Decoded:
        """Return what is handed on by the threads that read: pictures as pixels."""
        return decode(work, self._options.limits)

    def blocks(self, steps: Iterable[Step[Decoded]]) -> Iterator[Block]:
        """Yield the rows of `steps` block by block, with what was encoded of them."""
        rows: list[Row] = []
        with BlockEncoder(self._encoder, self._options) as encoding:
            for step in steps:
                rows.append(step.row)
                if step.abandons:
                    yield Block(tuple(rows), (), abandoned=True)
                    return
                if step.work is not None:
                    encoding.add(step.work)
                if step.ends:
                    yield Block(tuple(rows), encoding.finish())
                    rows = []
            if rows:
                yield Block(tuple(rows), encoding.finish())


class BlockEncoder:
    """Encodes the products of one block after another, as many at a time as make a batch; a context manager.

    In a thread of its own, so that its caller goes on reading meanwhile: one batch is encoded while the next gathers.
    """

    def __init__(self, encoder: Encoder, options: EncodeOptions) -> None:
        self._encoder = encoder
        self._options = options
        self._waiting: list[Decoded] = []
        self._done: list[tuple[bytes, Encoding]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._running: Future[None] | None = None

    def add(self, product: Decoded) -> None:
        """Take a product, and begin to encode those that are waiting if they make a batch.

        Raises:
            ValueError: the encoder made a vector of the batch before that is not of unit length.
        """
        self._waiting.append(product)
        if self._is_full():
            self._begin()

    def finish(self) -> list[tuple[bytes, Encoding]]:
        """Encode what is left; return keys and encodings of all products added since the last time.

        Raises:
            ValueError: the encoder made a vector that is not of unit length.
        """
        self._begin()
        self._wait()
        done, self._done = self._done, []
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def _begin(self) -> None:
        self._wait()
        if self._waiting:
            products, self._waiting = self._waiting, []
            self._running = self._thread.submit(self._encode, products)

    def _wait(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def _is_full(self) -> bool:
        waiting, batch = self._waiting, self._options.batch
        pictures = sum(len(product.pictures) for product in waiting)
        pixels = sum(product.pixels for product in waiting)
        return pictures >= batch or len(waiting) >= 4 * batch or pixels >= self._options.pixels // 2

    def _encode(self, products: Sequence[Decoded]) -> None:
        pictures = [picture for product in products for picture in product.pictures]
        texts = self._texts([(p.text, p.entities) for p in products])
        bare = self._bare(products, texts)
        images = self._batched(len(pictures), lambda s: self._encoder.encode_images([p.image for p in pictures[s]]))
        start = 0
        for at, product in enumerate(products):
            end = start + len(product.pictures)
            made = Encoding(
                text=texts[at],
                bare=None if bare is None else bare[at],
                images=images[start:end],
                thumbnails=tuple(picture.thumbnail for picture in product.pictures),
                problems=product.problems,
            )
            self._done.append((product.key, made))
            start = end

    def _bare(self, products: Sequence[Decoded], texts: Halves) -> Halves | None:
        """Return the texts' vectors without the category, which judges of the category must not be told."""
        if GROUP not in self._encoder.vocabularies:
            return None
        told = [at for at, product in enumerate(products) if GROUP in product.entities]
        without = [(products[at].text, {k: v for k, v in products[at].entities.items() if k != GROUP}) for at in told]
        bare = texts.copy()
        bare[told] = self._texts(without)
        return bare

    def _texts(self, stated: Sequence[tuple[str, Mapping[str, str]]]) -> Halves:
        texts, entities = [text for text, _ in stated], [given for _, given in stated]
        return self._batched(len(stated), lambda s: self._encoder.encode_texts(texts[s], entities[s]))

    def _batched(self, n: int, encode: Callable[[slice], Vectors]) -> Halves:
        """Return the vectors of n things, encoded a batch at a time."""
        if n == 0:
            return np.zeros((0, self._encoder.dim), np.float16)
        batch = self._options.batch
        vectors = np.concatenate([encode(slice(start, start + batch)) for start in range(0, n, batch)])
        check_unit(vectors, self._encoder.dim)
        return vectors.astype(np.float16)
