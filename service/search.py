"""The search engine: understand, encode, retrieve, rank. Knows nothing of HTTP.

Every answer is computed from one `Served`, taken once. Heavy work runs in the threads of the embedder and of
the ranking pool; the event loop only waits.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import structlog

from indexer.ranking import FilterStrategy
from indexer.searchable import Searchable
from indexer.suggest import Suggestions
from service.categorise import Guess, Reranked, category_of
from service.embed import Account, Embedder
from service.errors import DeadlineError, InvalidRequestError
from service.facets import Facet
from service.filters import Filters
from service.mixture import Mixture, mix
from service.pools import BoundedPool
from service.query import Query
from service.retrieve import EVERYTHING, Found, resolve, retrieve
from service.served import Served
from service.telemetry import Metrics
from service.understand import LinkedEntity

_log = structlog.stdlib.get_logger("catalens.search")


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each stage.

    Attributes:
        decode: Fetching and decoding the slowest picture.
        encode: Reading entities and encoding, without `decode`.
        filter: Finding out which products the filter admits.
        retrieve: Finding and scoring candidates.
        rank: Ordering them, counting facets, reading the hits' products, and explaining their scores.
        total: Everything.
    """

    total: float
    decode: float
    encode: float
    filter: float
    retrieve: float
    rank: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found, and from what it was computed."""

    query: Query
    hits: tuple[Found, ...]
    links: tuple[LinkedEntity, ...]
    found: int
    facets: tuple[Facet, ...]
    strategy: FilterStrategy
    reranked: Reranked | None
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
        self._lacks: Callable[[], Iterable[str]] = tuple

    @property
    def served(self) -> Served:
        """What new requests are answered from."""
        return self._served

    @property
    def lacking(self) -> frozenset[str]:
        """What all answers go without at present."""
        return frozenset(self._lacks())

    def serve(self, view: Searchable) -> None:
        """Answer new requests from `view`, the same bundle as it is now; those that run go on as they began."""
        self._served = replace(self._served, bundle=view, filters=Filters(view.fields))
        self._metrics.products(view.count)

    def ask_lacking(self, lacks: Callable[[], Iterable[str]]) -> None:
        """Ask `lacks` what answers go without, whenever one is given."""
        self._lacks = lacks

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

    async def classify(self, query: Query) -> tuple[Guess | None, Served]:
        """Return the category that a query is of, None where the catalogue has none to tell, and who says so.

        Raises:
            ServiceError: as `search`.
        """
        served, account = self._served, Account()
        try:
            async with asyncio.timeout(self._timeout_s):
                links = await self._read(query, served)
                mixture = await self._mixture(query, links, served, account)
        except TimeoutError as error:
            msg = f"No answer within {self._timeout_s:g} s."
            raise DeadlineError(msg) from error
        return await self._ranking.run(category_of, served.bundle, query, mixture, links), served

    async def suggest(self, text: str, limit: int) -> tuple[Suggestions, Served]:
        """Return completions of what is being typed, and what they were computed from.

        Raises:
            OverloadedError: too much waits already.
        """
        served = self._served
        return await self._ranking.run(served.suggester.suggest, text, limit), served

    def _account(self, answer: Answer) -> None:
        self._metrics.stages(asdict(answer.timings))
        for part in answer.degraded:
            self._metrics.degraded(part)
        if self._log_queries:
            _log.info("query", texts=[part.text for part in answer.query.texts], hits=len(answer.hits))

    async def _search(self, query: Query, served: Served) -> Answer:
        began = time.perf_counter()
        account = Account()
        wanted = await self._ranking.run(resolve, served, query) if query.narrowed else EVERYTHING
        filtered = time.perf_counter()
        links = await self._read(query, served)
        mixture = await self._mixture(query, links, served, account)
        encoded = time.perf_counter()
        retrieved = await self._ranking.run(retrieve, served, query, wanted, mixture, links)
        ended = time.perf_counter()
        timings = Timings(
            total=_ms(ended - began),
            decode=_ms(account.decode_s),
            filter=_ms(filtered - began),
            encode=_ms(encoded - filtered - account.decode_s),
            retrieve=_ms(ended - encoded - retrieved.rank_s),
            rank=_ms(retrieved.rank_s),
        )
        return Answer(
            query=query,
            hits=retrieved.hits,
            links=tuple(links),
            found=retrieved.found,
            facets=retrieved.facets,
            strategy=retrieved.strategy,
            reranked=retrieved.reranked,
            served=served,
            timings=timings,
            degraded=tuple(sorted(account.degraded | self.lacking)),
        )

    async def _mixture(
        self, query: Query, links: Sequence[LinkedEntity], served: Served, account: Account
    ) -> Mixture | None:
        """Return what to look for; None where all products are wanted, or words are matched as words alone."""
        if not query.parts or query.mode == "lexical":
            return None
        mixture = mix(await self._embedder.encode(query, links, served, account))
        if mixture is None:
            msg = "The parts cancel each other out: nothing is left to look for."
            raise InvalidRequestError(msg, path="query")
        return mixture

    async def _read(self, query: Query, served: Served) -> list[LinkedEntity]:
        if not query.texts:
            return []
        return await self._ranking.run(served.reader.read, query)


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)
