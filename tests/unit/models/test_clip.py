"""The open_clip side: pixels equal open_clip's own, cut texts equal whole ones, sources open or say why not."""

import builtins
import json
import logging
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from models import clip, importing
from models.clip import BackboneError, open_backbone, resizing
from models.clip_encoder import ClipEncoder
from models.encoding import DeviceError, resolve_device
from models.importing import open_clip
from models.recipe import PixelRecipe

WITHOUT_COMPILER = """
import sys
import models.clip
import torch
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
assert torch.compiler.disable.__module__ == "torch.compiler"
asked = sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu")
from torch._dynamo.utils import is_compile_supported
assert is_compile_supported.__module__ == "torch._dynamo.utils"
assert asked is is_compile_supported("cpu")
"""
PHRASES = ["", "shoe", "a red running shoe with white laces", "word " * 60]


@pytest.fixture
def tiny(support):
    return support("tiny")


class TestPixels:
    @pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
    @pytest.mark.parametrize("size", [(32, 32), (24, 40)])
    @pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
    def test_pixels_equal_open_clips_transform_bit_for_bit(self, tiny, mode, size, interpolation):
        settings = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3), "resize_mode": mode, "fill_color": 7}
        recipe = PixelRecipe(size=size, interpolation=interpolation, **settings)
        theirs = open_clip.transform.image_transform(size, is_train=False, interpolation=interpolation, **settings)
        resize = resizing(recipe)
        for photo in tiny.photos(6):
            ours = recipe.normalise(torch.from_numpy(np.asarray(resize(photo)).copy())[None])[0]
            assert torch.equal(ours, theirs(photo))

    def test_a_recipe_with_one_number_is_square(self):
        recipe = PixelRecipe.of({"size": 48, "mode": "RGB", "mean": (0, 0, 0), "std": (1, 1, 1)})
        assert recipe.size == (48, 48)

    def test_prepared_images_are_rgb_bytes(self, tiny, tmp_path):
        backbone = tiny.backbone(tmp_path)
        pixels = backbone.prepare_images([Image.new("L", (9, 80), 200), *tiny.photos(2)])
        assert pixels.shape == (3, 32, 32, 3)
        assert pixels.dtype == np.uint8
        assert backbone.prepare_images([]).shape == (0, 32, 32, 3)

    def test_a_zoom_moves_the_picture_and_one_that_does_not_changes_nothing(self, tiny, tmp_path, monkeypatch):
        backbone = tiny.backbone(tmp_path)
        monkeypatch.setattr(backbone.model, "encode_image", lambda x: x)  # look at what the tower is given
        pixels = torch.from_numpy(backbone.prepare_images(tiny.photos(2)))
        still = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]] * 2)
        right = torch.tensor([[[1.0, 0, 2 * 4 / 32], [0, 1, 0]]] * 2)  # four pixels of 32, the side being -1..1
        plain = backbone.image_features(pixels)
        torch.testing.assert_close(backbone.image_features(pixels, still), plain, atol=1e-4, rtol=0)
        moved = backbone.image_features(pixels, right)
        torch.testing.assert_close(moved[..., :-4], plain[..., 4:], atol=1e-4, rtol=0)
        edge = plain[..., -1:].expand_as(moved[..., -4:])
        torch.testing.assert_close(moved[..., -4:], edge, atol=1e-4, rtol=0)


class TestTexts:
    def check(self, backbone):
        tokens = backbone.tokenize(PHRASES)
        with torch.inference_mode():
            whole = backbone.model.encode_text(tokens)
            torch.testing.assert_close(backbone.text_features(tokens), whole, atol=1e-5, rtol=0)
            for row in range(len(PHRASES)):
                alone = backbone.text_features(tokens[row : row + 1])[0]
                torch.testing.assert_close(alone, whole[row], atol=1e-5, rtol=0)

    def test_cut_texts_equal_whole_ones(self, tiny, tmp_path):
        self.check(tiny.backbone(tmp_path))

    def test_cut_texts_equal_whole_ones_in_a_model_with_its_own_text_tower(self, tiny, tmp_path):
        folder = tiny.backbone_folder(tmp_path, proj_bias=True)
        config = json.loads((folder / "open_clip_config.json").read_text())
        config["model_cfg"]["custom_text"] = True
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        backbone = open_backbone(str(folder))
        assert hasattr(backbone.model, "text")
        self.check(backbone)

    @pytest.mark.parametrize(
        "text", [{"no_causal_mask": True}, {"pool_type": "last"}, {"proj_type": "none", "width": 24, "heads": 2}]
    )
    def test_towers_of_another_kind_are_left_whole_unless_cutting_is_exact(self, tiny, tmp_path, text):
        self.check_whole(open_backbone(str(tiny.backbone_folder(tmp_path, **text))))

    def check_whole(self, backbone):
        tokens = backbone.tokenize(PHRASES)
        with torch.inference_mode():
            torch.testing.assert_close(
                backbone.text_features(tokens), backbone.model.encode_text(tokens), atol=1e-5, rtol=0
            )


