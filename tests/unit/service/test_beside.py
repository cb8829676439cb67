"""`beside.json`: written and read back, and what is refused of a file that somebody edited."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.beside import FILE, BesideError, read_beside, write_beside
from service.versions import Beside


def test_without_the_file_nothing_is_beside(tmp_path):
    assert read_beside(tmp_path) == {}


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), st.floats(0, 1), max_size=1))
def test_what_was_written_is_read(tmp_path_factory, shares):
    folder = tmp_path_factory.mktemp("data")
    roles = {name: Beside(share, 1 - share) for name, share in shares.items()}
    write_beside(folder, roles)
    assert read_beside(folder) == roles
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_the_latest_counts_and_other_files_stay(tmp_path):
    (tmp_path / "other").write_text("x")
    for roles in ({"a": Beside(0.5, 0.1), "b": Beside(0.5)}, {}, {"c": Beside(1.0)}):
        write_beside(tmp_path, roles)
        assert read_beside(tmp_path) == roles
    assert {path.name for path in tmp_path.iterdir()} == {FILE, "other"}


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ('{"a": {}}', Beside()),
        ('{"a": {"share": 1}}', Beside(1.0)),
        (' {\n  "a": {"shadow": 0.25}\n}\n', Beside(0.0, 0.25)),
        ('{"a": {"share": 5e-1, "shadow": 1.0}}', Beside(0.5, 1.0)),
    ],
)
def test_a_file_written_by_hand_is_read(tmp_path, text, role):
    (tmp_path / FILE).write_text(text)
    assert read_beside(tmp_path) == {"a": role}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("[]", "dictionary|object"),
        ('{"a": 0.5}', "a: "),
        ('{"a": null}', "a: "),
        ('{"a": {"share": 1.5}}', r"a\.share: "),
        ('{"a": {"share": -0.5}}', r"a\.share: "),
        ('{"a": {"shadow": 2}}', r"a\.shadow: "),
        ('{"a": {"share": NaN}}', r"a\.share: |Invalid JSON"),
        ('{"a": {"share": "much"}}', r"a\.share: "),
        ('{"a": {"shares": 0.5}}', r"a\.shares: "),
        ('{"a": {"share": 0.6}, "b": {"share": 0.5}}', "exceed 1"),
        ('\x80{"a": {}}', "Invalid JSON|UTF|utf"),
    ],
)
def test_a_file_that_says_something_else_is_refused_with_what_is_wrong(tmp_path, text, told):
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(BesideError, match=told) as refused:
        read_beside(tmp_path)
    assert str(tmp_path / FILE) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_shares_that_add_up_to_one_are_none_too_many(tmp_path):
    (tmp_path / FILE).write_text(json.dumps({name: {"share": 0.1} for name in "abcdefghij"}))
    assert len(read_beside(tmp_path)) == 10


def test_readers_see_the_old_file_or_the_new_one(tmp_path):
    write_beside(tmp_path, {"a": Beside(0.5)})
    with (tmp_path / FILE).open() as reading:
        write_beside(tmp_path, {"b": Beside(0.25)})
        assert json.load(reading) == {"a": {"share": 0.5, "shadow": 0.0}}
    assert read_beside(tmp_path) == {"b": Beside(0.25)}
    assert os.listdir(tmp_path) == [FILE]  # noqa: PTH208 - names alone
