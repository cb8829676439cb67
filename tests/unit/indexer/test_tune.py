"""Tuning: what it measures is judged by brute force; what it chooses goes by the goal; the bundle made is a bundle."""

import json
import os
import time
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from indexer import indexing, tune_plot
from indexer.__main__ import main
from indexer.build import build_lock
from indexer.bundle import Bundle, index_file
from indexer.evaluate import Report, measure
from indexer.index import FaissIndex
from indexer.indexing import TUNED, TUNING, TUNING_PLOT, Indexing, Tuning, write_indexes
from indexer.manifest import SPACES, BundleError
from indexer.parts import IndexFileError
from indexer.recipes import Goal, estimate_memory, resolve_recipe
from indexer.rejects import BuildError
from indexer.retune import retune
from indexer.tune import Point, sample_of, tune

N, D, K = 3_000, 32, 10
FEW = ("exact", "ivf", "sq8")


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def xb():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((30, D))
    return unit(centres[rng.integers(0, 30, N)] + 0.6 * rng.standard_normal((N, D))).astype(np.float16)


@pytest.fixture(scope="module")
def xq(xb):
    return unit(xb[::60] + 0.05 * np.random.default_rng(1).standard_normal((N // 60, D)))


@pytest.fixture(scope="module")
def steps():
    return []


@pytest.fixture(scope="module")
def tuned(xb, xq, steps):
    return tune(xb, xq, Goal(0.95), recipes=FEW, seed=2, told=steps.append)


def point(recall=0.9, ms=1.0, bytes_=100, recipe="ivf"):
    return Point(
        recipe=recipe, factory=recipe, width=1, recall_at_10=recall, p50_ms=ms, memory_bytes=bytes_, build_s=0.1
    )


def test_recall_is_that_of_brute_force(tuned, xb, xq):
    exact = np.sort(xq.astype(np.float64) @ xb.astype(np.float64).T, axis=1)[:, -K]
    for one in tuned.measured.points[::4]:
        index = FaissIndex.build(xb, one.factory, seed=2)
        rows = index.search(xq, K, width=one.width)[1]
        found = np.einsum("qd,qkd->qk", xq.astype(np.float64), xb.astype(np.float64)[rows])
        assert one.recall_at_10 == pytest.approx(((found >= exact[:, None] - 1e-4) & (rows >= 0)).mean(), abs=1e-9)
        assert one.memory_bytes == estimate_memory(one.recipe, N, D)


def test_the_fastest_that_reaches_the_recall_is_chosen(tuned, xq):
    chosen = tuned.measured.chosen
    assert tuned.measured.reached
    assert chosen.p50_ms == min(one.p50_ms for one in tuned.measured.points if one.recall_at_10 >= 0.95)
    assert tuned.index.recipe == chosen.factory == resolve_recipe(chosen.recipe, N, D)
    assert chosen in tuned.measured.points
    assert (tuned.measured.rows, tuned.measured.dimensions, tuned.measured.queries) == (N, D, len(xq))


def test_wider_until_nothing_more_is_found(tuned):
    assert {one.recipe for one in tuned.measured.points} == set(FEW)
    of_ivf = [one for one in tuned.measured.points if one.recipe == "ivf"]
    assert [one.width for one in of_ivf] == sorted({one.width for one in of_ivf})
    assert of_ivf[-1].recall_at_10 >= 0.9995
    assert [one.width for one in tuned.measured.points if one.recipe == "exact"] == [None]


def test_every_step_is_told(tuned, steps):
    for recipe in FEW:
        assert any(step.startswith(f"{recipe}: building") for step in steps)


def test_nothing_on_the_front_is_beaten_and_all_else_is(tuned):
    points = tuned.measured.points
    for one in points:
        better = [
            other
            for other in points
            if other.recall_at_10 >= one.recall_at_10
            and other.p50_ms <= one.p50_ms
            and other.memory_bytes <= one.memory_bytes
            and (other.recall_at_10, other.p50_ms, other.memory_bytes)
            != (one.recall_at_10, one.p50_ms, one.memory_bytes)
        ]
        assert one.on_front == (not better)


def test_memory_shuts_recipes_out_and_says_so(xb, xq):
    bound = estimate_memory("sq8", N, D)
    measured = tune(xb, xq, Goal(0.5, bound), recipes=FEW).measured
    assert measured.chosen.recipe == "sq8"
    assert measured.left_out.keys() == {"exact", "ivf"}
    assert "it takes" in measured.left_out["ivf"]
    with pytest.raises(IndexFileError, match="the smallest, sq8"):
        tune(xb, xq, Goal(0.5, bound // 2), recipes=FEW)


def test_without_any_that_reaches_the_recall_the_nearest_to_it_is_chosen(xb, xq):
    measured = tune(xb, xq, Goal(1.0), recipes=("IVF16,PQ4x4fs",)).measured
    assert not measured.reached
    assert measured.chosen.recall_at_10 == max(one.recall_at_10 for one in measured.points) < 1


def test_time_that_is_up_leaves_recipes_out_but_one(xb, xq):
    measured = tune(xb, xq, Goal(0.9), recipes=("ivf", "hnsw"), seconds=1e-9).measured
    assert len({one.recipe for one in measured.points}) == 1
    assert "would take about" in next(iter(measured.left_out.values()))


def test_queries_are_of_both_spaces():
    vectors = {"text": np.full((50, 2), 1, np.float16), "image": np.full((500, 2), 2, np.float16)}
    sample = sample_of(vectors, 40, 0)
    assert (sample.shape, sample.dtype) == ((40, 2), np.float32)
    assert (sample[:, 0] == 1).sum() == (sample[:, 0] == 2).sum() == 20
    assert len(sample_of({"text": vectors["text"], "image": vectors["image"][:0]}, 40, 0)) == 40


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 9), st.integers(1, 9)), min_size=1, max_size=8))
def test_to_beat_is_a_strict_order(values):
    points = [point(*value) for value in values]
    for one in points:
        assert not one.beats(one)
        for other in points:
            assert not (one.beats(other) and other.beats(one))
    assert any(not any(other.beats(one) for other in points) for one in points)


@pytest.fixture(scope="module")
def quick_reports():
    """Bundles measure themselves on less."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("indexer.retune.measure", partial(measure, sample=10))
        yield


@pytest.fixture(scope="module")
def made(built, encoder, tmp_path_factory, quick_reports):
    asked = Indexing(goal=Goal(0.9), seed=1, tuned=True, recipes=("exact", "hnsw"))
    return retune(tmp_path_factory.mktemp("retuned"), built.path, encoder, asked)


@pytest.mark.usefixtures("quick_reports")
class TestBundle:
    def test_is_a_bundle_of_the_same_products_with_other_indexes(self, made, built, bundle):
        with Bundle.open(made.path) as opened:
            assert made.path.name == opened.manifest.id == made.manifest.id
            assert [product.id for product in opened.products] == [product.id for product in bundle.products]
            for space in SPACES:
                np.testing.assert_array_equal(opened.vectors[space], bundle.vectors[space])
                record = opened.manifest.indexes[space]
                chosen = made.measured[space].chosen
                served = chosen.width and max(16, chosen.width)
                assert (record.recipe, record.width, record.requested) == (chosen.factory, served, TUNED)
            assert opened.manifest.fusion == bundle.manifest.fusion
            assert (opened.categories is None) == (bundle.categories is None)
            report = Report.model_validate(opened.report)
        assert report == made.report
        assert report.products == built.report.products
        assert min(one.recall_at_10 for one in report.ann.values()) >= 0.9

    def test_holds_what_was_measured_and_its_plot(self, made):
        tuning = Tuning.model_validate_json((made.path / TUNING).read_bytes())
        assert (tuning.seed, tuning.spaces) == (1, made.measured)
        assert "chosen" in (made.path / TUNING_PLOT).read_text()
        assert {TUNING, TUNING_PLOT} <= made.manifest.files.keys()

    def test_shares_the_files_that_are_the_same(self, made, built):
        for name in ("products.parquet", "thumbnails.bin", "vectors/text.npy"):
            assert (made.path / name).samefile(built.path / name)
        assert not (made.path / index_file("text")).samefile(built.path / index_file("text"))

    def test_again_on_itself(self, made, encoder, tmp_path):
        asked = Indexing(goal=Goal(0.9), tuned=True, recipes=("exact",))
        again = retune(tmp_path, made.path, encoder, asked)
        with Bundle.open(again.path) as opened:
            assert {record.recipe for record in opened.manifest.indexes.values()} == {"SQfp16"}
        Bundle.open(made.path).close()

    def test_copies_where_there_are_no_links(self, monkeypatch, built, encoder, tmp_path):
        def none(*_):
            raise OSError

        monkeypatch.setattr(os, "link", none)
        made = retune(tmp_path, built.path, encoder, Indexing(tuned=True, recipes=("exact",)))
        assert not (made.path / "thumbnails.bin").samefile(built.path / "thumbnails.bin")
        Bundle.open(made.path).close()

    def test_leaves_nothing_behind_when_it_fails(self, built, encoder, tmp_path):
        asked = Indexing(tuned=True, recipes=("exact",), goal=Goal(memory_bytes=8))
        with pytest.raises(IndexFileError, match="fits into"):
            retune(tmp_path, built.path, encoder, asked)
        with pytest.raises(BundleError):
            retune(tmp_path, tmp_path, encoder, asked)
        assert list((tmp_path / "bundles").iterdir()) == []

    def test_waits_for_no_build(self, built, encoder, tmp_path):
        with build_lock(tmp_path), pytest.raises(BuildError, match="another build is running"):
            retune(tmp_path, built.path, encoder, Indexing(tuned=True))

    def test_plain_indexes_have_no_width_and_leave_no_record(self, built, tmp_path):
        (tmp_path / "vectors").mkdir()
        for space in SPACES:
            os.link(built.path / f"vectors/{space}.npy", tmp_path / f"vectors/{space}.npy")
        records, measured = write_indexes(tmp_path, Indexing(recipe="hnsw"))
        assert measured == {}
        assert {(record.recipe, record.width, record.requested) for record in records.values()} == {
            ("HNSW32,SQfp16", None, "hnsw")
        }
        assert not (tmp_path / TUNING).exists()


class TestCommand:
    def run(self, *arguments):
        return CliRunner().invoke(main, ["tune", *map(str, arguments)])

    def test_only_measures_when_told_so(self, built):
        before = sorted(built.path.parent.iterdir())
        started = time.perf_counter()
        shown = self.run(built.path, "--dry-run", "--recipe", "exact", "--recipe", "hnsw", "--recall", "0.9")
        assert shown.exit_code == 0, shown.output
        assert time.perf_counter() - started < 20
        assert "recall@10 of 0.9 reached" in shown.output
        assert sum(line.startswith("* ") for line in shown.output.splitlines()) == 2
        assert sorted(built.path.parent.iterdir()) == before

    def test_says_it_all_as_json(self, built):
        shown = self.run(built.path, "--dry-run", "--recipe", "exact", "--memory", "1GiB", "--json")
        result = json.loads(shown.output)
        assert result["path"] is None
        assert result["spaces"]["text"]["memory_budget_bytes"] < 2**30
        assert result["spaces"]["text"]["chosen"]["factory"] == "SQfp16"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--memory", "8 parsecs"), "8 parsecs"),
            (("--memory", "0"), "more than nothing"),
            (("--recall", "0"), "recall"),
            (("--recipe", "IVF,"), "unknown index recipe"),
            (("--memory", "16B"), "fits into"),
        ],
    )
    def test_refuses_in_one_line(self, built, arguments, said):
        shown = self.run(built.path, "--dry-run", *arguments)
        assert shown.exit_code in {1, 2}
        assert said in shown.output
        assert "Traceback" not in shown.output


def test_without_matplotlib_there_is_no_plot(monkeypatch, tuned, tmp_path):
    monkeypatch.setattr(tune_plot, "find_spec", lambda _name: None)
    assert not indexing.draw({"text": tuned.measured}, tmp_path / "plot.svg")
    assert not (tmp_path / "plot.svg").exists()
