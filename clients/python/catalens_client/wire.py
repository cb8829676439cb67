# ruff: noqa: D200, D212
"""What the API is asked and answers, as typed dictionaries. Generated from docs/openapi.json: `make openapi`."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class AlternativeView(TypedDict):
    """
    Another category, and how likely it is.
    """

    name: str
    probability: float


class BesideRequest(TypedDict):
    """
    What a bundle beside the current one is for.
    """

    share: NotRequired[float]
    shadow: NotRequired[float]


class BundleView(TypedDict):
    """
    A bundle of the data folder; `problem` says why it cannot be served.

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
    """
    The bundles of the data folder, the oldest first, and which answers if nothing else is said.
    """

    bundles: list[BundleView]
    primary: str
    problem: str | None


class CategoryView(TypedDict):
    """
    A category, how likely it is, who says so, and the likeliest others where it was found out by comparing.
    """

    name: str
    probability: float
    source: Literal["caller", "linked", "words", "picture", "both", "hits"]
    alternatives: list[AlternativeView]


class CheckView(TypedDict):
    """
    One thing that must work for the service to be ready.
    """

    name: str
    ok: bool
    detail: str
    ms: float


class CountsView(TypedDict):
    """
    How many things a bundle holds, and how many rows of the catalogue it refused.
    """

    products: int
    images: int
    rejected: int


class EmbeddingView(TypedDict):
    """
    The vector of the input of this index, of unit length: numbers, or base64 of little-endian 32-bit floats.
    """

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EncoderView(TypedDict):
    """
    The encoder whose vectors a bundle holds.
    """

    name: str
    fingerprint: str
    dim: int
    text_fields: list[str]
    entity_groups: list[str]


class FacetRequest(TypedDict):
    """
    A field to count, and how many of its values to return at most.
    """

    field: str
    limit: NotRequired[int]


class FacetStatisticsView(TypedDict):
    """
    Of the numbers that the products found state.
    """

    count: int
    min: float
    max: float
    mean: float


class FacetValueView(TypedDict):
    """
    A value of a field, and how many products found state it.
    """

    value: str | bool
    count: int


class FacetView(TypedDict):
    """
    A field among the products found: the first of `distinct` values. `exact` tells whether all were counted.
    """

    values: list[FacetValueView]
    distinct: int
    statistics: FacetStatisticsView | None
    exact: bool


class FieldErrorView(TypedDict):
    """
    One fault of a request.
    """

    path: str
    message: str


class FusionView(TypedDict):
    """
    The weights of a score's parts for one kind of query.
    """

    image: float
    text: float
    lexical: float
    entities: float


class GateCheckView(TypedDict):
    """
    One thing the gate looked at; `passed` is null where it could not be, `value` where it is no single number.
    """

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    passed: bool | None
    says: str
    value: float | None
    bar: float | None


class ImageReference(TypedDict):
    """
    A picture: by URL, where the server allows it, or as base64 (a data-URI will do).
    """

    url: NotRequired[str | None]
    data: NotRequired[str | None]


class ImageSearchForm(TypedDict):
    """
    A picture file to look for, with what else a search may ask. Form fields are text, so numbers are read.
    """

    image: str
    q: NotRequired[str | None]
    weight: NotRequired[float]
    entities: NotRequired[str]
    entity_linking: NotRequired[Literal["auto", "off", "strict"]]
    mode: NotRequired[Literal["hybrid", "vector", "lexical"]]
    lexical_weight: NotRequired[float | None]
    filter: NotRequired[str | None]
    facets: NotRequired[str]
    sort: NotRequired[str]
    rerank: NotRequired[str | None]
    collapse: NotRequired[str | None]
    diversity: NotRequired[float]
    instances: NotRequired[Literal["auto", "off", "all"] | None]
    limit: NotRequired[int]
    offset: NotRequired[int]
    fields: NotRequired[
        list[
            Literal[
                "id",
                "title",
                "description",
                "brand",
                "category",
                "season",
                "composition",
                "price",
                "currency",
                "in_stock",
                "url",
                "group",
                "images",
                "attributes",
            ]
        ]
        | None
    ]
    explain: NotRequired[bool]
    bundle: NotRequired[str | None]


class IndexRecordView(TypedDict):
    """
    An index: its recipe, what was asked for, how much of it a search looks at (null: all), rows and memory.
    """

    recipe: str
    requested: str
    width: int | None
    ntotal: int
    memory_bytes: int


class IndexView(TypedDict):
    """
    Which catalogue and which model answered.
    """

    bundle: str
    model: str


