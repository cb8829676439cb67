"""A small study from start to report: what is finished is kept, what failed or was killed is done again."""

import io
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from models.__main__ import main, train
from models.checkpoint import load_encoder, read_card
from models.measured import Measurement
from models.study import run as study_run
from models.study.process import StoppedError, Usage, locked, run_process
from models.study.spec import load_study
from models.study.store import Store, Times
from models.train.config import load_config
from models.train.feed import Feed
from models.train.loop import Provenance, fit

TRAINING = """
name = "small"
backbone = "tiny"
[data]
text_fields = ["description"]
cache_dir = "{cache}"
[entities]
groups = ["brand", "category"]
hidden_dim = 8
embedding_dim = 4
[optim]
epochs = 2
batch_size = 24
[run]
device = "cpu"
threads = 1
tensorboard = false
"""
STUDY = """
name = "small"
title = "A small study"
intro = "Shapes & colours."
seeds = [0, 1]
systems = [
  { name = "pasted", label = "③ pasted", config = "small.toml", set = ['entities.mode="pasted"'] },
  { name = "gates", label = "⑤ gates", config = "small.toml" },
]
[protocols.full]
[protocols.linked]
entities = "linked"
[[tables]]
kind = "systems"
title = "The systems"
systems = ["pasted", "gates"]
levels = ["pair"]
[[tables]]
kind = "comparison"
title = "Pairs"
pairs = [["gates", "pasted"]]
[[tables]]
kind = "grid"
title = "Entities"
row = "entities"
columns = ["encoded"]
rows = { given = ["gates"], linked = ["gates@linked"] }
[[tables]]
kind = "grid"
title = "Line"
row = "size"
columns = ["pasted", "encoded"]
rows = { 8 = ["pasted", "gates"], 16 = ["", "gates"] }
plot = "line"
"""


@pytest.fixture
def folder(support, tmp_path):
    tiny = support("tiny")
    tiny.backbone_folder(tmp_path)
    tiny.write_shop(tmp_path / "shop")
    (tmp_path / "small.toml").write_text(TRAINING.format(cache=tmp_path / "cache"))
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


@pytest.fixture
def unplotted(monkeypatch):
    monkeypatch.setattr("models.study.report.study_plots", lambda *_: [])


@pytest.fixture
def reproduce(folder):
    def reproducing(*options):
        fixed = ["--study", folder / "study.toml", "--catalogue", folder / "shop", "--out", folder / "out"]
        return CliRunner().invoke(main, ["reproduce", *map(str, [*fixed, *options])])

    return reproducing


def fit_straight(config, overrides, catalogue, out, log):
    def report(line):
        log.write(f"{line}\n".encode())

    provenance = Provenance(command=f"train {out.name}", commit="abc")
    fit(load_config(config, overrides), Feed.open(catalogue), out, resume=True, provenance=provenance, report=report)


class Trained(list):
    """The names of the runs that were started, and how those end that do not end well."""

    def __init__(self):
        super().__init__()
        self.fails = {}


@pytest.fixture
def trained(monkeypatch):
    """Train in this process, by the very command line."""

    runs = Trained()

    def running(command, env, log, lock, stop):
        assert command[:4] == [sys.executable, "-m", "models", "train"]
        assert int(env["OMP_NUM_THREADS"]) >= 1
        options = train.make_context("train", command[4:]).params
        out = options["out"]
        runs.append(out.name)
        if out.name in runs.fails:
            log.write(b"epoch 1/2  loss 1.0\nError: the loss is nan\n")
            return Usage(runs.fails[out.name], 1.0, 2.0)
        fit_straight(options["config_path"], options["overrides"], options["catalogue"], out, log)
        return Usage(0, 10.0, 20.0)

    monkeypatch.setattr(study_run, "run_process", running)
    return runs


