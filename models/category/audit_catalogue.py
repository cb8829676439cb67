"""An audit from a catalogue and an encoder to what is told of it: gathered, judged, summed up."""

from dataclasses import dataclass

import numpy as np

from models.category.audit import Audit, Listed, audit, corrupted
from models.category.audit_page import page
from models.category.audit_report import CSV_FILE, PAGE_FILE, Summary, Suspect, as_csv, doubted, suspects, thumbnails
from models.category.vectors import Gathered, classes_of, gather, labels_of
from models.category.whole_feed import WHOLE
from models.encoder import Encoder
from models.train.feed import Feed
from models.vector_blocks import NO_CLASS


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a catalogue is audited.

    Attributes:
        group: field or attribute that is the category.
        split: value of the split column; None for all products.
        limit: products, at most.
        corrupt: share of the listings to be changed first, to measure what is found; none when None.
        seed: of the folds and of what is changed.
    """

    group: str = "category"
    split: str | None = None
    limit: int | None = None
    corrupt: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Audited:
    """An audit with what it is told by.

    Attributes:
        summary: its figures.
        ranked: all products audited, by rank.
        found: the audit itself.
    """

    summary: Summary
    ranked: list[Suspect]
    found: Audit


def audit_catalogue(encoder: Encoder, feed: Feed, wanted: Wanted) -> Audited:
    """Audit `feed`, a `WholeFeed` where all products are wanted.

    Raises:
        DataError: the catalogue cannot be read, or holds no product with a picture.
        ValueError: fewer than two classes are listed by two products.
    """
    where = wanted.split or WHOLE
    gathered = gather(encoder, feed, where, wanted.group, wanted.limit)
    names = classes_of(gathered.products, wanted.group, least=1)
    truth = labels_of(gathered.products, wanted.group, names)
    labels = truth if wanted.corrupt is None else corrupted(truth, wanted.corrupt, wanted.seed)
    vectors = {"text": gathered.texts, "image": gathered.images}
    found = audit(Listed(vectors, labels, tuple(names), _variants(gathered)), seed=wanted.seed)
    ranked = suspects(found, gathered.products)
    precision, count = found.precision(labels != truth)
    summary = Summary(
        catalogue=feed.name,
        split=wanted.split,
        encoder=encoder.name,
        fingerprint=encoder.fingerprint,
        group=wanted.group,
        seed=wanted.seed,
        products=len(ranked),
        classes=len(found.listed.names),
        unlisted=int((labels == NO_CLASS).sum()),
        rare=found.rare,
        without_picture=0 if wanted.limit else sum(1 for _ in feed.products(where)) - len(gathered.products),
        wrong_share=found.model.share,
        doubted=len(doubted(ranked, len(ranked))),
        corrupted=None if wanted.corrupt is None else count,
        precision=None if wanted.corrupt is None else precision,
    )
    return Audited(summary, ranked, found)


def _variants(gathered: Gathered) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return a number for each product, the same for variants of one."""
    stated = [("group", product.group) if product.group else ("id", product.id) for product in gathered.products]
    number = {key: place for place, key in enumerate(dict.fromkeys(stated))}
    return np.array([number[key] for key in stated], np.int64)


def files_of(audited: Audited, feed: Feed, wanted: Wanted, most: int) -> dict[str, str]:
    """Return the table and the page, by file name, with the pictures of the first `most` products in doubt.

    Raises:
        DataError: a picture cannot be read.
    """
    top, found = doubted(audited.ranked, most), audited.found
    rows = {suspect.rank: int(found.rows[found.order[suspect.rank - 1]]) for suspect in top}
    pictures = thumbnails(feed, wanted.split or WHOLE, list(rows.values()))
    shown = {rank: pictures[row] for rank, row in rows.items()}
    return {CSV_FILE: as_csv(audited.ranked), PAGE_FILE: page(audited.summary, top, shown, found)}
