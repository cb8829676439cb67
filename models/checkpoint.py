"""Checkpoint folders to encoders and back: `card.json`, `model.safetensors` and what they need beside them.

A checkpoint is `open_clip_config.json` (the backbone), `entities.json` (group -> value -> count, in the order
of the rows), `model.safetensors` (every weight) and `card.json`, written last, which says what the model is,
how it came to be, and the fingerprint of all four. Nothing in it is executed when read; nothing is pickled. A folder of
joined models has `joined.json` and a checkpoint for each member in `0/`, `1/`, ... (`models.joining`).
`load_encoder` also opens plain open_clip models, so that one name in a setting chooses any encoder.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from models.clip import CONFIG_FILE, Backbone, BackboneError, open_backbone, save_backbone
from models.clip_encoder import ClipEncoder
from models.eiclip import EiClip, EiClipEncoder, EntityDesign, EntityTable
from models.encoder import Encoder
from models.encoding import DeviceError
from models.joined import JoinedEncoder
from models.product import DEFAULT_TEXT_FIELDS, TextField
from models.recipe import PixelRecipe

CARD_FILE = "card.json"
WEIGHTS_FILE = "model.safetensors"
ENTITIES_FILE = "entities.json"
JOINED_FILE = "joined.json"
BUNDLED = "mini"

_BUNDLED_FOLDER = Path(__file__).parent / "weights" / BUNDLED
_FORMAT = 1

WeightsDtype = Literal["float16", "float32"]


class CheckpointError(ValueError):
    """A source that holds no readable checkpoint, or one whose files do not belong together."""


class DataCard(BaseModel):
    """What a model was trained on.

    Attributes:
        name: of the catalogue, as a person calls it.
        fingerprint: digest of every product and picture read, 64 hex digits.
        products: how many of each split were read.
        origin: what the catalogue says of itself (the seed and version of a generated one).
        licence: of the data, where it is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    fingerprint: str
    products: dict[str, int]
    origin: dict[str, JsonValue] = Field(default_factory=dict)
    licence: str | None = None


class TrainingCard(BaseModel):
    """How a model was trained: enough to do it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    commit: str | None
    config: dict[str, JsonValue]
    data: DataCard
    epochs: int
    best_epoch: int


class Card(BaseModel):
    """What `card.json` says of a checkpoint.

    Attributes:
        format: version of this format.
        name: for reports and answers.
        licence: of the weights.
        backbone: where the backbone's architecture and first weights came from.
        image: what the image tower reads.
        text_fields: the product fields the text tower was trained to read.
        entities: groups, and how they reach the text embedding.
        training: how it was trained; None for weights that came from elsewhere.
        metrics: measured on the data's validation split, in 0..1.
        fingerprint: SHA-256 over this card without it, the config, the entities and the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    licence: str
    backbone: str
    image: PixelRecipe
    text_fields: tuple[TextField, ...] = DEFAULT_TEXT_FIELDS
    entities: EntityDesign
    training: TrainingCard | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    fingerprint: str = ""


class JoinedCard(BaseModel):
    """What `joined.json` says of joined models.

    Attributes:
        format: version of this format.
        name: for reports and answers.
        members: the fingerprint of each, in the order of their folders.
        fingerprint: SHA-256 over name and members.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    members: Annotated[tuple[str, ...], Field(min_length=2)]
    fingerprint: str


def joined_fingerprint(name: str, members: Sequence[str]) -> str:
    """Return the fingerprint of joined models, given their name and the members' fingerprints."""
    return hashlib.sha256("\n".join([name, *members]).encode()).hexdigest()


