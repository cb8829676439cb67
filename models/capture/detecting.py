"""Products found in pictures: a trained detector's folder, and what answers from it.

A folder is `model.safetensors` and `card.json`, written last, which says what the detector is, how it came to be and
how its scores become confidences. Nothing in it is executed when read; nothing is pickled.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from models.capture.boxes import nms
from models.capture.detector import DetectorDesign, DetectorNet, as_input, placed
from models.capture.regions import Detection
from models.capture.signed import SignedCard, read_signed, write_signed
from models.capture.squares import Fitted
from models.checkpoint import CheckpointError
from models.encoding import blocks

_AT_ONCE: Final = 16
_CANDIDATES: Final = 200  # cells of a picture that suppression looks at: far more than it can hold products


@runtime_checkable
class Detector(Protocol):
    """Finds the products in pictures. Safe to call from threads."""

    @property
    def fingerprint(self) -> str:
        """Digest of card and weights, 64 hex digits: equal fingerprints find the same."""
        ...

    def detect(self, pictures: Sequence[Image.Image]) -> list[list[Detection]]:
        """Return what is found in each of the RGB `pictures`, of any size, best first."""
        ...


class Confidence(BaseModel):
    """How likely a box is right, by its score: a logistic curve through the logit (Platt 1999).

    Attributes:
        slope: more than 0, so that the order of the boxes stays.
        offset: of the logit of the answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: Annotated[float, Field(gt=0)] = 1.0
    offset: float = 0.0

    def __call__(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Return probabilities in 0..1."""
        z = self.slope * np.asarray(logits, dtype=np.float64) + self.offset
        return np.asarray(1 / (1 + np.exp(-z.clip(-60, 60))), dtype=np.float64)


class Answering(BaseModel):
    """What is made of the network's answers.

    Attributes:
        overlap: IoU with a better box beyond which a box is taken for the same product.
        least: boxes of less confidence are left out.
        most: boxes of a picture, at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    overlap: Annotated[float, Field(gt=0, lt=1)] = 0.5
    least: Annotated[float, Field(ge=0, lt=1)] = 0.05
    most: Annotated[int, Field(ge=1)] = 30


class DetectorCard(SignedCard):
    """What `card.json` says of a detector.

    Attributes:
        design: of the network.
        confidence: from the scores, measured on composites that trained nothing.
        answering: what is made of the network's answers.
    """

    design: DetectorDesign
    confidence: Confidence = Confidence()
    answering: Answering = Answering()


class TorchDetector:
    """A trained network, its batch-norms folded away, on the CPU or wherever it is put."""

    def __init__(self, net: DetectorNet, card: DetectorCard, device: torch.device | None = None) -> None:
        self.card = card
        self._device = device or torch.device("cpu")
        self._net = placed(net.folded(), self._device)

    @property
    def fingerprint(self) -> str:
        """See `Detector`."""
        return self.card.fingerprint

    def detect(self, pictures: Sequence[Image.Image]) -> list[list[Detection]]:
        """See `Detector`."""
        found: list[list[Detection]] = []
        for block in blocks(len(pictures), _AT_ONCE):
            fitted = [Fitted.of(picture, self.card.design.side) for picture in pictures[block]]
            logits, boxes = self.raw(np.stack([one.pixels for one in fitted]))
            found += [self._detections(*answer) for answer in zip(fitted, logits, boxes, strict=True)]
        return found

    def raw(self, squares: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Return the logits `(n, cells)` and boxes `(n, cells, 4)` in `squares (n, side, side, 3)`."""
        with torch.inference_mode():
            logits, boxes = self._net(as_input(torch.from_numpy(squares).to(self._device)))
        return logits.cpu(), boxes.cpu()

    def _detections(self, fitted: Fitted, logits: Tensor, boxes: Tensor) -> list[Detection]:
        chosen, scores = distinct(logits, boxes, self.card.answering)
        likely = self.card.confidence(scores.numpy())
        within = fitted.fractions(chosen.numpy())
        return [
            Detection((left, top, right, bottom), confidence)
            for (left, top, right, bottom), confidence in zip(within.tolist(), likely.tolist(), strict=True)
            if confidence >= self.card.answering.least and left < right and top < bottom
        ]


def distinct(logits: Tensor, boxes: Tensor, answering: Answering) -> tuple[Tensor, Tensor]:
    """Return boxes `(k, 4)` and logits `(k,)` of one picture, best first, one of each product.

    Args:
        logits: `(cells,)`.
        boxes: `(cells, 4)`.
        answering: how much two may overlap, and how many there may be.
    """
    scores, cells = logits.topk(min(_CANDIDATES, len(logits)))
    kept = nms(boxes[cells], scores, answering.overlap)[: answering.most]
    return boxes[cells][kept], scores[kept]


def save_detector(folder: Path, net: DetectorNet, card: DetectorCard) -> DetectorCard:
    """Write a detector into `folder`, which is made if needed; matrices as float16; `card.json` comes last.

    Returns:
        The card as written, with its fingerprint.
    """
    return write_signed(folder, card, save({key: _stored(value) for key, value in net.state_dict().items()}))


def _stored(value: Tensor) -> Tensor:
    """Halve matrices only: statistics of batch-norm may lie beyond what float16 holds."""
    return (value.half() if value.is_floating_point() and value.ndim > 1 else value).cpu().contiguous()


def load_detector(folder: Path, device: str = "cpu") -> TorchDetector:
    """Return the detector in `folder`.

    Raises:
        CheckpointError: a file is missing, damaged, or not the one the card was written for.
    """
    net, card = load_net(folder)
    return TorchDetector(net, card, torch.device(device))


def load_net(folder: Path) -> tuple[DetectorNet, DetectorCard]:
    """Return the network in `folder`, on the CPU in float32, and its card.

    Raises:
        CheckpointError: as for `load_detector`.
    """
    card, weights = read_signed(folder, DetectorCard)
    net = DetectorNet(card.design)
    try:
        net.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{folder} cannot be loaded: {str(error).splitlines()[0]}") from error
    return net.eval(), card
