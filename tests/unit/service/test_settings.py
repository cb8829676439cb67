"""Settings: where values come from, and one clear line for those that cannot be."""

import os

import pytest
from pydantic import ValidationError

from service.errors import StartupError
from service.settings import LogLevel, Settings, flag, load_settings, variable


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.upper().startswith("CATALENS_")]:
        monkeypatch.delenv(name)


def test_defaults_run_on_a_laptop():
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.redis_url is None
    assert settings.allow_image_urls is False
    assert settings.encoder == "mini"


def test_variables_are_read_and_flags_win(monkeypatch):
    monkeypatch.setenv("CATALENS_PORT", "9000")
    monkeypatch.setenv("CATALENS_LOG_LEVEL", "debug")
    monkeypatch.setenv("catalens_host", "0.0.0.0")
    settings = load_settings({"port": "9001"})
    assert settings.port == 9001
    assert settings.log_level is LogLevel.DEBUG
    assert settings.host == "0.0.0.0"


def test_an_empty_variable_is_an_absent_one(monkeypatch):
    monkeypatch.setenv("CATALENS_REDIS_URL", "")
    assert load_settings().redis_url is None


def test_every_field_can_be_set_by_its_variable_and_is_described(monkeypatch):
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        if isinstance(field.default, int) and not isinstance(field.default, bool):
            monkeypatch.setenv(variable(name), str(field.default + 1))
    settings = load_settings()
    changed = [n for n, f in Settings.model_fields.items() if type(f.default) is int]
    assert changed
    assert all(getattr(settings, n) == Settings.model_fields[n].default + 1 for n in changed)


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        load_settings().port = 1


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CATALENS_PORT", "many", "CATALENS_PORT or --port: Input should be a valid integer"),
        ("CATALENS_PORT", "70000", "less than or equal to 65535"),
        ("CATALENS_MAX_WAITING", "0", "CATALENS_MAX_WAITING or --max-waiting"),
        ("CATALENS_MAX_IMAGE_PX", "900000000", "89000000"),
        ("CATALENS_LOG_FORMAT", "xml", "CATALENS_LOG_FORMAT or --log-format: Input should be 'json' or 'console'"),
        ("CATALENS_ALLOW_IMAGE_URLS", "perhaps", "--allow-image-urls"),
        ("CATALENS_PROT", "80", "unknown setting CATALENS_PROT; did you mean CATALENS_PORT?"),
        ("CATALENS_QQQQQQQQQ", "80", "unknown setting CATALENS_QQQQQQQQQ"),
    ],
)
def test_wrong_values_and_unknown_variables_are_one_clear_line(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupError) as refused:
        load_settings()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_unknown_flags_are_refused_too():
    with pytest.raises(StartupError, match="CATALENS_SPEED or --speed"):
        load_settings({"speed": "1"})


def test_a_password_is_never_shown(monkeypatch):
    monkeypatch.setenv("CATALENS_REDIS_URL", "http://user:hunter2@redis/0")
    with pytest.raises(StartupError) as refused:
        load_settings()
    assert "must start with redis://" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("CATALENS_REDIS_URL", "redis://user:hunter2@redis/0")
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    assert settings.redis_url.get_secret_value().endswith("redis/0")


@pytest.mark.parametrize("uri", ["http://localhost:19530", "https://milvus.example/shop", "tcp://h:1", "demo/lite.db"])
def test_places_of_milvus(uri):
    assert load_settings({"milvus_uri": uri}).milvus_uri == uri


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("milvus_uri", "localhost:19530", "must start with http://, https:// or tcp://, or be a file that ends in .db"),
        ("milvus_uri", "http://user:hunter2@host", "must hold no password; that goes into CATALENS_MILVUS_TOKEN"),
        ("index_device", "gpu", "must be auto, cpu, cuda, or a GPU such as cuda:1"),
        ("index_device", "cuda:x", "must be auto, cpu, cuda, or a GPU such as cuda:1"),
    ],
)
def test_places_of_vectors_that_there_are_not(name, value, said):
    with pytest.raises(StartupError) as refused:
        load_settings({name: value})
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_names_of_variables_and_flags():
    assert variable("max_image_px") == "CATALENS_MAX_IMAGE_PX"
    assert flag("max_image_px") == "--max-image-px"
