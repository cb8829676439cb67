"""How well pictures and texts of a catalogue find each other: the retrieval protocols of the EI-CLIP paper.

Two protocols over one split: every product of it as a candidate, or `SAMPLE` candidates of the query's own
category, with the category entity then withheld because all candidates share it. Each is measured both ways,
per pair (only the pair's own picture counts) and per product (any picture of the product counts), with 95%
bootstrap intervals. Only the Encoder protocol is used, so any encoder can be measured.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from pydantic import BaseModel, ConfigDict, TypeAdapter
from tqdm import tqdm

from models.encoder import Encoder, Entities, Vectors
from models.metrics import Values, bootstrap_interval, retrieval_ranks
from models.picture import PictureError, decode_picture
from models.product import Product, TextField, canonical_text
from models.train.feed import DataError, Feed, Item, fingerprint

SAMPLE = 100
SAMPLE_SEED = 2022  # published: the sampled candidates are part of the figure
DEPTHS = (1, 5, 10)

Candidates = Literal["full", "100"]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

_QUERIES_AT_ONCE = 512
_PRODUCTS_AT_ONCE = 64
_TIE = np.float32(1e-6)  # equal inputs differ by rounding with their place in a batch; they still count as ties
_TEXT_FIELDS: TypeAdapter[tuple[TextField, ...]] = TypeAdapter(tuple[TextField, ...])


class Estimate(BaseModel):
    """A mean over queries with its 95% bootstrap interval, in 0..1."""

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float
    high: float


class Direction(BaseModel):
    """R@K of one direction, and the middle of the ranks (from 1)."""

    model_config = ConfigDict(frozen=True)

    r1: Estimate
    r5: Estimate
    r10: Estimate
    median_rank: float


class Level(BaseModel):
    """Both directions, and the sum of their six recalls in percent (at most 600)."""

    model_config = ConfigDict(frozen=True)

    text_to_image: Direction
    image_to_text: Direction
    sum_r: float


class Evaluation(BaseModel):
    """The figures of one encoder on one split, and what they were measured on.

    Attributes:
        encoder: name of the encoder.
        fingerprint: of the encoder.
        catalogue: name of the catalogue.
        data: digest of the products and pictures read.
        split: of the catalogue.
        candidates: the protocol.
        candidates_mean: how many candidates a query had on average, its own among them.
        entities: the groups given with each text.
        products: how many were measured.
        pictures: how many pictures they have.
        indistinct: products whose text and entities another product shares; no encoder can tell them apart.
        seed: of the sampled candidates and of the intervals.
        pair: only the pair's own picture counts.
        product: any picture of the product counts.
    """

    model_config = ConfigDict(frozen=True)

    encoder: str
    fingerprint: str
    catalogue: str
    data: str
    split: str
    candidates: Candidates
    candidates_mean: float
    entities: tuple[str, ...]
    products: int
    pictures: int
    indistinct: int
    seed: int
    pair: Level
    product: Level


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is measured.

    Attributes:
        split: of the catalogue.
        candidates: every product, or 100 of the query's category.
        pictures: of each product, at most; None for all.
        limit: products, at most; None for all.
        with_entities: give the products' entities with their texts.
        category_group: the entity group that `candidates="100"` samples within and withholds.
    """

    split: str = "test"
    candidates: Candidates = "full"
    pictures: int | None = 1
    limit: int | None = None
    with_entities: bool = True
    category_group: str = "category"


@dataclass(frozen=True, slots=True)
class _Gallery:
    """Products with the vectors of their pictures, `(m, d)`, and each picture's product row, `(m,)`, ascending."""

    products: list[Product]
    digests: list[tuple[str, ...]]
    images: Vectors
    owners: Rows


def evaluate(encoder: Encoder, feed: Feed, protocol: Protocol) -> Evaluation:
    """Measure `encoder` on `feed`.

    Raises:
        DataError: the catalogue cannot be read, or has no category to sample within.
    """
    gallery = _encode_pictures(encoder, feed, protocol)
    groups = tuple(encoder.vocabularies) if protocol.with_entities else ()
    if protocol.candidates == "100":
        groups = tuple(group for group in groups if group != protocol.category_group)
    texts = [canonical_text(p, _fields(encoder)) for p in gallery.products]
    entities: list[Entities] = [product.entities(groups) for product in gallery.products]
    vectors = encoder.encode_texts(texts, entities)
    allowed = _candidates(gallery, protocol)
    pairs = list(zip(gallery.products, gallery.digests, strict=True))
    return Evaluation(
        encoder=encoder.name,
        fingerprint=encoder.fingerprint,
        catalogue=feed.name,
        data=fingerprint({protocol.split: pairs}),
        split=protocol.split,
        candidates=protocol.candidates,
        candidates_mean=_mean_candidates(allowed, len(pairs)),
        entities=groups,
        products=len(pairs),
        pictures=len(gallery.owners),
        indistinct=_indistinct(texts, entities),
        seed=SAMPLE_SEED,
        pair=_level(gallery, vectors, allowed, per_pair=True),
        product=_level(gallery, vectors, allowed, per_pair=False),
    )


def recalls(images: Vectors, texts: Vectors) -> dict[str, float]:
    """Return R@1, 5, 10 both ways, in 0..1, of `images (n, d)` and `texts (n, d)` where row i belongs to row i."""
    own = np.arange(len(texts))
    ways = {
        "text_to_image": _ranks(_Queries(texts, own, own), images, own, None),
        "image_to_text": _ranks(_Queries(images, own, own), texts, own, None),
    }
    return {f"{way}_r{k}": float((ranks <= k).mean()) for way, ranks in ways.items() for k in DEPTHS}


