"""Study files: what follows from them, and one line that names the key for everything wrong with them."""

import tomllib
from pathlib import Path

import pytest

from models.protocols import Protocol
from models.study.spec import ProtocolSpec, StudyError, load_study

STUDIES = Path(__file__).resolve().parents[3] / "models" / "train" / "configs" / "studies"
SMALL = """
name = "small"
title = "Small"
seeds = [0, 1]
set = ["optim.epochs=1"]

systems = [
  { name = "start", encoder = "mini" },
  { name = "gates", label = "⑤", config = "gates.toml", set = ["optim.lr=0.01"] },
  { name = "long", config = "gates.toml", seeds = [7] },
]

[protocols.full]
[protocols.linked]
entities = "linked"
[protocols.hundred]
candidates = "100"

[[tables]]
kind = "systems"
title = "Systems"
systems = ["start", "gates", "long"]
protocols = ["full", "hundred"]

[[tables]]
kind = "comparison"
title = "Pairs"
pairs = [["gates@linked", "gates"]]

[[tables]]
kind = "grid"
title = "Grid"
row = "what"
columns = ["one", "two"]
[tables.rows]
first = ["long", ""]
"""


@pytest.fixture
def load(tmp_path):
    (tmp_path / "gates.toml").write_text('name = "gates"\n')

    def loading(text=SMALL):
        path = tmp_path / "study.toml"
        path.write_text(text)
        return load_study(path)

    return loading


def test_what_is_measured_follows_from_the_tables(load):
    study = load()
    assert study.needed("start") == ("full", "hundred")
    assert study.needed("gates") == ("full", "linked", "hundred")


def test_runs_come_seed_by_seed_with_their_overrides(load):
    study = load()
    runs = study.runs()
    assert [run.name for run in runs] == ["start", "gates-0", "long-7", "gates-1"]
    assert runs[1].overrides == ("optim.epochs=1", "optim.lr=0.01", "run.seed=0")
    config = runs[3].config()
    assert (config.optim.epochs, config.optim.lr, config.run.seed) == (1, 0.01, 1)
    assert [run.name for run in study.runs(["long", "start"])] == ["start", "long-7"]


def test_a_protocol_is_that_of_measuring_with_the_split_of_the_call():
    spec = ProtocolSpec(candidates="100", entities="none", text_fields=("title",), withheld=("season",))
    assert spec.on("val") == Protocol(
        split="val", candidates="100", entities="none", text_fields=("title",), withheld=("season",)
    )
    assert ProtocolSpec().on("test") == Protocol()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = [0, 1]", "seed = [0]", "seed: Extra inputs are not permitted"),
        ("seeds = [0, 1]", "seeds = []", "seeds: Tuple should have at least 1 item"),
        ('entities = "linked"', 'entities = "guessed"', "protocols.linked.entities: Input should be"),
        ('encoder = "mini"', 'joined = "long"', "systems: start: 'long' is not trained with two seeds or more"),
        ('encoder = "mini"', 'joined = "none"', "systems: start: 'none' is not trained with two seeds or more"),
        ('encoder = "mini"', "seeds = [1]", "systems.0: start: one of config, encoder and joined"),
        (
            'encoder = "mini"',
            'encoder = "mini", config = "gates.toml"',
            "systems.0: start: one of config, encoder and joined",
        ),
        ('name = "start"', 'name = "Start!"', "systems.0.name: String should match pattern"),
        ('name = "start"', 'name = "gates-1"', "systems: 'gates-1' is there twice"),
        ('name = "start"', 'name = "begin"', "tables.0: no system 'start'"),
        ('protocols = ["full", "hundred"]', 'protocols = ["ful"]', "tables.0: no protocol 'ful'"),
        ('"gates@linked"', '"gates@none"', "tables.1: no protocol 'none'"),
        ('first = ["long", ""]', 'first = ["long"]', "tables.2.grid: rows.first: 1 cells for 2 columns"),
        ('kind = "grid"', 'kind = "cake"', "tables.2: Input tag 'cake'"),
        ('systems = ["start", "gates", "long"]', 'systems = ["gates", "long"]', "systems: 'start' is in no table"),
        ("optim.lr=0.01", "optim.lrr=0.01", "systems: gates-0: "),
        ('config = "gates.toml", seeds', 'config = "gate.toml", seeds', "systems: long-7: cannot read"),
        ("seeds = [0, 1]", "seeds = [0, 1", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(load, old, new, message):
    assert old in SMALL
    with pytest.raises(StudyError) as error:
        load(SMALL.replace(old, new, 1))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"cannot read .*none\.toml"):
        load_study(tmp_path / "none.toml")


def test_only_a_system_there_is(load):
    with pytest.raises(StudyError, match="no system 'gate' in the study 'small'"):
        load().runs(["gate"])


def test_an_untrained_system_has_no_configuration(load):
    with pytest.raises(StudyError, match="start is not trained"):
        load().runs(["start"])[0].config()


@pytest.mark.parametrize("name", ["myntra", "shop"])
def test_our_own_studies_cover_the_paper(name):
    path = STUDIES / f"{name}.toml"
    study = load_study(path)
    assert study.name == name
    names = [system.name for system in study.systems]
    assert names[:5] == ["start", "description", "pasted", "equal", "gates"]
    groups = {"brand", "category", "season", "composition"}
    assert {f"{mode}-{group}" for mode in ("pasted", "gates") for group in groups} <= set(names)
    sizes = {run.config().optim.batch_size for run in study.runs(["gates", "gates-b16", "gates-b32", "gates-b64"])}
    assert sizes == {16, 32, 64, 128}
    assert "gates" in tomllib.loads(path.read_text())["tables"][1]["pairs"][0]
