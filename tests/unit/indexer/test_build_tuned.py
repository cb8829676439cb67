"""A build that measures recipes on its own vectors, and one that has a goal."""

from functools import partial

import pytest

from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.evaluate import measure
from indexer.indexing import TUNED, TUNING, Tuning
from indexer.parts import IndexFileError
from indexer.recipes import Goal


@pytest.fixture(autouse=True)
def quick_builds(monkeypatch):
    monkeypatch.setattr("indexer.build.measure", partial(measure, sample=10))
    monkeypatch.setattr("indexer.build.calibrate_lexical_weight", lambda _bundle, _encoder, weights, **_: weights)


def test_a_tuned_build_says_what_it_measured_and_is_searched_as_it_chose(feed, encoder, tmp_path):
    stages = []
    progress = type("Progress", (), {"stage": lambda _, name: stages.append(name), "rows": lambda *_: None})()
    built = build(encoder, BuildOptions(feed, tmp_path, goal=Goal(0.9, 2**24), tune=True), progress)
    with Bundle.open(built.path) as bundle:
        tuning = Tuning.model_validate_json((built.path / TUNING).read_bytes())
        for space, record in bundle.manifest.indexes.items():
            chosen = tuning.spaces[space].chosen
            assert (record.recipe, record.requested) == (chosen.factory, TUNED)
            assert record.width == (chosen.width and max(16, chosen.width))
        assert TUNING in bundle.manifest.files
    assert any("building" in stage for stage in stages)


def test_a_build_whose_indexes_cannot_fit_stops_and_leaves_nothing(feed, encoder, tmp_path):
    with pytest.raises(IndexFileError, match="fits into"):
        build(encoder, BuildOptions(feed, tmp_path, goal=Goal(memory_bytes=64)))
    assert list((tmp_path / "bundles").iterdir()) == []