def test_a_study_from_nothing_to_its_report(reproduce, trained, folder):
    done = reproduce("--jobs", "2")
    assert done.exit_code == 0, done.output
    out = folder / "out"
    assert sorted(trained) == ["gates-0", "gates-1", "pasted-0", "pasted-1"]
    assert done.stdout.strip() == str(out / "report.html")
    assert "[4/4] " in done.stderr
    assert "gates-0: trained in 10 s, 20 s of CPU; measured full, linked" in done.stderr

    found = Measurement.load(out / "gates-1", "val-linked")
    assert found.evaluation.fingerprint == read_card(out / "gates-1").fingerprint
    assert found.evaluation.protocol.entities == "linked"
    assert not (out / "pasted-0" / "val-linked.json").exists()  # no table asks for it
    assert json.loads((out / "gates-0" / "time.json").read_text()) == {
        "wall_s": 10.0, "cpu_s": 20.0, "starts": 1, "complete": True,
    }  # fmt: skip

    tables = (out / "tables.md").read_text()
    assert tables.startswith("# A small study\n\nShapes & colours.\n\n## The systems: all 36 candidates, per pair\n")
    assert "| ⑤ gates | 2 | " in tables
    assert "seeds 0, 1 " in tables
    assert "training 10–10 s a run" in tables
    assert "python -m models reproduce --study study.toml --catalogue shop --split val" in tables
    assert str(folder) not in tables

    plots = sorted(path.name for path in (out / "plots").iterdir())
    assert plots == ["1-the-systems.svg", "3-entities.svg", "4-line.svg", "gates.svg", "learning-curves.svg"]
    page = (out / "report.html").read_text()
    assert page.count("<svg") == len(plots)
    assert "Shapes &amp; colours." in page
    assert "prefers-color-scheme: dark" in page
    assert str(folder) not in page
    assert not re.search(r'(src|href)="(?!#)', page)  # nothing is loaded from elsewhere


def test_what_is_finished_is_not_done_again(reproduce, trained, unplotted, folder):
    assert reproduce("--only", "gates").exit_code == 0
    assert list(trained) == ["gates-0", "gates-1"]
    first = (folder / "out" / "tables.md").read_text()
    assert "| ③ pasted | 0 | –" in first
    before = (folder / "out" / "gates-0" / "val-full.json").stat().st_mtime_ns

    again = reproduce("--only", "gates")
    assert list(trained) == ["gates-0", "gates-1"]
    assert "gates-0: up to date" in again.stderr
    assert (folder / "out" / "gates-0" / "val-full.json").stat().st_mtime_ns == before
    assert (folder / "out" / "tables.md").read_text() == first

    nothing_run = reproduce("--tables-only", "--json")
    assert (nothing_run.exit_code, len(trained)) == (0, 2)
    assert {found["system"] for found in json.loads(nothing_run.stdout)["recalls"]} == {"gates"}


def test_the_seeds_of_a_system_are_joined_and_measured(reproduce, trained, unplotted, folder):
    text = (folder / "study.toml").read_text()
    text = text.replace("systems = [\n", 'systems = [\n  { name = "both", label = "⑤ joined", joined = "gates" },\n')
    text = text.replace('systems = ["pasted", "gates"]', 'systems = ["pasted", "gates", "both"]')
    (folder / "study.toml").write_text(text)
    alone = reproduce("--only", "both")
    assert (alone.exit_code, trained) == (1, [])
    assert "both: gates-0 is not trained yet" in alone.stderr
    done = reproduce("--only", "both", "--only", "gates", "--jobs", "2")
    assert done.exit_code == 0, done.output
    assert "[3/3] both: joined gates; measured full\n" in done.stderr
    out = folder / "out"
    assert "| ⑤ joined | 1 | " in (out / "tables.md").read_text()
    found = Measurement.load(out / "both", "val-full").evaluation
    assert found.fingerprint == load_encoder(str(out / "both")).fingerprint
    again = reproduce("--only", "both")
    assert "both: up to date" in again.stderr
    for seed in (0, 1):
        shutil.rmtree(out / f"gates-{seed}")
    (folder / "study.toml").write_text(text.replace("seeds = [0, 1]", "seeds = [0, 1]\nset = ['optim.lr=0.002']"))
    retrained = reproduce("--only", "both", "--only", "gates")
    assert "both: joined gates; measured full" in retrained.stderr


