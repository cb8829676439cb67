"""Whatever a card, a table of statistics or a configuration holds, it is read or refused by an error of its own."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.checkpoint import CheckpointError, read_card
from models.entities import EntityStatistics
from models.entity_statistics import EntityStatisticsError
from models.study.spec import StudyError, load_study
from models.train.config import ConfigError, TrainConfig, load_config

FEW = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def outcome(read, error):
    """Return what `read` returns, and the error of its own by which it refused instead."""
    try:
        return read(), None
    except error as refused:
        return None, refused


NAMES = ["format", "name", "licence", "backbone", "image", "entities", "vocabulary", "counts", "version", "fingerprint"]
CONTENTS = st.binary(max_size=100) | st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6).map(
    lambda value: json.dumps(value).encode()
)
SECTIONS = ["data", "text", "dropout", "augment", "near", "loss", "optim", "run", "systems", "tables", "name"]
VALUES = st.sampled_from(["1", "-1", "1e400", "nan", "inf", "true", '"x"', "[]", "{}", "[[1]]", "1979-05-27", "0x1F"])
TOML = st.binary(max_size=60) | st.lists(
    st.tuples(st.sampled_from(SECTIONS), st.sampled_from(["epochs", "seed", "lr", "batch", "train"]), VALUES),
    max_size=4,
).map(lambda lines: "\n".join(f"[{section}]\n{key} = {value}" for section, key, value in lines).encode())


@FEW
@given(CONTENTS)
def test_what_is_no_card_is_refused(tmp_path, content):
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(CheckpointError):
        read_card(tmp_path)


@FEW
@given(CONTENTS)
def test_what_are_no_statistics_is_refused(content):
    with pytest.raises(EntityStatisticsError):
        EntityStatistics.from_json(content)


@FEW
@given(
    TOML, st.lists(st.text(max_size=12) | st.sampled_from(["run.seed=1", "run.seed=x", "run=1", "a.b.c=1"]), max_size=2)
)
def test_any_file_is_a_configuration_or_refused(tmp_path, content, overrides):
    (tmp_path / "config.toml").write_bytes(content)
    found, refused = outcome(lambda: load_config(tmp_path / "config.toml", overrides), ConfigError)
    assert isinstance(found, TrainConfig) or str(refused)


@FEW
@given(TOML)
def test_any_file_is_a_study_or_refused(tmp_path, content):
    (tmp_path / "study.toml").write_bytes(content)
    with pytest.raises(StudyError):
        load_study(tmp_path / "study.toml")
