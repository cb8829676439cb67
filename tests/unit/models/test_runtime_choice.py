"""Choosing a runtime: the decision on worked cases, and real runtimes measured, refused and chosen."""

import hashlib
import json
import math

import numpy as np
import pytest
import torch

from models.checkpoint import load_encoder
from models.clip_encoder import ClipEncoder
from models.encoder import Encoder
from models.runtime.artefacts import MANIFEST
from models.runtime.choose import Terms
from models.runtime.deciding import Trial, decide, gain
from models.runtime.encoders import Place, Probes, TowerEncoder, missing, with_fastest
from models.runtime.names import CANDIDATES, RuntimeChoice, RuntimeName, TowerKind

EAGER = Trial(RuntimeName.TORCH, ms={1: 40.0, 16: 400.0}, cosine=1.0)
TEXTS = ["", "red", "a red running shoe with white laces", "boots for deep snow " * 20, *"abcdefgh"]


def trial(runtime, one, many, cosine=0.9999, overlap=None, **more):
    return Trial(runtime, ms={1: one, 16: many}, cosine=cosine, overlap=overlap, **more)


def onnx(*args, **kwargs):
    return trial(RuntimeName.ONNX, *args, **kwargs)


def int8(*args, **kwargs):
    return trial(RuntimeName.ONNX_INT8, *args, **kwargs)


class TestDecision:
    @pytest.mark.parametrize(
        ("trials", "chosen"),
        [
            ([], "torch"),
            ([onnx(20, 200)], "onnx"),
            ([onnx(80, 800)], "torch"),
            ([onnx(38, 380)], "torch"),  # 5% may be noise
            ([onnx(30, 300), int8(10, 100)], "onnx-int8"),
            ([int8(10, 100), onnx(30, 300)], "onnx-int8"),
            ([int8(10, 100, cosine=0.9989), onnx(30, 300)], "onnx"),
            ([int8(10, 100, overlap=0.979), onnx(30, 300, overlap=1.0)], "onnx"),
            ([int8(10, 100, overlap=0.98), onnx(30, 300, overlap=1.0)], "onnx-int8"),
            ([int8(10, 100, cosine=math.nan)], "torch"),
            ([int8(10, 100, cosine=None)], "torch"),
            ([int8(10, 100, failed="does not run")], "torch"),
            ([int8(10, 1600)], "torch"),  # four times as fast on one item, four times as slow on many
            ([int8(20, 400), onnx(40, 100)], "onnx"),  # 1.41 times on the whole, against 2
            ([int8(20, 200, cosine=0.9995), onnx(21, 210, cosine=1.0)], "onnx"),  # as fast but for noise, and nearer
            ([int8(20, 200, overlap=0.99), onnx(23, 230, overlap=1.0)], "onnx-int8"),
        ],
    )
    def test_the_fastest_exact_one_is_chosen(self, trials, chosen):
        outcomes = decide([EAGER, *trials])
        assert [outcome.runtime for outcome in outcomes if outcome.chosen] == [chosen]
        assert [outcome.trial for outcome in outcomes] == [EAGER, *trials]

    def test_one_that_was_named_need_not_be_faster_but_exact(self):
        assert [o.chosen for o in decide([EAGER, onnx(80, 800)], min_gain=0.0)] == [False, True]
        assert [o.chosen for o in decide([EAGER, onnx(8, 80, cosine=0.5)], min_gain=0.0)] == [True, False]

    def test_the_gain_is_the_geometric_mean(self):
        assert gain(onnx(10, 400), EAGER) == pytest.approx(2.0)
        assert gain(Trial(RuntimeName.ONNX, ms={1: 20.0}), EAGER) == pytest.approx(2.0)
        assert gain(Trial(RuntimeName.ONNX), EAGER) == 0.0

    @pytest.mark.parametrize(
        ("other", "said"),
        [
            (Trial(RuntimeName.OPENVINO, failed="openvino not installed"), "openvino not installed"),
            (int8(10, 100, cosine=0.9917), "vectors differ: cosine 0.99170, 0.999 is asked for"),
            (int8(10, 100, cosine=math.nan), "vectors differ: cosine nan, 0.999 is asked for"),
            (int8(10, 100, overlap=0.9), "finds other products: overlap 0.9000, 0.98 is asked for"),
            (onnx(20, 200), "2.00 times as fast as torch"),
            (Trial(RuntimeName.ONNX, ms={1: 160.0}), "0.25 times as fast as torch on one item: not looked at further"),
        ],
    )
    def test_every_runtime_is_given_a_reason(self, other, said):
        assert decide([EAGER, other])[1].reason == said

    def test_torch_is_kept_with_a_reason(self):
        assert decide([EAGER])[0].reason == "nothing as exact is faster"
        assert decide([Trial(RuntimeName.TORCH)])[0].reason == "nothing to measure on"
        assert decide([EAGER, onnx(1, 1)])[0].reason == ""

    def test_an_outcome_can_be_written_down(self):
        [_, outcome] = decide([EAGER, onnx(20, 200, overlap=1.0)])
        assert json.loads(json.dumps(outcome.described())) == {
            "runtime": "onnx",
            "chosen": True,
            "reason": "2.00 times as fast as torch",
            "ms": {"1": 20, "16": 200},
            "cosine": 0.9999,
            "overlap": 1.0,
            "open_ms": 0.0,
        }