def _fields(encoder: Encoder) -> tuple[TextField, ...]:
    return _TEXT_FIELDS.validate_python(encoder.text_fields)


def _encode_pictures(encoder: Encoder, feed: Feed, protocol: Protocol) -> _Gallery:
    items = feed.items(protocol.split, pictures=protocol.pictures, limit=protocol.limit)
    if protocol.candidates == "100":
        group = protocol.category_group
        items = (item for item in items if item.product.entities((group,)))
    products: list[Product] = []
    digests: list[tuple[str, ...]] = []
    vectors = [np.empty((0, encoder.dim), dtype=np.float32)]
    with tqdm(desc="encoding", unit="product", disable=None, leave=False) as bar:
        while block := list(islice(items, _PRODUCTS_AT_ONCE)):
            products += [item.product for item in block]
            digests += [tuple(hashlib.sha256(data).hexdigest() for data in item.pictures) for item in block]
            vectors.append(encoder.encode_images([image for item in block for image in _decoded(item)]))
            bar.update(len(block))
    if not products:
        raise DataError(f"{feed.path}: no product of the split {protocol.split!r} has a {protocol.category_group}")
    owners = np.repeat(np.arange(len(products)), [len(names) for names in digests])
    return _Gallery(products, digests, np.concatenate(vectors), owners)


def _decoded(item: Item) -> Iterator[Image]:
    for data in item.pictures:
        try:
            yield decode_picture(data)
        except PictureError as error:
            raise DataError(f"product {item.product.id}: picture: {error}") from error


def _candidates(gallery: _Gallery, protocol: Protocol) -> list[Rows] | None:
    """Return the candidate products of each product, itself among them; None for all."""
    if protocol.candidates == "full":
        return None
    members: dict[str, list[int]] = {}
    categories = [product.entities((protocol.category_group,))[protocol.category_group] for product in gallery.products]
    for row, category in enumerate(categories):
        members.setdefault(category, []).append(row)
    return [_sample(row, np.array(members[category])) for row, category in enumerate(categories)]


def _sample(row: int, members: Rows) -> Rows:
    others = members[members != row]
    rng = np.random.default_rng([SAMPLE_SEED, row])
    return np.append(rng.choice(others, size=min(SAMPLE - 1, len(others)), replace=False), row)


def _mean_candidates(allowed: list[Rows] | None, products: int) -> float:
    return float(products) if allowed is None else float(np.mean([len(rows) for rows in allowed]))


def _indistinct(texts: Sequence[str], entities: Sequence[Entities]) -> int:
    counts = Counter((text, *sorted(stated.items())) for text, stated in zip(texts, entities, strict=True))
    return sum(count for count in counts.values() if count > 1)


@dataclass(frozen=True, slots=True)
class _Queries:
    """Query vectors `(q, d)`, the product row of each, `(q,)`, and what is relevant to each.

    `wanted` `(q,)` is the one gallery row that counts; None: every gallery row of the query's product.
    """

    vectors: Vectors
    own: Rows
    wanted: Rows | None


def _level(gallery: _Gallery, texts: Vectors, allowed: list[Rows] | None, *, per_pair: bool) -> Level:
    products = np.arange(len(texts))
    if per_pair:
        asked = _Queries(texts[gallery.owners], gallery.owners, np.arange(len(gallery.owners)))
    else:
        asked = _Queries(texts, products, None)
    to_image = _direction(_ranks(asked, gallery.images, gallery.owners, allowed))
    shown = _Queries(gallery.images, gallery.owners, None)
    to_text = _direction(_ranks(shown, texts, products, allowed))
    means = [e.mean for way in (to_image, to_text) for e in (way.r1, way.r5, way.r10)]
    return Level(text_to_image=to_image, image_to_text=to_text, sum_r=100 * sum(means))


def _ranks(queries: _Queries, gallery: Vectors, owners: Rows, allowed: list[Rows] | None) -> Values:
    """Return the rank of each query's relevant row among the gallery rows of its candidate products, `(q,)`.

    What is irrelevant and equal, or equal but for rounding, stands ahead.
    """
    parts = [np.empty(0)]
    for start in range(0, len(queries.vectors), _QUERIES_AT_ONCE):
        block = slice(start, start + _QUERIES_AT_ONCE)
        scores = queries.vectors[block] @ gallery.T  # (b, c)
        own = queries.own[block]
        if allowed is not None:
            scores[~_mask([allowed[row] for row in own], owners)] = -np.inf
        if queries.wanted is None:
            relevant = owners[None, :] == own[:, None]
        else:
            relevant = np.arange(len(gallery))[None, :] == queries.wanted[block][:, None]
        parts.append(retrieval_ranks(scores + _TIE * ~relevant, relevant))
    return np.concatenate(parts)


def _mask(allowed: Sequence[Rows], owners: Rows) -> Mask:
    """Return `(b, c) bool`: which gallery rows belong to the products allowed for each query."""
    products = np.zeros((len(allowed), int(owners.max()) + 1), dtype=bool)
    for line, rows in zip(products, allowed, strict=True):
        line[rows] = True
    return np.asarray(products[:, owners])


def _direction(ranks: Values) -> Direction:
    r1, r5, r10 = (_estimate(ranks <= k) for k in DEPTHS)
    return Direction(r1=r1, r5=r5, r10=r10, median_rank=float(np.median(ranks)))


def _estimate(hits: NDArray[np.bool_]) -> Estimate:
    interval = bootstrap_interval(hits.astype(np.float64), seed=SAMPLE_SEED)
    return Estimate(mean=interval.mean, low=interval.low, high=interval.high)