def test_a_measurement_of_other_weights_or_by_another_protocol_does_not_count(reproduce, trained, unplotted, folder):
    reproduce("--only", "gates")
    out = folder / "out"
    other = Measurement.load(out / "gates-1", "val-full")
    other.save(out / "gates-0", "val-full")
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text.replace('entities = "linked"', 'entities = "linked"\nlimit = 30'))
    done = reproduce("--only", "gates")
    assert "gates-0: measured full, linked" in done.stderr
    assert "gates-1: measured linked" in done.stderr
    assert (
        Measurement.load(out / "gates-0", "val-full").evaluation.fingerprint == read_card(out / "gates-0").fingerprint
    )
    assert Measurement.load(out / "gates-0", "val-linked").evaluation.products == 30
    (out / "gates-0" / "val-full.npz").write_bytes(b"torn")
    assert "gates-0: measured full" in reproduce("--only", "gates").stderr


def test_another_split_is_measured_without_training(reproduce, trained, unplotted, folder):
    reproduce("--only", "gates")
    done = reproduce("--only", "gates", "--split", "test")
    assert "gates-0: measured full, linked" in done.stderr
    assert len(trained) == 2
    assert (folder / "out" / "gates-0" / "test-full.npz").exists()
    assert (folder / "out" / "gates-0" / "val-full.npz").exists()


def test_a_checkpoint_of_another_configuration_is_an_error(reproduce, trained, unplotted, folder):
    reproduce("--only", "gates")
    text = (folder / "small.toml").read_text()
    (folder / "small.toml").write_text(text.replace("threads = 1", "threads = 2"))  # the same weights but for rounding
    assert reproduce("--only", "gates").exit_code == 0
    (folder / "small.toml").write_text(text.replace("batch_size = 24", "batch_size = 12"))
    done = reproduce("--only", "gates")
    assert done.exit_code == 1
    assert "was trained with another optim.batch_size: move it away to train again" in done.stderr
    assert len(trained) == 2
    assert reproduce("--tables-only").exit_code == 1


def test_one_failure_does_not_stop_the_others(reproduce, trained, unplotted, folder):
    trained.fails = {"pasted-0": 1, "gates-1": -9}
    done = reproduce()
    assert done.exit_code == 1
    assert "pasted-0: training failed with exit code 1: the loss is nan" in done.stderr
    assert "gates-1: training failed with signal 9" in done.stderr
    assert "Traceback" not in done.output
    assert "| ⑤ gates | 1 | " in (folder / "out" / "tables.md").read_text()
    trained.fails = {}
    assert reproduce().exit_code == 0
    assert list(trained) == ["pasted-0", "gates-0", "pasted-1", "gates-1", "pasted-0", "gates-1"]
    assert json.loads((folder / "out" / "pasted-0" / "time.json").read_text())["wall_s"] == 11.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "gate"), "no system 'gate'"),
        (("--catalogue", "nowhere"), "cannot read nowhere"),
        (("--study", "none.toml"), "cannot read none.toml"),
    ],
)
def test_what_cannot_start_fails_with_one_line(reproduce, options, message):
    done = reproduce(*options)
    assert (done.exit_code, done.stderr.strip().count("\n")) == (1, 0)
    assert message in done.stderr


def test_a_system_that_is_not_trained_is_only_measured(reproduce, trained, unplotted, folder):
    text = (folder / "study.toml").read_text()
    text = text.replace("systems = [\n", 'systems = [\n  { name = "start", label = "①", encoder = "mini" },\n')
    (folder / "study.toml").write_text(text.replace('["pasted", "gates"]\nlevels', '["start", "gates"]\nlevels'))
    done = reproduce("--only", "start")
    assert "start: measured full" in done.stderr
    assert "start: up to date" in reproduce("--only", "start").stderr
    assert not trained
    assert "| ① | 1 | " in (folder / "out" / "tables.md").read_text()
    assert "--encoder mini" in (folder / "out" / "tables.md").read_text()


