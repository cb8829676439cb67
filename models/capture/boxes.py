"""Boxes in plain torch: overlap, suppression of duplicates, and features of regions.

Boxes are `(n, 4)`: left, top, right, bottom, right and bottom exclusive. The compiled operations of torchvision are
absent where torch is a build for the CPU alone and torchvision is not, and would be all that is used of it here.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def area(boxes: Tensor) -> Tensor:
    """Return `(n,)` areas of `boxes (n, 4)`; 0 where a side is negative."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return `(n, m)` intersections over unions of boxes `a (n, 4)` and `b (m, 4)`; 0 of two empty boxes."""
    corner = torch.maximum(a[:, None, :2], b[None, :, :2])
    opposite = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    common = (opposite - corner).clamp(min=0).prod(dim=2)
    union = area(a)[:, None] + area(b)[None] - common
    return common / union.clamp(min=torch.finfo(common.dtype).tiny)


def paired_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalised IoU, `(n,)` each, of `a[i]` with `b[i]`, boxes of positive area.

    GIoU is IoU less the share of the smallest box around both that neither covers, in -1..1 (Rezatofighi et al.,
    "Generalized Intersection over Union", CVPR 2019): boxes that do not touch still say where to go.
    """
    common = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    union = area(a) + area(b) - common
    overlap = common / union
    return overlap, overlap - (around - union) / around


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return the rows that are kept of `boxes (n, 4)`, best first: none overlaps a better one by IoU > `threshold`.

    Of equal `scores (n,)` the earlier row is the better one.
    """
    order = scores.argsort(descending=True, stable=True)
    clash = (iou(boxes[order], boxes[order]) > threshold).cpu().numpy()
    alive = [True] * len(order)
    kept = []
    for row in range(len(order)):
        if alive[row]:
            kept.append(row)
            for other in clash[row].nonzero()[0]:
                alive[other] = False
    return order[torch.tensor(kept, dtype=torch.int64, device=order.device)]


def roi_align(features: Tensor, boxes: Sequence[Tensor], size: int, samples: int = 2) -> Tensor:
    """Return the mean of bilinear samples in each of `size` x `size` parts of every box.

    He et al., "Mask R-CNN", ICCV 2017, with corners in the continuous coordinates of the map: the middle of its first
    cell is (0.5, 0.5). Samples beyond the middles of the outermost cells take their values.

    Args:
        features: `(n, c, h, w)`.
        boxes: for each of the n maps, `(k_i, 4)` in cells of the map.
        size: parts along each side.
        samples: along each side of a part.

    Returns:
        `(sum of k_i, c, size, size)`, in the order of the boxes.
    """
    height, width = features.shape[2:]
    steps = (torch.arange(size * samples, device=features.device, dtype=features.dtype) + 0.5) / (size * samples)
    scale = features.new_tensor([width, height])
    parts = [features.new_zeros(0, features.shape[1], size, size)]
    for plane, found in zip(features, boxes, strict=True):
        if not len(found):
            continue
        corner, side = found[:, :2], found[:, 2:] - found[:, :2]
        at = (corner[:, None] + steps[None, :, None] * side[:, None]) / scale * 2 - 1  # (k, size * samples, xy)
        across = at[:, None, :, 0].expand(-1, len(steps), -1)
        down = at[:, :, None, 1].expand(-1, -1, len(steps))
        grid = torch.stack([across, down], dim=3).flatten(0, 1)[None]  # all boxes of the map under each other
        sampled = F.grid_sample(plane[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
        parts.append(
            F.avg_pool2d(
                sampled[0].reshape(len(sampled[0]), len(found), len(steps), len(steps)).transpose(0, 1), samples
            )
        )
    return torch.cat(parts)
