"""Plain open_clip models behind the Encoder protocol: a hub name, a hub id, or a folder with its own config.

The only module that imports open_clip. It opens a backbone, prepares pixels and tokens for it, and runs its
two towers; entities are added by `models.eiclip`, folders with a card are read by `models.checkpoint`.
"""

import hashlib
import json
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol, cast

import httpx
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, JsonValue
from safetensors import SafetensorError
from torch import Tensor, nn

from models.encoder import WORDS_TERM, Entities, TextTerms, Vectors
from models.product import DEFAULT_TEXT_FIELDS

CONFIG_FILE = "open_clip_config.json"
HUB_PREFIX = "hf-hub:"

Pixels = NDArray[np.uint8]
Tokenize = Callable[[list[str]], Tensor]

_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth")
_IMAGES_AT_ONCE = 64
_TEXTS_AT_ONCE = 128


class BackboneError(ValueError):
    """A source that names no readable open_clip model."""


_SCHEMAS: list[object] = []  # keeps the schemas below registered


def _declare_detection_operators() -> None:
    """Declare torchvision's two compiled operators that open_clip imports but never calls.

    Where torch and torchvision come from builds that do not match, importing torchvision stops at a missing
    operator; with its schema declared the pure Python parts, which are all that open_clip uses, work.
    """
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # torch has no hints here
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]  # nor here
    _SCHEMAS.append(library)


def _import_open_clip() -> ModuleType:
    try:
        import open_clip  # noqa: PLC0415 - may need the operators declared first
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        _declare_detection_operators()
        import open_clip  # noqa: PLC0415 - the second and last attempt
    return cast("ModuleType", open_clip)


open_clip = _import_open_clip()


class PixelRecipe(BaseModel):
    """How a picture becomes the numbers a backbone reads: the one preprocessing of training and serving.

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

    def geometry(self) -> Callable[[Image.Image], Image.Image]:
        """Return open_clip's own resizing and cropping, without the conversion to numbers."""
        whole = open_clip.transform.image_transform(
            image_size=self.size,
            is_train=False,
            mean=self.mean,
            std=self.std,
            resize_mode=self.resize_mode,
            interpolation=self.interpolation,
            fill_color=self.fill_color,
        )
        steps = whole.transforms[:-2]  # the last two are ToTensor and Normalize

        def run(image: Image.Image) -> Image.Image:
            for step in steps:
                image = step(image)
            return image

        return run

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return `(n, 3, h, w) float32`, channels last in memory, of `(n, h, w, 3) uint8`."""
        x = pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)
        mean = torch.tensor(self.mean, device=x.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=x.device).view(1, 3, 1, 1)
        return x.sub_(mean).div_(std)


class _Visual(Protocol):
    preprocess_cfg: Mapping[str, object]


class _OpenClip(Protocol):
    """What is used of open_clip's models."""

    visual: _Visual
    logit_scale: nn.Parameter

    def encode_image(self, image: Tensor) -> Tensor: ...
    def encode_text(self, text: Tensor) -> Tensor: ...


class _TextTower(Protocol):
    """What is used of open_clip's own text transformer."""

    token_embedding: nn.Embedding
    positional_embedding: Tensor
    attn_mask: Tensor
    transformer: Callable[..., Tensor]
    ln_final: Callable[[Tensor], Tensor]
    text_projection: Tensor | Callable[[Tensor], Tensor] | None


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
        self._geometry = self.recipe.geometry()
        self._tower = _causal_tower(model)

    @property
    def dim(self) -> int:
        """Dimensions of the shared space."""
        return int(cast("int", self.config["embed_dim"]))

    @property
    def logit_scale(self) -> nn.Parameter:
        """The logarithm of the inverse temperature, a scalar."""
        return cast("_OpenClip", self.model).logit_scale

    def prepare_images(self, images: Sequence[Image.Image]) -> Pixels:
        """Return `(n, h, w, 3) uint8`: each image resized and cropped as the recipe says."""
        rows = [np.asarray(self._geometry(image.convert("RGB")), dtype=np.uint8) for image in images]
        return np.stack(rows) if rows else np.empty((0, *self.recipe.size, 3), dtype=np.uint8)

    def image_features(self, pixels: Tensor, zooms: Tensor | None = None) -> Tensor:
        """Return `(n, d) float32`, not normalised, of `(n, h, w, 3) uint8` on the model's device.

        Args:
            pixels: prepared by `prepare_images`.
            zooms: `(n, 2, 3) float32` affine maps from output to input coordinates in -1..1, for augmentation.
        """
        x = self.recipe.normalise(pixels)
        if zooms is not None:
            grid = F.affine_grid(zooms, list(x.shape), align_corners=False)
            x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        return cast("_OpenClip", self.model).encode_image(x)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return `(n, context) int64`."""
        return self._tokenize(list(texts))

    def text_features(self, tokens: Tensor) -> Tensor:
        """Return `(n, d) float32`, not normalised, of `(n, context) int64` on the model's device.

        A causal tower reads nothing behind the token it is pooled at, so the texts of a batch are cut to the
        longest of them: the same result at a fraction of the cost for short queries.
        """
        if self._tower is None:
            return cast("_OpenClip", self.model).encode_text(tokens)
        return self._tower(tokens)


class _CausalTower:
    """open_clip's text tower on the used part of its context. Holds no parameters of its own."""

    def __init__(self, tower: _TextTower) -> None:
        self._tower = tower

    def __call__(self, tokens: Tensor) -> Tensor:
        t = self._tower
        ends = tokens.argmax(dim=-1)  # the end-of-text token is the highest
        length = int(ends.max()) + 1
        x = t.token_embedding(tokens[:, :length]) + t.positional_embedding[:length]  # (n, l, width)
        x = t.transformer(x, attn_mask=t.attn_mask[:length, :length])
        x = t.ln_final(x[torch.arange(len(x), device=x.device), ends])  # (n, width)
        if t.text_projection is None:
            return x
        if isinstance(t.text_projection, Tensor):
            return x @ t.text_projection
        return t.text_projection(x)