def test_help_is_quick_because_it_imports_no_torch():
    code = "import sys; from models.__main__ import main; main(['reproduce', '--help'], standalone_mode=False)"
    code += "; print({'torch', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.slow
def test_a_study_told_to_end_goes_on_where_it_was(folder):
    """Processes for real: told to end in the middle of a training, which ends with it, and started again."""
    (folder / "small.toml").write_text(TRAINING.format(cache=folder / "cache") + "save_every_steps = 1\n")
    text = STUDY.replace("seeds = [0, 1]", 'seeds = [0]\nset = ["optim.epochs=6", "optim.batch_size=8"]')
    (folder / "study.toml").write_text(text)
    command = [sys.executable, "-m", "models", "reproduce", "--only", "gates", "--study", str(folder / "study.toml")]
    command += ["--catalogue", str(folder / "shop"), "--out", str(folder / "out")]
    run = folder / "out" / "gates-0"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while not (run / "run" / "state.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert "stopped; the same command goes on" in errors
    assert not (run / "card.json").exists()
    assert Times.model_validate_json((run / "time.json").read_bytes()).complete

    again = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "gates-0: trained in " in again.stderr
    times = Times.model_validate_json((run / "time.json").read_bytes())
    assert (times.starts, times.complete) == (2, True)
    assert times.cpu_s > 0

    overrides = ("optim.epochs=6", "optim.batch_size=8", "run.seed=0")
    fit_straight(folder / "small.toml", overrides, folder / "shop", folder / "straight", io.BytesIO())
    one, other = (load_file(where / "model.safetensors") for where in (run, folder / "straight"))
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_the_lock_of_a_killed_study_is_held_by_its_training(tmp_path):
    stop = threading.Event()
    with locked(tmp_path, stop) as lock:
        code = "import time; time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", code], pass_fds=(lock.fileno(),))
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(StoppedError), locked(tmp_path, stop):
        pass
    child.kill()
    child.wait()
    with locked(tmp_path, threading.Event()):
        pass


@pytest.mark.parametrize(("code", "status"), [("pass", 0), ("raise SystemExit(3)", 3), ("sum(range(10**7))", 0)])
def test_a_process_and_what_it_took(tmp_path, code, status):
    with (tmp_path / "log").open("ab") as log, locked(tmp_path, threading.Event()) as lock:
        usage = run_process([sys.executable, "-c", code], {}, log, lock, threading.Event())
    assert usage.status == status
    assert usage.wall_s > 0
    assert usage.cpu_s > 0


def test_a_process_ends_when_told_to(tmp_path):
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with (tmp_path / "log").open("ab") as log, locked(tmp_path, threading.Event()) as lock:
        usage = run_process([sys.executable, "-c", "import time; time.sleep(60)"], {}, log, lock, stop)
    assert usage.status == -signal.SIGTERM


def test_times_add_up_and_say_when_they_are_a_lower_bound(folder):
    once = Times().started().model_copy()
    assert (once.starts, once.complete) == (1, False)
    done = Times().ended(10, 20).ended(1, 2)
    assert (done.wall_s, done.cpu_s, done.starts, done.complete) == (11, 22, 2, True)
    assert not once.ended(5, 5).complete  # the first start was never seen to its end

    store, run = Store(folder / "out", "val"), load_study(folder / "study.toml").runs(["gates"])[0]
    assert store.times(run) == Times()
    store.folder(run).mkdir(parents=True)
    (store.folder(run) / "card.json").touch()
    assert not store.times(run).complete  # trained by hand
    store.save_times(run, done)
    assert store.times(run) == done
    (store.folder(run) / "time.json").write_text("torn")
    assert not store.times(run).complete
