"""Towers on a GPU in half precision, each shape captured once as a CUDA graph and replayed. Needs torch alone.

A graph runs on the very shapes it was captured with: rows are padded to the next of a few batch sizes, texts to the
next of a few lengths, and batches larger than the largest are read in parts.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise
from threading import Lock
from typing import Final

import torch
from torch import Tensor

from models.causal import CausalTower
from models.clip import Backbone, Tower
from models.runtime.names import RuntimeUnavailableError, TowerKind

_LENGTHS: Final = (16, 32)  # of texts, besides the whole context; most queries have fewer than 16 tokens
_GROWTH: Final = 4  # from one batch size to the next
_REHEARSALS: Final = 3  # runs before a capture, in which libraries choose and set up what they use

Run = Callable[..., Tensor]
Capture = Callable[[Run, Sequence[Tensor]], Run]


def open_cuda_half(backbone: Backbone, kind: TowerKind, max_batch: int) -> Tower:
    """Return a tower of a backbone that lies on a GPU. Safe to call from threads; one call runs at a time.

    Raises:
        RuntimeUnavailableError: the tower cannot be captured.
    """
    model = copy.deepcopy(backbone.model).half()
    causal = CausalTower.of(model) if backbone.causal else None
    sizes, capture = batch_sizes(max_batch), GraphPool(backbone.device).capture
    try:
        with torch.inference_mode():
            if kind is TowerKind.IMAGE:
                return padded_images(backbone, lambda x: model.encode_image(x.half()), sizes, capture)
            if causal is None:
                raise RuntimeUnavailableError("only causal text towers are captured")
            return padded_texts(backbone, lambda x, ends: causal.read(x.half(), ends), sizes, capture)
    except RuntimeError as error:
        raise RuntimeUnavailableError(f"cannot be captured: {str(error).splitlines()[0]}") from error


def batch_sizes(largest: int) -> tuple[int, ...]:
    """Return the batch sizes to capture, ascending: 1, and each up to four times the one before."""
    sizes = [largest]
    while sizes[-1] > 1:
        sizes.append(max(1, sizes[-1] // _GROWTH))
    return tuple(reversed(sizes))


def padded_images(backbone: Backbone, run: Run, sizes: Sequence[int], capture: Capture) -> Tower:
    """Return the tower that reads pixels through `run`, normalised `(n, 3, h, w)` in, captured at each of `sizes`."""
    height, width = backbone.recipe.size
    pixels = torch.zeros((sizes[-1], height, width, 3), dtype=torch.uint8, device=backbone.device)
    captured = {size: capture(run, [backbone.recipe.normalise(pixels[:size])]) for size in reversed(sizes)}

    def read(pixels: Tensor) -> Tensor:
        size = _next(sizes, len(pixels))
        return captured[size](_padded(backbone.recipe.normalise(pixels), size))[: len(pixels)].float()

    return lambda pixels: torch.cat([read(part) for part in torch.split(pixels, sizes[-1])])


def padded_texts(backbone: Backbone, run: Run, sizes: Sequence[int], capture: Capture) -> Tower:
    """Return the tower that reads texts through `run`, a causal tower's `read`, captured at each size and length."""
    tower = backbone.causal_tower
    if tower is None:
        raise RuntimeUnavailableError("only causal text towers are captured")
    longest = backbone.tokenize([""]).shape[1]
    lengths = [*(length for length in _LENGTHS if length < longest), longest]
    example = torch.zeros((sizes[-1], longest), dtype=torch.int64, device=backbone.device)
    example[:, -1] = 1  # the end
    embedded, ends = tower.embedded(example)
    captured = {
        (size, length): capture(run, [embedded[:size, :length].contiguous(), ends[:size].clamp(max=length - 1)])
        for size in reversed(sizes)
        for length in reversed(lengths)
    }

    def read_part(embedded: Tensor, ends: Tensor) -> Tensor:
        n, length, _ = embedded.shape
        shape = size, space = _next(sizes, n), _next(lengths, length)
        texts = torch.nn.functional.pad(embedded, (0, 0, 0, space - length))
        return captured[shape](_padded(texts, size), _padded(ends, size))[:n].float()

    def read(embedded: Tensor, ends: Tensor) -> Tensor:
        starts = range(0, len(ends) + sizes[-1], sizes[-1])
        return torch.cat([read_part(embedded[a:b], ends[a:b]) for a, b in pairwise(starts)])

    return lambda tokens: tower.features(tokens, read)


def _next(sizes: Sequence[int], count: int) -> int:
    return next(size for size in sizes if size >= count)


def _padded(rows: Tensor, size: int) -> Tensor:
    """Return `size` rows, zeros behind those given."""
    return torch.cat([rows, rows.new_zeros((size - len(rows), *rows.shape[1:]))])


class GraphPool:
    """Runs captured as CUDA graphs that share their memory: one replays at a time, and its result is copied."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._replaying = Lock()

    def capture(self, run: Run, example: Sequence[Tensor]) -> Run:
        """Return `run` captured for inputs of the shapes of `example`."""
        inputs = [tensor.clone() for tensor in example]
        now, aside = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch has no hints here
        aside.wait_stream(now)
        with torch.cuda.stream(aside):
            for _ in range(_REHEARSALS):
                run(*inputs)
        now.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            output = run(*inputs)

        def replay(*given: Tensor) -> Tensor:
            with self._replaying:
                for held, new in zip(inputs, given, strict=True):
                    held.copy_(new)
                graph.replay()
                result = output.clone()
                torch.cuda.current_stream(self._device).synchronize()  # another thread fills the inputs next
            return result

        return replay
