"""What is asked, in the service's own terms: the parts of a query, their weights, and how to read them.

The wire's JSON and forms become these in `service.api`; `service.search` answers them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from pydantic import JsonValue

from service.errors import InvalidRequestError

Filter = Mapping[str, JsonValue]
EntityLinking = Literal["auto", "off", "strict"]
Mode = Literal["hybrid", "vector", "lexical"]
InstancesMode = Literal["auto", "off", "all"]

MOST_PARTS = 16
"""Parts one query may have."""


@dataclass(frozen=True, slots=True)
class PictureData:
    """A picture that came with the request.

    Attributes:
        data: The file's bytes, or its text in base64 or as a data-URI.
    """

    data: bytes | str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PictureUrl:
    """A picture to fetch."""

    url: str


Picture = PictureData | PictureUrl


@dataclass(frozen=True, slots=True)
class TextPart:
    """Words to look for.

    Attributes:
        words: What is matched as words, if not the text.
    """

    text: str
    weight: float
    path: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class PicturePart:
    """A picture to look for."""

    picture: Picture
    weight: float
    path: str


@dataclass(frozen=True, slots=True)
class ProductPart:
    """A product of the catalogue to look for the like of."""

    product_id: str
    weight: float
    path: str


Part = TextPart | PicturePart | ProductPart


@dataclass(frozen=True, slots=True)
class FacetField:
    """A field whose values are to be counted, and of how many values at most."""

    field: str
    limit: int
    path: str


@dataclass(frozen=True, slots=True)
class SortKey:
    """A field to sort by; products that do not state it come last either way."""

    field: str
    descending: bool
    path: str


RerankAction = Literal["filter", "demote"]

SURE_ENOUGH: Final[Mapping[RerankAction, float]] = MappingProxyType({"filter": 0.7, "demote": 0.6})
"""How sure a category must be that is found out, unless a caller says otherwise: a filter's mistakes cost more."""


@dataclass(frozen=True, slots=True)
class Rerank:
    """What to make of the query's category.

    Attributes:
        category: Its name; None: found out from the query.
        action: Whether products of another category are left out, or come later.
        min_confidence: How sure the category must be, 0 to 1, to be used.
    """

    category: str | None
    action: RerankAction
    min_confidence: float


@dataclass(frozen=True, slots=True)
class Query:
    """One search. The vector looked for is the normalised weighted sum of the parts' vectors.

    Attributes:
        parts: At least one of them has a weight above zero; none: all products are wanted, to be filtered, sorted or
            counted. Each knows the path of its field.
        entities: Group to value as the caller states them; None means: do not use this group.
        linking: Whether entities are also read out of the words, and whether unknown stated ones are refused.
        mode: Whether texts are matched by meaning and as words, or in one of these ways alone.
        lexical_weight: How much their match as words counts in hybrid mode, 0 to 1; None: as the bundle states.
        limit: Hits to return.
        offset: Hits to skip.
        explain: Whether each hit says what its score is made of.
        exclude: Product ids that are never hits.
        filter: What hits must meet, see `service.filters`.
        facets: Fields whose values are counted among the products found.
        sort: What to sort by, before relevance.
        collapse: A field of which every value has one hit, the first: colour variants of one product, say.
        rerank: What to make of its category; None: nothing.
        diversity: From 0, hits by relevance alone, to 1, each hit as unlike those before it as can be.
        instances: Whether each product in its picture is searched for by itself, too: unless one fills it (auto), no
            (off), or in any case (all).
        led: Whether its picture is a product of a photo whose vector was led to where pictures of that product lie:
            then it is compared with pictures alone.
    """

    parts: tuple[Part, ...]
    entities: Mapping[str, str | None] = field(default_factory=dict)
    linking: EntityLinking = "auto"
    mode: Mode = "hybrid"
    lexical_weight: float | None = None
    limit: int = 20
    offset: int = 0
    explain: bool = False
    exclude: frozenset[str] = frozenset()
    filter: Filter | None = None
    facets: tuple[FacetField, ...] = ()
    sort: tuple[SortKey, ...] = ()
    collapse: str | None = None
    diversity: float = 0.0
    rerank: Rerank | None = None
    instances: InstancesMode = "off"
    led: bool = False

    def __post_init__(self) -> None:
        if not self.parts and not self.narrowed:
            msg = "Give something to look for: q, image or query; or a filter, facets, sort or collapse, to browse."
            raise InvalidRequestError(msg, path="q")
        if self.parts and all(part.weight <= 0 for part in self.parts):
            msg = "At least one weight must be above zero."
            raise InvalidRequestError(msg, path=self.parts[0].path.removesuffix(".text"))
        if any(self.entities.values()) and not self.texts:
            msg = "Entities need words to go with: give q, or a text in query."
            raise InvalidRequestError(msg, path="entities")
        if self.mode == "lexical" and (len(self.texts) < len(self.parts) or not self.parts):
            msg = "Lexical search is for words: give q, or texts in query, and nothing else."
            raise InvalidRequestError(msg, path="mode")
        if self.rerank is not None and not self.parts:
            msg = "There is no query to find the category of: give q, image or query."
            raise InvalidRequestError(msg, path="rerank")
        if self.mode != "hybrid" and self.lexical_weight is not None:
            msg = f"In {self.mode} mode there is nothing to weigh."
            raise InvalidRequestError(msg, path="lexical_weight")
        if self.instances != "off" and sum(_wanted_picture(part) for part in self.parts) != 1:
            msg = "Products are looked for in one picture: give one, with a weight above zero."
            raise InvalidRequestError(msg, path="instances")

    @property
    def narrowed(self) -> bool:
        """Whether it names fields of the catalogue: to filter, sort, count or collapse by."""
        return self.filter is not None or bool(self.facets or self.sort) or self.collapse is not None

    @property
    def shape(self) -> tuple[object, ...]:
        """What decides how long finding and ranking hits takes, besides the catalogue."""
        last = (self.offset + self.limit).bit_length()
        narrowed = (self.filter is None, len(self.facets), len(self.sort), self.collapse, self.rerank)
        return (self.mode, len(self.parts), last, self.explain, bool(self.diversity), *narrowed)

    @property
    def texts(self) -> tuple[TextPart, ...]:
        """The parts that are words."""
        return tuple(part for part in self.parts if isinstance(part, TextPart))


def _wanted_picture(part: Part) -> bool:
    return isinstance(part, PicturePart) and part.weight > 0
