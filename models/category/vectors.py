"""A split of a catalogue as vectors to judge: the words of every product without its category, and its pictures.

An EI-CLIP text vector holds the category that a product states, so a judge of texts would only read it back: texts are
encoded without it. Several pictures of a product count as their mean.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from models.encoder import Encoder, Vectors
from models.evaluate import encode_pictures
from models.product import Product, TextField, canonical_text
from models.train.feed import DataError, Feed
from models.vector_blocks import NO_CLASS, Labels

PROMPT = "a photo of {}"
_TEXT_FIELDS: TypeAdapter[tuple[TextField, ...]] = TypeAdapter(tuple[TextField, ...])


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Products with vectors.

    Attributes:
        products: n of them.
        texts: `(n, d) float32`, of their words and entities without the category.
        images: `(n, d) float32`, the mean of their pictures, unit length.
        digests: of the pictures of each product.
    """

    products: Sequence[Product]
    texts: Vectors
    images: Vectors
    digests: Sequence[tuple[str, ...]]


def gather(encoder: Encoder, feed: Feed, split: str, group: str = "category", limit: int | None = None) -> Gathered:
    """Encode a split of `feed`; the entity `group` is withheld from the texts.

    Raises:
        DataError: the catalogue cannot be read, or the split holds no product with a picture.
    """
    gallery = encode_pictures(encoder, feed, split, None, limit)
    return Gathered(
        gallery.products,
        texts_without(encoder, gallery.products, group),
        means(gallery.images.vectors, gallery.images.owners, len(gallery.products)),
        gallery.digests,
    )


def texts_without(encoder: Encoder, products: Sequence[Product], group: str) -> Vectors:
    """Return the text vectors of products whose entity `group` is not given, `(n, d) float32`.

    The category is withheld too, where `group` is another: it tells as much.
    """
    fields = _TEXT_FIELDS.validate_python(encoder.text_fields)
    texts = [canonical_text(product, fields) for product in products]
    stated = [product.entities(tuple(encoder.vocabularies)) for product in products]
    hidden = {group, "category"}
    kept = [{name: value for name, value in entities.items() if name not in hidden} for entities in stated]
    return encoder.encode_texts(texts, kept)


def means(vectors: Vectors, owners: NDArray[np.integer], n: int) -> Vectors:
    """Return the mean of each owner's rows, unit length, `(n, d) float32`; zeros for one without rows."""
    sums = np.zeros((n, vectors.shape[1]), np.float32)
    np.add.at(sums, owners, vectors.astype(np.float32))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def category_of(product: Product, group: str) -> str | None:
    """Return what a product states as its `group`, a field or an attribute; None for nothing."""
    return product.entities((group,)).get(group)


def classes_of(products: Sequence[Product], group: str, *, least: int = 2, largest: int | None = None) -> list[str]:
    """Return the values of `group` that at least `least` products state, or the `largest` so many, by name.

    Raises:
        DataError: there are fewer than two.
    """
    counts = Counter(value for product in products if (value := category_of(product, group)))
    kept = [value for value, count in counts.most_common(largest) if count >= least]
    if len(kept) < 2:
        msg = (
            f"fewer than two values of {group!r} are stated by {least} products or more: there is nothing to tell apart"
        )
        raise DataError(msg)
    return sorted(kept)


def labels_of(products: Sequence[Product], group: str, names: Sequence[str]) -> Labels:
    """Return the class of each product, `(n,) int32`, -1 for one that states none of `names`."""
    number = {name: place for place, name in enumerate(names)}
    return np.array([number.get(category_of(product, group) or "", NO_CLASS) for product in products], np.int32)


def encode_prompts(encoder: Encoder, names: Sequence[str], template: str = PROMPT) -> Vectors:
    """Return the vectors of the classes' names as a shopper's words, `(C, d) float32`, no entity given."""
    return encoder.encode_texts([template.format(name) for name in names])