def save_checkpoint(folder: Path, model: EiClip, card: Card, dtype: WeightsDtype = "float16") -> Card:
    """Write `model` as a checkpoint into `folder`, which is made if needed; `card.json` comes last.

    Args:
        folder: where to; an earlier checkpoint there is overwritten.
        model: the model whose weights are written, as they are.
        card: all that is to be said of it; its fingerprint is set here.
        dtype: in which floating-point weights are stored.

    Returns:
        The card as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD_FILE).unlink(missing_ok=True)
    save_backbone(model.backbone, folder)
    table = {group: list(values.items()) for group, values in model.table.counts.items()}
    _write_json(folder / ENTITIES_FILE, table)
    kind = getattr(torch, dtype)
    tensors = {
        key: (value.to(kind) if value.is_floating_point() else value).cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    (folder / WEIGHTS_FILE).write_bytes(save(tensors))
    signed = card.model_copy(update={"fingerprint": _fingerprint(folder, card)})
    _write_json(folder / CARD_FILE, signed.model_dump(mode="json"))
    return signed


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _fingerprint(folder: Path, card: Card) -> str:
    head = json.dumps(card.model_dump(mode="json", exclude={"fingerprint"}), sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(head.encode())
    for name in (CONFIG_FILE, ENTITIES_FILE, WEIGHTS_FILE):
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()


def read_card(folder: Path) -> Card:
    """Return the card of the checkpoint in `folder`.

    Raises:
        CheckpointError: there is none, or it does not hold what it should.
    """
    path = folder / CARD_FILE
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        version = stated.get("format") if isinstance(stated, Mapping) else None
        if version != _FORMAT:
            raise CheckpointError(f"{path} has format {version!r}, this version reads {_FORMAT}")
        return Card.model_validate(stated)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path}: {where}: {first['msg']}") from error
    except ValueError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is not JSON: {error}") from error


def read_joined(folder: Path) -> JoinedCard:
    """Return what is joined in `folder`.

    Raises:
        CheckpointError: nothing is, or the card does not hold what it should.
    """
    path = folder / JOINED_FILE
    try:
        return JoinedCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def load_model(folder: Path) -> tuple[EiClip, Card]:
    """Return the model of the checkpoint in `folder`, on the CPU in float32, and its card.

    Raises:
        CheckpointError: a file is missing, damaged, or not the one the card was written for.
    """
    card = read_card(folder)
    for name in (CONFIG_FILE, ENTITIES_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing")
    if _fingerprint(folder, card) != card.fingerprint:
        raise CheckpointError(f"{folder} was changed after it was written: its fingerprint does not fit its files")
    try:
        table = EntityTable({g: dict(v) for g, v in json.loads((folder / ENTITIES_FILE).read_text("utf-8")).items()})
        model = EiClip(open_backbone(str(folder), weights=False), card.entities, table)
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (BackboneError, SafetensorError, RuntimeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{folder} cannot be loaded: {error}") from error
    return model.eval(), card


def open_start(source: str) -> Backbone:
    """Open the backbone that a training starts from: that of `mini` or of a checkpoint folder, else open_clip's.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        BackboneError: open_clip cannot open it.
    """
    folder = _BUNDLED_FOLDER if source == BUNDLED else Path(source)
    if source == BUNDLED or (folder / CARD_FILE).is_file():
        return load_model(folder)[0].backbone
    return open_backbone(source)


def load_encoder(source: str, device: str = "auto") -> Encoder:
    """Open an encoder by name.

    Args:
        source: `mini` (the bundled model), a folder of a checkpoint or of joined ones, a folder of open_clip's,
            `ARCH/pretrained-tag` or `ARCH/path.pt` of open_clip, or `hf-hub:org/name`.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, ...

    Raises:
        CheckpointError: nothing readable is there, or there is no such device.
    """
    folder = _BUNDLED_FOLDER if source == BUNDLED else Path(source)
    try:
        if source == BUNDLED or (folder / CARD_FILE).is_file():
            return _load_trained(folder, device)
        if (folder / JOINED_FILE).is_file():
            return _load_joined(folder, device)
        return ClipEncoder(open_backbone(source), device=device)
    except (BackboneError, DeviceError) as error:
        raise CheckpointError(str(error)) from error


def _load_trained(folder: Path, device: str) -> EiClipEncoder:
    model, card = load_model(folder)
    return EiClipEncoder(
        model, name=card.name, fingerprint=card.fingerprint, text_fields=card.text_fields, device=device
    )


def _load_joined(folder: Path, device: str) -> JoinedEncoder:
    card = read_joined(folder)
    members = [_load_trained(folder / str(number), device) for number in range(len(card.members))]
    found = tuple(member.fingerprint for member in members)
    if found != card.members or joined_fingerprint(card.name, found) != card.fingerprint:
        raise CheckpointError(f"{folder} was changed after it was written: its members are not those it names")
    try:
        return JoinedEncoder(members, name=card.name, fingerprint=card.fingerprint)
    except ValueError as error:
        raise CheckpointError(f"{folder} cannot be loaded: {error}") from error
