"""What tokens and pixels become on their way into an exported tower, which reads and returns NumPy arrays."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.clip import Backbone, Tower
from models.encoder import Vectors
from models.runtime.names import TowerKind
from models.runtime.onnx_export import EMBEDDED, ENDS, PIXELS, TOKENS

Inputs = Mapping[str, NDArray[np.generic]]
Run = Callable[[Inputs], Vectors]


def tower_of(run: Run, backbone: Backbone, kind: TowerKind) -> Tower:
    """Return the tower whose exported part is run by `run`, input names to arrays in, features `(n, d)` out."""
    if kind is TowerKind.IMAGE:
        return lambda pixels: torch.from_numpy(run({PIXELS: pixels.contiguous().numpy()}))
    causal = backbone.causal_tower
    if causal is None:
        return lambda tokens: torch.from_numpy(run({TOKENS: tokens.contiguous().numpy()}))

    def read(embedded: Tensor, ends: Tensor) -> Tensor:
        return torch.from_numpy(run({EMBEDDED: embedded.contiguous().numpy(), ENDS: ends.contiguous().numpy()}))

    return lambda tokens: causal.features(tokens, read)
