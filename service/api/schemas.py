"""The wire's types: what requests may hold, checked by pydantic, and what answers always hold.

Requests refuse unknown fields. Answers are typed dictionaries without defaults: every field is always there
unless it is marked as not required, and mypy checks the code that fills them.
"""

from typing import Annotated, Literal, NotRequired

from fastapi import UploadFile
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Json, JsonValue, model_validator
from typing_extensions import TypedDict

from models.product import AttributeValue, clean_text
from service.query import MOST_PARTS, EntityLinking, Mode

ProductField = Literal[
    "id", "title", "description", "brand", "category", "season", "composition", "price", "currency", "in_stock",
    "url", "group", "images", "attributes",
]  # fmt: skip


def _readable(text: str) -> str:
    if "\x00" in text:
        msg = "must not contain a NUL character"
        raise ValueError(msg)
    try:
        text.encode()
    except UnicodeEncodeError:
        msg = "must not contain half a surrogate pair"
        raise ValueError(msg) from None
    return text


def _words(text: str) -> str:
    cleaned = clean_text(text)
    if not cleaned:
        msg = "must contain something besides white space"
        raise ValueError(msg)
    return cleaned


QueryText = Annotated[
    str,
    Field(min_length=1, max_length=2_000, description="Words to look for."),
    AfterValidator(_readable),
    AfterValidator(_words),
]
EntityGroup = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_readable)]
EntityValue = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_readable), AfterValidator(_words)]
EntityMap = Annotated[
    dict[EntityGroup, EntityValue | None],
    Field(max_length=32, description="Entities by group, before any read from the words; null drops a group."),
]
ProductIdText = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_readable)]
Weight = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Limit = Annotated[int, Field(ge=1, le=100, description="Hits to return.")]
Offset = Annotated[int, Field(ge=0, le=1_000, description="Hits to skip.")]
SearchMode = Annotated[
    Mode, Field(description="By meaning and as words (hybrid), by meaning alone (vector), or as words alone (lexical).")
]
LexicalWeight = Annotated[
    float | None,
    Field(
        ge=0, le=1, allow_inf_nan=False, description="How much words count as words in hybrid mode, if not as usual."
    ),
]
FieldName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_readable)]
FilterObject = Annotated[
    dict[str, JsonValue],
    Field(
        description="What hits must meet: field to value, list of values (any of them) or operators (`eq`, `in`, `gt`, "
        "`gte`, `lt`, `lte`, `exists`, `not`); all must hold. `and`, `or` and `not` nest."
    ),
]
SortText = Annotated[
    str,
    Field(max_length=205, pattern=r"^.+:(asc|desc)$", description="FIELD:asc or FIELD:desc"),
    AfterValidator(_readable),
]
Sort = Annotated[
    list[SortText],
    Field(max_length=8, description="Sort by these fields, then by relevance; products without a value come last."),
]
Collapse = Annotated[
    FieldName | None, Field(description="Only the best hit for each value of this field, such as `group`.")
]
Diversity = Annotated[
    float,
    Field(ge=0, le=1, allow_inf_nan=False, description="0: by relevance alone; more: hits unlike those before them."),
]
Fields = Annotated[
    list[ProductField], Field(min_length=1, max_length=14, description="Fields of `product` to return; all if absent.")
]


class Request(BaseModel):
    """A part of a request: unknown fields are refused, and a string is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ImageReference(Request):
    """A picture: by URL, where the server allows it, or as base64 (a data-URI will do)."""

    url: Annotated[str, Field(min_length=1, max_length=2_048), AfterValidator(_readable)] | None = None
    data: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "ImageReference":
        if (self.url is None) == (self.data is None):
            msg = "give exactly one of url and data"
            raise ValueError(msg)
        return self


class QueryPart(Request):
    """One part of a mixture: words, a picture or a product, with its weight (negative: away from it)."""

    text: QueryText | None = None
    image: ImageReference | None = None
    product: ProductIdText | None = None
    weight: Weight = 1.0

    @model_validator(mode="after")
    def _one_of(self) -> "QueryPart":
        if sum(given is not None for given in (self.text, self.image, self.product)) != 1:
            msg = "give exactly one of text, image and product"
            raise ValueError(msg)
        return self


class FacetRequest(Request):
    """A field to count, and how many of its values to return at most."""

    field: FieldName
    limit: Annotated[int, Field(ge=1, le=1_000)] = 20


def _facet(stated: object) -> object:
    return {"field": stated} if isinstance(stated, str) else stated


Facets = Annotated[
    list[Annotated[FacetRequest, BeforeValidator(_facet, json_schema_input_type=FieldName | FacetRequest)]],
    Field(max_length=32, description="Fields whose values are counted among the products found."),
]


class SearchRequest(Request):
    """What to look for: `q`, `image` and `query`, together one mixture; or, to browse, a filter, facets or sort."""

    q: QueryText | None = None
    image: ImageReference | None = None
    query: Annotated[list[QueryPart], Field(min_length=1, max_length=MOST_PARTS)] | None = None
    entities: EntityMap = Field(default_factory=dict)
    entity_linking: EntityLinking = "auto"
    mode: SearchMode = "hybrid"
    lexical_weight: LexicalWeight = None
    filter: FilterObject | None = None
    facets: Facets = Field(default_factory=list)
    sort: Sort = Field(default_factory=list)
    collapse: Collapse = None
    diversity: Diversity = 0.0
    limit: Limit = 20
    offset: Offset = 0
    fields: Fields | None = None
    explain: bool = False


class ImageSearchForm(BaseModel):
    """A picture file to look for, with what else a search may ask. Form fields are text, so numbers are read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Annotated[UploadFile, Field(description="The picture: JPEG, PNG, WebP or GIF.")]
    q: QueryText | None = None
    weight: Annotated[
        float,
        Field(ge=0, le=1, allow_inf_nan=False, description="Weight of the picture; 1 - weight is that of the words."),
    ] = 0.5
    entities: Json[EntityMap] = Field(default_factory=dict, description='JSON, such as {"brand": "Diesel"}.')
    entity_linking: EntityLinking = "auto"
    mode: SearchMode = "hybrid"
    lexical_weight: LexicalWeight = None
    filter: Json[FilterObject] | None = Field(None, description='JSON, such as {"price": {"lt": 50}}.')
    facets: Json[Facets] = Field(default_factory=list, description='JSON, such as ["brand"].')
    sort: Json[Sort] = Field(default_factory=list, description='JSON, such as ["price:asc"].')
    collapse: Collapse = None
    diversity: Diversity = 0.0
    limit: Limit = 20
    offset: Offset = 0
    fields: Fields | None = None
    explain: bool = False


