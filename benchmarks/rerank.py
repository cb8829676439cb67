"""What ranking by the query's category is worth: judged queries asked of the service with and without it.

Only queries whose relevant products are all of one category count: the others have no category to be right about. Made
ones name entities, or describe a product: the first words of its description, where these do not name its category.
Precision is the share of the first ten hits that are of it; nDCG@10 is over the relevant products themselves.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from starlette.testclient import TestClient

from indexer.bundle import Bundle, current_bundle
from indexer.judged import JudgedQuery, read_queries
from indexer.made_queries import make_queries
from models.lexicon import Lexicon
from models.metrics import Rankings, ndcg_at_k
from models.surfaces import tokenize
from service.app import create_app
from service.settings import Settings

WAYS: Mapping[str, dict[str, object] | None] = {
    "none": None,
    "demote": {"action": "demote"},
    "filter": {"action": "filter"},
}
DEPTH = 10
DESCRIBED = 20  # words of a description


def figures(
    data_dir: Path, encoder: str, queries: Path | None, most: int, seed: int, min_confidence: float | None
) -> dict[str, object]:
    """Return precision and nDCG by kind of query and way.

    Args:
        data_dir: holds the published bundle.
        encoder: of that bundle.
        queries: a file of judged queries; None: made of the catalogue.
        most: queries of each kind.
        seed: of made ones.
        min_confidence: from which on a category is used; None: as the service does by itself.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    settings = Settings.model_validate({"data_dir": data_dir, "encoder": encoder, "update_log": "off"})
    current = current_bundle(data_dir)
    if current is None:
        msg = f"{data_dir} has no published bundle"
        raise ValueError(msg)
    with Bundle.open(current, verify=False) as bundle:
        if queries is not None:
            asked = read_queries(queries)
        else:
            asked = [*make_queries(bundle, 4 * most, seed), *described(bundle, most, seed)]
        kinds = _of_one_category(bundle, asked, most)
        category = {bundle.products.id_of(row): bundle.products[row].category for row in range(len(bundle.products))}
    least = {} if min_confidence is None else {"min_confidence": min_confidence}
    with TestClient(create_app(settings)) as client:
        return {
            kind: {
                "queries": len(some),
                **{
                    way: _measured(client, some, category, rerank and {**rerank, **least})
                    for way, rerank in WAYS.items()
                },
            }
            for kind, some in kinds.items()
        }


def described(bundle: Bundle, most: int, seed: int) -> list[JudgedQuery]:
    """Return up to `most` queries that describe a product, drawn by `seed`, without its category in any spelling."""
    products, asked = bundle.products, []
    categories = Lexicon({"category": bundle.statistics.vocabulary.get("category", {})})
    for row in np.random.default_rng(seed).permutation(len(products)):
        product = products[int(row)]
        tokens = tokenize(product.description or "")[:DESCRIBED]
        named = {reading.value for span in categories.find(tokens) for reading in categories.readings(span.key)}
        wanted = product.category and categories.canonical("category", product.category)
        if len(tokens) == DESCRIBED and wanted and wanted not in named:
            text = (product.description or "")[: tokens[-1].end]
            asked.append(JudgedQuery(qid=product.id, kind="description", text=text, relevant=(product.id,)))
        if len(asked) == most:
            break
    return asked


def _of_one_category(
    bundle: Bundle, queries: Sequence[JudgedQuery], most: int
) -> dict[str, list[tuple[JudgedQuery, str]]]:
    kinds: dict[str, list[tuple[JudgedQuery, str]]] = {}
    for query in queries:
        rows = [row for one in query.relevant if (row := bundle.products.row_of(one)) is not None]
        found = {bundle.products[row].category for row in rows}
        named = any(entity.group == "category" for entity in query.entities)
        kind = f"{query.kind}, category {'named' if named else 'not named'}"
        if len(found) == 1 and (category := found.pop()) and len(kinds.setdefault(kind, [])) < most:
            kinds[kind].append((query, category))
    return kinds


def _measured(
    client: TestClient,
    queries: Sequence[tuple[JudgedQuery, str]],
    category: Mapping[str, str | None],
    rerank: dict[str, object] | None,
) -> dict[str, float]:
    precision, returned, used = [], [], 0
    for (query, right), answer in zip(queries, _answers(client, queries, rerank), strict=True):
        ids = [hit["id"] for hit in answer["hits"]]
        precision.append(float(np.mean([category[one] == right for one in ids])) if ids else 0.0)
        returned.append((ids, query.judgements))
        used += rerank is not None and answer["rerank"]["action"] != "none"
    ndcg = ndcg_at_k(Rankings.from_lists([ids for ids, _ in returned], [gains for _, gains in returned]), DEPTH)
    return {
        "category_precision_at_10": float(np.mean(precision)),
        "ndcg_at_10": float(np.mean(ndcg)),
        "used": used / len(queries),
    }


def _answers(
    client: TestClient, queries: Sequence[tuple[JudgedQuery, str]], rerank: dict[str, object] | None
) -> Iterator[dict[str, Any]]:
    for query, _ in queries:
        asked = {"q": query.text, "limit": DEPTH, "fields": ["id"], **({"rerank": rerank} if rerank else {})}
        yield client.post("/v1/search", json=asked).raise_for_status().json()
