"""Catalogue rows to vectors: pictures decoded ahead in threads while the encoder works on earlier ones.

`encode_catalogue` streams: it holds the pictures of a few batches at most, whatever the catalogue's size.
Reading the feed is left to `indexer.catalogue`, writing what comes out to `indexer.build`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexer.catalogue import BytesImage, CatalogueRow, ImageSource, PathImage, RejectedRow
from indexer.product_encoding import entities_of, texts_of, thumbnail
from models.encoder import Encoder, Vectors
from models.picture import PictureError, PictureLimits, decode_picture
from models.product import Product

PIXELS_IN_FLIGHT = 200_000_000  # of decoded pictures waiting for the encoder: 600 MB of RGB

Fetch = Callable[[str], bytes]


class PictureUnavailableError(ValueError):
    """A picture that could not be read or fetched; the message says why."""


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How products are encoded.

    Attributes:
        batch: pictures (or texts) given to the encoder at a time.
        threads: that decode and fetch pictures.
        limits: of a picture.
        keep_without_images: whether a product keeps its place when a picture of it cannot be used.
        fetch: gets the bytes behind a URL, raising ValueError or OSError; None: URLs are refused.
    """

    batch: int = 32
    threads: int = 2
    limits: PictureLimits = field(default_factory=PictureLimits)
    keep_without_images: bool = False
    fetch: Fetch | None = None


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Products with their vectors.

    Attributes:
        products: n of them; their `images` name the pictures that were encoded.
        texts: `(n, d) float32`.
        images: `(m, d) float32`, a product's pictures together, in order.
        image_rows: `(m,) int32`, position of each picture's product within this batch.
        thumbnails: m JPEGs.
    """

    products: tuple[Product, ...]
    texts: Vectors
    images: Vectors
    image_rows: NDArray[np.int32]
    thumbnails: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Picture:
    image: Image.Image
    thumbnail: bytes


@dataclass(frozen=True, slots=True)
class _Ready:
    product: Product
    pictures: tuple[_Picture, ...]

    @property
    def pixels(self) -> int:
        return sum(p.image.width * p.image.height for p in self.pictures)


def encode_catalogue(
    rows: Iterable[CatalogueRow | RejectedRow], encoder: Encoder, options: EncodeOptions | None = None
) -> Iterator[EncodedBatch | RejectedRow]:
    """Yield the products of `rows` encoded, in order, and every rejected row as it is met.

    A product one of whose pictures cannot be used becomes a RejectedRow, or loses that picture with
    `keep_without_images`. A product without pictures has a text vector only.
    """
    chosen = options or EncodeOptions()
    waiting: list[_Ready] = []
    for ready in _decoded(rows, chosen):
        if isinstance(ready, RejectedRow):
            yield ready
            continue
        waiting.append(ready)
        if _is_full(waiting, chosen.batch):
            yield _encode(waiting, encoder, chosen.batch)
            waiting = []
    if waiting:
        yield _encode(waiting, encoder, chosen.batch)


def load_picture(source: ImageSource, options: EncodeOptions) -> bytes:
    """Return the encoded bytes of a picture, wherever it is.

    Raises:
        PictureUnavailableError: it cannot be read or fetched.
    """
    if isinstance(source, BytesImage):
        return source.content
    try:
        if isinstance(source, PathImage):
            with source.path.open("rb") as file:
                return file.read(options.limits.max_bytes + 1)
        if options.fetch is None:
            raise PictureUnavailableError("pictures are not fetched from URLs")
        return options.fetch(source.reference)
    except PictureUnavailableError:
        raise
    except (OSError, ValueError) as error:
        raise PictureUnavailableError(str(error) or type(error).__name__) from error


def _is_full(waiting: list[_Ready], batch: int) -> bool:
    pictures = sum(len(ready.pictures) for ready in waiting)
    pixels = sum(ready.pixels for ready in waiting)
    return pictures >= batch or len(waiting) >= 4 * batch or pixels >= PIXELS_IN_FLIGHT // 2


def _decoded(rows: Iterable[CatalogueRow | RejectedRow], options: EncodeOptions) -> Iterator[_Ready | RejectedRow]:
    """Yield rows with their pictures decoded, in order, threads working some rows ahead.

    How far ahead is bounded by pixels, reckoned from the largest product met of late.
    """
    stream = iter(rows)
    pending: deque[Future[_Ready | RejectedRow]] = deque()
    room = PIXELS_IN_FLIGHT // 2
    recent: deque[int] = deque(maxlen=2 * options.batch)  # pixels of the latest products
    with ThreadPoolExecutor(options.threads, thread_name_prefix="decode") as pool:
        try:
            while True:
                largest = max(1, max(recent, default=room))
                ahead = max(options.threads, min(2 * options.batch, room // largest))
                for row in islice(stream, max(0, ahead - len(pending))):
                    pending.append(pool.submit(_ready, row, options))
                if not pending:
                    return
                ready = pending.popleft().result()
                if isinstance(ready, _Ready):
                    recent.append(ready.pixels)
                yield ready
        finally:
            for future in pending:
                future.cancel()


def _ready(row: CatalogueRow | RejectedRow, options: EncodeOptions) -> _Ready | RejectedRow:
    if isinstance(row, RejectedRow):
        return row
    pictures: list[_Picture] = []
    kept: list[str] = []
    for source in row.images:
        try:
            image = decode_picture(load_picture(source, options), options.limits)
        except (PictureError, PictureUnavailableError) as error:
            if options.keep_without_images:
                continue
            return RejectedRow(row.row, "images", f"{source.reference[:80]}: {error}", row.product.id)
        pictures.append(_Picture(image, thumbnail(image)))
        kept.append(source.reference)
    product = row.product
    if len(kept) != len(product.images):
        product = product.model_copy(update={"images": tuple(kept)})
    return _Ready(product, tuple(pictures))


def _encode(ready: list[_Ready], encoder: Encoder, batch: int) -> EncodedBatch:
    products = tuple(r.product for r in ready)
    pictures = [picture for r in ready for picture in r.pictures]
    counts = [len(r.pictures) for r in ready]
    texts, entities = texts_of(products, encoder), entities_of(products, encoder)
    return EncodedBatch(
        products=products,
        texts=_batched(len(texts), batch, encoder.dim, lambda s: encoder.encode_texts(texts[s], entities[s])),
        images=_batched(
            len(pictures), batch, encoder.dim, lambda s: encoder.encode_images([p.image for p in pictures[s]])
        ),
        image_rows=np.repeat(np.arange(len(products), dtype=np.int32), counts),
        thumbnails=tuple(picture.thumbnail for picture in pictures),
    )


def _batched(n: int, batch: int, dim: int, encode: Callable[[slice], Vectors]) -> Vectors:
    """Return the vectors of n things, encoded `batch` at a time."""
    if n == 0:
        return np.zeros((0, dim), np.float32)
    return np.concatenate([encode(slice(start, start + batch)) for start in range(0, n, batch)])
