"""The command line is the settings and nothing else."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from service import __main__ as command
from service.settings import Settings, flag, variable


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("CATALENS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def served(monkeypatch):
    """Collect the settings that would be served, in place of serving them."""
    collected = []
    monkeypatch.setattr(command, "serve", collected.append)
    return collected


def run(*flags):
    return CliRunner().invoke(command.main, list(flags))


def test_help_names_every_setting_with_its_variable():
    said = run("--help").output.replace("\n", " ")
    for field in Settings.model_fields:
        assert flag(field) in said
        assert variable(field) in "".join(said.split())


def test_flags_win_over_variables_over_defaults(served, monkeypatch):
    monkeypatch.setenv("CATALENS_PORT", "9000")
    monkeypatch.setenv("CATALENS_MAX_WAITING", "7")
    assert run("--port", "9001", "--allow-image-urls", "--data-dir", "/x").exit_code == 0
    [settings] = served
    assert settings.port == 9001
    assert settings.max_waiting == 7
    assert settings.allow_image_urls is True
    assert str(settings.data_dir) == "/x"


def test_a_switch_can_be_turned_off_by_its_flag(served, monkeypatch):
    monkeypatch.setenv("CATALENS_ALLOW_IMAGE_URLS", "true")
    run("--no-allow-image-urls")
    run()
    assert [settings.allow_image_urls for settings in served] == [False, True]


def test_a_wrong_value_is_one_line_and_exit_code_2(served):
    result = run("--port", "eighty")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: CATALENS_PORT or --port: ")
    assert result.stderr.count("\n") == 1
    assert served == []


def test_numpy_computes_in_the_thread_that_asks():
    """Also where OpenMP has more threads, and unless somebody says otherwise."""
    code = "import service.__main__, numpy, threadpoolctl as t; print([i['num_threads'] for i in t.threadpool_info()])"
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    environment.pop("OPENBLAS_NUM_THREADS", None)
    for stated, expected in (({}, "[1]"), ({"OPENBLAS_NUM_THREADS": "2"}, "[2]")):
        command_line, env = [sys.executable, "-c", code], {**environment, **stated}
        assert subprocess.check_output(command_line, env=env, text=True).strip() == expected


def test_openmp_is_calmed_before_it_is_loaded(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    command._calm_threads(0)
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["OMP_NUM_THREADS"]) == ("PASSIVE", "8")
    command._calm_threads(3)
    assert os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    command._calm_threads(0)
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
