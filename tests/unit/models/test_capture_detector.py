"""The detector from start to folder: it learns, repeats itself, survives a kill, and answers the same everywhere."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from models.capture.detecting import (
    Answering,
    Confidence,
    DetectorCard,
    TorchDetector,
    distinct,
    load_detector,
    load_net,
)
from models.capture.detector import DetectorDesign, DetectorNet, as_input, middles
from models.capture.detector_config import ComposedConfig, DetectorConfig
from models.capture.detector_data import AlikeConfig, SquareBatches, lit, mirrored, square_table
from models.capture.detector_losses import detection_loss
from models.capture.detector_scores import Judged, calibration_error, fit_confidence
from models.capture.detector_training import AveragedNet, DetectorData, DetectorLesson, fit_detector
from models.capture.squares import Fitted
from models.checkpoint import CheckpointError, DataCard
from models.metrics import PictureBoxes, detection_average_precision
from models.train.config import OptimConfig, RunConfig
from models.train.loop import Provenance, RunError
from models.train.optimise import make_optimizer
from models.train.state import StateError

TINY = DetectorDesign(side=64, widths=(8, 12, 16, 16, 16), neck=16)
PROVENANCE = Provenance(command="python -m models capture train-detector --config d.toml", commit="abc")


@pytest.fixture(scope="module")
def shapes(support):
    return support("shapes").Shapes


@pytest.fixture(scope="module")
def data(shapes, tmp_path_factory):
    cache = tmp_path_factory.mktemp("squares")
    train = square_table(shapes(0), 48, 64, said={"seed": 0}, cache_dir=cache)
    val = square_table(shapes(1), 16, 64, said={"seed": 1}, cache_dir=cache)
    return DetectorData(train, val, DataCard(name="shapes", fingerprint="0" * 64, products={"train": 48, "val": 16}))


def config(epochs=2, **run):
    settings = RunConfig(**{"device": "cpu", "tensorboard": False, **run})
    optim = OptimConfig(epochs=epochs, batch_size=16, lr=4e-3)
    return DetectorConfig(name="tiny", design=TINY, averaged=0.9, optim=optim, run=settings)


@pytest.fixture(scope="module")
def train(data):
    def training(out, settings, *, resume=False, lines=None):
        report = (lambda _: None) if lines is None else lines.append
        return fit_detector(settings, data, out, resume=resume, provenance=PROVENANCE, report=report)

    return training


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    """A folder, its card, and the lines reported."""
    out, lines = tmp_path_factory.mktemp("trained") / "out", []
    return out, train(out, config(epochs=20), lines=lines), lines


def found_in(detector, composer, numbers):
    scenes = [composer.composite(number) for number in numbers]
    extent = np.array([64, 48] * 2)
    return [
        PictureBoxes(
            np.array([d.box for d in found]).reshape(-1, 4) * extent, [d.confidence for d in found], scene.boxes
        )
        for found, scene in zip(detector.detect([scene.picture for scene in scenes]), scenes, strict=True)
    ]


def test_it_learns_to_find_what_it_has_not_seen(trained, shapes):
    out, card, lines = trained
    assert detection_average_precision(found_in(load_detector(out), shapes(2), range(40))) > 0.8
    assert detection_average_precision(found_in(TorchDetector(DetectorNet(TINY), card), shapes(2), range(40))) < 0.3
    assert len(lines) == 20
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "model.safetensors"]
    assert card.training.command == PROVENANCE.command
    assert card.training.config["design"]["side"] == 64
    assert set(card.metrics) == {"val_ap50", "val_ap75", "val_calibration_error", "val_calibration_error_before"}
    assert str(out.parent) not in (out / "card.json").read_text()


def test_eight_pictures_are_learnt_by_heart(data):
    torch.manual_seed(0)
    net, at = DetectorNet(TINY), middles(64)
    optimizer = make_optimizer(net, OptimConfig(lr=1e-2, weight_decay=0.0))
    pixels = as_input(torch.from_numpy(np.array(data.train.squares[:8])))
    truth = [torch.from_numpy(boxes) for boxes in data.train.boxes[:8]]
    losses = []
    for step in range(180):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / 180)
        optimizer.zero_grad(set_to_none=True)
        loss = detection_loss(*net(pixels), truth, at, 2.0)
        loss.total.backward()
        optimizer.step()
        losses.append(loss.total.item())
    assert losses[0] > 1
    assert losses[-1] < 0.05


def weights(folder):
    return load_file(folder / "model.safetensors")


def assert_same_weights(one, other):
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []


def test_the_same_seed_gives_the_same_weights_and_another_does_not(train, tmp_path):
    first, second = train(tmp_path / "a", config()), train(tmp_path / "b", config())
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    assert first.fingerprint == second.fingerprint
    assert train(tmp_path / "c", config(seed=1)).fingerprint != first.fingerprint


def test_a_killed_run_ends_with_the_same_weights(train, tmp_path, monkeypatch):
    train(tmp_path / "straight", config())
    real, steps = DetectorLesson.losses, []

    def killed(self, epoch, step):
        if len(steps) == 4:
            raise KeyboardInterrupt
        steps.append((epoch, step))
        return real(self, epoch, step)

    monkeypatch.setattr(DetectorLesson, "losses", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", config(save_every_steps=1))
    monkeypatch.undo()
    assert steps[-1] == (1, 0)
    with pytest.raises(RunError, match="unfinished run"):
        train(tmp_path / "killed", config())
    with pytest.raises(StateError, match="another configuration"):
        train(tmp_path / "killed", config(seed=3), resume=True)
    train(tmp_path / "killed", config(), resume=True)
    assert_same_weights(tmp_path / "straight", tmp_path / "killed")
    with pytest.raises(RunError, match="already holds"):
        train(tmp_path / "killed", config(), resume=True)


def test_the_average_follows_the_weights():
    model = AveragedNet(DetectorNet(TINY), 0.5)
    start = model.mean.answer.bias.clone()
    with torch.no_grad():
        model.net.answer.bias += 1
    model.follow(100)
    torch.testing.assert_close(model.mean.answer.bias, start + 0.5)
    model.follow(100)
    torch.testing.assert_close(model.mean.answer.bias, start + 0.75)
    assert not any(parameter.requires_grad for parameter in model.mean.parameters())


def test_folding_batch_norm_away_changes_nothing():
    torch.manual_seed(1)
    net = DetectorNet(TINY)
    for _ in range(3):
        net(torch.randn(4, 3, 64, 64))  # statistics that are not those of the start
    pixels = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        plain, folded = net.eval()(pixels), net.folded()(pixels)
    for one, other in zip(plain, folded, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_answers_are_the_same_alone_in_a_batch_and_from_threads(trained, shapes):
    detector = load_detector(trained[0])
    pictures = [shapes(3).composite(number).picture for number in range(20)]
    alone = [detector.detect([picture])[0] for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda picture: detector.detect([picture])[0], pictures))
    assert threaded == alone
    for one, other in zip(alone, detector.detect(pictures), strict=True):
        np.testing.assert_allclose([d.box for d in one], [d.box for d in other], atol=1e-3)
    assert sum(map(len, alone)) > 20


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (900, 2), (64, 48), (2000, 1500)])
def test_pictures_of_any_size_are_answered_within_them(trained, size):
    rng = np.random.default_rng(5)
    picture = Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3)).astype(np.uint8))
    found = load_detector(trained[0]).detect([picture])[0]
    assert [d.confidence for d in found] == sorted((d.confidence for d in found), reverse=True)
    for d in found:
        left, top, right, bottom = d.box
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert Answering().least <= d.confidence <= 1


def test_nothing_in_gives_nothing_out(trained):
    assert load_detector(trained[0]).detect([]) == []


def test_of_boxes_for_one_product_the_best_is_kept():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [40, 0, 50, 10]])
    chosen, scores = distinct(torch.tensor([0.5, 2.0, 1.0, -3.0]), boxes, Answering(most=2))
    assert chosen.tolist() == [[1, 0, 11, 10], [20, 20, 30, 30]]
    assert scores.tolist() == [2.0, 1.0]


def damaged(folder, kind):
    card, model = folder / "card.json", folder / "model.safetensors"
    if kind == "no card":
        card.unlink()
    elif kind == "no weights":
        model.unlink()
    elif kind == "not JSON":
        card.write_text("{")
    elif kind == "not an object":
        card.write_text("[]")
    elif kind == "another format":
        card.write_text(json.dumps({**json.loads(card.read_text()), "format": 2}))
    elif kind == "a key too many":
        card.write_text(json.dumps({**json.loads(card.read_text()), "classes": 3}))
    elif kind == "another design":
        stated = json.loads(card.read_text())
        card.write_text(json.dumps({**stated, "design": {**stated["design"], "neck": 24}}))
    elif kind == "cut short":
        model.write_bytes(model.read_bytes()[:-10])
    else:
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 1
        model.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("no card", "cannot read .*card.json"),
        ("no weights", "cannot read .*model.safetensors"),
        ("not JSON", "is not JSON"),
        ("not an object", "has format None"),
        ("another format", "has format 2, this version reads 1"),
        ("a key too many", "classes: Extra inputs"),
        ("another design", "was changed after it was written"),
        ("cut short", "was changed after it was written"),
        ("a flipped bit", "was changed after it was written"),
    ],
)
def test_a_damaged_folder_is_one_clear_error(trained, tmp_path, kind, says):
    folder = shutil.copytree(trained[0], tmp_path / "detector")
    damaged(folder, kind)
    with pytest.raises(CheckpointError, match=says):
        load_detector(folder)


def test_what_is_loaded_is_what_was_saved(trained):
    net, card = load_net(trained[0])
    assert card == trained[1]
    assert DetectorCard.model_validate_json((trained[0] / "card.json").read_text()) == card
    assert all(value.dtype == torch.float32 for value in net.parameters())


@pytest.mark.parametrize("size", [(480, 360), (100, 300), (256, 256), (3, 999)])
def test_boxes_go_into_the_square_and_back(size):
    fitted = Fitted.of(Image.new("RGB", size, "red"), 128)
    boxes = np.array([[0, 0, 1, 1], [0.25, 0.5, 0.5, 0.75]], np.float32)
    inside = fitted.within(boxes)
    np.testing.assert_allclose(fitted.fractions(inside), boxes, atol=1e-5)
    red = (fitted.pixels == (255, 0, 0)).all(axis=2)
    down, across = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    assert inside[0].tolist() == [across[0], down[0], across[-1] + 1, down[-1] + 1]
    assert max(fitted.width, fitted.height) == 128
    assert (fitted.pixels[~red] == 127).all()


def test_mirrored_boxes_are_where_the_mirrored_products_are(shapes):
    square = np.full((64, 64, 3), 100, np.uint8)
    square[10:30, 5:25] = 255
    turned, boxes = mirrored(square, np.array([[5, 10, 25, 30]], np.float32))
    assert boxes.tolist() == [[39, 10, 59, 30]]
    assert (turned[10:30, 39:59] == 255).all()
    assert (turned == 255).all(axis=2).sum() == 400


def test_light_changes_every_level_as_stated():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert (lit(levels, np.zeros(2)) == levels).all()
    assert lit(levels, np.array([0.0, 0.1]))[0, 10] == round(10 + 25.5)
    assert lit(levels, np.array([-0.5, 0.0])).min() == 64
    assert lit(levels, np.array([0.5, 0.0])).max() == 255


def test_batches_show_every_composite_once_an_epoch_in_another_order(data):
    still = SquareBatches(data.train, 16, AlikeConfig(mirror=0, light=0), seed=0)
    epochs = [[still.batch(epoch, step) for step in range(still.steps)] for epoch in (0, 1)]
    shown = [[square.tobytes() for batch in batches for square in batch.squares.numpy()] for batches in epochs]
    assert sorted(shown[0]) == sorted(shown[1]) == sorted(square.tobytes() for square in np.array(data.train.squares))
    assert shown[0] != shown[1]
    again = SquareBatches(data.train, 16, AlikeConfig(), seed=0)
    assert torch.equal(
        again.batch(1, 2).squares, SquareBatches(data.train, 16, AlikeConfig(), seed=0).batch(1, 2).squares
    )


def test_composites_are_made_once(shapes, tmp_path):
    table = square_table(shapes(4), 3, 64, said={"seed": 4}, cache_dir=tmp_path)

    class Nothing:
        def composite(self, number):
            raise AssertionError(number)

    again = square_table(Nothing(), 3, 64, said={"seed": 4}, cache_dir=tmp_path)
    assert (again.squares == table.squares).all()
    assert [boxes.tolist() for boxes in again.boxes] == [boxes.tolist() for boxes in table.boxes]
    assert again.digest == table.digest
    with pytest.raises(AssertionError):
        square_table(Nothing(), 3, 64, said={"seed": 5}, cache_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [table.digest]


def test_confidence_finds_the_curve_that_made_the_answers():
    rng = np.random.default_rng(6)
    logits = rng.normal(0, 2, 20000)
    right = rng.random(20000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    fitted = fit_confidence(Judged(logits, right))
    assert fitted.slope == pytest.approx(0.5, abs=0.03)
    assert fitted.offset == pytest.approx(-1, abs=0.06)
    assert (
        calibration_error(fitted, Judged(logits, right)) < 0.02 < calibration_error(Confidence(), Judged(logits, right))
    )


@pytest.mark.parametrize(
    ("logits", "right"),
    [([], []), ([1.0, 2.0], [True, True]), ([-1.0, 1.0], [False, True]), ([-1.0, 1.0] * 50, [True, False] * 50)],
)
def test_confidence_never_changes_the_order(logits, right):
    fitted = fit_confidence(Judged(np.array(logits), np.array(right, np.bool_)))
    likely = fitted([-3.0, 0.0, 3.0])
    assert (np.diff(likely) > 0).all()
    assert ((likely > 0) & (likely < 1)).all()


def test_what_counts_as_right_is_matched_best_first():
    true = [[0, 0, 10, 10], [20, 0, 30, 10]]
    found = [[0, 0, 10, 10], [1, 0, 11, 10], [20, 4, 30, 14], [50, 50, 60, 60]]
    judged = Judged.of([PictureBoxes(found, [3.0, 2.0, 1.0, 0.0], true), PictureBoxes([], [], true)])
    assert judged.right.tolist() == [True, False, False, False]  # a second for one product; an overlap of 6/14
    assert judged.logits.tolist() == [3, 2, 1, 0]
    assert ComposedConfig().val > 0
