"""Requests and answers shown in the OpenAPI document; tests send the requests and check the answers' form."""

from typing import Any, Final, Literal

from service.api.operating_examples import MAP_RESPONSE, REPORT_RESPONSE

SEARCH_REQUESTS: Final[list[Any]] = [
    {"q": "red running shoes", "limit": 10},
    {"q": "diesel jeans", "entities": {"brand": "Diesel", "season": None}, "explain": True},
    {
        "query": [
            {"text": "summer dress with flowers"},
            {"text": "long sleeves", "weight": -0.5},
        ],
        "fields": ["id", "title", "price", "images"],
    },
    {
        "q": "jacket",
        "filter": {"price": {"gte": 10, "lt": 200}, "in_stock": True, "not": {"season": "Winter"}},
        "facets": ["brand", {"field": "price"}],
        "sort": ["price:asc"],
        "collapse": "group",
    },
    {
        "image": {
            "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4oaEBAALUARkFUI+kAAAAAElFTkSuQmCC"
        },
        "instances": "all",
        "limit": 5,
    },
]

PRODUCTS_REQUESTS: Final[list[Any]] = [
    {
        "products": [
            {"id": "10017413", "price": 79.0, "in_stock": False, "partial": True},
            {"id": "10020000", "title": "Red wool scarf", "brand": "Ember", "category": "Scarves", "price": 25.0},
            {"id": "10011111", "delete": True, "if_version": 3},
        ]
    },
]

PRODUCT: Final = {
    "id": "10017413",
    "title": "Diesel slim fit jeans",
    "description": "Mid-rise jeans in washed blue denim.",
    "brand": "Diesel",
    "category": "Jeans",
    "season": "Winter",
    "composition": "Cotton",
    "price": 89.0,
    "currency": "EUR",
    "in_stock": True,
    "url": None,
    "group": None,
    "images": ["/v1/products/10017413/images/0"],
    "attributes": {"colour": "blue"},
}
_INDEX: Final = {"bundle": "20261121T033000Z-5f2d9c1e", "model": "catalens-mini"}

SEARCH_RESPONSE: Final = {
    "hits": [
        {
            "id": "10017413",
            "score": 0.412,
            "product": PRODUCT,
            "explain": {
                "terms": [
                    {"query": 0, "name": "words", "value": None, "gate": None, "score": 0.281},
                    {"query": 0, "name": "brand", "value": "Diesel", "gate": 0.62, "score": 0.131},
                ]
            },
        }
    ],
    "instances": None,
    "linked_entities": [
        {
            "query": 0,
            "group": "brand",
            "value": "Diesel",
            "surface": "diesel",
            "start": 0,
            "end": 6,
            "probability": 0.93,
            "source": "linked",
            "known": True,
        }
    ],
    "synonyms": [
        {"query": 0, "surface": "denims", "start": 7, "end": 13, "read_as": "jeans", "matched": ["jeans"]},
    ],
    "facets": {
        "brand": {
            "values": [{"value": "Diesel", "count": 1}],
            "distinct": 1,
            "statistics": None,
            "exact": True,
        },
        "price": {
            "values": [],
            "distinct": 0,
            "statistics": {"count": 1, "min": 89.0, "max": 89.0, "mean": 89.0},
            "exact": True,
        },
    },
    "rerank": None,
    "filter_strategy": "exact",
    "found": 1,
    "limit": 10,
    "offset": 0,
    "index": _INDEX,
    "timings_ms": {
        "total": 14.2,
        "decode": 0.0,
        "detect": 0.0,
        "encode": 11.9,
        "filter": 0.1,
        "retrieve": 1.4,
        "rank": 0.5,
    },
    "degraded": [],
}

IMAGE_RESPONSE: Final = {
    **SEARCH_RESPONSE,
    "linked_entities": [],
    "synonyms": [],
    "facets": {},
    "instances": [
        {
            "box": [0.08, 0.12, 0.46, 0.93],
            "confidence": 0.97,
            "hits": [{"id": "10017413", "score": 0.871, "product": PRODUCT}],
            "facets": {},
            "filter_strategy": "none",
            "rerank": None,
            "found": 1,
        },
        {
            "box": [0.55, 0.3, 0.9, 0.81],
            "confidence": 0.91,
            "hits": [],
            "facets": {},
            "filter_strategy": "none",
            "rerank": None,
            "found": 0,
        },
    ],
    "hits": [{"id": "10017413", "score": 0.388, "product": PRODUCT}],
    "filter_strategy": "none",
    "timings_ms": {
        "total": 118.4, "decode": 9.1, "detect": 62.5, "encode": 40.2, "filter": 0.0, "retrieve": 5.9, "rank": 0.7
    },
}  # fmt: skip

