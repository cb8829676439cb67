"""The detector's losses against naive oracles and worked cases."""

import math

import numpy as np
import pytest
import torch

import models.clip  # noqa: F401 - torchvision cannot be imported before it on some machines
from models.capture.detector import middles
from models.capture.detector_losses import detection_loss, quality_focal, responsible


def test_the_cells_around_a_boxs_middle_are_to_find_it():
    at = middles(64)  # cells of 8 pixels, middles at 4, 12, ..., 60
    owner = responsible(torch.tensor([[0.0, 8, 40, 48]]), at).view(8, 8)  # middle (20, 28), a fifth of 40 is 8
    assert [tuple(cell) for cell in (owner == 0).nonzero().tolist()] == [
        (row, column) for row in (2, 3, 4) for column in (1, 2, 3)
    ]
    assert set(owner.flatten().tolist()) == {-1, 0}


def test_every_box_has_a_cell_and_a_large_one_no_more_than_36():
    at = middles(256)
    rng = np.random.default_rng(0)
    for _ in range(50):
        corner = rng.uniform(0, 250, 2)
        tiny = torch.tensor([[*corner, *(corner + rng.uniform(0.5, 5, 2))]], dtype=torch.float32)
        assert (responsible(tiny, at) == 0).sum() >= 1
    assert (responsible(torch.tensor([[0.0, 0, 256, 256]]), at) == 0).sum() == 36  # middles 4, 12 and 20 pixels away
    assert (responsible(torch.tensor([[0.0, 0, 248, 248]]), at) == 0).sum() == 25  # 0, 8 and 16


def test_a_cell_finds_the_smallest_of_several():
    at = middles(64)
    boxes = torch.tensor([[0.0, 0, 64, 64], [20, 20, 44, 44]])
    middle = at.sub(32).abs().amax(dim=1) <= 4  # the four cells that both boxes want
    assert responsible(boxes, at)[middle].tolist() == [1] * 4
    assert responsible(boxes.flip(0), at)[middle].tolist() == [0] * 4
    assert responsible(boxes[:1], at)[middle].tolist() == [0] * 4


def test_nothing_is_to_be_found_where_nothing_is():
    assert set(responsible(torch.empty(0, 4), middles(64)).tolist()) == {-1}


def test_quality_focal_is_a_naive_oracle_and_torchvisions_focal_loss_where_quality_is_a_class():
    from torchvision.ops import sigmoid_focal_loss  # noqa: PLC0415 - after models.clip

    rng = np.random.default_rng(3)
    logits, quality = rng.normal(0, 3, 40), rng.uniform(0, 1, 40)
    expected = []
    for z, q in zip(logits, quality, strict=True):
        p = 1 / (1 + math.exp(-z))
        expected.append((q - p) ** 2 * -(q * math.log(p) + (1 - q) * math.log(1 - p)))
    found = quality_focal(torch.tensor(logits), torch.tensor(quality))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    classes = torch.tensor(quality > 0.5, dtype=torch.float64)
    focal = sigmoid_focal_loss(torch.tensor(logits), classes, alpha=-1, gamma=2)
    torch.testing.assert_close(quality_focal(torch.tensor(logits), classes), focal)


def test_quality_focal_worked_by_hand():
    assert quality_focal(torch.tensor(0.0), torch.tensor(1.0)).item() == pytest.approx(0.25 * math.log(2))
    assert quality_focal(torch.tensor(math.log(3.0)), torch.tensor(0.75)).item() == pytest.approx(0, abs=1e-12)


def naive_loss(logits, found, truth, at, box_weight):
    """Cell by cell, in plain numbers."""
    score = box = cells = 0.0
    for n, boxes in enumerate(truth):
        owners = responsible(boxes, at).tolist()
        for cell, owner in enumerate(owners):
            quality = 0.0
            if owner >= 0:
                a, b = found[n, cell].tolist(), boxes[owner].tolist()
                both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
                union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
                around = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
                quality = both / union
                box += 1 - (quality - (around - union) / around)
                cells += 1
            p = 1 / (1 + math.exp(-logits[n, cell].item()))
            score += (quality - p) ** 2 * -(quality * math.log(p) + (1 - quality) * math.log(1 - p))
    cells = max(1.0, cells)
    return score / cells + box_weight * box / cells, score / cells, box / cells


def test_the_whole_loss_is_that_of_a_naive_oracle():
    rng = np.random.default_rng(4)
    at = middles(64)
    reach = torch.tensor(rng.uniform(2, 30, (3, 64, 4)), dtype=torch.float32)
    found = torch.cat([at - reach[..., :2], at + reach[..., 2:]], dim=2)
    logits = torch.tensor(rng.normal(-1, 2, (3, 64)), dtype=torch.float32)
    truth = [
        torch.tensor([[3.0, 5, 33, 40], [30, 30, 62, 60]]),
        torch.empty(0, 4),
        torch.tensor([[10.0, 0, 20, 64], [0, 20, 60, 44], [5, 5, 9, 9]]),
    ]
    loss = detection_loss(logits, found, truth, at, 2.0)
    assert [loss.total.item(), loss.score.item(), loss.box.item()] == pytest.approx(
        naive_loss(logits, found, truth, at, 2.0), rel=1e-4
    )


def test_a_perfect_answer_costs_nothing_and_moves_nothing():
    at = middles(64)
    truth = [torch.tensor([[8.0, 8, 40, 40]])]
    owner = responsible(truth[0], at)
    found = truth[0].expand(64, 4).clone()[None].requires_grad_()
    logits = torch.where(owner == 0, 20.0, -20.0)[None].requires_grad_()
    loss = detection_loss(logits, found, truth, at, 2.0)
    loss.total.backward()
    assert loss.total.item() < 1e-6
    assert logits.grad.abs().max() < 1e-6


def test_no_product_at_all_still_teaches_the_scores():
    logits = torch.zeros(2, 64, requires_grad=True)
    found = torch.tensor([0.0, 0, 8, 8]).expand(2, 64, 4)
    loss = detection_loss(logits, found, [torch.empty(0, 4)] * 2, middles(64), 2.0)
    loss.total.backward()
    assert loss.total.item() == pytest.approx(128 * 0.25 * math.log(2))
    assert (logits.grad > 0).all()
