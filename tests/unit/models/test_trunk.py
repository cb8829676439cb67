"""Trunks that are held: weights find their places, nothing moves them, and seeing a picture once is enough."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import models.train
from models.checkpoint import Card, load_encoder, load_model, save_checkpoint
from models.clip import BackboneError, open_backbone
from models.eiclip import EiClip, EntityDesign, EntityTable
from models.train import trunks
from models.train.config import TrainConfig
from models.train.feed import Feed
from models.train.loop import Provenance, Trainer, fit
from models.train.pixels import picture_table
from models.train.trunks import seen_by_trunk
from models.trunk import GridTrunk, TrunkError, load_trunk

LITE0 = str(Path(models.train.__file__).parent / "configs" / "lite0-128x96")
SMALL = {"timm_model_name": "test_byobnet", "timm_model_pretrained": False, "timm_pool": "avg", "timm_proj": "mlp"}


@pytest.fixture
def tiny(support):
    return support("tiny")


@pytest.fixture
def folder(tiny, tmp_path):
    """A backbone whose image tower is timm's, with a trunk to hold."""
    made = tmp_path / "byob"
    made.mkdir()
    config = {**tiny.CONFIG["model_cfg"], "vision_cfg": {"image_size": 32, **SMALL}}
    (made / "open_clip_config.json").write_text(json.dumps({**tiny.CONFIG, "model_cfg": config}))
    return made


def opened(folder, seed=0):
    torch.manual_seed(seed)
    return open_backbone(str(folder))


def pixels(count=3, size=(32, 32)):
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (count, *size, 3), dtype=np.uint8))


def trunk_state(backbone):
    return {name: value.clone() for name, value in backbone.model.visual.trunk.state_dict().items()}


class TestWeights:
    def test_tensors_are_matched_by_name_in_any_order(self, folder, tmp_path):
        one, other = opened(folder).model.visual.trunk, opened(folder, seed=1).model.visual.trunk
        stored = dict(reversed(list(one.state_dict().items()))) | {"fc.weight": torch.ones(2, 2)}
        save_file({name: value.contiguous() for name, value in stored.items()}, tmp_path / "w.safetensors")
        load_trunk(other, str(tmp_path / "w.safetensors"))
        assert all(torch.equal(value, one.state_dict()[name]) for name, value in other.state_dict().items())

    def test_other_names_are_matched_by_their_order(self, folder, tmp_path):
        one, other = opened(folder).model.visual.trunk, opened(folder, seed=1).model.visual.trunk
        entries = enumerate(one.state_dict().items())
        renamed = {f"layer_{nth}.{name.rpartition('.')[2]}": value for nth, (name, value) in entries}
        torch.save(renamed | {"classifier": torch.ones(7)}, tmp_path / "w.pth")
        load_trunk(other, str(tmp_path / "w.pth"))
        assert all(torch.equal(value, one.state_dict()[name]) for name, value in other.state_dict().items())

    def test_files_without_batch_norms_counters_are_read(self, folder, tmp_path):
        one, other = opened(folder).model.visual.trunk, opened(folder, seed=1).model.visual.trunk
        kept = {name: value for name, value in one.state_dict().items() if not name.endswith("num_batches_tracked")}
        assert len(kept) < len(one.state_dict())
        for stored in (kept, {f"layer_{nth}": value for nth, value in enumerate(kept.values())}):
            torch.save(stored, tmp_path / "w.pth")
            load_trunk(other, str(tmp_path / "w.pth"))
            assert all(torch.equal(other.state_dict()[name], value) for name, value in kept.items())

    def test_another_network_is_refused_and_changes_nothing(self, folder, tmp_path):
        trunk = opened(folder).model.visual.trunk
        before = {name: value.clone() for name, value in trunk.state_dict().items()}
        torch.save({"a": torch.ones(3), "b": torch.ones(4)}, tmp_path / "w.pth")
        with pytest.raises(TrunkError, match="do not fit the image trunk"):
            load_trunk(trunk, str(tmp_path / "w.pth"))
        assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())

    def test_a_pickle_that_would_run_code_is_refused(self, folder, tmp_path):
        torch.save({"a": Path("x")}, tmp_path / "w.pth")
        with pytest.raises(TrunkError, match="cannot read the weights"):
            load_trunk(nn.Linear(1, 1), str(tmp_path / "w.pth"))

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("nowhere.pth", r"cannot read the weights nowhere\.pth"),
            ("nowhere.safetensors", "cannot read the weights"),
            ("package:no_such_package_here/w.pth", "install the package 'no_such_package_here'"),
            ("package:models/no-such-file.pth", "cannot read the weights"),
        ],
    )
    def test_a_file_that_is_not_there_is_named(self, source, reason):
        with pytest.raises(TrunkError, match=reason):
            load_trunk(nn.Linear(1, 1), source)

    def test_a_table_of_something_else_is_refused(self, tmp_path):
        torch.save([torch.ones(1)], tmp_path / "w.pth")
        with pytest.raises(TrunkError, match="no table of weights"):
            load_trunk(nn.Linear(1, 1), str(tmp_path / "w.pth"))