PRODUCT_RESPONSE: Final = {"product": PRODUCT, "index": _INDEX}

READY_RESPONSE: Final = {
    "status": "ready",
    "checks": [
        {"name": "text", "ok": True, "detail": "", "ms": 9.8},
        {"name": "image", "ok": True, "detail": "", "ms": 13.1},
        {"name": "retrieval", "ok": True, "detail": "", "ms": 0.9},
    ],
    "index": _INDEX,
    "degraded": [],
}


SUGGEST_RESPONSE: Final = {
    "suggestions": [
        {"text": "red Diesel", "group": "brand", "value": "Diesel", "count": 12},
        {"text": "red dress", "group": "category", "value": "Dress", "count": 7},
        {"text": "red denim", "group": None, "value": None, "count": 3},
    ],
    "corrected": None,
    "index": _INDEX,
}


PRODUCTS_RESPONSE: Final = {
    "results": [
        {"id": "10017413", "status": 200, "version": 8, "errors": []},
        {
            "id": "10020000",
            "status": 422,
            "version": None,
            "errors": [{"path": "products[1].price", "message": "Input should be greater than or equal to 0"}],
        },
    ],
    "stored": 1,
    "failed": 1,
    "index": _INDEX,
}

CLASSIFY_RESPONSE: Final = {
    "category": {
        "name": "Jeans",
        "probability": 0.93,
        "source": "words",
        "alternatives": [{"name": "Trousers", "probability": 0.04}, {"name": "Shorts", "probability": 0.01}],
    },
    "index": _INDEX,
}

EMBEDDINGS_REQUESTS: Final[list[Any]] = [
    {"input": ["red running shoes", {"text": "jeans", "entities": {"brand": "Diesel"}}]},
    {
        "kind": "product",
        "encoding_format": "base64",
        "input": [
            {"text": "Slim fit jeans. Mid-rise, in washed blue denim", "entities": {"brand": "Diesel"}},
            {"image": SEARCH_REQUESTS[-1]["image"]},
        ],
    },
]

EMBEDDINGS_RESPONSE: Final = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.6, -0.8, 0.0]},
        {"object": "embedding", "index": 1, "embedding": [0.0, 0.28, 0.96]},
    ],
    "model": "catalens-mini",
    "fingerprint": "8f5d0c5c9e7d3b4a26a4f5a9e6f2f3c1d08f5d0c5c9e7d3b4a26a4f5a9e6f2f3",
    "linked_entities": [
        {
            "query": 1,
            "group": "brand",
            "value": "Diesel",
            "surface": None,
            "start": None,
            "end": None,
            "probability": 1.0,
            "source": "caller",
            "known": True,
        }
    ],
    "index": _INDEX,
    "degraded": [],
}

BUNDLES_RESPONSE: Final = {
    "bundles": [
        {
            "id": "20261121T033000Z-5f2d9c1e",
            "role": "primary",
            "current": True,
            "share": 0.0,
            "shadow": 0.0,
            "products": 2000,
            "created_at": "2026-11-21T03:30:00+00:00",
            "encoder": "catalens-mini",
            "size_bytes": 31_400_000,
            "problem": None,
        }
    ],
    "primary": "20261121T033000Z-5f2d9c1e",
    "problem": None,
}

ExampleName = Literal[
    "Bundles",
    "Classify",
    "Deleted",
    "Embeddings",
    "Map",
    "Product",
    "Products",
    "Ready",
    "Report",
    "Search",
    "SearchImage",
    "Suggest",
]
ANSWERS: Final[dict[ExampleName, Any]] = {
    "Bundles": BUNDLES_RESPONSE,
    "Report": REPORT_RESPONSE,
    "Map": MAP_RESPONSE,
    "Search": SEARCH_RESPONSE,
    "SearchImage": IMAGE_RESPONSE,
    "Product": PRODUCT_RESPONSE,
    "Products": PRODUCTS_RESPONSE,
    "Classify": CLASSIFY_RESPONSE,
    "Embeddings": EMBEDDINGS_RESPONSE,
    "Deleted": {"id": "10011111", "version": 4, "index": _INDEX},
    "Ready": READY_RESPONSE,
    "Suggest": SUGGEST_RESPONSE,
}
"""Good answers, by the name the document refers to them by."""
