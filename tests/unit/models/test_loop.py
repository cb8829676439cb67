"""Training from start to checkpoint: it learns, it repeats itself, and a killed run ends where it would have."""

import io
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from models.checkpoint import load_encoder, load_model, read_card
from models.evaluate import Protocol, evaluate
from models.product import Product
from models.train import loop
from models.train.config import OptimConfig, TrainConfig
from models.train.distributed import World
from models.train.feed import DataError, Feed
from models.train.loop import (
    Provenance,
    RunError,
    Trainer,
    _run_digest,
    fit,
    low_precision,
)
from models.train.optimise import learning_rate, make_optimizer
from models.train.state import EpochFigures, Progress, StateError
from models.train.validation import mean_gates

PROVENANCE = Provenance(command="python -m models train --config c.toml", commit="abc")
QUICK = {"optim": {"epochs": 2, "batch_size": 24, "lr": 0.003}, "run": {"device": "cpu", "tensorboard": False}}


@pytest.fixture
def tiny(support):
    return support("tiny")


@pytest.fixture
def batches(support):
    return support("batches")


@pytest.fixture
def shop(tiny, tmp_path):
    return Feed.open(tiny.write_shop(tmp_path / "shop"))


@pytest.fixture
def config(tiny, tmp_path):
    def configured(**sections):
        merged = {key: {**QUICK.get(key, {}), **sections.get(key, {})} for key in {*QUICK, *sections}}
        merged["data"] = {
            "text_fields": ["description"],
            "cache_dir": str(tmp_path / "cache"),
            **merged.get("data", {}),
        }
        entities = {"groups": ["brand", "category", "season"], "hidden_dim": 16, "embedding_dim": 8}
        merged["entities"] = {**entities, **merged.get("entities", {})}
        return TrainConfig(name="tiny", backbone=str(tiny.backbone_folder(tmp_path)), **merged)

    return configured


@pytest.fixture
def train(shop, tmp_path):
    def training(config, name="out", *, resume=False, lines=None):
        report = (lambda _: None) if lines is None else lines.append
        return fit(config, shop, tmp_path / name, resume=resume, provenance=PROVENANCE, report=report)

    return training


def weights(folder):
    return load_file(folder / "model.safetensors")


def assert_same_weights(one, other):
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []


def test_a_run_writes_a_checkpoint_that_says_how_it_was_made(train, config, tmp_path):
    lines = []
    card = train(config(), lines=lines)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "card.json",
        "entities.json",
        "model.safetensors",
        "open_clip_config.json",
    ]
    assert read_card(out) == card
    assert card.training.command == PROVENANCE.command
    assert card.training.commit == "abc"
    assert card.training.data.products == {"train": 72, "val": 36}
    assert card.training.data.name == "shop"
    assert card.training.epochs == 2
    assert set(card.metrics) == {f"val_{way}_r{k}" for way in ("text_to_image", "image_to_text") for k in (1, 5, 10)}
    assert str(tmp_path) not in (out / "card.json").read_text()
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert "s" in lines[0]
    assert load_encoder(str(out), "cpu").vocabularies["brand"] == ("Diesel", "Golden Fox", "Nike")


def test_training_learns_to_find_pictures(train, config, shop, tmp_path):
    sections = {"optim": {"epochs": 25, "lr": 0.005, "batch_size": 24}, "augment": {"scale": 0, "shift": 0}}
    train(config(**sections, dropout={"whole": 0.1, "each": 0.0}))
    figures = evaluate(load_encoder(str(tmp_path / "out"), "cpu"), shop, Protocol(split="test", limit=36))
    assert figures.product.text_to_image.r5.mean > 0.6  # by chance 5/36
    assert figures.product.image_to_text.r5.mean > 0.6


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(train, config, tmp_path):
    first, second = train(config(), "a"), train(config(), "b")
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    assert first.fingerprint == second.fingerprint
    other = train(config(run={"seed": 1}), "c")
    assert other.fingerprint != first.fingerprint


