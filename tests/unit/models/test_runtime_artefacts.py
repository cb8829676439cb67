"""Files made once and kept: never used damaged or foreign, and never missed where they cannot be written."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from models.runtime.artefacts import MANIFEST, Artefacts, Recipe
from models.runtime.names import RuntimeUnavailableError

RECIPE = Recipe("ab" * 32, "text-onnx", {"torch": "2.13.0", "graph": "1"})
CONTENT = bytes(range(256)) * 50


class Maker:
    """Makes the content, counting how often."""

    def __init__(self, content=CONTENT):
        self.content = content
        self.times = 0

    def __call__(self):
        self.times += 1
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


@pytest.fixture
def folder(tmp_path):
    """A folder with the file of `RECIPE` in it."""
    Artefacts(tmp_path / "runtimes").kept(RECIPE, Maker())
    return tmp_path / "runtimes"


def kept(folder):
    return folder / RECIPE.folder


def test_a_file_is_made_once(folder):
    maker = Maker(b"another")
    assert Artefacts(folder).kept(RECIPE, maker) == CONTENT
    assert maker.times == 0
    assert RECIPE.folder == f"{'ab' * 8}-text-onnx-graph1-torch2.13.0"
    assert [path.name for path in folder.iterdir()] == [RECIPE.folder]  # nothing half-made is left
    assert stat.S_IMODE(kept(folder).stat().st_mode) == 0o755
    manifest = json.loads((kept(folder) / MANIFEST).read_text())
    assert manifest["encoder"] == RECIPE.encoder
    assert manifest["versions"] == {"graph": "1", "torch": "2.13.0"}


def flip(path):
    content = bytearray(path.read_bytes())
    content[1234] ^= 1
    path.write_bytes(content)


def restate(path, **stated):
    path.write_text(json.dumps({**json.loads(path.read_text()), **stated}))


DAMAGE = {
    "a flipped bit": lambda place: flip(place / "model.onnx"),
    "cut short": lambda place: os.truncate(place / "model.onnx", 100),
    "no file": lambda place: (place / "model.onnx").unlink(),
    "no manifest": lambda place: (place / MANIFEST).unlink(),
    "half a manifest": lambda place: os.truncate(place / MANIFEST, 20),
    "a list for a manifest": lambda place: (place / MANIFEST).write_text("[]"),
    "another encoder's": lambda place: restate(place / MANIFEST, encoder="cd" * 32),
    "another version's": lambda place: restate(place / MANIFEST, versions={"torch": "2.12.0", "graph": "1"}),
    "another format": lambda place: restate(place / MANIFEST, format=2),
    "no digest": lambda place: restate(place / MANIFEST, sha256=None),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_or_foreign_is_made_again(folder, damage):
    DAMAGE[damage](kept(folder))
    maker = Maker(b"made again")
    assert Artefacts(folder).kept(RECIPE, maker) == b"made again"
    assert maker.times == 1
    assert Artefacts(folder).kept(RECIPE, Maker(b"never")) == b"made again"


@pytest.mark.parametrize(
    "other",
    [{"encoder": "ac" * 32}, {"name": "image-onnx"}, {"versions": {"torch": "2.14.0", "graph": "1"}}],
)
def test_another_recipe_is_another_file(folder, other):
    assert Artefacts(folder).kept(replace(RECIPE, **other), Maker(b"other")) == b"other"
    assert Artefacts(folder).kept(RECIPE, Maker(b"never")) == CONTENT


def test_encoders_whose_fingerprints_begin_alike_do_not_share(folder):
    other = replace(RECIPE, encoder="ab" * 8 + "cd" * 24)
    assert other.folder == RECIPE.folder
    assert Artefacts(folder).kept(other, Maker(b"other")) == b"other"


def test_that_it_cannot_be_made_is_kept(tmp_path):
    maker = Maker(RuntimeUnavailableError("cannot be exported"))
    for _ in range(2):
        with pytest.raises(RuntimeUnavailableError, match=r"^cannot be exported$"):
            Artefacts(tmp_path).kept(RECIPE, maker)
    assert maker.times == 1


def test_other_failures_are_not_kept(tmp_path):
    with pytest.raises(MemoryError):
        Artefacts(tmp_path).kept(RECIPE, Maker(MemoryError()))
    assert Artefacts(tmp_path).kept(RECIPE, Maker()) == CONTENT


def test_where_nothing_can_be_written_it_is_made_once_for_each_start(tmp_path):
    (tmp_path / "runtimes").write_text("a file where the folder should be")
    maker, artefacts = Maker(), Artefacts(tmp_path / "runtimes")
    assert artefacts.kept(RECIPE, maker) == artefacts.kept(RECIPE, maker) == CONTENT
    assert maker.times == 1
    assert Artefacts(tmp_path / "runtimes").kept(RECIPE, maker) == CONTENT
    assert maker.times == 2


def test_services_that_start_together_all_get_it(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Artefacts(tmp_path / "runtimes").kept(RECIPE, Maker()), range(32)))
    assert made == [CONTENT] * 32
    assert [path.name for path in (tmp_path / "runtimes").iterdir()] == [RECIPE.folder]
    assert Artefacts(tmp_path / "runtimes").kept(RECIPE, Maker(b"never")) == CONTENT