class ItemView(TypedDict):
    """
    What became of a change: its status as HTTP's, the product's version where it is known, and what was wrong.
    """

    id: str | None
    status: int
    version: int | None
    errors: list[FieldErrorView]


class LinkedEntityView(TypedDict):
    """
    An entity the query was read with. `known` tells whether the model has a vector for it.
    """

    query: int
    group: str
    value: str
    surface: str | None
    start: int | None
    end: int | None
    probability: float
    source: Literal["linked", "caller"]
    known: bool


class LiveResponse(TypedDict):
    """
    The process runs and its event loop turns.
    """

    status: Literal["alive"]


class ManifestView(TypedDict):
    """
    What a bundle says of itself, its files left out; `indexes` by space, `fusion` by kind of query.
    """

    created_at: str
    catalogue: str
    digest: str
    format_version: int
    encoder: EncoderView
    counts: CountsView
    indexes: dict[str, IndexRecordView]
    fusion: dict[str, FusionView]
    exact_rows: int
    log_position: str | None
    size_bytes: int


class MapPoints(TypedDict):
    """
    Products on a map, column by column, in an order drawn at random; `x` and `y` are 0 to 1.
    """

    id: list[str]
    title: list[str]
    x: list[float]
    y: list[float]
    category: list[str | None]
    price: list[float | None]


class MapResponse(TypedDict):
    """
    Products of a bundle in two dimensions: what is alike is, mostly, near each other; `of`: it has so many.
    """

    bundle: str
    method: Literal["t-SNE", "PCA"]
    of: int
    points: MapPoints


class MoveView(TypedDict):
    """
    A move of `current` to the bundle or away from it; `automatic`: a service went back by itself, for `reason`.
    """

    at: str
    action: Literal["publish", "rollback"]
    bundle: str
    previous: str | None
    forced: bool
    problems: list[str]
    automatic: bool
    reason: str | None


class ProductView(TypedDict):
    """
    A product as the catalogue states it; `images` are paths on this server.
    """

    id: NotRequired[str]
    title: NotRequired[str]
    description: NotRequired[str]
    brand: NotRequired[str | None]
    category: NotRequired[str | None]
    season: NotRequired[str | None]
    composition: NotRequired[str | None]
    price: NotRequired[float | None]
    currency: NotRequired[str | None]
    in_stock: NotRequired[bool | None]
    url: NotRequired[str | None]
    group: NotRequired[str | None]
    images: NotRequired[list[str]]
    attributes: NotRequired[dict[str, bool | float | str | list[str]]]


class ProductsRequest(TypedDict):
    """
    Changes of products, each read by itself: one that is at fault holds none of the others up.
    """

    products: list[dict[str, Any]]


class ProductsResponse(TypedDict):
    """
    What became of each change, in order, and how many are stored, for good, and how many are not.
    """

    results: list[ItemView]
    stored: int
    failed: int
    index: IndexView


class QueryPart(TypedDict):
    """
    One part of a mixture: words, a picture or a product, with its weight (negative: away from it).
    """

    text: NotRequired[str | None]
    image: NotRequired[ImageReference | None]
    product: NotRequired[str | None]
    weight: NotRequired[float]


class ReadyResponse(TypedDict):
    """
    Whether the service can answer a search now, shown by trying.
    """

    status: Literal["ready", "not_ready"]
    checks: list[CheckView]
    index: IndexView
    degraded: list[str]


class RerankRequest(TypedDict):
    """
    What to make of the query's category: `auto` finds it out from the query; an unsure one is not used.
    """

    category: NotRequired[str]
    action: NotRequired[Literal["filter", "demote"]]
    min_confidence: NotRequired[float | None]


class RerankView(TypedDict):
    """
    What was made of the query's category; `reason` says why less was than was asked for.
    """

    category: CategoryView | None
    action: Literal["filter", "demote", "none"]
    reason: str


class SearchRequest(TypedDict):
    """
    What to look for: `q`, `image` and `query`, together one mixture; or, to browse, a filter, facets or sort.
    """

    q: NotRequired[str | None]
    image: NotRequired[ImageReference | None]
    query: NotRequired[list[QueryPart] | None]
    entities: NotRequired[dict[str, str | None]]
    entity_linking: NotRequired[Literal["auto", "off", "strict"]]
    mode: NotRequired[Literal["hybrid", "vector", "lexical"]]
    lexical_weight: NotRequired[float | None]
    filter: NotRequired[dict[str, Any] | None]
    facets: NotRequired[list[str | FacetRequest]]
    sort: NotRequired[list[str]]
    collapse: NotRequired[str | None]
    diversity: NotRequired[float]
    rerank: NotRequired[RerankRequest | None]
    instances: NotRequired[Literal["auto", "off", "all"] | None]
    limit: NotRequired[int]
    offset: NotRequired[int]
    fields: NotRequired[
        list[
            Literal[
                "id",
                "title",
                "description",
                "brand",
                "category",
                "season",
                "composition",
                "price",
                "currency",
                "in_stock",
                "url",
                "group",
                "images",
                "attributes",
            ]
        ]
        | None
    ]
    explain: NotRequired[bool]
    bundle: NotRequired[str | None]


