"""Everything the report says, measured: figures, gates, contributions, shares of the score, worked examples.

Pictures are encoded once. What the numbers mean is computed in `models.gates`, drawn in `models.report.page`.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from models import checkpoint
from models.eiclip import entity_key
from models.encoder import Encoder, Entities
from models.evaluate import Gallery, encode_pictures, measure_gallery
from models.gates import (
    Contribution,
    Counts,
    GroupGates,
    TermShare,
    ValueGate,
    Verdict,
    advice,
    contribution,
    group_gates,
    score_parts,
    term_shares,
    value_gates,
    verdict,
)
from models.measured import Evaluation, Measurement
from models.metrics import Values
from models.picture import decode_picture
from models.product import TextField, canonical_text
from models.protocols import Protocol
from models.train.feed import Feed

NO_GATES = (
    "This model has no entity encoders: there are no gates to show, and a score is words alone. "
    "What follows is what it finds, and what its groups are worth at query time where it reads any."
)
EXAMPLES = 6

_THUMBNAIL = 176  # pixels, longer side: twice what is shown
_COUNTS: TypeAdapter[dict[str, list[tuple[str, int]]]] = TypeAdapter(dict[str, list[tuple[str, int]]])
_FIELDS: TypeAdapter[tuple[TextField, ...]] = TypeAdapter(tuple[TextField, ...])


class GroupReport(BaseModel):
    """What is said of one entity group.

    Attributes:
        group: the group.
        stated: share of the measured products that state a value the model knows, in 0..1.
        gates: of its values; None for a model without gates.
        worth: with and without it.
        verdict: what the intervals say.
        advice: one sentence.
    """

    model_config = ConfigDict(frozen=True)

    group: str
    stated: float
    gates: GroupGates | None
    worth: Contribution
    verdict: Verdict
    advice: str


class Example(BaseModel):
    """One text with its own picture, and what each term adds to their score.

    Attributes:
        product: its id.
        title: of the product.
        entities: given with the text.
        parts: term -> what it adds; they sum to `score`.
        gates: group -> its gate.
        score: inner product of text and picture.
        rank: of the picture among all, with the entities.
        rank_of_words: the same without them.
        picture: a small JPEG in base64.
    """

    model_config = ConfigDict(frozen=True)

    product: str
    title: str
    entities: dict[str, str]
    parts: dict[str, float]
    gates: dict[str, float]
    score: float
    rank: int
    rank_of_words: int
    picture: str


class Report(BaseModel):
    """Everything the page shows.

    Attributes:
        given: figures with the stated entities.
        none: figures of the words alone.
        groups: one entry per group the model knows.
        values: the gate of each value.
        terms: shares of the score.
        examples: worked pairs.
        note: what is missing and why; None where nothing is.
    """

    model_config = ConfigDict(frozen=True)

    given: Evaluation
    none: Evaluation
    groups: tuple[GroupReport, ...]
    values: tuple[ValueGate, ...]
    terms: tuple[TermShare, ...]
    examples: tuple[Example, ...]
    note: str | None


def training_counts(source: str) -> Counts | None:
    """Return how often training saw each value, from the checkpoint `source`; None where that is not on record."""
    folder = Path(checkpoint.__file__).parent / "weights" / source if source == checkpoint.BUNDLED else Path(source)
    try:
        stored = _COUNTS.validate_json((folder / checkpoint.ENTITIES_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    return {group: dict(values) for group, values in stored.items()}


def collect(
    encoder: Encoder, feed: Feed, *, split: str = "val", limit: int | None = None, counts: Counts | None = None
) -> Report:
    """Measure all that the report says, on one picture of each product.

    Args:
        encoder: the model.
        feed: the catalogue.
        split: of it.
        limit: products, at most.
        counts: how often training saw each value, where that is known.

    Raises:
        DataError: the catalogue cannot be read.
    """
    gallery = encode_pictures(encoder, feed, split, 1, limit)
    known = tuple(encoder.vocabularies)
    given = measure_gallery(encoder, gallery, Protocol(split=split, limit=limit))
    none = measure_gallery(encoder, gallery, Protocol(split=split, limit=limit, entities="none"))
    without = {
        group: measure_gallery(encoder, gallery, Protocol(split=split, limit=limit, withheld=(group,)))
        for group in known
    }
    values = value_gates(encoder, counts)
    gates = {summary.group: summary for summary in group_gates(values)}
    groups = []
    for group in known:
        worth = contribution(group, given.ranks, without[group].ranks)
        stated = _stated(gallery, group, encoder.vocabularies[group])
        groups.append(
            GroupReport(
                group=group,
                stated=stated,
                gates=gates.get(group),
                worth=worth,
                verdict=verdict(worth),
                advice=advice(worth, gates.get(group), stated),
            )
        )
    pairs = _pairs(encoder, gallery) if values else []
    return Report(
        given=given.evaluation,
        none=none.evaluation,
        groups=tuple(groups),
        values=tuple(values),
        terms=tuple(term_shares([parts for parts, _ in pairs])),
        examples=tuple(_examples(feed, gallery, pairs, given, none)),
        note=None if values else NO_GATES,
    )


def _stated(gallery: Gallery, group: str, values: Sequence[str]) -> float:
    known = {entity_key(value) for value in values}
    stated = [product.entities((group,)).get(group) for product in gallery.products]
    return float(np.mean([value is not None and entity_key(value) in known for value in stated]))


_Pair = tuple[dict[str, float], dict[str, float]]
"""What each term adds to the score, and the gates."""


def _pairs(encoder: Encoder, gallery: Gallery) -> list[_Pair]:
    fields = _FIELDS.validate_python(encoder.text_fields)
    texts = [canonical_text(product, fields) for product in gallery.products]
    entities: list[Entities] = [product.entities(encoder.vocabularies) for product in gallery.products]
    terms = encoder.text_terms(texts, entities)
    pairs = zip(terms, gallery.images.vectors, strict=True)
    return [(score_parts(parts, image), dict(parts.gates)) for parts, image in pairs]


def _examples(feed: Feed, gallery: Gallery, pairs: list[_Pair], given: Measurement, none: Measurement) -> list[Example]:
    if not pairs:
        return []
    ranks, of_words = (found.ranks["pair/text_to_image"] for found in (given, none))
    chosen = _choose(of_words - ranks)
    items = feed.items(gallery.split, pictures=1, limit=max(chosen) + 1)
    pictures = {row: item.pictures[0] for row, item in enumerate(items) if row in chosen}
    return [
        Example(
            product=gallery.products[row].id,
            title=gallery.products[row].title,
            entities=gallery.products[row].entities(pairs[row][1]),
            parts=pairs[row][0],
            gates=pairs[row][1],
            score=sum(pairs[row][0].values()),
            rank=int(ranks[row]),
            rank_of_words=int(of_words[row]),
            picture=_thumbnail(pictures[row]),
        )
        for row in chosen
    ]


def _choose(gained: Values) -> list[int]:
    """Return the rows where entities gained most ranks, where they lost most, and some spread over the rest."""
    order = np.argsort(-gained, kind="stable").tolist()
    spread = np.linspace(0, len(gained) - 1, EXAMPLES, dtype=int).tolist()
    return list(dict.fromkeys([*order[:2], order[-1], *spread]))[:EXAMPLES]


def _thumbnail(data: bytes) -> str:
    image = decode_picture(data).convert("RGB")
    image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
