"""Encoders whose towers can be run another way, and putting one on the runtime that is fastest here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import torch
from PIL.Image import Image

from models.clip import Backbone, Towers
from models.encoder import Encoder
from models.runtime.artefacts import Artefacts
from models.runtime.choose import DEFAULT_TERMS, Chosen, Terms, Work, choose
from models.runtime.names import CANDIDATES, RuntimeChoice, TowerKind
from models.runtime.opening import Source, why_not


@runtime_checkable
class TowerEncoder(Encoder, Protocol):
    """An encoder on a backbone of two towers."""

    @property
    def backbone(self) -> Backbone:
        """The model in torch."""
        ...

    @property
    def towers(self) -> Towers:
        """What reads its words and images."""
        ...

    def with_towers(self, towers: Towers) -> Self:
        """Return this encoder, its words and images read by `towers`."""
        ...


@dataclass(frozen=True, slots=True)
class Probes:
    """What runtimes are measured on: texts and pictures as they come in use.

    Attributes:
        texts: the first `max_texts` of them are timed, all of them compared.
        images: the same of pictures.
        max_texts: most texts that are encoded at once.
        max_images: most pictures that are.
    """

    texts: Sequence[str]
    images: Sequence[Image]
    max_texts: int
    max_images: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where runtimes keep their files, and the CPU threads of one call; 0 for as many as torch uses."""

    folder: Path
    threads: int = 0


def missing(encoder: TowerEncoder, choice: RuntimeChoice) -> str | None:
    """Return why nothing of `choice` can run an encoder here, None where something may."""
    reasons = [why_not(name, encoder.backbone.device) for name in CANDIDATES[choice]]
    return reasons[0] if reasons and None not in reasons else None


def with_fastest(
    encoder: TowerEncoder, probes: Probes, choice: RuntimeChoice, place: Place, terms: Terms = DEFAULT_TERMS
) -> tuple[TowerEncoder, Chosen]:
    """Return `encoder` on the fastest exact runtimes of `choice`, and how they were found.

    Its fingerprint stays: the vectors are the same for all that they are used for.
    """
    backbone = encoder.backbone
    tokens = backbone.tokenize(probes.texts) if probes.texts else torch.empty(0)
    pixels = torch.from_numpy(backbone.prepare_images(probes.images))
    work = {
        TowerKind.TEXT: Work(tokens.to(backbone.device), probes.max_texts),
        TowerKind.IMAGE: Work(pixels.to(backbone.device), probes.max_images),
    }
    source = Source(backbone, encoder.fingerprint, Artefacts(place.folder), place.threads)
    chosen = choose(source, work, choice, terms)
    return encoder.with_towers(replace(chosen.towers, found=chosen.described())), chosen
