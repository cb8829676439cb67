"""How a detector's scores become confidences, fitted on composites that trained nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from models.capture.detecting import Confidence
from models.metrics import NO_BOX, PictureBoxes, match_boxes
from models.reliability import reliability

_STEPS: Final = 50
_RIDGE: Final = 1e-3  # holds the curve where the scores tell right from wrong without a single exception
_CLOSE: Final = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """All boxes found in some pictures.

    Attributes:
        logits: `(n,)`.
        right: `(n,)`, whether each found a product, by an IoU of at least 0.5, that no better box had found.
    """

    logits: NDArray[np.float64]
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, pictures: Sequence[PictureBoxes]) -> Self:
        """Judge what was found; confidences are logits."""
        logits = [np.asarray(one.confidences, dtype=np.float64) for one in pictures]
        right = [match_boxes(one.found, one.confidences, one.true) != NO_BOX for one in pictures]
        return cls(np.concatenate([np.empty(0), *logits]), np.concatenate([np.empty(0, np.bool_), *right]))


def fit_confidence(judged: Judged) -> Confidence:
    """Return the logistic curve through the logits with the least log loss, by Newton's method.

    Platt, "Probabilistic Outputs for Support Vector Machines", 1999, with a slight pull to slope 1 and offset 0. Where
    higher scores are no likelier right the scores stay as they are, so that the order of boxes never changes.
    """
    x = np.stack([judged.logits, np.ones(len(judged.logits))], axis=1)
    start = np.array([1.0, 0.0])
    weights = start.copy()
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(x @ weights).clip(-60, 60)))
        slope = x.T @ (p - judged.right) + _RIDGE * (weights - start)
        curvature = (x * (p * (1 - p))[:, None]).T @ x + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        largest = float(np.abs(step).max())
        weights = weights - step / max(1.0, largest)  # no farther than 1 at once: far from the minimum it overshoots
        if largest < _CLOSE:
            break
    return Confidence(slope=float(weights[0]), offset=float(weights[1])) if weights[0] > 0 else Confidence()


def calibration_error(confidence: Confidence, judged: Judged) -> float:
    """Return the expected calibration error of `judged` boxes, 0..1; 0 of none."""
    return reliability(confidence(judged.logits), judged.right).error if len(judged.logits) else 0.0
