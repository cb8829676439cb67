"""One run in several processes, as `torchrun` starts them: who encodes which rows, and how gradients meet again.

Every process draws the same global batch and encodes only its own rows. The features are gathered, the losses
computed on the whole batch by every process alike, and the gradients averaged once after the last backward
pass, so the sum is the gradient one process would have had of the same batch. There is no
DistributedDataParallel: a cached loss (`models.train.cached`) runs backward several times per step, and its
hooks would reduce in each.

Without torchrun's environment there is one process, and every function here is the identity.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.encoding import resolve_device

T = TypeVar("T")

_BUCKET = 1 << 24  # numbers that are averaged in one message
_PATIENCE = timedelta(hours=4)  # others wait while the first prepares pictures and validates


def is_main() -> bool:
    """Tell whether this process speaks for the run: the first of torchrun's, or the only one."""
    return int(os.environ.get("RANK", "0")) == 0


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a run.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
        device: where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this process writes, validates and reports."""
        return self.rank == 0

    def rows(self, count: int, rank: int | None = None) -> slice:
        """Return the rows of `count` that a process encodes (this one if None); sizes differ by one at most."""
        rank = self.rank if rank is None else rank
        return slice(rank * count // self.size, (rank + 1) * count // self.size)

    def sizes(self, count: int) -> list[int]:
        """Return how many of `count` rows each process encodes."""
        parts = [self.rows(count, rank) for rank in range(self.size)]
        return [part.stop - part.start for part in parts]

    def gather(self, own: Tensor, count: int) -> Tensor:
        """Return the rows `(count, d)` of all processes, of which `own` `(n, d)` are this one's.

        Backward hands on the gradient of the own rows times the number of processes: each process holds the
        whole gradient with respect to every row, and `average_gradients` divides by that number again.
        """
        if self.size == 1:
            return own
        return cast("Tensor", _Gather.apply(own, self.sizes(count), self.rank))  # type: ignore[no-untyped-call]

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes."""
        if self.size == 1:
            return
        bucket: list[Tensor] = []
        for parameter in parameters:
            if parameter.grad is not None:
                bucket.append(parameter.grad)
            if sum(grad.numel() for grad in bucket) >= _BUCKET:
                self._average(bucket)
                bucket = []
        self._average(bucket)

    def _average(self, tensors: list[Tensor]) -> None:
        if not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat.div_(self.size)
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Replace weights or buffers by those of the first process."""
        if self.size == 1:
            return
        for tensor in tensors:
            whole = tensor.detach().contiguous()
            dist.broadcast(whole, 0)
            tensor.detach().copy_(whole)

    def share(self, value: T | None) -> T:
        """Return the first process's `value`, whatever the others gave."""
        held: list[object] = [value]
        if self.size > 1:
            dist.broadcast_object_list(held, 0, device=self.device)
        return cast("T", held[0])

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.size > 1:
            dist.barrier()

    def synchronised(self, model: nn.Module) -> nn.Module:
        """Let batch-norm read the global batch where that is possible, on CUDA; elsewhere each process its own rows.

        What is stored are the first process's running statistics.
        """
        if self.size == 1 or self.device.type != "cuda":
            return model
        from timm.layers.norm_act import convert_sync_batchnorm  # noqa: PLC0415 - open_clip's; only where it is used

        return cast("nn.Module", convert_sync_batchnorm(model))  # type: ignore[no-untyped-call]


class _Gather(torch.autograd.Function):
    """all_gather of row blocks of unequal height, with a gradient."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, own: Tensor, sizes: list[int], rank: int) -> Tensor:
        start = sum(sizes[:rank])
        ctx.part, ctx.world = slice(start, start + sizes[rank]), len(sizes)  # type: ignore[attr-defined]
        padded = own.new_zeros(max(sizes), *own.shape[1:])
        padded[: len(own)] = own
        received = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(received, padded)
        return torch.cat([rows[:size] for rows, size in zip(received, sizes, strict=True)])

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0][ctx.part] * ctx.world, None, None  # type: ignore[attr-defined]


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the processes torchrun started, on `device` (`cuda` and `auto` mean the GPU of the local rank).

    Raises:
        DeviceError: there is no such device.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, resolve_device(device))
        return
    own = resolve_device(device)
    if own.type == "cuda":
        own = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=_PATIENCE)
    yield World(dist.get_rank(), size, own)
    dist.destroy_process_group()  # after a failure left to torchrun, which ends them all: peers may never answer
