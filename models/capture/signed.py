"""Folders of one `model.safetensors` and the `card.json` that vouches for it, written last.

The fingerprint on a card is the digest of the card without it and of the weights, so that neither is exchanged
unnoticed. Nothing in such a folder is executed when read; nothing is pickled.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.checkpoint import CARD_FILE, WEIGHTS_FILE, CheckpointError, TrainingCard

_FORMAT = 1


class SignedCard(BaseModel):
    """What every such card says.

    Attributes:
        format: version of this format.
        name: for reports and answers.
        licence: of the weights.
        training: how it was trained.
        metrics: on products that were held back, in 0..1.
        fingerprint: SHA-256 over this card without it and the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    licence: str
    training: TrainingCard | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    fingerprint: str = ""


Stated = TypeVar("Stated", bound=SignedCard)


def write_signed(folder: Path, card: Stated, weights: bytes) -> Stated:
    """Write `weights` and their card into `folder`, which is made if needed, and return the card with its fingerprint.

    An earlier one there is overwritten; a reader that comes between finds no card.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD_FILE).unlink(missing_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(weights)
    signed = card.model_copy(update={"fingerprint": _fingerprint(card, weights)})
    text = json.dumps(signed.model_dump(mode="json"), indent=1, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")
    return signed


def read_signed(folder: Path, kind: type[Stated]) -> tuple[Stated, bytes]:
    """Return the card in `folder` and the bytes of its weights.

    Raises:
        CheckpointError: a file is missing or damaged, or not the one the card was written for.
    """
    card = _read_card(folder / CARD_FILE, kind)
    path = folder / WEIGHTS_FILE
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if _fingerprint(card, weights) != card.fingerprint:
        raise CheckpointError(f"{folder} was changed after it was written: its fingerprint does not fit its files")
    return card, weights


def _read_card(path: Path, kind: type[Stated]) -> Stated:
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    version = stated.get("format") if isinstance(stated, Mapping) else None
    if version != _FORMAT:
        raise CheckpointError(f"{path} has format {version!r}, this version reads {_FORMAT}")
    try:
        return kind.model_validate(stated)
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _fingerprint(card: SignedCard, weights: bytes) -> str:
    head = json.dumps(card.model_dump(mode="json", exclude={"fingerprint"}), sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(head.encode())
    digest.update(hashlib.sha256(weights).digest())
    return digest.hexdigest()
