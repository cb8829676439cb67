"""Towers on every runtime against torch: the same vectors for every batch and length, from every thread."""

import json
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.checkpoint import load_encoder
from models.clip import Towers, open_backbone
from models.clip_encoder import ClipEncoder
from models.runtime.artefacts import Artefacts
from models.runtime.cuda_graphs import batch_sizes, padded_images, padded_texts
from models.runtime.names import RuntimeName, RuntimeUnavailableError, TowerKind
from models.runtime.onnx_export import _Attention, export, quantise
from models.runtime.opening import Source, why_not

LENGTHS = [" ".join(["shoe"] * n) for n in range(21)]  # up to a full context of 24 with its two marks
TEXTS = ["", *LENGTHS, "word " * 200, "café №5 \N{SNOWMAN}", "a red running shoe"]
MODELS = ("vit", "resnet", "whole", "mini")

without_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
EXACT = [
    pytest.param(RuntimeName.ONNX),
    pytest.param(RuntimeName.OPENVINO, marks=without_openvino),
]


def opened(name, support, folder):
    """`vit` and `resnet` cut their texts, `whole` has a text tower that cannot be cut, `mini` is the bundled one."""
    if name == "mini":
        return load_encoder("mini", "cpu").backbone
    tiny = support("tiny")
    text = {"whole": {"no_causal_mask": True}, "vit": {"width": 64}}.get(name, {})
    path = tiny.backbone_folder(folder, **text)
    if name == "vit":
        config = json.loads((path / "open_clip_config.json").read_text())
        config["model_cfg"]["vision_cfg"] = {
            "image_size": 32, "patch_size": 8, "layers": 2, "width": 64, "head_width": 32
        }  # fmt: skip
        (path / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    return open_backbone(str(path))


@pytest.fixture(scope="module")
def source_of(support, tmp_path_factory):
    """The source of each model, whose files are made once."""
    known = {}

    def source(name):
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            encoder = ClipEncoder(opened(name, support, folder), device="cpu")
            known[name] = Source(encoder.backbone, encoder.fingerprint, Artefacts(folder / "runtimes"), threads=1)
        return known[name]

    return source


def given(backbone, kind, count):
    if kind is TowerKind.TEXT:
        return backbone.tokenize([TEXTS[n % len(TEXTS)] for n in range(count)])
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, size=(count, *backbone.recipe.size, 3), dtype=np.uint8))


def whole(backbone, kind, items):
    """What open_clip itself makes of items, no text cut."""
    if kind is TowerKind.TEXT:
        return backbone.model.encode_text(items)
    return backbone.model.encode_image(backbone.recipe.normalise(items))


def cosines(tower, backbone, kind, count):
    items = given(backbone, kind, count)
    with torch.inference_mode():
        features = tower(items)
        assert features.dtype == torch.float32
        assert features.shape == (count, backbone.dim)
        return F.cosine_similarity(features, whole(backbone, kind, items))


@pytest.mark.parametrize("kind", TowerKind)
class TestParity:
    @pytest.mark.parametrize("model", MODELS)
    @pytest.mark.parametrize("runtime", EXACT)
    def test_float_runtimes_give_torchs_vectors(self, source_of, model, kind, runtime):
        source = source_of(model)
        tower = source.open(runtime, kind, 64)
        for count in (1, 3, 64):
            assert cosines(tower, source.backbone, kind, count).min() > 0.99999
        items = given(source.backbone, kind, 8)
        with torch.inference_mode():
            torch.testing.assert_close(tower(items), whole(source.backbone, kind, items), atol=1e-4, rtol=1e-3)

    @pytest.mark.parametrize("model", ["vit", "mini"])
    def test_weights_in_unsigned_bytes_are_as_near_as_is_asked_for(self, source_of, model, kind):
        source = source_of(model)
        tower = source.open(RuntimeName.ONNX_UINT8, kind, 64)
        for count in (1, 3, 64):
            assert cosines(tower, source.backbone, kind, count).min() >= 0.999

    @pytest.mark.parametrize("model", ["vit", "mini"])
    def test_weights_in_signed_bytes_run(self, source_of, model, kind):
        source = source_of(model)
        assert cosines(source.open(RuntimeName.ONNX_INT8, kind, 64), source.backbone, kind, 3).min() > 0.9


@pytest.mark.parametrize("model", ["vit", "mini"])
def test_the_cut_tower_is_exact_at_every_length(source_of, model):
    backbone = source_of(model).backbone
    assert backbone.causal
    for count in (1, len(TEXTS), 130):  # the last is sorted and read in groups
        tokens = given(backbone, TowerKind.TEXT, count)
        with torch.inference_mode():
            torch.testing.assert_close(
                backbone.text_features(tokens), backbone.model.encode_text(tokens), atol=2e-5, rtol=0
            )


