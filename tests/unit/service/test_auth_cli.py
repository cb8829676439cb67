"""`python -m service keys`: what it prints, what it keeps to itself, and how it fails."""

import json
import os

import pytest
from click.testing import CliRunner

from service.__main__ import main
from service.auth import KeyRing, read_keys


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The data folder, named by its variable."""
    for name in [name for name in os.environ if name.startswith("CATALENS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CATALENS_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def keys(*words):
    return CliRunner().invoke(main, ["keys", *map(str, words)])


def test_a_key_is_made_shown_once_and_opens(folder):
    made = keys("add", "--name", "shop", "--scope", "search", "--scope", "write", "--rate", "50/second")
    assert made.exit_code == 0
    secret = made.stdout.strip()
    assert KeyRing(folder / "keys.json").find(secret).name == "shop"
    assert secret not in made.stderr
    shown = keys("list").output + keys("list", "--json").output
    assert secret not in shown
    assert read_keys(folder / "keys.json")[0].sha256 not in shown
    assert keys("list").output.split()[:3] == ["shop", "search,write", "50/second"]


def test_json_is_json(folder):
    made = json.loads(keys("add", "--name", "a", "--scope", "admin", "--json").stdout)
    assert (made["name"], made["scopes"], made["rate"]) == ("a", ["admin"], None)
    assert KeyRing(folder / "keys.json").find(made["key"]) is not None
    [listed] = json.loads(keys("list", "--json").stdout)["keys"]
    assert listed.keys() == {"name", "scopes", "rate", "created"}
    assert json.loads(keys("revoke", "a", "--json").stdout) == {"revoked": "a"}
    assert json.loads(keys("list", "--json").stdout)["keys"] == []


def test_another_file_can_be_named(tmp_path, folder):
    other = tmp_path / "elsewhere" / "doors.json"
    assert keys("add", "--name", "a", "--scope", "search", "--keys-file", other).exit_code == 0
    assert [key.name for key in read_keys(other)] == ["a"]
    assert not folder.exists()
    assert keys("revoke", "a", "--keys-file", other).exit_code == 0


def test_no_keys_is_no_failure(folder):
    listed = keys("list")
    assert (listed.exit_code, listed.output) == (0, f"there are no keys in {folder / 'keys.json'}\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["add", "--name", "known", "--scope", "search"], 1, "there is a key 'known' already"),
        (["add", "--name", "a/b", "--scope", "search"], 1, "name: must be"),
        (["add", "--name", "a", "--scope", "search", "--rate", "9/s"], 1, "rate: must be"),
        (["add", "--name", "a", "--scope", "everything"], 2, "'everything' is not one of 'search', 'write', 'admin'"),
        (["add", "--name", "a"], 2, "Missing option '--scope'"),
        (["revoke", "nobody"], 1, "there is no key 'nobody'"),
    ],
)
def test_what_cannot_be_is_said_so_and_changes_nothing(folder, words, code, said):
    keys("add", "--name", "known", "--scope", "search")
    before = (folder / "keys.json").read_bytes()
    refused = keys(*words)
    assert refused.exit_code == code
    assert said in refused.stderr
    assert refused.stdout == ""
    assert (folder / "keys.json").read_bytes() == before


def test_a_damaged_file_is_not_written_over(folder):
    folder.mkdir()
    (folder / "keys.json").write_text("{")
    for words in (["add", "--name", "a", "--scope", "search"], ["list"], ["revoke", "a"]):
        refused = keys(*words)
        assert refused.exit_code == 1
        assert refused.stderr.startswith("Error: the key file ")
        assert refused.stderr.count("\n") == 1
    assert (folder / "keys.json").read_text() == "{"


def test_options_of_the_service_before_a_command_are_refused_rather_than_ignored():
    refused = CliRunner().invoke(main, ["--port", "80", "keys", "list"])
    assert refused.exit_code == 2
    assert "--port stands before `keys`" in refused.stderr
