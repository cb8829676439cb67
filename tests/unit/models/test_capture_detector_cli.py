"""`train-detector`: from a file of cut-outs to a detector, and one line for everything that cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

import models.capture
from models.capture.cutouts import CutoutRow, Cutouts, encode_cutout, write_cutouts
from models.capture.detecting import load_detector
from models.capture.detector_cli import train_detector
from models.capture.detector_config import DetectorConfig
from models.capture.detector_sources import CutoutFiles, VariedComposer, detector_data
from models.train.config import ConfigError, read_config

CONFIGS = sorted((Path(models.capture.__file__).parent / "configs").glob("*detector.toml"))
QUICK = """
name = "quick"
[design]
side = 64
widths = [8, 8, 8, 8, 8]
neck = 8
[data]
train = 12
val = 6
shapes = [[96, 64], [64, 96]]
cache_dir = "{cache}"
[optim]
epochs = 1
batch_size = 4
[run]
device = "cpu"
tensorboard = false
"""


def cutout(number, split):
    rng = np.random.default_rng(number)
    image = Image.new("RGBA", (40, 30 + number))
    ImageDraw.Draw(image).ellipse([0, 0, 39, 29 + number], fill=(*rng.integers(0, 255, 3).tolist(), 255))
    return CutoutRow(f"{split}-{number}", split, f"{split}-g{number // 2}", "a thing", encode_cutout(image))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Cut-outs of both splits in one file."""
    path = tmp_path_factory.mktemp("cutouts") / "cut.arrow"
    write_cutouts(path, (cutout(number, split) for split in ("train", "val") for number in range(16)))
    return CutoutFiles(path, path)


@pytest.fixture
def quick(tmp_path):
    path = tmp_path / "quick.toml"
    path.write_text(QUICK.format(cache=tmp_path / "cache"))
    return path


def invoked(*flags):
    return CliRunner().invoke(train_detector, [str(flag) for flag in flags])


def test_a_detector_comes_out(quick, files, tmp_path):
    out = tmp_path / "detector"
    done = invoked("--config", quick, "--cutouts", files.train, "--out", out, "--set", "run.seed=2", "--json")
    assert done.exit_code == 0, done.output
    card = load_detector(out).card
    assert card.training.command == (
        "python -m models capture train-detector --config quick.toml --cutouts cut.arrow --set run.seed=2"
    )
    assert card.training.data.products == {"train": 8, "val": 8}
    assert card.training.config["run"]["seed"] == 2
    assert json.loads(done.stdout)["fingerprint"] == card.fingerprint
    assert str(tmp_path) not in (out / "card.json").read_text()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('name = "quick"', "name: Field required"),
        ("side = 64", "design: Value error, side must be a multiple of 32, not 65"),
        ("shapes = ", "data.shapes: Tuple should have at least 1 item"),
        ("[design]", "quick.toml is not TOML"),
    ],
)
def test_a_bad_configuration_is_one_line(quick, files, tmp_path, change, says):
    bad = {'name = "quick"': "", "side = 64": "side = 65", "shapes = ": "shapes = [] #", "[design]": "[design"}
    quick.write_text(quick.read_text().replace(change, bad[change]))
    done = invoked("--config", quick, "--cutouts", files.train, "--out", tmp_path / "detector")
    assert done.exit_code == 1
    assert says in done.output
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize("missing", ["config", "cutouts"])
def test_a_missing_file_is_one_line(quick, files, tmp_path, missing):
    paths = {"config": quick, "cutouts": files.train} | {missing: tmp_path / "none"}
    done = invoked("--config", paths["config"], "--cutouts", paths["cutouts"], "--out", tmp_path / "detector")
    assert done.exit_code == 1
    assert f"cannot read {tmp_path / 'none'}" in done.output
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize("override", ["data.train", "name.first=1", "data.unknown=3"])
def test_a_bad_override_is_named(quick, override):
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        read_config(quick, [override], DetectorConfig)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_configurations_that_come_with_it_are_good(path):
    config = read_config(path, ["optim.epochs=3"], DetectorConfig)
    assert config.optim.epochs == 3
    assert config.run.threads == 1


def test_composites_come_in_all_shapes_and_some_products_are_alone(quick, files):
    config = read_config(quick, ["data.alone=0.5"], DetectorConfig)
    composer = VariedComposer(Cutouts.open(files.train).of_split("train"), config)
    made = [composer.composite(number) for number in range(40)]
    assert [one.picture.size for one in made[:4]] == [(96, 64), (64, 96)] * 2
    alone = [one for one in made if len(one.boxes) == 1]
    assert 14 <= len(alone) <= 35
    share = [
        float((box[2] - box[0]) * (box[3] - box[1]) / (one.picture.width * one.picture.height))
        for one in alone
        for box in one.boxes
    ]
    assert max(share) > 0.4
    same = composer.composite(7)
    assert same.picture.tobytes() == made[7].picture.tobytes()
    assert (same.boxes == made[7].boxes).all()


def test_what_decides_the_composites_names_them(quick, files):
    data = detector_data(read_config(quick, [], DetectorConfig), files)
    again = detector_data(read_config(quick, ["optim.lr=0.1"], DetectorConfig), files)
    other = detector_data(read_config(quick, ["composites.rotation=5"], DetectorConfig), files)
    assert data.train.digest == again.train.digest
    assert len({data.train.digest, data.val.digest, other.train.digest}) == 3
    assert (len(data.train), len(data.val)) == (12, 6)
