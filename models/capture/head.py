"""The instance head: from the vector of a cut-out region to where catalogue pictures of the same product lie.

A product in a shopper's photo has another background, light and size than in its catalogue picture, and an encoder's
vectors show it. The head is learnt to undo that on the side of the query alone, so catalogue and index stay as they
are. It is a linear map, the identity before training, and one hidden layer beside it, nothing before training; scored
by cosine, the linear part is a metric of its own between regions and catalogue pictures. Plain numpy: training is in
`head_training`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load, save

from models.capture.signed import SignedCard, read_signed, write_signed
from models.checkpoint import CheckpointError
from models.encoder import Vectors

_LEAST_LENGTH: Final = 1e-12


class HeadCard(SignedCard):
    """What `card.json` says of a head.

    Attributes:
        encoder: fingerprint of the encoder whose vectors it was trained on, 64 hex digits.
        dim: of the vectors, d.
        hidden: width of the hidden layer, h.
    """

    encoder: str
    dim: Annotated[int, Field(ge=1)]
    hidden: Annotated[int, Field(ge=1)]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight, by its name."""
        d, h = self.dim, self.hidden
        return {
            "linear.weight": (d, d),
            "linear.bias": (d,),
            "wide.weight": (h, d),
            "wide.bias": (h,),
            "narrow.weight": (d, h),
            "narrow.bias": (d,),
        }


class InstanceHead:
    """A trained head. Safe to call from threads."""

    def __init__(self, card: HeadCard, weights: Mapping[str, NDArray[np.float32]]) -> None:
        shapes = {name: value.shape for name, value in weights.items()}
        if shapes != card.shapes() or any(not np.isfinite(value).all() for value in weights.values()):
            msg = f"weights must be finite and of the shapes {card.shapes()}, not {shapes}"
            raise ValueError(msg)
        self.card = card
        self._weights = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}

    @property
    def fingerprint(self) -> str:
        """Digest of card and weights, 64 hex digits: equal fingerprints give equal vectors."""
        return self.card.fingerprint

    @property
    def encoder(self) -> str:
        """Fingerprint of the encoder whose vectors it reads; those of another mean nothing to it."""
        return self.card.encoder

    def apply(self, vectors: Vectors) -> Vectors:
        """Return the vectors `(n, d) float32`, unit-length, of regions `(n, d)`, unit-length too.

        Raises:
            ValueError: the shape is another.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.card.dim:
            msg = f"vectors must be (n, {self.card.dim}), not {vectors.shape}"
            raise ValueError(msg)
        w = self._weights
        x = np.asarray(vectors, np.float32)
        hidden = np.maximum(x @ w["wide.weight"].T + w["wide.bias"], 0)
        led = x @ w["linear.weight"].T + w["linear.bias"] + hidden @ w["narrow.weight"].T + w["narrow.bias"]
        return np.asarray(led / np.maximum(np.linalg.norm(led, axis=1, keepdims=True), _LEAST_LENGTH), np.float32)


def save_head(folder: Path, card: HeadCard, weights: Mapping[str, NDArray[np.float32]]) -> HeadCard:
    """Write a head into `folder` and return its card as written; weights are stored as float16.

    Raises:
        ValueError: the weights are not of the card's shapes.
    """
    checked = InstanceHead(card, weights)
    halves = {name: value.astype(np.float16) for name, value in checked._weights.items()}  # noqa: SLF001 - its own module
    return write_signed(folder, card, save(halves))


def load_head(folder: Path) -> InstanceHead:
    """Return the head in `folder`.

    Raises:
        CheckpointError: a file is missing, damaged, or not the one the card was written for.
    """
    card, data = read_signed(folder, HeadCard)
    try:
        return InstanceHead(card, {name: value.astype(np.float32) for name, value in load(data).items()})
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{folder} cannot be loaded: {str(error).splitlines()[0]}") from error
