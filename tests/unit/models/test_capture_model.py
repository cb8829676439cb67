"""CAPTURE: what its streams may see, what is hidden and swapped, and training that learns, repeats and resumes."""

import math

import numpy as np
import pytest
import torch

from models.capture import course
from models.capture.capture import CaptureDesign, CaptureNet
from models.capture.capture_data import CaptureExamples, Hiding, captions_of, swapped
from models.capture.capture_training import CaptureConfig, CaptureLesson, fit_capture, pair_loss, pretext_losses
from models.capture.capture_words import MASK, PAD, SPECIAL, TEXT, UNKNOWN, Words
from models.capture.head_training import HeadData
from models.capture.joint import load_joint
from models.checkpoint import CheckpointError, DataCard
from models.train.feed import DataError
from models.train.loop import Provenance

PROVENANCE = Provenance(command="python -m models capture train", commit="abc")
SHAPE = {"words": 24, "width": 16, "heads": 2, "own_layers": 1, "cross_layers": 1, "joint_layers": 1}


@pytest.fixture(scope="module")
def data(support):
    tables = support("regions").made(products=30, composites=60, dim=8, noise=0.05)
    return HeadData(*tables, DataCard(name="made", fingerprint="f", products={}))


def config(**sections):
    settings = {
        "name": "tiny",
        "regions": {"held_back": 0.1},
        "measured": 20,
        "shape": SHAPE,
        "optim": {"epochs": 2, "batch_size": 8, "lr": 0.005},
        "run": {"device": "cpu", "tensorboard": False},
    }
    for key, value in sections.items():
        settings[key] = {**settings.get(key, {}), **value} if isinstance(value, dict) else value
    return CaptureConfig.model_validate(settings)


def net(seed=0, **design):
    torch.manual_seed(seed)
    return CaptureNet(CaptureDesign(dim=8, vocabulary=40, **{**SHAPE, **design})).eval()


