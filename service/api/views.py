"""What answers always hold: typed dictionaries without defaults.

Every field is always there unless it is marked as not required, and mypy checks the code that fills them. Requests
are `service.api.schemas`.
"""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from models.product import AttributeValue


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


class SynonymView(TypedDict):
    """Words of the query that stand for others. `start` and `end` are characters of the text as it was sent.

    `read_as` is what takes their place for the model and for `linked_entities`, null: nothing does; `matched` is what
    is matched as words beside them.
    """

    query: int
    surface: str
    start: int
    end: int
    read_as: str | None
    matched: list[str]


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
    detect: float
    encode: float
    filter: float
    retrieve: float
    rank: float


class AlternativeView(TypedDict):
    """Another category, and how likely it is."""

    name: str
    probability: float


class CategoryView(TypedDict):
    """A category, how likely it is, who says so, and the likeliest others where it was found out by comparing."""

    name: str
    probability: float
    source: Literal["caller", "linked", "words", "picture", "both", "hits"]
    alternatives: list[AlternativeView]


class RerankView(TypedDict):
    """What was made of the query's category; `reason` says why less was than was asked for."""

    category: CategoryView | None
    action: Literal["filter", "demote", "none"]
    reason: str


class ClassifyResponse(TypedDict):
    """The category of words or a picture; null where the catalogue has none to tell."""

    category: CategoryView | None
    index: "IndexView"


class EmbeddingView(TypedDict):
    """The vector of the input of this index, of unit length: numbers, or base64 of little-endian 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsResponse(TypedDict):
    """A vector for each input, in order. Only those of one `fingerprint`, which is the encoder's, may be compared.

    `linked_entities` are what words were read with; `query` is the index of the input.
    """

    object: Literal["list"]
    data: list[EmbeddingView]
    model: str
    fingerprint: str
    linked_entities: list[LinkedEntityView]
    index: "IndexView"
    degraded: list[str]


class InstanceView(TypedDict):
    """A product in the picture, and what was found for it by itself.

    `box` is left, top, right and bottom, in 0 to 1 of the upright picture's width and height; `confidence`, 0 to 1,
    that there is one product, just there.
    """

    box: list[float]
    confidence: float
    hits: list[Hit]
    facets: dict[str, FacetView]
    filter_strategy: Literal["none", "exact", "approximate"]
    rerank: RerankView | None
    found: int


class SearchResponse(TypedDict):
    """Hits, best first, and how they were found.

    `instances` are the products in the picture, the surest first; none: what it shows is searched for as a whole;
    null: it was not looked into. `hits` are those of the whole picture whatever they are.
    """

    hits: list[Hit]
    instances: list[InstanceView] | None
    linked_entities: list[LinkedEntityView]
    synonyms: list[SynonymView]
    facets: dict[str, FacetView]
    filter_strategy: Literal["none", "exact", "approximate"]
    rerank: RerankView | None
    found: int
    limit: int
    offset: int
    index: IndexView
    timings_ms: Timings
    degraded: list[str]


class ProductResponse(TypedDict):
    """One product, with its version where that was asked for."""

    product: ProductView
    version: NotRequired[int]
    index: IndexView


class ItemView(TypedDict):
    """What became of a change: its status as HTTP's, the product's version where it is known, and what was wrong."""

    id: str | None
    status: int
    version: int | None
    errors: list["FieldErrorView"]


class ProductsResponse(TypedDict):
    """What became of each change, in order, and how many are stored, for good, and how many are not."""

    results: list[ItemView]
    stored: int
    failed: int
    index: IndexView


class DeletedResponse(TypedDict):
    """A product that is no more, and the version of that."""

    id: str
    version: int
    index: IndexView


class BundleView(TypedDict):
    """A bundle of the data folder; `problem` says why it cannot be served.

    `role` is what this process serves it as; `current`, whether it is the one that was published last.
    """

    id: str
    role: Literal["primary", "beside", "none"]
    current: bool
    share: float
    shadow: float
    products: int | None
    created_at: str | None
    encoder: str | None
    size_bytes: int
    problem: str | None


class BundlesResponse(TypedDict):
    """The bundles of the data folder, the oldest first, and which answers if nothing else is said."""

    bundles: list[BundleView]
    primary: str
    problem: str | None


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
