"""The detector's network: one square picture to a score and a box for each cell of a grid.

Anchor-free, one stride, no classes: FCOS (Tian et al., ICCV 2019) with the single score of generalised focal loss
(Li et al., NeurIPS 2020), which predicts how well the box will fit. Products of a photo are of similar size, so one
grid is enough; its cells see the whole picture by way of the coarser maps. What is learnt and how is left to
`detector_losses` and `detector_training`, pictures and their answers to `detecting`.
"""

from collections.abc import Sequence
from typing import Annotated, Final, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDE: Final = 8
"""Pixels from one cell of the grid to the next."""
_COARSEST: Final = 32
_RARE: Final = -4.0  # the first score of every cell: few hold a product's middle
_USUAL: Final = 1.5  # the first distance, as below, about 4.5 strides: of a product in a photo of several
_FARTHEST: Final = 4.0  # natural logarithm of a side's distance in strides: beyond any picture


_Width = Annotated[int, Field(ge=4)]
_Widths = tuple[_Width, _Width, _Width, _Width, _Width]


class DetectorDesign(BaseModel):
    """The architecture.

    Attributes:
        side: of the square that pictures are fitted into, in pixels, a multiple of 32.
        widths: channels at strides 2, 4, 8, 16 and 32.
        neck: channels of the map that scores and boxes are read from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: Annotated[int, Field(ge=64, le=1024)] = 256
    widths: _Widths = (16, 32, 48, 96, 160)
    neck: Annotated[int, Field(ge=8)] = 48

    @model_validator(mode="after")
    def _side_divides(self) -> Self:
        if self.side % _COARSEST:
            msg = f"side must be a multiple of {_COARSEST}, not {self.side}"
            raise ValueError(msg)
        return self


class _Convolution(nn.Module):
    """A 3x3 (or 1x1) convolution, batch-norm and, unless it ends a branch, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, size: int = 3, active: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.norm: nn.BatchNorm2d | None = nn.BatchNorm2d(outputs)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        if self.norm is not None:
            x = self.norm(x)
        return F.relu(x, inplace=True) if self.active else x

    def fold(self) -> None:
        """Multiply the batch-norm, as it stands, into the convolution."""
        if self.norm is not None:
            self.convolution = fuse_conv_bn_eval(self.convolution, self.norm)
            self.norm = None


class _Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al., CVPR 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(_Convolution(width, width), _Convolution(width, width, active=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.branch(x))


class _Context(nn.Module):
    """Adds to every cell what the whole map says, so that one large product is known as one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mix(x.mean(dim=(2, 3)))
        return F.relu(x + mixed[:, :, None, None])


class DetectorNet(nn.Module):
    """Pixels to scores and boxes."""

    def __init__(self, design: DetectorDesign) -> None:
        super().__init__()
        self.design = design
        two, four, eight, sixteen, coarsest = design.widths
        neck = design.neck
        self.stem = nn.Sequential(_Convolution(3, two, stride=2), _Convolution(two, four, stride=2))
        self.at8 = nn.Sequential(_Convolution(four, eight, stride=2), _Residual(eight))
        self.at16 = nn.Sequential(_Convolution(eight, sixteen, stride=2), _Residual(sixteen))
        self.at32 = nn.Sequential(
            _Convolution(sixteen, coarsest, stride=2), _Residual(coarsest), _Context(coarsest)
        )  # fmt: skip
        self.sides = nn.ModuleList([_Convolution(width, neck, size=1) for width in (eight, sixteen, coarsest)])
        self.smooth = _Convolution(neck, neck)
        self.head = nn.Sequential(_Convolution(neck, neck), _Convolution(neck, neck))
        self.answer = nn.Conv2d(neck, 5, 3, padding=1)
        nn.init.normal_(self.answer.weight, std=0.01)
        self.answer.bias = nn.Parameter(torch.tensor([_RARE, *[_USUAL] * 4]))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores, `(n, cells)` logits, and boxes, `(n, cells, 4)` pixels, of `pixels (n, 3, side, side)`.

        Pixels are float32 around 0: 0..255 less 127.5, divided by 64. Cells are in rows from the top left.
        """
        at8 = self.at8(self.stem(pixels))
        at16 = self.at16(at8)
        fine, middle, coarse = (side(x) for side, x in zip(self.sides, (at8, at16, self.at32(at16)), strict=True))
        middle = self.smooth(middle + F.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        answer = self.answer(self.head(fine + F.interpolate(middle, scale_factor=2.0, mode="nearest")))
        told = answer.flatten(2).transpose(1, 2).float()  # (n, cells, 5)
        reach = told[..., 1:].clamp(max=_FARTHEST).exp() * STRIDE
        at = middles(self.design.side, told.device)
        return told[..., 0], torch.cat([at - reach[..., :2], at + reach[..., 2:]], dim=2)

    def folded(self) -> "DetectorNet":
        """Return a copy for answering, its batch-norms multiplied into the convolutions before them."""
        other = DetectorNet(self.design)
        other.load_state_dict(self.state_dict())
        for module in other.eval().modules():
            if isinstance(module, _Convolution):
                module.fold()
        return other.requires_grad_(requires_grad=False)


def placed(net: DetectorNet, device: torch.device) -> DetectorNet:
    """Move `net` to `device`, its weights laid out as `as_input` lays out pixels: the fastest on a CPU."""
    moved: DetectorNet = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's hints
    return moved


def middles(side: int, device: torch.device | None = None) -> Tensor:
    """Return the middles of all cells, `(cells, 2)` pixels across and down, of a picture of `side` pixels."""
    along = (torch.arange(side // STRIDE, device=device, dtype=torch.float32) + 0.5) * STRIDE
    down, across = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([across, down], dim=2).flatten(0, 1)


def as_input(squares: Tensor | Sequence[Tensor]) -> Tensor:
    """Return what the network reads, channels last in memory, of `(n, side, side, 3) uint8`."""
    stacked = squares if isinstance(squares, Tensor) else torch.stack(list(squares))
    return stacked.permute(0, 3, 1, 2).to(torch.float32).sub_(127.5).div_(64)