def test_how_often_it_saves_changes_nothing(train, config, tmp_path):
    train(config(), "a")
    train(config(run={"save_every_steps": 1}), "b")
    assert_same_weights(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("mode", ["encoded", "pasted", "none"])
def test_an_interrupted_run_ends_with_the_same_weights(train, config, tmp_path, monkeypatch, mode):
    """Interrupted after the second step of the second epoch, with a save after every step."""
    settings = config(entities={"mode": mode}, run={"save_every_steps": 1})
    train(settings, "straight")
    real, steps = Trainer._step, []

    def interrupted(self, epoch, step):
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append((epoch, step))
        return real(self, epoch, step)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(settings, "broken")
    monkeypatch.setattr(Trainer, "_step", real)
    train(settings, "broken", resume=True)
    assert_same_weights(tmp_path / "straight", tmp_path / "broken")


@pytest.mark.slow
def test_a_run_killed_outright_and_resumed_ends_with_the_same_weights(config, shop, tmp_path):
    """SIGKILL at whatever step it happens to be, twice, in processes of their own."""
    settings = config(optim={"epochs": 4, "batch_size": 8}, run={"save_every_steps": 2, "threads": 1}).model_dump(
        mode="json"
    )
    (tmp_path / "c.toml").write_text(toml_of(settings))

    def start(out):
        command = [sys.executable, "-m", "models", "train", "--config", str(tmp_path / "c.toml")]
        command += ["--catalogue", str(shop.path), "--out", str(tmp_path / out), "--resume"]
        return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=os.environ)

    straight = start("straight")
    assert straight.wait(300) == 0, straight.stderr.read().decode()
    straight.stderr.close()
    state = tmp_path / "killed" / "run" / "state.safetensors"
    killed = 0
    for _ in range(2):
        before = state.stat().st_mtime_ns if state.exists() else 0
        process = start("killed")
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            if state.exists() and state.stat().st_mtime_ns > before:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        killed += process.wait(300) == -signal.SIGKILL
        process.stderr.close()
    assert killed >= 1
    final = start("killed")
    _, errors = final.communicate(timeout=300)
    assert final.returncode == 0 or b"already holds a finished checkpoint" in errors, errors.decode()
    assert_same_weights(tmp_path / "straight", tmp_path / "killed")
    assert read_card(tmp_path / "straight").metrics == read_card(tmp_path / "killed").metrics


KILLED = """
import os, signal, sys
from pathlib import Path
from models.train import loop, state
from models.train.config import TrainConfig
from models.train.feed import Feed

config, shop, out, place, number = sys.argv[1:]
calls = []

def dying(real):
    def run(*args):
        done = real(*args)
        calls.append(1)
        if len(calls) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return run

if place == "save":
    os.fsync = dying(os.fsync)  # the new file is whole, the old one still in its place
else:
    loop.backward = dying(loop.backward)  # the gradient is there, the weights are as they were
settings = TrainConfig.model_validate_json(config)
loop.fit(settings, Feed.open(Path(shop)), Path(out), resume=False, provenance=loop.Provenance("c"), report=print)
"""


@pytest.mark.parametrize(("chunk_size", "place"), [(None, "step"), (4, "step"), (None, "save")])
def test_a_run_killed_at_a_random_moment_ends_with_the_same_weights(train, config, shop, tmp_path, chunk_size, place):
    """SIGKILL in one of the 27 steps, or in one of the saves, drawn with a seed; a save after every second step."""
    optim = {"epochs": 3, "batch_size": 8, "chunk_size": chunk_size}
    settings = config(optim=optim, run={"save_every_steps": 2, "threads": 1})
    number = random.Random(f"{chunk_size} {place}").randrange(4, 27 if place == "step" else 14)
    arguments = [settings.model_dump_json(), str(shop.path), str(tmp_path / "killed"), place, str(number)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, timeout=300, check=False, env=os.environ
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    before = torch.get_num_threads()
    train(settings, "killed", resume=True)
    train(settings, "straight")
    torch.set_num_threads(before)
    assert_same_weights(tmp_path / "straight", tmp_path / "killed")


def test_chunks_learn_what_whole_batches_learn(train, config, batches, tmp_path):
    whole = config(run={"weights": "float32"}).model_copy(update={"backbone": str(batches.vit_folder(tmp_path))})
    train(whole, "whole")
    train(whole.model_copy(update={"optim": whole.optim.model_copy(update={"chunk_size": 7})}), "chunks")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "chunks")
    for name, value in one.items():
        torch.testing.assert_close(
            other[name], value, atol=2e-3, rtol=0.01, msg=lambda text, name=name: f"{name} {text}"
        )


