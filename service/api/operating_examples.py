"""Answers to those who run the service, shown in the OpenAPI document."""

from typing import Any, Final

REPORT_RESPONSE: Final[Any] = {
    "id": "20261121T033000Z-5f2d9c1e",
    "role": "primary",
    "current": True,
    "manifest": {
        "created_at": "2026-11-21T03:30:00+00:00",
        "catalogue": "catalogue.parquet",
        "digest": "5f2d9c1e" * 8,
        "format_version": 3,
        "encoder": {
            "name": "catalens-mini",
            "fingerprint": "32b4785a" * 8,
            "dim": 128,
            "text_fields": ["title", "description"],
            "entity_groups": ["brand", "category"],
        },
        "counts": {"products": 2000, "images": 4024, "rejected": 0},
        "indexes": {
            "text": {"recipe": "SQfp16", "requested": "auto", "width": None, "ntotal": 2000, "memory_bytes": 512_000}
        },
        "fusion": {"text": {"image": 0.5, "text": 0.5, "lexical": 0.5, "entities": 0.3}},
        "exact_rows": 1000,
        "log_position": None,
        "size_bytes": 31_400_000,
    },
    "report": {
        "products": 2000,
        "gates": {
            "brand": {
                "mean": 0.41,
                "stated": 1.0,
                "known": 0.97,
                "values": [{"value": "Diesel", "count": 40, "mean": 0.44}],
            }
        },
        "categories": {
            "products": 2000,
            "agreement": 0.93,
            "abstained": 0.05,
            "confused": [{"stated": "Boots", "classified": "Shoes", "count": 12}],
        },
    },
    "verdicts": [
        {
            "at": "2026-11-21T03:31:00+00:00",
            "passed": True,
            "forced": False,
            "compared_with": None,
            "checks": [
                {
                    "name": "report/ann-recall/text",
                    "outcome": "passed",
                    "passed": True,
                    "says": "ANN recall@10 of the text index is 1.000",
                    "value": 1.0,
                    "bar": 0.95,
                }
            ],
        }
    ],
    "history": [
        {
            "at": "2026-11-21T03:31:02+00:00",
            "action": "publish",
            "bundle": "20261121T033000Z-5f2d9c1e",
            "previous": None,
            "forced": False,
            "problems": [],
            "automatic": False,
            "reason": None,
        }
    ],
    "problem": None,
}

MAP_RESPONSE: Final[Any] = {
    "bundle": "20261121T033000Z-5f2d9c1e",
    "method": "t-SNE",
    "of": 2000,
    "points": {
        "id": ["10017413", "10020000"],
        "title": ["Diesel slim fit jeans", "Red wool scarf"],
        "x": [0.1284, 0.8103],
        "y": [0.5512, 0.2377],
        "category": ["Jeans", "Scarves"],
        "price": [89.0, None],
    },
}
