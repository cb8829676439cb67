"""Boxes in plain torch against worked cases, a naive loop, and torchvision's own plain form."""

import numpy as np
import pytest
import torch

import models.clip  # noqa: F401 - torchvision cannot be imported before it on some machines
from models.capture.boxes import area, iou, nms, paired_iou, roi_align


def some_boxes(rng, count, extent=40.0):
    corner = rng.uniform(0, extent, (count, 2))
    return torch.tensor(
        np.concatenate([corner, corner + rng.uniform(1, extent / 2, (count, 2))], 1), dtype=torch.float32
    )


def naive_iou(a, b):
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = wide * high
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_overlaps_worked_by_hand():
    a = torch.tensor([[0.0, 0, 4, 2], [10, 10, 12, 12], [5, 5, 5, 9]])
    b = torch.tensor([[2.0, 0, 6, 2], [0, 0, 4, 2], [12, 10, 14, 12]])
    assert area(a).tolist() == [8, 4, 0]
    torch.testing.assert_close(iou(a, b), torch.tensor([[1 / 3, 1, 0], [0, 0, 0], [0, 0, 0]]))
    assert iou(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0
    assert iou(a[:0], b).shape == (0, 3)


def test_overlaps_are_those_of_a_naive_loop():
    rng = np.random.default_rng(0)
    a, b = some_boxes(rng, 12), some_boxes(rng, 9)
    expected = [[naive_iou(one, other) for other in b.tolist()] for one in a.tolist()]
    np.testing.assert_allclose(iou(a, b).numpy(), expected, rtol=1e-5, atol=1e-7)


def test_generalised_overlap_worked_by_hand():
    a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 2]])
    b = torch.tensor([[0.0, 0, 2, 2], [4, 0, 6, 2], [1, 1, 3, 3]])
    overlap, general = paired_iou(a, b)
    assert overlap.tolist() == pytest.approx([1, 0, 1 / 7])
    assert general.tolist() == pytest.approx([1, -1 / 3, 1 / 7 - 2 / 9])  # around them: 6 x 2 with 8, 3 x 3 with 7


def test_generalised_overlap_is_torchvisions():
    from torchvision.ops import generalized_box_iou  # noqa: PLC0415 - after models.clip

    rng = np.random.default_rng(1)
    a, b = some_boxes(rng, 20), some_boxes(rng, 20)
    torch.testing.assert_close(paired_iou(a, b)[1], generalized_box_iou(a, b).diagonal())


def naive_nms(boxes, scores, threshold):
    left, kept = sorted(range(len(boxes)), key=lambda row: -scores[row]), []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [row for row in left if naive_iou(boxes[best], boxes[row]) <= threshold]
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_suppression_is_that_of_a_naive_loop(threshold, seed):
    rng = np.random.default_rng(seed)
    boxes, scores = some_boxes(rng, 60), torch.tensor(rng.integers(0, 20, 60) / 20)  # many of equal score
    assert nms(boxes, scores, threshold).tolist() == naive_nms(boxes.tolist(), scores.tolist(), threshold)


def test_what_is_suppressed_suppresses_nothing():
    chain = torch.tensor(
        [[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]
    )  # neighbours overlap by 6/14, the ends by 2/18
    assert nms(chain, torch.tensor([0.9, 0.8, 0.7]), 0.4).tolist() == [0, 2]
    assert nms(chain[:0], torch.empty(0), 0.4).tolist() == []


def test_features_of_a_ramp_are_the_ramp_at_the_middles_of_the_parts():
    down, across = torch.meshgrid(torch.arange(12.0), torch.arange(16.0), indexing="ij")
    ramp = torch.stack([3 * (across + 0.5) + 2 * (down + 0.5), 1 - (down + 0.5)])[None]  # f(x, y) at x = column + 0.5
    boxes = torch.tensor([[2.0, 3, 8, 9], [1.5, 2.25, 14.5, 4.75]])
    found = roi_align(ramp, [boxes], 3)
    for box, features in zip(boxes, found, strict=True):
        for row in range(3):
            for column in range(3):
                x = box[0] + (box[2] - box[0]) * (column + 0.5) / 3
                y = box[1] + (box[3] - box[1]) * (row + 0.5) / 3
                torch.testing.assert_close(features[:, row, column], torch.stack([3 * x + 2 * y, 1 - y]))


def naive_sample(plane, x, y):
    """Bilinear between the middles of the four cells around (x, y); the outermost cells go on for ever."""
    x, y = min(max(x - 0.5, 0), plane.shape[1] - 1), min(max(y - 0.5, 0), plane.shape[0] - 1)
    column, row = min(int(x), plane.shape[1] - 2), min(int(y), plane.shape[0] - 2)
    right, down = x - column, y - row
    upper = plane[row, column] * (1 - right) + plane[row, column + 1] * right
    lower = plane[row + 1, column] * (1 - right) + plane[row + 1, column + 1] * right
    return upper * (1 - down) + lower * down


def naive_part(plane, box, part, size, samples):
    """Mean of the samples of the part in (row, column) `part` of `size` x `size`."""
    wide, high = (box[2] - box[0]) / size, (box[3] - box[1]) / size
    at = [(step + 0.5) / samples for step in range(samples)]
    places = [(box[0] + (part[1] + u) * wide, box[1] + (part[0] + v) * high) for v in at for u in at]
    return sum(naive_sample(plane, x, y) for x, y in places) / len(places)


@pytest.mark.parametrize(("size", "samples"), [(1, 1), (2, 2), (5, 2), (3, 4)])
def test_features_of_regions_are_those_of_a_naive_loop(size, samples):
    rng = np.random.default_rng(2)
    maps = rng.standard_normal((3, 2, 10, 14))
    boxes = [some_boxes(rng, 2, 8), some_boxes(rng, 0), some_boxes(rng, 2, 8)]  # some reach beyond the map
    expected = [
        [[[naive_part(plane, box, (row, column), size, samples) for column in range(size)] for row in range(size)]
         for plane in maps[n]]
        for n, found in enumerate(boxes) for box in found.tolist()
    ]  # fmt: skip
    found = roi_align(torch.tensor(maps, dtype=torch.float32), boxes, size, samples)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_features_of_no_region_have_no_rows():
    assert roi_align(torch.zeros(2, 3, 8, 8), [torch.empty(0, 4)] * 2, 4).shape == (0, 3, 4, 4)
