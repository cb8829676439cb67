"""Trained models joined into one folder: `joined.json` beside a folder for each member, which are copies.

`load_encoder` opens it like any checkpoint. What the members become together is `models.joined`'s.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from models.checkpoint import (
    CARD_FILE,
    ENTITIES_FILE,
    JOINED_FILE,
    WEIGHTS_FILE,
    CheckpointError,
    JoinedCard,
    joined_fingerprint,
    read_card,
)
from models.clip import CONFIG_FILE

_MOST = 16


def join(members: Sequence[Path], out: Path, name: str | None = None) -> JoinedCard:
    """Join the checkpoints in the folders `members` into the folder `out`, which is made if needed.

    Args:
        members: two or more, different ones, that read the same text fields and entity groups.
        out: where to; what was joined there before is overwritten.
        name: for reports and answers; that of the first member, and how many they are, where None.

    Raises:
        CheckpointError: a member cannot be read, or they do not belong together.
    """
    if not 2 <= len(members) <= _MOST:
        raise CheckpointError(f"{len(members)} models to join: 2 to {_MOST} are needed")
    if (out / CARD_FILE).exists():
        raise CheckpointError(f"{out} already holds a checkpoint")
    if inside := [folder for folder in members if folder.resolve().is_relative_to(out.resolve())]:
        raise CheckpointError(f"{inside[0]} lies in {out}, which would be overwritten")
    cards = [read_card(folder) for folder in members]
    for folder, card in zip(members, cards, strict=True):
        if card.text_fields != cards[0].text_fields or card.entities.groups != cards[0].entities.groups:
            raise CheckpointError(f"{folder} reads other text fields or entity groups than {members[0]}")
    fingerprints = tuple(card.fingerprint for card in cards)
    if len(set(fingerprints)) < len(fingerprints):
        raise CheckpointError("a model is named twice")
    out.mkdir(parents=True, exist_ok=True)
    (out / JOINED_FILE).unlink(missing_ok=True)
    for number, folder in enumerate(members):
        place = out / str(number)
        place.mkdir(exist_ok=True)
        for file in (CONFIG_FILE, ENTITIES_FILE, WEIGHTS_FILE, CARD_FILE):
            try:
                shutil.copyfile(folder / file, place / file)
            except OSError as error:
                raise CheckpointError(f"cannot copy {folder / file}: {error.strerror}") from error
    stated = name or f"{cards[0].name}, {len(cards)} joined"
    joined = JoinedCard(name=stated, members=fingerprints, fingerprint=joined_fingerprint(stated, fingerprints))
    (out / JOINED_FILE).write_text(joined.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return joined
