"""Batch-norm statistics before a validation: those of the weights as they are, whatever was there before."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import models.train
from models.clip import open_backbone
from models.train.pixels import PictureTable
from models.train.validation import settle_statistics


@pytest.fixture(scope="module")
def table():
    pixels = np.random.default_rng(0).integers(0, 256, (21, 80, 64, 3), dtype=np.uint8)
    return PictureTable((), (), np.arange(22), pixels)


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return open_backbone(str(Path(models.train.__file__).parent / "configs" / "catalens-80x64"))


def norms(backbone):
    return [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]


def test_statistics_become_the_means_over_the_batches(backbone, table):
    first = norms(backbone)[0]
    seen = []
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    settle_statistics(backbone, table, batch_size=5)
    hook.remove()
    assert [len(batch) for batch in seen] == [5] * 4
    means = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in seen])
    variances = torch.stack([batch.var(dim=(0, 2, 3)) for batch in seen])
    torch.testing.assert_close(first.running_mean, means.mean(dim=0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first.running_var, variances.mean(dim=0), atol=1e-5, rtol=1e-4)


def test_what_was_there_before_does_not_matter_and_nothing_else_changes(backbone, table):
    weights = {name: value.clone() for name, value in backbone.named_parameters()}
    settle_statistics(backbone, table, batch_size=7)
    settled = [norm.running_mean.clone() for norm in norms(backbone)]
    for norm in norms(backbone):
        norm.running_mean.fill_(9.0)
    backbone.train()
    settle_statistics(backbone, table, batch_size=7)
    assert backbone.training
    assert all(norm.momentum == 0.1 for norm in norms(backbone))
    assert all(torch.equal(norm.running_mean, was) for norm, was in zip(norms(backbone), settled, strict=True))
    assert all(torch.equal(value, weights[name]) for name, value in backbone.named_parameters())


def test_a_backbone_without_batch_norm_is_left_alone(support, tmp_path, table):
    plain = support("batches").vit_model(tmp_path).backbone
    plain.image_features = None  # would fail if it were called
    settle_statistics(plain, table, batch_size=4)


def test_a_trunk_that_is_held_is_left_alone(backbone, table):
    backbone.hold_trunk()
    before = [norm.running_mean.clone() for norm in norms(backbone)]
    settle_statistics(backbone, table, batch_size=7)
    assert before
    assert all(torch.equal(norm.running_mean, was) for norm, was in zip(norms(backbone), before, strict=True))