class TestHeld:
    def test_only_a_timm_tower_has_a_trunk(self, tiny, tmp_path):
        with pytest.raises(BackboneError, match="no image trunk to hold"):
            tiny.backbone(tmp_path).hold_trunk()

    def test_weights_that_do_not_fit_are_a_backbone_error(self, folder):
        with pytest.raises(BackboneError, match="cannot read the weights"):
            opened(folder).hold_trunk("nowhere.pth")

    def test_training_mode_does_not_reach_it(self, folder):
        backbone = opened(folder)
        backbone.train()
        backbone.hold_trunk()
        for mode in (True, False, True):
            backbone.train(mode)
            assert backbone.training is mode
            assert not any(module.training for module in backbone.model.visual.trunk.modules())
            assert backbone.model.visual.head.training is mode

    def test_what_it_has_seen_gives_the_features_of_the_picture(self, folder):
        backbone = opened(folder).eval()
        backbone.hold_trunk()
        with torch.inference_mode():
            seen = backbone.trunk_features(pixels())
            torch.testing.assert_close(backbone.image_features(seen), backbone.image_features(pixels()))

    def test_gradients_end_at_it(self, folder):
        backbone = opened(folder)
        backbone.hold_trunk()
        backbone.image_features(pixels()).sum().backward()
        trunk = [p.grad for p in backbone.model.visual.trunk.parameters()]
        assert trunk
        assert all(grad is None for grad in trunk)
        assert all(p.grad is not None for p in backbone.model.visual.head.parameters())


class TestSeenOnce:
    @pytest.fixture
    def table(self, tiny, tmp_path, folder):
        feed = Feed.open(tiny.write_shop(tmp_path / "shop", train=12, val=12, test=1))
        backbone = opened(folder)
        return picture_table(feed, "train", backbone.recipe, backbone.prepare_images, cache_dir=tmp_path / "cache")

    def test_pictures_and_mirror_images(self, table, folder, tmp_path):
        backbone = opened(folder).eval()
        backbone.hold_trunk()
        seen = seen_by_trunk(table, backbone, tmp_path / "cache", mirrored=True)
        shown = np.array(table.pixels)
        with torch.inference_mode():
            for view, these in enumerate((shown, shown[:, :, ::-1])):
                wanted = backbone.trunk_features(torch.from_numpy(these.copy())).numpy()
                np.testing.assert_allclose(seen.trunk[:, view], wanted, rtol=2e-3, atol=2e-3)
        rows, mirrored = np.array([3, 1, 3]), np.array([True, False, False])
        np.testing.assert_array_equal(
            seen.shown(rows, mirrored), np.stack([seen.trunk[3, 1], seen.trunk[1, 0], seen.trunk[3, 0]])
        )
        np.testing.assert_array_equal(seen.first_pictures(), seen.trunk[seen.starts[:-1], 0])

    def test_a_second_run_computes_nothing_and_other_weights_do(self, table, folder, tmp_path, monkeypatch):
        backbone = opened(folder)
        backbone.hold_trunk()
        first = seen_by_trunk(table, backbone, tmp_path / "cache", mirrored=False)
        monkeypatch.setattr(trunks, "_write", lambda *_, **__: 1 / 0)
        again = seen_by_trunk(table, backbone, tmp_path / "cache", mirrored=False)
        np.testing.assert_array_equal(first.trunk, again.trunk)
        other = opened(folder, seed=1)
        other.hold_trunk()
        with pytest.raises(ZeroDivisionError):
            seen_by_trunk(table, other, tmp_path / "cache", mirrored=False)
        with pytest.raises(ZeroDivisionError):
            seen_by_trunk(table, backbone, tmp_path / "cache", mirrored=True)


def held_config(folder, tmp_path, **changed):
    sections = {
        "name": "held",
        "backbone": str(folder),
        "data": {"text_fields": ["description"], "cache_dir": str(tmp_path / "cache")},
        "image": {"held": True, "weights": str(tmp_path / "w.pth")},
        "entities": {"groups": ["brand", "category"], "hidden_dim": 8, "embedding_dim": 6},
        "augment": {"mirror": 0.5},
        "optim": {"epochs": 6, "batch_size": 24, "lr": 0.01},
        "run": {"device": "cpu", "tensorboard": False, "weights": "float32", "threads": 1},
    }
    merged = {
        key: {**value, **changed.get(key, {})} if isinstance(value, dict) else value for key, value in sections.items()
    }
    return TrainConfig.model_validate(merged)


