"""What the encoder is given of one product, and what is kept of its pictures, in building and in serving alike."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, get_args

import numpy as np
from PIL import Image

from indexer.updates import EncodedProduct
from models.encoder import Encoder
from models.picture import PictureLimits, decode_picture
from models.product import Product, TextField, canonical_text

THUMBNAIL_SIDE: Final = 256
THUMBNAIL_QUALITY: Final = 85
KEPT_BYTES: Final = 256 << 10  # of a picture that is kept for encoding it anew
_KEPT_SIDE, _KEPT_QUALITY = 1_024, 90


def encode_anew(encoded: EncodedProduct, encoder: Encoder) -> EncodedProduct:
    """Return a product with the vectors that `encoder` makes of it; of pictures without a file, their thumbnails'."""
    product = encoded.product
    [text] = encoder.encode_texts(texts_of([product], encoder), entities_of([product], encoder))
    files = zip(product.images, encoded.thumbnails, strict=True)
    pictures = [decode_picture(encoded.pictures.get(name, small), PictureLimits()) for name, small in files]
    images = encoder.encode_images(pictures) if pictures else np.zeros((0, encoder.dim), np.float32)
    return replace(
        encoded, text=text.astype(np.float16), images=images.astype(np.float16), fingerprint=encoder.fingerprint
    )


def entities_of(products: Iterable[Product], encoder: Encoder) -> list[Mapping[str, str]]:
    """Return the entities that `encoder` is to read of each product."""
    return [product.entities(encoder.vocabularies) for product in products]


def texts_of(products: Iterable[Product], encoder: Encoder) -> list[str]:
    """Return the words that `encoder` is to read of each product."""
    fields = [known for known in get_args(TextField) if known in encoder.text_fields]
    ordered = sorted(fields, key=encoder.text_fields.index)
    return [canonical_text(product, ordered) for product in products]


def thumbnail(image: Image.Image) -> bytes:
    """Return `image` as a JPEG whose longer side is at most 256 pixels."""
    return _jpeg(image, THUMBNAIL_SIDE, THUMBNAIL_QUALITY)


def compact_picture(image: Image.Image) -> bytes:
    """Return `image` as a JPEG that is large enough for any encoder: its longer side is at most 1,024 pixels."""
    return _jpeg(image, _KEPT_SIDE, _KEPT_QUALITY)


def _jpeg(image: Image.Image, side: int, quality: int) -> bytes:
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
