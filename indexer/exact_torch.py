"""Exact search in torch: matrix product by blocks, mask, top-k by blocks. On a GPU, or on the CPU with the same code.

Classic FAISS-GPU ignores selectors without a word and is not safe to search from several threads, even for reading;
here masks are exact and one thread owns the device. Vectors lie on the device as float16, as they are stored. Queries
are taken in two halves, `q = 2^e (high + 2^-11 low)`, both float16, and products are added up in float32: so scores are
those of float32 queries, to about 1e-6, while the vectors are read once, at half the memory and with the tensor cores.

Cost model: a scan reads every vector once for a batch of queries, `2 n d` bytes, so it takes that many bytes over the
bandwidth of the memory until about 100 queries, from where on arithmetic counts. Equal scores are ordered by row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from indexer.asking import (
    NO_ROW,
    IndexUnavailableError,
    Mask,
    Rows,
    Scores,
    check_among,
    checked_queries,
    finite_rows,
    nothing_found,
)
from indexer.index import FaissIndex
from indexer.owner import Owner

Tensor = torch.Tensor

SCRATCH_BYTES: Final = 256 << 20  # working memory of one batch, besides the vectors
MOST_QUERIES: Final = 256  # in one matrix product
GATHERED_SHARE: Final = 0.25  # of the rows: up to here the admitted ones are picked out, else all are read and masked
_RECIPE: Final = "SQfp16"  # FAISS's name for the same: float16 vectors, all looked at
_LOW: Final = 2.0**11  # what a query's second half is scaled by: a float16 has 11 significant bits
_COPIED_ROWS: Final = 65_536  # at a time, to the device
_PER_SCORE: Final = 24  # bytes: both halves' scores, their sum, a mask, and what finding the best takes
_PER_BEST: Final = 96  # bytes of a candidate while lists are merged


@dataclass(frozen=True, slots=True)
class Ask:
    """One search: queries `(nq, d) float32`, how many rows, and among which, `(n,) bool`; None: all."""

    xq: Scores
    k: int
    among: Mask | None


@dataclass(frozen=True, slots=True)
class _Best:
    """The best rows so far of each query, `(nq, at most k)` both, by falling score and then by row."""

    scores: Tensor
    rows: Tensor


class ExactScan:
    """Vectors on a device, and exact search over them. For one thread.

    Args:
        xb: `(n, d)`, float16 or float32, unit length, maybe memory-mapped; kept as float16.
        device: Where they lie: `cpu`, `cuda`, `cuda:1`.
        scratch_bytes: Memory that a search may take besides.

    Raises:
        ValueError: `xb` is not two-dimensional or holds a value that is not finite.
        IndexUnavailableError: the device has too little memory.
    """

    def __init__(self, xb: NDArray[np.floating], device: str, scratch_bytes: int = SCRATCH_BYTES) -> None:
        if xb.ndim != 2:
            msg = f"vectors must be (n, d), not {xb.shape}"
            raise ValueError(msg)
        self._scratch = scratch_bytes
        try:
            self._held = torch.empty(xb.shape, dtype=torch.float16, device=device)  # (n, d)
            for start in range(0, len(xb), _COPIED_ROWS):
                block = finite_rows(xb[start : start + _COPIED_ROWS]).astype(np.float16)
                self._held[start : start + len(block)].copy_(torch.from_numpy(block))
        except torch.OutOfMemoryError as error:
            msg = f"{device} has no room for {xb.shape[0]} vectors of {xb.shape[1]} dimensions"
            raise IndexUnavailableError(msg) from error

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions."""
        return self._held.shape[0], self._held.shape[1]

    def rows(self) -> NDArray[np.float16]:
        """Return the vectors, `(n, d) float16`."""
        held: NDArray[np.float16] = self._held.cpu().numpy()
        return held

    def answer(self, asks: Sequence[Ask]) -> list[tuple[Scores, Rows]]:
        """Return the answers to several searches, each as `SearchIndex.search` returns it.

        Those that admit many rows share one reading of the vectors, whatever their masks are.

        Raises:
            IndexUnavailableError: the device failed, or has too little memory left.
        """
        try:
            with torch.inference_mode():
                return self._answers(asks)
        except RuntimeError as error:  # what torch raises for all that goes wrong on a device
            msg = f"exact search on {self._held.device} failed: {str(error).splitlines()[0]}"
            raise IndexUnavailableError(msg) from error

    def _answers(self, asks: Sequence[Ask]) -> list[tuple[Scores, Rows]]:
        answers: list[tuple[Scores, Rows] | None] = [None] * len(asks)
        together: list[int] = []
        for number, ask in enumerate(asks):
            admitted = None if ask.among is None else np.flatnonzero(ask.among)
            if admitted is not None and len(admitted) <= GATHERED_SHARE * len(self._held):
                answers[number] = self._among_few(ask, admitted)
            else:
                together.append(number)
        for number, answer in zip(together, self._among_many([asks[n] for n in together]), strict=True):
            answers[number] = answer
        return [answer for answer in answers if answer is not None]

    def _among_few(self, ask: Ask, admitted: Rows) -> tuple[Scores, Rows]:
        """Search the admitted rows alone, picked out of the others block by block."""
        ids = torch.from_numpy(admitted).to(self._held.device)
        parts = []
        for start, stop in self._chunks(len(ask.xq), ask.k):
            queries, best = _Halves(ask.xq[start:stop], self._held.device), None
            for at in range(0, len(ids), step := self._block(stop - start, picked=True)):
                some = ids[at : at + step]
                best = _merged(best, queries.scores(self._held.index_select(0, some)), some, ask.k)
            parts.append(_as_arrays(best, stop - start, ask.k))
        return _joined(parts, ask.k)

    def _among_many(self, asks: Sequence[Ask]) -> list[tuple[Scores, Rows]]:
        """Read all vectors once for as many queries as fit in a batch, and mask each query's scores."""
        if not asks:
            return []
        k = max(ask.k for ask in asks)
        owners = np.repeat(np.arange(len(asks)), [len(ask.xq) for ask in asks])
        xq = np.concatenate([ask.xq for ask in asks])
        parts = [self._scan(xq[a:b], owners[a:b], asks, k) for a, b in self._chunks(len(xq), k)]
        scores, rows = _joined(parts, k)
        return [
            (np.ascontiguousarray(scores[mine, : ask.k]), np.ascontiguousarray(rows[mine, : ask.k]))
            for mine, ask in ((owners == number, ask) for number, ask in enumerate(asks))
        ]

    def _scan(self, xq: Scores, owners: NDArray[np.int64], asks: Sequence[Ask], k: int) -> tuple[Scores, Rows]:
        """Return the best of all rows for some queries, each of which may find only what its owner admits."""
        device, n, best = self._held.device, len(self._held), None
        queries = _Halves(xq, device)
        masks = [
            (slice(*np.searchsorted(owners, [owner, owner + 1]).tolist()), among)
            for owner in np.unique(owners).tolist()
            if (among := asks[owner].among) is not None
        ]
        for start in range(0, n, step := self._block(len(xq), picked=False)):
            scores = queries.scores(self._held[start : start + step])
            for mine, among in masks:
                outside = torch.from_numpy(~among[start : start + step]).to(device)
                scores[mine].masked_fill_(outside, -torch.inf)
            rows = torch.arange(start, start + scores.shape[1], device=device)
            best = _merged(best, scores, rows, k)
        return _as_arrays(best, len(xq), k)

    def _chunks(self, nq: int, k: int) -> list[tuple[int, int]]:
        """Return slices of queries that are looked at together: their lists of best rows take half the memory."""
        step = max(1, min(MOST_QUERIES, self._scratch // 2 // (_PER_BEST * min(k, max(1, len(self._held))))))
        return [(start, min(nq, start + step)) for start in range(0, nq, step)]

    def _block(self, nq: int, *, picked: bool) -> int:
        """Return how many rows are looked at together, so that they and their scores take half the memory."""
        copied = 2 * picked + 4 * (not self._held.is_cuda)  # bytes of a value picked out, and as float32 on the CPU
        return max(1, self._scratch // 2 // (_PER_SCORE * max(nq, 1) + copied * self.shape[1]))


class _Halves:
    """Queries on a device in two halves, `xq = scale * (high + low / 2048)`, to be multiplied with float16 vectors."""

    def __init__(self, xq: Scores, device: torch.device) -> None:
        whole = torch.tensor(xq, device=device)
        # A power of two, so nothing is lost: with it no query is too large or too small for float16.
        _, exponent = torch.frexp(whole.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny))
        self._exponent = exponent
        scaled = torch.ldexp(whole, -exponent)
        high = scaled.half()
        low = ((scaled - high.float()) * _LOW).half()
        self._both = torch.cat([high, low])  # (2 nq, d)

    def scores(self, block: Tensor) -> Tensor:
        """Return the inner products with rows `(b, d) float16`, `(nq, b) float32`."""
        high, low = _product(self._both, block.T).chunk(2)
        return torch.ldexp(low.mul_(1 / _LOW).add_(high), self._exponent)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Return the matrix product of two float16 matrices, added up and returned in float32."""
    if a.is_cuda:
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()  # a CPU's own float16 product is slow and rounds


def _merged(best: _Best | None, scores: Tensor, rows: Tensor, k: int) -> _Best:
    """Return the best k of `best` and a block: `scores (nq, b)` of `rows (b,)`, ascending and above those in `best`."""
    found, places = _top(scores, k)
    numbers = rows[places]
    if best is not None:
        found, numbers = torch.cat([best.scores, found], dim=1), torch.cat([best.rows, numbers], dim=1)
    by_row = numbers.argsort(dim=1)
    found, numbers = found.gather(1, by_row), numbers.gather(1, by_row)
    ordered, order = torch.sort(found, dim=1, descending=True, stable=True)
    return _Best(ordered[:, :k], numbers.gather(1, order)[:, :k])


def _top(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k best of each row of `scores (nq, b)` and their places, of equal ones the first, in any order."""
    if k >= scores.shape[1]:
        return scores, torch.arange(scores.shape[1], device=scores.device).expand(scores.shape)
    values, places = scores.topk(k, dim=1)
    last = values[:, -1:]
    # Of several that equal the last, `topk` takes any.
    tied = ((scores >= last).sum(dim=1) > k) & (last[:, 0] > -torch.inf)
    if bool(tied.any()):
        ordered, order = torch.sort(scores[tied], dim=1, descending=True, stable=True)
        values[tied], places[tied] = ordered[:, :k], order[:, :k]
    return values, places


def _as_arrays(best: _Best | None, nq: int, k: int) -> tuple[Scores, Rows]:
    """Return what was found as `SearchIndex.search` returns it."""
    scores, rows = nothing_found(nq, k)
    if best is not None:
        found = best.scores.cpu().numpy()
        scores[:, : found.shape[1]] = found
        rows[:, : found.shape[1]] = np.where(np.isneginf(found), NO_ROW, best.rows.cpu().numpy())
    return scores, rows


def _joined(parts: Sequence[tuple[Scores, Rows]], k: int) -> tuple[Scores, Rows]:
    if not parts:
        return nothing_found(0, k)
    return np.concatenate([scores for scores, _ in parts]), np.concatenate([rows for _, rows in parts])


def free_bytes(device: str) -> int | None:
    """Return the memory of a GPU that this process may take, None where there is no such GPU."""
    if not device.startswith("cuda") or (torch.device(device).index or 0) >= torch.cuda.device_count():
        return None
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, to be used again
    return int(free) + kept


class TorchIndex:
    """A `VectorIndex` that looks at every vector, on a device that one thread owns. Safe to search from many."""

    def __init__(self, scan: ExactScan, most: int = MOST_QUERIES) -> None:
        self._ntotal, self._d = scan.shape
        self._scan = scan
        self._owner: Owner[Ask, tuple[Scores, Rows]] = Owner(scan.answer, most, "exact-index")

    @classmethod
    def build(cls, xb: NDArray[np.floating], device: str = "cpu", scratch_bytes: int = SCRATCH_BYTES) -> Self:
        """Put the rows of `xb`, `(n, d)`, float16 or float32, unit length, on a device; see `ExactScan`."""
        return cls(ExactScan(xb, device, scratch_bytes))

    @property
    def d(self) -> int:
        """Dimensions of a vector."""
        return self._d

    @property
    def ntotal(self) -> int:
        """Rows held."""
        return self._ntotal

    @property
    def recipe(self) -> str:
        """The factory string of the FAISS index that holds and finds the same."""
        return _RECIPE

    @property
    def memory_bytes(self) -> int:
        """Memory the vectors take on the device; a search takes at most `SCRATCH_BYTES` besides."""
        return 2 * self._ntotal * self._d

    @property
    def width_matters(self) -> bool:
        """False: it always looks at everything."""
        return False

    def search(self, xq: Scores, k: int, *, width: int | None = None, among: Mask | None = None) -> tuple[Scores, Rows]:
        """Return the k best rows of each query; see `SearchIndex.search`.

        Raises:
            IndexUnavailableError: the device failed, or has too little memory left.
        """
        xq = checked_queries(xq, self._d, k, width)
        check_among(among, self._ntotal)
        found = min(k, self._ntotal)
        if not len(xq) or not found:
            return nothing_found(len(xq), k)
        scores, rows = self._owner.ask(Ask(xq, found, among))
        if found == k:
            return scores, rows
        padded = nothing_found(len(xq), k)
        padded[0][:, :found], padded[1][:, :found] = scores, rows
        return padded

    def save(self, path: Path) -> None:
        """Write the index to the file `path`, as FAISS's of the same recipe: a bundle knows no device."""
        FaissIndex.build(self._scan.rows(), _RECIPE).save(path)

    def close(self) -> None:
        """End the thread; searches fail from now on."""
        self._owner.close()