def inputs(photos=3, regions=4, words=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.nn.functional.normalize(torch.randn(photos, regions, 8, generator=generator), dim=-1)
    corners = torch.rand(photos, regions, 2, generator=generator) / 2
    rows = torch.randint(SPECIAL, 40, (photos, words), generator=generator)
    rows[:, 0] = TEXT
    return vectors, torch.cat([corners, corners + 0.4], dim=-1), torch.ones(photos, regions, dtype=torch.bool), rows


def test_padding_changes_nothing():
    model, (vectors, boxes, there, words) = net(), inputs()
    plain = model(vectors, boxes, there, words)
    more = torch.nn.functional.pad
    padded = model(
        more(vectors, (0, 0, 0, 2), value=7.0),
        more(boxes, (0, 0, 0, 2), value=0.3),
        more(there, (0, 2), value=False),
        more(words, (0, 3), value=PAD),
    )
    torch.testing.assert_close(padded.joint, plain.joint, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(padded.words[:, :6], plain.words, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(padded.own_image, plain.own_image, atol=1e-5, rtol=1e-5)


def test_the_streams_meet_only_after_their_own_transformers():
    model, (vectors, boxes, there, words) = net(), inputs()
    plain = model(vectors, boxes, there, words)
    reworded = model(vectors, boxes, there, words.roll(1, dims=0))
    torch.testing.assert_close(reworded.own_image, plain.own_image)
    assert not torch.allclose(reworded.image, plain.image, atol=1e-3)
    repainted = model(vectors.roll(1, dims=0), boxes, there, words)
    torch.testing.assert_close(repainted.own_text, plain.own_text)
    assert not torch.allclose(repainted.text, plain.text, atol=1e-3)


def test_regions_are_a_set_and_words_are_not():
    model, (vectors, boxes, there, words) = net(), inputs()
    plain, order = model(vectors, boxes, there, words), torch.tensor([2, 0, 3, 1])
    shuffled = model(vectors[:, order], boxes[:, order], there, words)
    torch.testing.assert_close(shuffled.joint, plain.joint, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shuffled.regions, plain.regions[:, order], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model(vectors, boxes, there, words.flip(1)).joint, plain.joint, atol=1e-3)


def test_a_hidden_region_is_not_seen():
    model, (vectors, boxes, there, words) = net(), inputs()
    hidden = torch.zeros_like(there)
    hidden[:, 1] = True
    other = vectors.clone()
    other[:, 1] *= -1
    torch.testing.assert_close(
        model(vectors, boxes, there, words, hidden).joint, model(other, boxes, there, words, hidden).joint
    )


def test_the_joint_embedding_is_the_product_of_the_two_tokens():
    streams = net()(*inputs())
    product = streams.image * streams.words[:, 0]
    torch.testing.assert_close(streams.joint, product / product.norm(dim=1, keepdim=True))


def test_a_width_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="does not divide"):
        net(width=15)


def test_words_are_those_seen_in_training():
    words = Words.collect(["red boots", "a red tie"])
    rows = words.rows(["red boots", "red mug", "", "a red tie boots"], 4)
    assert rows[:, 0].tolist() == [TEXT] * 4
    assert rows.shape == (4, 4)
    assert rows[0, 1] == rows[1, 1] >= SPECIAL
    assert rows[1, 2] == UNKNOWN
    assert rows[2].tolist() == [TEXT, PAD, PAD, PAD]
    assert len(words) == SPECIAL + 4
    assert (rows < len(words)).all()
    assert Words.collect([]).rows(["red"], 5).tolist() == [[TEXT, UNKNOWN]]


def test_swapping_gives_every_caption_once():
    captions = swapped(200, 0.5, np.random.default_rng(0))
    assert sorted(captions.tolist()) == list(range(200))
    assert 60 < (captions != np.arange(200)).sum() < 140
    assert swapped(3, 0.0, np.random.default_rng(0)).tolist() == [0, 1, 2]


def examples(data, seed=0):
    return CaptureExamples(data.regions, data.catalogue, Words.collect(data.catalogue.titles), most=24, seed=seed)


def test_only_what_stands_beside_its_own_caption_is_hidden(data):
    made = examples(data)
    batch = made.pretext(np.arange(40), np.random.default_rng(1), Hiding(0.3, 0.3, 0.5))
    own = batch.matched
    assert 0 < own.sum() < 40
    assert not batch.masked[~own].any()
    assert not batch.hidden[~own].any()
    assert (batch.seen.words[batch.masked] == MASK).all()
    torch.testing.assert_close(batch.seen.words[~batch.masked], batch.words[~batch.masked])
    assert not (batch.masked & ((batch.words == PAD) | (batch.words == TEXT))).any()
    assert not (batch.hidden & ~batch.seen.there).any()
    share = float(batch.masked[own].sum() / ((batch.words != PAD) & (batch.words != TEXT))[own].sum())
    assert share == pytest.approx(0.3, abs=0.08)
    for row, caption in enumerate(batch.captions.tolist()):
        assert (
            batch.words[row] == torch.from_numpy(made._words.rows(made.captions, 24))[caption][: batch.words.shape[1]]
        ).all()


def test_captions_are_the_titles_in_order(data):
    titles = dict(zip(data.catalogue.ids, data.catalogue.titles, strict=True))
    first = data.regions.products[: data.regions.starts[1]]
    assert captions_of(data.regions, data.catalogue)[0] == "; ".join(titles[one] for one in first)


def test_pairs_show_the_same_product(data):
    pairs = examples(data).pairs(np.arange(20), np.random.default_rng(0), 30)
    assert len(pairs.products) == 30
    near = (pairs.catalogue.vectors[:, 0] @ torch.from_numpy(data.catalogue.vectors).T).argmax(dim=1).numpy()
    owners = np.repeat(np.arange(30), np.diff(data.catalogue.starts))
    assert owners[near].tolist() == pairs.products.tolist()
    assert (pairs.catalogue.boxes == torch.tensor([0.0, 0, 1, 1])).all()


def test_eight_photos_are_learnt_by_heart(data):
    torch.manual_seed(0)
    lesson = CaptureLesson(config(shape={"width": 32}), data)
    made, rng = lesson._examples, np.random.default_rng(0)
    batch = made.pretext(np.arange(8), rng, Hiding(0.15, 0.15, 0.5))
    pairs = made.pairs(np.arange(4), np.random.default_rng(3), 6)
    assert len(pairs.products.unique()) == 6  # several positives would leave their entropy
    optimizer = torch.optim.Adam(lesson.net.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        losses = {**pretext_losses(lesson.net, batch), "instances": pair_loss(lesson.net, pairs)}
        sum(losses.values()).backward()
        optimizer.step()
        found = {name: float(loss.detach()) for name, loss in losses.items()}
        if max(found.values()) < 0.1:
            break
    assert max(found.values()) < 0.1, found


class KilledError(Exception):
    pass


def fit(data, out, *, resume=False, **sections):
    return fit_capture(
        config(**sections), data, "e" * 64, out, resume=resume, provenance=PROVENANCE, report=lambda _: None
    )


def test_a_killed_run_resumes_to_the_same_weights_and_its_model_is_read_back(data, tmp_path, monkeypatch):
    settings = {"run": {"save_every_steps": 2}}
    card = fit(data, tmp_path / "whole", **settings)
    step, done = course.Course._step, []

    def killed(self, epoch, number):
        done.append(number)
        if len(done) == 6:
            raise KilledError
        return step(self, epoch, number)

    monkeypatch.setattr(course.Course, "_step", killed)
    with pytest.raises(KilledError):
        fit(data, tmp_path / "killed", **settings)
    monkeypatch.undo()
    assert fit(data, tmp_path / "killed", resume=True, **settings) == card
    assert fit(data, tmp_path / "other", run={"seed": 1}).fingerprint != card.fingerprint

    joint = load_joint(tmp_path / "whole")
    assert joint.encoder == "e" * 64
    offered = joint.catalogue(data.catalogue)
    assert offered.shape == (len(data.catalogue.vectors), 16)
    np.testing.assert_allclose(np.linalg.norm(offered, axis=1), 1, atol=1e-5)
    again = joint.embed(data.catalogue.vectors[:1], np.array([[0, 0, 1, 1]], np.float32), [data.catalogue.titles[0]])
    np.testing.assert_allclose(again[0], offered[0], atol=1e-5)
    assert joint.embed(np.empty((0, 8), np.float32), np.empty((0, 4), np.float32), []).shape == (0, 16)
    (tmp_path / "whole" / "model.safetensors").write_bytes(b"x" * 64)
    with pytest.raises(CheckpointError, match="was changed"):
        load_joint(tmp_path / "whole")


def test_a_lesson_of_nothing_is_refused(data):
    with pytest.raises(DataError, match="0 regions held back"):
        CaptureLesson(config(regions={"held_back": 1e-9}), data)


def test_the_losses_of_a_step_are_weighted(data):
    torch.manual_seed(0)
    lesson = CaptureLesson(config(tasks={"masked_regions": 0.0, "instances": 2.0}), data)
    losses = {name: float(value.detach()) for name, value in lesson.losses(0, 0).items()}
    expected = losses["masked_words"] + losses["matching"] + losses["inter_modal"] + 2 * losses["instances"]
    assert losses["total"] == pytest.approx(expected, rel=1e-5)
    assert math.isfinite(losses["masked_regions"])
    again = {name: float(value.detach()) for name, value in lesson.losses(0, 0).items()}
    assert again == losses
    assert float(lesson.losses(0, 1)["total"].detach()) != losses["total"]
