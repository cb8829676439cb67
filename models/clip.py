"""open_clip models: a hub name, a hub id, or a folder with its own config.

The only module that uses open_clip. It opens a backbone, prepares pictures and tokens for it and runs its
two towers; long texts are cut by `models.causal`, entities added by `models.eiclip`, and folders with a card
read by `models.checkpoint`.
"""

import copy
import json
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Protocol, Self, cast

import httpx
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from pydantic import JsonValue
from safetensors import SafetensorError
from torch import Tensor, nn

from models.causal import CausalTower
from models.encoder import Vectors
from models.encoding import IMAGES_AT_ONCE, blocks, weights_digest
from models.importing import open_clip
from models.recipe import PixelRecipe, Pixels
from models.trunk import TrunkError, load_trunk  # behind `importing`: timm, too, needs what it does

CONFIG_FILE = "open_clip_config.json"
HUB_PREFIX = "hf-hub:"

Tokenize = Callable[[list[str]], Tensor]
Tower = Callable[[Tensor], Tensor]

_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth")


class BackboneError(ValueError):
    """A source that names no readable open_clip model."""


@dataclass(frozen=True, slots=True)
class Towers:
    """What reads tokens and pixels for an encoder: a backbone itself, or what `models.runtime` runs in its place.

    Attributes:
        text: `(n, context) int64` on the model's device to `(n, d) float32`, not normalised.
        image: `(n, h, w, 3) uint8` on the model's device to `(n, d) float32`, not normalised.
        found: what is known of how they run and why, as plain values; nothing for the backbone itself.
    """

    text: Tower
    image: Tower
    found: Mapping[str, object] = field(default_factory=dict)


class TowerReader:
    """What reads words and images through towers that may be exchanged for others of the same model."""

    _towers: Towers

    @property
    def towers(self) -> Towers:
        """What reads its words and images."""
        return self._towers

    def with_towers(self, towers: Towers) -> Self:
        """Return the same, its words and images read by `towers`."""
        other = copy.copy(self)
        other._towers = towers  # noqa: SLF001 - a copy of its own
        return other


MOST_ELONGATED = 16

_ONE_AT_A_TIME = Lock()


def resizing(recipe: PixelRecipe) -> Callable[[Image.Image], Image.Image]:
    """Return open_clip's own resizing and cropping of a recipe, without the conversion to numbers."""
    whole = open_clip.transform.image_transform(
        image_size=recipe.size,
        is_train=False,
        mean=recipe.mean,
        std=recipe.std,
        resize_mode=recipe.resize_mode,
        interpolation=recipe.interpolation,
        fill_color=recipe.fill_color,
    )
    steps = whole.transforms[:-2]  # the last two are ToTensor and Normalize

    def run(image: Image.Image) -> Image.Image:
        for step in steps:
            image = step(image)
        return image

    return run


class _Visual(Protocol):
    preprocess_cfg: Mapping[str, object]
    head: Callable[[Tensor], Tensor]  # of timm's towers


class _OpenClip(Protocol):
    """What is used of open_clip's models."""

    visual: _Visual
    logit_scale: nn.Parameter

    def encode_image(self, image: Tensor) -> Tensor: ...
    def encode_text(self, text: Tensor) -> Tensor: ...