class TestSources:
    @pytest.fixture
    def registered(self, tiny, tmp_path, monkeypatch):
        """The tiny model under a name of open_clip's registry, which is put back afterwards."""
        monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
        monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", list(open_clip.factory._MODEL_CONFIG_PATHS))
        path = tmp_path / "catalens-test.json"
        path.write_text(json.dumps(tiny.CONFIG["model_cfg"]))
        open_clip.add_model_config(path)
        return "catalens-test"

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_local_weights_are_loaded(self, registered, tmp_path, suffix):
        torch.manual_seed(3)
        made = open_backbone(registered)
        path = tmp_path / f"weights{suffix}"
        state = {key: value.contiguous() for key, value in made.model.state_dict().items()}
        torch.save(state, path) if suffix == ".pt" else save_file(state, path)
        loaded = open_backbone(f"{registered}/{path}")
        for key, value in made.model.state_dict().items():
            assert torch.equal(loaded.model.state_dict()[key], value), key
        assert not torch.equal(open_backbone(registered).model.positional_embedding, made.model.positional_embedding)

    def test_a_pickle_that_would_run_code_is_refused(self, registered, tmp_path):
        class Evil:
            def __reduce__(self):
                return (open, (str(tmp_path / "ran"), "w"))

        torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
        with pytest.raises(BackboneError, match=r"evil\.pt"):
            open_backbone(f"{registered}/{tmp_path / 'evil.pt'}")
        assert not (tmp_path / "ran").exists()

    def test_weights_of_another_model_are_refused(self, registered, tmp_path):
        save_file({"positional_embedding": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
        with pytest.raises(BackboneError, match="cannot open"):
            open_backbone(f"{registered}/{tmp_path / 'other.safetensors'}")

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("no-such-model", "neither a folder nor"),
            ("RN50/no-such-tag", "not a known tag or valid file path"),
            ("RN50//nowhere/weights.pt", "not a known tag or valid file path"),
        ],
    )
    def test_what_is_not_there_is_named(self, source, reason):
        with pytest.raises(BackboneError, match=reason):
            open_backbone(source)

    def test_a_folder_without_a_config_is_refused(self, tmp_path):
        with pytest.raises(BackboneError, match="holds no open_clip_config"):
            open_backbone(str(tmp_path))

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "[]",
            '{"model_cfg": {}}',
            '{"model_cfg": {"embed_dim": 4, "vision_cfg": {"nonsense": 1}, "text_cfg": {}}}',
        ],
    )
    def test_a_broken_config_is_refused(self, tmp_path, text):
        (tmp_path / "open_clip_config.json").write_text(text)
        with pytest.raises(BackboneError, match="cannot open"):
            open_backbone(str(tmp_path))

    def test_an_unreachable_hub_is_an_error_of_ours(self, monkeypatch, tmp_path):
        def refuse(*_args, **_kwargs):
            raise OSError("no network")

        monkeypatch.setattr(open_clip.factory, "download_pretrained_from_hf", refuse)
        with pytest.raises(BackboneError, match="no network"):
            open_backbone("hf-hub:somebody/something")

    def test_opening_leaves_the_root_logger_alone(self, tiny, tmp_path, caplog):
        root = logging.getLogger()
        before = list(root.handlers)
        with caplog.at_level(logging.DEBUG):
            tiny.backbone(tmp_path)
        assert root.handlers == before
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert root.manager.disable == 0


