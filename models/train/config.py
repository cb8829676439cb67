"""The training configuration: one TOML file, checked in full before anything is read or computed."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.checkpoint import WeightsDtype
from models.clip import CONFIG_FILE
from models.eiclip import EntityDesign
from models.product import DEFAULT_TEXT_FIELDS, TextField

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Precision = Literal["auto", "float32", "bfloat16"]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(_Section):
    """What is read of the catalogue.

    Attributes:
        text_fields: the canonical text of a product.
        pictures: how many pictures of a product are used, at most.
        limit: how many products of each split are read, for trials; None for all.
        cache_dir: where prepared pixels are kept; None for the user's cache folder.
        licence: of the data, for the card.
    """

    text_fields: Annotated[tuple[TextField, ...], Field(min_length=1)] = DEFAULT_TEXT_FIELDS
    pictures: Positive = 3
    limit: Positive | None = None
    cache_dir: Path | None = None
    licence: str | None = None


class TextMix(_Section):
    """Which text an example is trained with: shares that add up to one.

    Attributes:
        canonical: the text fields, as indexed and as measured.
        title: the title alone.
        description: the description alone.
        query: what a shopper types: one to four of the product's entities and of the other words of its title,
            with the entities that are in it and no others.
    """

    canonical: Share = 0.6
    title: Share = 0.15
    description: Share = 0.1
    query: Share = 0.15

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum(self.shares().values())
        if abs(total - 1) > 1e-6:
            msg = f"the shares add up to {total:g}, not 1"
            raise ValueError(msg)
        return self

    def shares(self) -> dict[str, float]:
        """Return kind -> share."""
        return {kind: float(share) for kind, share in self.model_dump().items()}


class EntityDropout(_Section):
    """How often entities are withheld in training, so that queries without them work.

    Attributes:
        whole: all of an example's entities at once.
        each: every remaining entity on its own.
    """

    whole: Share = 0.2
    each: Share = 0.1


class AugmentConfig(_Section):
    """Small changes of a picture, and of its text. Pictures are never recoloured: colours carry meaning.

    Attributes:
        scale: largest relative change of size, up or down.
        shift: largest move, as a share of the side.
        mirror: share of the pictures that are mirrored; 0 where lettering and emblems must be read.
        words: share of the tokens of each text that are left out, other ones at every step, so that texts are not
            learnt by heart; pasted entities are words, too.
    """

    scale: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    mirror: Share = 0.0
    words: Annotated[float, Field(ge=0, lt=1)] = 0.0


class ImageConfig(_Section):
    """The image trunk: everything of a timm image tower but its last layers.

    Attributes:
        held: the trunk stays as it is ("locked-image tuning"); every picture is read by it once, before training.
        weights: of the trunk, for one that is held: a `.safetensors` or `.pth` file, or `package:NAME/PATH`, a file
            that an installed package carries. None: those of the backbone.
    """

    held: bool = False
    weights: str | None = None

    @model_validator(mode="after")
    def _weights_are_held(self) -> Self:
        if self.weights is not None and not self.held:
            raise ValueError("weights are read for a trunk that is held: set held = true")
        return self


class NearConfig(_Section):
    """Products drawn beside each other, so that a batch holds pictures and texts that are hard to tell apart.

    Attributes:
        group: entity group or attribute whose value they share; None: all products come in random order.
        size: how many of one value stand together; the batches of an epoch still hold every product at most once.
    """

    group: str | None = None
    size: Annotated[int, Field(ge=2)] = 16


class LossConfig(_Section):
    """Weights of the three losses and the bounds of the temperature.

    Attributes:
        fused: of (image, fused text).
        description: of (image, words).
        entities: of (image, all entities of the product).
        groups: of (image, one entity), the mean over the groups; products that share the value are positives.
        max_scale: the learnt logit scale never exceeds it.
    """

    fused: Annotated[float, Field(ge=0)] = 1.0
    description: Annotated[float, Field(ge=0)] = 0.5
    entities: Annotated[float, Field(ge=0)] = 0.5
    groups: Annotated[float, Field(ge=0)] = 0.5
    max_scale: Annotated[float, Field(gt=1)] = 100.0


class OptimConfig(_Section):
    """AdamW with a cosine schedule.

    Attributes:
        epochs: passes over the products; each sees one picture of each product.
        batch_size: products per step, of all processes together.
        chunk_size: products each process encodes at once, so that a large batch fits small memory: the same gradient
            for about a third more time, save that batch-norm sees chunks. None: the whole batch.
        lr: peak learning rate.
        warmup: share of all steps in which it rises from zero.
        final: the last learning rate as a share of the peak.
        weight_decay: of matrices; vectors, embeddings and scales are left alone.
        beta2: decay of the second moment.
        clip_norm: of the gradient, over all weights.
    """

    epochs: Positive = 8
    batch_size: Annotated[int, Field(ge=2)] = 128
    chunk_size: Annotated[int, Field(ge=2)] | None = None
    lr: Annotated[float, Field(gt=0)] = 1e-3
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    final: Share = 0.01
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.98
    clip_norm: Annotated[float, Field(gt=0)] = 1.0


class RunConfig(_Section):
    """How the program runs. The seed decides what is learnt; device, threads and precision change the rounding.

    Attributes:
        seed: of weights, order and sampling.
        device: `auto`, `cpu`, `cuda`, ...
        threads: of the CPU; results are equal to the bit only for equal numbers of threads. None: torch's own.
        precision: of the towers in training; losses, normalisation and weights are float32. `auto` is bfloat16 on
            CUDA devices that compute in it, else float32: a CPU without units for it was measured 8 times slower in it.
        save_every_s: seconds between saves within an epoch.
        save_every_steps: steps between saves within an epoch; None for none.
        patience: epochs without a better validation after which training stops; None for never.
        weights: in which the checkpoint stores its weights.
        tensorboard: whether curves are written to `tensorboard/` beside the checkpoint, where TensorBoard is installed.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    device: str = "auto"
    threads: Positive | None = None
    precision: Precision = "auto"
    save_every_s: Annotated[float, Field(gt=0)] = 120.0
    save_every_steps: Positive | None = None
    patience: Positive | None = None
    weights: WeightsDtype = "float16"
    tensorboard: bool = True