def _tamed(image: Image.Image) -> Image.Image:
    """Return `image`, of one longer than MOST_ELONGATED times its width only the middle, so that resizing stays cheap.

    A picture of 1 x 65,535 pixels would otherwise grow to gigabytes when its shorter side is brought to size.
    """
    width, height = image.size
    most = MOST_ELONGATED * min(width, height)
    if max(width, height) <= most:
        return image
    left, top = max(0, (width - most) // 2), max(0, (height - most) // 2)
    return image.crop((left, top, left + min(width, most), top + min(height, most)))


class Backbone(nn.Module):
    """An open_clip model with its pixel recipe and tokenizer.

    Attributes:
        model: the open_clip module; its parameters are the backbone's.
        recipe: what its image tower reads.
        config: its open_clip model config, enough to build it again without weights.
        source: where it came from.
    """

    def __init__(self, model: nn.Module, tokenize: Tokenize, config: dict[str, JsonValue], source: str) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's hints
        self.recipe = PixelRecipe.of(cast("_OpenClip", model).visual.preprocess_cfg)
        self.config = config
        self.source = source
        self._tokenize = tokenize
        self._resize = resizing(self.recipe)
        self._held = False
        own = isinstance(model, open_clip.CLIP | open_clip.CustomTextCLIP)
        self._tower = CausalTower.of(model) if own else None

    @property
    def dim(self) -> int:
        """Dimensions of the shared space."""
        return int(cast("int", self.config["embed_dim"]))

    @property
    def causal(self) -> bool:
        """Whether texts are read by a causal tower up to their end token, which is the highest."""
        return self._tower is not None

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.logit_scale.device

    @property
    def logit_scale(self) -> nn.Parameter:
        """The logarithm of the inverse temperature, a scalar."""
        return cast("_OpenClip", self.model).logit_scale

    def prepare_images(self, images: Sequence[Image.Image]) -> Pixels:
        """Return `(n, h, w, 3) uint8`: each image resized and cropped as the recipe says."""
        rows = [np.asarray(self._resize(_tamed(image.convert("RGB"))), dtype=np.uint8) for image in images]
        return np.stack(rows) if rows else np.empty((0, *self.recipe.size, 3), dtype=np.uint8)

    def hold_trunk(self, weights: str | None = None) -> None:
        """Keep the image trunk as it is: no gradients, and batch-norm as in use; `weights` are read into it first.

        Raises:
            BackboneError: the image tower is no timm model, or the weights cannot be read into it.
        """
        try:
            if weights is not None:
                load_trunk(self._trunk, weights)
        except TrunkError as error:
            raise BackboneError(str(error)) from error
        self._trunk.requires_grad_(requires_grad=False)
        self._held = True
        self.train(self.training)

    @property
    def _trunk(self) -> nn.Module:
        trunk = getattr(cast("_OpenClip", self.model).visual, "trunk", None)
        if not isinstance(trunk, nn.Module):
            raise BackboneError(f"{self.source} has no image trunk to hold: its image tower is no timm model")
        return trunk

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's own form
        """Set training or evaluation mode; a trunk that is held stays in evaluation mode."""
        super().train(mode)
        if self._held:
            self._trunk.eval()
        return self

    def trunk_digest(self) -> str:
        """Return the digest of the trunk's weights, 64 hex digits."""
        return weights_digest(self._trunk)

    def trunk_features(self, pixels: Tensor) -> Tensor:
        """Return what the image trunk makes of `(n, h, w, 3) uint8` on the model's device, `(n, f) float32`."""
        features: Tensor = self._trunk(self.recipe.normalise(pixels))
        return features

    def image_features(self, pixels: Tensor, zooms: Tensor | None = None) -> Tensor:
        """Return `(n, d) float32`, not normalised, of `(n, h, w, 3) uint8` on the model's device.

        Args:
            pixels: prepared by `prepare_images`; or `(n, f)`, what the trunk has made of them already.
            zooms: `(n, 2, 3) float32` affine maps from output to input coordinates in -1..1, for augmentation.
        """
        if pixels.ndim == 2:
            return cast("_OpenClip", self.model).visual.head(pixels.float())
        x = self.recipe.normalise(pixels)
        if zooms is not None:
            with torch.autocast(x.device.type, enabled=False):  # coordinates in low precision miss by half a pixel
                grid = F.affine_grid(zooms, list(x.shape), align_corners=False)
                x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        return cast("_OpenClip", self.model).encode_image(x)

    @property
    def towers(self) -> Towers:
        """Its two towers, as torch runs them."""
        return Towers(self.text_features, self.image_features)

    def unit_images(self, images: Sequence[Image.Image], tower: Tower | None = None) -> Vectors:
        """Return `(n, d) float32`, rows unit-length, of RGB images of any size, read by `tower` in place of its own."""
        return self.unit_pixels(self.prepare_images(images), tower)

    def unit_pixels(self, pixels: Pixels | Vectors | NDArray[np.float16], tower: Tower | None = None) -> Vectors:
        """Return `(n, d) float32`, rows unit-length, of what `image_features` takes."""
        read = tower or self.image_features
        parts = [np.empty((0, self.dim), dtype=np.float32)]
        with torch.inference_mode():
            for block in blocks(len(pixels), IMAGES_AT_ONCE):
                on_device = torch.from_numpy(np.array(pixels[block])).to(self.device)
                parts.append(F.normalize(read(on_device), dim=-1).cpu().numpy())
        return np.concatenate(parts)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return `(n, context) int64`."""
        return self._tokenize(list(texts))

    def remember_texts(self, count: int) -> None:
        """Keep the tokens of the last `count` texts: training reads the same ones in every epoch."""
        tokenize = self._tokenize
        row = lru_cache(maxsize=count)(lambda text: tokenize([text])[0].to(torch.int32))
        self._tokenize = lambda texts: torch.stack([row(text) for text in texts]).to(torch.int64)

    @property
    def causal_tower(self) -> CausalTower | None:
        """The text tower cut to the texts it reads, None where cutting is not exact."""
        return self._tower

    def text_features(self, tokens: Tensor) -> Tensor:
        """Return `(n, d) float32`, not normalised, of `(n, context) int64` on the model's device.

        A causal tower reads nothing behind the token it is pooled at, so texts are cut to the longest of those
        they are read with: the same result at a fraction of the cost for short queries.
        """
        if self._tower is None:
            return cast("_OpenClip", self.model).encode_text(tokens)
        return self._tower(tokens)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's remarks on the root logger, and the handler they would install, out of the program.

    Logging is the whole process's: two threads at once would each put back what the other had changed.
    """
    with _ONE_AT_A_TIME:
        root = logging.getLogger()
        before, level = list(root.handlers), logging.root.manager.disable
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(level)
            root.handlers[:] = before


def open_backbone(source: str, *, weights: bool = True) -> Backbone:
    """Open an open_clip model on the CPU, in float32 and evaluation mode.

    Args:
        source: `ARCH` (random weights), `ARCH/tag`, `ARCH/file.pt` or `.safetensors`, `hf-hub:org/name`, or a
            folder that holds `open_clip_config.json` and, unless it is to start at random, weights.
        weights: False leaves the weights random where they would otherwise be read.

    Raises:
        BackboneError: nothing readable is there.
    """
    name, pretrained, load = _parse(source, weights=weights)
    try:
        with _quiet():
            model = open_clip.create_model(
                name, pretrained=pretrained, load_weights=load, pretrained_text=weights, require_pretrained=load
            )
            config = open_clip.get_model_config(name)
            tokenizer = open_clip.get_tokenizer(name)
    except _UNREADABLE as error:
        raise BackboneError(f"cannot open the model {source!r}: {_first_line(error)}") from error
    return Backbone(model.eval(), tokenizer, config, source)


# open_clip and the hub client raise these for a missing tag, file, network, or for weights that do not fit.
_UNREADABLE = (
    RuntimeError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AssertionError,
    ImportError,
    pickle.UnpicklingError,
    EOFError,
    SafetensorError,
    httpx.HTTPError,
)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _parse(source: str, *, weights: bool) -> tuple[str, str | None, bool]:
    """Return open_clip's model name, its `pretrained` argument, and whether weights are to be read."""
    if source.startswith(HUB_PREFIX):
        return source, None, weights
    if Path(source).is_dir():
        if not (Path(source) / CONFIG_FILE).is_file():
            raise BackboneError(f"{source} holds no {CONFIG_FILE}")
        stored = any(path.suffix in _WEIGHT_SUFFIXES for path in Path(source).iterdir())
        return f"local-dir:{source}", None, weights and stored
    name, _, pretrained = source.partition("/")
    if name not in open_clip.list_models():
        raise BackboneError(f"{source!r} is neither a folder nor an open_clip model")
    return name, pretrained or None, weights and bool(pretrained)


def save_backbone(backbone: Backbone, folder: Path) -> None:
    """Write what rebuilds `backbone` without its weights into `folder`: its config and, if any, tokenizer files."""
    recipe = backbone.recipe.model_dump(mode="json")
    text = json.dumps({"model_cfg": backbone.config, "preprocess_cfg": recipe}, indent=2, sort_keys=True)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