class SuggestionView(TypedDict):
    """
    Something to search for: it ends in an entity of a group, or in a word.
    """

    text: str
    group: str | None
    value: str | None
    count: int


class SynonymView(TypedDict):
    """
    Words of the query that stand for others. `start` and `end` are characters of the text as it was sent.

    `read_as` is what takes their place for the model and for `linked_entities`, null: nothing does; `matched` is what
    is matched as words beside them.
    """

    query: int
    surface: str
    start: int
    end: int
    read_as: str | None
    matched: list[str]


class TermView(TypedDict):
    """
    One summand of a score: of which part of the query, and for an entity its value and gate.
    """

    query: int
    name: str
    value: str | None
    gate: float | None
    score: float


class Timings(TypedDict):
    """
    Milliseconds of each stage.
    """

    total: float
    decode: float
    detect: float
    encode: float
    filter: float
    retrieve: float
    rank: float


class VerdictView(TypedDict):
    """
    What the gate said at one time; `forced`: the bundle was published in spite of it.
    """

    at: str
    passed: bool
    forced: bool
    compared_with: str | None
    checks: list[GateCheckView]


class Problem(TypedDict):
    """
    An RFC 9457 problem.
    """

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldErrorView]
    request_id: str


class ClassifyRequest(TypedDict):
    """
    What to find the category of: words, a picture, or both.
    """

    q: NotRequired[str | None]
    image: NotRequired[ImageReference | None]
    entities: NotRequired[dict[str, str | None]]
    entity_linking: NotRequired[Literal["auto", "off", "strict"]]


class ClassifyResponse(TypedDict):
    """
    The category of words or a picture; null where the catalogue has none to tell.
    """

    category: CategoryView | None
    index: IndexView


class DeletedResponse(TypedDict):
    """
    A product that is no more, and the version of that.
    """

    id: str
    version: int
    index: IndexView


class EmbeddingInput(TypedDict):
    """
    Something to embed: words, with entities that go with them, or a picture.
    """

    text: NotRequired[str | None]
    image: NotRequired[ImageReference | None]
    entities: NotRequired[dict[str, str | None]]


class EmbeddingsRequest(TypedDict):
    """
    What to give the vectors of, and what they are for: `query` to search with, `product` to be found.
    """

    input: str | EmbeddingInput | list[str | EmbeddingInput]
    kind: NotRequired[Literal["query", "product"]]
    encoding_format: NotRequired[Literal["float", "base64"]]
    model: NotRequired[str | None]


class EmbeddingsResponse(TypedDict):
    """
    A vector for each input, in order. Only those of one `fingerprint`, which is the encoder's, may be compared.

    `linked_entities` are what words were read with; `query` is the index of the input.
    """

    object: Literal["list"]
    data: list[EmbeddingView]
    model: str
    fingerprint: str
    linked_entities: list[LinkedEntityView]
    index: IndexView
    degraded: list[str]


class Explanation(TypedDict):
    """
    What a score is made of: the terms add up to it.
    """

    terms: list[TermView]


class Hit(TypedDict):
    """
    A product found.
    """

    id: str
    score: float
    product: ProductView
    explain: NotRequired[Explanation]


class InstanceView(TypedDict):
    """
    A product in the picture, and what was found for it by itself.

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


class ProductResponse(TypedDict):
    """
    One product, with its version where that was asked for.
    """

    product: ProductView
    version: NotRequired[int]
    index: IndexView


class ReportResponse(TypedDict):
    """
    All that is told of a bundle, the latest verdicts and moves first; null is what cannot be read.

    `report` is as the indexer wrote it, `problem` what is wrong with the bundle.
    """

    id: str
    role: Literal["primary", "beside", "none"]
    current: bool
    manifest: ManifestView | None
    report: dict[str, Any] | None
    verdicts: list[VerdictView]
    history: list[MoveView]
    problem: str | None


class SearchResponse(TypedDict):
    """
    Hits, best first, and how they were found.

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


class SuggestResponse(TypedDict):
    """
    Completions, those that find most products first; `corrected` is what was meant, where a word is misspelt.
    """

    suggestions: list[SuggestionView]
    corrected: str | None
    index: IndexView
