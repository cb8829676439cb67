"""The task against its three losses put together by hand, its masks, and numeric gradients."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.train.config import LossConfig
from models.train.data import Batch
from models.train.losses import same, symmetric_info_nce
from models.train.task import ContrastiveTask

STILL = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
TEXTS = ("a red top", "boots", "a red top", "a red top")
ENTITIES = ({"brand": "Nike"}, {}, {"brand": "Nike"}, {"brand": "Diesel", "season": "Winter"})
ALL_GROUPS = ({"brand": "Nike", "category": "top"}, {}, {"season": "Summer"}, {"brand": "Diesel"})


def batch(tiny, model, texts=TEXTS, entities=ENTITIES, suits=None):
    pixels = torch.from_numpy(model.backbone.prepare_images(tiny.photos(len(texts))))
    suits = torch.zeros(len(texts), len(texts), dtype=torch.bool) if suits is None else torch.tensor(suits)
    return Batch(pixels, STILL.repeat(len(texts), 1, 1), texts, entities, tuple(range(len(texts))), suits)


@pytest.fixture
def tiny(support):
    return support("tiny")


def pieces(model, example):
    """Images, words, w * h `(n, K, d)` of a batch, and the scale, from the model's parts."""
    tokens, rows = model.read(example.texts, example.entities)
    images = F.normalize(model.backbone.image_features(example.pixels, example.zooms), dim=-1)
    words = F.normalize(model.backbone.text_features(tokens), dim=-1)
    h, w = model.entities(rows)
    return images, words, w[..., None] * h, model.backbone.logit_scale.exp()


def test_total_is_the_weighted_sum_of_the_losses(tiny, tmp_path):
    model = tiny.eiclip(tmp_path)
    suits = [[False, True, False, False]] + [[False] * 4] * 3  # the first picture also shows "boots"
    example = batch(tiny, model, suits=suits)
    losses = ContrastiveTask(model, LossConfig(fused=1.0, description=0.25, entities=2.0, groups=0.125))(example)
    images, words, stated, scale = pieces(model, example)
    fused = F.normalize(words + model.scale * stated.sum(dim=1), dim=-1)
    want_fused = symmetric_info_nce(images, fused, scale, same(["a", "b", "a", "c"]), torch.tensor(suits))
    want_words = symmetric_info_nce(images, words, scale, same(["a", "b", "a", "a"]), torch.tensor(suits))
    known = [0, 2, 3]  # the second example states nothing
    together = F.normalize(stated[known].sum(dim=1), dim=-1)
    want_entities = symmetric_info_nce(images[known], together, scale, same(["nike", "nike", "diesel"]))
    brands = F.normalize(stated[known, 0], dim=-1)  # no category, and but one season: no loss of theirs
    want_groups = symmetric_info_nce(images[known], brands, scale, same(["nike", "nike", "diesel"]))
    torch.testing.assert_close(losses.fused, want_fused.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(losses.words, want_words.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(losses.entities, want_entities.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(losses.groups, want_groups.detach(), atol=1e-5, rtol=0)
    total = want_fused + 0.25 * want_words + 2.0 * want_entities + 0.125 * want_groups
    torch.testing.assert_close(losses.total, total, atol=1e-5, rtol=0)


def test_the_loss_of_single_entities_is_the_mean_over_the_groups(tiny, tmp_path):
    model = tiny.eiclip(tmp_path)
    stated = ({"brand": "Nike", "season": "Summer"}, {"season": "Winter"}, {"brand": "Diesel"}, {"season": "Summer"})
    example = batch(tiny, model, entities=stated)
    losses = ContrastiveTask(model, LossConfig())(example)
    images, _, parts, scale = pieces(model, example)
    brands = symmetric_info_nce(images[[0, 2]], F.normalize(parts[[0, 2], 0], dim=-1), scale, same(["n", "d"]))
    rows = [0, 1, 3]
    seasons = symmetric_info_nce(images[rows], F.normalize(parts[rows, 2], dim=-1), scale, same(["s", "w", "s"]))
    torch.testing.assert_close(losses.groups, ((brands + seasons) / 2).detach(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["pasted", "none"])
def test_a_baseline_has_one_loss(tiny, tmp_path, mode):
    model = tiny.eiclip(tmp_path, mode=mode)
    example = batch(tiny, model)
    losses = ContrastiveTask(model, LossConfig())(example)
    tokens, _ = model.read(example.texts, example.entities)
    images = F.normalize(model.backbone.image_features(example.pixels, example.zooms), dim=-1)
    words = F.normalize(model.backbone.text_features(tokens), dim=-1)
    keys = ["a", "b", "a", "c"] if mode == "pasted" else ["a", "b", "a", "a"]
    want = symmetric_info_nce(images, words, model.backbone.logit_scale.exp(), same(keys))
    torch.testing.assert_close(losses.total, want, atol=1e-5, rtol=0)
    assert float(losses.fused) == float(losses.entities) == float(losses.groups) == 0.0


@pytest.mark.parametrize("entities", [({}, {}, {}, {}), ({"brand": "Nike"}, {}, {}, {"brand": "Unheard Of"})])
def test_fewer_than_two_stated_examples_have_no_entity_loss(tiny, tmp_path, entities):
    model = tiny.eiclip(tmp_path)
    losses = ContrastiveTask(model, LossConfig())(batch(tiny, model, entities=entities))
    assert float(losses.entities) == float(losses.groups) == 0.0
    losses.total.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_gradients_of_the_entity_side_are_the_numeric_ones(tiny, tmp_path):
    model = tiny.eiclip(tmp_path).double()
    example = batch(tiny, model)
    task = ContrastiveTask(model, LossConfig())
    images = torch.nn.functional.normalize(torch.randn(4, model.backbone.dim, dtype=torch.float64), dim=-1)
    model.backbone.image_features = lambda *_: images  # the picture tower works in float32 only
    total = task(example).total
    model.zero_grad()
    total.backward()
    rng = np.random.default_rng(0)
    checked = [model.scale, *model.entities.parameters(), model.backbone.logit_scale]
    for parameter in checked:
        spot = tuple(rng.integers(0, size) for size in parameter.shape)
        step, values = 1e-5, []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[spot] += sign * step
                values.append(float(task(example).total))
                parameter[spot] -= sign * step
        numeric = (values[0] - values[1]) / (2 * step)
        assert float(parameter.grad[spot]) == pytest.approx(numeric, rel=1e-4, abs=1e-8)


def test_every_part_of_the_model_learns(tiny, tmp_path):
    model = tiny.eiclip(tmp_path).train()
    ContrastiveTask(model, LossConfig())(batch(tiny, model, entities=ALL_GROUPS)).total.backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Values of no example, and the last scales of ResNet blocks that start at zero shadow what is before them.
    assert not [name for name in still if "embeddings" not in name and "visual.layer" not in name]


def test_the_scale_is_held_at_its_maximum(tiny, tmp_path):
    model = tiny.eiclip(tmp_path)
    task = ContrastiveTask(model, LossConfig(max_scale=100))
    with torch.no_grad():
        model.backbone.logit_scale.fill_(9.0)
    task.clamp_scale()
    assert model.backbone.logit_scale.item() == pytest.approx(math.log(100))
    with torch.no_grad():
        model.backbone.logit_scale.fill_(2.0)
    task.clamp_scale()
    assert model.backbone.logit_scale.item() == 2.0
