"""Stored float16 vectors to float32, several times faster than numpy does it."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

_AT_ONCE: Final = 32_768  # values: as many as torch converts without waking other threads


def widened(half: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return `half` as float32, exactly, in the calling thread alone."""
    wide = np.empty(half.shape, np.float32)
    flat = np.ascontiguousarray(half).reshape(-1)
    source = torch.from_numpy(flat if flat.flags.writeable else flat.copy())  # torch takes no read-only memory
    target = torch.from_numpy(wide.reshape(-1))
    for start in range(0, len(source), _AT_ONCE):
        target[start : start + _AT_ONCE].copy_(source[start : start + _AT_ONCE])
    return wide
