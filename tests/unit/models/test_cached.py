"""Batches in chunks: the gradient of the whole batch, statistics counted once, dropout drawn alike."""

import pytest
import torch
from torch import nn

from models.train.cached import _chunks, backward
from models.train.config import LossConfig
from models.train.distributed import World
from models.train.task import ContrastiveTask

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture
def batches(support):
    return support("batches")


def gradients(model, batch, chunk_size, low=None):
    model.zero_grad()
    losses = backward(ContrastiveTask(model, LossConfig(), low), batch, ALONE, chunk_size)
    return losses, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_near(one, other, atol=1e-5):
    assert one.keys() == other.keys()
    for name, grad in one.items():
        torch.testing.assert_close(
            grad, other[name], atol=atol, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("chunk_size", [2, 5, 6, 12])
def test_the_gradient_in_chunks_is_that_of_the_whole_batch(batches, tmp_path, chunk_size):
    model, batch = batches.vit_model(tmp_path).train(), batches.noise(11)
    direct, want = gradients(model, batch, None)
    cached, got = gradients(model, batch, chunk_size)
    assert_near(want, got)
    assert float(cached.total) == pytest.approx(float(direct.total), abs=1e-5)
    assert any(float(grad.abs().max()) > 1e-3 for name, grad in want.items() if "visual" in name)


def test_whole_batch_backward_is_that_of_the_task(batches, tmp_path):
    model, batch = batches.vit_model(tmp_path).train(), batches.noise(6)
    _, got = gradients(model, batch, None)
    model.zero_grad()
    ContrastiveTask(model, LossConfig())(batch).total.backward()
    assert_near({name: p.grad for name, p in model.named_parameters() if p.grad is not None}, got, atol=0)


def test_losses_of_chunks_added_up_would_be_another_gradient(batches, tmp_path):
    """What a naive accumulation gives: the reason for the cache."""
    model, batch = batches.vit_model(tmp_path).train(), batches.noise(8)
    _, want = gradients(model, batch, None)
    model.zero_grad()
    task = ContrastiveTask(model, LossConfig())
    reading = task.read(batch)
    for part in (slice(0, 4), slice(4, 8)):
        own = type(reading)(reading.tokens[part], reading.shown[part], reading.rows[part], reading.suits[part, part])
        (task.losses(*task.encode(batch, reading, part), own).total / 2).backward()
    name = "backbone.model.visual.conv1.weight"
    assert not torch.allclose(dict(model.named_parameters())[name].grad, want[name], rtol=0.05)


def test_running_statistics_are_updated_once_for_each_chunk(batches, support, tmp_path):
    model, batch = support("tiny").eiclip(tmp_path).train(), batches.noise(8)
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    seen = []
    norm.register_forward_hook(lambda m, *_: seen.append((int(m.num_batches_tracked), m.running_mean.clone())))
    gradients(model, batch, 4)
    assert [count for count, _ in seen] == [0, 0, 1, 2]  # two chunks without a gradient, then two with one
    assert torch.equal(seen[0][1], seen[1][1])
    assert not torch.equal(seen[1][1], seen[2][1])
    assert norm.track_running_stats


def test_dropout_is_drawn_alike_in_both_passes_and_the_stream_goes_on(batches, tmp_path):
    model, batch = batches.vit_model(tmp_path).train(), batches.noise(6)
    dropout, masks = nn.Dropout(0.5), []
    encode = model.backbone.image_features

    def dropped(*args):
        mask = dropout(torch.ones(24))
        masks.append(mask)
        return encode(*args) * mask

    model.backbone.image_features = dropped
    torch.manual_seed(3)
    gradients(model, batch, 3)
    after = torch.rand(1)
    assert torch.equal(masks[0], masks[2])
    assert torch.equal(masks[1], masks[3])
    assert not torch.equal(masks[0], masks[1])
    torch.manual_seed(3)
    dropout(torch.ones(24))
    dropout(torch.ones(24))
    assert torch.equal(after, torch.rand(1))


def test_low_precision_stays_near_and_leaves_features_in_float32(batches, tmp_path):
    model, batch = batches.vit_model(tmp_path).train(), batches.noise(8)
    full, want = gradients(model, batch, None)
    for chunk_size in (None, 4):
        low, got = gradients(model, batch, chunk_size, torch.bfloat16)
        assert float(low.total) != float(full.total)
        assert float(low.total) == pytest.approx(float(full.total), rel=0.02)
        assert all(grad.dtype == torch.float32 for grad in got.values())
        name = "backbone.model.visual.conv1.weight"
        cosine = torch.cosine_similarity(want[name].flatten(), got[name].flatten(), dim=0)
        assert float(cosine) > 0.95
    task = ContrastiveTask(model, LossConfig(), torch.bfloat16)
    assert {f.dtype for f in task.encode(batch, task.read(batch), slice(None))} == {torch.float32}


@pytest.mark.parametrize(("count", "size", "chunk"), [(11, 1, 4), (11, 2, 3), (7, 3, 2), (2, 2, 2), (5, 2, 2)])
def test_processes_and_chunks_cover_the_batch_once_and_in_equal_number(count, size, chunk):
    chunks = [_chunks(World(rank, size, torch.device("cpu")), count, chunk) for rank in range(size)]
    rows = [row for own in chunks for part in own for row in range(count)[part]]
    assert rows == list(range(count))
    assert len({len(own) for own in chunks}) == 1
    assert all(1 <= part.stop - part.start <= chunk for own in chunks for part in own)
