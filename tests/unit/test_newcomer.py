"""The newcomer's hour: how it is judged, and that nothing it starts outlives it."""

import importlib.util
import os
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def newcomer():
    spec = importlib.util.spec_from_file_location("newcomer", ROOT / ".ci" / "newcomer.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["newcomer"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["newcomer"]


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([1.0] * 12, []),
        ([299.0] + [0.0] * 11, []),
        ([301.0], ["waiting took 301 s, more than 300"]),
        ([20.0] * 14, ["all of it took 910 s, more than 900"]),
        ([900.0], ["waiting took 900 s, more than 300", "all of it took 945 s, more than 900"]),
    ],
)
def test_what_takes_too_long_is_told(newcomer, steps, told):
    clock = newcomer.Clock([(f"step {n}", seconds) for n, seconds in enumerate(steps)])
    assert clock.late() == told
    assert all(f"step {n}" in clock.table() for n in range(len(steps)))


def test_a_step_that_fails_is_one_line_with_what_was_printed(newcomer, tmp_path):
    with pytest.raises(newcomer.NewcomerError, match=r"exit status 3\nno such shop"):
        newcomer.run("sh", "-c", "echo no such shop >&2; exit 3", folder=tmp_path)
    log = tmp_path / "log"
    with (
        pytest.raises(newcomer.NewcomerError, match="gone"),
        newcomer.started("sh", "-c", "echo gone", folder=tmp_path, log=log) as process,
    ):
        newcomer.wait_for(lambda: False, process, log)


def test_what_was_started_is_ended_with_all_that_it_started(newcomer, tmp_path):
    log = tmp_path / "log"
    command = "sleep 600 & echo $! > child; echo open; wait"
    with newcomer.started("sh", "-c", command, folder=tmp_path, log=log) as process:
        newcomer.wait_for(lambda: "open" in log.read_text(), process, log)
        child = int((tmp_path / "child").read_text())
        os.kill(child, 0)
    until = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2]:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_it_is_not_told_what_this_environment_is(newcomer, monkeypatch):
    for name in ("CATALENS_PORT", "MAKEFLAGS", "VIRTUAL_ENV", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "x")
    told = newcomer.environment()
    assert told["PIP_INDEX_URL"] == "x"
    assert not {"CATALENS_PORT", "MAKEFLAGS", "VIRTUAL_ENV"} & set(told)