class SimilarRequest(BaseModel):
    """The query string of a search for similar products."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filter: Json[FilterObject] | None = Field(None, description='JSON, such as {"price": {"lt": 50}}.')
    shares: Annotated[
        list[FieldName], Field(max_length=8, description="Fields in which hits must have what this product has.")
    ] = Field(default_factory=list)
    differs: Annotated[
        list[FieldName], Field(max_length=8, description="Fields in which hits must not have what this product has.")
    ] = Field(default_factory=list)
    collapse: Collapse = None
    diversity: Diversity = 0.0
    limit: Limit = 20
    offset: Offset = 0
    fields: Fields | None = None
    explain: bool = False


class SuggestRequest(BaseModel):
    """The query string of a request for suggestions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    q: Annotated[
        str,
        Field(max_length=200, description="What has been typed; nothing: what most products have."),
        AfterValidator(_readable),
    ] = ""
    limit: Annotated[int, Field(ge=1, le=50, description="Suggestions to return.")] = 8


class SuggestionView(TypedDict):
    """Something to search for: it ends in an entity of a group, or in a word."""

    text: str
    group: str | None
    value: str | None
    count: int


class SuggestResponse(TypedDict):
    """Completions, those that find most products first; `corrected` is what was meant, where a word is misspelt."""

    suggestions: list[SuggestionView]
    corrected: str | None
    index: "IndexView"


class ProductView(TypedDict, total=False):
    """A product as the catalogue states it; `images` are paths on this server."""

    id: str
    title: str
    description: str
    brand: str | None
    category: str | None
    season: str | None
    composition: str | None
    price: float | None
    currency: str | None
    in_stock: bool | None
    url: str | None
    group: str | None
    images: list[str]
    attributes: dict[str, AttributeValue]


class TermView(TypedDict):
    """One summand of a score: of which part of the query, and for an entity its value and gate."""

    query: int
    name: str
    value: str | None
    gate: float | None
    score: float


class Explanation(TypedDict):
    """What a score is made of: the terms add up to it."""

    terms: list[TermView]


class Hit(TypedDict):
    """A product found."""

    id: str
    score: float
    product: ProductView
    explain: NotRequired[Explanation]


class LinkedEntityView(TypedDict):
    """An entity the query was read with. `known` tells whether the model has a vector for it."""

    query: int
    group: str
    value: str
    surface: str | None
    start: int | None
    end: int | None
    probability: float
    source: Literal["linked", "caller"]
    known: bool


class FacetValueView(TypedDict):
    """A value of a field, and how many products found state it."""

    value: str | bool
    count: int


class FacetStatisticsView(TypedDict):
    """Of the numbers that the products found state."""

    count: int
    min: float
    max: float
    mean: float


class FacetView(TypedDict):
    """A field among the products found: the first of `distinct` values. `exact` tells whether all were counted."""

    values: list[FacetValueView]
    distinct: int
    statistics: FacetStatisticsView | None
    exact: bool


class IndexView(TypedDict):
    """Which catalogue and which model answered."""

    bundle: str
    model: str


class Timings(TypedDict):
    """Milliseconds of each stage."""

    total: float
    decode: float
    encode: float
    filter: float
    retrieve: float
    rank: float


class SearchResponse(TypedDict):
    """Hits, best first, and how they were found."""

    hits: list[Hit]
    linked_entities: list[LinkedEntityView]
    facets: dict[str, FacetView]
    filter_strategy: Literal["none", "exact", "approximate"]
    found: int
    limit: int
    offset: int
    index: IndexView
    timings_ms: Timings
    degraded: list[str]


class ProductResponse(TypedDict):
    """One product."""

    product: ProductView
    index: IndexView


class CheckView(TypedDict):
    """One thing that must work for the service to be ready."""

    name: str
    ok: bool
    detail: str
    ms: float


class ReadyResponse(TypedDict):
    """Whether the service can answer a search now, shown by trying."""

    status: Literal["ready", "not_ready"]
    checks: list[CheckView]
    index: IndexView
    degraded: list[str]


class LiveResponse(TypedDict):
    """The process runs and its event loop turns."""

    status: Literal["alive"]


class FieldErrorView(TypedDict):
    """One fault of a request."""

    path: str
    message: str


class ProblemView(TypedDict):
    """An RFC 9457 problem."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldErrorView]
    request_id: str
