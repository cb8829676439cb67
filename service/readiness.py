"""Whether the service can answer a search now, found out by doing what a search does.

A product of the served catalogue is the probe: its words and its picture are embedded through the same queues
as everyone's, past the cache, and its own vector must find it through the indexes.
"""

import asyncio
import base64
import math
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

import numpy as np

from indexer.manifest import QueryKind
from indexer.ranking import rank, score_rows
from indexer.searchable import Searchable
from models.encoder import TextTerms, Vectors
from models.product import TextField, canonical_text
from service.embed import Embedder, product_terms
from service.errors import HungError
from service.lifecycle import Lifecycle
from service.pools import BoundedPool
from service.search import SearchEngine
from service.served import Served

CheckName = Literal["text", "image", "retrieval", "staying"]

BUNDLE: Final = "bundle"  # what `degraded` names while a bundle that should be served is refused

_TOLERANCE: Final = 1e-3
_PLACES: Final = 10  # where a product must be among those like itself; twins of it may stand before it
_DOT: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4ceIEAATEAmEVBPG2AAAAAElFTkSuQmCC"
)  # a grey PNG of one pixel, for a catalogue without pictures


class NotReadyError(Exception):
    """A check came to a wrong result; the message says which."""


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check; `detail` is empty when all is well."""

    name: CheckName
    ok: bool
    detail: str
    ms: float


_GOING: Final = Check("staying", ok=False, detail="the service is shutting down", ms=0.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks came to, for one `Served`."""

    checks: tuple[Check, ...]
    served: Served
    lacking: frozenset[str] = frozenset()

    @property
    def ready(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)


class Readiness:
    """Runs the checks, one run at a time, and repeats a verdict for `keep_ms`."""

    def __init__(
        self,
        engine: SearchEngine,
        embedder: Embedder,
        ranking: BoundedPool,
        lifecycle: Lifecycle,
        *,
        keep_ms: int,
        timeout_ms: int,
    ) -> None:
        self._engine = engine
        self._embedder = embedder
        self._ranking = ranking
        self._lifecycle = lifecycle
        self._keep_s = keep_ms / 1000
        self._timeout_s = timeout_ms / 1000
        self._running = asyncio.Lock()
        self._last: tuple[float, str, tuple[Check, ...]] = (-math.inf, "", ())

    async def verdict(self) -> Verdict:
        """Return whether the service is ready, as of now or of at most `keep_ms` ago; never while it drains."""
        async with self._running:
            served = self._engine.served
            at, bundle_id, checks = self._last
            if bundle_id != served.bundle_id or time.monotonic() - at >= self._keep_s:
                checks = await self._check(served)
                self._last = (time.monotonic(), served.bundle_id, checks)
        if self._lifecycle.draining:
            checks = (*checks, _GOING)
        return Verdict(checks, served, self._engine.lacking | ({BUNDLE} if self._engine.refused else frozenset()))

    async def _check(self, served: Served) -> tuple[Check, ...]:
        row = probe_row(served.bundle)
        checks = await asyncio.gather(
            self._run("text", self._text(served, row)),
            self._run("image", self._image(served, row)),
            self._run("retrieval", self._retrieval(served, row)),
        )
        return tuple(checks)

    async def _run(self, name: CheckName, work: Coroutine[object, object, None]) -> Check:
        """Return the outcome of one check, whatever way it fails."""
        began = time.perf_counter()
        [failure] = await asyncio.gather(asyncio.wait_for(work, self._timeout_s), return_exceptions=True)
        ms = round((time.perf_counter() - began) * 1000, 3)
        return Check(name, failure is None, _said(failure), ms)

    async def _text(self, served: Served, row: int) -> None:
        product = served.bundle.products[row]
        fields = [field for field in served.encoder.text_fields if field in get_args(TextField)]
        words = canonical_text(product, cast("list[TextField]", fields))
        terms = await self._embedder.fresh_text(words, product.entities(served.encoder.vocabularies))
        _expect_unit(terms, served.encoder.dim)
        _expect_alike(terms.vector, served.bundle.vectors["text"][row].astype(np.float32))

    async def _image(self, served: Served, row: int) -> None:
        picture = served.bundle.thumbnail(row, 0) or _DOT
        _expect_unit(await self._embedder.fresh_picture(picture), served.encoder.dim)

    async def _retrieval(self, served: Served, row: int) -> None:
        await self._ranking.run(expect_found, served.bundle, row)


def probe_row(bundle: Searchable) -> int:
    """Return the row of the first product with a picture; of the first product where none has one."""
    pictured = bundle.image_rows if bundle.live is None else bundle.image_rows[bundle.live[bundle.image_rows]]
    if len(pictured):
        return int(pictured[0])
    return 0 if bundle.live is None else int(np.argmax(bundle.live))


def _said(failure: BaseException | None) -> str:
    if failure is None:
        return ""
    if isinstance(failure, TimeoutError):
        return "timed out"
    return str(failure) if isinstance(failure, NotReadyError | HungError) else type(failure).__name__


def _expect_unit(terms: TextTerms, dim: int) -> None:
    vector = terms.vector
    if vector.shape != (dim,) or not abs(float(np.linalg.norm(vector)) - 1.0) < _TOLERANCE:
        msg = "the embedding is not a unit vector"
        raise NotReadyError(msg)


def _expect_alike(vector: Vectors, stored: Vectors) -> None:
    cosine = float(vector @ stored)
    if not cosine > 1.0 - _TOLERANCE * 10:
        msg = f"the embedding differs from the one in the bundle (cosine {cosine:.4f})"
        raise NotReadyError(msg)


def expect_found(bundle: Searchable, row: int) -> None:
    """Look for the product of `row` by its own vectors.

    Raises:
        NotReadyError: the indexes do not lead to it, nor to as many that are as near.
    """
    if not bundle.count:
        return  # all were deleted, and nothing is to be found
    weights = bundle.manifest.fusion[QueryKind.MIXED]
    q = product_terms(bundle, row, weights).vector
    ranked = rank(bundle, q, weights, _PLACES)
    own, _ = score_rows(bundle, q, weights, np.array([row], np.int64))
    if row not in ranked.rows and ranked.scores[-1] < own[0] - _TOLERANCE:
        msg = f"product {bundle.products.id_of(row)!r} does not find itself"
        raise NotReadyError(msg)
