"""What every encoder on torch needs around its model: a device, blocks of bounded size, checked arguments."""

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from models.encoder import Entities

IMAGES_AT_ONCE = 64
TEXTS_AT_ONCE = 128


class DeviceError(ValueError):
    """A device that is not there."""


def resolve_device(device: str) -> torch.device:
    """Return the device of a name; `auto` is CUDA where there is one, else the CPU.

    Raises:
        DeviceError: there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"no device {device!r}: {str(error).splitlines()[0]}") from error
    return torch.device(device)


def blocks(count: int, size: int) -> Iterator[slice]:
    """Yield the slices of at most `size` that make up `count` rows."""
    for start in range(0, count, size):
        yield slice(start, start + size)


def check_lengths(texts: Sequence[str], entities: Sequence[Entities] | None) -> Sequence[Entities]:
    """Return the entities of each text, empty ones where none are given.

    Raises:
        ValueError: the two differ in length.
    """
    if entities is None:
        return [{}] * len(texts)
    if len(entities) != len(texts):
        msg = f"{len(texts)} texts with {len(entities)} sets of entities"
        raise ValueError(msg)
    return entities


def weights_digest(module: nn.Module, head: str = "") -> str:
    """Return the digest of `head` and of every weight and buffer of `module`, 64 hex digits."""
    digest = hashlib.sha256(head.encode())
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(f"{key}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
