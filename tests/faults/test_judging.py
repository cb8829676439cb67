"""Bundles judged beside a service: what each way of judging makes current, refuses, and leaves when it is given up."""

import asyncio
import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.build import BuildOptions, build
from indexer.bundle import current_bundle
from indexer.gate import verdicts
from indexer.publish import PublishError, history
from models.checkpoint import load_encoder
from service import apart
from service.judging import JudgeApart, JudgeHere
from service.settings import Settings


@pytest.fixture(scope="module")
def two(published, plain_feed, tmp_path_factory):
    """A data folder whose current bundle is not its latest, the name of that one, and the encoder."""
    folder = tmp_path_factory.mktemp("judged") / "data"
    shutil.copytree(published / "data", folder, symlinks=True)
    encoder = load_encoder(str(published / "model"), "cpu")
    return folder, build(encoder, BuildOptions(catalogue=published / "feed", data_dir=folder)).manifest.id, encoder


@pytest.fixture
def data(two, tmp_path):
    shutil.copytree(two[0], tmp_path / "data", symlinks=True)
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def unhurried_by_other_tests(monkeypatch):
    """A process that stands back gets a tenth of a core that other tests want."""
    monkeypatch.setattr(apart, "_NICENESS", 0)


@pytest.fixture(params=[JudgeHere, JudgeApart])
def judge(request, two, data, published):
    settings = Settings(data_dir=data, encoder=str(published / "model"), update_log="file")
    return JudgeApart(settings) if request.param is JudgeApart else JudgeHere(settings, lambda: two[2])


def test_what_passes_becomes_current_and_what_does_not_stays_out(judge, two, data):
    _, latest, _ = two
    before = current_bundle(data)
    (data / "gate.toml").write_text("[bars]\ncategory_rows = 99\n")
    with pytest.raises((PublishError, ValueError), match=r"gate.toml.*category_rows"):
        asyncio.run(judge.publish(latest, force=False))
    (data / "gate.toml").write_text("[bars]\nlatency_ms = 0.0\nlatency_floor_ms = 0.0\n")
    with pytest.raises(PublishError, match=rf"^bundle {latest} is refused: .*--force"):
        asyncio.run(judge.publish(latest, force=False))
    assert current_bundle(data) == before
    asyncio.run(judge.publish(latest, force=True))
    assert current_bundle(data).name == latest
    assert [entry.forced for entry in history(data)[-1:]] == [True]
    assert [verdict.bundle for verdict in verdicts(data)][-2:] == [latest] * 2


def test_one_that_is_given_up_leaves_no_process_and_all_as_it_was(two, data, published):
    _, latest, _ = two
    before = current_bundle(data)
    judge = JudgeApart(Settings(data_dir=data, encoder=str(published / "model"), update_log="file"))

    async def scenario():
        judging = asyncio.ensure_future(judge.publish(latest, force=True))
        await asyncio.sleep(0.3)
        judging.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await judging

    asyncio.run(scenario())
    assert not [line for line in _commands() if latest in line]
    assert current_bundle(data) == before


def _commands():
    if sys.platform == "linux":
        paths = Path("/proc").glob("[0-9]*/cmdline")
        return [text for path in paths if (text := _read(path))]
    return subprocess.run(["ps", "-axo", "command"], capture_output=True, text=True, check=True).stdout.splitlines()


def _read(path):
    with contextlib.suppress(OSError):
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""