@pytest.fixture(scope="module")
def mini():
    return load_encoder("mini", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runtimes")


@pytest.fixture
def probes(support):
    return Probes(TEXTS, support("tiny").photos(6), max_texts=16, max_images=4)


class TestMeasured:
    def test_the_fastest_exact_runtime_encodes(self, mini, probes, folder):
        asked = []

        def overlap(kind, exact, other):
            asked.append((kind, exact.shape))
            np.testing.assert_allclose((exact * other).sum(axis=1), 1, atol=1e-3)
            return 0.99

        encoder, chosen = with_fastest(mini, probes, RuntimeChoice.AUTO, Place(folder, threads=1), Terms(overlap))
        for kind, batch in ((TowerKind.TEXT, 16), (TowerKind.IMAGE, 4)):
            trials = [outcome.trial for outcome in chosen.outcomes[kind]]
            assert {trial.runtime for trial in trials} == {"torch", *CANDIDATES[RuntimeChoice.AUTO]} - {"cuda-half"}
            ran = [trial for trial in trials if trial.exact]
            assert all(outcome.trial.ms or outcome.trial.failed for outcome in chosen.outcomes[kind])
            assert all(outcome.trial.exact or outcome.reason for outcome in chosen.outcomes[kind])
            assert all(set(trial.ms) == {1, batch} and min(trial.ms.values()) > 0 for trial in ran)
            most = max(gain(trial, trials[0]) for trial in ran)
            used = next(trial for trial in ran if trial.runtime is chosen.name(kind))
            assert gain(used, trials[0]) * 1.1 >= most or most < 1.1
        assert {kind for kind, _ in asked} == set(TowerKind)
        assert set(asked) == {(TowerKind.TEXT, (12, 128)), (TowerKind.IMAGE, (6, 128))}
        assert isinstance(encoder, Encoder)
        assert encoder.fingerprint == mini.fingerprint
        assert (encoder.encode_texts(TEXTS) * mini.encode_texts(TEXTS)).sum(axis=1).min() >= 0.999
        assert (encoder.encode_images(probes.images) * mini.encode_images(probes.images)).sum(axis=1).min() >= 0.999
        assert json.loads(json.dumps(chosen.described()))["text"]["runtime"] == chosen.name(TowerKind.TEXT)

    def test_one_asked_for_by_name_is_used_for_its_entities_too(self, mini, probes, folder):
        encoder, chosen = with_fastest(mini, probes, RuntimeChoice.ONNX, Place(folder, threads=1))
        assert {chosen.name(kind) for kind in TowerKind} == {RuntimeName.ONNX}
        stated = [{"brand": next(iter(mini.vocabularies["brand"]))}] * len(TEXTS)
        np.testing.assert_allclose(encoder.encode_texts(TEXTS, stated), mini.encode_texts(TEXTS, stated), atol=1e-5)
        for ours, theirs in zip(encoder.text_terms(TEXTS, stated), mini.text_terms(TEXTS, stated), strict=True):
            assert ours.names == theirs.names
            np.testing.assert_allclose(ours.terms, theirs.terms, atol=1e-5)

    def test_vectors_that_find_other_things_are_refused(self, mini, probes, folder):
        terms = Terms(overlap=lambda *_: 0.97)
        encoder, chosen = with_fastest(mini, probes, RuntimeChoice.ONNX, Place(folder, threads=1), terms)
        assert {chosen.name(kind) for kind in TowerKind} == {RuntimeName.TORCH}
        assert "overlap 0.9700" in chosen.outcomes[TowerKind.TEXT][1].reason
        np.testing.assert_array_equal(encoder.encode_texts(TEXTS), mini.encode_texts(TEXTS))

    def test_bytes_are_refused_where_one_channel_drowns_the_others(self, support, tmp_path, probes):
        """Scaled by the largest, what a byte can tell apart of the other channels is nothing."""
        backbone = support("tiny").backbone(tmp_path)
        with torch.no_grad():
            for block in backbone.model.transformer.resblocks:
                block.ln_2.weight[0] = 3000.0
                block.mlp.c_fc.weight[:, 0] = 0.0
        encoder = ClipEncoder(backbone, device="cpu")
        other, chosen = with_fastest(encoder, probes, RuntimeChoice.ONNX_INT8, Place(tmp_path / "runtimes", threads=1))
        assert chosen.name(TowerKind.TEXT) is RuntimeName.TORCH
        torch_trial, *refused = chosen.outcomes[TowerKind.TEXT]
        assert torch_trial.chosen
        assert [outcome.runtime for outcome in refused] == [RuntimeName.ONNX_INT8, RuntimeName.ONNX_UINT8]
        assert all(outcome.trial.cosine < 0.999 for outcome in refused)
        assert all(outcome.reason.startswith("vectors differ") for outcome in refused)
        np.testing.assert_array_equal(other.encode_texts(TEXTS), encoder.encode_texts(TEXTS))

    def test_nothing_more_is_tried_when_the_time_is_over(self, mini, probes, folder):
        _, chosen = with_fastest(mini, probes, RuntimeChoice.AUTO, Place(folder, threads=1), Terms(budget_s=1e-6))
        for kind in TowerKind:
            first, second, *_, last = [outcome.trial for outcome in chosen.outcomes[kind]]
            assert (first.runtime, second.runtime) == (RuntimeName.TORCH, RuntimeName.ONNX_INT8)
            assert set(first.ms) == {1, 16 if kind is TowerKind.TEXT else 4}
            assert second.ms  # one is tried, however long torch took
            assert (last.runtime, last.failed) == (RuntimeName.ONNX, "the time for measuring was over")

    def test_without_pictures_their_tower_stays_as_it_is(self, mini, folder):
        _, chosen = with_fastest(mini, Probes(["red"], [], 4, 4), RuntimeChoice.ONNX, Place(folder, threads=1))
        assert chosen.name(TowerKind.TEXT) is RuntimeName.ONNX
        [only] = chosen.outcomes[TowerKind.IMAGE]
        assert (only.runtime, only.reason) == (RuntimeName.TORCH, "nothing to measure on")

    def test_without_texts_too(self, mini, probes, folder):
        nothing = Probes([], probes.images, 4, 4)
        _, chosen = with_fastest(mini, nothing, RuntimeChoice.ONNX, Place(folder, threads=1))
        assert chosen.name(TowerKind.TEXT) is RuntimeName.TORCH
        assert chosen.name(TowerKind.IMAGE) is RuntimeName.ONNX

    def test_a_file_that_is_no_model_is_refused_by_the_runtime(self, support, tmp_path, probes):
        """Its digest fits: it was written like that."""
        encoder = ClipEncoder(support("tiny").backbone(tmp_path), device="cpu")
        place = Place(tmp_path / "runtimes", threads=1)
        with_fastest(encoder, probes, RuntimeChoice.ONNX, place)
        for kept in place.folder.iterdir():
            stated = json.loads((kept / MANIFEST).read_text())
            (kept / MANIFEST).write_text(json.dumps({**stated, "sha256": hashlib.sha256(b"no model").hexdigest()}))
            (kept / "model.onnx").write_bytes(b"no model")
        other, chosen = with_fastest(encoder, probes, RuntimeChoice.ONNX, place)
        for kind in TowerKind:
            assert chosen.name(kind) is RuntimeName.TORCH
            assert chosen.outcomes[kind][1].reason.startswith("cannot be opened: ")
        np.testing.assert_array_equal(other.encode_texts(TEXTS), encoder.encode_texts(TEXTS))

    def test_a_model_of_another_shape_is_refused_when_it_runs(self, support, tmp_path, probes):
        tiny = support("tiny")
        encoder = ClipEncoder(tiny.backbone(tmp_path), device="cpu")
        place = Place(tmp_path / "runtimes", threads=1)
        with_fastest(encoder, probes, RuntimeChoice.ONNX, place)
        text, image = (next(place.folder.glob(f"*-{kind}-onnx-*")) for kind in TowerKind)
        for name in (MANIFEST, "model.onnx"):
            (text / name).write_bytes((image / name).read_bytes())
        manifest = json.loads((text / MANIFEST).read_text())
        (text / MANIFEST).write_text(json.dumps({**manifest, "name": "text-onnx"}))
        _, chosen = with_fastest(encoder, probes, RuntimeChoice.ONNX, place)
        assert chosen.name(TowerKind.IMAGE) is RuntimeName.ONNX
        assert chosen.name(TowerKind.TEXT) is RuntimeName.TORCH
        assert chosen.outcomes[TowerKind.TEXT][1].reason.startswith("does not run: ")


class TestWhatThereIs:
    def test_encoders_with_towers_are_told_from_others(self, mini, weightless):
        assert isinstance(mini, TowerEncoder)
        assert not isinstance(weightless(), TowerEncoder)

    def test_what_is_missing_is_said_of_what_was_named(self, mini, monkeypatch):
        assert missing(mini, RuntimeChoice.TORCH) is None
        assert missing(mini, RuntimeChoice.ONNX) is None
        assert missing(mini, RuntimeChoice.CUDA_HALF) == "runs on cuda, and the encoder lies on cpu"
        monkeypatch.setattr("models.runtime.opening.find_spec", lambda _: None)
        assert missing(mini, RuntimeChoice.ONNX) == "onnxruntime not installed"

    def test_without_any_package_torch_stays(self, mini, probes, folder, monkeypatch):
        monkeypatch.setattr("models.runtime.opening.find_spec", lambda _: None)
        encoder, chosen = with_fastest(mini, probes, RuntimeChoice.AUTO, Place(folder, threads=1))
        for kind in TowerKind:
            assert chosen.name(kind) is RuntimeName.TORCH
            assert all(outcome.reason.endswith("not installed") for outcome in chosen.outcomes[kind][1:])
        np.testing.assert_array_equal(encoder.encode_texts(TEXTS), mini.encode_texts(TEXTS))
