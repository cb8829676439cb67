"""From the service's own answers to the wire's."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, Literal, cast
from urllib.parse import quote

import orjson
from starlette.responses import Response

from indexer.publish import BundleStatus, Status
from indexer.searchable import Searchable
from indexer.suggest import Suggestions
from models.product import Product
from service.answer import Answer, InstanceAnswer
from service.api.schemas import ProductField
from service.api.views import (
    BundlesResponse,
    BundleView,
    CategoryView,
    ClassifyResponse,
    FacetStatisticsView,
    FacetView,
    Hit,
    IndexView,
    InstanceView,
    LinkedEntityView,
    ProductsResponse,
    ProductView,
    ReadyResponse,
    RerankView,
    SearchResponse,
    SuggestionView,
    SuggestResponse,
    SynonymView,
    TermView,
    Timings,
)
from service.categorise import Guess, Reranked
from service.embed import CACHE
from service.facets import Facet
from service.items import ItemResult
from service.mixture import Term
from service.problems import MOST_ERRORS, printable
from service.readiness import Verdict
from service.retrieve import Found
from service.served import Served
from service.synonyms import Reworded
from service.telemetry import SERVER_TIMING, server_timing
from service.understand import LinkedEntity
from service.versions import Beside, Versions

_ALL_FIELDS: Final = tuple(Product.model_fields)
_DECIMALS: Final = 6


def json_response(view: Any) -> Response:  # noqa: ANN401 - whatever the wire's types hold
    """Return `view` as JSON; the stages that it states are in the header `Server-Timing`, too."""
    headers = {SERVER_TIMING: server_timing(view["timings_ms"])} if "timings_ms" in view else None
    return Response(orjson.dumps(view), headers=headers, media_type="application/json")


def search_view(answer: Answer, fields: Sequence[ProductField] | None = None) -> SearchResponse:
    """Return a search's answer as the wire has it, its products restricted to `fields`."""
    return {
        "hits": [_hit(found, answer.served.bundle, fields) for found in answer.hits],
        "instances": _instances(answer, fields),
        "linked_entities": [link_view(link) for link in answer.links],
        "synonyms": [_synonym(one) for one in answer.reworded],
        "facets": {facet.field: _facet(facet) for facet in answer.facets},
        "filter_strategy": answer.strategy.value,
        "rerank": _rerank(answer.reranked),
        "found": answer.found,
        "limit": answer.query.limit,
        "offset": answer.query.offset,
        "index": index_view(answer.served),
        "degraded": list(answer.degraded),
        "timings_ms": cast("Timings", answer.timings.by_stage()),
    }


def _instances(answer: Answer, fields: Sequence[ProductField] | None) -> list[InstanceView] | None:
    if answer.instances is None:
        return None
    return [_instance(instance, answer.served.bundle, fields) for instance in answer.instances]


def _instance(instance: InstanceAnswer, bundle: Searchable, fields: Sequence[ProductField] | None) -> InstanceView:
    retrieved = instance.retrieved
    return {
        "box": [round(side, _DECIMALS) for side in instance.detection.box],
        "confidence": round(instance.detection.confidence, _DECIMALS),
        "hits": [_hit(found, bundle, fields) for found in retrieved.hits],
        "facets": {facet.field: _facet(facet) for facet in retrieved.facets},
        "filter_strategy": retrieved.strategy.value,
        "rerank": _rerank(retrieved.reranked),
        "found": retrieved.found,
    }


def index_view(served: Served) -> IndexView:
    """Return which catalogue and which model answered."""
    return {"bundle": served.bundle_id, "model": served.encoder.name}


def product_view(
    product: Product, row: int, bundle: Searchable, fields: Sequence[ProductField] | None = None
) -> ProductView:
    """Return a product as the wire has it; its pictures are paths of their thumbnails on this server."""
    view = {name: getattr(product, name) for name in fields or _ALL_FIELDS}
    if "images" in view:
        base = f"/v1/products/{quote(product.id, safe='')}/images/"
        view["images"] = [f"{base}{n}" for n in range(bundle.picture_count(row))]
    return cast("ProductView", view)


def products_view(results: Sequence[ItemResult], served: Served) -> ProductsResponse:
    """Return the results of a batch as the wire has them."""
    stored = sum(result.seq is not None for result in results)
    return {
        "results": [
            {
                "id": result.id,
                "status": result.status,
                "version": result.version,
                "errors": [
                    {"path": printable(error.path), "message": printable(error.message)}
                    for error in result.errors[:MOST_ERRORS]
                ],
            }
            for result in results
        ],
        "stored": stored,
        "failed": len(results) - stored,
        "index": index_view(served),
    }


