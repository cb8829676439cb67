"""The training configuration: what ships is valid, what is wrong is refused by its key."""

from pathlib import Path

import pytest

from models import train
from models.eiclip import EntityMode, Weighting
from models.train.config import ConfigError, TrainConfig, as_json, load_config

SHIPPED = sorted((Path(train.__file__).parent / "configs").glob("*.toml"))
SYSTEMS = {
    "shop_description": (EntityMode.NONE, Weighting.GATES),
    "shop_equal": (EntityMode.ENCODED, Weighting.MEAN),
    "shop_gates": (EntityMode.ENCODED, Weighting.GATES),
    "shop_pasted": (EntityMode.PASTED, Weighting.GATES),
}


def write(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configurations_are_valid_and_name_a_backbone_that_is_there(path):
    assert (Path(load_config(path).backbone) / "open_clip_config.json").is_file()


def test_the_compared_systems_differ_in_their_entities_only():
    configs = {path.stem: load_config(path) for path in SHIPPED if path.stem in SYSTEMS}
    assert {name: (c.entities.mode, c.entities.weighting) for name, c in configs.items()} == SYSTEMS
    rest = [c.model_dump(exclude={"name": True, "entities": {"mode", "weighting"}}) for c in configs.values()]
    assert all(other == rest[0] for other in rest)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "name: Field required"),
        ('name = "x"\nspeed = 3', "speed: Extra inputs"),
        ('name = "x"\n[optim]\nlearning_rate = 3', r"optim\.learning_rate: Extra inputs"),
        ('name = "x"\n[optim]\nlr = -1', r"optim\.lr: "),
        ('name = "x"\n[entities]\nmode = "glued"', r"entities\.mode: "),
        ('name = "x"\n[text_mix]\ncanonical = 0.9', r"text_mix: .*add up to 1\.3"),
        ('name = "x"\n[data]\ntext_fields = ["colour"]', r"data\.text_fields\.0: "),
        ("name = ", "is not TOML"),
    ],
)
def test_a_wrong_configuration_is_refused_by_its_key(tmp_path, text, key):
    with pytest.raises(ConfigError, match=key):
        load_config(write(tmp_path, text))


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(tmp_path / "binary.toml")


def test_overrides_are_read_as_toml_and_else_as_text(tmp_path):
    path = write(tmp_path, 'name = "x"\n[optim]\nepochs = 3')
    overrides = ["optim.lr=0.5", "optim.epochs=9", "entities.mode=pasted", 'entities.groups=["brand"]', "data.limit=7"]
    config = load_config(path, overrides)
    assert (config.optim.lr, config.optim.epochs, config.data.limit) == (0.5, 9, 7)
    assert (config.entities.mode, config.entities.groups) == (EntityMode.PASTED, ("brand",))


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("optim.lr", "not key=value"),
        ("=3", "not key=value"),
        ("name.first=1", "not a section"),
        ("run.sed=1", r"run\.sed: "),
    ],
)
def test_a_wrong_override_is_refused(tmp_path, override, reason):
    with pytest.raises(ConfigError, match=reason):
        load_config(write(tmp_path, 'name = "x"'), [override])


def test_a_backbone_folder_is_found_beside_the_file_and_any_other_source_kept(tmp_path, support):
    support("tiny").backbone_folder(tmp_path)
    assert load_config(write(tmp_path, 'name = "x"\nbackbone = "tiny"')).backbone == str(tmp_path / "tiny")
    assert load_config(write(tmp_path, 'name = "x"\nbackbone = "RN50/openai"')).backbone == "RN50/openai"


def test_what_the_card_records_holds_no_paths_of_the_machine(tmp_path, support):
    support("tiny").backbone_folder(tmp_path)
    config = load_config(write(tmp_path, f'name = "x"\nbackbone = "tiny"\n[data]\ncache_dir = "{tmp_path}"'))
    recorded = as_json(config)
    assert recorded["backbone"] == "tiny"
    assert str(tmp_path) not in str(recorded)
    assert as_json(TrainConfig(name="x", backbone="RN50/openai"))["backbone"] == "RN50/openai"
