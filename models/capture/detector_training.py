"""The detector's training: composites to a folder with weights and card. The course of it is left to `course`."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from models.capture.course import Course, close_folder, open_folder
from models.capture.detecting import Answering, Confidence, DetectorCard, TorchDetector, distinct, save_detector
from models.capture.detector import DetectorNet, as_input, middles, placed
from models.capture.detector_config import DetectorConfig
from models.capture.detector_data import SquareBatches, SquareTable
from models.capture.detector_losses import detection_loss
from models.capture.detector_scores import Judged, calibration_error, fit_confidence
from models.checkpoint import DataCard, TrainingCard
from models.encoding import blocks, resolve_device
from models.metrics import PictureBoxes, detection_average_precision
from models.train.loop import Provenance, Report

_AT_ONCE: Final = 32
_EVERYTHING: Final = Answering(least=0.0)


@dataclass(frozen=True, slots=True)
class DetectorData:
    """What is trained on and measured with.

    Attributes:
        train: composites.
        val: composites of products that are not in `train`.
        card: what the detector's card says of them.
    """

    train: SquareTable
    val: SquareTable
    card: DataCard


class AveragedNet(nn.Module):
    """A network and the moving average of its weights and statistics, which is what is measured and kept."""

    def __init__(self, net: DetectorNet, decay: float) -> None:
        super().__init__()
        self.net = net
        self.mean = copy.deepcopy(net).requires_grad_(requires_grad=False)
        self._decay = decay

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move the average towards the network; at first faster, so that it soon forgets where it began."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for mean, now in zip(self.mean.state_dict().values(), self.net.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)


class DetectorLesson:
    """What a detector learns."""

    def __init__(self, config: DetectorConfig, data: DetectorData) -> None:
        self._config, self._data = config, data
        self._device = resolve_device(config.run.device)
        torch.manual_seed(config.run.seed)
        net = placed(DetectorNet(config.design), self._device)
        self.net = AveragedNet(net, config.averaged)
        self._at = middles(config.design.side, self._device)
        self._batches = SquareBatches(data.train, config.optim.batch_size, config.alike, config.run.seed)

    @property
    def steps(self) -> int:
        """See `Lesson`."""
        return self._batches.steps

    @property
    def digest(self) -> str:
        """See `Lesson`; how often a run saves or draws does not matter."""
        told = {"save_every_s", "save_every_steps", "tensorboard"}
        kept = self._config.model_dump(mode="json", exclude={"data": {"cache_dir"}, "run": told})
        head = json.dumps([kept, self._data.train.digest, self._data.val.digest], sort_keys=True)
        return hashlib.sha256(head.encode()).hexdigest()

    def losses(self, epoch: int, step: int) -> Mapping[str, Tensor]:
        """See `Lesson`."""
        self.net.follow(epoch * self.steps + step)
        batch = self._batches.batch(epoch, step)
        logits, boxes = self.net.net(as_input(batch.squares.to(self._device)))
        truth = [one.to(self._device) for one in batch.truth]
        loss = detection_loss(logits, boxes, truth, self._at, self._config.box_weight)
        return {"total": loss.total, "score": loss.score, "box": loss.box}

    def measure(self) -> dict[str, float]:
        """See `Lesson`: average precision on composites of other products, at an IoU of 0.5 and of 0.75."""
        found = self.found()
        return {f"ap{round(100 * least)}": detection_average_precision(found, least) for least in (0.5, 0.75)}

    def found(self) -> list[PictureBoxes]:
        """Return what is found in the composites that are held back."""
        card = DetectorCard(name=self._config.name, licence=self._config.licence, design=self._config.design)
        return found_boxes(TorchDetector(self.net.mean, card, self._device), self._data.val)


def fit_detector(
    config: DetectorConfig, data: DetectorData, out: Path, *, resume: bool, provenance: Provenance, report: Report
) -> DetectorCard:
    """Train as `config` says and write the best epoch into the folder `out`.

    Args:
        config: all that decides the result.
        data: composites in squares of the configured side.
        out: made if needed.
        resume: go on from the state in `out` if there is one; otherwise `out` must not hold a run or a detector.
        provenance: for the card.
        report: receives one line per epoch.

    Raises:
        RunError: `out` holds another run or a finished detector, or the loss is no longer a number.
        StateError: the state in `out` is damaged or belongs to another run.
        DeviceError: there is no such device.
    """
    run = open_folder(out, resume=resume)
    if config.run.threads is not None:
        torch.set_num_threads(config.run.threads)
    lesson = DetectorLesson(config, data)
    course = Course(lesson, config.optim, config.run, run, report)
    best = course.run()
    training = TrainingCard(
        command=provenance.command,
        commit=provenance.commit,
        config=as_json(config),
        data=data.card,
        epochs=len(course.progress.history),
        best_epoch=best.epoch,
    )
    confidence, errors = _confidence(lesson.found())
    card = DetectorCard(
        name=config.name,
        licence=config.licence,
        design=config.design,
        confidence=confidence,
        training=training,
        metrics={f"val_{name}": value for name, value in (best.recall | errors).items()},
    )
    card = save_detector(out, lesson.net.mean, card)
    close_folder(out)
    return card


def _confidence(found: list[PictureBoxes]) -> tuple[Confidence, dict[str, float]]:
    """Return the confidence fitted on every other picture, and its error on those between, before and after."""
    confidence, apart = fit_confidence(Judged.of(found[::2])), Judged.of(found[1::2])
    return confidence, {
        "calibration_error_before": calibration_error(Confidence(), apart),
        "calibration_error": calibration_error(confidence, apart),
    }


def found_boxes(detector: TorchDetector, table: SquareTable) -> list[PictureBoxes]:
    """Return what `detector` finds in the squares of `table`, with logits for confidences, beside what is there."""
    found: list[PictureBoxes] = []
    for block in blocks(len(table), _AT_ONCE):
        logits, boxes = detector.raw(np.array(table.squares[block]))
        for answer, true in zip(zip(logits, boxes, strict=True), table.boxes[block], strict=True):
            chosen, scores = distinct(*answer, _EVERYTHING)
            found.append(PictureBoxes(chosen.numpy(), scores.numpy(), true))
    return found


def as_json(config: DetectorConfig) -> dict[str, JsonValue]:
    """Return what the card records: everything but paths of the machine."""
    kept: dict[str, JsonValue] = json.loads(config.model_dump_json(exclude={"data": {"cache_dir"}}))
    return kept
