"""From the wire's requests to the service's own queries."""

from collections.abc import Sequence

from service.api.schemas import (
    FacetRequest,
    ImageReference,
    ImageSearchForm,
    QueryPart,
    SearchRequest,
    SimilarRequest,
)
from service.query import (
    FacetField,
    Part,
    Picture,
    PictureData,
    PicturePart,
    PictureUrl,
    ProductPart,
    Query,
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
        limit=asked.limit,
        offset=asked.offset,
        explain=asked.explain,
    )


def to_similar_query(product_id: str, asked: SimilarRequest) -> Query:
    """Return the query for products like one, that one left out."""
    return Query(
        parts=(ProductPart(product_id, 1.0, "id"),),
        filter=asked.filter,
        collapse=asked.collapse,
        diversity=asked.diversity,
        limit=asked.limit,
        offset=asked.offset,
        explain=asked.explain,
        exclude=frozenset({product_id}),
    )


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
