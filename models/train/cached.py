"""Forward and backward of one global batch, in pieces where the memory asks for it.

A contrastive loss compares everything with everything, so a batch cannot be split by adding up gradients.
GradCache (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021) splits
it at the features: chunk by chunk they are computed without a graph; the losses on all of them give the
gradient of every feature; chunk by chunk they are computed again, and that gradient is handed on. The result
is the gradient of the whole batch, for a second forward pass in time and the memory of one chunk.

What remains of a chunk is batch-norm, which knows its chunk only: statistics are those of a chunk, and the
running ones are updated in the second pass alone. Dropout is drawn alike in both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.train.data import Batch
from models.train.distributed import World
from models.train.task import ContrastiveTask, Losses, Reading


def backward(task: ContrastiveTask, batch: Batch, world: World, chunk_size: int | None = None) -> Losses:
    """Add the gradient of `batch` to the parameters of `task` and return its losses, in every process the same.

    Args:
        task: model and losses.
        batch: the global batch, the same in every process.
        world: the processes it is shared among.
        chunk_size: how many rows a process encodes at once; None for all of its rows.
    """
    reading = task.read(batch)
    chunks = _chunks(world, len(batch.texts), chunk_size)
    losses = _whole(task, batch, reading, world) if len(chunks) == 1 else _cached(task, batch, reading, world, chunks)
    world.average_gradients(task.parameters())
    return replace(losses, total=losses.total.detach())


def _chunks(world: World, count: int, size: int | None) -> list[slice]:
    """Return the own rows in even chunks of at most `size`; every process has the same number of them.

    Equal numbers matter: a synchronised batch-norm talks in every chunk.
    """
    own = world.rows(count)
    if size is None:
        return [own]
    number = -(-max(world.sizes(count)) // size)
    inner = World(0, number, world.device)
    parts = (inner.rows(own.stop - own.start, k) for k in range(number))
    return [slice(own.start + part.start, own.start + part.stop) for part in parts]


def _whole(task: ContrastiveTask, batch: Batch, reading: Reading, world: World) -> Losses:
    count = len(batch.texts)
    images, words = task.encode(batch, reading, world.rows(count))
    losses = task.losses(world.gather(images, count), world.gather(words, count), reading)
    losses.total.backward()  # type: ignore[no-untyped-call]  # torch has no hints here
    return losses


def _cached(task: ContrastiveTask, batch: Batch, reading: Reading, world: World, chunks: list[slice]) -> Losses:
    count = len(batch.texts)
    draws, features = [], []
    with torch.no_grad(), _still_statistics(task):
        for chunk in chunks:
            draws.append(_Random.now(world.device))
            features.append(task.encode(batch, reading, chunk))
    images, words = (torch.cat(parts).requires_grad_() for parts in zip(*features, strict=True))
    losses = task.losses(world.gather(images, count), world.gather(words, count), reading)
    losses.total.backward()  # type: ignore[no-untyped-call]  # torch has no hints here
    sizes = [chunk.stop - chunk.start for chunk in chunks]
    for chunk, draw, *cached in zip(chunks, draws, _grads(images, sizes), _grads(words, sizes), strict=True):
        with draw.again():
            torch.autograd.backward(task.encode(batch, reading, chunk), cached)
    return losses


def _grads(features: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
    grad = features.grad
    if grad is None:
        msg = "the losses do not depend on the features"
        raise RuntimeError(msg)
    return torch.split(grad, sizes)


@contextmanager
def _still_statistics(module: nn.Module) -> Iterator[None]:
    """Keep running statistics as they are; in training batch-norm does not read them."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@dataclass(frozen=True, slots=True)
class _Random:
    """torch's random state at one moment."""

    cpu: Tensor
    cuda: Tensor | None
    device: torch.device

    @classmethod
    def now(cls, device: torch.device) -> "_Random":
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None, device)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draw as at that moment, and afterwards go on as if nothing had been drawn."""
        with torch.random.fork_rng(devices=[] if self.cuda is None else [self.device]):
            torch.set_rng_state(self.cpu)
            if self.cuda is not None:
                torch.cuda.set_rng_state(self.cuda, self.device)
            yield