def _causal_tower(model: nn.Module) -> _CausalTower | None:
    """Return the shortened form of the text tower where it is exact, else None."""
    tower = getattr(model, "text", model)
    pool = getattr(tower, "pool_type", getattr(tower, "text_pool_type", None))
    exact = (
        isinstance(model, open_clip.CLIP | open_clip.CustomTextCLIP)
        and isinstance(getattr(tower, "attn_mask", None), Tensor)
        and getattr(tower, "cls_emb", None) is None
        and not getattr(tower, "use_pad_mask", False)
        and pool == "argmax"
    )
    return _CausalTower(cast("_TextTower", tower)) if exact else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's remarks on the root logger, and the handler they would install, out of the program."""
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


def resolve_device(device: str) -> torch.device:
    """Return the device of a name; `auto` is CUDA where there is one, else the CPU.

    Raises:
        BackboneError: there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BackboneError(f"no device {device!r}: {_first_line(error)}") from error
    return torch.device(device)


def unit_images(backbone: Backbone, images: Sequence[Image.Image], device: torch.device) -> Vectors:
    """Return `(n, d) float32`, rows unit-length, of RGB images."""
    return unit_pixels(backbone, backbone.prepare_images(images), device)


def unit_pixels(backbone: Backbone, pixels: Pixels, device: torch.device) -> Vectors:
    """Return `(n, d) float32`, rows unit-length, of pixels prepared by `backbone`."""
    parts = [np.empty((0, backbone.dim), dtype=np.float32)]
    with torch.inference_mode():
        for start in range(0, len(pixels), _IMAGES_AT_ONCE):
            block = torch.from_numpy(np.array(pixels[start : start + _IMAGES_AT_ONCE])).to(device)
            parts.append(F.normalize(backbone.image_features(block), dim=-1).cpu().numpy())
    return np.concatenate(parts)


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


def text_blocks(count: int) -> Iterator[slice]:
    """Yield the slices in which `count` texts are encoded."""
    for start in range(0, count, _TEXTS_AT_ONCE):
        yield slice(start, start + _TEXTS_AT_ONCE)


class ClipEncoder:
    """A plain open_clip model as an Encoder: reads words only and ignores entities."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: str = "auto",
        text_fields: tuple[str, ...] = DEFAULT_TEXT_FIELDS,
    ) -> None:
        self._device = resolve_device(device)
        self._fingerprint = _digest(backbone, text_fields)
        self._backbone = backbone.eval().requires_grad_(requires_grad=False).to(self._device)
        self._text_fields = text_fields

    @property
    def fingerprint(self) -> str:
        """Digest of the config, the preprocessing and every weight, 64 hex digits."""
        return self._fingerprint

    @property
    def dim(self) -> int:
        """Dimensions of the shared space."""
        return self._backbone.dim

    @property
    def name(self) -> str:
        """The source the model was opened from."""
        return self._backbone.source

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The product fields it reads."""
        return self._text_fields

    @property
    def vocabularies(self) -> Mapping[str, Sequence[str]]:
        """Empty: a plain model knows no entities."""
        return {}

    def encode_texts(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> Vectors:
        """Return `(n, d) float32`, rows unit-length; `entities` are checked for length and ignored."""
        check_lengths(texts, entities)
        parts = [np.empty((0, self.dim), dtype=np.float32)]
        with torch.inference_mode():
            for block in text_blocks(len(texts)):
                tokens = self._backbone.tokenize(texts[block]).to(self._device)
                parts.append(F.normalize(self._backbone.text_features(tokens), dim=-1).cpu().numpy())
        return np.concatenate(parts)

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return `(n, d) float32`, rows unit-length, of RGB images of any size."""
        return unit_images(self._backbone, images, self._device)

    def text_terms(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> list[TextTerms]:
        """Return the embeddings with the one term they have."""
        rows = self.encode_texts(texts, entities)
        return [TextTerms(names=(WORDS_TERM,), terms=row[None, :], gates={}) for row in rows]


def _digest(backbone: Backbone, text_fields: tuple[str, ...]) -> str:
    head = {"model": backbone.config, "pixels": backbone.recipe.model_dump(mode="json"), "text": list(text_fields)}
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for key, tensor in sorted(backbone.state_dict().items()):
        digest.update(f"{key}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
