"""Figures of a linker: closed forms, and the command end to end on a small catalogue."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from models.__main__ import main
from models.entities import EntityLinker, EntityStatistics
from models.linking_report import Bin, calibration, measure_linking
from models.linking_scores import KnownQuery, LinkingScore, score_of
from models.product import Product

BRANDS = ("Veltrona", "Guess", "Golden Heron", "Zantelli")


def rows(split, count):
    return [
        {
            "id": f"{split}{n}",
            "title": f"{BRANDS[n % 4]} {('lamp', 'kettle')[n % 2]}",
            "description": "Lovely.",
            "brand": BRANDS[n % 4],
            "category": ("Lamps", "Kettles")[n % 2],
            "split": split,
        }
        for n in range(count)
    ]


def test_calibration_by_hand():
    judged = [(1.0, True), (1.0, True), (0.9375, False), (0.0625, False), (0.9375, True)]
    error, table = calibration(judged)
    assert table == (
        Bin(links=1, probability=0.0625, right=0.0),
        Bin(links=4, probability=0.96875, right=0.75),
    )
    assert error == pytest.approx((0.0625 + 0.875) / 5)
    assert calibration([]) == (0.0, ())


def test_perfect_calibration_has_no_error():
    assert calibration([(0.75, True)] * 3 + [(0.75, False)])[0] == 0


def test_only_judged_groups_count():
    query = KnownQuery("brand", "x", frozenset({("brand", "A"), ("category", "C")}), frozenset({"brand"}))
    linked = [("brand", "A"), ("category", "D")]
    assert score_of(query, linked) == LinkingScore(queries=1, hits=1, false=0, missed=0, untouched=1)


def test_measuring_by_hand():
    products = [Product(**{k: v for k, v in row.items() if k != "split"}) for row in rows("train", 40)]
    linker = EntityLinker(EntityStatistics.collect(products), threshold=0.0)
    queries = [
        KnownQuery("brand", "veltrona lamp", frozenset({("brand", "Veltrona")}), frozenset({"brand"})),
        KnownQuery("brand", "nothing", frozenset({("brand", "Guess")}), frozenset({"brand"})),
        KnownQuery("phrase", "guess", frozenset(), None, "guess"),
        KnownQuery("phrase", "guess the price", frozenset(), None, "guess"),
        KnownQuery("phrase", "diesel lamp", frozenset(), None, "diesel"),
    ]
    kinds, words, judged, link_ms = measure_linking(linker, queries)
    assert (kinds["brand"].precision, kinds["brand"].recall) == (1.0, 0.5)
    assert kinds["phrase"].recall is None
    assert kinds["phrase"].left_alone == pytest.approx(1 / 3)
    assert (words["guess"].left_alone, words["guess"].known) == (0.5, True)
    assert (words["diesel"].left_alone, words["diesel"].known) == (1.0, False)  # the lamp is linked, not the word
    assert sum(right for _, right in judged) == 1
    assert link_ms > 0


@pytest.fixture
def shop(tmp_path):
    pq.write_table(pa.Table.from_pylist(rows("train", 60) + rows("val", 12)), tmp_path / "catalogue.parquet")
    return tmp_path


def call(*args):
    return CliRunner().invoke(main, ["linking", *map(str, args)])


def test_the_command_end_to_end(shop):
    done = call("--catalogue", shop, "--queries", 20, "--json", "--seed", 3)
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert (figures["seed"], figures["split"], figures["train_split"]) == (3, "val", "train")
    assert figures["kinds"]["brand"]["f1"] > 0.9
    assert set(figures["words"]) == {"top", "guess", "diesel", "lee", "free"}
    assert not figures["words"]["lee"]["known"]
    assert sum(b["links"] for b in figures["reliability"]) > 20
    table = call("--catalogue", shop, "--queries", 20, "--seed", 3)
    assert "calibration error" in table.stdout
    assert "(no value here has this word)" in table.stdout


def test_counts_are_written_once_and_read_again(shop, tmp_path):
    stored = tmp_path / "counts.json"
    assert call("--catalogue", shop, "--queries", 5, "--statistics", stored).exit_code == 0
    first = stored.read_text()
    assert call("--catalogue", shop, "--queries", 5, "--statistics", stored, "--train-split", "none").exit_code == 0
    assert stored.read_text() == first


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--split", "test"), "no product in the split 'test'"),
        (("--train-split", "nope"), "no product in the split 'nope'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(shop, args, message):
    done = call("--catalogue", shop, *args)
    assert done.exit_code == 1
    assert message in done.output
    assert "Traceback" not in done.output


def test_counts_that_are_none_are_refused(shop, tmp_path):
    (tmp_path / "counts.json").write_text("{}")
    done = call("--catalogue", shop, "--statistics", tmp_path / "counts.json")
    assert done.exit_code == 1
    assert "not entity statistics" in done.output
