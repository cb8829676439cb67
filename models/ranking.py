"""Ranks of what is relevant to each query, among all candidates or among those a query is allowed.

Texts and pictures are rows of unit vectors that each belong to a product. What counts as relevant is said by
labels: a candidate is relevant to the queries of its label. Encoding is left to `models.evaluate`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.encoder import Vectors
from models.metrics import Values, retrieval_ranks

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

_QUERIES_AT_ONCE = 512
_TIE = np.float32(1e-6)  # equal inputs differ by rounding with their place in a batch; they still count as ties


@dataclass(frozen=True, slots=True)
class Embedded:
    """Texts or pictures: vectors `(n, d)`, and the product row of each, `(n,)`."""

    vectors: Vectors
    owners: Rows


def ranks(
    queries: Embedded, gallery: Embedded, labels: tuple[Rows, Rows], allowed: Sequence[Rows] | None = None
) -> Values:
    """Return the rank, from 1, of each query's best relevant row of the gallery, `(q,)`.

    What is irrelevant and equal, or equal but for rounding, stands ahead.

    Args:
        queries: `q` rows.
        gallery: `c` rows.
        labels: of the queries, `(q,)`, and of the gallery, `(c,)`; equal ones are relevant to each other.
        allowed: for each product, the products whose rows are candidates for its queries; None for all.
    """
    wanted, offered = labels
    parts = [np.empty(0)]
    for start in range(0, len(queries.vectors), _QUERIES_AT_ONCE):
        block = slice(start, start + _QUERIES_AT_ONCE)
        scores = queries.vectors[block] @ gallery.vectors.T  # (b, c)
        relevant = wanted[block, None] == offered[None, :]
        scores += _TIE * ~relevant
        if allowed is not None:
            scores[~_mask([allowed[row] for row in queries.owners[block]], gallery.owners)] = -np.inf
        parts.append(retrieval_ranks(scores, relevant))
    return np.concatenate(parts)


def _mask(allowed: Sequence[Rows], owners: Rows) -> Mask:
    """Return `(b, c) bool`: which gallery rows belong to the products allowed for each query."""
    products = np.zeros((len(allowed), int(owners.max()) + 1), dtype=bool)
    for line, rows in zip(products, allowed, strict=True):
        line[rows] = True
    return np.asarray(products[:, owners])


def level_ranks(texts: Vectors, images: Embedded, alike: Rows, allowed: Sequence[Rows] | None) -> dict[str, Values]:
    """Return the ranks of all levels both ways, in the order of the products, then of their pictures.

    Args:
        texts: `(n, d)`, one of each product.
        images: `m` pictures; their owners ascend.
        alike: `(n,)` the same number for products whose texts cannot be told apart.
        allowed: as for `ranks`.
    """
    owners = images.owners
    products, pictures = np.arange(len(texts)), np.arange(len(owners))
    of_products = Embedded(texts, products)
    of_pictures = Embedded(texts[owners], owners)
    to_text = ranks(images, of_products, (owners, products), allowed)
    return {
        "pair/text_to_image": ranks(of_pictures, images, (pictures, pictures), allowed),
        "pair/image_to_text": to_text,
        "product/text_to_image": ranks(of_products, images, (products, owners), allowed),
        "product/image_to_text": to_text,
        "text/text_to_image": ranks(of_products, images, (alike, alike[owners]), allowed),
        "text/image_to_text": ranks(images, of_products, (alike[owners], alike), allowed),
    }
