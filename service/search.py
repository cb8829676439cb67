"""The search engine: understand, encode, retrieve, rank. Knows nothing of HTTP.

Every answer is computed from one `Served`, taken once. Heavy work runs in the threads of the embedder and of
the ranking pool; the event loop only waits.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Final

import structlog

from indexer.searchable import narrowed
from indexer.suggest import Suggestions
from service import tracing
from service.answer import Answer, Timings
from service.categorise import Guess, category_of
from service.embed import Account, Embedder, kind_of, together
from service.embedding import Embedded, Embedding, EmbeddingKind, ToEmbed, read_all
from service.errors import DeadlineError, ServiceError
from service.instances import INSTANCES, OFF, Look, Products
from service.looking import answers, mixed, mixtures, products, undecided
from service.mixture import EncodedPart, Mixture
from service.pools import BoundedPool, InPlace
from service.pressure import RERANK, WIDTH, Level, Pressure
from service.query import Query
from service.retrieve import EVERYTHING, Retrieved, Wanted, resolve, retrieve
from service.served import Reading, Served
from service.telemetry import Metrics
from service.understand import LinkedEntity
from service.versions import Version, Versions

_READ_AT_ONCE: Final = 200  # characters: read in less time than a thread takes to begin
_IN_PLACE_S: Final = 0.003  # what a retrieval takes at most that is not given to a thread
_COMPARED: Final = 10  # hits of an answer and a shadow's
_COMPARED_AT_ONCE: Final = 4  # answers
RECENT: Final = 16  # queries that a new bundle is warmed with

_log = structlog.stdlib.get_logger("catalens.search")


class SearchEngine:
    """Answers queries from what is served.

    Args:
        versions: What there is to answer from.
        embedder: Turns queries into vectors.
        ranking: Threads that read and rank.
        pressure: Says what must be left out.
        metrics: Told of stages and of what an answer went without.
        timeout_ms: For one answer.
        log_queries: Whether to log the words people search for.
    """

    def __init__(
        self,
        versions: Versions,
        embedder: Embedder,
        ranking: BoundedPool,
        pressure: Pressure,
        metrics: Metrics,
        *,
        timeout_ms: int,
        log_queries: bool = False,
    ) -> None:
        self._versions = versions
        self._embedder = embedder
        self._instances = embedder.instances
        self._ranking = ranking
        self._retrieving = InPlace(ranking, _IN_PLACE_S)
        self._pressure = pressure
        self._metrics = metrics
        self._timeout_s = timeout_ms / 1000
        self._log_queries = log_queries
        self._comparing: set[asyncio.Task[None]] = set()
        self.recent: deque[Query] = deque(maxlen=RECENT)

    @property
    def served(self) -> Served:
        """What requests are answered from if nothing else is said."""
        return self._versions.primary.served

    @property
    def lacking(self) -> frozenset[str]:
        """What those answers go without at present."""
        return self._versions.primary.lacking

    @property
    def finder(self) -> str:
        """The fingerprint of what finds products in pictures; empty: nothing does."""
        return self._instances.fingerprint

    @property
    def refused(self) -> bool:
        """Whether a bundle should be served and cannot be."""
        return bool(self._versions.refused)

    @property
    def busy(self) -> bool:
        """Whether anyone waits for an answer; may be asked from other threads."""
        return self._pressure.busy

    def choose(self, bundle: str | None, visitor: str | None) -> Version:
        """Return what is to answer a search; see `Versions.choose`.

        Raises:
            InvalidRequestError: the bundle that it names is not served.
        """
        return self._versions.choose(bundle, visitor)

    async def search(self, query: Query, due: float = math.inf, version: Version | None = None) -> Answer:
        """Return the best hits for `query`, wanted before `due` as `time.monotonic` counts it.

        `version` is what answers; without one, the primary.

        Raises:
            InvalidRequestError: a part names no product, its picture cannot be read, or the parts cancel out.
            OverloadedError: too much waits already.
            DeadlineError: the time for an answer ran out.
        """
        version = version or self._versions.primary
        async with self._in_time(due) as account:
            account.degraded |= version.lacking
            answer = await self._search(query, version.served, account)
        if version.lacking - {*answer.degraded}:  # lost while it was being answered
            answer = replace(answer, degraded=tuple(sorted(version.lacking | {*answer.degraded})))
        self._account(answer)
        if version is self._versions.primary and self._pressure.level is Level.CALM:
            for shadow in self._versions.shadows():
                self._compare(answer, shadow)
        return answer

    def note_repeated(self, query: Query) -> None:
        """Take note of a query whose answer was there already."""
        if self._log_queries:
            _log.info("query", texts=[part.text for part in query.texts], hits=None)

    def _compare(self, answer: Answer, shadow: Version) -> None:
        """Have a shadow answer the same, and tell how much of it is alike; not while too many do."""
        if len(self._comparing) < _COMPARED_AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._compared(answer, shadow))
            self._comparing.add(task)
            task.add_done_callback(self._comparing.discard)

    async def _compared(self, answer: Answer, shadow: Version) -> None:
        try:
            other = await self.rehearse(answer.query, shadow.served)
        except (ServiceError, TimeoutError):
            self._metrics.shadow(shadow.id, None)
            return
        first = {found.product.id for found in answer.hits[:_COMPARED]}
        alike = len(first & {found.product.id for found in other.hits[:_COMPARED]})
        self._metrics.shadow(shadow.id, alike / len(first) if first else float(not other.hits))

    async def rehearse(self, query: Query, served: Served) -> Answer:
        """Return what `served` answers, beside everyone else's answers: uncounted, and never in anyone's way.

        Pictures are searched for as a whole only.

        Raises:
            ServiceError: as `search`.
        """
        async with asyncio.timeout(self._timeout_s):
            with tracing.aside():
                return await self._search(replace(query, instances=OFF), served, Account())

    async def classify(self, query: Query, due: float = math.inf) -> tuple[Guess | None, Served]:
        """Return the category that a query is of, None where the catalogue has none to tell, and who says so.

        Raises:
            ServiceError: as `search`.
        """
        served = self.served
        async with self._in_time(due) as account:
            query, _, links = await self._read(query, served)
            mixture = mixed(await self._parts(query, links, served, account))
            return await self._ranking.run(category_of, served.bundle, query, mixture, links), served

    async def embed(
        self, wanted: Sequence[ToEmbed], kind: EmbeddingKind, due: float = math.inf
    ) -> tuple[list[Embedded], Served, Account]:
        """Return the vectors of words and pictures, whose they are, and what was gone without.

        Raises:
            ServiceError: as `search`; then there are no vectors at all.
        """
        served = self.served
        async with self._in_time(due) as account:
            read = await self._ranking.run(read_all, served, wanted, kind)
            return await Embedding(self._embedder, served, account, kind).all(read), served, account

    @asynccontextmanager
    async def _in_time(self, due: float, *, counted: bool = True) -> AsyncIterator[Account]:
        """Open an account for one answer, which is given up when its time is over.

        One that is not `counted` costs so little that it would hide how long the others take.

        Raises:
            OverloadedError: too much waits already.
            DeadlineError: the time ran out.
        """
        began = time.monotonic()
        due = min(due, began + self._timeout_s)
        try:
            with self._pressure.answering(due) if counted else nullcontext():
                async with asyncio.timeout(due - began) as clock:
                    yield Account(due)
        except TimeoutError as error:
            if not clock.expired():
                raise
            msg = "There was no answer in time."
            raise DeadlineError(msg) from error

    async def suggest(self, text: str, limit: int, due: float = math.inf) -> tuple[Suggestions, Served]:
        """Return completions of what is being typed, and what they were computed from.

        Raises:
            ServiceError: as `search`.
        """
        served = self.served
        async with self._in_time(due, counted=False):
            return await self._ranking.run(served.suggester.suggest, text, limit), served

    def _account(self, answer: Answer) -> None:
        self._metrics.stages(answer.timings.by_stage())
        bundle, model = answer.served.bundle_id, answer.served.encoder.name
        self._metrics.search(
            bundle=bundle,
            model=model,
            kind=kind_of(answer.query).value if answer.query.parts else "browse",
            strategy=answer.strategy.value,
            found=answer.found,
            seconds=answer.timings.total / 1000,
        )
        tracing.note(bundle=bundle, model=model, found=answer.found, degraded=answer.degraded)
        if answer.instances is not None:
            tracing.note(instances=len(answer.instances))
        if answer.query.texts and len(answer.query.texts) == len(answer.query.parts):
            self.recent.append(answer.query)
        for part in answer.degraded:
            self._metrics.degraded(part)
        if self._log_queries:
            tracing.note(texts=[part.text for part in answer.query.texts])
            _log.info("query", texts=[part.text for part in answer.query.texts], hits=len(answer.hits))

    async def _search(self, query: Query, served: Served, account: Account) -> Answer:
        began = time.perf_counter()
        asked, served = self._eased(query, served, account)
        tracing.stage("filter")
        wanted = await self._ranking.run(resolve, served, asked) if asked.narrowed else EVERYTHING
        filtered = time.perf_counter()
        tracing.stage("encode")
        query, reworded, links = await self._read(asked, served)
        look = self._instances.look(query, account.due)
        parts = await self._parts(query, links, served, account, look)
        found = await self._products(look, parts, served)
        wishes = [mixed(parts), *mixtures(parts, look, self._instances, found or ())]
        encoded = time.perf_counter()
        tracing.stage("retrieve")
        queries = [query, *[replace(query, led=self._instances.leads)] * (len(wishes) - 1)]
        retrieved, *others = await together(
            [self._retrieve(served, one, wanted, mixture, links) for one, mixture in zip(queries, wishes, strict=True)]
        )
        ended = time.perf_counter()
        rank_s = max(one.rank_s for one in (retrieved, *others))
        tracing.last_stage("rank", rank_s)
        detect_s = 0.0 if look is None else look.took_s
        timings = Timings(
            total=_ms(ended - began),
            decode=_ms(account.decode_s),
            detect=_ms(detect_s),
            filter=_ms(filtered - began),
            encode=_ms(encoded - filtered - account.decode_s - detect_s),
            retrieve=_ms(ended - encoded - rank_s),
            rank=_ms(rank_s),
        )
        return Answer(
            query=asked,
            reworded=reworded,
            hits=retrieved.hits,
            links=tuple(links),
            found=retrieved.found,
            facets=retrieved.facets,
            strategy=retrieved.strategy,
            reranked=retrieved.reranked,
            served=served,
            timings=timings,
            degraded=tuple(sorted(account.degraded)),
            instances=answers(found, others),
        )

    async def _retrieve(
        self,
        served: Served,
        query: Query,
        wanted: Wanted,
        mixture: Mixture | None,
        links: Sequence[LinkedEntity],
    ) -> Retrieved:
        if served.elsewhere is not None:  # waiting takes no processor time, and would yet hold up the loop
            return await self._ranking.run(retrieve, served, query, wanted, mixture, links)
        alike = (served.bundle_id, query.shape)
        return await self._retrieving.run(alike, retrieve, served, query, wanted, mixture, links)

    def _eased(self, query: Query, served: Served, account: Account) -> tuple[Query, Served]:
        """Return what is asked, and what of, with what there is no time for left out."""
        level = self._pressure.level
        if level >= Level.NO_RERANK and query.rerank is not None:
            query = replace(query, rerank=None)
            account.degraded.add(RERANK)
        if level >= Level.NARROW and query.parts and any(width for width in served.bundle.widths.values()):
            served = replace(served, bundle=narrowed(served.bundle))
            account.degraded.add(WIDTH)
        if self._instances.lacks(query) or (level >= Level.NO_RERANK and self._instances.can(query)):
            query = replace(query, instances=OFF)
            account.degraded.add(INSTANCES)
        return query, served

    async def _parts(
        self,
        query: Query,
        links: Sequence[LinkedEntity],
        served: Served,
        account: Account,
        look: Look | None = None,
    ) -> list[EncodedPart]:
        """Return the parts of a query as vectors; none where words are matched as words alone."""
        if not query.parts or query.mode == "lexical":
            return []
        parts = await self._embedder.encode(query, links, served, account, look)
        if look is not None and look.failed:
            account.degraded.add(INSTANCES)
        return parts

    async def _products(self, look: Look | None, parts: Sequence[EncodedPart], served: Served) -> Products | None:
        """Return the products to be searched for; None where the picture was not looked into."""
        if look is None or not undecided(look):
            return None if look is None else look.found
        if served.elsewhere is not None:
            return await self._ranking.run(products, served.bundle, look, parts)
        return await self._retrieving.run((served.bundle_id, "alike"), products, served.bundle, look, parts)

    async def _read(self, query: Query, served: Served) -> Reading:
        if sum(len(part.text) for part in query.texts) <= _READ_AT_ONCE:
            return served.read(query)
        return await self._ranking.run(served.read, query)


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)