def toml_of(settings):
    """Write two levels of settings as TOML; JSON's values are TOML's, save null, which is left out."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, dict)]
    for section, values in settings.items():
        if isinstance(values, dict):
            plain.append(f"[{section}]")
            plain += [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    return "\n".join(plain)


def test_the_best_epoch_is_kept(train, config, tmp_path, monkeypatch):
    scores = iter([0.2, 0.6, 0.4])
    seen = []

    def validated(model, *_):
        seen.append({key: value.clone() for key, value in model.state_dict().items()})
        return {"text_to_image_r1": next(scores)}

    monkeypatch.setattr("models.train.loop.validate", validated)
    card = train(config(optim={"epochs": 3}, run={"weights": "float32"}))
    assert card.training.best_epoch == 2
    assert card.metrics == {"val_text_to_image_r1": 0.6}
    model, _ = load_model(tmp_path / "out")
    assert all(torch.equal(value, seen[1][key]) for key, value in model.state_dict().items())


def test_patience_ends_a_run_that_no_longer_improves(train, config, monkeypatch):
    scores = iter([0.5, 0.4, 0.3, 0.2, 0.1])
    monkeypatch.setattr("models.train.loop.validate", lambda *_: {"text_to_image_r1": next(scores)})
    card = train(config(optim={"epochs": 5}, run={"patience": 2}))
    assert (card.training.epochs, card.training.best_epoch) == (3, 1)


def test_a_finished_folder_is_left_alone(train, config, tmp_path):
    train(config())
    before = (tmp_path / "out" / "card.json").read_bytes()
    for resume in (False, True):
        with pytest.raises(RunError, match="finished checkpoint"):
            train(config(), resume=resume)
    assert (tmp_path / "out" / "card.json").read_bytes() == before


@pytest.fixture
def unfinished(train, config, monkeypatch):
    """A run stopped in its second epoch."""
    real, calls = loop.validate, []

    def stopping(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "validate", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(config())


@pytest.mark.usefixtures("unfinished")
def test_an_unfinished_run_is_not_overwritten(train, config):
    with pytest.raises(RunError, match="unfinished run"):
        train(config())


@pytest.mark.usefixtures("unfinished")
@pytest.mark.parametrize("change", [{"optim": {"lr": 0.1}}, {"run": {"seed": 3}}, {"data": {"limit": 50}}])
def test_a_run_is_not_resumed_with_other_settings_or_data(train, config, change):
    with pytest.raises(StateError, match="another configuration or other data"):
        train(config(**change), resume=True)


@pytest.mark.usefixtures("unfinished")
@pytest.mark.parametrize("damage", [lambda d: d[:100], lambda _: b"", lambda d: d[:8] + b"{}" + d[10:]])
def test_a_damaged_state_is_refused(train, config, tmp_path, damage):
    state = tmp_path / "out" / "run" / "state.safetensors"
    state.write_bytes(damage(state.read_bytes()))
    with pytest.raises(StateError, match="cannot resume"):
        train(config(), resume=True)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_loss_that_is_no_number_stops_the_run(train, config, monkeypatch):
    monkeypatch.setattr("models.train.loop.learning_rate", lambda *_: float("nan"))
    with pytest.raises(RunError, match=r"the loss is nan .* lower optim\.lr"):
        train(config())


def test_a_catalogue_of_one_product_is_refused(train, config):
    with pytest.raises(DataError, match="at least 2"):
        train(config(data={"limit": 1}))


def test_a_scalar_is_drawn_once_for_every_step_also_after_a_kill(train, config, tmp_path, monkeypatch):
    """Interrupted one step behind the last save, whose step is drawn again."""
    settings = config(run={"save_every_steps": 2, "tensorboard": True})
    real, steps = Trainer._step, []

    def interrupted(self, epoch, step):
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(step)
        return real(self, epoch, step)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(settings)
    train(settings, resume=True)
    read = accumulated(tmp_path / "out" / "tensorboard")
    assert {"loss/total", "loss/fused", "loss/groups", "optim/lr", "optim/scale", "optim/gradient_norm"} <= read.keys()
    assert all(read[name] == list(range(6)) for name in read if name.startswith(("loss/", "optim/", "speed/")))
    assert read["val/text_to_image_r1"] == [2, 5]
    assert read["gate/brand"] == [2, 5]


def accumulated(folder):
    """Return the steps of every curve, as TensorBoard reads them."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    return {name: [event.step for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_curves_are_left_out_where_there_is_no_tensorboard(train, config, tmp_path, monkeypatch):
    monkeypatch.setattr("models.train.curves.importlib.util.find_spec", lambda _: None)
    train(config(run={"tensorboard": True}, optim={"epochs": 1}))
    assert not (tmp_path / "out" / "tensorboard").exists()


