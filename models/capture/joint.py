"""A trained CAPTURE model in use: instances and catalogue pictures, with what is said of them, as joint embeddings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save

from models.capture.capture import CaptureDesign, CaptureNet
from models.capture.capture_data import Seen, seen
from models.capture.capture_words import Words
from models.capture.region_data import CatalogueVectors
from models.capture.signed import SignedCard, read_signed, write_signed
from models.checkpoint import CheckpointError
from models.encoder import Vectors
from models.encoding import blocks

_AT_ONCE: Final = 128
_VOCABULARY: Final = "vocabulary"
_WHOLE: Final = (0.0, 0.0, 1.0, 1.0)


class JointCard(SignedCard):
    """What `card.json` says of a CAPTURE model.

    Attributes:
        encoder: fingerprint of the encoder whose vectors it was trained on, 64 hex digits.
        design: the shape of the network.
    """

    encoder: str
    design: CaptureDesign


class JointEmbedder:
    """A trained network and its vocabulary. Safe to call from threads."""

    def __init__(self, card: JointCard, net: CaptureNet, words: Words) -> None:
        self.card = card
        self._net = net.eval().requires_grad_(requires_grad=False)
        self._words = words

    @property
    def encoder(self) -> str:
        """Fingerprint of the encoder whose vectors it reads."""
        return self.card.encoder

    def embed(self, vectors: Vectors, boxes: NDArray[np.float32], captions: Sequence[str]) -> Vectors:
        """Return the joint embeddings `(n, w) float32`, rows unit-length, of regions `(n, d)` at `boxes (n, 4)`.

        Args:
            vectors: of the encoder, unit-length.
            boxes: fractions of the photo.
            captions: of the photo that each region is from.
        """
        if not len(vectors):
            return np.empty((0, self.card.design.width), np.float32)
        return embed_blocks(self._net, seen(vectors, boxes, captions, self._words, self.card.design.words))

    def catalogue(self, catalogue: CatalogueVectors) -> Vectors:
        """Return the joint embeddings of catalogue pictures, each with its product's title."""
        boxes = np.tile(np.array(_WHOLE, np.float32), (len(catalogue.vectors), 1))
        owners = np.repeat(np.arange(len(catalogue)), np.diff(catalogue.starts))
        return self.embed(catalogue.vectors, boxes, [catalogue.titles[owner] for owner in owners])


def embed_blocks(net: CaptureNet, shown: Seen) -> Vectors:
    """Return the joint embeddings `(n, w) float32` of what is shown, a block at a time."""
    parts = [np.empty((0, net.design.width), np.float32)]
    with torch.inference_mode():
        for block in blocks(len(shown.words), _AT_ONCE):
            inputs = (shown.vectors[block], shown.boxes[block], shown.there[block], shown.words[block])
            parts.append(net(*inputs).joint.numpy())
    return np.concatenate(parts)


def save_joint(folder: Path, card: JointCard, net: CaptureNet, words: Words) -> JointCard:
    """Write a model into `folder` and return its card as written; weights are stored as float16."""
    tensors = {key: value.detach().half().cpu().contiguous() for key, value in net.state_dict().items()}
    return write_signed(folder, card, save({**tensors, _VOCABULARY: torch.from_numpy(words.tokens)}))


def load_joint(folder: Path) -> JointEmbedder:
    """Return the model in `folder`.

    Raises:
        CheckpointError: a file is missing, damaged, or not the one the card was written for.
    """
    card, data = read_signed(folder, JointCard)
    try:
        tensors = load(data)
        words = Words(tensors.pop(_VOCABULARY).numpy())
        net = CaptureNet(card.design)
        net.load_state_dict({key: value.float() for key, value in tensors.items()})
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{folder} cannot be loaded: {str(error).splitlines()[0]}") from error
    return JointEmbedder(card, net, words)