def suggest_view(suggestions: Suggestions, served: Served) -> SuggestResponse:
    """Return suggestions as the wire has them."""
    return {
        "suggestions": [cast("SuggestionView", asdict(item)) for item in suggestions.items],
        "corrected": suggestions.corrected,
        "index": index_view(served),
    }


def bundles_view(there: Status, versions: Versions) -> BundlesResponse:
    """Return the bundles that are there, and what they are served as."""
    return {
        "bundles": [_bundle(bundle, versions) for bundle in there.bundles],
        "primary": versions.primary.id,
        "problem": there.problem or versions.refused.get("current"),
    }


def _bundle(bundle: BundleStatus, versions: Versions) -> BundleView:
    manifest = bundle.manifest
    _, role = versions.beside.get(bundle.id, (None, Beside()))
    beside: Literal["beside", "none"] = "beside" if bundle.id in versions.beside else "none"
    return {
        "id": bundle.id,
        "role": "primary" if bundle.id == versions.primary.id else beside,
        "current": bundle.is_current,
        "share": role.share,
        "shadow": role.shadow,
        "products": None if manifest is None else manifest.counts.products,
        "created_at": None if manifest is None else manifest.created_at,
        "encoder": None if manifest is None else manifest.encoder.name,
        "size_bytes": bundle.size_bytes,
        "problem": bundle.problem or versions.refused.get(bundle.id),
    }


def ready_view(verdict: Verdict) -> ReadyResponse:
    """Return a verdict on readiness as the wire has it."""
    return {
        "status": "ready" if verdict.ready else "not_ready",
        "checks": [
            {"name": check.name, "ok": check.ok, "detail": check.detail, "ms": check.ms} for check in verdict.checks
        ],
        "index": index_view(verdict.served),
        "degraded": sorted({*verdict.lacking, *([] if verdict.served.cache.available else [CACHE])}),
    }


def _hit(found: Found, bundle: Searchable, fields: Sequence[ProductField] | None) -> Hit:
    hit: Hit = {
        "id": found.product.id,
        "score": round(found.score, _DECIMALS),
        "product": product_view(found.product, found.row, bundle, fields),
    }
    if found.terms is not None:
        hit["explain"] = {"terms": [_term(term) for term in found.terms]}
    return hit


def _term(term: Term) -> TermView:
    return {
        "query": term.query,
        "name": term.name,
        "value": term.value,
        "gate": None if term.gate is None else round(term.gate, _DECIMALS),
        "score": round(term.score, _DECIMALS),
    }


def _facet(facet: Facet) -> FacetView:
    return {
        "values": [{"value": value, "count": n} for value, n in facet.values],
        "distinct": facet.distinct,
        "statistics": None if facet.statistics is None else cast("FacetStatisticsView", asdict(facet.statistics)),
        "exact": facet.exact,
    }


def classify_view(guess: Guess | None, served: Served) -> ClassifyResponse:
    """Return a category as the wire has it."""
    return {"category": _category(guess), "index": index_view(served)}


def _category(guess: Guess | None) -> CategoryView | None:
    if guess is None:
        return None
    return {
        "name": guess.name,
        "probability": round(guess.probability, _DECIMALS),
        "source": guess.source,
        "alternatives": [
            {"name": name, "probability": round(chance, _DECIMALS)} for name, chance in guess.alternatives
        ],
    }


def _rerank(reranked: Reranked | None) -> RerankView | None:
    if reranked is None:
        return None
    return {"category": _category(reranked.guess), "action": reranked.action, "reason": reranked.reason}


def _synonym(one: Reworded) -> SynonymView:
    return {
        "query": one.query,
        "surface": one.surface,
        "start": one.start,
        "end": one.end,
        "read_as": one.read_as,
        "matched": list(one.matched),
    }


def link_view(link: LinkedEntity) -> LinkedEntityView:
    """Return an entity as the wire has it."""
    return {
        "query": link.query,
        "group": link.group,
        "value": link.value,
        "surface": link.surface,
        "start": link.start,
        "end": link.end,
        "probability": link.probability,
        "source": link.source,
        "known": link.known,
    }