class TrainConfig(_Section):
    """All of it.

    Attributes:
        name: of the model, for its card.
        licence: of the weights.
        backbone: an open_clip source, or a folder with `open_clip_config.json`, relative to the TOML file; `mini` or
            a checkpoint folder lend theirs with its weights, and the entities are learnt anew.
    """

    name: Annotated[str, Field(min_length=1)]
    licence: str = "Apache-2.0"
    backbone: str = "catalens-mini"
    data: DataConfig = DataConfig()
    image: ImageConfig = ImageConfig()
    entities: EntityDesign = EntityDesign()
    text_mix: TextMix = TextMix()
    dropout: EntityDropout = EntityDropout()
    augment: AugmentConfig = AugmentConfig()
    near: NearConfig = NearConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return the configuration in the TOML file `path`, with `section.key=value` overrides applied in order.

    Raises:
        ConfigError: the file cannot be read, or a key is unknown or does not hold what it should.
    """
    config = read_config(path, overrides, TrainConfig)
    local = path.parent / config.backbone
    if (local / CONFIG_FILE).is_file():
        return config.model_copy(update={"backbone": str(local)})
    return config


Kind = TypeVar("Kind", bound=BaseModel)


def read_config(path: Path, overrides: Sequence[str], kind: type[Kind]) -> Kind:
    """Return the TOML file `path` as a `kind`, with `section.key=value` overrides applied in order.

    Raises:
        ConfigError: the file cannot be read, or a key is unknown or does not hold what it should.
    """
    try:
        tree: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    for override in overrides:
        _apply(tree, override)
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {key}: {first['msg']}") from error


def _apply(tree: dict[str, object], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{override!r} is not key=value")
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = tree.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{key}: {section} is not a section")
        tree = inner
    tree[last] = _value(text.strip())


def _value(text: str) -> object:
    """Read `text` as a TOML value, and as a plain string where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def as_json(config: TrainConfig) -> dict[str, object]:
    """Return what the card records: everything but paths of the machine."""
    kept: dict[str, object] = json.loads(config.model_dump_json(exclude={"data": {"cache_dir"}}))
    kept["backbone"] = Path(config.backbone).name if Path(config.backbone).is_dir() else config.backbone
    return kept


Split = Literal["train", "val", "test"]
