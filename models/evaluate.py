"""How well pictures and texts of a catalogue find each other: the retrieval protocols of the EI-CLIP paper.

Two protocols over one split: every product of it as a candidate, or `SAMPLE` candidates of the query's own
category, with the category entity then withheld because all candidates share it. Texts go with the entities the
catalogue states, with none, or with those linked from their own words, as a shopper's query would. Each is
measured both ways, per pair (only the pair's own picture counts), per product (any picture of the product
counts) and per text (any picture of a product that reads the same counts), with 95% bootstrap intervals. Only
the Encoder protocol is used, so any encoder can be measured.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

import numpy as np
from PIL.Image import Image
from pydantic import TypeAdapter
from tqdm import tqdm

from models.eiclip import entity_key
from models.encoder import Encoder, Entities, Vectors
from models.entities import EntityLink, EntityLinker, EntityStatistics
from models.measured import DEPTHS, Agreement, Direction, Estimate, Evaluation, Level, Measurement
from models.picture import PictureError, decode_picture
from models.product import Product, TextField, canonical_text
from models.protocols import SAMPLE, SAMPLE_SEED, Candidates, Protocol
from models.ranking import Embedded, Rows, level_ranks, ranks
from models.train.feed import DataError, Feed, Item, fingerprint

__all__ = [
    "SAMPLE",
    "SAMPLE_SEED",
    "Agreement",
    "Candidates",
    "Direction",
    "Estimate",
    "Evaluation",
    "Gallery",
    "Level",
    "Link",
    "Measurement",
    "Protocol",
    "catalogue_linker",
    "encode_pictures",
    "evaluate",
    "measure",
    "measure_all",
    "measure_gallery",
    "recalls",
]

LINKED_FIELDS: tuple[TextField, ...] = ("title", "description")

Link = Callable[[str], Sequence[EntityLink]]

_LEARNT_FROM = "train"
_PRODUCTS_AT_ONCE = 64
_TEXT_FIELDS: TypeAdapter[tuple[TextField, ...]] = TypeAdapter(tuple[TextField, ...])


def evaluate(encoder: Encoder, feed: Feed, protocol: Protocol) -> Evaluation:
    """Return the figures of `measure`."""
    return measure(encoder, feed, protocol).evaluation


def measure(encoder: Encoder, feed: Feed, protocol: Protocol) -> Measurement:
    """Measure `encoder` on `feed`.

    Raises:
        DataError: the catalogue cannot be read, or has no category to sample within.
    """
    return measure_all(encoder, feed, [protocol])[0]


def measure_all(
    encoder: Encoder, feed: Feed, protocols: Sequence[Protocol], link: Link | None = None
) -> list[Measurement]:
    """Measure `encoder` on `feed` under each protocol, encoding the pictures they have in common once.

    Args:
        encoder: to be measured.
        feed: the catalogue.
        protocols: in the order of the measurements.
        link: how entities are linked where a protocol says so; None for `catalogue_linker` of `feed`, whose
            counting takes minutes on a large catalogue: callers that measure several encoders make it once.

    Raises:
        DataError: as `measure`.
    """
    galleries = cache(lambda split, pictures, limit: encode_pictures(encoder, feed, split, pictures, limit))
    if link is None and encoder.vocabularies and any(protocol.entities == "linked" for protocol in protocols):
        link = catalogue_linker(feed, tuple(encoder.vocabularies))
    return [
        measure_gallery(encoder, galleries(protocol.split, protocol.pictures, protocol.limit), protocol, link)
        for protocol in protocols
    ]


def catalogue_linker(feed: Feed, groups: Sequence[str]) -> Link:
    """Return a linker to the values of `groups` that has seen the split `train` of `feed` only.

    It remembers the texts it has read, so that measuring the next encoder costs nothing.

    Raises:
        DataError: the catalogue cannot be read, or has no such split.
    """
    products = list(feed.products(_LEARNT_FROM))
    return cache(EntityLinker(EntityStatistics.collect(products, groups)).link)


def recalls(images: Vectors, texts: Vectors) -> dict[str, float]:
    """Return R@1, 5, 10 both ways, in 0..1, of `images (n, d)` and `texts (n, d)` where row i belongs to row i."""
    own = np.arange(len(texts))
    shown, read = Embedded(images, own), Embedded(texts, own)
    ways = {"text_to_image": ranks(read, shown, (own, own)), "image_to_text": ranks(shown, read, (own, own))}
    return {f"{way}_r{k}": float((found <= k).mean()) for way, found in ways.items() for k in DEPTHS}


@dataclass(frozen=True, slots=True)
class Gallery:
    """Products of a split with the digests of their pictures, and the vectors of these; owners ascend.

    Attributes:
        catalogue: name of the catalogue.
        split: of it.
        products: in the order of the catalogue.
        digests: of the pictures of each product.
        images: vectors of all pictures.
    """

    catalogue: str
    split: str
    products: list[Product]
    digests: list[tuple[str, ...]]
    images: Embedded

    def stating(self, group: str) -> "Gallery":
        """Return the products that state a value of `group`."""
        kept = np.array([bool(product.entities((group,))) for product in self.products])
        shown = kept[self.images.owners]
        number = np.cumsum(kept) - 1
        return Gallery(
            self.catalogue,
            self.split,
            [product for product, keep in zip(self.products, kept, strict=True) if keep],
            [names for names, keep in zip(self.digests, kept, strict=True) if keep],
            Embedded(self.images.vectors[shown], number[self.images.owners[shown]]),
        )


def encode_pictures(
    encoder: Encoder, feed: Feed, split: str, pictures: int | None = 1, limit: int | None = None
) -> Gallery:
    """Encode up to `pictures` pictures of each of up to `limit` products of a split; None for all.

    Raises:
        DataError: the catalogue or a picture cannot be read, or the split holds no product with a picture.
    """
    items = feed.items(split, pictures=pictures, limit=limit)
    products: list[Product] = []
    digests: list[tuple[str, ...]] = []
    vectors = [np.empty((0, encoder.dim), dtype=np.float32)]
    with tqdm(desc="encoding", unit="product", disable=None, leave=False) as bar:
        while block := list(islice(items, _PRODUCTS_AT_ONCE)):
            products += [item.product for item in block]
            digests += [tuple(hashlib.sha256(data).hexdigest() for data in item.pictures) for item in block]
            vectors.append(encoder.encode_images([image for item in block for image in _decoded(item)]))
            bar.update(len(block))
    owners = np.repeat(np.arange(len(products)), [len(names) for names in digests])
    return Gallery(feed.name, split, products, digests, Embedded(np.concatenate(vectors), owners))


def _decoded(item: Item) -> Iterator[Image]:
    for data in item.pictures:
        try:
            yield decode_picture(data)
        except PictureError as error:
            raise DataError(f"product {item.product.id}: picture: {error}") from error


def measure_gallery(encoder: Encoder, gallery: Gallery, protocol: Protocol, link: Link | None = None) -> Measurement:
    """Measure on pictures that `encoder` has encoded already, as `protocol` names them.

    Args:
        encoder: to be measured.
        gallery: from `encode_pictures` with the protocol's split, pictures and limit.
        protocol: what the texts are given, and which candidates.
        link: how entities are linked where the protocol says so; None links nothing.

    Raises:
        DataError: there is no category to sample within.
    """
    allowed = None
    if protocol.candidates == "100":
        gallery = gallery.stating(protocol.category_group)
        if not gallery.products:
            where = f"{gallery.catalogue}: no product of the split {gallery.split!r}"
            raise DataError(f"{where} has a {protocol.category_group}")
        allowed = _candidates(gallery.products, protocol.category_group)
    products = gallery.products
    fields = protocol.text_fields or _TEXT_FIELDS.validate_python(encoder.text_fields)
    groups = protocol.groups(encoder.vocabularies)
    texts = [canonical_text(product, fields) for product in products]
    entities: list[Entities] = [product.entities(groups) for product in products]
    agreement = None
    if protocol.entities == "linked":
        stated, entities = entities, linked_entities(products, groups, link or _no_links)
        agreement = _agreement(groups, stated, entities)
    alike = _alike(texts, entities)
    found = level_ranks(encoder.encode_texts(texts, entities), gallery.images, alike, allowed)
    evaluation = Evaluation(
        encoder=encoder.name,
        fingerprint=encoder.fingerprint,
        catalogue=gallery.catalogue,
        data=fingerprint({gallery.split: list(zip(products, gallery.digests, strict=True))}),
        split=gallery.split,
        candidates=protocol.candidates,
        protocol=protocol,
        candidates_mean=float(len(products) if allowed is None else np.mean([len(rows) for rows in allowed])),
        text_fields=fields,
        entities=groups,
        linking=agreement,
        products=len(products),
        pictures=len(gallery.images.owners),
        indistinct=int((np.bincount(alike)[alike] > 1).sum()),
        seed=SAMPLE_SEED,
        pair=Level.of(found, "pair"),
        product=Level.of(found, "product"),
        text=Level.of(found, "text"),
    )
    return Measurement(evaluation, found)


def linked_entities(products: Sequence[Product], groups: Sequence[str], link: Link) -> list[Entities]:
    """Return what the title and description of each product name of `groups`, the likeliest value of each."""
    found: list[Entities] = []
    for product in products:
        links = sorted(link(canonical_text(product, LINKED_FIELDS)), key=lambda link: link.probability)
        likeliest = {link.group: link.value for link in links}
        found.append({group: likeliest[group] for group in groups if group in likeliest})
    return found


def _no_links(_text: str) -> Sequence[EntityLink]:
    return ()


def _agreement(groups: Sequence[str], stated: Sequence[Entities], linked: Sequence[Entities]) -> dict[str, Agreement]:
    counts: dict[str, Counter[str]] = {group: Counter() for group in groups}
    for said, found in zip(stated, linked, strict=True):
        for group, count in counts.items():
            count["stated"] += group in said
            count["linked"] += group in found
            count["agreed"] += group in said and group in found and entity_key(said[group]) == entity_key(found[group])
    return {
        group: Agreement(
            stated=count["stated"],
            linked=count["linked"],
            agreed=count["agreed"],
            precision=count["agreed"] / max(1, count["linked"]),
            recall=count["agreed"] / max(1, count["stated"]),
        )
        for group, count in counts.items()
    }


def _alike(texts: Sequence[str], entities: Sequence[Entities]) -> Rows:
    """Return `(n,)`: the same number for the same text with the same entities, counted from 0."""
    numbers: dict[tuple[object, ...], int] = {}
    keys = ((text, *sorted(given.items())) for text, given in zip(texts, entities, strict=True))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _candidates(products: Sequence[Product], group: str) -> list[Rows]:
    """Return the candidate products of each product, itself among them."""
    members: dict[str, list[int]] = {}
    categories = [product.entities((group,))[group] for product in products]
    for row, category in enumerate(categories):
        members.setdefault(category, []).append(row)
    return [_sample(row, np.array(members[category])) for row, category in enumerate(categories)]


def _sample(row: int, members: Rows) -> Rows:
    others = members[members != row]
    rng = np.random.default_rng([SAMPLE_SEED, row])
    return np.append(rng.choice(others, size=min(SAMPLE - 1, len(others)), replace=False), row)
