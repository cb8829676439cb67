"""Runtimes chosen at the start of the service: measured on the bundle, refused when the index finds other things."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog

from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.manifest import QueryKind
from models.clip_encoder import ClipEncoder
from models.runtime.names import RuntimeName, TowerKind
from service.errors import StartupError
from service.runtimes import FOLDER, on_fastest_runtimes, overlap_in, probes_of, running
from service.settings import Settings


@pytest.fixture(scope="module")
def towered(tmp_path_factory, support):
    """An encoder with towers and a bundle it made, of 30 products with a picture each."""
    folder, feeds = tmp_path_factory.mktemp("towered"), support("feeds")
    encoder = ClipEncoder(support("tiny").backbone(folder), device="cpu")
    rows = feeds.products(30, pictures=1)
    feeds.write_pictures(folder / "feed", rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "feed" / "catalogue.parquet")
    built = build(encoder, BuildOptions(catalogue=folder / "feed", data_dir=folder / "data"))
    with Bundle.open(built.path) as bundle:
        yield encoder, bundle


def settings_of(folder, **given):
    return Settings.model_validate({"data_dir": folder, "encode_threads": 1, **given})


def test_probes_are_texts_and_pictures_of_the_bundle(towered):
    encoder, bundle = towered
    probes = probes_of(encoder, bundle, settings_of(bundle.path, max_batch_texts=7, max_batch_images=3))
    titles = [product.title for product in bundle.products]
    assert probes.texts[0] == titles[0]
    assert probes.texts[23] == titles[-1]
    assert set(probes.texts[:24]) <= set(titles)
    assert len(set(probes.texts)) == len(probes.texts) == 32
    assert all(len(text) > len(titles[0]) for text in probes.texts[24:])
    assert len(probes.images) == 24
    assert len({image.tobytes() for image in probes.images}) == 24
    assert (probes.max_texts, probes.max_images) == (7, 3)


class TestOverlap:
    def ten_best(self, bundle, kind, q):
        """Brute force: the ten best products by the formula of the scores."""
        weights = bundle.manifest.fusion[kind]
        text = bundle.vectors["text"].astype(np.float64) @ q
        pictures = bundle.vectors["image"].astype(np.float64) @ q
        image = [
            max(pictures[a:b], default=0.0)
            for a, b in zip(bundle.image_starts[:-1], bundle.image_starts[1:], strict=True)
        ]
        return set(np.argsort(-(weights.text * text + weights.image * np.array(image)), kind="stable")[:10])

    @pytest.mark.parametrize("kind", [QueryKind.TEXT, QueryKind.IMAGE])
    def test_it_is_the_share_of_the_ten_best_that_are_the_same(self, towered, kind):
        _, bundle = towered
        rng = np.random.default_rng(0)
        exact = rng.standard_normal((20, bundle.manifest.encoder.dim)).astype(np.float32)
        other = exact + 0.3 * rng.standard_normal(exact.shape).astype(np.float32)
        exact, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (exact, other))
        shares = [
            len(self.ten_best(bundle, kind, a) & self.ten_best(bundle, kind, b)) / 10
            for a, b in zip(exact, other, strict=True)
        ]
        overlap = overlap_in(bundle)
        assert 0.2 < np.mean(shares) < 0.98
        assert overlap(TowerKind(kind), exact, other) == pytest.approx(np.mean(shares), abs=1e-9)
        assert overlap(TowerKind(kind), exact, exact) == 1.0


class TestChoice:
    def test_what_was_chosen_encodes_and_is_said_in_one_line(self, towered, tmp_path):
        encoder, bundle = towered
        with structlog.testing.capture_logs() as lines:
            faster, chosen = on_fastest_runtimes(encoder, bundle, settings_of(tmp_path, runtime="onnx"))
        [line] = lines
        assert (line["event"], line["log_level"], line["asked"]) == ("runtimes", "info", "onnx")
        assert line["text"]["runtime"] == line["image"]["runtime"] == "onnx"
        assert line["image"]["measured"][1]["overlap"] == 1.0
        assert json.dumps(line)
        assert {chosen.name(kind) for kind in TowerKind} == {RuntimeName.ONNX}
        np.testing.assert_allclose(faster.encode_texts(["red top"]), encoder.encode_texts(["red top"]), atol=1e-5)
        assert faster.fingerprint == bundle.manifest.encoder.fingerprint
        assert len(list((tmp_path / FOLDER).iterdir())) == 2
        assert running(encoder) == {"text": "torch", "image": "torch"}
        assert running(faster) == {"text": "onnx", "image": "onnx"}
        assert faster.towers.found == chosen.described()

    def test_torch_measures_nothing(self, towered, tmp_path):
        encoder, bundle = towered
        assert on_fastest_runtimes(encoder, bundle, settings_of(tmp_path, runtime="torch")) == (encoder, None)
        assert not (tmp_path / FOLDER).exists()

    @pytest.mark.parametrize("runtime", ["auto", "onnx"])
    def test_an_encoder_without_towers_is_left_alone(self, weightless, towered, tmp_path, runtime):
        encoder = weightless()
        assert on_fastest_runtimes(encoder, towered[1], settings_of(tmp_path, runtime=runtime)) == (encoder, None)
        assert running(encoder) == {}

    def test_a_runtime_that_is_not_there_ends_the_start(self, towered, tmp_path):
        encoder, bundle = towered
        with pytest.raises(StartupError, match=r"^CATALENS_RUNTIME or --runtime: cuda-half: runs on cuda, and"):
            on_fastest_runtimes(encoder, bundle, settings_of(tmp_path, runtime="cuda-half"))

    def test_one_that_was_named_and_is_refused_is_a_warning(self, support, towered, tmp_path):
        """The weights of the text tower are such that bytes cannot hold what passes through it."""
        _, bundle = towered
        backbone = support("tiny").backbone(tmp_path)
        for block in backbone.model.transformer.resblocks:
            block.ln_2.weight.data[0] = 3000.0
            block.mlp.c_fc.weight.data[:, 0] = 0.0
        with structlog.testing.capture_logs() as lines:
            _, chosen = on_fastest_runtimes(
                ClipEncoder(backbone, device="cpu"), bundle, settings_of(tmp_path, runtime="onnx-int8")
            )
        assert chosen.name(TowerKind.TEXT) is RuntimeName.TORCH
        assert lines[0]["log_level"] == "warning"
        assert lines[0]["text"]["measured"][2]["reason"].startswith("vectors differ")
