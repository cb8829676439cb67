import json

import pytest

from indexer.catalogue import RejectedRow
from indexer.rejects import BadRowLimit, BuildError, RejectWriter


@pytest.mark.parametrize(
    ("text", "rows", "share"),
    [("0", 0, None), (" 25 ", 25, None), ("-1", None, None), ("5%", None, 0.05), ("0.5 %", None, 0.005)],
)
def test_limits_as_written(text, rows, share):
    limit = BadRowLimit.parse(text)
    assert (limit.rows, limit.share) == (rows, pytest.approx(share) if share else None)


@pytest.mark.parametrize("text", ["", "many", "%", "101%", "-1%", "1.5"])
def test_what_is_no_limit(text):
    with pytest.raises(ValueError, match=r".*"):
        BadRowLimit.parse(text)


def test_rows_are_written_as_they_come_and_the_first_too_many_ends_it(tmp_path):
    path = tmp_path / "rejects.jsonl"
    with RejectWriter(path, BadRowLimit(rows=1)) as writer:
        writer.add(RejectedRow(3, "price", "negative", "p3", 4), accepted=2)
        with pytest.raises(
            BuildError, match=r"^2 bad rows, 1 allowed; the last: row 5: title: missing \(--max-bad-rows"
        ):
            writer.add(RejectedRow(5, "title", "missing"), accepted=3)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"row": 3, "line": 4, "id": "p3", "field": "price", "reason": "negative"},
        {"row": 5, "line": None, "id": None, "field": "title", "reason": "missing"},
    ]


def test_a_share_is_judged_at_the_end(tmp_path):
    with RejectWriter(tmp_path / "r.jsonl", BadRowLimit.parse("10%")) as writer:
        writer.add(RejectedRow(1, "id", "missing"), accepted=0)
        writer.check_share(accepted=9)
        with pytest.raises(BuildError, match=r"1 of 9 rows are bad, 10.0% allowed"):
            writer.check_share(accepted=8)


def test_any_number(tmp_path):
    with RejectWriter(tmp_path / "r.jsonl", BadRowLimit.parse("-1")) as writer:
        for row in range(100):
            writer.add(RejectedRow(row, "id", "missing"), accepted=0)
        writer.check_share(accepted=0)
    assert writer.count == 100