class TestTraining:
    def test_the_trunk_stays_and_the_rest_learns(self, tiny, folder, tmp_path):
        start = opened(folder, seed=5)
        torch.save(trunk_state(start), tmp_path / "w.pth")
        config = held_config(folder, tmp_path)
        feed, lines = Feed.open(tiny.write_shop(tmp_path / "shop")), []
        made = Provenance(command="train")
        card = fit(config, feed, tmp_path / "out", resume=False, provenance=made, report=lines.append)
        model, _ = load_model(tmp_path / "out")
        kept = model.backbone.model.visual.trunk.state_dict()
        assert all(torch.equal(value, kept[name]) for name, value in trunk_state(start).items())
        first = float(lines[0].split("loss ")[1].split()[0])
        assert float(lines[-1].split("loss ")[1].split()[0]) < 0.95 * first
        images = load_encoder(str(tmp_path / "out"), "cpu").encode_images(tiny.photos(2))
        np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
        assert card.training.config["image"]["held"] is True

    @pytest.mark.parametrize("stop_at", [2, 4, 7])
    def test_a_run_that_was_cut_off_ends_with_the_same_weights(self, tiny, folder, tmp_path, monkeypatch, stop_at):
        torch.save(trunk_state(opened(folder, seed=5)), tmp_path / "w.pth")
        feed = Feed.open(tiny.write_shop(tmp_path / "shop"))
        changed = {"augment": {"words": 0.3}, "optim": {"epochs": 3}, "run": {"save_every_steps": 2}}
        config, real, steps = held_config(folder, tmp_path, **changed), Trainer._step, []

        def run(name, *, resume=False):
            made = Provenance(command="train")
            fit(config, feed, tmp_path / name, resume=resume, provenance=made, report=lambda _: None)

        def cut_off(self, epoch, step):
            if len(steps) == stop_at:
                raise KeyboardInterrupt
            steps.append(step)
            return real(self, epoch, step)

        run("straight")
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_step", cut_off)
            with pytest.raises(KeyboardInterrupt):
                run("cut")
        run("cut", resume=True)
        one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "cut"))
        assert [name for name, value in one.items() if not torch.equal(value, other[name])] == []

    def test_weights_without_holding_are_refused(self):
        with pytest.raises(ValueError, match="set held = true"):
            TrainConfig.model_validate({"name": "t", "image": {"weights": "w.pth"}})


class TestGridTrunk:
    def test_it_reads_where_things_are(self):
        torch.manual_seed(0)
        backbone = open_backbone(LITE0)
        trunk = backbone.model.visual.trunk
        assert isinstance(trunk, GridTrunk)
        shown = pixels(2, (128, 96))
        with torch.inference_mode():
            seen = backbone.eval().trunk_features(shown)
            turned = backbone.trunk_features(shown.flip(1))
        assert seen.shape == (2, trunk.num_features)
        torch.testing.assert_close(seen.mean(dim=1), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(seen.var(dim=1, unbiased=False), torch.ones(2), atol=1e-3, rtol=0)
        assert (seen - turned).abs().max() > 0.1

    def test_the_grid_is_that_of_the_stages(self):
        torch.manual_seed(0)
        trunk = open_backbone(LITE0).eval().model.visual.trunk
        x = torch.randn(1, 3, 128, 96)
        stages = []
        hooks = [block.register_forward_hook(lambda _, __, out: stages.append(out)) for block in trunk.net.blocks]
        with torch.inference_mode():
            seen = trunk(x)[0]
        for hook in hooks:
            hook.remove()
        grid = stages[5][0].reshape(-1)  # 192 channels on 4 x 3 cells already
        assert grid.numel() == 192 * 12
        start = (40 + 112) * 12
        part = seen[start : start + grid.numel()]
        cosine = torch.corrcoef(torch.stack([part, grid]))[0, 1]
        assert cosine == pytest.approx(1, abs=1e-4)


def test_a_checkpoint_opens_without_the_file_its_trunk_came_from(tmp_path, support):
    torch.manual_seed(0)
    backbone = open_backbone(LITE0)
    design = EntityDesign(groups=("brand",), hidden_dim=4, embedding_dim=4)
    model = EiClip(backbone, design, EntityTable({"brand": {"Nike": 3}})).eval()
    card = Card(name="t", licence="x", backbone="lite0-128x96", image=backbone.recipe, entities=design)
    save_checkpoint(tmp_path / "out", model, card, "float32")
    photos = support("tiny").photos(2)
    served = load_encoder(str(tmp_path / "out"), "cpu").encode_images(photos)
    np.testing.assert_allclose(served, backbone.eval().unit_images(photos), atol=1e-6)
