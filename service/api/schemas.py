"""What requests may hold, checked by pydantic: unknown fields are refused. Answers are `service.api.views`."""

from typing import Annotated, Literal

from fastapi import UploadFile
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Json, JsonValue, model_validator

from models.product import clean_text
from service.embedding import LONGEST_PRODUCT_TEXT, MOST_EMBEDDED, EmbeddingKind
from service.query import MOST_PARTS, EntityLinking, InstancesMode, Mode

ProductField = Literal[
    "id", "title", "description", "brand", "category", "season", "composition", "price", "currency", "in_stock",
    "url", "group", "images", "attributes",
]  # fmt: skip

LONGEST_TEXT = 2_000
"""Characters of the words of a query."""


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
    Field(min_length=1, max_length=LONGEST_TEXT, description="Words to look for."),
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
Instances = Annotated[
    InstancesMode | None,
    Field(
        description="Whether each product in the picture is searched for by itself, too: unless one fills it (auto), "
        "in any case (all), or no (off). If absent: auto where the query is a picture and no more, else off."
    ),
]
BundleName = Annotated[
    str,
    Field(min_length=1, max_length=200, description="Answer from this bundle, if it is served."),
    AfterValidator(_readable),
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


class RerankRequest(Request):
    """What to make of the query's category: `auto` finds it out from the query; an unsure one is not used."""

    category: Annotated[FieldName, Field(description="A category, or auto.")] = "auto"
    action: Annotated[
        Literal["filter", "demote"],
        Field(description="Leave products of another category out, or put them behind."),
    ] = "demote"
    min_confidence: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="How sure the category must be; if not as usual: 0.6 to put behind, 0.7 to leave out.",
        ),
    ] = None


class ClassifyRequest(Request):
    """What to find the category of: words, a picture, or both."""

    q: QueryText | None = None
    image: ImageReference | None = None
    entities: EntityMap = Field(default_factory=dict)
    entity_linking: EntityLinking = "auto"


class EmbeddingInput(Request):
    """Something to embed: words, with entities that go with them, or a picture."""

    text: (
        Annotated[
            str,
            Field(min_length=1, max_length=LONGEST_PRODUCT_TEXT, description="Of a query, 2,000 characters at most."),
            AfterValidator(_readable),
            AfterValidator(_words),
        ]
        | None
    ) = None
    image: ImageReference | None = None
    entities: EntityMap = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of(self) -> "EmbeddingInput":
        if (self.text is None) == (self.image is None):
            msg = "give exactly one of text and image"
            raise ValueError(msg)
        if self.image is not None and self.entities:
            msg = "entities go with words, not with a picture"
            raise ValueError(msg)
        return self


def _embedded(stated: object) -> object:
    return {"text": stated} if isinstance(stated, str) else stated


def _listed(stated: object) -> object:
    return stated if isinstance(stated, list) else [stated]


_Embedded = Annotated[EmbeddingInput, BeforeValidator(_embedded, json_schema_input_type=str | EmbeddingInput)]


class EmbeddingsRequest(Request):
    """What to give the vectors of, and what they are for: `query` to search with, `product` to be found."""

    input: Annotated[
        list[_Embedded],
        Field(min_length=1, max_length=MOST_EMBEDDED, description="Words and pictures; a text may be a plain string."),
        BeforeValidator(_listed, json_schema_input_type=str | EmbeddingInput | list[_Embedded]),
    ]
    kind: Annotated[
        EmbeddingKind,
        Field(
            description="A query's words are read as those of a search, and entities linked in them; a product's are "
            "taken as they are, with the entities that go with them, as they are indexed."
        ),
    ] = "query"
    encoding_format: Annotated[
        Literal["float", "base64"],
        Field(description="Vectors as numbers, or as base64 of little-endian 32-bit floats, a third of the size."),
    ] = "float"
    model: Annotated[
        Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_readable)] | None,
        Field(description="Refuse if another model is served: vectors do not mix."),
    ] = None


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
    rerank: RerankRequest | None = None
    instances: Instances = None
    limit: Limit = 20
    offset: Offset = 0
    fields: Fields | None = None
    explain: bool = False
    bundle: BundleName | None = None


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
    rerank: Json[RerankRequest] | None = Field(None, description='JSON, such as {"action": "filter"}.')
    collapse: Collapse = None
    diversity: Diversity = 0.0
    instances: Instances = None
    limit: Limit = 20
    offset: Offset = 0
    fields: Fields | None = None
    explain: bool = False
    bundle: BundleName | None = None


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
    bundle: BundleName | None = None


class ProductsRequest(Request):
    """Changes of products, each read by itself: one that is at fault holds none of the others up."""

    products: Annotated[
        list[dict[str, JsonValue]],
        Field(
            min_length=1,
            max_length=1_000,
            description="Whole products; with `partial: true`, the fields to change (null: no value); with "
            "`delete: true`, the id alone. `if_version` is the version the product must have. `images` are data-URIs, "
            "URLs where the server fetches them, or pictures the product has already.",
        ),
    ]


class SuggestRequest(BaseModel):
    """The query string of a request for suggestions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    q: Annotated[
        str,
        Field(max_length=200, description="What has been typed; nothing: what most products have."),
        AfterValidator(_readable),
    ] = ""
    limit: Annotated[int, Field(ge=1, le=50, description="Suggestions to return.")] = 8


class BesideRequest(Request):
    """What a bundle beside the current one is for."""

    share: Annotated[
        float, Field(ge=0, le=1, allow_inf_nan=False, description="Of searches that name no bundle, how many it gets.")
    ] = 0.0
    shadow: Annotated[
        float,
        Field(ge=0, le=1, allow_inf_nan=False, description="Of the others, how many it answers as well, to compare."),
    ] = 0.0
