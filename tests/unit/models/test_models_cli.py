"""`python -m models`: the two commands end to end, and one clear line for everything that goes wrong."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from models.__main__ import main
from models.capture.provenance import source_commit
from models.checkpoint import read_card


@pytest.fixture
def tiny(support):
    return support("tiny")


@pytest.fixture
def shop(tiny, tmp_path):
    return tiny.write_shop(tmp_path / "shop")


@pytest.fixture
def config(tiny, tmp_path):
    tiny.backbone_folder(tmp_path)
    path = tmp_path / "small.toml"
    path.write_text(
        'name = "small"\nbackbone = "tiny"\n'
        f'[data]\ncache_dir = "{tmp_path / "cache"}"\n'
        '[entities]\ngroups = ["brand", "category"]\nhidden_dim = 8\nembedding_dim = 4\n'
        '[optim]\nepochs = 1\nbatch_size = 24\n[run]\ndevice = "cpu"\n'
    )
    return path


@pytest.fixture
def call():
    def calling(*args):
        return CliRunner().invoke(main, [str(arg) for arg in args])

    return calling


def test_train_then_evaluate(call, config, shop, tmp_path):
    out = tmp_path / "out"
    trained = call("train", "--config", config, "--catalogue", shop, "--out", out, "--set", "optim.lr=0.002")
    assert trained.exit_code == 0, trained.output
    assert "epoch 1/1" in trained.stderr
    assert trained.stdout.startswith(f"{out}: small, fingerprint ")
    card = read_card(out)
    assert card.training.command == "python -m models train --config small.toml --catalogue shop --set optim.lr=0.002"
    assert card.training.config["optim"]["lr"] == 0.002
    assert card.training.commit == source_commit()

    measured = call("evaluate", "--encoder", out, "--catalogue", shop, "--device", "cpu", "--json")
    figures = json.loads(measured.stdout)
    assert (figures["encoder"], figures["products"], figures["fingerprint"]) == ("small", 36, card.fingerprint)
    assert 0 <= figures["pair"]["text_to_image"]["r1"]["mean"] <= 1

    shown = call(
        "evaluate", "--encoder", out, "--catalogue", shop, "--pictures", 2, "--candidates", "100", "--limit", 30
    )
    assert shown.exit_code == 0, shown.output
    assert "entities brand" in shown.stdout
    assert shown.stdout.count("text to image  R@1") == 2  # per pair and per product
    alone = call("evaluate", "--encoder", out, "--catalogue", shop, "--without-entities", "--split", "val")
    assert "entities none" in alone.stdout
    assert alone.stdout.count("R@10") == 2

    again = call("train", "--config", config, "--catalogue", shop, "--out", out, "--resume")
    assert (again.exit_code, again.stderr) == (1, f"Error: {out} already holds a finished checkpoint\n")


@pytest.fixture
def encoder(tiny, tmp_path):
    return tiny.backbone_folder(tmp_path)


def test_evaluate_takes_every_part_of_a_protocol(call, shop, encoder, tmp_path):
    flags = ("evaluate", "--encoder", encoder, "--catalogue", shop, "--device", "cpu", "--json")

    def protocol(*more):
        done = call(*flags, *more)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)["protocol"]

    usual = {
        "split": "test", "candidates": "full", "pictures": 1, "limit": None, "entities": "given",
        "category_group": "category", "text_fields": None, "withheld": [],
    }  # fmt: skip
    assert protocol() == usual
    assert protocol("--entities", "linked")["entities"] == "linked"
    assert protocol("--without-entities")["entities"] == protocol("--entities", "none")["entities"] == "none"
    assert protocol("--withhold", "season", "--withhold", "brand")["withheld"] == ["season", "brand"]
    assert protocol("--text-fields", "description, title")["text_fields"] == ["description", "title"]
    sampled = protocol("--candidates", "100", "--category-group", "brand", "--split", "val", "--limit", 30)
    assert sampled == {**usual, "candidates": "100", "category_group": "brand", "split": "val", "limit": 30}


def test_evaluate_refuses_an_unknown_text_field(call, shop, encoder):
    done = call("evaluate", "--encoder", encoder, "--catalogue", shop, "--text-fields", "title,smell")
    assert done.exit_code == 2
    assert "'smell' is none of title, description" in done.stderr


def test_evaluate_saves_what_compare_reads(call, shop, encoder, tmp_path):
    def save(name, *flags):
        path = tmp_path / "measured" / name
        done = call("evaluate", "--encoder", encoder, "--catalogue", shop, "--device", "cpu", "--save", path, *flags)
        assert done.exit_code == 0, done.output
        return path.with_suffix(".npz")

    whole, titles, few = save("whole"), save("titles", "--text-fields", "title"), save("few", "--limit", 30)
    shown = call("compare", whole, "--against", titles, titles)
    assert shown.exit_code == 0, shown.output
    assert "pair, text to image     R@1" in shown.stdout
    assert "product, " not in shown.stdout  # one picture each: the same figures
    figures = json.loads(call("compare", "--json", whole, titles, "--against", titles).stdout)
    assert len(figures) == 3 * 2 * 3
    several = call("compare", whole, "--against", titles, whole, "--json")
    assert several.stdout == call("compare", whole, "--against", titles, "--against", whole, "--json").stdout
    assert several.stdout != call("compare", whole, "--against", titles, "--json").stdout

    refused = call("compare", whole, "--against", few)
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "not of the same products" in refused.stderr
    missing = call("compare", whole, "--against", tmp_path / "none.npz")
    assert (missing.exit_code, "none.json" in missing.stderr) == (1, True)
    assert call("compare", whole).exit_code == 2


def test_train_prints_the_card_for_machines(call, config, shop, tmp_path):
    result = call("train", "--config", config, "--catalogue", shop, "--out", tmp_path / "out", "--json")
    assert json.loads(result.stdout)["name"] == "small"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--config": "none.toml"}, "cannot read none.toml"),
        ({"--catalogue": "nowhere"}, "cannot read nowhere"),
        ({"--set": "optim.lrr=1"}, "optim.lrr: Extra inputs are not permitted"),
        ({"--set": "backbone=nonsense"}, "'nonsense' is neither a folder nor an open_clip model"),
        ({"--set": "run.device=abacus"}, "no device 'abacus'"),
        ({"--set": "data.limit=1"}, "at least 2 are needed"),
    ],
)
def test_train_fails_with_one_line(call, config, shop, tmp_path, change, message):
    options = {"--config": config, "--catalogue": shop, "--out": tmp_path / "out", **change}
    result = call("train", *(part for pair in options.items() for part in pair))
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.strip().count("\n") == 0
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--encoder", "nowhere"), "neither a folder nor an open_clip model"),
        (("--split", "dev"), "split 'dev'"),
    ],
)
def test_evaluate_fails_with_one_line(call, tiny, shop, tmp_path, options, message):
    folder = tiny.backbone_folder(tmp_path)
    result = call("evaluate", "--catalogue", shop, "--device", "cpu", "--encoder", folder, *options)
    assert (result.exit_code, result.stderr.strip().count("\n")) == (1, 0)
    assert message in result.stderr


def test_a_stopped_run_says_how_to_go_on(call, config, shop, tmp_path, monkeypatch):
    def stopped(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("models.train.loop.Trainer.run", stopped)
    result = call("train", "--config", config, "--catalogue", shop, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "--resume" in result.stderr


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["compare"]])
def test_help_is_quick_because_it_imports_no_torch(command):
    code = "import sys; from models.__main__ import main; main(standalone_mode=False); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=True)
    assert "Usage:" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


def test_threads_wait_passively_before_torch_is_imported():
    code = "import models.__main__, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={})
    assert done.stdout.split() == ["PASSIVE", "False"]


def test_the_commit_is_unknown_without_git(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert source_commit() is None
