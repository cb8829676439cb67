"""Relevance against judged queries: words read and linked as serving does, products ranked, measures by kind.

A file of queries has one JSON object a line: `qid`, `kind`, `text`, `relevant` (product ids), and optionally
`gains` (product id to how relevant it is), `split` and `entities` (`group`, `value`), the ones that the words truly
name. TREC's topics and qrels are read, too, and its run files written. Where a file comes from is left to its maker;
the measures themselves are `models.metrics`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from indexer.bundle import Bundle
from indexer.manifest import FusionWeights, QueryKind
from indexer.ranking import NamedEntity, Words, part_of_text, rank, score
from models.encoder import Encoder
from models.entities import EntityLinker
from models.metrics import Rankings, mrr, ndcg_at_k, recall_at_k, success_at_k
from models.product import Product

DEPTH = 100  # products ranked for each query
BATCH = 256
ALL_KINDS = "all"


class QueriesError(ValueError):
    """A file of judged queries that cannot be used; the message names the line."""


class EntitySource(StrEnum):
    """Where a query's entities come from."""

    LINKED = "linked"
    GOLD = "gold"
    NONE = "none"


class Mode(StrEnum):
    """How the words of a query are matched."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    LEXICAL = "lexical"

    def of(self, weights: FusionWeights) -> FusionWeights:
        """Return `weights` as this mode has them."""
        changes = {Mode.HYBRID: {}, Mode.VECTOR: {"lexical": 0.0}, Mode.LEXICAL: {"lexical": 1.0, "entities": 0.0}}
        return weights.model_copy(update=changes[self])


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class GoldEntity(_Record):
    """An entity that a query's words name."""

    group: str
    value: str