def test_mean_gates_are_means_over_the_products_that_state_a_value(tiny, tmp_path):
    model = tiny.eiclip(tmp_path)
    stated = [{"brand": "Nike"}, {"brand": "Diesel"}, {"season": "Winter", "brand": "Unheard Of"}, {}]
    products = [Product(id=str(n), title="t", **entities) for n, entities in enumerate(stated)]
    gates = mean_gates(model, products)
    _, weights = model.entities(model.table.rows(stated))
    assert gates.keys() == {"brand", "season"}
    assert gates["brand"] == pytest.approx(weights[:2, 0].mean().item())
    assert gates["season"] == pytest.approx(weights[2, 2].item())
    assert mean_gates(tiny.eiclip(tmp_path, weighting="mean"), products) == {}


def test_the_bar_counts_the_whole_run_and_names_the_epoch_and_the_loss(train, config, monkeypatch):
    bars = []

    class Recorded(loop.tqdm):
        def __init__(self, *args, **settings):
            super().__init__(*args, **{**settings, "disable": False, "file": io.StringIO()})
            bars.append((settings["desc"], settings["total"], settings["initial"], self))

    monkeypatch.setattr(loop, "tqdm", Recorded)
    train(config())
    assert [bar[:3] for bar in bars] == [("epoch 1/2", 6, 0), ("epoch 2/2", 6, 3)]
    assert [bar[3].n for bar in bars] == [3, 6]
    assert all("loss=" in bar[3].postfix for bar in bars)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"run": {"save_every_s": 5.0, "save_every_steps": 7, "tensorboard": True}}, False),
        ({"data": {"cache_dir": "elsewhere"}}, False),
        ({"run": {"precision": "bfloat16"}}, True),
        ({"optim": {"chunk_size": 8}}, True),
        ({"run": {"patience": 3}}, True),
        ({"run": {"threads": 1}}, True),
        ({"dropout": {"whole": 0.5}}, True),
    ],
)
def test_only_what_changes_the_result_makes_another_run(config, change, differs):
    assert (_run_digest(config(**change), "data", 1) != _run_digest(config(), "data", 1)) is differs
    assert _run_digest(config(), "data", 1) != _run_digest(config(), "other data", 1)
    assert _run_digest(config(), "data", 1) != _run_digest(config(), "data", 2)


def test_precision_is_low_only_where_it_is_asked_for_or_native():
    cpu = torch.device("cpu")
    assert low_precision("auto", cpu) is None
    assert low_precision("float32", cpu) is None
    assert low_precision("bfloat16", cpu) is torch.bfloat16


