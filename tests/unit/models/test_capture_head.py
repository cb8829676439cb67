"""The instance head: its loss against a naive oracle, numpy against torch, training that learns and repeats itself."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from models.capture import course
from models.capture.head import HeadCard, InstanceHead, load_head, save_head
from models.capture.head_losses import bank_info_nce
from models.capture.head_training import HeadConfig, HeadData, HeadLesson, HeadNet, fit_head, padded
from models.checkpoint import CheckpointError, DataCard
from models.train.feed import DataError
from models.train.loop import Provenance, RunError

PROVENANCE = Provenance(command="python -m models capture train-head", commit="abc")
QUICK = {"epochs": 3, "batch_size": 32, "lr": 0.01}


@pytest.fixture(scope="module")
def regions(support):
    return support("regions")


@pytest.fixture(scope="module")
def data(regions):
    return HeadData(*regions.made(composites=240, noise=0.05), DataCard(name="made", fingerprint="f", products={}))


def config(*, optim=None, run=None, **top):
    settings = {"run": {"device": "cpu", "tensorboard": False, **(run or {})}, "optim": {**QUICK, **(optim or {})}}
    return HeadConfig.model_validate({"name": "tiny", "hidden": 8, "regions": {"held_back": 0.2}, **settings, **top})


def fit(data, out, *, resume=False, **sections):
    lines = []
    card = fit_head(config(**sections), data, "e" * 64, out, resume=resume, provenance=PROVENANCE, report=lines.append)
    return card, lines


def naive(queries, bank, targets, scale):
    total = 0.0
    for query, target in zip(queries.tolist(), targets.tolist(), strict=True):
        near = [
            scale * max(sum(a * b for a, b in zip(query, view, strict=True)) for view in views)
            for views in bank.tolist()
        ]
        total += math.log(sum(math.exp(x) for x in near)) - near[target]
    return total / len(queries)


def test_loss_is_the_naive_oracle():
    generator = torch.Generator().manual_seed(3)
    queries, bank = (
        torch.nn.functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)
        for shape in ((5, 6), (7, 3, 6))
    )
    targets = torch.tensor([0, 6, 3, 3, 1])
    loss = bank_info_nce(queries, bank, targets, torch.tensor(4.0, dtype=torch.float64))
    assert float(loss) == pytest.approx(naive(queries, bank, targets, 4.0))


def test_loss_of_products_that_are_all_alike_is_log_of_their_number():
    loss = bank_info_nce(torch.ones(2, 1), torch.ones(9, 2, 1), torch.tensor([0, 8]), torch.tensor(50.0))
    assert float(loss) == pytest.approx(math.log(9), abs=1e-5)


def test_only_the_nearest_picture_of_a_product_counts():
    bank = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [-1.0, 0.0]]])
    loss = bank_info_nce(torch.tensor([[1.0, 0.0]]), bank, torch.tensor([0]), torch.tensor(1.0))
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2.0)))


def test_products_with_fewer_pictures_repeat_their_own():
    rows = np.arange(6, dtype=np.float32).reshape(6, 1)
    assert padded(rows, np.array([0, 1, 4, 6]))[..., 0].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 5]]


def test_an_untrained_head_leaves_vectors_as_they_are_and_numpy_computes_as_torch(regions):
    net, x = HeadNet(16, 8), regions.unit(np.random.default_rng(1).standard_normal((30, 16)))
    card = HeadCard(name="n", licence="l", encoder="e", dim=16, hidden=8)
    np.testing.assert_allclose(InstanceHead(card, net.weights()).apply(x), x, atol=1e-6)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    found = InstanceHead(card, net.weights()).apply(x)
    with torch.no_grad():
        np.testing.assert_allclose(found, net(torch.from_numpy(x)).numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_nothing_is_led_nowhere_and_other_shapes_are_refused():
    head = InstanceHead(HeadCard(name="n", licence="l", encoder="e", dim=4, hidden=2), HeadNet(4, 2).weights())
    assert head.apply(np.empty((0, 4), np.float32)).shape == (0, 4)
    for wrong in (np.zeros((2, 5), np.float32), np.zeros(4, np.float32)):
        with pytest.raises(ValueError, match=r"must be \(n, 4\)"):
            head.apply(wrong)


def test_training_undoes_what_separates_regions_from_pictures(data, tmp_path):
    card, lines = fit(data, tmp_path, optim={"epochs": 12})
    assert lines[0].startswith("without a head")
    assert card.metrics["val_r1_without"] < 0.3
    assert card.metrics["val_r1"] > 0.8
    head = load_head(tmp_path)
    assert head.encoder == "e" * 64
    assert head.fingerprint == card.fingerprint
    lesson = HeadLesson(config(optim={"epochs": 12}), data)
    kept = load_file(tmp_path / "model.safetensors")
    with torch.no_grad():
        lesson.net.change.weight.copy_(torch.from_numpy(kept["linear.weight"].astype(np.float32)) - torch.eye(16))
        for name in ("change.bias", "wide.weight", "wide.bias", "narrow.weight", "narrow.bias"):
            stored = kept[name.replace("change", "linear")].astype(np.float32)
            lesson.net.get_parameter(name).copy_(torch.from_numpy(stored))
    assert lesson.measure() == pytest.approx({"r1": card.metrics["val_r1"], "r10": card.metrics["val_r10"]}, abs=0.03)
    held = int(data.catalogue.held_back(0.2).sum())
    assert card.training.data.products == {"train": 60 - held, "held back": held}


def test_eight_regions_are_learnt_by_heart(data):
    torch.manual_seed(0)
    lesson = HeadLesson(config(hidden=64), data)
    rows = torch.from_numpy(lesson._train[:8])
    vectors, targets = torch.from_numpy(data.regions.vectors[rows.numpy()]), lesson._targets[rows]
    optimizer = torch.optim.Adam(lesson.net.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss = bank_info_nce(lesson.net(vectors), lesson._bank, targets, lesson.net.scale)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.01


class KilledError(Exception):
    pass


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_killed_run_resumes_to_the_same_weights(data, tmp_path, monkeypatch, noise):
    settings = {"run": {"save_every_steps": 2}, "noise": noise, "bank": 40}
    card, _ = fit(data, tmp_path / "whole", **settings)
    step, done = course.Course._step, []

    def killed(self, epoch, number):
        done.append(number)
        if len(done) == 8:
            raise KilledError
        return step(self, epoch, number)

    monkeypatch.setattr(course.Course, "_step", killed)
    with pytest.raises(KilledError):
        fit(data, tmp_path / "killed", **settings)
    monkeypatch.undo()
    with pytest.raises(RunError, match="unfinished run"):
        fit(data, tmp_path / "killed", **settings)
    resumed, _ = fit(data, tmp_path / "killed", resume=True, **settings)
    assert resumed == card
    assert not (tmp_path / "killed" / "run").exists()
    other, _ = fit(data, tmp_path / "other", run={"save_every_steps": 2, "seed": 1}, noise=noise, bank=40)
    assert other.fingerprint != card.fingerprint
    with pytest.raises(RunError, match="finished run"):
        fit(data, tmp_path / "killed", resume=True, **settings)


def test_too_few_regions_are_refused(regions, data):
    with pytest.raises(DataError, match="0 held back"):
        HeadLesson(config(regions={"held_back": 1e-9}), data)
    table, catalogue = regions.made(products=5, composites=3)
    known = catalogue.__class__(
        catalogue.ids[:2], catalogue.groups[:2], catalogue.titles[:2], catalogue.vectors, catalogue.starts[:3], "d"
    )
    with pytest.raises(DataError, match="which the catalogue's split lacks"):
        HeadLesson(config(), HeadData(table, known, data.card))


@pytest.fixture
def written(tmp_path):
    card = HeadCard(name="n", licence="l", encoder="e", dim=4, hidden=2)
    save_head(tmp_path, card, HeadNet(4, 2).weights())
    return tmp_path


def renamed(folder):
    stated = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**stated, "encoder": "another"}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "card.json").unlink(), "cannot read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot read"),
        (lambda folder: (folder / "card.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "card.json").write_text('{"format": 9}'), "has format 9"),
        (lambda folder: (folder / "card.json").write_text('{"format": 1, "name": 3}'), "card.json: name"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "was changed"),
        (renamed, "was changed"),
    ],
)
def test_what_is_damaged_is_refused(written, damage, message):
    damage(written)
    with pytest.raises(CheckpointError, match=message):
        load_head(written)


def test_weights_that_are_not_the_cards_are_refused():
    card = HeadCard(name="n", licence="l", encoder="e", dim=4, hidden=2)
    weights = HeadNet(4, 2).weights()
    with pytest.raises(ValueError, match="of the shapes"):
        InstanceHead(card, {**weights, "wide.bias": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="finite"):
        InstanceHead(card, {**weights, "wide.bias": np.full(2, np.nan, np.float32)})
