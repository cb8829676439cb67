"""Tables from measurements made by hand: closed forms, dashes for what is missing, and what each was made of."""

import numpy as np
import pytest

from models.compare import ComparisonError
from models.measured import Evaluation, Level, Measurement
from models.protocols import Protocol
from models.study.spec import Study
from models.study.store import Record, Times
from models.study.tables import MISSING, Cell, cells_of, figures, markdown, recall, study_tables, sum_of_recalls

STUDY = Study.model_validate(
    {
        "name": "small",
        "title": "Small",
        "protocols": {"full": {}, "none": {"entities": "none"}},
        "systems": [
            {"name": "a", "label": "system | A", "encoder": "mini"},
            {"name": "b", "encoder": "mini"},
        ],
        "tables": [
            {"kind": "systems", "title": "Systems", "systems": ["a", "b"], "levels": ["pair"]},
            {"kind": "comparison", "title": "Pairs", "pairs": [["a", "b"], ["a", "a@none"]], "depths": [1]},
            {
                "kind": "grid",
                "title": "Grid",
                "row": "entities",
                "columns": ["A", "B"],
                "rows": {"given": ["a", "b"], "none": ["a@none", ""]},
                "depths": [5],
            },
        ],
    }
)
FORTH, BACK = [1, 2, 6, 11], [1, 1, 1, 20]


def measurement(forth, back, *, data="d" * 64, candidates="full"):
    ways = {"text_to_image": np.array(forth, float), "image_to_text": np.array(back, float)}
    ranks = {f"{level}/{way}": values for level in ("pair", "product", "text") for way, values in ways.items()}
    return Measurement(
        Evaluation(
            encoder="hand", fingerprint="f" * 64, catalogue="shop", data=data, split="val", candidates=candidates,
            protocol=Protocol(split="val", candidates=candidates), candidates_mean=len(forth),
            text_fields=("title",), entities=(), linking=None, products=len(forth), pictures=len(forth),
            indistinct=0, seed=1, **{name: Level.of(ranks, name) for name in ("pair", "product", "text")},
        ),
        ranks,
    )  # fmt: skip


def record(system, nth=0, **measurements):
    run = next(run for run in STUDY.runs([system]))
    return Record(run, None, Times(wall_s=10.0 + nth, starts=1), measurements)


RECORDS = [
    record("a", full=measurement(FORTH, BACK), none=measurement([2] * 4, [6] * 4)),
    record("b", full=measurement([3] * 4, [1, 3, 3, 3])),
]


def test_recalls_and_their_sum():
    cell = cells_of(RECORDS)[Cell("a", "full")]
    assert [recall(cell, "pair", "text_to_image", k).mean for k in (1, 5, 10)] == [0.25, 0.5, 0.75]
    assert sum_of_recalls(cell, "pair") == pytest.approx(100 * (0.25 + 0.5 + 0.75 + 3 * 0.75))


def test_seeds_are_averaged_query_by_query():
    """Two seeds that hit different halves: every query counts half, so the interval has no width."""
    cell = [measurement([1, 1, 9, 9], BACK), measurement([9, 9, 1, 1], BACK)]
    found = recall(cell, "pair", "text_to_image", 1)
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)


def test_seeds_measured_on_other_data_are_refused():
    with pytest.raises(ComparisonError):
        recall([measurement(FORTH, BACK), measurement(FORTH, BACK, data="e" * 64)], "pair", "text_to_image", 1)


def test_the_table_of_systems():
    table = study_tables(STUDY, RECORDS, "make it")[0]
    assert table.title == "Systems: all 4 candidates, per pair"
    assert table.header[2:4] == ("text→image R@1", "text→image R@5")
    name, seeds, first, *_, total = table.rows[0]
    assert (name, seeds, total) == ("system | A", "1", "375.0")
    assert first.startswith("25.0 [0.0, ")
    assert table.rows[1][2:5] == ("0.0 [0.0, 0.0]", "100.0 [100.0, 100.0]", "100.0 [100.0, 100.0]")


def test_the_table_of_pairs():
    rows = study_tables(STUDY, RECORDS, "make it")[1].rows
    assert rows[0][:5] == ("a against b", "text→image R@1", "25.0", "0.0", "+25.0")
    assert rows[0][-1] == MISSING  # relative to nothing
    assert rows[1][1:5] == ("image→text R@1", "75.0", "25.0", "+50.0")
    assert rows[1][-1] == "+200.0%"
    assert rows[2][0] == "a against a@none"


def test_the_grid_leaves_out_what_it_is_told_to():
    table = study_tables(STUDY, RECORDS, "make it")[2]
    assert table.header == ("entities", "A text→image R@5", "B text→image R@5", "A image→text R@5", "B image→text R@5")
    label, a_forth, b_forth, a_back, b_back = table.rows[1]
    assert (label, a_forth, a_back) == ("none", "100.0 [100.0, 100.0]", "0.0 [0.0, 0.0]")
    assert (b_forth, b_back) == (MISSING, MISSING)


def test_what_was_not_measured_is_a_dash():
    tables = study_tables(STUDY, [record("a"), record("b")], "make it")
    assert tables[0].rows[0] == ("system | A", "0", *[MISSING] * 7)
    assert tables[1].rows[0] == ("a against b", *[MISSING] * 7)
    assert tables[0].made == "nothing measured yet; make it"
    assert len(tables[-1].rows) == 2


def test_every_table_says_what_it_was_made_of():
    for table in study_tables(STUDY, RECORDS, "make it")[:-1]:
        assert table.made.startswith("shop/val, 4 products, data dddddddddddd · seeds ")
        assert table.made.endswith("make it")


def test_markdown_is_a_table_and_pipes_do_not_break_it():
    text = markdown(study_tables(STUDY, RECORDS, "make it")[0])
    lines = text.splitlines()
    assert lines[0] == "## Systems: all 4 candidates, per pair"
    assert lines[3].count("---") == 9
    assert lines[4].startswith("| system \\| A | 1 | 25.0 [")
    assert lines[-1].startswith("<sub>shop/val, ")


def test_figures_for_machines_are_shares():
    found = figures(STUDY, RECORDS)
    assert len(found["recalls"]) == 3 * 3 * 2 * 3  # cells, levels, ways, depths
    first = found["recalls"][0]
    assert {key: first[key] for key in ("system", "protocol", "k", "mean")} == {
        "system": "a", "protocol": "full", "k": 1, "mean": 0.25,
    }  # fmt: skip
    first = found["comparisons"][0]
    assert (first["a"], first["b"], first["key"]) == ("a", "b", "pair/text_to_image")
