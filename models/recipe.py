"""How a picture becomes the numbers a backbone reads: the one preprocessing of training and serving.

Decoding comes before it, in `models.picture`; resizing is open_clip's own, in `models.clip`.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

Pixels = NDArray[np.uint8]


class PixelRecipe(BaseModel):
    """The settings of the preprocessing, as cards and open_clip's configs state them.

    Attributes:
        size: (height, width) in pixels.
        mean: per channel, of values in 0..1.
        std: per channel, of values in 0..1.
        interpolation: of the resize.
        resize_mode: `shortest` side to size and centre crop, `longest` side and pad, or `squash`.
        fill_color: of the padding, 0..255.
    """

    model_config = ConfigDict(frozen=True)

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear", "random"] = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"
    fill_color: int = 0

    @classmethod
    def of(cls, config: Mapping[str, object]) -> "PixelRecipe":
        """Return the recipe of an open_clip preprocessing config, whose size may be a single number."""
        size = config["size"]
        pair = (size, size) if isinstance(size, int) else size
        return cls.model_validate({**config, "size": pair})

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return `(n, 3, h, w) float32`, channels last in memory, of `(n, h, w, 3) uint8`."""
        x = pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)
        mean = torch.tensor(self.mean, device=x.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=x.device).view(1, 3, 1, 1)
        return x.sub_(mean).div_(std)