class TestEncoder:
    def test_fingerprint_tells_weights_and_fields_apart(self, tiny, tmp_path):
        prints = [
            ClipEncoder(tiny.backbone(tmp_path, seed=0), device="cpu").fingerprint,
            ClipEncoder(tiny.backbone(tmp_path, seed=0), device="cpu").fingerprint,
            ClipEncoder(tiny.backbone(tmp_path, seed=1), device="cpu").fingerprint,
            ClipEncoder(tiny.backbone(tmp_path, seed=0), device="cpu", text_fields=("title",)).fingerprint,
        ]
        assert prints[0] == prints[1]
        assert len(set(prints)) == 3
        assert all(len(text) == 64 for text in prints)

    def test_an_unknown_device_is_named(self):
        with pytest.raises(DeviceError, match="no device 'abacus'"):
            resolve_device("abacus")
        assert resolve_device("cpu") == torch.device("cpu")

    def test_auto_takes_cuda_where_there_is_one(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        assert resolve_device("auto").type == "cuda"
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert resolve_device("auto").type == "cpu"


class TestImport:
    def attempt(self, monkeypatch, errors):
        """Import open_clip while the first attempts fail with `errors`; return whether schemas were declared."""
        declared = []
        real = builtins.__import__

        def faulty(name, *args, **kwargs):
            if name == "open_clip" and errors:
                raise RuntimeError(errors.pop(0))
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", faulty)
        monkeypatch.setattr(importing, "_declare_detection_operators", lambda: declared.append(True))
        assert importing._import_open_clip() is sys.modules["open_clip"]
        return bool(declared)

    def test_nothing_is_declared_on_an_ordinary_machine(self, monkeypatch):
        assert self.attempt(monkeypatch, []) is False

    def test_missing_operators_are_declared(self, monkeypatch):
        assert self.attempt(monkeypatch, ["operator torchvision::nms does not exist"]) is True

    def test_any_other_error_is_left_alone(self, monkeypatch):
        with pytest.raises(RuntimeError, match="something else"):
            self.attempt(monkeypatch, ["something else"])

    def test_a_process_starts_without_torchs_compiler_and_has_it_when_asked(self):
        done = subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def test_what_else_is_asked_of_the_compiler_is_the_real_thing(self, monkeypatch):
        """Another torchvision may import more of it, or another timm mark functions with reasons."""
        for name in [name for name in sys.modules if name.startswith("torch._dynamo.utils")]:
            monkeypatch.delitem(sys.modules, name)
        with importing._compiler_left_out():
            from torch._dynamo.utils import is_compile_supported  # noqa: PLC0415 - the stand-in's

            assert is_compile_supported.__module__ == "models.importing"
            assert torch.compiler.disable(reason="none")(len) is torch.compiler.disable(len) is len
            from torch._dynamo.utils import counters  # noqa: PLC0415 - what it does not have itself

        assert sys.modules["torch._dynamo.utils"].counters is counters
        assert torch.compiler.disable.__module__ == "torch.compiler"


@pytest.mark.parametrize("size", [(1, 65_535), (65_535, 1)])
def test_a_needle_of_a_picture_is_prepared_in_a_moment(tiny, tmp_path, size):
    started = time.process_time()
    pixels = tiny.backbone(tmp_path).prepare_images([Image.new("RGB", size, "red")])
    assert time.process_time() - started < 2.0  # resized whole, it would have 2 gigabytes
    assert pixels.shape == (1, tiny.SIZE, tiny.SIZE, 3)
    assert (pixels == (255, 0, 0)).all()


def test_a_long_picture_keeps_its_middle(tiny, tmp_path):
    image = Image.new("RGB", (4_000, 100), "blue")
    image.paste("red", (1_800, 0, 2_200, 100))
    assert (tiny.backbone(tmp_path).prepare_images([image]) == (255, 0, 0)).all()


def test_models_opened_in_threads_leave_logging_as_it_was():
    """Each puts back what it found: the second must not find what the first has changed for the moment."""
    before = logging.root.manager.disable
    first_in, first_out, second_in = threading.Event(), threading.Event(), threading.Event()

    def first():
        with clip._quiet():
            first_in.set()
            first_out.wait(5)

    def second():
        first_in.wait(5)
        with clip._quiet():
            second_in.set()
            at_work.join(5)

    at_work, other = threading.Thread(target=first), threading.Thread(target=second)
    at_work.start()
    other.start()
    assert not second_in.wait(0.2)
    first_out.set()
    other.join(5)
    assert second_in.is_set()
    assert logging.root.manager.disable == before