def test_training_in_low_precision_ends_near_that_in_full(train, config):
    full = train(config(), "full")
    low = train(config(run={"precision": "bfloat16"}), "low")
    assert low.fingerprint != full.fingerprint
    assert max(abs(low.metrics[name] - value) for name, value in full.metrics.items()) < 0.3


@pytest.mark.parametrize("source", ["checkpoint", "mini"])
def test_training_starts_from_the_backbone_of_a_checkpoint(train, config, tmp_path, source):
    if source == "checkpoint":
        train(config(run={"weights": "float32"}, optim={"epochs": 1}), "first")
        source = str(tmp_path / "first")
    start = loop.open_start(source)
    assert torch.equal(
        start.model.positional_embedding, load_encoder(source, "cpu")._model.backbone.model.positional_embedding
    )
    still = config(optim={"epochs": 1, "lr": 1e-12, "weight_decay": 0}, run={"weights": "float32"}, data={"limit": 24})
    card = train(still.model_copy(update={"backbone": source}), "second")
    key = "backbone.model.positional_embedding"
    torch.testing.assert_close(weights(tmp_path / "second")[key], start.model.positional_embedding.detach())
    assert card.backbone in {"first", "mini"}
    assert load_encoder(str(tmp_path / "second"), "cpu").vocabularies["brand"] == ("Diesel", "Golden Fox")


class TestSchedule:
    def test_rises_in_a_line_then_falls_by_half_a_cosine(self):
        optim = OptimConfig(lr=2.0, warmup=0.1, final=0.1)
        rates = [learning_rate(optim, step, 100) for step in range(100)]
        assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
        assert rates[9] == pytest.approx(2.0)
        assert rates[10] == pytest.approx(2.0)
        assert rates[99] == pytest.approx(0.2)
        middle = 2.0 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 45 / 89)))
        assert rates[55] == pytest.approx(middle)
        assert all(a >= b for a, b in itertools.pairwise(rates[10:]))

    def test_one_step_and_no_warmup_are_fine(self):
        assert learning_rate(OptimConfig(lr=1.0, warmup=0.0), 0, 1) == 1.0


def test_vectors_scales_and_embeddings_do_not_decay(tiny, tmp_path):
    model = tiny.eiclip(tmp_path).train()
    decayed, spared = make_optimizer(model, OptimConfig(weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    kept = {names[id(p)] for p in spared["params"]}
    assert {"scale", "backbone.model.logit_scale", "backbone.model.token_embedding.weight"} <= kept
    assert {"entities.embeddings.0.weight", "backbone.model.positional_embedding"} <= kept
    assert {names[id(p)] for p in decayed["params"]} == set(names.values()) - kept
    assert "backbone.model.visual.conv1.weight" not in kept


def test_of_equal_epochs_the_first_is_best():
    figures = [EpochFigures(epoch=e, loss=1, scale=1, recall={"a": s}) for e, s in ((1, 0.1), (2, 0.5), (3, 0.5))]
    assert Progress(run="r", history=figures).best.epoch == 2
    assert Progress(run="r").best is None


def test_words_left_out_are_drawn_anew_at_every_step_and_the_same_by_a_resumed_run(tiny, config, shop, tmp_path, train):
    trainer = Trainer(config(augment={"words": 0.4}), shop, tmp_path, World(0, 1, torch.device("cpu")), lambda _: None)
    batches = [trainer._examples.batch(0, step) for step in (0, 1, 0)]
    assert [batch.left_out for batch in batches] == [0.4] * 3
    assert batches[0].draw != batches[1].draw
    assert batches[0].draw == batches[2].draw
    train(config(augment={"words": 0.4}), "one")
    train(config(augment={"words": 0.4}), "other")
    assert_same_weights(tmp_path / "one", tmp_path / "other")


def test_words_cannot_be_left_out_of_a_text_without_an_end_token(train, config, monkeypatch):
    monkeypatch.setattr("models.clip.CausalTower.of", lambda _: None)
    with pytest.raises(RunError, match=r"augment\.words"):
        train(config(augment={"words": 0.4}))