@pytest.mark.parametrize("runtime", [RuntimeName.ONNX, *EXACT[1:]])
def test_threads_get_what_one_caller_gets(source_of, runtime):
    source = source_of("vit")
    towers = {kind: source.open(runtime, kind, 16) for kind in TowerKind}
    encoder = ClipEncoder(source.backbone, device="cpu").with_towers(Towers(**towers))
    photos = list(np.random.default_rng(1).integers(0, 256, size=(12, 32, 32, 3), dtype=np.uint8))
    want = encoder.encode_texts(TEXTS), encoder.backbone.unit_pixels(np.stack(photos), towers[TowerKind.IMAGE])

    def work(turn):
        part = slice(turn % 7, None)
        texts = encoder.encode_texts(TEXTS[part])
        images = encoder.backbone.unit_pixels(np.stack(photos[part]), towers[TowerKind.IMAGE])
        np.testing.assert_allclose(texts, want[0][part], atol=1e-5)
        np.testing.assert_allclose(images, want[1][part], atol=1e-5)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(48)))


class TestEncoders:
    def test_towers_are_changed_in_a_copy(self, support, tmp_path):
        encoder = ClipEncoder(support("tiny").backbone(tmp_path), device="cpu")
        other = encoder.with_towers(
            Towers(text=lambda tokens: tokens[:, :24].float(), image=encoder.backbone.towers.image)
        )
        before = encoder.encode_texts(["boots"])
        assert other.fingerprint == encoder.fingerprint
        assert not np.allclose(other.encode_texts(["boots"]), before, atol=1e-3)
        np.testing.assert_array_equal(encoder.encode_texts(["boots"]), before)
        np.testing.assert_array_equal(
            other.encode_images(support("tiny").photos(2)), encoder.encode_images(support("tiny").photos(2))
        )

    def test_a_tower_that_fails_is_heard_of(self, support, tmp_path):
        def broken(_):
            raise RuntimeError("the device is gone")

        encoder = ClipEncoder(support("tiny").backbone(tmp_path), device="cpu").with_towers(Towers(broken, broken))
        with pytest.raises(RuntimeError, match="device is gone"):
            encoder.encode_texts(["boots"])
        with pytest.raises(RuntimeError, match="device is gone"):
            encoder.encode_images(support("tiny").photos(1))


class TestAttention:
    @pytest.mark.parametrize("masked", ["no", "causal", "each"])
    @pytest.mark.parametrize("padded", [False, True])
    def test_written_out_it_is_torchs(self, masked, padded):
        torch.manual_seed(0)
        theirs = nn.MultiheadAttention(12, 3, batch_first=True).eval()
        nn.init.normal_(theirs.in_proj_bias)
        x = torch.randn(2, 5, 12)
        causal = torch.full((5, 5), -torch.inf).triu(1)
        mask = {"no": None, "causal": causal, "each": torch.randn(6, 5, 5)}[masked]
        pad = torch.arange(5) > torch.tensor([[2], [4]]) if padded else None
        if pad is not None and mask is not None:  # torch wants both of one kind
            pad = torch.zeros(pad.shape).masked_fill(pad, -torch.inf)
            want, _ = theirs(x, x, x, attn_mask=mask, key_padding_mask=pad)
            got, _ = _Attention(theirs)(x, x, x, attn_mask=mask, key_padding_mask=pad.isinf())
        else:
            want, _ = theirs(x, x, x, attn_mask=mask, key_padding_mask=pad)
            got, _ = _Attention(theirs)(x, x, x, attn_mask=mask, key_padding_mask=pad)
        torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-5)

    @pytest.mark.parametrize("options", [{"kdim": 8, "vdim": 8}, {"kdim": 8, "vdim": 8, "bias": False}, {}])
    def test_queries_may_look_at_something_else(self, options):
        torch.manual_seed(0)
        theirs = nn.MultiheadAttention(12, 3, batch_first=True, **options).eval()
        x, y = torch.randn(2, 3, 12), torch.randn(2, 7, options.get("kdim", 12))
        torch.testing.assert_close(_Attention(theirs)(x, y, y)[0], theirs(x, y, y)[0], atol=1e-6, rtol=1e-5)


class _Odd(nn.Module):
    """An image tower with an operator that ONNX does not have."""

    def __init__(self, visual):
        super().__init__()
        self.visual = visual
        self.preprocess_cfg = visual.preprocess_cfg

    def forward(self, x):
        return self.visual(x + torch.linalg.svdvals(x[:, 0]).sum() * 0)


