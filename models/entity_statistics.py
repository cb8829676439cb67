"""What a catalogue says about its own entity values: how often, in which words, beside what.

Every product labels its own text: an occurrence of "ruby" on a product of the brand Ruby is taken as the
brand, on a product of that colour as the colour, on any other as a plain word. From these labels come the
priors, the neighbouring words and the co-occurrences by which `models.linking` reads a query. Nothing but
the catalogue is looked at. Counting is left to `models.entity_counting`.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.entity_counting import count_catalogue
from models.neighbours import Side, TextSource
from models.product import DEFAULT_ENTITY_GROUPS, Product

Count = Annotated[int, Field(ge=0)]
Counts = Mapping[str, Count]


class EntityStatisticsError(ValueError):
    """Text that is not entity statistics of a version this code reads."""


class Evidence(BaseModel):
    """What the catalogue shows of one surface whose reading is open.

    A reading is named `group=value` (see `models.lexicon`) or `plain`.

    Attributes:
        title: reading -> products whose title holds the surface in that reading.
        description: the same of descriptions.
        held: reading -> products that have the value, whatever their words; an attribute's products that
            also have an entity of this surface are left out, for there the two agree.
        left: the word before -> group or `plain` -> occurrences; a hyphen between is kept.
        right: the same of the word after.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Counts
    description: Counts
    held: Counts
    left: Mapping[str, Counts]
    right: Mapping[str, Counts]


class EntityStatistics(BaseModel):
    """The entity values of a catalogue and the evidence of how its words use them. Immutable.

    Attributes:
        products: number of products.
        groups: the entity groups, in order.
        vocabulary: group -> value -> products, of entity groups and of closed attributes (colours, ...).
        words: word -> products whose text holds it; the frequent ones.
        title_words: word -> products whose title holds it; the frequent ones. Empty in statistics stored by older
            code: then nothing is concluded from it.
        evidence: key of a surface (see `models.surfaces`) with more than one reading -> its evidence.
        contexts: kind of text -> side -> group or `plain` -> kind of neighbour -> occurrences.
        pairs: reading -> reading of another group -> products that have both; only of open readings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["catalens-entity-statistics"] = "catalens-entity-statistics"
    version: Literal[1] = 1
    products: Count
    groups: tuple[str, ...]
    vocabulary: Mapping[str, Counts]
    words: Counts
    title_words: Counts = Field(default_factory=dict)
    evidence: Mapping[str, Evidence]
    contexts: Mapping[TextSource, Mapping[Side, Mapping[str, Counts]]]
    pairs: Mapping[str, Counts]

    @classmethod
    def collect(cls, products: Iterable[Product], groups: Iterable[str] = DEFAULT_ENTITY_GROUPS) -> Self:
        """Count a catalogue in two passes, in memory that grows with its values and not with its products.

        Args:
            products: read twice: a sequence, or an object whose `__iter__` starts anew.
            groups: the entity groups to link; every other closed attribute gives context only.

        Raises:
            TypeError: `products` is an iterator, which can be read only once.
        """
        return cls.model_validate(count_catalogue(products, tuple(groups)))

    def to_json(self) -> str:
        """Return the statistics as JSON; equal statistics give equal text."""
        return json.dumps(self.model_dump(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote.

        Raises:
            EntityStatisticsError: `text` is something else or of another version.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "text"
            msg = f"not entity statistics: {place}: {first['msg']}"
            raise EntityStatisticsError(msg) from error
