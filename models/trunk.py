"""Pretrained image trunks, held fixed while all that stands on them is trained.

"Locked-image tuning" (LiT, Zhai et al., CVPR 2022): a small catalogue cannot teach an image network what a large
set of pictures has taught it, and a fixed trunk need look at every picture only once (`models.train.trunks`).
Here is the trunk that `models/train/configs/lite0-128x96` names, and the reading of weights from a file. Opening
the towers around a trunk is left to `models.clip`.
"""

import importlib.resources
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol, cast

import timm
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import register_model
from torch import Tensor, nn

PACKAGE_PREFIX = "package:"

_GRID = (4, 3)
_READ_AFTER = (2, 4, 5)  # stages of EfficientNet-Lite0: 40, 112 and 192 channels
_CHANNELS = (40, 112, 192)


class TrunkError(ValueError):
    """Weights that cannot be read, or that belong to another network."""


class _EfficientNet(Protocol):
    """What is used of timm's `EfficientNet`."""

    conv_stem: Callable[[Tensor], Tensor]
    bn1: Callable[[Tensor], Tensor]
    blocks: Iterable[Callable[[Tensor], Tensor]]
    conv_head: Callable[[Tensor], Tensor]
    bn2: Callable[[Tensor], Tensor]


class GridTrunk(nn.Module):
    """EfficientNet-Lite0 read at three depths on a grid of 4 x 3 cells, beside its pooled last features.

    Pooled features say what is shown; the grid also says where, and the earlier stages how it looks: patterns,
    edges and colours, which tell products of one kind apart. 64 x 48 pixels or more.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.default_cfg: dict[str, object] = {}  # what open_clip asks a timm model for
        self.num_features = 1280 + sum(_CHANNELS) * _GRID[0] * _GRID[1]

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Do nothing: there is no classifier to take off."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `(n, num_features)` of normalised pictures `(n, 3, h, w)`."""
        net = cast("_EfficientNet", self.net)
        x = net.bn1(net.conv_stem(x))
        read = []
        for stage, blocks in enumerate(net.blocks):
            x = blocks(x)
            if stage in _READ_AFTER:
                read.append(F.adaptive_avg_pool2d(x, _GRID).flatten(1))
        last = net.bn2(net.conv_head(x)).mean(dim=(2, 3))
        return F.layer_norm(torch.cat([*read, last], dim=1), (self.num_features,))


@register_model
def catalens_lite0_grid(pretrained: bool = False, **_: object) -> GridTrunk:  # noqa: FBT001, FBT002 - timm's own form
    """Return the trunk; `pretrained` takes timm's weights of `tf_efficientnet_lite0` from the hub."""
    return GridTrunk(timm.create_model("tf_efficientnet_lite0", pretrained=pretrained, num_classes=0, global_pool=""))


def load_trunk(trunk: nn.Module, source: str) -> None:
    """Read weights into `trunk`.

    Tensors are matched by name where the names are the trunk's, otherwise by their order, when each has the shape
    of its place: implementations of one network name its layers differently and list them alike. A classifier at
    the end is left out.

    Args:
        trunk: of a timm image tower, on the CPU.
        source: a `.safetensors` or `.pth` file, or `package:NAME/PATH`, a file that an installed package carries.

    Raises:
        TrunkError: there is no such file, it cannot be read, or it holds another network.
    """
    net = trunk.net if isinstance(trunk, GridTrunk) else trunk
    wanted, found = _without_counters(net.state_dict()), _without_counters(_read(source))
    if wanted.keys() <= found.keys():
        chosen = {name: found[name] for name in wanted}
    else:
        chosen = dict(zip(wanted, found.values(), strict=False))
    for name, tensor in wanted.items():
        if name not in chosen or chosen[name].shape != tensor.shape:
            raise TrunkError(f"the weights of {source} do not fit the image trunk: {name}")
    net.load_state_dict(chosen, strict=False)  # all but the counters


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out how many batches batch-norm has seen: many files do, and nothing in use reads it."""
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def _read(source: str) -> Mapping[str, Tensor]:
    path = _path(source)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError) as error:
        raise TrunkError(f"cannot read the weights {source}: {(str(error) or 'damaged').splitlines()[0]}") from error
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise TrunkError(f"{source} is no table of weights")
    return loaded


def _path(source: str) -> Path:
    if not source.startswith(PACKAGE_PREFIX):
        return Path(source)
    name, _, rest = source.removeprefix(PACKAGE_PREFIX).partition("/")
    try:
        return Path(str(importlib.resources.files(name))) / rest
    except ModuleNotFoundError as error:
        raise TrunkError(f"{source}: install the package {name!r}: pip install 'catalens[train]'") from error
