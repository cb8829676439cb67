"""The search engine: understand, encode, retrieve, rank. Knows nothing of HTTP.

Every answer is computed from one `Served`, taken once. Heavy work runs in the threads of the embedder and of
the ranking pool; the event loop only waits.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import structlog

from indexer.ranking import rank
from models.product import Product
from service.embed import Account, Embedder, kind_of
from service.errors import DeadlineError, InvalidRequestError
from service.mixture import Mixture, Term, explain, mix, targets_of
from service.pools import BoundedPool
from service.query import Query
from service.served import Served
from service.telemetry import Metrics
from service.understand import LinkedEntity, named_entities

_log = structlog.stdlib.get_logger("catalens.search")


@dataclass(frozen=True, slots=True)
class Found:
    """A product found.

    Attributes:
        row: Its row in the bundle.
        product: What the catalogue says of it.
        score: Inner product with the query, at most 1, and what entities in common add.
        terms: What the score is made of, if that was asked for.
    """

    row: int
    product: Product
    score: float
    terms: tuple[Term, ...] | None


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each stage.

    Attributes:
        decode: Fetching and decoding the slowest picture.
        encode: Reading entities and encoding, without `decode`.
        retrieve: Finding and scoring candidates.
        rank: Reading the hits' products, and explaining their scores.
        total: Everything.
    """

    total: float
    decode: float
    encode: float
    retrieve: float
    rank: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found, and from what it was computed."""

    query: Query
    hits: tuple[Found, ...]
    links: tuple[LinkedEntity, ...]
    found: int
    served: Served
    timings: Timings
    degraded: tuple[str, ...]


class SearchEngine:
    """Answers queries from what is served.

    Args:
        served: The bundle to begin with.
        embedder: Turns queries into vectors.
        ranking: Threads that read and rank.
        metrics: Told of stages and of what an answer went without.
        timeout_ms: For one answer.
        log_queries: Whether to log the words people search for.
    """

    def __init__(
        self,
        served: Served,
        embedder: Embedder,
        ranking: BoundedPool,
        metrics: Metrics,
        *,
        timeout_ms: int,
        log_queries: bool = False,
    ) -> None:
        self._served = served
        self._embedder = embedder
        self._ranking = ranking
        self._metrics = metrics
        self._timeout_s = timeout_ms / 1000
        self._log_queries = log_queries

    @property
    def served(self) -> Served:
        """What new requests are answered from."""
        return self._served

    async def search(self, query: Query) -> Answer:
        """Return the best hits for `query`.

        Raises:
            InvalidRequestError: a part names no product, its picture cannot be read, or the parts cancel out.
            OverloadedError: too much waits already.
            DeadlineError: the time for an answer ran out.
        """
        try:
            async with asyncio.timeout(self._timeout_s) as clock:
                answer = await self._search(query, self._served)
        except TimeoutError as error:
            if not clock.expired():
                raise
            msg = f"No answer within {self._timeout_s:g} s."
            raise DeadlineError(msg) from error
        self._account(answer)
        return answer

    def _account(self, answer: Answer) -> None:
        self._metrics.stages(asdict(answer.timings))
        for part in answer.degraded:
            self._metrics.degraded(part)
        if self._log_queries:
            _log.info("query", texts=[part.text for part in answer.query.texts], hits=len(answer.hits))

    async def _search(self, query: Query, served: Served) -> Answer:
        began = time.perf_counter()
        account = Account()
        links = await self._read(query, served)
        parts = await self._embedder.encode(query, links, served, account)
        mixture = mix(parts)
        if mixture is None:
            msg = "The parts cancel each other out: nothing is left to look for."
            raise InvalidRequestError(msg, path="query")
        encoded = time.perf_counter()
        retrieved = await self._ranking.run(retrieve, served, query, mixture, links)
        ended = time.perf_counter()
        timings = Timings(
            total=_ms(ended - began),
            decode=_ms(account.decode_s),
            encode=_ms(encoded - began - account.decode_s),
            retrieve=_ms(ended - encoded - retrieved.rank_s),
            rank=_ms(retrieved.rank_s),
        )
        return Answer(
            query, retrieved.hits, tuple(links), retrieved.found, served, timings, tuple(sorted(account.degraded))
        )

    async def _read(self, query: Query, served: Served) -> list[LinkedEntity]:
        if not query.texts:
            return []
        return await self._ranking.run(served.reader.read, query)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Hits, how many products were scored for them, and the seconds that reading and explaining them took."""

    hits: tuple[Found, ...]
    found: int
    rank_s: float


def retrieve(served: Served, query: Query, mixture: Mixture, links: Sequence[LinkedEntity]) -> Retrieved:
    """Return the hits of a query vector and the entities its words name. For a worker thread."""
    bundle = served.bundle
    weights = bundle.manifest.fusion[kind_of(query)]
    rows = [bundle.products.row_of(product_id) for product_id in query.exclude]
    excluded = [row for row in rows if row is not None]
    named = named_entities(query, links)
    ranked = rank(bundle, mixture.vector, weights, query.limit, query.offset, excluded, [entity for _, entity in named])
    began = time.perf_counter()
    terms = explain(mixture, targets_of(bundle, ranked, weights), named, ranked.named) if query.explain else None
    hits = tuple(
        Found(int(row), bundle.products[int(row)], float(score), terms[place] if terms else None)
        for place, (row, score) in enumerate(zip(ranked.rows, ranked.scores, strict=True))
    )
    return Retrieved(hits, ranked.candidates, time.perf_counter() - began)


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)