class TestWhatCannotBeRun:
    def test_a_tower_that_cannot_be_exported_says_so(self, support, tmp_path):
        backbone = support("tiny").backbone(tmp_path)
        backbone.model.visual = _Odd(backbone.model.visual)
        with pytest.raises(RuntimeUnavailableError, match=r"^cannot be exported to ONNX: .*svd"):
            export(backbone, TowerKind.IMAGE)
        assert export(backbone, TowerKind.TEXT)

    def test_what_is_no_model_cannot_be_quantised(self):
        with pytest.raises(RuntimeUnavailableError, match=r"^cannot be quantised: "):
            quantise(b"no model", signed=True)

    def test_exporting_leaves_the_model_as_it_was(self, support, tmp_path):
        backbone = support("tiny").backbone(tmp_path)
        before = {key: value.clone() for key, value in backbone.state_dict().items()}
        modules = [type(module) for module in backbone.modules()]
        export(backbone, TowerKind.TEXT)
        assert [type(module) for module in backbone.modules()] == modules
        for key, value in backbone.state_dict().items():
            assert torch.equal(value, before[key]), key

    def test_runtimes_are_for_a_device(self):
        cpu, cuda = torch.device("cpu"), torch.device("cuda")
        assert why_not(RuntimeName.TORCH, cpu) is None
        assert why_not(RuntimeName.TORCH, cuda) is None
        assert why_not(RuntimeName.CUDA_HALF, cuda) is None
        assert why_not(RuntimeName.CUDA_HALF, cpu) == "runs on cuda, and the encoder lies on cpu"
        assert why_not(RuntimeName.ONNX_INT8, cuda) == "runs on cpu, and the encoder lies on cuda"

    def test_a_missing_package_is_named(self, monkeypatch):
        monkeypatch.setattr("models.runtime.opening.find_spec", lambda _: None)
        cpu = torch.device("cpu")
        assert why_not(RuntimeName.ONNX, cpu) == "onnxruntime not installed"
        assert why_not(RuntimeName.ONNX_INT8, cpu) == "onnx and onnxruntime not installed"
        assert why_not(RuntimeName.OPENVINO, cpu) == "openvino not installed"


class TestPadding:
    """What CUDA graphs ask for: a few shapes only. Here they run uncaptured, each refusing any other shape."""

    @staticmethod
    def strict(run, example):
        shapes = [tensor.shape for tensor in example]

        def checked(*inputs):
            assert [tensor.shape for tensor in inputs] == shapes
            return run(*inputs)

        return checked

    @pytest.mark.parametrize(
        ("largest", "sizes"), [(1, (1,)), (2, (1, 2)), (16, (1, 4, 16)), (64, (1, 4, 16, 64)), (20, (1, 5, 20))]
    )
    def test_batch_sizes_grow_up_to_the_largest(self, largest, sizes):
        assert batch_sizes(largest) == sizes

    @pytest.mark.parametrize("count", [1, 2, 4, 5, 16, 17, 40])
    def test_padded_rows_change_nothing(self, source_of, count):
        backbone = source_of("vit").backbone
        images = padded_images(backbone, backbone.model.encode_image, batch_sizes(16), self.strict)
        texts = padded_texts(backbone, backbone.causal_tower.read, batch_sizes(16), self.strict)
        with torch.inference_mode():
            for kind, tower in ((TowerKind.IMAGE, images), (TowerKind.TEXT, texts)):
                items = given(backbone, kind, count)
                torch.testing.assert_close(tower(items), whole(backbone, kind, items), atol=1e-5, rtol=0)

    def test_texts_that_cannot_be_cut_are_refused(self, source_of):
        backbone = source_of("whole").backbone
        with pytest.raises(RuntimeUnavailableError, match="only causal text towers"):
            padded_texts(backbone, backbone.model.encode_text, (1,), self.strict)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", TowerKind)
def test_captured_halves_are_as_near_as_is_asked_for(support, tmp_path, kind):
    encoder = ClipEncoder(opened("vit", support, tmp_path), device="cuda")
    source = Source(encoder.backbone, encoder.fingerprint, Artefacts(tmp_path / "runtimes"))
    tower = source.open(RuntimeName.CUDA_HALF, kind, 16)
    for count in (1, 3, 16, 64):
        items = given(encoder.backbone, kind, count).to("cuda")
        with torch.inference_mode():
            near = F.cosine_similarity(tower(items), whole(encoder.backbone, kind, items))
        assert near.min() >= 0.999
