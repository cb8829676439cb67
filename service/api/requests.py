"""From the wire's requests to the service's own queries."""

from collections.abc import Sequence

from pydantic import JsonValue

from indexer.fields import ATTRIBUTE_PREFIX
from indexer.searchable import Searchable
from models.product import Product
from service.api.schemas import (
    LONGEST_TEXT,
    ClassifyRequest,
    EmbeddingInput,
    EmbeddingsRequest,
    FacetRequest,
    ImageReference,
    ImageSearchForm,
    QueryPart,
    RerankRequest,
    SearchRequest,
    SimilarRequest,
)
from service.embedding import MOST_CHARACTERS, ToEmbed
from service.errors import InvalidRequestError
from service.filters import column
from service.query import (
    SURE_ENOUGH,
    FacetField,
    Filter,
    InstancesMode,
    Part,
    Picture,
    PictureData,
    PicturePart,
    PictureUrl,
    ProductPart,
    Query,
    Rerank,
    SortKey,
    TextPart,
)


def to_query(asked: SearchRequest) -> Query:
    """Return the query a request asks: `q` and `image` with weight 1 each, then the parts of `query`.

    Raises:
        InvalidRequestError: it asks nothing, or its weights point nowhere.
    """
    parts: list[Part] = []
    if asked.q is not None:
        parts.append(TextPart(asked.q, 1.0, "q"))
    if asked.image is not None:
        parts.append(PicturePart(_picture(asked.image), 1.0, _picture_path("image", asked.image)))
    parts += [_part(part, f"query[{number}]") for number, part in enumerate(asked.query or ())]
    return _query(parts, asked)


def to_image_query(asked: ImageSearchForm, picture: bytes) -> Query:
    """Return the query of a form: the picture alone, or weighed against the words."""
    parts: list[Part] = []
    if asked.q is not None:
        parts.append(TextPart(asked.q, 1.0 - asked.weight, "q"))
    parts.append(PicturePart(PictureData(picture), asked.weight if parts else 1.0, "image"))
    return _query(parts, asked)


def _query(parts: Sequence[Part], asked: SearchRequest | ImageSearchForm) -> Query:
    return Query(
        parts=tuple(parts),
        entities=asked.entities,
        linking=asked.entity_linking,
        mode=asked.mode,
        lexical_weight=asked.lexical_weight,
        filter=asked.filter,
        facets=_facets(asked.facets),
        sort=_sort(asked.sort),
        collapse=asked.collapse,
        diversity=asked.diversity,
        rerank=_rerank(asked.rerank),
        instances=asked.instances or _looked_into(parts),
        limit=asked.limit,
        offset=asked.offset,
        explain=asked.explain,
    )


def _looked_into(parts: Sequence[Part]) -> InstancesMode:
    """Return whether a query that does not say so has its picture looked into: one that is a picture and no more."""
    return "auto" if len(parts) == 1 and isinstance(parts[0], PicturePart) and parts[0].weight > 0 else "off"


def to_classified(asked: ClassifyRequest) -> Query:
    """Return the query whose category is asked for.

    Raises:
        InvalidRequestError: there is nothing to classify.
    """
    return to_query(
        SearchRequest(q=asked.q, image=asked.image, entities=asked.entities, entity_linking=asked.entity_linking)
    )


def to_embed(asked: EmbeddingsRequest) -> list[ToEmbed]:
    """Return what a request wants the vectors of.

    Raises:
        InvalidRequestError: a query's words, or all texts together, are too long.
    """
    texts = [item.text or "" for item in asked.input]
    if asked.kind == "query":
        for number, text in enumerate(texts):
            if len(text) > LONGEST_TEXT:
                msg = f"A query's words have at most {LONGEST_TEXT:,} characters, these have {len(text):,}."
                raise InvalidRequestError(msg, path=f"input[{number}].text")
    if sum(map(len, texts)) > MOST_CHARACTERS:
        msg = f"The texts of one request have at most {MOST_CHARACTERS:,} characters together."
        raise InvalidRequestError(msg, path="input")
    return [_to_embed(item, f"input[{number}]") for number, item in enumerate(asked.input)]


def _to_embed(item: EmbeddingInput, path: str) -> ToEmbed:
    if item.image is not None:
        return ToEmbed(PicturePart(_picture(item.image), 1.0, _picture_path(f"{path}.image", item.image)))
    return ToEmbed(TextPart(item.text or "", 1.0, f"{path}.text"), item.entities)


def _rerank(asked: RerankRequest | None) -> Rerank | None:
    if asked is None:
        return None
    least = SURE_ENOUGH[asked.action] if asked.min_confidence is None else asked.min_confidence
    return Rerank(None if asked.category == "auto" else asked.category, asked.action, least)


def to_similar_query(bundle: Searchable, row: int, asked: SimilarRequest) -> Query:
    """Return the query for products like that of `row`, itself left out.

    A field of `shares` or `differs` that the product does not state narrows nothing.

    Raises:
        InvalidRequestError: no product states such a field.
    """
    product = bundle.products[row]
    narrowing: list[JsonValue] = _conditions(bundle, product, asked.shares, "shares")
    narrowing += [{"not": condition} for condition in _conditions(bundle, product, asked.differs, "differs")]
    return Query(
        parts=(ProductPart(product.id, 1.0, "id"),),
        filter=_narrowed(asked.filter, narrowing),
        collapse=asked.collapse,
        diversity=asked.diversity,
        limit=asked.limit,
        offset=asked.offset,
        explain=asked.explain,
        exclude=frozenset({product.id}),
    )


def _conditions(bundle: Searchable, product: Product, names: Sequence[str], path: str) -> list[JsonValue]:
    """Return a condition for each named field, that what it holds is what `product` states."""
    for i, name in enumerate(names):
        column(bundle.fields, name, f"{path}[{i}]")
    return [{name: value} for name in names if (value := _stated(product, name)) is not None]


def _stated(product: Product, name: str) -> JsonValue:
    """Return what `product` states in a field, a list where that is several words."""
    own = None if name.startswith(ATTRIBUTE_PREFIX) else getattr(product, name, None)
    value = own if own is not None else product.attributes.get(name.removeprefix(ATTRIBUTE_PREFIX))
    return list(value) if isinstance(value, tuple) else value


def _narrowed(stated: Filter | None, conditions: Sequence[JsonValue]) -> Filter | None:
    """Return `stated` with more conditions behind its own, whose paths stay as they are."""
    own = (stated or {}).get("and", [])
    if not conditions or not isinstance(own, list):
        return stated
    return {**(stated or {}), "and": [*own, *conditions]}


def _facets(asked: Sequence[FacetRequest]) -> tuple[FacetField, ...]:
    return tuple(FacetField(facet.field, facet.limit, f"facets[{i}]") for i, facet in enumerate(asked))


def _sort(asked: Sequence[str]) -> tuple[SortKey, ...]:
    keys = [text.rpartition(":") for text in asked]
    return tuple(SortKey(name, order == "desc", f"sort[{i}]") for i, (name, _, order) in enumerate(keys))


def _part(part: QueryPart, path: str) -> Part:
    if part.text is not None:
        return TextPart(part.text, part.weight, f"{path}.text")
    if part.image is not None:
        at = _picture_path(f"{path}.image", part.image)
        return PicturePart(_picture(part.image), part.weight, at)
    return ProductPart(part.product or "", part.weight, f"{path}.product")


def _picture(image: ImageReference) -> Picture:
    return PictureUrl(image.url) if image.url is not None else PictureData(image.data or "")


def _picture_path(path: str, image: ImageReference) -> str:
    return f"{path}.url" if image.url is not None else f"{path}.data"