class JudgedQuery(_Record):
    """A query with what is relevant to it."""

    qid: str
    kind: str
    text: str
    relevant: tuple[str, ...]
    gains: Mapping[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    split: str | None = None
    entities: tuple[GoldEntity, ...] = ()

    @property
    def judgements(self) -> Mapping[str, float]:
        """Product id to gain: 1 where only relevance is stated."""
        return {**dict.fromkeys(self.relevant, 1.0), **self.gains}


class Relevance(_Record):
    """Means over the queries of one kind; queries without a result count as zero.

    `entities_at_5`: of the queries that name entities, the share with a product that has them all among the
    first five. `linking_*`: linked entities against the ones the words name, over the kind.
    """

    queries: int
    ndcg_at_10: float
    mrr: float
    recall_at_10: float
    success_at_1: float
    success_at_5: float
    entities_at_5: float | None
    linking_precision: float | None
    linking_recall: float | None
    linking_f1: float | None


class Judgement(_Record):
    """Relevance by kind of query, and over all.

    `missing` counts relevant ids that the bundle does not hold. `run` is what was ranked, as TREC writes it.
    """

    bundle: str
    encoder: str
    entities: EntitySource
    mode: Mode
    fusion: FusionWeights
    missing: int
    kinds: Mapping[str, Relevance]
    run: str = Field(exclude=True, repr=False)


def read_queries(path: Path, split: str | None = None) -> list[JudgedQuery]:
    """Return the queries of the file at `path`, of one split if that is named.

    Raises:
        QueriesError: the file cannot be read, a line is no query, or no query is left.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise QueriesError(msg) from error
    queries: list[JudgedQuery] = []
    for number, line in enumerate(lines, 1):
        try:
            query = JudgedQuery.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            msg = f"{path}: line {number}: {'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
            raise QueriesError(msg) from error
        if split in {None, query.split}:
            queries.append(query)
    if not queries:
        msg = f"{path}: no queries" + (f" of split {split!r}" if split else "")
        raise QueriesError(msg)
    return queries


def read_trec(topics: Path, qrels: Path) -> list[JudgedQuery]:
    """Return TREC's topics (`qid TAB text` a line) judged by its qrels (`qid 0 docid grade` a line); grades are gains.

    Topics without a judgement are left out, as trec_eval leaves them out; grades below zero count as zero.

    Raises:
        QueriesError: a file cannot be read, a line is no such line, or no topic is judged.
    """
    judged: dict[str, dict[str, float]] = defaultdict(dict)
    for number, line in _lines(qrels):
        fields = line.split()
        if len(fields) != 4 or not fields[3].removeprefix("-").isdecimal():
            msg = f"{qrels}: line {number}: not `qid 0 docid grade`"
            raise QueriesError(msg)
        judged[fields[0]][fields[2]] = max(0.0, float(fields[3]))
    queries = []
    for number, line in _lines(topics):
        qid, tab, text = line.partition("\t")
        if not tab or not text.strip():
            msg = f"{topics}: line {number}: not `qid TAB text`"
            raise QueriesError(msg)
        if qid in judged:
            gains = judged[qid]
            relevant = tuple(product_id for product_id, gain in gains.items() if gain)
            queries.append(JudgedQuery(qid=qid, kind="topic", text=text.strip(), relevant=relevant, gains=gains))
    if not queries:
        msg = f"{topics}: no topic is judged in {qrels}"
        raise QueriesError(msg)
    return queries


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not empty, with their numbers."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise QueriesError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: not UTF-8"
        raise QueriesError(msg) from error
    return ((number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip())


def trec_run(bundle: Bundle, queries: Sequence[JudgedQuery], ranked: Sequence[Sequence[int]], tag: str) -> str:
    """Return the ranked rows of each query as a TREC run: `qid Q0 docid rank score tag` a line.

    Scores are one over the rank: only their order means anything, and ties would be broken otherwise.
    """
    lines = [
        f"{query.qid} Q0 {bundle.products.id_of(row)} {rank} {1 / rank:.6f} {tag}\n"
        for query, rows in zip(queries, ranked, strict=True)
        for rank, row in enumerate(rows, 1)
    ]
    return "".join(lines)


def judge(
    bundle: Bundle,
    encoder: Encoder,
    queries: Sequence[JudgedQuery],
    *,
    source: EntitySource = EntitySource.LINKED,
    weights: FusionWeights | None = None,
    modes: Sequence[Mode] = (Mode.HYBRID,),
) -> list[Judgement]:
    """Rank the bundle's products for every query, in each of `modes`, and return the measures by kind.

    `weights` take the place of the bundle's own for text queries. Queries are encoded once.

    Raises:
        QueriesError: there is no query.
    """
    if not queries:
        msg = "no queries: the catalogue states too little to make any of"
        raise QueriesError(msg)
    fusion = weights or bundle.manifest.fusion[QueryKind.TEXT]
    linked = linked_entities(bundle, queries)
    stated: Mapping[EntitySource, Sequence[Mapping[str, str]]] = {
        EntitySource.LINKED: linked,
        EntitySource.GOLD: [{e.group: e.value for e in query.entities} for query in queries],
        EntitySource.NONE: [{} for _ in queries],
    }
    retrieval = Retrieval(bundle, encoder, queries, stated[source])
    kinds: dict[str, list[int]] = defaultdict(list)
    for at, query in enumerate(queries):
        kinds[query.kind].append(at)
        kinds[ALL_KINDS].append(at)
    missing = sum(bundle.products.row_of(i) is None for query in queries for i in query.relevant)

    def judged(mode: Mode) -> Judgement:
        results = retrieval.ranked(mode.of(fusion))
        return Judgement(
            bundle=bundle.manifest.id,
            encoder=encoder.name,
            entities=source,
            mode=mode,
            fusion=mode.of(fusion),
            missing=missing,
            kinds={
                kind: _relevance(bundle, [queries[i] for i in at], [results[i] for i in at], [linked[i] for i in at])
                for kind, at in sorted(kinds.items())
            },
            run=trec_run(bundle, queries, results, f"catalens-{mode}"),
        )

    return [judged(mode) for mode in modes]


def linked_entities(bundle: Bundle, queries: Sequence[JudgedQuery]) -> list[dict[str, str]]:
    """Return the entities linked in each query: of each group the most probable."""
    linker = EntityLinker(bundle.statistics)
    return [
        {link.group: link.value for link in sorted(linker.link(query.text), key=lambda link: link.probability)}
        for query in queries
    ]


class Retrieval:
    """Queries with their vectors, encoded once, to be ranked with one set of weights after the other."""

    def __init__(
        self,
        bundle: Bundle,
        encoder: Encoder,
        queries: Sequence[JudgedQuery],
        entities: Sequence[Mapping[str, str]],
    ) -> None:
        self._bundle = bundle
        self._texts = [query.text for query in queries]
        self._entities = entities
        parts = [
            encoder.encode_texts(self._texts[start : start + BATCH], list(entities[start : start + BATCH]))
            for start in range(0, len(queries), BATCH)
        ]
        self._vectors = np.concatenate(parts)

    def ranked(self, weights: FusionWeights) -> list[list[int]]:
        """Return the rows of the first products of each query."""
        return [
            rank(self._bundle, q, weights, DEPTH, _words(text, stated)).rows.tolist()
            for q, text, stated in zip(self._vectors, self._texts, self._entities, strict=True)
        ]

    def ranked_by_each(self, weights: FusionWeights, lexical: Sequence[float]) -> list[list[list[int]]]:
        """Return `ranked` for each lexical weight in [0, 1) in place of that of `weights`, scoring each query once."""
        results: list[list[list[int]]] = [[] for _ in lexical]
        halves = weights.model_copy(update={"lexical": 0.5})
        for q, text, stated in zip(self._vectors, self._texts, self._entities, strict=True):
            scored = score(self._bundle, q, halves, DEPTH, _words(text, stated))
            named, words = (part.sum(axis=1) for part in np.split(scored.added, [len(stated)], axis=1))
            vectors = scored.scores - named - words  # these and the words are each at half their weight
            for result, share in zip(results, lexical, strict=True):
                scores = 2 * (1 - share) * vectors + named + 2 * share * words
                result.append(scored.rows[np.lexsort((scored.rows, -scores))[:DEPTH]].tolist())
        return results


def _words(text: str, stated: Mapping[str, str]) -> Words:
    named = [NamedEntity(group, value, part_of_text(text) / len(stated)) for group, value in stated.items()]
    return Words(named, [(text, 1.0)])


def _relevance(
    bundle: Bundle,
    queries: Sequence[JudgedQuery],
    results: Sequence[Sequence[int]],
    linked: Sequence[Mapping[str, str]],
) -> Relevance:
    ids = [[bundle.products.id_of(row) for row in rows] for rows in results]
    rankings = Rankings.from_lists(ids, [query.judgements for query in queries])
    precision, recall, f1 = _linking(queries, linked)
    return Relevance(
        queries=len(queries),
        ndcg_at_10=_mean(ndcg_at_k(rankings, 10)),
        mrr=_mean(mrr(rankings)),
        recall_at_10=_mean(recall_at_k(rankings, 10)),
        success_at_1=_mean(success_at_k(rankings, 1)),
        success_at_5=_mean(success_at_k(rankings, 5)),
        entities_at_5=_entities_at_5(bundle, queries, results),
        linking_precision=precision,
        linking_recall=recall,
        linking_f1=f1,
    )


def _entities_at_5(bundle: Bundle, queries: Sequence[JudgedQuery], results: Sequence[Sequence[int]]) -> float | None:
    naming = [(q, rows) for q, rows in zip(queries, results, strict=True) if q.entities]
    if not naming:
        return None
    return _mean([any(_has_all(bundle.products[row], q) for row in rows[:5]) for q, rows in naming])


def _has_all(product: Product, query: JudgedQuery) -> bool:
    return all(product.entities([e.group]).get(e.group) == e.value for e in query.entities)


def _linking(
    queries: Sequence[JudgedQuery], linked: Sequence[Mapping[str, str]]
) -> tuple[float | None, float | None, float | None]:
    """Return precision, recall and F1 of linked (group, value) pairs, in groups that some query names."""
    groups = {e.group for query in queries for e in query.entities}
    true = found = both = 0
    for query, links in zip(queries, linked, strict=True):
        gold = {(e.group, e.value) for e in query.entities}
        pairs = {(g, v) for g, v in links.items() if g in groups}
        true, found, both = true + len(gold), found + len(pairs), both + len(gold & pairs)
    if not true:
        return None, None, None
    precision, recall = both / found if found else 0.0, both / true
    return precision, recall, 2 * both / (true + found)


def _mean(values: Sequence[bool] | np.typing.NDArray[np.float64]) -> float:
    return round(float(np.mean(values)), 6)
