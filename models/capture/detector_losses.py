"""What the detector is trained to do: pure functions of its answers and the true boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from models.capture.boxes import area, paired_iou
from models.capture.detector import STRIDE

NOBODY: Final = -1
_CENTRE: Final = 0.2  # of a box's side, to both sides of its middle: the cells that are to find the product
_CELLS: Final = 2.5  # but never farther than so many cells


@dataclass(frozen=True, slots=True)
class DetectionLoss:
    """The loss of a batch, and its parts; scalars.

    Attributes:
        total: what is minimised.
        score: generalised focal loss per cell that is to find a product.
        box: 1 - GIoU per such cell.
    """

    total: Tensor
    score: Tensor
    box: Tensor


def responsible(boxes: Tensor, at: Tensor) -> Tensor:
    """Return which box each cell is to find, `(cells,) int64`, or -1 for none.

    A cell is to find a box if its middle lies near the box's own: within a fifth of the side to both sides, at most
    2.5 cells and at least half of one, so that every box has a cell. Of several boxes it finds the smallest
    (FCOS with centre sampling).

    Args:
        boxes: `(k, 4)` pixels.
        at: `(cells, 2)` pixels, middles of the cells.
    """
    if not len(boxes):
        return torch.full((len(at),), NOBODY, dtype=torch.int64, device=at.device)
    middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    room = (side * _CENTRE).clamp(min=STRIDE / 2, max=STRIDE * _CELLS)
    near = ((at[:, None] - middle[None]).abs() <= room[None]).all(dim=2)  # (cells, k)
    size = torch.where(near, area(boxes)[None], torch.inf)
    smallest, owner = size.min(dim=1)
    return torch.where(smallest.isfinite(), owner, NOBODY)


def quality_focal(logits: Tensor, quality: Tensor) -> Tensor:
    """Return |q - p|^2 times the binary cross-entropy of p = sigmoid(logit) with q, of each element.

    Quality focal loss with beta = 2 (Li et al., "Generalized Focal Loss", NeurIPS 2020, eq. 2): zero where p = q.

    Args:
        logits: of any shape.
        quality: of the same shape, in 0..1; not differentiated.
    """
    distance = (quality - logits.sigmoid()).abs()
    return distance.square() * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")


def detection_loss(
    logits: Tensor, found: Tensor, truth: Sequence[Tensor], at: Tensor, box_weight: float
) -> DetectionLoss:
    """Return the loss of a batch: scores are to be the IoU of the cell's own box with the one it is to find, else 0.

    Args:
        logits: `(n, cells)`.
        found: `(n, cells, 4)` pixels.
        truth: for each of the n pictures, `(k_i, 4)` pixels.
        at: `(cells, 2)`, middles of the cells.
        box_weight: of the boxes beside the scores.
    """
    owners = [responsible(boxes, at) for boxes in truth]
    wanted = torch.stack(owners) != NOBODY
    goal = torch.cat([boxes[owner[owner != NOBODY]] for boxes, owner in zip(truth, owners, strict=True)])
    overlap, general = paired_iou(found[wanted], goal)
    quality = torch.zeros_like(logits)
    quality[wanted] = overlap.detach().clamp(0, 1)
    cells = max(1, len(goal))
    score = quality_focal(logits, quality).sum() / cells
    box = (1 - general).sum() / cells
    return DetectionLoss(score + box_weight * box, score, box)
